//! Keys as people write them, on a command line and in `.sops.yaml`.

use super::{KeyKind, MasterKey};

/// A text that names no key of its kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is no {kind}: {problem}")]
pub struct AddressError {
    text: String,
    kind: KeyKind,
    problem: &'static str,
}

impl MasterKey {
    /// A key by its recipient, fingerprint, ARN, resource, address or URI, made at a time of RFC 3339. It wraps nothing yet.
    ///
    /// The ARN of AWS may have a role behind it (`ARN+ROLE`). The address of Azure may lack the version.
    ///
    /// # Errors
    /// When the text is no such address.
    pub fn parse(kind: KeyKind, text: &str, now: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let mut key = MasterKey::new(kind);
        if kind != KeyKind::Age {
            key.set("created_at", now.to_owned());
        }
        let refused = |problem| AddressError { text: text.to_owned(), kind, problem };
        match kind {
            KeyKind::Age => key.set("recipient", text.to_owned()),
            KeyKind::Pgp => key.set("fp", text.replace(' ', "")),
            KeyKind::AwsKms => key.set_arn(&text.replace(' ', "")),
            KeyKind::GcpKms => key.set("resource_id", text.replace(' ', "")),
            KeyKind::HuaweiKms => {
                let parts = text.split_once(':').map(|(region, id)| (region.trim(), id.trim()));
                if !parts.is_some_and(|(region, id)| !region.is_empty() && !id.is_empty()) {
                    return Err(refused("it must be REGION:UUID"));
                }
                key.set("key_id", text.to_owned());
            }
            KeyKind::AzureKeyVault => {
                let [vault, name, version] =
                    azure(text).ok_or_else(|| refused("it must be https://VAULT/keys/NAME"))?;
                key.set("name", name.to_owned());
                key.set("vault_url", vault.to_owned());
                key.set("version", version.to_owned());
            }
            KeyKind::Vault => {
                let (address, engine, name) = vault(text).map_err(refused)?;
                key.set("engine_path", engine);
                key.set("key_name", name);
                key.set("vault_address", address);
            }
        }
        Ok(key)
    }

    /// The profile of AWS and the encryption context.
    #[must_use]
    pub fn with_aws(mut self, profile: &str, context: Vec<(String, String)>) -> Self {
        self.set("aws_profile", profile.to_owned());
        self.context = context;
        self
    }

    fn set_arn(&mut self, arn: &str) {
        let (arn, role) = match arn.split_once("+arn:") {
            Some((key, role)) if !key.is_empty() => (key, format!("arn:{role}")),
            _ => (arn, String::new()),
        };
        self.set("arn", arn.to_owned());
        self.set("role", role);
    }
}

fn azure(text: &str) -> Option<[&str; 3]> {
    let (host, path) = text.strip_prefix("https://")?.split_once("/keys/")?;
    let vault = text.get(.."https://".len() + host.len())?;
    let mut parts = path.split('/');
    let (name, version) = (parts.next()?, parts.next().unwrap_or_default());
    (!host.is_empty() && !host.contains('/') && !name.is_empty() && parts.next().is_none())
        .then_some([vault, name, version])
}

/// Address, engine and name of `https://HOST/v1/ENGINE/keys/NAME`.
fn vault(text: &str) -> Result<(String, String, String), &'static str> {
    const FORM: &str = "it must be like https://vault.example.com:8200/v1/transit/keys/NAME";
    let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
    let (host, path) = rest.split_once('/').ok_or(FORM)?;
    let parts: Vec<&str> = path.trim_matches('/').split('/').filter(|part| !part.is_empty()).collect();
    let [version, engine @ .., _, name] = parts.as_slice() else { return Err(FORM) };
    let is_version = version.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok());
    if !is_version
        && engine.iter().any(|part| part.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok()))
    {
        return Err("a Vault below a prefix is not supported");
    }
    if !is_version || engine.is_empty() {
        return Err(FORM);
    }
    Ok((format!("{scheme}://{host}"), engine.join("/"), (*name).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(kind: KeyKind, text: &str) -> Option<String> {
        MasterKey::parse(kind, text, "2026-01-01T00:00:00Z").ok().map(|key| key.name())
    }

    #[test]
    fn an_address_is_read_as_sops_reads_it() {
        for (kind, text, wanted) in [
            (KeyKind::Age, " age1x ", Some("age1x")),
            (KeyKind::Pgp, "ACC8 20E7", Some("ACC820E7")),
            (KeyKind::AwsKms, "arn:aws:kms:a+arn:aws:iam::1:role/x", Some("arn:aws:kms:a+arn:aws:iam::1:role/x")),
            (KeyKind::AzureKeyVault, "https://v.vault.azure.net/keys/k/1", Some("https://v.vault.azure.net/keys/k/1")),
            (KeyKind::AzureKeyVault, "https://v.vault.azure.net/keys/k", Some("https://v.vault.azure.net/keys/k/")),
            (KeyKind::AzureKeyVault, "https://v.vault.azure.net/secrets/k/1", None),
            (KeyKind::AzureKeyVault, "http://v/keys/k/1", None),
            (KeyKind::Vault, "https://v:8200/v1/transit/keys/dev", Some("https://v:8200/v1/transit/keys/dev")),
            (KeyKind::Vault, "https://v/v1/a/b/keys/dev", Some("https://v/v1/a/b/keys/dev")),
            (KeyKind::Vault, "https://v/prefix/v1/transit/keys/dev", None),
            (KeyKind::Vault, "https://v/transit/keys/dev", None),
            (KeyKind::Vault, "v1/transit/keys/dev", None),
            (KeyKind::HuaweiKms, "eu-1:abc", Some("eu-1:abc")),
            (KeyKind::HuaweiKms, "abc", None),
        ] {
            assert_eq!(name(kind, text).as_deref(), wanted, "{text}");
        }
    }
}
