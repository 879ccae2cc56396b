//! Azure Key Vault: RSA-OAEP-256 by the key of a vault, as sops has it. A token goes to hosts of Azure's vaults alone.

mod certificate;
mod login;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sops::{MasterKey, Wrapped};
use zeroize::Zeroizing;

use super::identity::{Account, Kept, Variables};
use super::network::{Network, ask};
use login::{Resource, Who};

const API_VERSION: &str = "7.4";
const ALGORITHM: &str = "RSA-OAEP-256";
/// The domains of vaults, which are also what tokens for them are scoped to. No other host is sent a token.
const DOMAINS: [&str; 6] = [
    "vault.azure.net",
    "vault.azure.cn",
    "vault.usgovcloudapi.net",
    "vault.microsoftazure.de",
    "managedhsm.azure.net",
    "managedhsm.usgovcloudapi.net",
];

/// Who we are towards Azure.
#[derive(Clone)]
pub struct AzureLogin {
    who: Who,
    /// Tokens by the domain that they are for.
    tokens: Arc<Kept<Zeroizing<String>>>,
}

impl AzureLogin {
    /// As Azure's SDKs find it: an application with a secret, a certificate or a federated token; or a managed identity.
    /// Looks there when it is needed. Who has signed in with the command az is not found: no programs are run.
    pub fn of_environment(variables: &Variables) -> Self {
        Self::new(Who::Environment(variables.clone()))
    }

    /// As a ServiceAccount: the application that its annotations name.
    pub fn of_account(account: &Account, variables: &Variables) -> Self {
        Self::new(Who::Account(account.clone(), variables.clone()))
    }

    /// Reads `sops.azure-kv` as Flux does: YAML with the fields of Azure's SDK, or those that the az command prints.
    ///
    /// # Errors
    /// Which field is missing, or of no use here.
    pub fn parse(text: &[u8], variables: &Variables) -> Result<Self, String> {
        Who::parse(&super::yaml(text)?, variables).map(Self::new)
    }

    fn new(who: Who) -> Self {
        Self { who, tokens: Arc::default() }
    }

    pub(super) async fn decrypt(&self, network: &Network, key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, String> {
        let wrapped = key.wrapped().trim_end_matches('=');
        URL_SAFE_NO_PAD.decode(wrapped).map_err(|_| "the wrapped key is damaged")?;
        let (value, _) = self.apply(network, key, "decrypt", wrapped).await?;
        URL_SAFE_NO_PAD.decode(value.as_bytes()).map(Zeroizing::new).map_err(|_| "the vault answered no key".to_owned())
    }

    pub(super) async fn encrypt(&self, network: &Network, key: &MasterKey, part: &[u8]) -> Result<Wrapped, String> {
        let value = Zeroizing::new(URL_SAFE_NO_PAD.encode(part));
        let (value, id) = self.apply(network, key, "encrypt", &value).await?;
        let version = id.rsplit('/').next().filter(|_| key.get("version").is_empty()).map(str::to_owned);
        Ok(Wrapped { text: value.to_string(), version })
    }

    /// What the key makes of a value, and the key's id with its version.
    async fn apply(
        &self,
        network: &Network,
        key: &MasterKey,
        operation: &str,
        value: &str,
    ) -> Result<(Zeroizing<String>, String), String> {
        let (address, domain) = place(key)?;
        let token = self.token(network, domain).await;
        let token = token.map_err(|error| format!("no token of Entra for {}: {error}", key.name()))?;
        let url = format!("{address}/{operation}?api-version={API_VERSION}");
        let request = network.http.post(url).bearer_auth(token.as_str());
        let request = request.json(&json!({"alg": ALGORITHM, "value": value}));
        let told = |body: &Value| body.pointer("/error/message")?.as_str().map(ToOwned::to_owned);
        let mut answer = ask(request, told, &[&token]).await.map_err(|error| format!("the vault {error}"))?;
        let mut text = |name: &str| match answer[name].take() {
            Value::String(text) => text,
            _ => String::new(),
        };
        Ok((Zeroizing::new(text("value")), text("kid")))
    }

    async fn token(&self, network: &Network, domain: &'static str) -> Result<Zeroizing<String>, String> {
        if let Some(token) = self.tokens.get(domain) {
            return Ok(token);
        }
        let (token, lifetime) = self.who.token(network, Resource(domain)).await?;
        self.tokens.keep(domain, lifetime, token.clone());
        Ok(token)
    }
}

/// The address of a key, and the domain of its vault.
fn place(key: &MasterKey) -> Result<(String, &'static str), String> {
    let strange = || format!("{} is no key of a vault of Azure, and no other host is sent a token", key.name());
    let url = reqwest::Url::parse(key.get("vault_url")).map_err(|_| strange())?;
    let (_, domain) = url.host_str().and_then(|host| host.split_once('.')).ok_or_else(strange)?;
    let domain = DOMAINS.into_iter().find(|known| *known == domain).ok_or_else(strange)?;
    let is_plain =
        |text: &str| text.len() <= 127 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let (name, version) = (key.get("name"), key.get("version"));
    let is_vault = url.scheme() == "https" && url.port().is_none() && url.username().is_empty();
    if !is_vault || name.is_empty() || !is_plain(name) || !is_plain(version) {
        return Err(strange());
    }
    let base = url.origin().ascii_serialization();
    let address = format!("{base}/keys/{name}/{version}").trim_end_matches('/').to_owned();
    Ok((address, domain))
}
