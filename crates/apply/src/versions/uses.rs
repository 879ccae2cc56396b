//! Who still refers to old versions of Secrets: what a rollout could go back to, what runs, and what Helm could bring back.
//!
//! **Guarantee.** Doubt keeps: where a list fails, or a record cannot be read, everything of that namespace is in use. Any text
//! of an object that is a version's name counts, wherever it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::try_join_all;
use manifest::Object;
use serde_json::Value;

use crate::cluster::{Cluster, ClusterError, Reference, Selection};

/// What may refer to a Secret of its namespace, and outlive the template that is wanted now.
const REFERRERS: [(&str, &str); 8] = [
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "ControllerRevision"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("v1", "Pod"),
];
/// Selector of Helm's records of releases.
const RECORDS: &str = "owner=helm";
/// Longest record that is read; Helm's own limit is a Secret's.
const LONGEST_RECORD: u64 = 64 << 20;

/// Which of some versions are in use.
#[derive(Default)]
pub(crate) struct Uses {
    /// Names in use, by namespace; `None` where nobody knows.
    known: BTreeMap<String, Option<BTreeSet<String>>>,
}

impl Uses {
    /// Asks for these versions.
    pub(crate) async fn of(versions: impl IntoIterator<Item = &Reference>, cluster: &Arc<dyn Cluster>) -> Self {
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for at in versions {
            wanted.entry(&at.namespace).or_default().insert(&at.name);
        }
        let mut known = BTreeMap::new();
        for (namespace, names) in wanted {
            known.insert(namespace.to_owned(), of_namespace(namespace, &names, cluster).await.ok());
        }
        Self { known }
    }

    /// Whether certainly nothing refers to a version.
    pub(crate) fn is_free(&self, at: &Reference) -> bool {
        matches!(self.known.get(&at.namespace), Some(Some(used)) if !used.contains(&at.name))
    }
}

async fn of_namespace(
    namespace: &str,
    names: &BTreeSet<&str>,
    cluster: &Arc<dyn Cluster>,
) -> Result<BTreeSet<String>, ClusterError> {
    let lists = REFERRERS.iter().map(|(version, kind)| async move {
        match cluster.list(&Selection::all(version, kind).within(namespace)).await {
            // What is not served has no objects.
            Err(ClusterError::NoKind { .. }) => Ok(Vec::new()),
            other => other,
        }
    });
    let records = Selection::all("v1", "Secret").within(namespace).labelled(RECORDS);
    let (referrers, records) = futures::try_join!(try_join_all(lists), cluster.list(&records))?;
    let mut used = BTreeSet::new();
    for object in referrers.iter().flatten() {
        note(object.value(), names, &mut used);
    }
    for record in records {
        let manifest = manifest_of(&record);
        let is_named = |name: &&&str| manifest.as_ref().is_none_or(|manifest| manifest.contains(**name));
        used.extend(names.iter().filter(is_named).map(|name| (*name).to_owned()));
    }
    Ok(used)
}

/// Notes the names that stand in a value.
fn note(value: &Value, names: &BTreeSet<&str>, used: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if names.contains(text.as_str()) => drop(used.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| note(item, names, used)),
        Value::Object(fields) => fields.values().for_each(|field| note(field, names, used)),
        _ => {}
    }
}

/// What Helm has recorded, as text; `None` where that cannot be told.
fn manifest_of(record: &Object) -> Option<String> {
    let packed = STANDARD.decode(STANDARD.decode(record.text("/data/release")?).ok()?).ok()?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).take(LONGEST_RECORD).read_to_string(&mut text).ok()?;
    (text.len() as u64 != LONGEST_RECORD).then_some(text)
}
