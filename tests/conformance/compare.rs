//! Two answers, compared for what does not vary by nature.

use apply::{Answer, ClusterError};
use serde_json::{Map, Value, json};

/// What became of a call.
pub(crate) type Outcome = Result<Answer, ClusterError>;

/// What a real server fills in and the memory does not, as paths with `[]` for any list item. Owners of these fields are
/// left out, too.
const DEFAULTS: [&str; 17] = [
    "spec.ipFamilies",
    "spec.ipFamilyPolicy",
    "spec.conversion",
    "spec.names.listKind",
    "spec.names.singular",
    "spec.backoffLimit",
    "spec.completionMode",
    "spec.completions",
    "spec.manualSelector",
    "spec.parallelism",
    "spec.podReplacementPolicy",
    "spec.suspend",
    "spec.selector.matchLabels.batch.kubernetes.io/controller-uid",
    "spec.template.metadata.labels.batch.kubernetes.io/controller-uid",
    "spec.template.metadata.labels.batch.kubernetes.io/job-name",
    "spec.template.metadata.labels.controller-uid",
    "spec.template.metadata.labels.job-name",
];

/// Where two outcomes differ, in words; nothing when they agree.
pub(crate) fn differences(memory: &Outcome, real: &Outcome) -> Vec<String> {
    match (memory, real) {
        (Ok(memory), Ok(real)) => of_answers(memory, real),
        (Err(memory), Err(real)) => {
            let (memory, real) = (masked(&error_text(memory)), masked(&error_text(real)));
            if memory == real { Vec::new() } else { vec![format!("\n  memory: {memory}\n  real:   {real}")] }
        }
        (memory, real) => vec![format!("\n  memory: {}\n  real:   {}", short(memory), short(real))],
    }
}

fn short(outcome: &Outcome) -> String {
    match outcome {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => error_text(error),
    }
}

/// Variant, words and fields.
fn error_text(error: &ClusterError) -> String {
    let text = format!("{error:?}");
    let variant = text.split([' ', '{']).next().unwrap_or_default();
    match error {
        ClusterError::Refused { fields, .. } => format!("{variant} {error} {fields:?}"),
        _ => format!("{variant} {error}"),
    }
}

/// Without UIDs, resource versions, whole structures in the server's internal form, and the order of faults, which is
/// that of a Go map.
fn masked(text: &str) -> String {
    let text = match (text.find("\n@@"), text.rfind(" [\"")) {
        (Some(from), Some(to)) if from < to => &format!("{}{}", &text[..from], &text[to..]),
        _ => text,
    };
    let text = match (text.find("Invalid value: {"), text.rfind("}: ")) {
        (Some(from), Some(to)) if from < to => format!("{}<structure>{}", &text[..from], &text[to + 1..]),
        _ => text.to_owned(),
    };
    let words = text.split(' ').map(|word| {
        let bare = word.trim_matches(['(', ')', ',', ';', '.', '[', ']', ':']);
        let uid = bare.len() == 36 && bare.matches('-').count() == 4;
        if uid || (!bare.is_empty() && bare.chars().all(|c| c.is_ascii_digit())) { "<n>" } else { bare }
    });
    let mut words: Vec<&str> = words.collect();
    if text.contains("is invalid: [") {
        words.sort_unstable();
    }
    words.join(" ")
}

fn of_answers(memory: &Answer, real: &Answer) -> Vec<String> {
    match (memory, real) {
        (Answer::Object(Some(memory)), Answer::Object(Some(real))) => of_objects(memory.value(), real.value()),
        (Answer::Objects(memory), Answer::Objects(real)) => {
            let sorted = |list: &[manifest::Object]| {
                let mut list: Vec<Value> = list.iter().map(|object| object.value().clone()).collect();
                // A real namespace holds this one, too.
                list.retain(|value| value["metadata"]["name"] != "kube-root-ca.crt");
                list.sort_by_key(|value| value["metadata"]["name"].to_string());
                list
            };
            let (memory, real) = (sorted(memory), sorted(real));
            if memory.len() != real.len() {
                return vec![format!("{} objects in memory, {} in the real server", memory.len(), real.len())];
            }
            memory.iter().zip(&real).flat_map(|(memory, real)| of_objects(memory, real)).collect()
        }
        (memory, real) if format!("{memory:?}") == format!("{real:?}") => Vec::new(),
        (memory, real) => vec![format!("\n  memory: {memory:?}\n  real:   {real:?}")],
    }
}

fn of_objects(memory: &Value, real: &Value) -> Vec<String> {
    let (memory, real) = (plain(memory), plain(real));
    let mut lines = Vec::new();
    walk(&memory, &real, "", &mut lines);
    if lines.is_empty() { lines } else { vec![lines.join("")] }
}

fn walk(memory: &Value, real: &Value, path: &str, lines: &mut Vec<String>) {
    match (memory, real) {
        (Value::Object(left), Value::Object(right)) => {
            let mut names: Vec<&String> = left.keys().chain(right.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match (left.get(name), right.get(name)) {
                    (Some(left), Some(right)) => walk(left, right, &below, lines),
                    (None, Some(_)) if is_default(&below) => {}
                    (left, right) => say(&below, left, right, lines),
                }
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (left, right) in left.iter().zip(right) {
                walk(left, right, &format!("{path}[]"), lines);
            }
        }
        (left, right) if left == right => {}
        (left, right) => say(path, Some(left), Some(right), lines),
    }
}

fn say(path: &str, memory: Option<&Value>, real: Option<&Value>, lines: &mut Vec<String>) {
    let show = |value: Option<&Value>| value.map_or("-".into(), ToString::to_string);
    lines.push(format!("\n  {path}\n    memory: {}\n    real:   {}", show(memory), show(real)));
}

fn is_default(path: &str) -> bool {
    let path = path.strip_prefix("owners.").map_or(path, |path| path.split_once('.').map_or(path, |(_, rest)| rest));
    DEFAULTS
        .iter()
        .any(|default| path == *default || path.strip_prefix(default).is_some_and(|rest| rest.starts_with('.')))
}

/// An object without what varies, its managers as a map of owners to paths.
fn plain(object: &Value) -> Value {
    let mut object = object.clone();
    let custom = object["apiVersion"].as_str().is_some_and(|version| version.contains(".example.com"));
    let managers = object["metadata"]["managedFields"].take();
    let metadata = object["metadata"].as_object_mut().expect("an object has metadata");
    metadata.remove("managedFields");
    for field in ["uid", "creationTimestamp", "deletionTimestamp", "resourceVersion"] {
        if let Some(value) = metadata.get_mut(field) {
            *value = json!("masked");
        }
    }
    if let Some(owners) = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut) {
        owners.iter_mut().for_each(|owner| owner["uid"] = json!("masked"));
    }
    // Controllers of the real control plane write these.
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("deployment.kubernetes.io/revision");
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    if object["kind"] == "Service" {
        object["spec"].as_object_mut().expect("a Service has a spec").retain(|name, _| !name.starts_with("clusterIP"));
    }
    // What the registry of these kinds makes up.
    if object["kind"] == "Job" {
        object["spec"].as_object_mut().expect("a Job has a spec").remove("selector");
        object["metadata"].as_object_mut().expect("it has metadata").remove("labels");
    }
    if object["kind"] == "PersistentVolumeClaim" {
        object["metadata"].as_object_mut().expect("it has metadata").remove("finalizers");
    }
    if !custom {
        object.as_object_mut().expect("an object is a map").remove("status");
    }
    object["owners"] = owners(&managers);
    object
}

fn owners(managers: &Value) -> Value {
    let mut owners = Map::new();
    for entry in managers.as_array().into_iter().flatten() {
        let name = entry["manager"].as_str().unwrap_or_default();
        if name.starts_with("kube-") {
            continue;
        }
        let title = format!("{name}/{}/{}", entry["operation"].as_str().unwrap_or_default(), entry["subresource"]);
        let mut fields = Map::new();
        collect(&entry["fieldsV1"], "", &mut fields);
        if fields.is_empty() {
            continue;
        }
        owners.insert(title.replace('.', "_"), Value::Object(fields));
    }
    Value::Object(owners)
}

/// The paths of a field set, as one map from path to true. Keys of list items stay in the path as they are, and are
/// replaced by `[]` where defaults are looked up.
fn collect(set: &Value, path: &str, fields: &mut Map<String, Value>) {
    for (key, below) in set.as_object().into_iter().flatten() {
        let path = match key.split_once(':') {
            Some(("f", name)) if path.is_empty() => name.to_owned(),
            Some(("f", name)) => format!("{path}.{name}"),
            Some((_, item)) if item.starts_with("{\"uid\":") => format!("{path}[uid]"),
            Some((_, item)) => format!("{path}[{item}]"),
            None => format!("{path} itself"),
        };
        let leaf = below.as_object().is_some_and(Map::is_empty);
        // A Deployment's controller annotates it, so that the map is there already.
        let shared = matches!(path.as_str(), "metadata.annotations" | "metadata.annotations itself");
        if leaf && !shared && !is_default(&without_keys(&path)) {
            fields.insert(path.clone(), json!(true));
        }
        collect(below, &path, fields);
    }
}

fn without_keys(path: &str) -> String {
    let mut text = String::new();
    let mut depth = 0;
    for c in path.trim_end_matches(" itself").chars() {
        match c {
            '[' => {
                depth += 1;
                text.push('[');
            }
            ']' => {
                depth -= 1;
                text.push(']');
            }
            c if depth == 0 => text.push(c),
            _ => {}
        }
    }
    text
}
