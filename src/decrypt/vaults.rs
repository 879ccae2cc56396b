//! Data keys that a key vault wraps: Azure Key Vault, AWS KMS, and the transit engine of Vault and OpenBao.
//!
//! # Guarantees
//! A file says by which vault its data key is wrapped, and whoever writes files is not whoever holds credentials. So a
//! token of Entra goes to hosts of Azure's vaults alone, and a token of Vault to the addresses that are allowed, which are
//! all of them when none is named: sops' own default.
//!
//! # Errors
//! Name the vault and what it answered; never what was sent.

mod aws;
mod azure;
mod transit;

use std::time::Duration;

use serde_json::Value;
use sops::{KeyKind, KeyProblem, MasterKey, Service, Wrapped};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

pub use aws::AwsLogin;
pub use azure::{Assertion, AzureLogin, Proof};
pub use transit::{Allowed, TransitLogin};

/// How long a vault may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// An answer holds a key, or why there is none.
const LARGEST: usize = 64 << 10;
/// A server's words are kept up to here.
const LONGEST_MESSAGE: usize = 400;

/// Who we are towards vaults.
#[derive(Default)]
pub struct Credentials {
    /// Towards Azure Key Vault.
    pub azure: Option<AzureLogin>,
    /// Towards AWS.
    pub aws: Option<AwsLogin>,
    /// Towards Vault.
    pub transit: TransitLogin,
}

/// The vaults that hold keys. Asks them on the runtime, from threads that may block.
pub struct Vaults {
    http: reqwest::Client,
    runtime: Handle,
    credentials: Credentials,
    tokens: azure::Tokens,
}

impl Vaults {
    /// Connects to nothing yet. `http` must not follow redirects.
    pub fn new(http: reqwest::Client, runtime: Handle, credentials: Credentials) -> Self {
        Self { http, runtime, credentials, tokens: azure::Tokens::default() }
    }

    async fn open(&self, key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, String> {
        match key.kind() {
            KeyKind::AzureKeyVault => self.azure()?.decrypt(key).await,
            KeyKind::AwsKms => self.aws()?.decrypt(&self.http, key).await,
            KeyKind::Vault => self.credentials.transit.decrypt(&self.http, key).await,
            kind => Err(unsupported(kind)),
        }
    }

    async fn seal(&self, key: &MasterKey, part: &[u8]) -> Result<Wrapped, String> {
        match key.kind() {
            KeyKind::AzureKeyVault => self.azure()?.encrypt(key, part).await,
            KeyKind::AwsKms => self.aws()?.encrypt(&self.http, key, part).await,
            KeyKind::Vault => self.credentials.transit.encrypt(&self.http, key, part).await,
            kind => Err(unsupported(kind)),
        }
    }

    fn aws(&self) -> Result<&AwsLogin, String> {
        self.credentials.aws.as_ref().ok_or_else(|| aws::NO_LOGIN.to_owned())
    }

    fn azure(&self) -> Result<azure::Client<'_>, String> {
        let login = self.credentials.azure.as_ref().ok_or(azure::NO_LOGIN)?;
        Ok(azure::Client { http: &self.http, login, tokens: &self.tokens })
    }
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

/// Sends one request, and reads its answer as JSON; of a refusal, what `told` finds in it.
async fn ask(request: reqwest::RequestBuilder, told: fn(&Value) -> Option<String>) -> Result<Value, String> {
    let unreachable = |error: reqwest::Error| {
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(deeper) = source {
            reason = deeper.to_string();
            source = deeper.source();
        }
        format!("no answer: {reason}")
    };
    let mut answer = request.timeout(PATIENCE).send().await.map_err(unreachable)?;
    let status = answer.status();
    let mut body = Zeroizing::new(Vec::with_capacity(LARGEST));
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > LARGEST {
            return Err(format!("answered {status} with more than {LARGEST} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(body);
    }
    let message = told(&body).unwrap_or_default();
    let message = message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let message = &message[..message.floor_char_boundary(LONGEST_MESSAGE)];
    Err(format!("answered {status}{}{message}", if message.is_empty() { "" } else { ": " }))
}
