//! Who can open a document: master keys, each of which wraps the data key or a part of it.

mod address;
mod age;
mod identities;
#[cfg_attr(not(feature = "pgp"), path = "key/pgp_absent.rs")]
mod pgp;
mod rsa;
pub(crate) mod shamir;

use std::fmt;

pub use address::AddressError;
pub use age::{IdentityError, check_recipient, generate, generate_post_quantum, open_age};
pub use identities::{Identities, Prompt, Service, Wrapped};

/// What wraps a data key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// age: X25519, post-quantum, SSH.
    Age,
    /// OpenPGP.
    Pgp,
    /// AWS KMS.
    AwsKms,
    /// Google Cloud KMS.
    GcpKms,
    /// Huawei Cloud KMS.
    HuaweiKms,
    /// Azure Key Vault.
    AzureKeyVault,
    /// The transit engine of HashiCorp Vault and OpenBao.
    Vault,
}

impl KeyKind {
    /// In the order of a group.
    pub(crate) const IN_ORDER: [KeyKind; 7] = [
        KeyKind::AwsKms,
        KeyKind::GcpKms,
        KeyKind::HuaweiKms,
        KeyKind::AzureKeyVault,
        KeyKind::Vault,
        KeyKind::Pgp,
        KeyKind::Age,
    ];

    /// The list of the metadata that holds keys of this kind.
    pub(crate) fn list(self) -> &'static str {
        match self {
            KeyKind::Age => "age",
            KeyKind::Pgp => "pgp",
            KeyKind::AwsKms => "kms",
            KeyKind::GcpKms => "gcp_kms",
            KeyKind::HuaweiKms => "hckms",
            KeyKind::AzureKeyVault => "azure_kv",
            KeyKind::Vault => "hc_vault",
        }
    }

    /// The kind whose keys stand in a list of this name in the metadata: `age`, `pgp`, `kms`, `gcp_kms`, ...
    #[must_use]
    pub fn of_list(name: &str) -> Option<Self> {
        Self::IN_ORDER.into_iter().find(|kind| kind.list() == name)
    }

    /// The fields of a key beside the wrapped one.
    pub(crate) fn fields(self) -> &'static [&'static str] {
        match self {
            KeyKind::Age => &["recipient"],
            KeyKind::Pgp => &["created_at", "fp"],
            KeyKind::AwsKms => &["arn", "aws_profile", "created_at", "role"],
            KeyKind::GcpKms => &["created_at", "resource_id"],
            KeyKind::HuaweiKms => &["created_at", "key_id"],
            KeyKind::AzureKeyVault => &["created_at", "name", "vault_url", "version"],
            KeyKind::Vault => &["created_at", "engine_path", "key_name", "vault_address"],
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyKind::Age => "age recipient",
            KeyKind::Pgp => "PGP key",
            KeyKind::AwsKms => "AWS KMS key",
            KeyKind::GcpKms => "GCP KMS key",
            KeyKind::HuaweiKms => "Huawei Cloud KMS key",
            KeyKind::AzureKeyVault => "Azure Key Vault key",
            KeyKind::Vault => "Vault transit key",
        })
    }
}

/// A key that a document is encrypted for, with the data key that it wraps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterKey {
    pub(crate) kind: KeyKind,
    /// Values of [`KeyKind::fields`].
    fields: Vec<(&'static str, String)>,
    /// The encryption context of AWS KMS.
    pub(crate) context: Vec<(String, String)>,
    pub(crate) wrapped: String,
}

impl MasterKey {
    pub(crate) fn new(kind: KeyKind) -> Self {
        MasterKey { kind, fields: Vec::new(), context: Vec::new(), wrapped: String::new() }
    }

    /// A key for an age recipient, which wraps nothing yet.
    #[must_use]
    pub fn age(recipient: &str) -> Self {
        let mut key = MasterKey::new(KeyKind::Age);
        key.set("recipient", recipient.trim().to_owned());
        key
    }

    /// What wraps the data key.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The encryption context of AWS KMS.
    #[must_use]
    pub fn context(&self) -> &[(String, String)] {
        &self.context
    }

    /// What it made of the data key, or of a part of one, as the metadata hold it.
    #[must_use]
    pub fn wrapped(&self) -> &str {
        &self.wrapped
    }

    /// The recipient, fingerprint or address, as sops shows it.
    #[must_use]
    pub fn name(&self) -> String {
        match self.kind {
            KeyKind::Age => self.get("recipient").to_owned(),
            KeyKind::Pgp => self.get("fp").to_owned(),
            KeyKind::AwsKms => self.aws_name(),
            KeyKind::GcpKms => self.get("resource_id").to_owned(),
            KeyKind::HuaweiKms => self.get("key_id").to_owned(),
            KeyKind::AzureKeyVault => {
                format!("{}/keys/{}/{}", self.get("vault_url"), self.get("name"), self.get("version"))
            }
            KeyKind::Vault => {
                format!("{}/v1/{}/keys/{}", self.get("vault_address"), self.get("engine_path"), self.get("key_name"))
            }
        }
    }

    /// With role, encryption context and profile, which tell keys apart.
    fn aws_name(&self) -> String {
        let mut name = self.get("arn").to_owned();
        if !self.get("role").is_empty() {
            name = format!("{name}+{}", self.get("role"));
        }
        let context: Vec<String> = self.context.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        match (context.join(","), self.get("aws_profile")) {
            (context, "") if context.is_empty() => name,
            (context, "") => format!("{name}|{context}"),
            (context, profile) => format!("{name}|{context}|{profile}"),
        }
    }

    /// One of the fields that the metadata hold, by its name there; empty where it has none.
    #[must_use]
    pub fn get(&self, field: &str) -> &str {
        self.fields.iter().find(|(name, _)| *name == field).map_or("", |(_, text)| text)
    }

    pub(crate) fn set(&mut self, field: &'static str, text: String) {
        self.fields.retain(|(name, _)| *name != field);
        self.fields.push((field, text));
    }
}
