//! In place of Google Cloud KMS, where its feature is off.

use sops::{MasterKey, Wrapped};
use zeroize::Zeroizing;

use super::identity::{Account, Variables};
use super::network::Network;

const ABSENT: &str = "this build has no Google Cloud KMS: build it with the feature gcp-kms";

/// Nobody.
#[derive(Clone)]
pub struct GcpLogin;

#[expect(clippy::unused_async, reason = "it stands in for one that asks")]
impl GcpLogin {
    /// Nobody.
    pub fn of_environment(_: &Variables) -> Self {
        Self
    }

    /// Nobody.
    ///
    /// # Errors
    /// None: an error only when a file needs it.
    pub fn parse(_: &[u8], _: &Variables) -> Result<Self, String> {
        Ok(Self)
    }

    /// Nobody.
    pub fn of_account(_: &Account, _: &Variables) -> Self {
        Self
    }

    pub(super) async fn decrypt(&self, _: &Network, _: &MasterKey) -> Result<Zeroizing<Vec<u8>>, String> {
        Err(ABSENT.to_owned())
    }

    pub(super) async fn encrypt(&self, _: &Network, _: &MasterKey, _: &[u8]) -> Result<Wrapped, String> {
        Err(ABSENT.to_owned())
    }
}
