//! The transit engine of Vault and OpenBao: a key that never leaves, by two calls.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sops::{MasterKey, Wrapped};
use zeroize::Zeroizing;

/// Who we are towards Vault, and which servers are told.
#[derive(Default)]
pub struct TransitLogin {
    /// The token.
    pub token: Option<Zeroizing<String>>,
    /// `VAULT_NAMESPACE`.
    pub namespace: Option<String>,
    /// The servers that may be asked.
    pub allowed: Allowed,
}

/// The servers that a token may be sent to: `SOPS_HC_VAULT_ALLOWLIST`.
#[derive(Default, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// All of them.
    #[default]
    All,
    /// Those whose address begins with one of these, each of which ends with a slash.
    These(Vec<String>),
}

impl Allowed {
    /// Addresses with commas between them; `all` and `none` are words.
    ///
    /// # Errors
    /// An empty entry.
    pub fn parse(list: &str) -> Result<Self, String> {
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
    pub(super) async fn decrypt(&self, http: &reqwest::Client, key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, String> {
        let plain = self.apply(http, key, "decrypt", "plaintext", json!({"ciphertext": key.wrapped()})).await?;
        STANDARD.decode(plain.as_bytes()).map(Zeroizing::new).map_err(|_| "Vault answered no key".to_owned())
    }

    pub(super) async fn encrypt(
        &self,
        http: &reqwest::Client,
        key: &MasterKey,
        part: &[u8],
    ) -> Result<Wrapped, String> {
        let part = json!({"plaintext": STANDARD.encode(part)});
        let wrapped = self.apply(http, key, "encrypt", "ciphertext", part).await?;
        Ok(Wrapped { text: wrapped.to_string(), version: None })
    }

    /// The field of Vault's answer.
    async fn apply(
        &self,
        http: &reqwest::Client,
        key: &MasterKey,
        operation: &str,
        field: &str,
        body: Value,
    ) -> Result<Zeroizing<String>, String> {
        let address = key.get("vault_address");
        if !self.allowed.allows(address) {
            return Err(format!("{address} is not on the list of Vault servers that may be asked"));
        }
        let token = self.token.as_ref().ok_or(
            "no token for Vault was given: VAULT_TOKEN or ~/.vault-token; for the agent sops.vault-token in the \
             decryption Secret",
        )?;
        let mut url = reqwest::Url::parse(address).map_err(|_| format!("{address} is no address of a Vault server"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(format!("{address} is no address of a Vault server"));
        }
        let path = format!("{}/{operation}/{}", key.get("engine_path").trim_matches('/'), key.get("key_name"));
        // A file must not lead a token to another place of its server.
        if path
            .split('/')
            .any(|part| part.is_empty() || part == "." || part == ".." || part.contains(['%', '?', '#', '\\']))
        {
            return Err(format!("{} is no address of a key", key.name()));
        }
        url.set_path(&format!("/v1/{path}"));
        let mut request = http.post(url).header("x-vault-token", token.trim()).header("x-vault-request", "true");
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        let told = |body: &Value| body["errors"].as_array()?.iter().find_map(Value::as_str).map(ToOwned::to_owned);
        let answer = super::ask(request.json(&body), told).await;
        let mut answer = answer.map_err(|error| format!("Vault {error}"))?;
        match answer["data"][field].take() {
            Value::String(text) if !text.is_empty() => Ok(Zeroizing::new(text)),
            _ => Err(format!("Vault answered without {field}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
