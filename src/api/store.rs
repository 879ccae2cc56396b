//! `SecretStore` and `ClusterSecretStore` of `external-secrets.io/v1`.

use std::collections::BTreeMap;
use std::time::Duration as Span;

use serde::{Deserialize, Serialize};

use super::Kind;
use super::condition::Conditions;
use super::duration::Duration;
use super::field::{Confidential, Field, choices, described, structs};
use super::support::{Supported, any, only};

choices! {
    /// How Lockstep proves to Azure who it is.
    pub enum AzureAuthType {
        /// With an id and a secret or certificate.
        ServicePrincipal = "ServicePrincipal",
        /// With the identity of the node.
        ManagedIdentity = "ManagedIdentity",
        /// With a token of a ServiceAccount.
        WorkloadIdentity = "WorkloadIdentity",
    }

    /// Which of Azure's clouds is meant.
    pub enum AzureEnvironment {
        /// The public one.
        PublicCloud = "PublicCloud",
        /// That of the government of the United States.
        UsGovernmentCloud = "USGovernmentCloud",
        /// That of China.
        ChinaCloud = "ChinaCloud",
        /// That of Germany.
        GermanCloud = "GermanCloud",
        /// One that is described in `customCloudConfig`.
        AzureStackCloud = "AzureStackCloud",
    }

    /// The kind of a store.
    pub enum StoreKind {
        /// One of the same namespace.
        SecretStore = "SecretStore",
        /// One of the whole cluster.
        ClusterSecretStore = "ClusterSecretStore",
    }
}

structs! {
    /// What a store asks for.
    pub struct StoreSpec {
        /// Name of the controller instance that this store is for; all when unset.
        pub controller: Option<String>,
        /// Where the secrets are kept; exactly one provider.
        pub provider: Provider,
        /// How often a failed request is repeated.
        pub retry_settings: Option<RetrySettings>,
        /// How often the store itself is checked, in seconds or as a duration such as 1h.
        pub refresh_interval: Option<StoreInterval>,
        /// Namespaces that may use a ClusterSecretStore; all when empty, else one must match.
        pub conditions: Vec<StoreCondition>,
    }

    /// How often a failed request is repeated.
    #[derive(Debug)]
    pub struct RetrySettings {
        /// Number of repetitions.
        pub max_retries: Option<i64>,
        /// Time between two of them.
        pub retry_interval: Option<Duration>,
    }

    /// Namespaces that may use a store.
    #[derive(Debug)]
    pub struct StoreCondition {
        /// Labels of the namespaces.
        pub namespace_selector: Option<LabelSelector>,
        /// Names of the namespaces.
        pub namespaces: Vec<String>,
        /// Regular expressions for names of namespaces.
        pub namespace_regexes: Vec<String>,
    }

    /// A selector over labels; all of it must match.
    #[derive(Debug)]
    pub struct LabelSelector {
        /// Labels and their values.
        pub match_labels: BTreeMap<String, String>,
        /// Rules about single labels.
        pub match_expressions: Vec<LabelRule>,
    }

    /// A rule about one label.
    #[derive(Debug)]
    pub struct LabelRule {
        /// Name of the label.
        pub key: String,
        /// How the label is compared: In, NotIn, Exists or DoesNotExist.
        pub operator: String,
        /// Values to compare with; none for Exists and DoesNotExist.
        pub values: Vec<String>,
    }

    /// Azure Key Vault.
    #[derive(Debug)]
    pub struct AzureKeyVault {
        /// Address of the vault.
        pub vault_url: String,
        /// How to log in: with a service principal, a workload identity or a managed identity.
        pub auth_type: AzureAuthType,
        /// Tenant of the vault.
        pub tenant_id: Option<String>,
        /// Cloud that the vault stands in.
        pub environment_type: AzureEnvironment,
        /// Credentials of a service principal, or the ids for a workload identity.
        pub auth_secret_ref: Option<AzureCredentials>,
        /// ServiceAccount whose token is exchanged; that of the controller when unset.
        pub service_account_ref: Option<ServiceAccountReference>,
        /// Client id of a managed identity.
        pub identity_id: Option<String>,
        /// Which of Azure's libraries External Secrets uses; of no effect here.
        #[serde(rename = "useAzureSDK")]
        pub use_azure_sdk: Option<bool>,
        /// Addresses of a cloud of one's own.
        pub custom_cloud_config: Option<AzureCloud>,
    }

    /// Credentials for Azure, each a key of a Secret.
    #[derive(Debug)]
    pub struct AzureCredentials {
        /// Client id.
        pub client_id: Option<SecretKey>,
        /// Tenant id.
        pub tenant_id: Option<SecretKey>,
        /// Client secret.
        pub client_secret: Option<SecretKey>,
        /// Client certificate with its key.
        pub client_certificate: Option<SecretKey>,
    }

    /// One key of a Secret.
    #[derive(Debug)]
    pub struct SecretKey {
        /// Name of the Secret.
        pub name: Option<String>,
        /// Key within the Secret.
        pub key: Option<String>,
        /// Namespace of the Secret; only a ClusterSecretStore may name one, and without it that of the ExternalSecret counts.
        pub namespace: Option<String>,
    }

    /// A ServiceAccount whose token is used.
    #[derive(Debug)]
    pub struct ServiceAccountReference {
        /// Name of the ServiceAccount.
        pub name: String,
        /// Namespace of the ServiceAccount; only a ClusterSecretStore may name one, and without it that of the ExternalSecret counts.
        pub namespace: Option<String>,
        /// Audiences of the token besides the one that the provider asks for.
        pub audiences: Vec<String>,
    }

    /// Addresses of a cloud of one's own.
    #[derive(Debug)]
    pub struct AzureCloud {
        /// Address of the login.
        pub active_directory_endpoint: String,
        /// Address that tokens for the vault are made for.
        pub key_vault_endpoint: Option<String>,
        /// End of the names of vaults.
        #[serde(rename = "keyVaultDNSSuffix")]
        pub key_vault_dns_suffix: Option<String>,
        /// Address of the resource manager.
        pub resource_manager_endpoint: Option<String>,
    }

    /// Secrets that stand in the store itself; for tests.
    pub struct Fake {
        /// The secrets.
        pub data: Vec<FakeSecret>,
        /// What a check of the store answers: 0 ready, 1 unknown, 2 failed.
        pub validation_result: Option<i64>,
    }

    /// A secret that stands in the store itself.
    pub struct FakeSecret {
        /// Name of the secret.
        pub key: String,
        /// Content of the secret, readable by whoever can read the store.
        pub value: Confidential,
        /// Version of the secret.
        pub version: Option<String>,
    }

    /// What is known of a store.
    #[derive(Debug)]
    pub struct StoreStatus {
        /// What the store can do: ReadOnly, WriteOnly or ReadWrite.
        pub capabilities: Option<String>,
        /// What holds for this object.
        pub conditions: Conditions,
    }

    /// A reference to a store.
    #[derive(Debug)]
    pub struct StoreReference {
        /// Name of the store.
        pub name: Option<String>,
        /// SecretStore of this namespace, or ClusterSecretStore.
        pub kind: StoreKind,
    }
}

/// Where a store keeps its secrets. Providers that Lockstep does not know are kept as they are.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Provider {
    /// Azure Key Vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azurekv: Option<AzureKeyVault>,
    /// Secrets that stand in the store itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fake: Option<Fake>,
    /// The others, by name; they may hold plaintext.
    #[serde(flatten)]
    pub others: BTreeMap<String, Confidential>,
}

impl Field for Provider {
    fn describe(path: &str, descriptions: &mut Vec<(String, String)>) {
        described::<AzureKeyVault>(path, "azurekv", "Secrets of an Azure Key Vault.", descriptions);
        described::<Fake>(path, "fake", "Secrets that stand in the store itself; for tests.", descriptions);
    }
}

/// How often a store is checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StoreInterval {
    /// A number of seconds.
    Seconds(i64),
    /// A duration.
    Duration(Duration),
}

impl StoreInterval {
    /// Its length; none when it is negative.
    pub fn span(&self) -> Span {
        match self {
            Self::Seconds(seconds) => Span::from_secs(u64::try_from(*seconds).unwrap_or_default()),
            Self::Duration(duration) => duration.span(),
        }
    }
}

impl Default for StoreInterval {
    fn default() -> Self {
        Self::Seconds(0)
    }
}

impl Field for StoreInterval {}

/// What Lockstep acts on in a store of either kind.
const SUPPORTED_STORE: &[Supported] = &[
    any("controller"),
    any("refreshInterval"),
    any("retrySettings.maxRetries"),
    any("retrySettings.retryInterval"),
    any("conditions[].namespaceSelector.matchLabels"),
    any("conditions[].namespaceSelector.matchExpressions[].key"),
    any("conditions[].namespaceSelector.matchExpressions[].operator"),
    any("conditions[].namespaceSelector.matchExpressions[].values"),
    any("conditions[].namespaces"),
    any("conditions[].namespaceRegexes"),
    any("provider.azurekv.vaultUrl"),
    only("provider.azurekv.authType", &["WorkloadIdentity", "ServicePrincipal"]),
    any("provider.azurekv.tenantId"),
    any("provider.azurekv.environmentType"),
    any("provider.azurekv.authSecretRef.clientId.name"),
    any("provider.azurekv.authSecretRef.clientId.key"),
    any("provider.azurekv.authSecretRef.clientId.namespace"),
    any("provider.azurekv.authSecretRef.tenantId.name"),
    any("provider.azurekv.authSecretRef.tenantId.key"),
    any("provider.azurekv.authSecretRef.tenantId.namespace"),
    any("provider.azurekv.authSecretRef.clientSecret.name"),
    any("provider.azurekv.authSecretRef.clientSecret.key"),
    any("provider.azurekv.authSecretRef.clientSecret.namespace"),
    any("provider.azurekv.serviceAccountRef.name"),
    any("provider.azurekv.serviceAccountRef.namespace"),
    any("provider.azurekv.serviceAccountRef.audiences"),
    any("provider.azurekv.useAzureSDK"),
    any("provider.fake.data[].key"),
    any("provider.fake.data[].value"),
    any("provider.fake.data[].version"),
    any("provider.fake.validationResult"),
];

/// A store that ExternalSecrets of its namespace read from.
pub enum SecretStore {}

impl Kind for SecretStore {
    type Spec = StoreSpec;
    type Status = StoreStatus;
    const API_VERSION: &'static str = "external-secrets.io/v1";
    const KIND: &'static str = "SecretStore";
    const ABOUT: &'static str = "A store of secrets for the ExternalSecrets of its namespace.";
    const SUPPORTED: &'static [Supported] = SUPPORTED_STORE;
}

/// A store that ExternalSecrets of any namespace read from.
pub enum ClusterSecretStore {}

impl Kind for ClusterSecretStore {
    type Spec = StoreSpec;
    type Status = StoreStatus;
    const API_VERSION: &'static str = "external-secrets.io/v1";
    const KIND: &'static str = "ClusterSecretStore";
    const ABOUT: &'static str = "A store of secrets for the ExternalSecrets of all namespaces that it allows.";
    const SUPPORTED: &'static [Supported] = SUPPORTED_STORE;
}
