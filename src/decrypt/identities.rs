//! The private keys of a Kustomization.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifest::Object;
use serde_json::Value;
use zeroize::Zeroizing;

/// What the Secret of `spec.decryption` holds. Keys of kinds that are not supported are an error only when a file needs
/// them: their names are part of that error.
#[derive(Default)]
pub struct Identities {
    keys: sops::Identities,
    hints: Vec<String>,
}

/// A Secret whose keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// A text that holds something else than age identities.
    #[error("failed to import '{key}' data from sops decryption Secret '{secret}': {source}")]
    Identity {
        /// `namespace/name`.
        secret: String,
        /// The Secret's key.
        key: String,
        /// Which line, and why.
        source: sops::IdentityError,
    },
    /// Data that is no text.
    #[error("failed to import '{key}' data from sops decryption Secret '{secret}': not a text")]
    NotText {
        /// `namespace/name`.
        secret: String,
        /// The Secret's key.
        key: String,
    },
}

impl Identities {
    /// Takes the keys of a Secret as Flux takes them: identities of age from keys that end in `.agekey`.
    ///
    /// # Errors
    /// Data under such a key that is no identity.
    pub fn from_secret(secret: &Object) -> Result<Self, SecretError> {
        let mut identities = Identities::default();
        let name = format!("{}/{}", secret.namespace(), secret.name());
        for (key, text) in entries(secret) {
            let text = text.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
            match (kind(&key), text) {
                (Kind::Age, None) => return Err(SecretError::NotText { secret: name, key }),
                (Kind::Age, Some(text)) => {
                    let added = identities.keys.add_age(&key, text);
                    added.map_err(|source| SecretError::Identity { secret: name.clone(), key, source })?;
                }
                (Kind::Unsupported(what), _) => {
                    identities.hints.push(format!("the Secret's key '{key}' holds {what}, which is not supported yet"));
                }
                (Kind::Unknown, Some(text)) if text.contains("AGE-SECRET-KEY-") => {
                    let hint = "holds an age identity, but Flux reads keys that end in '.agekey' alone: rename it";
                    identities.hints.push(format!("the Secret's key '{key}' {hint}"));
                }
                (Kind::Unknown, _) => {}
            }
        }
        Ok(identities)
    }

    /// What opens documents.
    pub(super) fn keys(&self) -> &sops::Identities {
        &self.keys
    }

    /// What may be the reason that a data key could not be recovered, to be put behind the error.
    pub(super) fn hint(&self, error: &sops::Error) -> String {
        match (error, self.hints.as_slice()) {
            (sops::Error::DataKey(_), [_, ..]) => format!(" ({})", self.hints.join("; ")),
            _ => String::new(),
        }
    }
}

enum Kind {
    Age,
    Unsupported(&'static str),
    Unknown,
}

fn kind(key: &str) -> Kind {
    match key {
        "sops.vault-token" => Kind::Unsupported("a Vault token"),
        "sops.aws-kms" => Kind::Unsupported("credentials of AWS KMS"),
        "sops.azure-kv" => Kind::Unsupported("credentials of Azure Key Vault"),
        "sops.gcp-kms" => Kind::Unsupported("credentials of GCP KMS"),
        key if key.ends_with(".agekey") => Kind::Age,
        key if key.ends_with(".asc") => Kind::Unsupported("a PGP key"),
        _ => Kind::Unknown,
    }
}

/// Keys and bytes of a Secret, decoded.
fn entries(secret: &Object) -> Vec<(String, Option<Zeroizing<Vec<u8>>>)> {
    let field = |name: &str| secret.value().get(name).and_then(Value::as_object).into_iter().flatten();
    let data = field("data").map(|(key, value)| {
        let bytes = value.as_str().and_then(|text| STANDARD.decode(text).ok());
        (key.clone(), bytes.map(Zeroizing::new))
    });
    let texts = field("stringData")
        .map(|(key, value)| (key.clone(), value.as_str().map(|text| Zeroizing::new(text.as_bytes().to_vec()))));
    data.chain(texts).collect()
}
