//! The private keys of a Kustomization.

use std::sync::Arc;

use manifest::Object;
use serde_json::Value;
use sops::{Identities as Keys, IdentityError};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::vaults::{AwsLogin, AzureLogin, Credentials, GcpLogin, TransitLogin, Variables, Vaults};

/// What the Secret of `spec.decryption` holds. Keys of kinds that are not supported are an error only when a file needs
/// them: their names are part of that error.
#[derive(Default)]
pub struct Identities {
    keys: Keys,
    credentials: Credentials,
    hints: Vec<String>,
}

/// A Secret whose keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// A text that holds something else than the keys that its name promises.
    #[error("failed to import '{key}' data from sops decryption Secret '{secret}': {source}")]
    Identity {
        /// `namespace/name`.
        secret: String,
        /// The Secret's key.
        key: String,
        /// Which line, and why.
        source: IdentityError,
    },
    /// Credentials that cannot be used.
    #[error("failed to import '{key}' data from sops decryption Secret '{secret}': {problem}")]
    Credentials {
        /// `namespace/name`.
        secret: String,
        /// The Secret's key.
        key: String,
        /// What is wrong.
        problem: String,
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
    /// Takes the keys of a Secret as Flux takes them, by the names of its entries: age identities from `*.agekey`, PGP keys
    /// from `*.asc`, and credentials of key vaults, whose addresses the environment may tell.
    ///
    /// # Errors
    /// Data under such a name that is something else.
    pub fn from_secret(secret: &Object, variables: &Variables) -> Result<Self, SecretError> {
        Self::take(secret, variables, |_| true)
    }

    /// Takes the age identities of a Secret: of Flux's global one, which may hold no others.
    ///
    /// # Errors
    /// As [`Self::from_secret`].
    pub fn from_age_secret(secret: &Object, variables: &Variables) -> Result<Self, SecretError> {
        Self::take(secret, variables, |kind| matches!(kind, Kind::Age | Kind::Unknown))
    }

    fn take(secret: &Object, variables: &Variables, is_read: fn(&Kind) -> bool) -> Result<Self, SecretError> {
        let mut identities = Identities::default();
        let name = format!("{}/{}", secret.namespace(), secret.name());
        for (key, text) in entries(secret) {
            let kind = kind(&key);
            if !is_read(&kind) {
                continue;
            }
            let bytes = text.as_deref().map(Vec::as_slice);
            let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
            let not_text = || SecretError::NotText { secret: name.clone(), key: key.clone() };
            match kind {
                Kind::Age => identities.add(&name, &key, text.ok_or_else(not_text)?, Keys::add_age)?,
                Kind::Pgp => identities.add(&name, &key, text.ok_or_else(not_text)?, Keys::add_pgp)?,
                Kind::Login(read) => {
                    let error = |problem| SecretError::Credentials { secret: name.clone(), key: key.clone(), problem };
                    let login = read(bytes.unwrap_or_default(), variables).map_err(error)?;
                    identities.credentials = login.or(std::mem::take(&mut identities.credentials));
                }
                Kind::Unknown if text.is_some_and(|text| text.contains("AGE-SECRET-KEY-")) => {
                    let hint = "holds an age identity, but Flux reads keys that end in '.agekey' alone: rename it";
                    identities.hints.push(format!("the Secret's key '{key}' {hint}"));
                }
                Kind::Unknown if text.is_some_and(|text| text.contains("-----BEGIN PGP PRIVATE KEY")) => {
                    let hint = "holds a PGP key, but Flux reads keys that end in '.asc' alone: rename it";
                    identities.hints.push(format!("the Secret's key '{key}' {hint}"));
                }
                Kind::Unknown => {}
            }
        }
        Ok(identities)
    }

    fn add(&mut self, secret: &str, key: &str, text: &str, read: Read) -> Result<(), SecretError> {
        let error = |source| SecretError::Identity { secret: secret.to_owned(), key: key.to_owned(), source };
        read(&mut self.keys, key, text).map_err(error)
    }

    /// Has key vaults open what they wrap. `others` is who we are where the Secret does not say it.
    pub fn reach_vaults(&mut self, http: reqwest::Client, runtime: Handle, others: Credentials) {
        let credentials = std::mem::take(&mut self.credentials).or(others);
        self.keys.set_service(Arc::new(Vaults::new(http, runtime, credentials)));
    }

    /// What opens documents.
    pub(super) fn keys(&self) -> &Keys {
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

/// How the text of an entry becomes keys.
type Read = fn(&mut Keys, &str, &str) -> Result<(), IdentityError>;

/// How the bytes of an entry become credentials.
type ReadLogin = fn(&[u8], &Variables) -> Result<Credentials, String>;

enum Kind {
    Age,
    Pgp,
    Login(ReadLogin),
    Unknown,
}

fn kind(key: &str) -> Kind {
    match key {
        "sops.vault-token" => Kind::Login(|bytes, variables| {
            let token = std::str::from_utf8(bytes).map_err(|_| "not a text")?;
            Ok(Credentials { transit: Some(TransitLogin::of_token(token, variables)), ..Credentials::default() })
        }),
        "sops.azure-kv" => Kind::Login(|bytes, variables| {
            Ok(Credentials { azure: Some(AzureLogin::parse(bytes, variables)?), ..Credentials::default() })
        }),
        "sops.aws-kms" => Kind::Login(|bytes, variables| {
            Ok(Credentials { aws: Some(AwsLogin::parse(bytes, variables)?), ..Credentials::default() })
        }),
        "sops.gcp-kms" => Kind::Login(|bytes, variables| {
            Ok(Credentials { gcp: Some(GcpLogin::parse(bytes, variables)?), ..Credentials::default() })
        }),
        key if key.ends_with(".agekey") => Kind::Age,
        key if key.ends_with(".asc") => Kind::Pgp,
        _ => Kind::Unknown,
    }
}

/// Keys and bytes of a Secret, decoded.
fn entries(secret: &Object) -> Vec<(String, Option<Zeroizing<Vec<u8>>>)> {
    let field = |name: &str| secret.value().get(name).and_then(Value::as_object).into_iter().flatten();
    let data = field("data").map(|(key, value)| {
        let bytes = value.as_str().and_then(|text| manifest::decoded(text).ok());
        (key.clone(), bytes.map(Zeroizing::new))
    });
    let texts = field("stringData")
        .map(|(key, value)| (key.clone(), value.as_str().map(|text| Zeroizing::new(text.as_bytes().to_vec()))));
    data.chain(texts).collect()
}
