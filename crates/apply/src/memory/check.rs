//! What the API server knows about single kinds: how they are decoded, what it fills in, what it refuses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifest::ObjectId;
use serde_json::{Map, Value, json};

use super::defaults;
use super::kinds::Kind;
use super::managed::Part;
use super::merge;
use super::store::{finalizers, find, is_terminating, text};
use super::write::{misfit, set_or_remove};
use crate::ClusterError;
use crate::schema::{Fault, Schema};

/// Brings a request's object into the stored form: unknown fields of custom resources go, defaults come.
///
/// # Errors
/// For values of a wrong type, in words that show no value.
pub(super) fn decode(kind: &Kind, id: ObjectId, value: &mut Value) -> Result<(), ClusterError> {
    if let Some(schema) = &kind.schema {
        schema.normalize(value);
        return Ok(());
    }
    for (pointer, field) in [("/metadata/labels", "metadata.labels"), ("/metadata/annotations", "metadata.annotations")]
    {
        texts(kind, &id, find(value, pointer), field)?;
    }
    omit_empty(value, "");
    defaults::fill(kind, value);
    match kind.gvk.kind.as_str() {
        "ConfigMap" => texts(kind, &id, value.get("data"), "data"),
        "Secret" => decode_secret(kind, &id, value),
        "Namespace" => {
            let name = value["metadata"]["name"].clone();
            if !value["metadata"]["labels"].is_object() {
                value["metadata"]["labels"] = json!({});
            }
            value["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Built-in kinds are Go structures: null is absence, and so are empty lists and maps (not empty structures).
fn omit_empty(value: &mut Value, name: &str) {
    const MAPS: [&str; 12] = [
        "data",
        "binaryData",
        "stringData",
        "labels",
        "annotations",
        "matchLabels",
        "nodeSelector",
        "selector",
        "limits",
        "requests",
        "capacity",
        "parameters",
    ];
    // Kept as they are: opaque, or their emptiness says something.
    if matches!(name, "openAPIV3Schema" | "raw" | "managedFields" | "podSelector" | "namespaceSelector") {
        return;
    }
    match value {
        Value::Object(map) => {
            map.iter_mut().for_each(|(name, below)| omit_empty(below, name));
            map.retain(|name, below| match below {
                Value::Null => name == "rules",
                Value::Array(items) => !items.is_empty() || matches!(name.as_str(), "rules" | "managedFields"),
                Value::Object(entries) => !entries.is_empty() || !MAPS.contains(&name.as_str()),
                _ => true,
            });
        }
        Value::Array(items) => items.iter_mut().for_each(|item| omit_empty(item, "")),
        _ => {}
    }
}

/// The server does not say which key it was.
fn undecodable(kind: &Kind, id: &ObjectId, why: &str) -> ClusterError {
    let (version, name) = (kind.gvk.api_version(), &kind.gvk.kind);
    let message = format!("{name} in version {version:?} cannot be handled as a {name}: {why}");
    ClusterError::Refused { id: Some(id.clone()), message, fields: Vec::new() }
}

/// A map, and all its values text.
fn texts(kind: &Kind, id: &ObjectId, map: Option<&Value>, field: &str) -> Result<(), ClusterError> {
    let wrong = |found: &Value, wanted: &str| {
        let (found, owner) = (go_type(found), &kind.gvk.kind);
        let why = format!("json: cannot unmarshal {found} into Go struct field {owner}.{field} of type {wanted}");
        Err(undecodable(kind, id, &why))
    };
    match map {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(map)) => match map.values().find(|value| !value.is_string() && !value.is_null()) {
            Some(value) => wrong(value, "string"),
            None => Ok(()),
        },
        Some(other) => wrong(other, "map[string]string"),
    }
}

/// What Go's decoder calls a value.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// `stringData` is written into `data`.
fn decode_secret(kind: &Kind, id: &ObjectId, value: &mut Value) -> Result<(), ClusterError> {
    texts(kind, id, value.get("data"), "data")?;
    texts(kind, id, value.get("stringData"), "stringData")?;
    let plain = value.as_object_mut().and_then(|map| map.remove("stringData"));
    if let Some(Value::Object(plain)) = plain.filter(|plain| plain.as_object().is_some_and(|map| !map.is_empty())) {
        if !value["data"].is_object() {
            value["data"] = json!({});
        }
        for (key, text) in plain {
            value["data"][key] = json!(STANDARD.encode(text.as_str().unwrap_or_default()));
        }
    }
    for (_, text) in value.get_mut("data").and_then(Value::as_object_mut).into_iter().flatten() {
        let encoded = text.as_str().unwrap_or_default();
        match manifest::decoded(encoded) {
            Ok(bytes) => *text = json!(STANDARD.encode(bytes)),
            Err(error) => {
                let at = match error {
                    base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                    _ => encoded.len() / 4 * 4,
                };
                return Err(undecodable(kind, id, &format!("illegal base64 data at input byte {at}")));
            }
        }
    }
    if value.get("type").is_none_or(Value::is_null) {
        value["type"] = json!("Opaque");
    }
    Ok(())
}

/// Refuses an apply that does not fit the kind's types.
///
/// # Errors
/// With the first misfit.
pub(super) fn typed(kind: &Kind, id: &ObjectId, config: &Value) -> Result<(), ClusterError> {
    maps(config).and_then(|()| merge::check(config, kind.shape())).map_err(|found| misfit(kind, id, &found))
}

/// What every kind that has it has as a map: the table of merge rules does not tell maps from scalars.
fn maps(config: &Value) -> Result<(), merge::Misfit> {
    let fields = ["/metadata/labels", "/metadata/annotations", "/data", "/binaryData", "/stringData"];
    for pointer in fields {
        let found = find(config, pointer);
        if let Some(found) = found.filter(|found| !found.is_object() && !found.is_null()) {
            return Err(merge::Misfit::not_a_map(&pointer.replacen('/', "", 1).replace('/', "."), found));
        }
    }
    Ok(())
}

/// What the server adds to a new object.
pub(super) fn at_birth(kind: &Kind, value: &mut Value, number: u64) {
    if kind.has_status && !kind.is_custom() {
        set_or_remove(value, "status", first_status(&kind.gvk.kind));
    } else if kind.has_status {
        // What was given is dropped, and the default comes when it is read from the store.
        set_or_remove(value, "status", kind.schema.as_ref().and_then(Schema::default_status));
    }
    if kind.is("", "Namespace") && find(value, "/spec/finalizers").is_none() {
        value["spec"] = json!({ "finalizers": ["kubernetes"] });
    }
    let external = text(value, "/spec/type") == "ExternalName";
    if kind.is("", "Service") && !external && text(value, "/spec/clusterIP").is_empty() {
        let address = format!("10.96.{}.{}", (number >> 8) & 0xff, number & 0xff);
        value["spec"]["clusterIP"] = json!(address);
        value["spec"]["clusterIPs"] = json!([address]);
    }
}

fn first_status(kind: &str) -> Option<Value> {
    match kind {
        "Namespace" => Some(json!({ "phase": "Active" })),
        "Pod" | "PersistentVolumeClaim" => Some(json!({ "phase": "Pending" })),
        "Service" => Some(json!({ "loadBalancer": {} })),
        _ => None,
    }
}

/// An update without a Service's address keeps the one that it has.
pub(super) fn carry_over(kind: &Kind, live: &Value, new: &mut Value) {
    if kind.is("", "Service") && text(new, "/spec/type") != "ExternalName" {
        for field in ["clusterIP", "clusterIPs"] {
            let own = find(live, "/spec").and_then(|spec| spec.get(field));
            if let Some(own) = own.filter(|_| new["spec"].get(field).is_none_or(Value::is_null)) {
                new["spec"][field] = own.clone();
            }
        }
    }
}

/// A namespace is not gone before its content is.
pub(super) fn holds_content(kind: &Kind, value: &Value) -> bool {
    let held = find(value, "/spec/finalizers").and_then(Value::as_array);
    kind.is("", "Namespace") && held.is_some_and(|held| !held.is_empty())
}

/// Whether a change counts up the generation.
pub(super) fn content_differs(kind: &Kind, live: &Value, new: &Value) -> bool {
    let annotations = |value: &Value| find(value, "/metadata/annotations").cloned().unwrap_or_default();
    counted(kind, live).ne(counted(kind, new))
        || (kind.is("apps", "Deployment") && annotations(live) != annotations(new))
}

/// The fields of which a change counts.
fn counted<'a>(kind: &'a Kind, value: &'a Value) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let counts = |field: &str| match field {
        "metadata" | "apiVersion" | "kind" => false,
        "status" => !kind.has_status,
        _ => true,
    };
    value.as_object().into_iter().flatten().filter(move |(field, _)| counts(field))
}

/// What is wrong with a new object.
pub(super) fn created(kind: &Kind, value: &Value) -> Vec<Fault> {
    let mut faults: Vec<Fault> = check_name(kind, text(value, "/metadata/name")).into_iter().collect();
    faults.extend(content(kind, value));
    faults
}

/// What is wrong with a change.
pub(super) fn updated(kind: &Kind, live: &Value, new: &Value, part: Part) -> Vec<Fault> {
    let mut faults = content(kind, new);
    if part == Part::Status {
        // The status is held against its own schema there.
        for fault in &mut faults {
            fault.message = fault.message.replace(": status.", ": ");
        }
    }
    if is_terminating(live) {
        let added = finalizers(new).filter(|name| finalizers(live).all(|own| own != *name));
        let added: Vec<String> = added.map(|name| format!("{name:?}")).collect();
        if !added.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            faults.push(Fault::forbidden("metadata.finalizers", &why));
        }
    }
    faults.extend(immutable(kind, live, new));
    faults
}

fn content(kind: &Kind, value: &Value) -> Vec<Fault> {
    if let Some(schema) = &kind.schema {
        return schema.validate(value);
    }
    match (kind.gvk.group.as_str(), kind.gvk.kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => workload(value),
        ("batch", "Job") => pod(find(value, "/spec/template/spec"), "spec.template.spec"),
        ("batch", "CronJob") => {
            pod(find(value, "/spec/jobTemplate/spec/template/spec"), "spec.jobTemplate.spec.template.spec")
        }
        ("", "PodTemplate") => pod(find(value, "/template/spec"), "template.spec"),
        ("", "Pod") => pod(value.get("spec"), "spec"),
        ("", "Service") => service(value),
        _ => Vec::new(),
    }
}

fn workload(value: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let labels = find(value, "/spec/template/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    match find(value, "/spec/selector") {
        None | Some(Value::Null) => faults.push(Fault::required("spec.selector")),
        Some(selector) => {
            let wanted = selector.get("matchLabels").and_then(Value::as_object).cloned().unwrap_or_default();
            if wanted.iter().any(|(key, value)| labels.get(key) != Some(value)) {
                let why = "`selector` does not match template `labels`";
                faults.push(Fault::invalid("spec.template.metadata.labels", &labels, why));
            }
        }
    }
    faults.extend(pod(find(value, "/spec/template/spec"), "spec.template.spec"));
    faults
}

fn pod(spec: Option<&Value>, path: &str) -> Vec<Fault> {
    let containers = spec.and_then(|spec| spec.get("containers")).and_then(Value::as_array);
    let Some(containers) = containers.filter(|list| !list.is_empty()) else {
        return vec![Fault::required(format!("{path}.containers"))];
    };
    let init = spec.and_then(|spec| spec.get("initContainers")).and_then(Value::as_array);
    let mut faults = Vec::new();
    let all = containers.iter().enumerate().map(|item| ("containers", item));
    let init = init.into_iter().flatten().enumerate().map(|item| ("initContainers", item));
    for (list, (index, container)) in init.chain(all) {
        for field in ["name", "image"] {
            if container.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                faults.push(Fault::required(format!("{path}.{list}[{index}].{field}")));
            }
        }
        let variables = container.get("env").and_then(Value::as_array).into_iter().flatten();
        for (at, variable) in variables.enumerate() {
            let both = variable.get("valueFrom").is_some() && !text(variable, "/value").is_empty();
            if both {
                let field = format!("{path}.{list}[{index}].env[{at}].valueFrom");
                faults.push(Fault::invalid(field, &json!(""), "may not be specified when `value` is not empty"));
            }
        }
    }
    faults
}

fn service(value: &Value) -> Vec<Fault> {
    let (kind, headless) = (text(value, "/spec/type"), text(value, "/spec/clusterIP") == "None");
    let ports = find(value, "/spec/ports").and_then(Value::as_array).map_or(0, Vec::len);
    if ports == 0 && kind != "ExternalName" && !headless {
        return vec![Fault::required("spec.ports")];
    }
    Vec::new()
}

/// Changes that the server refuses.
fn immutable(kind: &Kind, live: &Value, new: &Value) -> Vec<Fault> {
    let same =
        |pointer: &str| find(live, pointer).unwrap_or(&Value::Null) == find(new, pointer).unwrap_or(&Value::Null);
    let fixed = |pointer: &str| (!same(pointer)).then(|| frozen(new, pointer));
    match (kind.gvk.group.as_str(), kind.gvk.kind.as_str()) {
        ("apps", "Deployment" | "DaemonSet" | "ReplicaSet") => fixed("/spec/selector").into_iter().collect(),
        ("apps", "StatefulSet") => stateful_set(live, new).into_iter().collect(),
        ("batch", "Job") => ["/spec/completions", "/spec/selector", "/spec/template/metadata", "/spec/template/spec"]
            .into_iter()
            .filter_map(fixed)
            .collect(),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") if !same("/roleRef") => {
            let part = |name: &str| new.get("roleRef").and_then(|role| role.get(name)).cloned();
            let found = json!({ "APIGroup": part("apiGroup"), "Kind": part("kind"), "Name": part("name") });
            vec![Fault::invalid("roleRef", &found, "cannot change roleRef")]
        }
        ("", "Secret") => {
            let mut faults: Vec<Fault> = fixed("/type").into_iter().collect();
            faults.extend(sealed(live, new, &["data"]));
            faults
        }
        ("", "ConfigMap") => sealed(live, new, &["data", "binaryData"]),
        ("", "PersistentVolumeClaim") => claim(live, new).into_iter().collect(),
        ("", "Service") => service_address(live, new).into_iter().collect(),
        ("storage.k8s.io", "StorageClass") => ["/provisioner", "/parameters", "/reclaimPolicy", "/volumeBindingMode"]
            .into_iter()
            .filter(|pointer| !same(pointer))
            .map(|pointer| match pointer {
                "/parameters" => Fault::forbidden("parameters", "updates to parameters are forbidden."),
                "/provisioner" => Fault::forbidden("provisioner", "updates to provisioner are forbidden."),
                _ => frozen(new, pointer),
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn frozen(new: &Value, pointer: &str) -> Fault {
    let found = find(new, pointer).cloned().unwrap_or_default();
    Fault::invalid(pointer.trim_start_matches('/').replace('/', "."), &found, "field is immutable")
}

/// Immutable ConfigMaps and Secrets.
fn sealed(live: &Value, new: &Value, fields: &[&str]) -> Vec<Fault> {
    if live.get("immutable") != Some(&Value::Bool(true)) {
        return Vec::new();
    }
    let why = "field is immutable when `immutable` is set";
    let changed = |field: &&str| live.get(*field).unwrap_or(&Value::Null) != new.get(*field).unwrap_or(&Value::Null);
    std::iter::once("immutable")
        .chain(fields.iter().copied())
        .filter(changed)
        .map(|field| Fault::forbidden(field, why))
        .collect()
}

fn without(value: Option<&Value>, fields: &[&str]) -> Map<String, Value> {
    let map = value.and_then(Value::as_object).into_iter().flatten();
    map.filter(|(name, _)| !fields.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn stateful_set(live: &Value, new: &Value) -> Option<Fault> {
    const FREE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
               'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    (without(live.get("spec"), &FREE) != without(new.get("spec"), &FREE)).then(|| Fault::forbidden("spec", why))
}

fn claim(live: &Value, new: &Value) -> Option<Fault> {
    // A claim that was not bound yet gets its volume and its class from the control plane.
    let fixed = |value: &Value| {
        let mut map = without(value.get("spec"), &["volumeAttributesClassName", "volumeName", "storageClassName"]);
        let resources = without(find(value, "/spec/resources"), &["requests"]);
        map.insert("resources".into(), Value::Object(resources));
        map
    };
    let why =
        "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    let class = |value: &Value| text(value, "/spec/storageClassName").to_owned();
    let reclassed = !class(live).is_empty() && class(live) != class(new);
    (fixed(live) != fixed(new) || reclassed).then(|| Fault::forbidden("spec", why))
}

fn service_address(live: &Value, new: &Value) -> Option<Fault> {
    let address = |value: &Value| text(value, "/spec/clusterIP").to_owned();
    let external = [live, new].into_iter().any(|value| text(value, "/spec/type") == "ExternalName");
    if external || address(live).is_empty() || address(live) == address(new) {
        return None;
    }
    let found = find(new, "/spec/clusterIPs").cloned().unwrap_or_else(|| json!([address(new)]));
    Some(Fault::invalid("spec.clusterIPs[0]", &found, "may not change once set"))
}

/// Names as the server wants them: a DNS subdomain, a label for a few kinds, anything without a slash for RBAC.
fn check_name(kind: &Kind, name: &str) -> Option<Fault> {
    let label = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty() && part.chars().all(inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    let value = Value::from(name);
    if kind.gvk.group == "rbac.authorization.k8s.io" {
        let bad = name == "." || name == ".." || name.contains(['/', '%']);
        return bad.then(|| Fault::invalid("metadata.name", &value, "may not contain '/'"));
    }
    let (fits, why) = match kind.gvk.kind.as_str() {
        "Namespace" | "Service" => (label(name) && name.len() <= 63, LABEL),
        _ => (name.split('.').all(label) && name.len() <= 253, SUBDOMAIN),
    };
    (!fits).then(|| Fault::invalid("metadata.name", &value, why))
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                         and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
                         validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                     and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
