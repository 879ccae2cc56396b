//! Who Lockstep is towards a vault: which application of which tenant, and how that is proved.
//!
//! The rules are External Secrets', those of its legacy client and, with `useAzureSDK`, those of its new one.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use apply::Cluster;
use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientMethodOptions, ClientOptions};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::api::store::{AzureAuthType, AzureCredentials, AzureEnvironment, AzureKeyVault, ServiceAccountReference};
use crate::resolve::lookup::{Lookup, StoreScope};
use crate::resolve::store::Cause;

/// The audience that Entra expects in a ServiceAccount's token.
const AUDIENCE: &str = "api://AzureADTokenExchange";
const CLIENT_ANNOTATION: &str = "azure.workload.identity/client-id";
const TENANT_ANNOTATION: &str = "azure.workload.identity/tenant-id";

const MISSING_TENANT: &str = "missing tenantID in store config";
const MISSING_CLIENT: &str = "missing clientID: either serviceAccountRef or service account annotation 'azure.workload.identity/client-id' is missing";
const MISSING_CREDENTIALS: &str = "missing accessKeyID/secretAccessKey in store config";

/// What Azure's workload identity webhook gives to our own pod. Read once, at start.
#[derive(Clone, Debug, Default)]
pub struct PodIdentity {
    /// `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
    /// `AZURE_TENANT_ID`.
    pub tenant_id: Option<String>,
    /// `AZURE_FEDERATED_TOKEN_FILE`.
    pub token_file: Option<PathBuf>,
}

/// An identity, as far as two of them are the same. A client secret stands here as its digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    authority: String,
    tenant: String,
    client: String,
    proof: Proof,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Proof {
    ServiceAccount { namespace: String, name: String, audiences: Vec<String> },
    File(PathBuf),
    Secret([u8; 32]),
}

/// An identity together with what proves it.
pub(super) struct Claim {
    /// What names it.
    pub identity: Identity,
    secret: Option<Zeroizing<String>>,
}

impl Claim {
    /// Finds out who a store's spec says that we are.
    pub(super) async fn of(
        spec: &AzureKeyVault,
        scope: &StoreScope,
        pod: &PodIdentity,
        lookup: &Lookup,
    ) -> Result<Self, Cause> {
        let authority = authority(spec)?;
        let reader = Reader { spec, scope, pod, lookup, authority };
        match &spec.auth_type {
            AzureAuthType::ServicePrincipal => reader.service_principal().await,
            AzureAuthType::WorkloadIdentity => match &spec.service_account_ref {
                Some(account) => reader.service_account(account).await,
                None => reader.pod(),
            },
            AzureAuthType::ManagedIdentity => {
                Err(Cause::Unsupported { what: "spec.provider.azurekv.authType ManagedIdentity".into() })
            }
            AzureAuthType::Other(_) => Err(invalid("cannot initialize Azure Client: no valid authType was specified")),
        }
    }

    /// The credential that gets tokens for it.
    pub(super) fn credential(
        self,
        cluster: &Arc<dyn Cluster>,
        options: ClientOptions,
    ) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let Identity { authority, tenant, client, proof } = self.identity;
        let client_options = ClientOptions { cloud: Some(Arc::new(cloud(authority))), ..options };
        if let (Proof::Secret(_), Some(secret)) = (&proof, self.secret) {
            let options = ClientSecretCredentialOptions { client_options };
            return Ok(ClientSecretCredential::new(&tenant, client, Secret::new(secret.to_string()), Some(options))?);
        }
        let options = ClientAssertionCredentialOptions { client_options };
        let assertion = Assertion { proof, cluster: Arc::clone(cluster) };
        Ok(ClientAssertionCredential::new(tenant, client, assertion, Some(options))?)
    }
}

fn cloud(authority: String) -> azure_core::cloud::CloudConfiguration {
    let mut custom = CustomConfiguration::default();
    custom.authority_host = authority;
    custom.into()
}

fn invalid(message: &str) -> Cause {
    Cause::Spec { message: message.into() }
}

/// The base URL of the token issuer.
fn authority(spec: &AzureKeyVault) -> Result<String, Cause> {
    if let Some(custom) = &spec.custom_cloud_config {
        return Ok(custom.active_directory_endpoint.clone());
    }
    Ok(match &spec.environment_type {
        AzureEnvironment::UsGovernmentCloud => "https://login.microsoftonline.us/",
        AzureEnvironment::ChinaCloud => "https://login.chinacloudapi.cn/",
        AzureEnvironment::GermanCloud => "https://login.microsoftonline.de/",
        AzureEnvironment::AzureStackCloud => {
            return Err(invalid("CustomCloudConfig is required when EnvironmentType is AzureStackCloud"));
        }
        AzureEnvironment::PublicCloud | AzureEnvironment::Other(_) => "https://login.microsoftonline.com/",
    }
    .into())
}

/// What tokens for a vault of the environment are scoped to.
pub(super) fn vault_scope(environment: &AzureEnvironment) -> Option<&'static str> {
    match environment {
        AzureEnvironment::UsGovernmentCloud => Some("https://vault.usgovcloudapi.net/.default"),
        AzureEnvironment::ChinaCloud => Some("https://vault.azure.cn/.default"),
        AzureEnvironment::GermanCloud => Some("https://vault.microsoftazure.de/.default"),
        AzureEnvironment::AzureStackCloud => None,
        AzureEnvironment::PublicCloud | AzureEnvironment::Other(_) => Some("https://vault.azure.net/.default"),
    }
}

struct Reader<'a> {
    spec: &'a AzureKeyVault,
    scope: &'a StoreScope,
    pod: &'a PodIdentity,
    lookup: &'a Lookup,
    authority: String,
}

impl Reader<'_> {
    fn claim(self, tenant: String, client: String, proof: Proof) -> Claim {
        Claim { identity: Identity { authority: self.authority, tenant, client, proof }, secret: None }
    }

    async fn service_principal(self) -> Result<Claim, Cause> {
        let tenant = self.spec.tenant_id.clone().ok_or_else(|| invalid(MISSING_TENANT))?;
        let credentials =
            self.spec.auth_secret_ref.as_ref().ok_or_else(|| invalid("missing secretRef in provider config"))?;
        let (client, secret) = match credentials {
            AzureCredentials { client_secret: Some(_), client_certificate: Some(_), .. } => {
                return Err(invalid("both clientSecret and clientCredentials set"));
            }
            AzureCredentials { client_id: Some(_), client_certificate: Some(_), .. } => {
                let what = "spec.provider.azurekv.authSecretRef.clientCertificate".into();
                return Err(Cause::Unsupported { what });
            }
            AzureCredentials { client_id: Some(client), client_secret: Some(secret), .. } => (client, secret),
            _ => return Err(invalid(MISSING_CREDENTIALS)),
        };
        let client = self.lookup.secret_key(self.scope, client).await?.to_string();
        let secret = self.lookup.secret_key(self.scope, secret).await?;
        let proof = Proof::Secret(Sha256::digest(secret.as_bytes()).into());
        Ok(Claim { secret: Some(secret), ..self.claim(tenant, client, proof) })
    }

    /// Our own pod's identity, from the webhook's environment.
    fn pod(self) -> Result<Claim, Cause> {
        let PodIdentity { client_id: Some(client), tenant_id: Some(tenant), token_file: Some(file) } = self.pod.clone()
        else {
            return Err(invalid(
                "missing environment variables. AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_FEDERATED_TOKEN_FILE must be set",
            ));
        };
        Ok(self.claim(tenant, client, Proof::File(file)))
    }

    async fn service_account(self, account: &ServiceAccountReference) -> Result<Claim, Cause> {
        let namespace = self.scope.reference_namespace(account.namespace.as_deref()).to_owned();
        let object = self.lookup.required("v1", "ServiceAccount", &namespace, &account.name).await?;
        let annotated = |key: &str| object.annotation(key).filter(|value| !value.is_empty()).map(str::to_owned);
        let (client, tenant) = (annotated(CLIENT_ANNOTATION), annotated(TENANT_ANNOTATION));
        let (client, tenant) = if self.spec.use_azure_sdk == Some(true) {
            (client, self.spec.tenant_id.clone().or(tenant))
        } else {
            self.legacy(client, tenant).await?
        };
        let client = client.ok_or_else(|| invalid(MISSING_CLIENT))?;
        let tenant = tenant.ok_or_else(|| invalid(MISSING_TENANT))?;
        let audiences = std::iter::once(AUDIENCE.to_owned()).chain(account.audiences.iter().cloned()).collect();
        Ok(self.claim(tenant, client, Proof::ServiceAccount { namespace, name: account.name.clone(), audiences }))
    }

    /// The legacy client's order: the Secret, then the spec, then the annotation; two of them are a conflict.
    async fn legacy(
        &self,
        annotated_client: Option<String>,
        annotated_tenant: Option<String>,
    ) -> Result<(Option<String>, Option<String>), Cause> {
        let (mut client, mut tenant) = (None, None);
        if let Some(credentials) = &self.spec.auth_secret_ref {
            let reference = credentials.client_id.as_ref().ok_or_else(|| invalid(MISSING_CREDENTIALS))?;
            client = Some(self.lookup.secret_key(self.scope, reference).await?.to_string()).filter(|id| !id.is_empty());
            if let Some(reference) = &credentials.tenant_id {
                tenant = Some(self.lookup.secret_key(self.scope, reference).await?.to_string());
            }
        }
        let tenant = tenant.filter(|id| !id.is_empty()).or_else(|| self.spec.tenant_id.clone());
        if client.is_some() && annotated_client.is_some() {
            return Err(invalid("multiple clientID found. Check secretRef and serviceAccountRef"));
        }
        if tenant.is_some() && annotated_tenant.is_some() {
            return Err(invalid(
                "multiple tenantID found. Check secretRef, 'spec.provider.azurekv.tenantId', and serviceAccountRef",
            ));
        }
        Ok((client.or(annotated_client), tenant.or(annotated_tenant).or_else(|| self.pod.tenant_id.clone())))
    }
}

/// A token that proves who we are to Entra, fetched anew whenever Entra asks.
struct Assertion {
    proof: Proof,
    cluster: Arc<dyn Cluster>,
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Assertion({:?})", self.proof)
    }
}

#[async_trait::async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let token = match &self.proof {
            Proof::ServiceAccount { namespace, name, audiences } => {
                crate::resolve::lookup::service_account_token(&self.cluster, namespace, name, audiences).await
            }
            Proof::File(path) => read_token(path).await,
            Proof::Secret(_) => Err(invalid("a client secret is no assertion")),
        };
        token.map_err(|cause| azure_core::Error::new(azure_core::error::ErrorKind::Credential, cause))
    }
}

/// The token file's content. Its last newline is not part of the token, and Entra refuses a token that has one.
async fn read_token(path: &PathBuf) -> Result<String, Cause> {
    let text = tokio::fs::read_to_string(path).await.map_err(|error| Cause::NoToken {
        message: format!("unable to read token file {}: {}", path.display(), error.kind()),
    })?;
    Ok(Zeroizing::new(text).trim_end().to_owned())
}
