//! In place of the vaults of a cloud whose feature is off: a file that needs one is told so.

use sops::{KeyKind, MasterKey, Wrapped};
use zeroize::Zeroizing;

use super::identity::{Account, Variables};
use super::network::Network;

/// Nobody.
#[derive(Clone)]
pub struct Absent;

#[expect(clippy::unused_async, reason = "it stands in for one that asks")]
impl Absent {
    /// Nobody.
    pub fn of_environment(_: &Variables) -> Self {
        Self
    }

    /// Nobody.
    pub fn of_pod(_: &Variables) -> Self {
        Self
    }

    /// Nobody.
    pub fn of_account(_: &Account, _: &Variables) -> Self {
        Self
    }

    /// Nobody.
    ///
    /// # Errors
    /// None: an error only when a file needs it.
    pub fn parse(_: &[u8], _: &Variables) -> Result<Self, String> {
        Ok(Self)
    }

    pub(super) async fn decrypt(&self, _: &Network, key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, String> {
        Err(why(key))
    }

    pub(super) async fn encrypt(&self, _: &Network, key: &MasterKey, _: &[u8]) -> Result<Wrapped, String> {
        Err(why(key))
    }
}

fn why(key: &MasterKey) -> String {
    let (cloud, feature) = match key.kind() {
        KeyKind::AwsKms => ("AWS KMS", "aws-kms"),
        _ => ("Google Cloud KMS", "gcp-kms"),
    };
    format!("this build has no {cloud}: build it with the feature {feature}")
}
