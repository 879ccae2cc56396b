//! The transit engine of Vault and OpenBao: a key that never leaves, by two calls. A token goes to the servers that are
//! allowed, and one that was got by logging in to the server that gave it.

mod tls;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sops::{MasterKey, Wrapped};
use zeroize::Zeroizing;

use super::identity::{Account, Kept, Variables};
use super::network::{self, Network, ask};

/// The variable with the servers that may be asked.
const LIST: &str = "SOPS_HC_VAULT_ALLOWLIST";

/// Who we are towards Vault.
#[derive(Clone)]
pub struct TransitLogin {
    proof: Proof,
    variables: Variables,
    /// What reaches its servers, where the environment says how; made when it is needed.
    client: Arc<OnceLock<Result<Option<reqwest::Client>, String>>>,
    /// Tokens by the server that gave them.
    tokens: Arc<Kept<Zeroizing<String>>>,
}

#[derive(Clone)]
enum Proof {
    /// A token.
    Token(Zeroizing<String>),
    /// The token of the environment, or of the file in which Vault's command keeps it.
    Environment { needs_list: bool },
    /// A ServiceAccount's token, which servers take that are on the list.
    Account(Account, Logins),
}

/// Where ServiceAccounts log in, by the address of the server: Flux's `--sops-vault-configmap`. Or why that is not known,
/// which is an error only when a file needs it.
#[derive(Clone)]
pub struct Logins(Result<HashMap<String, String>, String>);

impl Logins {
    /// Reads `config.yaml` of that ConfigMap, whose name stands in errors.
    pub fn parse(config_map: &str, text: Option<&str>) -> Self {
        let told = |problem: &str| format!("the Vault ConfigMap '{config_map}': {problem}");
        let Some(text) = text else { return Self::unknown(told("it has no config.yaml")) };
        let Ok(value) = super::yaml(text.as_bytes()) else { return Self::unknown(told("config.yaml is not YAML")) };
        let instances = value["instances"].as_array().into_iter().flatten();
        let pair = |instance: &Value| {
            Some((instance["address"].as_str()?.to_owned(), instance["loginPath"].as_str()?.to_owned()))
        };
        Self(Ok(instances.filter_map(pair).collect()))
    }

    /// None, and why.
    pub fn unknown(problem: String) -> Self {
        Self(Err(problem))
    }

    fn path(&self, address: &str) -> Result<&str, String> {
        let paths = self.0.as_ref().map_err(Clone::clone)?;
        let path = paths.get(address).map(String::as_str).filter(|path| !path.is_empty());
        path.ok_or_else(|| format!("{address} is not on the list of Vault servers where ServiceAccounts log in"))
    }
}

/// The servers that a token may be sent to: `SOPS_HC_VAULT_ALLOWLIST`.
#[derive(Default, Debug, PartialEq, Eq)]
enum Allowed {
    /// All of them.
    #[default]
    All,
    /// Those whose address begins with one of these, each of which ends with a slash.
    These(Vec<String>),
}

impl Allowed {
    /// Addresses with commas between them; `all` and `none` are words.
    fn parse(list: &str) -> Result<Self, String> {
        match list {
            "" | "all" => return Ok(Allowed::All),
            "none" => return Ok(Allowed::These(Vec::new())),
            _ => {}
        }
        let entry = |(place, address): (usize, &str)| match address.trim_matches(' ') {
            "" => Err(format!("entry {} is empty", place + 1)),
            address => Ok(format!("{}/", address.strip_suffix('/').unwrap_or(address))),
        };
        list.split(',').enumerate().map(entry).collect::<Result<_, _>>().map(Allowed::These)
    }

    fn allows(&self, address: &str) -> bool {
        match self {
            Allowed::All => true,
            Allowed::These(all) => {
                let address = format!("{}/", address.strip_suffix('/').unwrap_or(address));
                all.iter().any(|allowed| address.starts_with(allowed.as_str()))
            }
        }
    }
}

impl TransitLogin {
    /// Those of Vault's own command: `VAULT_TOKEN`, or the file in which it keeps the token.
    pub fn of_environment(variables: &Variables) -> Self {
        Self::new(Proof::Environment { needs_list: false }, variables)
    }

    /// Likewise for the agent, whose files others write: its own token goes to servers that are on a list, and without a
    /// list to none. Flux sends it to all of them then.
    pub fn of_pod(variables: &Variables) -> Self {
        Self::new(Proof::Environment { needs_list: true }, variables)
    }

    /// A token.
    pub fn of_token(token: &str, variables: &Variables) -> Self {
        Self::new(Proof::Token(Zeroizing::new(token.trim().to_owned())), variables)
    }

    /// As a ServiceAccount, in the role `NAMESPACE_NAME`.
    pub fn of_account(account: &Account, logins: Logins, variables: &Variables) -> Self {
        Self::new(Proof::Account(account.clone(), logins), variables)
    }

    fn new(proof: Proof, variables: &Variables) -> Self {
        Self { proof, variables: variables.clone(), client: Arc::default(), tokens: Arc::default() }
    }

    pub(super) async fn decrypt(&self, network: &Network, key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, String> {
        let plain = self.apply(network, key, "decrypt", "plaintext", json!({"ciphertext": key.wrapped()})).await?;
        network::key(&plain, "Vault")
    }

    pub(super) async fn encrypt(&self, network: &Network, key: &MasterKey, part: &[u8]) -> Result<Wrapped, String> {
        let part = json!({"plaintext": STANDARD.encode(part)});
        let wrapped = self.apply(network, key, "encrypt", "ciphertext", part).await?;
        Ok(Wrapped { text: wrapped.to_string(), version: None })
    }

    /// The field of Vault's answer.
    async fn apply(
        &self,
        network: &Network,
        key: &MasterKey,
        operation: &str,
        field: &str,
        body: Value,
    ) -> Result<Zeroizing<String>, String> {
        let address = key.get("vault_address");
        let list = self.variables.get(LIST);
        if matches!(self.proof, Proof::Environment { needs_list: true }) && list.is_none() {
            return Err(format!("the agent's own token goes to servers alone that {LIST} names"));
        }
        let allowed = Allowed::parse(&list.unwrap_or_default()).map_err(|problem| format!("{LIST}: {problem}"))?;
        if !allowed.allows(address) {
            return Err(format!("{address} is not on the list of Vault servers that may be asked"));
        }
        let path = format!("{}/{operation}/{}", key.get("engine_path").trim_matches('/'), key.get("key_name"));
        let url = url(address, &path).ok_or_else(|| format!("{} is no address of a key", key.name()))?;
        let token = self.token(network, address).await.map_err(|error| format!("no token for Vault: {error}"))?;
        let request = self.post(network, url)?.header("x-vault-token", token.as_str());
        let answer = ask(request.json(&body), told, &[&token]).await;
        let mut answer = answer.map_err(|error| format!("Vault {error}"))?;
        network::text(&mut answer["data"][field], "Vault", field)
    }

    fn post(&self, network: &Network, url: reqwest::Url) -> Result<reqwest::RequestBuilder, String> {
        let client = self.client.get_or_init(|| tls::client(&self.variables)).as_ref().map_err(Clone::clone)?;
        let request = client.as_ref().unwrap_or(&network.http).post(url).header("x-vault-request", "true");
        Ok(match self.variables.get("VAULT_NAMESPACE") {
            Some(namespace) => request.header("x-vault-namespace", namespace),
            None => request,
        })
    }

    async fn token(&self, network: &Network, address: &str) -> Result<Zeroizing<String>, String> {
        match &self.proof {
            Proof::Token(token) => Ok(token.clone()),
            Proof::Environment { .. } => {
                let kept = || std::fs::read_to_string(self.variables.home(".vault-token")?).ok();
                let token = self.variables.get("VAULT_TOKEN").or_else(kept).map(Zeroizing::new);
                let token = token.map(|token| Zeroizing::new(token.trim().to_owned())).filter(|text| !text.is_empty());
                token.ok_or_else(|| {
                    let places = "there is none in VAULT_TOKEN or ~/.vault-token";
                    format!("{places}; for the agent, sops.vault-token in the decryption Secret")
                })
            }
            Proof::Account(account, logins) => {
                if let Some(token) = self.tokens.get(address) {
                    return Ok(token);
                }
                let path = logins.path(address)?;
                let (token, lifetime) = self.log_in(network, address, path, account).await?;
                self.tokens.keep(address, lifetime, token.clone());
                Ok(token)
            }
        }
    }

    /// A token of Vault's for one of a ServiceAccount's.
    async fn log_in(
        &self,
        network: &Network,
        address: &str,
        path: &str,
        account: &Account,
    ) -> Result<(Zeroizing<String>, Duration), String> {
        let url = url(address, path.trim_matches('/')).ok_or_else(|| format!("{path} is no path of {address}"))?;
        let own = (account.issue)(address.to_owned()).await?;
        let body = json!({"role": format!("{}_{}", account.namespace, account.name), "jwt": own.as_str()});
        let answer = ask(self.post(network, url)?.json(&body), told, &[&own]).await;
        let mut answer = answer.map_err(|error| format!("{address} at {path} {error}"))?;
        let lifetime = Duration::from_secs(answer["auth"]["lease_duration"].as_u64().unwrap_or_default());
        let token = network::text(&mut answer["auth"]["client_token"], &format!("{address} at {path}"), "one")?;
        Ok((token, lifetime))
    }
}

/// What Vault says about a refusal.
fn told(body: &Value) -> Option<String> {
    body["errors"].as_array()?.iter().find_map(Value::as_str).map(ToOwned::to_owned)
}

/// A path of a server; none that leads to another place of it.
fn url(address: &str, path: &str) -> Option<reqwest::Url> {
    let mut url = reqwest::Url::parse(address).ok()?;
    let is_plain =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['%', '?', '#', '\\']);
    if !matches!(url.scheme(), "https" | "http") || !path.split('/').all(is_plain) {
        return None;
    }
    url.set_path(&format!("/v1/{path}"));
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_agents_own_token_goes_to_servers_on_a_list_alone() {
        let text = "http://127.0.0.1:1/v1/transit/keys/k";
        let key = MasterKey::parse(sops::KeyKind::Vault, text, "2026-01-01T00:00:00Z").unwrap();
        let network = Network::new(reqwest::Client::new());
        let ask = async |list: &str| {
            let pairs = [("VAULT_TOKEN", "canary-4f1d9c"), (LIST, list)];
            let variables: Variables = pairs.into_iter().map(|(name, text)| (name, text.to_owned())).collect();
            TransitLogin::of_pod(&variables).decrypt(&network, &key).await.unwrap_err()
        };
        assert!(ask("").await.contains(LIST));
        assert!(ask("http://127.0.0.1:2").await.contains("is not on the list"));
        assert!(ask("http://127.0.0.1:1").await.contains("Vault no answer"));
    }

    #[test]
    fn a_token_goes_to_allowed_servers_alone() {
        let allowed = Allowed::parse("https://a.example, https://b.example:8200/sub/").unwrap();
        for (address, is_allowed) in [
            ("https://a.example", true),
            ("https://a.example/", true),
            ("https://a.example.evil", false),
            ("https://b.example:8200", false),
            ("https://b.example:8200/sub", true),
        ] {
            assert_eq!(allowed.allows(address), is_allowed, "{address}");
        }
        assert!(
            Allowed::parse("all").unwrap().allows("http://x") && !Allowed::parse("none").unwrap().allows("http://x")
        );
        assert_eq!(Allowed::parse("https://a,,https://b"), Err("entry 2 is empty".to_owned()));
    }
}
