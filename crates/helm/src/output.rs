//! Rendered files to manifests and hooks, in the order in which they are installed.

mod known;

use serde_json::Value;

use crate::chart::scalar_text;

/// A manifest of a release.
#[derive(Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The template that it came from, by full path.
    pub source: String,
    /// Its text.
    pub text: String,
    /// Line of the rendered template on which the text begins, from 1.
    pub line: u32,
    /// `apiVersion`; empty when it has none.
    pub api_version: String,
    /// `kind`; empty when it has none.
    pub kind: String,
    /// `metadata.name`; empty when it has none.
    pub name: String,
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Before an installation.
    PreInstall,
    /// After an installation.
    PostInstall,
    /// Before an uninstallation.
    PreDelete,
    /// After an uninstallation.
    PostDelete,
    /// Before an upgrade.
    PreUpgrade,
    /// After an upgrade.
    PostUpgrade,
    /// Before a rollback.
    PreRollback,
    /// After a rollback.
    PostRollback,
    /// When tests are asked for.
    Test,
}

impl Event {
    const ALL: [(&'static str, Event); 10] = [
        ("pre-install", Event::PreInstall),
        ("post-install", Event::PostInstall),
        ("pre-delete", Event::PreDelete),
        ("post-delete", Event::PostDelete),
        ("pre-upgrade", Event::PreUpgrade),
        ("post-upgrade", Event::PostUpgrade),
        ("pre-rollback", Event::PreRollback),
        ("post-rollback", Event::PostRollback),
        ("test", Event::Test),
        // Helm 2's word.
        ("test-success", Event::Test),
    ];

    /// The word of the annotation and of the release record.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, event)| *event == self).map_or("", |(name, _)| name)
    }

    /// The event of a word.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, event)| *event)
    }
}

/// A manifest that is not part of the release but runs at some event.
#[derive(Clone, PartialEq, Eq)]
pub struct Hook {
    /// The manifest.
    pub manifest: Manifest,
    /// When it runs.
    pub events: Vec<Event>,
    /// Hooks of one event run by weight, then in the order of installation.
    pub weight: i64,
    /// When its object is deleted: `before-hook-creation`, `hook-succeeded`, `hook-failed`; nothing means the first.
    pub delete_policies: Vec<String>,
    /// When the logs of its pods are shown: `hook-succeeded`, `hook-failed`.
    pub log_policies: Vec<String>,
}

/// A rendered text that is no manifest.
#[derive(Debug, thiserror::Error)]
#[error("YAML parse error on {file}: {problem}")]
pub struct ManifestError {
    /// The template, by full path.
    pub file: String,
    /// Line of the rendered text on which the document begins, from 1.
    pub line: u32,
    problem: String,
}

/// Order of installation by kind; other kinds come after these, by name.
const INSTALL_ORDER: &[&str] = &[
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As things are installed.
    Install,
    /// As things are uninstalled: the other way round, but unknown kinds still come last.
    Uninstall,
}

/// Sorts by kind; what is of one kind keeps its order.
pub fn sort_by_kind<T>(items: &mut [T], order: Order, kind: impl Fn(&T) -> &str) {
    items.sort_by(|left, right| key(kind(left), order).cmp(&key(kind(right), order)));
}

fn key(kind: &str, order: Order) -> (usize, &str) {
    match (INSTALL_ORDER.iter().position(|known| *known == kind), order) {
        (Some(at), Order::Install) => (at, ""),
        (Some(at), Order::Uninstall) => (INSTALL_ORDER.len() - at, ""),
        (None, _) => (usize::MAX, kind),
    }
}

/// Splits rendered files, in the order of their paths, into hooks and manifests, each in the order of installation.
///
/// # Errors
/// The first document that is no YAML.
pub(crate) fn sort<'f>(
    files: impl IntoIterator<Item = (&'f str, &'f str)>,
) -> Result<(Vec<Hook>, Vec<Manifest>), ManifestError> {
    let (mut hooks, mut manifests) = (Vec::new(), Vec::new());
    for (path, content) in files {
        if gotemplate::go::path::base(path).starts_with('_') {
            continue;
        }
        for (line, text) in documents(content) {
            let Head { api_version, kind, name, annotations } = known::head(text, || head(path, line, text))?;
            let manifest = Manifest { source: path.to_owned(), text: text.to_owned(), line, api_version, kind, name };
            match annotations.get("helm.sh/hook") {
                None => manifests.push(manifest),
                Some(events) => hooks.extend(hook(manifest, events, &annotations)),
            }
        }
    }
    sort_by_kind(&mut hooks, Order::Install, |hook: &Hook| &hook.manifest.kind);
    sort_by_kind(&mut manifests, Order::Install, |manifest: &Manifest| &manifest.kind);
    Ok((hooks, manifests))
}

/// The documents of a text with their lines; a line that begins with `---` separates, blank documents are left out.
fn documents(content: &str) -> Vec<(u32, &str)> {
    let (mut found, mut counted) = (Vec::new(), Counted { at: 0, line: 1 });
    let mut start = content.len() - content.trim_start().len();
    let mut at = start;
    while at <= content.len() {
        if let Some(after) = content[at..].strip_prefix("---") {
            push_document(&mut found, content, start, at, &mut counted);
            start = content.len() - after.trim_start_matches([' ', '\t']).len();
        }
        match content[at.max(start)..].find('\n') {
            Some(newline) => at = at.max(start) + newline + 1,
            None => break,
        }
    }
    push_document(&mut found, content, start, content.len(), &mut counted);
    found
}

/// How far lines were counted.
struct Counted {
    at: usize,
    line: u32,
}

fn push_document<'c>(
    found: &mut Vec<(u32, &'c str)>,
    content: &'c str,
    start: usize,
    end: usize,
    counted: &mut Counted,
) {
    let text = content[start..end].trim_start();
    if !text.is_empty() {
        let begins = end - text.len();
        let newlines = content[counted.at..begins].bytes().filter(|byte| *byte == b'\n').count();
        counted.line = counted.line.saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX));
        counted.at = begins;
        found.push((counted.line, text));
    }
}

type Annotations = std::collections::BTreeMap<String, String>;

/// What a document says of itself.
#[derive(Clone)]
struct Head {
    api_version: String,
    kind: String,
    name: String,
    annotations: Annotations,
}

fn head(path: &str, line: u32, text: &str) -> Result<Head, ManifestError> {
    let fail = |problem: String| ManifestError { file: path.to_owned(), line, problem };
    let value = yaml::from_str(text).map_err(|error| fail(crate::values::yaml_problem(&error)))?;
    let mismatch = |found: &Value, field: &str, of: &str| {
        let kind = crate::values::kind(found);
        fail(format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {kind} into Go {field} of type {of}"
        ))
    };
    if !value.is_object() && !value.is_null() {
        return Err(mismatch(&value, "value", "util.SimpleHead"));
    }
    let field = |value: &Value, name: &str, shown: &str| {
        let field = value.get(name).unwrap_or(&Value::Null);
        scalar_text(field).ok_or_else(|| mismatch(field, &format!("struct field {shown}"), "string"))
    };
    let metadata = value.get("metadata").unwrap_or(&Value::Null);
    if !metadata.is_object() && !metadata.is_null() {
        return Err(mismatch(
            metadata,
            "struct field SimpleHead.metadata",
            "struct { Name string \"json:\\\"name\\\"\"; Annotations map[string]string \"json:\\\"annotations\\\"\" }",
        ));
    }
    let api_version = field(&value, "apiVersion", "SimpleHead.apiVersion")?;
    let kind = field(&value, "kind", "SimpleHead.kind")?;
    let name = field(metadata, "name", "SimpleHead.metadata.name")?;
    let annotations = match metadata.get("annotations") {
        None | Some(Value::Null) => Annotations::new(),
        Some(Value::Object(map)) => {
            let shown = "SimpleHead.metadata.annotations";
            let text = |value: &Value| {
                scalar_text(value).ok_or_else(|| mismatch(value, &format!("struct field {shown}"), "string"))
            };
            let texts = map.iter().map(|(key, value)| Ok((key.clone(), text(value)?)));
            texts.collect::<Result<_, _>>()?
        }
        Some(other) => {
            return Err(mismatch(other, "struct field SimpleHead.metadata.annotations", "map[string]string"));
        }
    };
    Ok(Head { api_version, kind, name, annotations })
}

/// A hook; `None` when one of its events is unknown, as Helm leaves it out then.
fn hook(manifest: Manifest, events: &str, annotations: &Annotations) -> Option<Hook> {
    let words = |text: &str| text.split(',').map(|word| word.trim().to_lowercase()).collect::<Vec<_>>();
    let policies = |name: &str| annotations.get(name).map(|text| words(text)).unwrap_or_default();
    Some(Hook {
        events: words(events).iter().map(|word| Event::parse(word)).collect::<Option<_>>()?,
        weight: annotations
            .get("helm.sh/hook-weight")
            .and_then(|weight| gotemplate::go::number::atoi(weight).ok())
            .unwrap_or(0),
        delete_policies: policies("helm.sh/hook-delete-policy"),
        log_policies: policies("helm.sh/hook-output-log-policy"),
        manifest,
    })
}

/// Where and what only: a manifest may be a Secret.
impl std::fmt::Debug for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Manifest({} {} from {}:{})", self.kind, self.name, self.source, self.line)
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hook({:?} at {:?})", self.manifest, self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_split_at_lines_that_begin_with_three_dashes() {
        let split = documents("\n---\na: 1\n--- \n\nb: 2\n---# c\n---\n");
        assert_eq!(split, [(3, "a: 1\n"), (6, "b: 2\n"), (7, "# c\n")]);
    }

    #[test]
    fn unknown_kinds_come_last_in_both_directions() {
        let mut kinds = ["Zoo", "Service", "Alpha", "Namespace"];
        sort_by_kind(&mut kinds, Order::Install, |kind| kind);
        assert_eq!(kinds, ["Namespace", "Service", "Alpha", "Zoo"]);
        sort_by_kind(&mut kinds, Order::Uninstall, |kind| kind);
        assert_eq!(kinds, ["Service", "Namespace", "Alpha", "Zoo"]);
    }
}
