//! Key vaults as the user meets them: credentials from the environment, a runtime only when a file needs one.

use std::env;
use std::path::PathBuf;
use std::sync::OnceLock;

use sops::{KeyProblem, MasterKey, Service, Wrapped};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use crate::decrypt::{Allowed, AwsLogin, AzureLogin, Credentials, Proof, TransitLogin, Vaults};
use crate::source::http;

/// Connects when it is first asked.
#[derive(Default)]
pub(super) struct OnDemand(OnceLock<Result<Line, String>>);

struct Line {
    /// Outlives what runs on it.
    _runtime: Runtime,
    vaults: Vaults,
}

impl OnDemand {
    fn vaults(&self) -> Result<&Vaults, String> {
        self.0.get_or_init(connect).as_ref().map(|line| &line.vaults).map_err(Clone::clone)
    }
}

impl Service for OnDemand {
    fn unwrap(&self, key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, KeyProblem> {
        self.vaults().map_err(KeyProblem::Service)?.unwrap(key)
    }

    fn wrap(&self, key: &MasterKey, part: &[u8]) -> Result<Wrapped, String> {
        self.vaults()?.wrap(key, part)
    }
}

fn connect() -> Result<Line, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let file = env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()).map(PathBuf::from);
    let authorities = file.map(|file| std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display())));
    let options =
        http::Options { refuses_redirects: true, authorities: authorities.transpose()?, ..Default::default() };
    let client = http::client(&options).map_err(|error| error.to_string())?;
    let credentials = Credentials { azure: azure(), aws: aws(), transit: transit()? };
    let vaults = Vaults::new(client, runtime.handle().clone(), credentials);
    Ok(Line { _runtime: runtime, vaults })
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|text| !text.is_empty())
}

/// The variables of Azure's SDKs, a client secret before a file.
fn azure() -> Option<AzureLogin> {
    let (tenant, client) = (variable("AZURE_TENANT_ID")?, variable("AZURE_CLIENT_ID")?);
    let secret = variable("AZURE_CLIENT_SECRET").map(|secret| Proof::Secret(Zeroizing::new(secret)));
    let proof = secret.or_else(|| variable("AZURE_FEDERATED_TOKEN_FILE").map(|file| Proof::File(file.into())))?;
    Some(AzureLogin { authority: variable("AZURE_AUTHORITY_HOST").unwrap_or_default(), tenant, client, proof })
}

/// The variables of AWS's SDKs; its files and its metadata are not read.
fn aws() -> Option<AwsLogin> {
    let (id, secret) = (variable("AWS_ACCESS_KEY_ID")?, Zeroizing::new(variable("AWS_SECRET_ACCESS_KEY")?));
    let session = variable("AWS_SESSION_TOKEN").map(Zeroizing::new);
    let endpoint = variable("AWS_ENDPOINT_URL_KMS").or_else(|| variable("AWS_ENDPOINT_URL"));
    Some(AwsLogin { id, secret, session, endpoint })
}

/// Vault's own variables, and the file in which its command keeps the token.
fn transit() -> Result<TransitLogin, String> {
    let allowed = variable("SOPS_HC_VAULT_ALLOWLIST").unwrap_or_default();
    let allowed = Allowed::parse(&allowed).map_err(|problem| format!("SOPS_HC_VAULT_ALLOWLIST: {problem}"))?;
    let kept = || std::fs::read_to_string(env::home_dir()?.join(".vault-token")).ok();
    let token = variable("VAULT_TOKEN").or_else(kept).map(Zeroizing::new);
    Ok(TransitLogin { token, namespace: variable("VAULT_NAMESPACE"), allowed })
}
