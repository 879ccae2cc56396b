//! `ExternalSecret` of `external-secrets.io/v1`.

use std::collections::BTreeMap;

use super::Kind;
use super::condition::Conditions;
use super::duration::{Duration, Time};
use super::field::{choices, structs};
use super::store::StoreReference;
use super::support::{Supported, any, only};

choices! {
    /// When the store is asked again.
    pub enum RefreshPolicy {
        /// At each interval.
        Periodic = "Periodic",
        /// When the ExternalSecret changes.
        OnChange = "OnChange",
        /// Never after the first time.
        CreatedOnce = "CreatedOnce",
    }

    /// Whose the target is.
    pub enum CreationPolicy {
        /// It is made, and goes with the ExternalSecret.
        Owner = "Owner",
        /// It is made, and stays.
        Orphan = "Orphan",
        /// It must be there.
        Merge = "Merge",
        /// Nothing is written.
        None = "None",
        /// It is made when it is not there, and stays.
        CreateOrMerge = "CreateOrMerge",
    }

    /// What becomes of the target when the store has the data no more.
    pub enum TargetDeletion {
        /// It stays as it is.
        Retain = "Retain",
        /// It is deleted.
        Delete = "Delete",
        /// It loses the keys.
        Merge = "Merge",
    }

    /// Whether a template adds to the data or takes its place.
    pub enum MergePolicy {
        /// It takes its place.
        Replace = "Replace",
        /// It adds to it.
        Merge = "Merge",
    }

    /// What is read as a template.
    pub enum TemplateScope {
        /// The value of the key.
        Values = "Values",
        /// The whole of it: keys and values.
        KeysAndValues = "KeysAndValues",
    }

    /// Whether tags or the secret are read.
    pub enum MetadataPolicy {
        /// The secret.
        None = "None",
        /// The tags.
        Fetch = "Fetch",
    }

    /// What becomes of characters that a key cannot have.
    pub enum ConversionStrategy {
        /// Each becomes an underscore.
        Default = "Default",
        /// Each becomes its code point.
        Unicode = "Unicode",
    }

    /// How a value is decoded.
    pub enum DecodingStrategy {
        /// Not at all.
        None = "None",
        /// By whatever fits.
        Auto = "Auto",
        /// As base64.
        Base64 = "Base64",
        /// As base64 for addresses.
        Base64Url = "Base64URL",
    }

    /// What a zero byte in a value means.
    pub enum NullBytePolicy {
        /// Nothing.
        Ignore = "Ignore",
        /// A failure.
        Fail = "Fail",
    }

    /// What to do with a key that two secrets have.
    pub enum ConflictPolicy {
        /// It is a failure.
        Error = "Error",
        /// The later one wins.
        Ignore = "Ignore",
    }

    /// What to do with a key of `priority` that no secret has.
    pub enum PriorityPolicy {
        /// It is a failure.
        Strict = "Strict",
        /// It is passed over.
        IgnoreNotFound = "IgnoreNotFound",
    }

    /// Where merged keys go.
    pub enum MergeStrategy {
        /// Into the Secret.
        Extract = "Extract",
        /// Into one key, as JSON.
        Json = "JSON",
    }
}

structs! {
    /// What an ExternalSecret asks for.
    pub struct ExternalSecretSpec {
        /// Store to read from, unless an entry names another.
        pub secret_store_ref: StoreReference,
        /// How often the store is read; 0 reads once.
        pub refresh_interval: Option<Duration>,
        /// When the store is read again: at each interval, with each change of this object, or never.
        pub refresh_policy: RefreshPolicy,
        /// Times at which the store may or may not be read.
        pub sync_windows: Option<SyncWindows>,
        /// The Secret to write.
        pub target: Target,
        /// Single keys of the Secret and where each comes from.
        pub data: Vec<Data>,
        /// Whole secrets whose keys become keys of the Secret; later ones win.
        pub data_from: Vec<DataFrom>,
    }

    /// Times at which a store may or may not be read.
    #[derive(Debug)]
    pub struct SyncWindows {
        /// Whether the store is read within the windows alone, or outside them alone.
        pub kind: String,
        /// The windows, in UTC.
        pub windows: Vec<SyncWindow>,
    }

    /// A time that comes again.
    #[derive(Debug)]
    pub struct SyncWindow {
        /// When the window opens, in the notation of cron.
        pub schedule: String,
        /// How long it stays open.
        pub duration: Duration,
    }

    /// The Secret to write.
    pub struct Target {
        /// Name of the Secret; that of this object when unset.
        pub name: Option<String>,
        /// Whether the Secret is made and owned, made and left, or must be there.
        pub creation_policy: CreationPolicy,
        /// What becomes of the Secret when the store has the data no more.
        pub deletion_policy: TargetDeletion,
        /// Whether the Secret can be changed once it is written.
        pub immutable: bool,
        /// Another kind of object to write instead of a Secret.
        pub manifest: Option<Manifest>,
        /// Template for the content of the Secret.
        pub template: Option<Template>,
    }

    /// A kind of object to write instead of a Secret.
    #[derive(Debug)]
    pub struct Manifest {
        /// API group and version.
        pub api_version: String,
        /// Kind of the object.
        pub kind: String,
    }

    /// Template for the content of a Secret.
    pub struct Template {
        /// Version of the template language.
        pub engine_version: Option<String>,
        /// Type of the Secret; Opaque when unset.
        #[serde(rename = "type")]
        pub kind: Option<String>,
        /// Whether the templates take the place of the data that was read, or add to it.
        pub merge_policy: MergePolicy,
        /// Labels, annotations and finalizers of the Secret.
        pub metadata: Option<TemplateMetadata>,
        /// Keys of the Secret and the templates of their values.
        pub data: BTreeMap<String, String>,
        /// Templates that are read from elsewhere.
        pub template_from: Vec<TemplateFrom>,
    }

    /// Labels, annotations and finalizers of a Secret.
    pub struct TemplateMetadata {
        /// Annotations; their values are templates.
        pub annotations: BTreeMap<String, String>,
        /// Labels; their values are templates.
        pub labels: BTreeMap<String, String>,
        /// Finalizers.
        pub finalizers: Vec<String>,
    }

    /// Templates that are read from elsewhere.
    pub struct TemplateFrom {
        /// ConfigMap that holds templates.
        pub config_map: Option<TemplateObject>,
        /// Secret that holds templates.
        pub secret: Option<TemplateObject>,
        /// A template that makes keys and values.
        pub literal: Option<String>,
        /// Part of the Secret that is made: Data, Labels or Annotations.
        pub target: Option<String>,
        /// How the values that are made are decoded.
        pub values_decoding_strategy: Option<DecodingStrategy>,
    }

    /// An object that holds templates.
    #[derive(Debug)]
    pub struct TemplateObject {
        /// Name of the object.
        pub name: String,
        /// Keys to read.
        pub items: Vec<TemplateItem>,
    }

    /// A key that holds a template.
    #[derive(Debug)]
    pub struct TemplateItem {
        /// The key.
        pub key: String,
        /// Whether it makes a value, or keys and values.
        pub template_as: TemplateScope,
    }

    /// One key of the Secret.
    #[derive(Debug)]
    pub struct Data {
        /// Key in the Secret.
        pub secret_key: String,
        /// Secret in the store.
        pub remote_ref: RemoteReference,
        /// Another store or a generator for this key.
        pub source_ref: Option<SourceOverride>,
    }

    /// A secret in a store.
    #[derive(Debug)]
    pub struct RemoteReference {
        /// Name of the secret, as its provider writes it.
        pub key: String,
        /// Part of the secret, as a path within its JSON.
        pub property: Option<String>,
        /// Version of the secret; the newest when unset.
        pub version: Option<String>,
        /// Whether tags are read instead of the secret.
        pub metadata_policy: MetadataPolicy,
        /// What becomes of characters that a key cannot have.
        pub conversion_strategy: ConversionStrategy,
        /// How the value is decoded.
        pub decoding_strategy: DecodingStrategy,
        /// Whether a zero byte in the value is a failure.
        pub null_byte_policy: NullBytePolicy,
    }

    /// Another store or a generator.
    #[derive(Debug)]
    pub struct SourceOverride {
        /// Store to read from.
        pub store_ref: Option<StoreReference>,
        /// Generator that makes the values.
        pub generator_ref: Option<GeneratorReference>,
    }

    /// A reference to a generator.
    #[derive(Debug)]
    pub struct GeneratorReference {
        /// API group and version of the generator.
        pub api_version: Option<String>,
        /// Kind of the generator.
        pub kind: String,
        /// Name of the generator.
        pub name: String,
    }

    /// Whole secrets whose keys become keys of the Secret.
    #[derive(Debug)]
    pub struct DataFrom {
        /// One secret whose content is a map.
        pub extract: Option<RemoteReference>,
        /// Secrets that are searched for.
        pub find: Option<Find>,
        /// Changes to the keys, in this order.
        pub rewrite: Vec<Rewrite>,
        /// Another store or a generator for these.
        pub source_ref: Option<SourceOverride>,
    }

    /// A search for secrets.
    #[derive(Debug)]
    pub struct Find {
        /// Path to search below, where the provider has paths.
        pub path: Option<String>,
        /// Which names are found.
        pub name: Option<FindName>,
        /// Tags that a secret must have.
        pub tags: BTreeMap<String, String>,
        /// What becomes of characters that a key cannot have.
        pub conversion_strategy: ConversionStrategy,
        /// How the values are decoded.
        pub decoding_strategy: DecodingStrategy,
        /// Whether a zero byte in a value is a failure.
        pub null_byte_policy: NullBytePolicy,
    }

    /// Which names are found.
    #[derive(Debug)]
    pub struct FindName {
        /// Regular expression that matches somewhere in the name.
        pub regexp: Option<String>,
    }

    /// One change to keys; exactly one way.
    #[derive(Debug)]
    pub struct Rewrite {
        /// Merge the values of all keys, which hold JSON.
        pub merge: Option<RewriteMerge>,
        /// Replace what a regular expression matches.
        pub regexp: Option<RewriteRegexp>,
        /// Make each key with a template.
        pub transform: Option<RewriteTransform>,
    }

    /// A merge of the values of all keys.
    #[derive(Debug)]
    pub struct RewriteMerge {
        /// Key for the result, with the strategy JSON.
        pub into: String,
        /// What to do with a key that two secrets have.
        pub conflict_policy: ConflictPolicy,
        /// Secrets whose keys win, the last one most.
        pub priority: Vec<String>,
        /// What to do with a secret of priority that is not there.
        pub priority_policy: PriorityPolicy,
        /// Whether the result goes into the Secret or into one key.
        pub strategy: MergeStrategy,
    }

    /// A replacement in keys.
    #[derive(Debug)]
    pub struct RewriteRegexp {
        /// Regular expression to look for.
        pub source: String,
        /// Text to put in its place; $1 is the first group.
        pub target: String,
    }

    /// A template for keys.
    #[derive(Debug)]
    pub struct RewriteTransform {
        /// Template; .value is the key.
        pub template: String,
    }

    /// What is known of an ExternalSecret.
    #[derive(Debug)]
    pub struct ExternalSecretStatus {
        /// When the store was last read.
        pub refresh_time: Option<Time>,
        /// Version of this object that was last written.
        pub synced_resource_version: Option<String>,
        /// What holds for this object.
        pub conditions: Conditions,
        /// The Secret that was written, for tools that look for a service binding.
        pub binding: Option<Binding>,
    }

    /// The Secret that was written.
    #[derive(Debug)]
    pub struct Binding {
        /// Name of the Secret.
        pub name: Option<String>,
    }
}

/// A Secret that is made from what a store holds.
pub enum ExternalSecret {}

impl Kind for ExternalSecret {
    type Spec = ExternalSecretSpec;
    type Status = ExternalSecretStatus;
    const API_VERSION: &'static str = "external-secrets.io/v1";
    const KIND: &'static str = "ExternalSecret";
    const ABOUT: &'static str = "A Secret that is made from what a store holds, and follows it.";
    const SUPPORTED: &'static [Supported] = &[
        any("secretStoreRef.name"),
        any("secretStoreRef.kind"),
        any("refreshInterval"),
        any("refreshPolicy"),
        any("target.name"),
        only("target.creationPolicy", &["Owner", "Orphan", "Merge"]),
        only("target.deletionPolicy", &["Retain", "Delete"]),
        any("target.immutable"),
        only("target.template.engineVersion", &["v2"]),
        any("target.template.type"),
        any("target.template.mergePolicy"),
        any("target.template.metadata.labels"),
        any("target.template.metadata.annotations"),
        any("target.template.metadata.finalizers"),
        any("target.template.data"),
        any("target.template.templateFrom[].configMap.name"),
        any("target.template.templateFrom[].configMap.items[].key"),
        any("target.template.templateFrom[].configMap.items[].templateAs"),
        any("target.template.templateFrom[].secret.name"),
        any("target.template.templateFrom[].secret.items[].key"),
        any("target.template.templateFrom[].secret.items[].templateAs"),
        any("target.template.templateFrom[].literal"),
        any("target.template.templateFrom[].target"),
        any("target.template.templateFrom[].valuesDecodingStrategy"),
        any("data[].secretKey"),
        any("data[].remoteRef.key"),
        any("data[].remoteRef.property"),
        any("data[].remoteRef.version"),
        any("data[].remoteRef.metadataPolicy"),
        any("data[].remoteRef.conversionStrategy"),
        any("data[].remoteRef.decodingStrategy"),
        any("data[].remoteRef.nullBytePolicy"),
        any("data[].sourceRef.storeRef.name"),
        any("data[].sourceRef.storeRef.kind"),
        any("dataFrom[].extract.key"),
        any("dataFrom[].extract.property"),
        any("dataFrom[].extract.version"),
        any("dataFrom[].extract.metadataPolicy"),
        any("dataFrom[].extract.conversionStrategy"),
        any("dataFrom[].extract.decodingStrategy"),
        any("dataFrom[].extract.nullBytePolicy"),
        any("dataFrom[].find.path"),
        any("dataFrom[].find.name.regexp"),
        any("dataFrom[].find.tags"),
        any("dataFrom[].find.conversionStrategy"),
        any("dataFrom[].find.decodingStrategy"),
        any("dataFrom[].find.nullBytePolicy"),
        any("dataFrom[].rewrite[].regexp.source"),
        any("dataFrom[].rewrite[].regexp.target"),
        any("dataFrom[].rewrite[].transform.template"),
        any("dataFrom[].rewrite[].merge.into"),
        any("dataFrom[].rewrite[].merge.priority"),
        any("dataFrom[].rewrite[].merge.priorityPolicy"),
        any("dataFrom[].rewrite[].merge.strategy"),
        any("dataFrom[].rewrite[].merge.conflictPolicy"),
        any("dataFrom[].sourceRef.storeRef.name"),
        any("dataFrom[].sourceRef.storeRef.kind"),
    ];
}
