//! The journal as Secrets of the same cluster, as `src/cluster/journal.rs` keeps it, but not encrypted.

use std::sync::Arc;

use apply::cluster::Propagation;
use apply::journal::{Entry, Store, StoreError};
use apply::{Call, Cluster, ClusterError, Reference, Selection};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::{BoxFuture, FutureExt as _};
use manifest::Object;
use serde_json::json;

use super::world::{OWN, World};

pub(crate) struct Entries(pub(crate) Arc<dyn Cluster>, pub(crate) Arc<World>);

fn at(name: &str) -> Reference {
    Reference::new("v1", "Secret", OWN, name)
}

fn failed(name: &str, error: &ClusterError) -> StoreError {
    StoreError::Failed { name: name.into(), message: error.to_string() }
}

/// The bytes of an entry.
pub(crate) fn bytes_of(entry: &Object) -> Vec<u8> {
    entry.text("/data/entry").and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default()
}

impl Entries {
    async fn write(&self, name: &str, bytes: &[u8], version: Option<&str>) -> Result<String, StoreError> {
        let mut value = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": OWN },
            "data": { "entry": STANDARD.encode(bytes) } });
        let (manager, dry_run, subresource) = ("journal".to_owned(), false, None);
        if let Some(version) = version {
            value["metadata"]["resourceVersion"] = version.into();
        }
        let object = Object::new(value).expect("an entry is an object");
        let call = match version {
            Some(_) => Call::Update { object, manager, dry_run, subresource },
            None => Call::Create { object, manager, dry_run, subresource },
        };
        let error = match self.0.write(call).await {
            Ok(written) => return Ok(written.resource_version().to_owned()),
            Err(error) => error,
        };
        let is_taken = matches!(error, ClusterError::AlreadyExists { .. } | ClusterError::Conflict { .. });
        if !is_taken && !matches!(error, ClusterError::Unknown { .. }) {
            return Err(failed(name, &error));
        }
        match self.get(name).await? {
            Some((found, version)) if found == bytes => Ok(version),
            _ if is_taken => Err(StoreError::Changed { name: name.into() }),
            _ => Err(failed(name, &error)),
        }
    }
}

impl Store for Entries {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        async move {
            let found = self.0.get(&at(name)).await.map_err(|error| failed(name, &error))?;
            Ok(found.map(|secret| (bytes_of(&secret), secret.resource_version().to_owned())))
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        name: &'a str,
        bytes: Vec<u8>,
        version: Option<&'a str>,
    ) -> BoxFuture<'a, Result<String, StoreError>> {
        async move { self.write(name, &bytes, version).await }.boxed()
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        let propagation = Propagation::Background;
        let call = Call::Delete { at: at(name), uid: None, resource_version: None, propagation, dry_run: false };
        async move {
            match self.0.call(call).await {
                Ok(_) | Err(ClusterError::NotFound { .. }) => Ok(()),
                Err(error) => Err(failed(name, &error)),
            }
        }
        .boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        async move {
            let selection = Selection::all("v1", "Secret").within(OWN);
            let all = self.0.list(&selection).await.map_err(|error| failed(prefix, &error))?;
            let names = all.iter().map(|secret| secret.name().to_owned());
            Ok(names.filter(|name| name.starts_with(prefix)).collect())
        }
        .boxed()
    }

    /// Never the same bytes twice, as with any good cipher.
    fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok([&self.1.state().all_calls.to_be_bytes(), plain].concat())
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok(sealed.get(8..).unwrap_or_default().to_vec())
    }
}
