//! From a store's name to the store: which spec it has, whether it may be used, and what External Secrets says of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use apply::Reference;
use gotemplate::go::regex::Regex;
use manifest::Object;

use super::azure::Azure;
use super::fake::FakeStore;
use super::lookup::{Lookup, StoreKindKey, StoreScope};
use super::remote::Dialect;
use super::store::{Cause, Store};
use crate::api::Kind as _;
use crate::api::store::{
    AzureAuthType, AzureEnvironment, AzureKeyVault, ClusterSecretStore, LabelRule, LabelSelector, SecretKey,
    SecretStore, StoreCondition, StoreReference, StoreSpec,
};

/// Which store an ExternalSecret reads, and as whom: references of a ClusterSecretStore may mean the namespace of the
/// ExternalSecret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreId {
    /// SecretStore or ClusterSecretStore.
    pub kind: StoreKindKey,
    /// The namespace of the ExternalSecret.
    pub namespace: String,
    /// The store's name.
    pub name: String,
}

impl StoreId {
    /// The store that a reference in `namespace` means.
    pub(super) fn of(reference: &StoreReference, namespace: &str) -> Result<Self, Cause> {
        let kind = StoreKindKey::of(&reference.kind)?;
        let name = reference.name.clone().unwrap_or_default();
        Ok(Self { kind, namespace: namespace.to_owned(), name })
    }

    /// `SecretStore/apps/vault`, as a read-set keeps it. The namespace is the ExternalSecret's, for both kinds.
    pub(super) fn key(&self) -> String {
        format!("{}/{}/{}", self.kind.name(), self.namespace, self.name)
    }

    /// What [`Self::key`] wrote.
    pub(super) fn parse(key: &str) -> Option<Self> {
        let mut parts = key.splitn(3, '/');
        let kind = match parts.next()? {
            "SecretStore" => StoreKindKey::SecretStore,
            "ClusterSecretStore" => StoreKindKey::ClusterSecretStore,
            _ => return None,
        };
        Some(Self { kind, namespace: parts.next()?.to_owned(), name: parts.next()?.to_owned() })
    }

    fn reference(&self) -> Reference {
        let namespace = if self.kind == StoreKindKey::SecretStore { &self.namespace } else { "" };
        Reference::new(SecretStore::API_VERSION, self.kind.name(), namespace, &self.name)
    }

    fn scope(&self) -> StoreScope {
        StoreScope { kind: self.kind, namespace: self.namespace.clone() }
    }
}

impl std::fmt::Display for StoreId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.name)
    }
}

/// A store that can be asked.
pub(super) struct Opened {
    pub store: Arc<dyn Store>,
    pub dialect: Dialect,
    /// Where it is: the vault's URL, for messages.
    pub place: String,
}

/// Opens a store; nothing when it belongs to a controller of another class.
pub(super) async fn open(id: &StoreId, class: &str, azure: &Azure, lookup: &Lookup) -> Result<Option<Opened>, Cause> {
    let object = lookup.get(&id.reference()).await?.ok_or_else(|| Cause::Missing { id: id.reference().id() })?;
    let spec = spec(&object)?;
    if is_foreign(&spec, class) {
        return Ok(None);
    }
    if id.kind == StoreKindKey::ClusterSecretStore && !admits(&spec.conditions, &id.namespace, lookup).await? {
        let message = format!(
            "using cluster store {:?} is not allowed from namespace {:?}: denied by spec.condition",
            id.name, id.namespace
        );
        return Err(Cause::Spec { message });
    }
    connect(&spec, id, azure, lookup).await.map(Some)
}

/// Whether the store is another controller's.
fn is_foreign(spec: &StoreSpec, class: &str) -> bool {
    spec.controller.as_deref().is_some_and(|controller| controller != class)
}

fn spec(object: &Object) -> Result<StoreSpec, Cause> {
    SecretStore::spec(object).map_err(|error| Cause::Spec { message: error.to_string() })
}

async fn connect(spec: &StoreSpec, id: &StoreId, azure: &Azure, lookup: &Lookup) -> Result<Opened, Cause> {
    match (&spec.provider.azurekv, &spec.provider.fake, spec.provider.others.keys().next()) {
        (Some(vault), None, None) => {
            check_vault(vault, id)?;
            let dialect = Dialect::Azure { attributes: vault.use_azure_sdk != Some(true) };
            let store = azure.store(vault, &id.scope(), lookup).await?;
            Ok(Opened { store, dialect, place: vault.vault_url.clone() })
        }
        (None, Some(fake), None) => {
            let store = Arc::new(FakeStore::new(fake));
            Ok(Opened { store, dialect: Dialect::Fake, place: id.to_string() })
        }
        (None, None, Some(other)) => Err(Cause::Unsupported { what: format!("spec.provider.{other}") }),
        _ => Err(Cause::Spec { message: "a store needs exactly one provider".into() }),
    }
}

/// What External Secrets' webhook refuses.
fn check_vault(vault: &AzureKeyVault, id: &StoreId) -> Result<(), Cause> {
    let invalid = |message: &str| Err(Cause::Spec { message: message.into() });
    let credentials = vault.auth_secret_ref.as_ref();
    let keys = credentials
        .map(|keys| [("AuthSecretRef.ClientID", &keys.client_id), ("AuthSecretRef.ClientSecret", &keys.client_secret)]);
    let keys = keys.into_iter().flatten();
    let keys = keys.filter_map(|(field, key)| Some((field, key.as_ref()?.namespace.as_deref())));
    let account = vault.service_account_ref.as_ref().map(|account| ("ServiceAccountRef", account.namespace.as_deref()));
    for (field, namespace) in keys.chain(account) {
        if id.kind == StoreKindKey::SecretStore && namespace.is_some_and(|namespace| namespace != id.namespace) {
            return invalid(&format!(
                "invalid {field}: namespace should either be empty or match the namespace of the SecretStore for a \
                 namespaced SecretStore"
            ));
        }
    }
    match &vault.custom_cloud_config {
        Some(_) if vault.use_azure_sdk != Some(true) => invalid(
            "CustomCloudConfig requires UseAzureSDK to be set to true - the legacy SDK does not support custom clouds",
        ),
        Some(cloud) if cloud.active_directory_endpoint.is_empty() => {
            invalid("activeDirectoryEndpoint is required in CustomCloudConfig")
        }
        None if vault.environment_type == AzureEnvironment::AzureStackCloud => {
            invalid("CustomCloudConfig is required when EnvironmentType is AzureStackCloud")
        }
        _ => Ok(()),
    }
}

/// What External Secrets writes on a store: its Ready condition's reason.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Another controller's: nothing is written.
    Foreign,
    /// Ready, `Valid`.
    Valid,
    /// Ready, `ValidationUnknown`: the provider cannot tell.
    Unknown,
    /// Not ready, `InvalidProviderConfig`.
    Invalid {
        /// The condition's message.
        message: &'static str,
        /// What the event says.
        cause: Cause,
    },
}

/// Judges a SecretStore or ClusterSecretStore.
///
/// A store whose references mean the namespace of whoever uses it counts as valid, as in the original: nothing can be
/// checked without that namespace.
pub(super) async fn judge(object: &Object, class: &str, azure: &Azure, lookup: &Lookup) -> Verdict {
    let unable = |cause| Verdict::Invalid { message: "unable to create client", cause };
    let spec = match spec(object) {
        Ok(spec) if is_foreign(&spec, class) => return Verdict::Foreign,
        Ok(spec) => spec,
        Err(cause) => return unable(cause),
    };
    let cluster = object.kind() == ClusterSecretStore::KIND;
    let kind = if cluster { StoreKindKey::ClusterSecretStore } else { StoreKindKey::SecretStore };
    let id = StoreId { kind, namespace: object.namespace().into(), name: object.name().into() };
    if let Some(fake) = &spec.provider.fake {
        return match fake.validation_result {
            None | Some(0) => Verdict::Valid,
            Some(1) => Verdict::Unknown,
            Some(_) => {
                let cause = Cause::Spec { message: "unable to validate".into() };
                Verdict::Invalid { message: "unable to validate store", cause }
            }
        };
    }
    if let Some(vault) = spec.provider.azurekv.as_ref().filter(|vault| cluster && is_referent(vault)) {
        return check_vault(vault, &id).map_or_else(unable, |()| Verdict::Valid);
    }
    match probe(&spec, &id, azure, lookup).await {
        Ok(()) => Verdict::Valid,
        Err(cause) => unable(cause),
    }
}

/// Connects and, as External Secrets' client for workload identity does when it is made, gets a token.
async fn probe(spec: &StoreSpec, id: &StoreId, azure: &Azure, lookup: &Lookup) -> Result<(), Cause> {
    connect(spec, id, azure, lookup).await?;
    match &spec.provider.azurekv {
        Some(vault) if vault.auth_type == AzureAuthType::WorkloadIdentity => {
            azure.probe(vault, &id.scope(), lookup).await
        }
        _ => Ok(()),
    }
}

/// Whether a reference without namespace makes the store mean another one for each namespace that uses it.
fn is_referent(vault: &AzureKeyVault) -> bool {
    let open = |key: &Option<SecretKey>| key.as_ref().is_some_and(|key| key.namespace.is_none());
    let credentials = vault.auth_secret_ref.as_ref();
    credentials.is_some_and(|keys| open(&keys.client_id) || open(&keys.client_secret))
        || vault.service_account_ref.as_ref().is_some_and(|account| account.namespace.is_none())
}

/// Whether a ClusterSecretStore may be used from a namespace: any condition that fits, or none at all.
async fn admits(conditions: &[StoreCondition], namespace: &str, lookup: &Lookup) -> Result<bool, Cause> {
    if conditions.is_empty() {
        return Ok(true);
    }
    let object = lookup.required("v1", "Namespace", "", namespace).await?;
    let labels = object.value().pointer("/metadata/labels").and_then(|labels| labels.as_object());
    let labels = labels.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    let mut labels: BTreeMap<&str, &str> = labels.collect();
    // The API server sets it on every namespace; one that is about to land does not have it yet.
    labels.insert("kubernetes.io/metadata.name", namespace);
    for condition in conditions {
        if admits_one(condition, namespace, &labels)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn admits_one(condition: &StoreCondition, namespace: &str, labels: &BTreeMap<&str, &str>) -> Result<bool, Cause> {
    if let Some(selector) = &condition.namespace_selector
        && selects(selector, labels)?
    {
        return Ok(true);
    }
    if condition.namespaces.iter().any(|name| name == namespace) {
        return Ok(true);
    }
    for source in &condition.namespace_regexes {
        if pattern(source)?.is_match(namespace) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn selects(selector: &LabelSelector, labels: &BTreeMap<&str, &str>) -> Result<bool, Cause> {
    let equal = |(key, value): (&String, &String)| labels.get(key.as_str()) == Some(&value.as_str());
    let mut all = selector.match_labels.iter().all(equal);
    for rule in &selector.match_expressions {
        all &= fits(rule, labels)?;
    }
    Ok(all)
}

fn fits(rule: &LabelRule, labels: &BTreeMap<&str, &str>) -> Result<bool, Cause> {
    let value = labels.get(rule.key.as_str());
    let among = value.is_some_and(|value| rule.values.iter().any(|other| other == value));
    match rule.operator.as_str() {
        "In" => Ok(among),
        "NotIn" => Ok(!among),
        "Exists" => Ok(value.is_some()),
        "DoesNotExist" => Ok(value.is_none()),
        other => Err(Cause::Spec { message: format!("{other:?} is not a valid label selector operator") }),
    }
}

/// A regular expression of a spec, in Go's dialect.
pub(super) fn pattern(source: &str) -> Result<Regex, Cause> {
    Regex::new(source).map_err(|_| Cause::Spec { message: format!("{source:?} is no regular expression") })
}
