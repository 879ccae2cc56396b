//! Keys that are named on the command line.

use clap::Args;
use sops::{KeyKind, MasterKey};

/// The keys that a file is encrypted for.
#[derive(Args)]
pub(super) struct Recipients {
    /// age recipients, with commas between them.
    #[arg(short = 'a', long, value_name = "RECIPIENTS", env = "SOPS_AGE_RECIPIENTS")]
    age: Option<String>,
    /// Fingerprints of PGP keys.
    #[arg(short = 'p', long, value_name = "FINGERPRINTS", env = "SOPS_PGP_FP")]
    pgp: Option<String>,
    /// Addresses of Azure Key Vault keys: https://VAULT/keys/NAME/VERSION.
    #[arg(long, value_name = "URLS", env = "SOPS_AZURE_KEYVAULT_URLS")]
    azure_kv: Option<String>,
    /// Addresses of Vault's transit keys: https://VAULT/v1/ENGINE/keys/NAME.
    #[arg(long, value_name = "URIS", env = "SOPS_VAULT_URIS")]
    hc_vault_transit: Option<String>,
    /// ARNs of AWS KMS keys.
    #[arg(short = 'k', long, value_name = "ARNS", env = "SOPS_KMS_ARN")]
    kms: Option<String>,
    /// Resource IDs of GCP KMS keys.
    #[arg(long, value_name = "IDS", env = "SOPS_GCP_KMS_IDS")]
    gcp_kms: Option<String>,
    /// Keys of Huawei Cloud KMS: REGION:UUID.
    #[arg(long, value_name = "IDS", env = "SOPS_HUAWEICLOUD_KMS_IDS")]
    hckms: Option<String>,
    /// The AWS profile for AWS KMS.
    #[arg(long, value_name = "NAME")]
    aws_profile: Option<String>,
    /// Encryption context of AWS KMS: KEY:VALUE, with commas between them.
    #[arg(long, value_name = "PAIRS")]
    encryption_context: Option<String>,
}

impl Recipients {
    /// One group of all keys that are named, in the order of sops.
    pub(super) fn keys(&self, now: &str) -> anyhow::Result<Vec<MasterKey>> {
        let lists = [
            (KeyKind::AwsKms, &self.kms),
            (KeyKind::GcpKms, &self.gcp_kms),
            (KeyKind::HuaweiKms, &self.hckms),
            (KeyKind::AzureKeyVault, &self.azure_kv),
            (KeyKind::Pgp, &self.pgp),
            (KeyKind::Vault, &self.hc_vault_transit),
            (KeyKind::Age, &self.age),
        ];
        let aws = Aws { profile: self.aws_profile.as_deref(), context: self.encryption_context.as_deref() };
        let lists = lists.map(|(kind, list)| (kind, list.as_deref()));
        keys(&lists, &aws, now)
    }
}

/// What all AWS keys of a command have in common.
struct Aws<'a> {
    profile: Option<&'a str>,
    context: Option<&'a str>,
}

fn keys(lists: &[(KeyKind, Option<&str>)], aws: &Aws<'_>, now: &str) -> anyhow::Result<Vec<MasterKey>> {
    let context = aws.context.map(pairs).transpose()?.unwrap_or_default();
    let mut keys = Vec::new();
    for (kind, list) in lists {
        for text in list.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|text| !text.is_empty()) {
            let key = MasterKey::parse(*kind, text, now)?;
            let is_aws = *kind == KeyKind::AwsKms;
            keys.push(if is_aws { key.with_aws(aws.profile.unwrap_or_default(), context.clone()) } else { key });
        }
    }
    Ok(keys)
}

fn pairs(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let pair = |pair: &str| pair.split_once(':').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let pairs: Option<Vec<_>> = text.split(',').map(pair).collect();
    let mut pairs = pairs.ok_or_else(|| anyhow::anyhow!("invalid KMS encryption context format"))?;
    pairs.sort();
    Ok(pairs)
}

/// Keys that come to a file and keys that leave it.
#[derive(Args)]
pub(super) struct Changes {
    /// age recipients to add, with commas between them.
    #[arg(long, value_name = "RECIPIENTS")]
    add_age: Option<String>,
    /// age recipients to remove.
    #[arg(long, value_name = "RECIPIENTS")]
    rm_age: Option<String>,
    /// Fingerprints of PGP keys to add.
    #[arg(long, value_name = "FINGERPRINTS")]
    add_pgp: Option<String>,
    /// Fingerprints of PGP keys to remove.
    #[arg(long, value_name = "FINGERPRINTS")]
    rm_pgp: Option<String>,
    /// Azure Key Vault keys to add.
    #[arg(long, value_name = "URLS")]
    add_azure_kv: Option<String>,
    /// Azure Key Vault keys to remove.
    #[arg(long, value_name = "URLS")]
    rm_azure_kv: Option<String>,
    /// Vault's transit keys to add.
    #[arg(long, value_name = "URIS")]
    add_hc_vault_transit: Option<String>,
    /// Vault's transit keys to remove.
    #[arg(long, value_name = "URIS")]
    rm_hc_vault_transit: Option<String>,
    /// AWS KMS keys to add.
    #[arg(long, value_name = "ARNS")]
    add_kms: Option<String>,
    /// AWS KMS keys to remove.
    #[arg(long, value_name = "ARNS")]
    rm_kms: Option<String>,
    /// GCP KMS keys to add.
    #[arg(long, value_name = "IDS")]
    add_gcp_kms: Option<String>,
    /// GCP KMS keys to remove.
    #[arg(long, value_name = "IDS")]
    rm_gcp_kms: Option<String>,
    /// Huawei Cloud KMS keys to add.
    #[arg(long, value_name = "IDS")]
    add_hckms: Option<String>,
    /// Huawei Cloud KMS keys to remove.
    #[arg(long, value_name = "IDS")]
    rm_hckms: Option<String>,
    /// The AWS profile for AWS KMS.
    #[arg(long, value_name = "NAME")]
    aws_profile: Option<String>,
    /// Encryption context of AWS KMS: KEY:VALUE, with commas between them.
    #[arg(long, value_name = "PAIRS")]
    encryption_context: Option<String>,
}

impl Changes {
    /// The keys to add, and those to remove.
    pub(super) fn keys(&self, now: &str) -> anyhow::Result<(Vec<MasterKey>, Vec<MasterKey>)> {
        let lists = [
            (KeyKind::AwsKms, &self.add_kms, &self.rm_kms),
            (KeyKind::Pgp, &self.add_pgp, &self.rm_pgp),
            (KeyKind::GcpKms, &self.add_gcp_kms, &self.rm_gcp_kms),
            (KeyKind::HuaweiKms, &self.add_hckms, &self.rm_hckms),
            (KeyKind::AzureKeyVault, &self.add_azure_kv, &self.rm_azure_kv),
            (KeyKind::Vault, &self.add_hc_vault_transit, &self.rm_hc_vault_transit),
            (KeyKind::Age, &self.add_age, &self.rm_age),
        ];
        let aws = Aws { profile: self.aws_profile.as_deref(), context: self.encryption_context.as_deref() };
        let added = lists.map(|(kind, added, _)| (kind, added.as_deref()));
        let removed = lists.map(|(kind, _, removed)| (kind, removed.as_deref()));
        Ok((keys(&added, &aws, now)?, keys(&removed, &aws, now)?))
    }
}
