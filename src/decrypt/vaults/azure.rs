//! Azure Key Vault: RSA-OAEP-256 by the key of a vault, as sops has it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use sops::{MasterKey, Wrapped};
use zeroize::Zeroizing;

const API_VERSION: &str = "7.4";
const ALGORITHM: &str = "RSA-OAEP-256";
/// Where Entra stands, unless a login says otherwise.
const AUTHORITY: &str = "https://login.microsoftonline.com/";
/// The domains of vaults, which are also what tokens for them are scoped to. No other host is sent a token.
const DOMAINS: [&str; 6] = [
    "vault.azure.net",
    "vault.azure.cn",
    "vault.usgovcloudapi.net",
    "vault.microsoftazure.de",
    "managedhsm.azure.net",
    "managedhsm.usgovcloudapi.net",
];
/// A token that lives shorter than this is asked for anew.
const MARGIN: Duration = Duration::from_secs(300);
pub(super) const NO_LOGIN: &str = "no credentials for Azure were given: AZURE_TENANT_ID, AZURE_CLIENT_ID and either \
    AZURE_FEDERATED_TOKEN_FILE or AZURE_CLIENT_SECRET; for the agent also sops.azure-kv in the decryption Secret";

/// Makes the token that proves a ServiceAccount's identity to Entra.
pub type Assertion = Arc<dyn Fn() -> BoxFuture<'static, Result<Zeroizing<String>, String>> + Send + Sync>;

/// An application of Entra, and what proves that we are it.
#[derive(Clone)]
pub struct AzureLogin {
    /// The base URL of the token issuer; Azure's public one when empty.
    pub authority: String,
    /// The tenant's id.
    pub tenant: String,
    /// The application's id.
    pub client: String,
    /// What proves it.
    pub proof: Proof,
}

/// What proves that we are an application.
#[derive(Clone)]
pub enum Proof {
    /// Its secret.
    Secret(Zeroizing<String>),
    /// A file with a ServiceAccount's token, as Azure's webhook mounts it.
    File(PathBuf),
    /// A ServiceAccount's token, made when it is needed.
    Assertion(Assertion),
}

/// Tokens by scope, until they expire.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<String, (Instant, Zeroizing<String>)>>);

impl Tokens {
    fn get(&self, scope: &str) -> Option<Zeroizing<String>> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(scope).filter(|(until, _)| *until > Instant::now()).map(|(_, token)| token.clone())
    }

    fn keep(&self, scope: String, until: Instant, token: Zeroizing<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(scope, (until, token));
    }
}

/// What asks vaults, as one identity.
pub(super) struct Client<'c> {
    pub(super) http: &'c reqwest::Client,
    pub(super) login: &'c AzureLogin,
    pub(super) tokens: &'c Tokens,
}

impl Client<'_> {
    pub(super) async fn decrypt(&self, key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, String> {
        let wrapped = key.wrapped().trim_end_matches('=');
        URL_SAFE_NO_PAD.decode(wrapped).map_err(|_| "the wrapped key is damaged")?;
        let (value, _) = self.apply(key, "decrypt", wrapped).await?;
        URL_SAFE_NO_PAD.decode(value.as_bytes()).map(Zeroizing::new).map_err(|_| "the vault answered no key".to_owned())
    }

    pub(super) async fn encrypt(&self, key: &MasterKey, part: &[u8]) -> Result<Wrapped, String> {
        let value = Zeroizing::new(URL_SAFE_NO_PAD.encode(part));
        let (value, id) = self.apply(key, "encrypt", &value).await?;
        let version = id.rsplit('/').next().filter(|_| key.get("version").is_empty()).map(str::to_owned);
        Ok(Wrapped { text: value.to_string(), version })
    }

    /// What the key makes of a value, and the key's id with its version.
    async fn apply(
        &self,
        key: &MasterKey,
        operation: &str,
        value: &str,
    ) -> Result<(Zeroizing<String>, String), String> {
        let (address, scope) = place(key)?;
        let token =
            self.token(&scope).await.map_err(|error| format!("no token of Entra for {}: {error}", key.name()))?;
        let url = format!("{address}/{operation}?api-version={API_VERSION}");
        let request = self.http.post(url).bearer_auth(token.as_str());
        let request = request.json(&json!({"alg": ALGORITHM, "value": value}));
        let told = |body: &Value| body.pointer("/error/message")?.as_str().map(ToOwned::to_owned);
        let mut answer = super::ask(request, told).await.map_err(|error| format!("the vault {error}"))?;
        let mut text = |name: &str| match answer[name].take() {
            Value::String(text) => text,
            _ => String::new(),
        };
        Ok((Zeroizing::new(text("value")), text("kid")))
    }

    async fn token(&self, scope: &str) -> Result<Zeroizing<String>, String> {
        if let Some(token) = self.tokens.get(scope) {
            return Ok(token);
        }
        let asked = Instant::now();
        let told = |body: &Value| body["error_description"].as_str().map(ToOwned::to_owned);
        let answer = super::ask(self.login.request(self.http, scope).await?, told).await;
        let mut answer = answer.map_err(|error| format!("the issuer {error}"))?;
        let Value::String(token) = answer["access_token"].take() else { return Err("the issuer sent none".into()) };
        let token = Zeroizing::new(token);
        let lifetime = Duration::from_secs(answer["expires_in"].as_u64().unwrap_or_default());
        self.tokens.keep(scope.to_owned(), asked + lifetime.saturating_sub(MARGIN), token.clone());
        Ok(token)
    }
}

impl AzureLogin {
    /// Reads `sops.azure-kv` as Flux does: YAML with the fields of Azure's SDK, or those that the az command prints.
    ///
    /// # Errors
    /// Which field is missing, or of no use here.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let value = super::yaml(text)?;
        let field = |names: [&str; 2]| {
            let found = names.iter().find_map(|name| value.get(name)?.as_str());
            found.filter(|text| !text.is_empty()).map(ToOwned::to_owned)
        };
        let client = field(["clientId", "appId"]);
        let secret = field(["clientSecret", "password"]);
        match (field(["tenantId", "tenant"]), client, secret) {
            (Some(tenant), Some(client), Some(secret)) => {
                let authority = field(["authorityHost", "authorityHost"]).unwrap_or_default();
                Ok(AzureLogin { authority, tenant, client, proof: Proof::Secret(Zeroizing::new(secret)) })
            }
            _ if value.get("clientCertificate").is_some() => Err("client certificates are not supported".into()),
            (None, Some(_), None) => Err("clientId alone means a managed identity, which is not supported".into()),
            _ => Err("it must hold tenantId, clientId and clientSecret".into()),
        }
    }

    async fn request(&self, http: &reqwest::Client, scope: &str) -> Result<reqwest::RequestBuilder, String> {
        let authority = if self.authority.is_empty() { AUTHORITY } else { &self.authority };
        let address = format!("{}/{}/oauth2/v2.0/token", authority.trim_end_matches('/'), self.tenant);
        let url = reqwest::Url::parse(&address).map_err(|_| "the tenant or the authority is no part of a URL")?;
        if url.scheme() != "https" {
            return Err("the authority is not reached by https".to_owned());
        }
        let mut form =
            vec![("client_id", self.client.as_str()), ("scope", scope), ("grant_type", "client_credentials")];
        let proof = self.proof.text().await?;
        if matches!(self.proof, Proof::Secret(_)) {
            form.push(("client_secret", &proof));
        } else {
            form.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
            form.push(("client_assertion", &proof));
        }
        let mut encoded = url.clone();
        encoded.query_pairs_mut().clear().extend_pairs(form);
        let body = encoded.query().unwrap_or_default().to_owned();
        Ok(http.post(url).header("content-type", "application/x-www-form-urlencoded").body(body))
    }
}

impl Proof {
    async fn text(&self) -> Result<Zeroizing<String>, String> {
        match self {
            Proof::Secret(secret) => Ok(secret.clone()),
            Proof::Assertion(make) => make().await,
            // The last newline is no part of a token.
            Proof::File(path) => match tokio::fs::read_to_string(path).await.map(Zeroizing::new) {
                Ok(text) => Ok(Zeroizing::new(text.trim_end().to_owned())),
                Err(error) => Err(format!("{}: {error}", path.display())),
            },
        }
    }
}

/// The address of a key, and the scope of tokens for its vault.
fn place(key: &MasterKey) -> Result<(String, String), String> {
    let strange = || format!("{} is no key of a vault of Azure, and no other host is sent a token", key.name());
    let url = reqwest::Url::parse(key.get("vault_url")).map_err(|_| strange())?;
    let (_, domain) = url.host_str().and_then(|host| host.split_once('.')).ok_or_else(strange)?;
    let is_plain =
        |text: &str| text.len() <= 127 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let (name, version) = (key.get("name"), key.get("version"));
    let is_vault = url.scheme() == "https" && url.port().is_none() && url.username().is_empty();
    if !is_vault || !DOMAINS.contains(&domain) || name.is_empty() || !is_plain(name) || !is_plain(version) {
        return Err(strange());
    }
    let base = url.origin().ascii_serialization();
    let address = format!("{base}/keys/{name}/{version}").trim_end_matches('/').to_owned();
    Ok((address, format!("https://{domain}/.default")))
}
