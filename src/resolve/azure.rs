//! Azure Key Vault: `azurekv`.
//!
//! # Guarantees
//! - Every request goes through the caller's HTTP client, which alone decides about certificates, proxies and
//!   redirects. Nothing here reads the environment or the system's certificates.
//! - One client per vault and identity, one token per identity, and no retry: a call is one request (two when the vault
//!   is met for the first time, since it is asked whose tokens it takes).

mod failure;
mod identity;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apply::Cluster;
use azure_core::credentials::TokenCredential;
use azure_core::error::CheckSuccessOptions;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    ClientOptions, Context, HttpClient, Method, Pipeline, PipelineSendOptions, Request, RetryOptions, Transport, Url,
};
use azure_core::time::OffsetDateTime;
use azure_security_keyvault_secrets::models::{SecretClientGetSecretOptions, SecretProperties};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use serde_json::Value;

pub use identity::PodIdentity;
use identity::{Claim, Identity, vault_scope};

use super::lookup::{Lookup, StoreScope};
use super::store::{Bytes, Cause, Deletion, Item, ItemKind, Listed, Remote, Store};
use crate::api::store::AzureKeyVault;

/// A list beyond this is refused: `find` would read every one of them.
const LIST_LIMIT: usize = 10_000;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Every rotated client secret makes an identity more; beyond this all clients are made anew.
const KNOWN_LIMIT: usize = 1000;
const API_VERSION: &str = "2025-07-01";

/// The clients of all vaults, and the credentials of all identities.
pub struct Azure {
    http: Arc<dyn HttpClient>,
    pod: PodIdentity,
    cluster: Arc<dyn Cluster>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    credentials: HashMap<Identity, Arc<dyn TokenCredential>>,
    vaults: HashMap<(String, Identity), Arc<Vault>>,
}

impl Azure {
    /// Asks vaults and Entra through `http`, and the cluster for ServiceAccount tokens.
    pub fn new(http: Arc<dyn HttpClient>, pod: PodIdentity, cluster: Arc<dyn Cluster>) -> Self {
        Self { http, pod, cluster, known: Mutex::default() }
    }

    /// The store that a spec describes.
    ///
    /// # Errors
    /// When the spec contradicts itself, or what it refers to is not there.
    pub(super) async fn store(
        &self,
        spec: &AzureKeyVault,
        scope: &StoreScope,
        lookup: &Lookup,
    ) -> Result<Arc<dyn Store>, Cause> {
        let claim = Claim::of(spec, scope, &self.pod, lookup).await?;
        let vault = self.vault(spec, claim).map_err(|error| failure::cause(&error))?;
        Ok(vault)
    }

    /// Gets a token for the store that a spec describes, or has one.
    ///
    /// # Errors
    /// As [`Self::store`], and when the token issuer refuses.
    pub(super) async fn probe(&self, spec: &AzureKeyVault, scope: &StoreScope, lookup: &Lookup) -> Result<(), Cause> {
        let Some(wanted) = vault_scope(&spec.environment_type) else { return Ok(()) };
        let claim = Claim::of(spec, scope, &self.pod, lookup).await?;
        let identity = claim.identity.clone();
        self.vault(spec, claim).map_err(|error| failure::cause(&error))?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).credentials.get(&identity).cloned();
        let Some(credential) = known else { return Ok(()) };
        let token = tokio::time::timeout(PATIENCE, credential.get_token(&[wanted], None)).await;
        let slow = |_| Cause::Unavailable { message: format!("no token within {} s", PATIENCE.as_secs()) };
        token.map_err(slow)?.map(|_| ()).map_err(|error| failure::cause(&error))
    }

    /// The client of a vault and identity; a new one when there is none, or when the last one's token was refused.
    fn vault(&self, spec: &AzureKeyVault, claim: Claim) -> azure_core::Result<Arc<Vault>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (identity, url) = (claim.identity.clone(), spec.vault_url.trim_end_matches('/').to_owned());
        let key = (url.clone(), identity.clone());
        match known.vaults.get(&key) {
            Some(vault) if !vault.refused.load(Ordering::Relaxed) => return Ok(Arc::clone(vault)),
            Some(_) => known.forget(&identity),
            None => {}
        }
        let credential = match known.credentials.get(&identity) {
            Some(credential) => Arc::clone(credential),
            None => claim.credential(&self.cluster, self.options())?,
        };
        let vault = Arc::new(Vault::new(self, spec, &url, Arc::clone(&credential))?);
        if known.vaults.len() >= KNOWN_LIMIT {
            *known = Known::default();
        }
        known.credentials.insert(identity, credential);
        known.vaults.insert(key, Arc::clone(&vault));
        Ok(vault)
    }

    fn options(&self) -> ClientOptions {
        ClientOptions {
            retry: RetryOptions::none(),
            transport: Some(Transport::new(Arc::clone(&self.http))),
            ..ClientOptions::default()
        }
    }
}

impl Known {
    /// A refused token stays in the caches of the SDK until it expires, so that everything that holds it must go.
    fn forget(&mut self, identity: &Identity) {
        self.credentials.remove(identity);
        self.vaults.retain(|(_, kept), _| kept != identity);
    }
}

/// One vault, as one identity sees it.
struct Vault {
    secrets: SecretClient,
    /// For certificates and keys; none in a cloud whose token scope is not known.
    others: Option<Pipeline>,
    url: Url,
    /// Whether the token was refused.
    refused: AtomicBool,
    /// Held by the first request, to whose challenge the client answers for all that follow.
    first: tokio::sync::Mutex<()>,
    /// Whether that is over.
    was_asked: AtomicBool,
    /// Whether keys are printed as External Secrets' new client does.
    sorted_keys: bool,
}

impl Vault {
    fn new(
        azure: &Azure,
        spec: &AzureKeyVault,
        url: &str,
        token: Arc<dyn TokenCredential>,
    ) -> azure_core::Result<Self> {
        let options = SecretClientOptions {
            api_version: API_VERSION.into(),
            client_options: azure.options(),
            verify_challenge_resource: Some(true),
        };
        let others = vault_scope(&spec.environment_type).filter(|_| spec.custom_cloud_config.is_none()).map(|scope| {
            let authorize = BearerTokenAuthorizationPolicy::new(Arc::clone(&token), [scope]);
            Pipeline::new(None, None, azure.options(), Vec::new(), vec![Arc::new(authorize)], None)
        });
        Ok(Self {
            secrets: SecretClient::new(url, token, Some(options))?,
            others,
            url: Url::parse(url)?,
            refused: AtomicBool::new(false),
            first: Default::default(),
            was_asked: AtomicBool::new(false),
            sorted_keys: spec.use_azure_sdk == Some(true),
        })
    }

    /// Sends one request and waits for its answer, not for ever. The first one goes alone: many at once would each be
    /// challenged.
    async fn ask<T>(&self, request: impl Future<Output = azure_core::Result<T>>) -> Result<T, Cause> {
        let turn = if self.was_asked.load(Ordering::Relaxed) { None } else { Some(self.first.lock().await) };
        let turn = turn.filter(|_| !self.was_asked.load(Ordering::Relaxed));
        let answer = match tokio::time::timeout(PATIENCE, request).await {
            Ok(answer) => answer.map_err(|error| failure::cause(&error)),
            Err(_) => Err(Cause::Unavailable { message: format!("no answer within {} s", PATIENCE.as_secs()) }),
        };
        if matches!(answer, Err(Cause::NoToken { .. })) {
            self.refused.store(true, Ordering::Relaxed);
        }
        self.was_asked.store(true, Ordering::Relaxed);
        drop(turn);
        answer
    }

    async fn secret(&self, item: &Item) -> Result<Remote, Cause> {
        let secret_version = Some(item.version.clone()).filter(|version| !version.is_empty());
        let options = SecretClientGetSecretOptions { secret_version, ..SecretClientGetSecretOptions::default() };
        let request = async { self.secrets.get_secret(&item.name, Some(options)).await?.into_model() };
        let secret = self.ask(request).await?;
        let times = secret.attributes.map(|at| [at.created, at.updated, at.expires, at.not_before]).unwrap_or_default();
        Ok(Remote {
            value: Bytes::from(secret.value.unwrap_or_default().into_bytes()),
            tags: secret.tags.into_iter().flatten().collect(),
            attributes: attributes(times.map(|time| time.map(OffsetDateTime::unix_timestamp))),
            version: last_segment(secret.id.as_deref()),
        })
    }

    /// A certificate or a key, for which there is no client here: one plain request.
    async fn other(&self, item: &Item, folder: &str) -> Result<Remote, Cause> {
        let Some(pipeline) = &self.others else {
            let what = format!("remoteRef.key with {}/ in a custom cloud", item.kind.prefix());
            return Err(Cause::Unsupported { what });
        };
        let mut url = self.url.clone();
        url.set_path(&format!("{folder}/{}/{}", item.name, item.version));
        url.set_query(Some(&format!("api-version={API_VERSION}")));
        let mut request = Request::new(url, Method::Get);
        let check_success = CheckSuccessOptions { success_codes: &[200] };
        let options = PipelineSendOptions { check_success, ..PipelineSendOptions::default() };
        let context = Context::new();
        let answer = self.ask(pipeline.send(&context, &mut request, Some(options))).await?;
        let body: Value = serde_json::from_slice(answer.body()).map_err(|_| Cause::Content { expected: "JSON" })?;
        let (value, id) = match item.kind {
            ItemKind::Key => (print_key(&body["key"], self.sorted_keys), &body["key"]["kid"]),
            _ => (STANDARD.decode(body["cer"].as_str().unwrap_or_default()).unwrap_or_default(), &body["id"]),
        };
        let tags = body["tags"].as_object().into_iter().flatten();
        Ok(Remote {
            value: Bytes::from(value),
            tags: tags.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect(),
            attributes: attributes(["created", "updated", "exp", "nbf"].map(|at| body["attributes"][at].as_i64())),
            version: last_segment(id.as_str()),
        })
    }

    async fn listed(&self) -> Result<Vec<Listed>, Cause> {
        let request = async {
            let mut pager = self.secrets.list_secret_properties(None)?;
            let mut found = Vec::new();
            while let Some(properties) = pager.try_next().await? {
                found.push(listed(properties));
                if found.len() > LIST_LIMIT {
                    break;
                }
            }
            Ok(found)
        };
        let found = self.ask(request).await?;
        if found.len() > LIST_LIMIT {
            return Err(Cause::Spec {
                message: format!("the vault holds more than {LIST_LIMIT} secrets, too many to find in"),
            });
        }
        Ok(found)
    }
}

impl Store for Vault {
    fn read(&self, item: Item) -> BoxFuture<'_, Result<Arc<Remote>, Cause>> {
        Box::pin(async move {
            check_name(&item)?;
            let remote = match item.kind {
                ItemKind::Secret => self.secret(&item).await,
                ItemKind::Certificate => self.other(&item, "certificates").await,
                ItemKind::Key => self.other(&item, "keys").await,
            };
            remote.map(Arc::new)
        })
    }

    fn list(&self) -> BoxFuture<'_, Result<Arc<Vec<Listed>>, Cause>> {
        Box::pin(async move { self.listed().await.map(Arc::new) })
    }

    fn deletion(&self, item: Item) -> BoxFuture<'_, Deletion> {
        Box::pin(async move {
            if item.kind != ItemKind::Secret || check_name(&item).is_err() {
                return Deletion::Unknown;
            }
            match self.ask(self.secrets.get_deleted_secret(&item.name, None)).await {
                Ok(_) => Deletion::Recorded,
                Err(_) => Deletion::Unknown,
            }
        })
    }
}

/// Names that no vault can hold never become part of a URL.
fn check_name(item: &Item) -> Result<(), Cause> {
    let plain = |text: &str| text.len() <= 127 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !item.name.is_empty() && plain(&item.name) && plain(&item.version) {
        return Ok(());
    }
    Err(Cause::Spec { message: format!("{item} is no name that a Key Vault can hold: letters, digits and dashes") })
}

fn listed(properties: SecretProperties) -> Listed {
    let attributes = properties.attributes.unwrap_or_default();
    let updated = attributes.updated.map(OffsetDateTime::unix_timestamp).unwrap_or_default();
    Listed {
        name: last_segment(properties.id.as_deref()),
        version: String::new(),
        tags: properties.tags.into_iter().flatten().collect(),
        enabled: attributes.enabled.unwrap_or_default(),
        mark: updated.to_string(),
    }
}

fn last_segment(id: Option<&str>) -> String {
    id.and_then(|id| id.rsplit('/').next()).unwrap_or_default().to_owned()
}

/// Created, updated, expires and not before, where there are such times.
fn attributes(times: [Option<i64>; 4]) -> BTreeMap<&'static str, String> {
    const NAMES: [&str; 4] = ["attribute.created", "attribute.updated", "attribute.expires", "attribute.notBefore"];
    let written = times.into_iter().map(|time| jiff::Timestamp::from_second(time?).ok());
    NAMES.into_iter().zip(written).filter_map(|(name, time)| Some((name, time?.to_string()))).collect()
}

/// A JSON web key as Go prints it: the legacy client keeps the order of its struct, the new one sorts.
fn print_key(key: &Value, sorted: bool) -> Vec<u8> {
    const ORDER: [&str; 17] =
        ["kid", "kty", "key_ops", "n", "e", "d", "dp", "dq", "qi", "p", "q", "k", "key_hsm", "crv", "x", "y", ""];
    let mut members: Vec<(&String, &Value)> = key.as_object().into_iter().flatten().collect();
    let place = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
    members.retain(|(name, value)| !value.is_null() && place(name) < ORDER.len());
    members.sort_by_key(|(name, _)| if sorted { (0, (*name).clone()) } else { (place(name), String::new()) });
    let printed: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", printed.join(",")).into_bytes()
}
