//! The journal as Secrets of type `lockstep.dev/landing` in Lockstep's own namespace.
//!
//! Bodies are compressed and encrypted to the agent's own age identity, which stands with the seal key in one Secret,
//! made at the first start. Whoever can read Secrets of that namespace can read the journal: it protects backups, logs
//! of requests and whoever lists Secrets by type, not against the namespace's owner.
//!
//! Entries are listed once and then kept in memory, as they were written last: under the leader lease nobody else writes
//! them. Every write has the version that it was made from as its precondition, so one that was made from a memory that
//! is wrong is refused; then everything is listed anew.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use age::secrecy::ExposeSecret as _;
use age::x25519::{Identity, Recipient};
use apply::journal::{Entry, Store, StoreError};
use apply::{Call, Cluster, ClusterError, Reference, Selection};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::{BoxFuture, FutureExt as _};
use manifest::Object;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// Type of every Secret that the journal is made of.
const TYPE: &str = "lockstep.dev/landing";
/// Name of the Secret that holds the agent's keys.
pub const KEYS: &str = "lockstep-keys";
/// Label of the journals, with its value.
pub const LABEL: &str = "lockstep.dev/journal=true";
/// Field manager of everything that is Lockstep's own.
pub const MANAGER: &str = "lockstep";

/// The agent's own keys.
pub struct Keys {
    identity: Identity,
    recipient: Recipient,
    seal: Zeroizing<Vec<u8>>,
}

impl Keys {
    /// New keys from the system's randomness.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, StoreError> {
        let mut seal = Zeroizing::new(vec![0; 32]);
        getrandom::fill(&mut seal).map_err(|e| failed(KEYS, &e))?;
        let identity = Identity::generate();
        Ok(Self { recipient: identity.to_public(), identity, seal })
    }

    /// Reads the keys from the agent's namespace, or makes them there.
    ///
    /// # Errors
    /// When they cannot be read or written, or are damaged.
    pub async fn load(cluster: &Arc<dyn Cluster>, namespace: &str) -> Result<Self, StoreError> {
        if let Some(keys) = Self::read(cluster, namespace).await? {
            return Ok(keys);
        }
        let keys = Self::generate()?;
        let call = Call::Create {
            object: keys.to_secret(namespace)?,
            manager: MANAGER.into(),
            dry_run: false,
            subresource: None,
        };
        match cluster.write(call).await {
            Ok(_) => Ok(keys),
            // Another replica was first: its keys count.
            Err(ClusterError::AlreadyExists { .. }) => {
                let keys = Self::read(cluster, namespace).await?;
                keys.ok_or_else(|| failed(KEYS, &"it is there and not there"))
            }
            Err(error) => Err(failed(KEYS, &error)),
        }
    }

    /// Reads the keys from the agent's namespace; `None` when there are none yet.
    ///
    /// # Errors
    /// When they cannot be read, or are damaged.
    pub async fn read(cluster: &Arc<dyn Cluster>, namespace: &str) -> Result<Option<Self>, StoreError> {
        let at = Reference::new("v1", "Secret", namespace, KEYS);
        let secret = cluster.get(&at).await.map_err(|e| failed(KEYS, &e))?;
        secret.map(|secret| Self::parse(&secret)).transpose()
    }

    /// Seals bytes: a short text that tells nothing about them, the same for the same bytes in the same cluster.
    pub fn seal(&self, bytes: &[u8]) -> String {
        use hmac::{Hmac, Mac as _};
        let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(&self.seal) else { return String::new() };
        mac.update(bytes);
        mac.finalize().into_bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    fn to_secret(&self, namespace: &str) -> Result<Object, StoreError> {
        let identity = self.identity.to_string();
        let value = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": KEYS, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "lockstep"}},
            "data": {"identity": STANDARD.encode(identity.expose_secret()), "seal": STANDARD.encode(&*self.seal)},
        });
        Object::new(value).map_err(|e| failed(KEYS, &e))
    }

    fn parse(secret: &Object) -> Result<Self, StoreError> {
        let damaged = |message: &str| StoreError::Unreadable { name: KEYS.into(), message: message.into() };
        let field = |key: &str| {
            let text = secret.value().get("data")?.get(key)?.as_str()?;
            STANDARD.decode(text).ok().map(Zeroizing::new)
        };
        let identity = field("identity").ok_or_else(|| damaged("key 'identity' is missing"))?;
        let identity = std::str::from_utf8(&identity).map_err(|_| damaged("key 'identity' is no text"))?;
        let identity: Identity = identity.parse().map_err(damaged)?;
        let seal = field("seal").ok_or_else(|| damaged("key 'seal' is missing"))?;
        Ok(Self { recipient: identity.to_public(), identity, seal })
    }
}

/// Largest entry that is kept in memory; of larger ones only the version is.
const KEPT: usize = 64 * 1024;

/// Journals in a namespace of a cluster.
pub struct ClusterStore {
    cluster: Arc<dyn Cluster>,
    namespace: String,
    keys: Arc<Keys>,
    /// `None` before the first list, and after a doubt.
    known: Mutex<Option<HashMap<String, Known>>>,
}

/// An entry as it was read or written last.
#[derive(Clone)]
struct Known {
    version: String,
    bytes: Option<Arc<[u8]>>,
}

impl Known {
    fn new(bytes: &[u8], version: &str) -> Self {
        Self { version: version.to_owned(), bytes: (bytes.len() <= KEPT).then(|| bytes.into()) }
    }
}

impl ClusterStore {
    /// Keeps journals in `namespace`.
    pub fn new(cluster: Arc<dyn Cluster>, namespace: &str, keys: Arc<Keys>) -> Self {
        Self { cluster, namespace: namespace.into(), keys, known: Mutex::default() }
    }

    /// What is known of the entries, listed first where nothing is.
    async fn known<T>(&self, look: impl FnOnce(&mut HashMap<String, Known>) -> T) -> Result<T, StoreError> {
        let mut known = self.known.lock().await;
        let entries = match &mut *known {
            Some(entries) => entries,
            None => known.insert(self.list_all().await?),
        };
        Ok(look(entries))
    }

    async fn list_all(&self) -> Result<HashMap<String, Known>, StoreError> {
        let selection = Selection::all("v1", "Secret").within(&self.namespace).labelled(LABEL);
        let found = self.cluster.list(&selection).await.map_err(|e| failed("list", &e))?;
        let entry = |secret: &Object| {
            let known = match entry_of(secret) {
                Some(bytes) => Known::new(&bytes, secret.resource_version()),
                None => Known { version: secret.resource_version().into(), bytes: None },
            };
            (secret.name().to_owned(), known)
        };
        Ok(found.iter().map(entry).collect())
    }

    async fn remember(&self, name: &str, known: Option<Known>) {
        if let Some(entries) = &mut *self.known.lock().await {
            match known {
                Some(known) => drop(entries.insert(name.into(), known)),
                None => drop(entries.remove(name)),
            }
        }
    }

    /// Reads an entry from the server.
    async fn fetch(&self, name: &str) -> Result<Option<Entry>, StoreError> {
        let found = self.cluster.get(&self.at(name)).await.map_err(|e| failed(name, &e))?;
        let Some(secret) = found else { return Ok(None) };
        let bytes = entry_of(&secret).ok_or_else(|| StoreError::Unreadable {
            name: name.into(),
            message: "it is not an entry of a journal".into(),
        })?;
        Ok(Some((bytes, secret.resource_version().to_owned())))
    }

    fn at(&self, name: &str) -> Reference {
        Reference::new("v1", "Secret", &self.namespace, name)
    }

    async fn write(&self, name: &str, bytes: &[u8], version: Option<&str>) -> Result<String, StoreError> {
        let mut value = json!({
            "apiVersion": "v1", "kind": "Secret", "type": TYPE,
            "metadata": {"name": name, "namespace": self.namespace, "labels": {"app.kubernetes.io/part-of": "lockstep",
                "lockstep.dev/journal": "true"}},
            "data": {"entry": STANDARD.encode(bytes)},
        });
        if let Some(version) = version {
            value["metadata"]["resourceVersion"] = version.into();
        }
        let object = Object::new(value).map_err(|e| failed(name, &e))?;
        let manager = MANAGER.to_owned();
        let call = match version {
            Some(_) => Call::Update { object, manager, dry_run: false, subresource: None },
            None => Call::Create { object, manager, dry_run: false, subresource: None },
        };
        match self.cluster.write(call).await {
            Ok(written) => Ok(written.resource_version().to_owned()),
            Err(error) => self.after_doubt(name, bytes, error).await,
        }
    }

    /// A write without an answer may have been done: what stands there tells.
    async fn after_doubt(&self, name: &str, bytes: &[u8], error: ClusterError) -> Result<String, StoreError> {
        let is_taken = matches!(error, ClusterError::AlreadyExists { .. } | ClusterError::Conflict { .. });
        let is_unknown = matches!(error, ClusterError::Unknown { .. });
        if !is_taken && !is_unknown {
            return Err(failed(name, &error));
        }
        match self.fetch(name).await? {
            Some((found, version)) if found == bytes => Ok(version),
            _ if is_taken => Err(StoreError::Changed { name: name.into() }),
            _ => Err(failed(name, &error)),
        }
    }
}

impl Store for ClusterStore {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        async move {
            match self.known(|entries| entries.get(name).cloned()).await? {
                None => Ok(None),
                Some(Known { version, bytes: Some(bytes) }) => Ok(Some((bytes.to_vec(), version))),
                Some(Known { bytes: None, .. }) => self.fetch(name).await,
            }
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        name: &'a str,
        bytes: Vec<u8>,
        version: Option<&'a str>,
    ) -> BoxFuture<'a, Result<String, StoreError>> {
        async move {
            let written = self.write(name, &bytes, version).await;
            match &written {
                Ok(version) => self.remember(name, Some(Known::new(&bytes, version))).await,
                Err(_) => *self.known.lock().await = None,
            }
            written
        }
        .boxed()
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        let call = Call::Delete {
            at: self.at(name),
            uid: None,
            resource_version: None,
            propagation: apply::cluster::Propagation::Background,
            dry_run: false,
        };
        async move {
            match self.cluster.call(call).await {
                Ok(_) | Err(ClusterError::NotFound { .. }) => self.remember(name, None).await,
                Err(error) => return Err(failed(name, &error)),
            }
            Ok(())
        }
        .boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        async move {
            let mut names = self
                .known(|entries| entries.keys().filter(|name| name.starts_with(prefix)).cloned().collect::<Vec<_>>())
                .await?;
            names.sort();
            Ok(names)
        }
        .boxed()
    }

    fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let name = "body";
        let recipients: [&dyn age::Recipient; 1] = [&self.keys.recipient];
        let encryptor = age::Encryptor::with_recipients(recipients.into_iter()).map_err(|e| failed(name, &e))?;
        let mut sealed = Vec::new();
        let encrypted = encryptor.wrap_output(&mut sealed).map_err(|e| failed(name, &e))?;
        let mut packed = flate2::write::DeflateEncoder::new(encrypted, flate2::Compression::fast());
        packed.write_all(plain).map_err(|e| failed(name, &e))?;
        packed.finish().and_then(age::stream::StreamWriter::finish).map_err(|e| failed(name, &e))?;
        Ok(sealed)
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let name = "body";
        let unreadable =
            |e: &dyn std::fmt::Display| StoreError::Unreadable { name: name.into(), message: e.to_string() };
        let identity: &dyn age::Identity = &self.keys.identity;
        let decryptor = age::Decryptor::new(sealed).map_err(|e| unreadable(&e))?;
        let packed = decryptor.decrypt(std::iter::once(identity)).map_err(|e| unreadable(&e))?;
        let mut plain = Vec::new();
        flate2::read::DeflateDecoder::new(packed).read_to_end(&mut plain).map_err(|e| unreadable(&e))?;
        Ok(plain)
    }
}

/// The bytes of an entry, of a Secret that is one.
fn entry_of(secret: &Object) -> Option<Vec<u8>> {
    let text = secret.value().pointer("/data/entry").and_then(Value::as_str)?;
    STANDARD.decode(text).ok()
}

fn failed(name: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Failed { name: name.into(), message: error.to_string() }
}
