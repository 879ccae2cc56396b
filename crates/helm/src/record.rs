//! The release record: what Helm 4 keeps of a release in a Secret, and reads back for `list`, `history`, `get` and
//! `rollback`.
//!
//! # Form
//! A Secret `sh.helm.release.v1.<name>.v<revision>` of type `helm.sh/release.v1`; its `release` is the release as JSON,
//! packed by gzip, in base64. Labels repeat name, owner, status and revision, for they can be selected by.
//!
//! # Caveats
//! - A chart's dependencies are not kept: Helm does not keep them either.
//! - The times of a chart's files are not kept; nothing in Helm reads them from a record.
//! - Fields of another Helm than 4.2 are lost when a record is read and written again, as 4.2 loses them.

mod history;
mod json;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use gotemplate::go::base64;
use manifest::Object;
use serde_json::{Value, json};

pub use history::History;
pub(crate) use json::from_metadata as metadata_to_json;

use crate::output::Hook;
use crate::values::Values;
use crate::{Chart, Rendered};

/// Type of the Secrets.
pub const SECRET_TYPE: &str = "helm.sh/release.v1";
/// Bytes that a record may have when it is unpacked.
const MAX_SIZE: u64 = 64 << 20;
/// Labels that belong to Helm.
const SYSTEM_LABELS: [&str; 6] = ["name", "owner", "status", "version", "createdAt", "modifiedAt"];

/// Nanoseconds since 1970.
pub type Nanoseconds = i128;

/// What has become of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nobody knows.
    Unknown,
    /// In the cluster.
    Deployed,
    /// Gone from the cluster, kept in the history.
    Uninstalled,
    /// A later revision has taken its place.
    Superseded,
    /// Not brought to the cluster.
    Failed,
    /// Going.
    Uninstalling,
    /// Being installed.
    PendingInstall,
    /// Being upgraded.
    PendingUpgrade,
    /// Being rolled back.
    PendingRollback,
}

impl Status {
    const ALL: [(&'static str, Status); 9] = [
        ("unknown", Status::Unknown),
        ("deployed", Status::Deployed),
        ("uninstalled", Status::Uninstalled),
        ("superseded", Status::Superseded),
        ("failed", Status::Failed),
        ("uninstalling", Status::Uninstalling),
        ("pending-install", Status::PendingInstall),
        ("pending-upgrade", Status::PendingUpgrade),
        ("pending-rollback", Status::PendingRollback),
    ];

    /// Helm's word.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, status)| *status == self).map_or("unknown", |(name, _)| name)
    }

    /// The status of a word; what is not known is [`Status::Unknown`].
    pub fn parse(name: &str) -> Self {
        Self::ALL.iter().find(|(known, _)| *known == name).map_or(Self::Unknown, |(_, status)| *status)
    }

    /// Whether an operation is under way, or was cut off.
    pub fn is_pending(self) -> bool {
        matches!(self, Self::PendingInstall | Self::PendingUpgrade | Self::PendingRollback)
    }
}

/// How the objects of a release were brought to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyMethod {
    /// By three-way merges of the client.
    ClientSide,
    /// By server-side apply.
    ServerSide,
}

/// How the last run of a hook went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookRun {
    /// When it began.
    pub started: Option<Nanoseconds>,
    /// When it ended.
    pub completed: Option<Nanoseconds>,
    /// `Running`, `Succeeded`, `Failed`, `Unknown`; empty when it has not run.
    pub phase: String,
}

/// A revision of a release.
#[derive(Clone)]
pub struct Release {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Revision, from 1.
    pub version: i64,
    /// Status.
    pub status: Status,
    /// What happened last, in a sentence.
    pub description: String,
    /// When its first revision was installed.
    pub first_deployed: Option<Nanoseconds>,
    /// When this revision was brought to the cluster.
    pub last_deployed: Option<Nanoseconds>,
    /// When it was uninstalled.
    pub deleted: Option<Nanoseconds>,
    /// Rendered notes.
    pub notes: String,
    /// The chart, with the defaults that it had.
    pub chart: Chart,
    /// The values that its user gave.
    pub config: Values,
    /// All manifests.
    pub manifest: String,
    /// Hooks, and how they went.
    pub hooks: Vec<(Hook, HookRun)>,
    /// Labels of its user.
    pub labels: BTreeMap<String, String>,
    /// How it was applied.
    pub apply_method: Option<ApplyMethod>,
}

/// A Secret that holds no release.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// No field `release`, or not in base64.
    #[error("the record has no release in base64")]
    Missing,
    /// Cannot be packed or unpacked.
    #[error("the record cannot be packed or unpacked")]
    Packing {
        /// Why.
        source: std::io::Error,
    },
    /// Too large.
    #[error("the record has more than {MAX_SIZE} bytes")]
    TooLarge,
    /// No release.
    #[error("the record is no release: {problem}")]
    Malformed {
        /// Which field.
        problem: String,
    },
}

impl Release {
    /// A new revision out of a render.
    pub fn new(
        name: &str,
        namespace: &str,
        version: i64,
        rendered: &Rendered,
        config: Values,
        now: Nanoseconds,
    ) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            version,
            status: Status::Unknown,
            description: String::new(),
            first_deployed: Some(now),
            last_deployed: Some(now),
            deleted: None,
            notes: rendered.notes.clone(),
            chart: rendered.chart.clone(),
            config,
            manifest: rendered.manifest(false),
            hooks: rendered.hooks.iter().map(|hook| (hook.clone(), HookRun::default())).collect(),
            labels: BTreeMap::new(),
            apply_method: Some(ApplyMethod::ServerSide),
        }
    }

    /// Name of its Secret.
    pub fn secret_name(&self) -> String {
        secret_name(&self.name, self.version)
    }
}

/// Identity only: values and manifests may hold secrets.
impl std::fmt::Debug for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Release({}/{} v{} {})", self.namespace, self.name, self.version, self.status.name())
    }
}

/// Name of the Secret of a revision.
pub fn secret_name(release: &str, version: i64) -> String {
    format!("sh.helm.release.v1.{release}.v{version}")
}

/// Labels by which the Secrets of a release are selected.
pub fn selector(release: &str) -> String {
    format!("name={release},owner=helm")
}

/// When a record is written.
#[derive(Clone, Copy, Debug)]
pub enum Written {
    /// It is new.
    Created(Nanoseconds),
    /// It replaces one.
    Modified(Nanoseconds),
}

/// The Secret that holds a release.
///
/// # Errors
/// When the release cannot be packed.
pub fn encode(release: &Release, written: Written) -> Result<Object, RecordError> {
    let text = yaml::json::to_string(&json::from_release(release), yaml::json::Html::Escaped);
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    let packed = packer.write_all(text.as_bytes()).and_then(|()| packer.finish());
    let packed = base64::encode(&packed.map_err(|source| RecordError::Packing { source })?);
    Ok(Object::unchecked(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": release.secret_name(),
            "namespace": release.namespace,
            "labels": labels(release, written),
        },
        "type": SECRET_TYPE,
        "data": {"release": base64::encode(packed.as_bytes())},
    })))
}

/// The user's labels and, over them, Helm's.
fn labels(release: &Release, written: Written) -> BTreeMap<String, String> {
    let (stamp, time) = match written {
        Written::Created(time) => ("createdAt", time),
        Written::Modified(time) => ("modifiedAt", time),
    };
    let mut labels = release.labels.clone();
    labels.extend([
        ("name".to_owned(), release.name.clone()),
        ("owner".to_owned(), "helm".to_owned()),
        ("status".to_owned(), release.status.name().to_owned()),
        ("version".to_owned(), release.version.to_string()),
        (stamp.to_owned(), time.div_euclid(1_000_000_000).to_string()),
    ]);
    labels
}

/// The release that a Secret holds.
///
/// # Errors
/// When it holds none.
pub fn decode(secret: &Object) -> Result<Release, RecordError> {
    let outer = secret.text("/data/release").ok_or(RecordError::Missing)?;
    let inner = base64::decode(outer.as_bytes()).map_err(|_| RecordError::Missing)?;
    let value = unpack(base64::decode(&inner).map_err(|_| RecordError::Missing)?)?;
    let mut release = json::to_release(&value).map_err(|problem| RecordError::Malformed { problem })?;
    let labels = secret.value().pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    release.labels = labels
        .filter(|(key, _)| !SYSTEM_LABELS.contains(&key.as_str()))
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    Ok(release)
}

/// The JSON in a record; the first Helms did not pack it.
fn unpack(packed: Vec<u8>) -> Result<Value, RecordError> {
    let mut unpacked = Vec::new();
    if packed.starts_with(&[0x1f, 0x8b, 0x08]) {
        let mut reader = MultiGzDecoder::new(packed.as_slice()).take(MAX_SIZE + 1);
        reader.read_to_end(&mut unpacked).map_err(|source| RecordError::Packing { source })?;
    } else {
        unpacked = packed;
    }
    if unpacked.len() as u64 > MAX_SIZE {
        return Err(RecordError::TooLarge);
    }
    serde_json::from_slice(&unpacked)
        .map_err(|error| RecordError::Malformed { problem: format!("no JSON at column {}", error.column()) })
}
