//! Rendered templates: what Kubernetes would hardly take.

use gotemplate::go;
use serde_json::Value;

use super::{Linter, Severity, name};
use crate::KubeVersion;
use crate::chart::scalar_text;
use crate::values::{kind, yaml_problem};

/// What a document says of itself.
pub(super) struct Head {
    pub(super) api_version: String,
    pub(super) kind: String,
    name: String,
}

impl Head {
    /// Reads a document; nothing when it is empty.
    pub(super) fn read(text: &str) -> Result<Option<Self>, String> {
        let value = yaml::from_str(text).map_err(|error| yaml_problem(&error))?;
        let mismatch = |found: &Value, place: &str| {
            let found = kind(found);
            format!("error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go {place}")
        };
        match &value {
            Value::Null => return Ok(None),
            Value::Object(_) => {}
            other => return Err(mismatch(other, "value of type rules.k8sYamlStruct")),
        }
        let text = |value: Option<&Value>, field: &str| match value {
            None => Ok(String::new()),
            Some(value) => {
                scalar_text(value).ok_or_else(|| mismatch(value, &format!("struct field {field} of type string")))
            }
        };
        let metadata = value.get("metadata").unwrap_or(&Value::Null);
        if !matches!(metadata, Value::Null | Value::Object(_)) {
            return Err(mismatch(metadata, "struct field k8sYamlStruct.Metadata of type rules.k8sYamlMetadata"));
        }
        text(metadata.get("namespace"), "k8sYamlMetadata.Metadata.Namespace")?;
        Ok(Some(Self {
            api_version: text(value.get("apiVersion"), "k8sYamlStruct.apiVersion")?,
            kind: text(value.get("kind"), "k8sYamlStruct.Kind")?,
            name: text(metadata.get("name"), "k8sYamlMetadata.Metadata.Name")?,
        }))
    }
}

/// Documents as Kubernetes splits them: at lines that hold a mark and at most a comment.
pub(super) fn documents(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for line in text.split_inclusive('\n') {
        let rest = line.strip_prefix("---").map(str::trim);
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('#')) {
            found.push(String::new());
        } else if let Some(document) = found.last_mut() {
            document.push_str(line);
        }
    }
    found.retain(|document| !document.is_empty());
    found
}

/// Examines the rendered text of a template; whether what follows is still looked at.
pub(super) fn check(linter: &mut Linter, file: &str, text: &str, version: &KubeVersion) -> bool {
    if text.trim().is_empty() {
        return true;
    }
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if first.starts_with([' ', '\t']) {
        let shown = go::quote::quote(first.as_bytes());
        let words = format!("document starts with an illegal indent: {shown}, which may cause parsing problems");
        linter.add(Severity::Warning, file, words);
    }
    for document in documents(text) {
        let head = match Head::read(&document) {
            Ok(head) => head,
            Err(problem) => {
                linter.add(Severity::Error, file, format!("unable to parse YAML: {problem}"));
                return false;
            }
        };
        if let Some(head) = head {
            check_object(linter, file, &head, text, version);
        }
    }
    true
}

fn check_object(linter: &mut Linter, file: &str, head: &Head, text: &str, version: &KubeVersion) {
    let shown = go::quote::quote(head.name.as_bytes());
    let problems = name::problems(&head.kind, &head.name);
    let problems: Vec<String> =
        problems.iter().map(|problem| format!("metadata.name: Invalid value: {shown}: {problem}")).collect();
    let joined = match problems.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("[{}]", several.join(", "))),
    };
    if let Some(joined) = joined {
        let words = format!("object name does not conform to Kubernetes naming requirements: {shown}: {joined}");
        linter.add(Severity::Warning, file, words);
    }
    if let Some(words) = deprecated(head, version) {
        linter.add(Severity::Warning, file, words);
    }
    let selects = ["Deployment", "ReplicaSet", "DaemonSet", "StatefulSet"].contains(&head.kind.as_str());
    if selects && !text.contains("matchLabels") && !text.contains("matchExpressions") {
        let words = format!("a {} must contain matchLabels or matchExpressions, and {shown} does not", head.kind);
        linter.add(Severity::Error, file, words);
    }
    if head.kind == "List" && keeps_policy(text) {
        let words = "annotation 'helm.sh/resource-policy' within List objects are ignored";
        linter.add(Severity::Error, file, words);
    }
}

/// Whether an object in a list says that it is to be kept.
fn keeps_policy(text: &str) -> bool {
    let list = yaml::from_str(text).unwrap_or_default();
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    let mut policies = items.filter_map(|item| item.pointer("/metadata/annotations/helm.sh~1resource-policy"));
    policies.next().is_some()
}

/// Since which Kubernetes, and Helm's sentence, which begins with version and kind: what client-go v0.36 knows of the
/// lives of its types, as `deprecation.WarningMessage` tells it.
const DEPRECATED: &str = include_str!("deprecated.txt");

/// What is said of a version of a kind that a Kubernetes warns of.
fn deprecated(head: &Head, version: &KubeVersion) -> Option<&'static str> {
    let beginning = format!("{} {} ", head.api_version, head.kind);
    let number = |text: &str| text.parse::<u32>().ok();
    let is_past = |since: &str| {
        let (major, minor) = since.split_once('.')?;
        Some((number(major)?, number(minor)?) <= (number(&version.major)?, number(&version.minor)?))
    };
    let lines = DEPRECATED.lines().filter_map(|line| line.split_once('\t'));
    let mut fitting = lines.filter(|(_, words)| words.starts_with(&beginning));
    fitting.find(|(since, _)| is_past(since) == Some(true)).map(|(_, words)| words)
}
