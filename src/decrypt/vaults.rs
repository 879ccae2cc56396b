//! Data keys that a key vault wraps: Azure Key Vault, AWS KMS, Google Cloud KMS, and the transit engine of Vault and
//! OpenBao.
//!
//! # Guarantees
//! A file says by which vault its data key is wrapped, and whoever writes files is not whoever holds credentials. So a
//! token of Entra goes to hosts of Azure's vaults alone, one of Google's to Google's hosts or the endpoint of the
//! environment, a signature of AWS to Amazon's hosts or likewise, and a token of Vault to the addresses that are allowed,
//! which are all of them when none is named: sops' own default, but not for the token of the agent's pod.
//!
//! Credentials are looked for where the cloud's own SDK looks, when a file needs them, and each request ends in time.
//!
//! # Errors
//! Name the vault and what it answered; never what was sent.

#[cfg(not(all(feature = "aws-kms", feature = "gcp-kms")))]
mod absent;
#[cfg(feature = "aws-kms")]
mod aws;
mod azure;
#[cfg(feature = "gcp-kms")]
mod gcp;
mod identity;
mod jwt;
mod network;
mod transit;

use serde_json::Value;
use sops::{KeyKind, KeyProblem, MasterKey, Service, Wrapped};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

#[cfg(not(feature = "aws-kms"))]
pub use absent::Absent as AwsLogin;
#[cfg(not(feature = "gcp-kms"))]
pub use absent::Absent as GcpLogin;
#[cfg(feature = "aws-kms")]
pub use aws::AwsLogin;
pub use azure::AzureLogin;
#[cfg(feature = "gcp-kms")]
pub use gcp::GcpLogin;
pub use identity::{Account, Issue, Variables};
use network::Network;
pub use transit::{Logins, TransitLogin};

/// Who we are towards vaults.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Towards Azure Key Vault.
    pub azure: Option<AzureLogin>,
    /// Towards AWS.
    pub aws: Option<AwsLogin>,
    /// Towards Google.
    pub gcp: Option<GcpLogin>,
    /// Towards Vault.
    pub transit: Option<TransitLogin>,
}

impl Credentials {
    /// Those of the user who runs a command.
    pub fn of_environment(variables: &Variables) -> Self {
        Self {
            azure: Some(AzureLogin::of_environment(variables)),
            aws: Some(AwsLogin::of_environment(variables)),
            gcp: Some(GcpLogin::of_environment(variables)),
            transit: Some(TransitLogin::of_environment(variables)),
        }
    }

    /// Those of the pod that the agent runs in.
    pub fn of_pod(variables: &Variables) -> Self {
        let (aws, transit) = (AwsLogin::of_pod(variables), TransitLogin::of_pod(variables));
        Self { aws: Some(aws), transit: Some(transit), ..Self::of_environment(variables) }
    }

    /// Those of a ServiceAccount.
    pub fn of_account(account: &Account, variables: &Variables) -> Self {
        Self {
            azure: Some(AzureLogin::of_account(account, variables)),
            aws: Some(AwsLogin::of_account(account, variables)),
            gcp: Some(GcpLogin::of_account(account, variables)),
            transit: None,
        }
    }

    /// Others' where it has none.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            azure: self.azure.or(others.azure),
            aws: self.aws.or(others.aws),
            gcp: self.gcp.or(others.gcp),
            transit: self.transit.or(others.transit),
        }
    }
}

/// The vaults that hold keys. Asks them on the runtime, from threads that may block.
pub struct Vaults {
    network: Network,
    runtime: Handle,
    credentials: Credentials,
}

impl Vaults {
    /// Connects to nothing yet. `http` must not follow redirects.
    pub fn new(http: reqwest::Client, runtime: Handle, credentials: Credentials) -> Self {
        Self { network: Network::new(http), runtime, credentials }
    }

    async fn open(&self, key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, String> {
        let (network, who, kind) = (&self.network, &self.credentials, key.kind());
        match kind {
            KeyKind::AzureKeyVault => login(kind, who.azure.as_ref())?.decrypt(network, key).await,
            KeyKind::AwsKms => login(kind, who.aws.as_ref())?.decrypt(network, key).await,
            KeyKind::GcpKms => login(kind, who.gcp.as_ref())?.decrypt(network, key).await,
            KeyKind::Vault => login(kind, who.transit.as_ref())?.decrypt(network, key).await,
            kind => Err(unsupported(kind)),
        }
    }

    async fn seal(&self, key: &MasterKey, part: &[u8]) -> Result<Wrapped, String> {
        let (network, who, kind) = (&self.network, &self.credentials, key.kind());
        match kind {
            KeyKind::AzureKeyVault => login(kind, who.azure.as_ref())?.encrypt(network, key, part).await,
            KeyKind::AwsKms => login(kind, who.aws.as_ref())?.encrypt(network, key, part).await,
            KeyKind::GcpKms => login(kind, who.gcp.as_ref())?.encrypt(network, key, part).await,
            KeyKind::Vault => login(kind, who.transit.as_ref())?.encrypt(network, key, part).await,
            kind => Err(unsupported(kind)),
        }
    }
}

fn login<L>(kind: KeyKind, login: Option<&L>) -> Result<&L, String> {
    login.ok_or_else(|| format!("no credentials for {kind}s were given"))
}

fn unsupported(kind: KeyKind) -> String {
    format!("{kind}s are not supported")
}

impl Service for Vaults {
    fn unwrap(&self, key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, KeyProblem> {
        self.runtime.block_on(self.open(key)).map_err(KeyProblem::Service)
    }

    fn wrap(&self, key: &MasterKey, part: &[u8]) -> Result<Wrapped, String> {
        self.runtime.block_on(self.seal(key, part))
    }
}

/// The first document of a file of credentials.
fn yaml(text: &[u8]) -> Result<Value, String> {
    let documents = yaml::parse(text, &yaml::Limits::default()).map_err(|_| "not YAML")?;
    let value = documents.first().map(|first| yaml::to_value(first, yaml::Resolver::V3, yaml::Strictness::Lenient));
    value.and_then(Result::ok).ok_or_else(|| "not YAML".to_owned())
}
