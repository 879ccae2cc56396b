//! Where objects name Secrets: each with its field, so that it can be rewritten, or told.

use std::collections::BTreeMap;

use manifest::{Object, ObjectId};
use serde_json::Value;

use crate::cluster::Reference;
use crate::parcels::edges::{self, From, To};
use crate::reads;

/// How deep fields that are called after a Secret are looked for.
const DEPTH: usize = 32;

/// A Secret that an object names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Secrets that an object names, by the JSON pointer of the field: those of the table of edges, and those that fields name by
/// what they are called.
pub(crate) fn of(object: &Object) -> BTreeMap<String, Named> {
    let mut found = BTreeMap::new();
    if matches!(object.kind(), "Secret" | "ConfigMap" | "CustomResourceDefinition") {
        return found;
    }
    for (_, from, path, to) in edges::EDGES {
        let Some(start) = start(object, *from) else { continue };
        let Some(value) = object.value().pointer(start) else { continue };
        for (pointer, value) in at(value, start, path) {
            found.extend(named(object.namespace(), pointer, value, *to));
        }
    }
    by_name(object.value(), String::new(), object.namespace(), DEPTH, &mut found);
    found
}

/// Secrets and ConfigMaps that an object's pods name, by the JSON pointer of the field.
pub fn named_by_pods(object: &Object) -> BTreeMap<String, ObjectId> {
    let Some(start) = edges::pod_at(object) else { return BTreeMap::new() };
    let id = |kind: &str, namespace: &str, name: &str| Reference::new("v1", kind, namespace, name).id();
    let is_config = |edge: &&edges::Edge| matches!(edge, (_, From::Pods, _, To::Named("", "ConfigMap")));
    let pods = object.value().pointer(start).into_iter();
    let configs = pods.flat_map(|pods| edges::EDGES.iter().filter(is_config).flat_map(|edge| at(pods, start, edge.2)));
    let configs = configs.filter_map(|(at, name)| Some((at, id("ConfigMap", object.namespace(), name.as_str()?))));
    let is_of_pods = |pointer: &str| pointer.strip_prefix(start).is_some_and(|rest| rest.starts_with('/'));
    let secrets = of(object).into_iter().filter(|(pointer, _)| is_of_pods(pointer));
    configs.chain(secrets.map(|(at, named)| (at, id("Secret", &named.namespace, &named.name)))).collect()
}

/// Whether a field is part of a template from which a kind rolls out its pods.
pub(crate) fn is_of_template(object: &Object, pointer: &str) -> bool {
    let rest = reads::pod_template(object).and_then(|template| pointer.strip_prefix(template));
    rest.is_some_and(|rest| rest.starts_with('/'))
}

fn start(object: &Object, from: From) -> Option<&'static str> {
    let gvk = object.gvk();
    match from {
        From::Pods => edges::pod_at(object),
        From::Kind(group, kind) => (group == gvk.group && (kind == gvk.kind || kind == "*")).then_some(""),
    }
}

/// The values at a path of the table, with the pointer of each.
fn at<'v>(start: &'v Value, pointer: &str, path: &str) -> Vec<(String, &'v Value)> {
    let mut found = vec![(pointer.to_owned(), start)];
    for element in path.split('/').skip(1) {
        let name = element.trim_end_matches("[]");
        let inner = found.into_iter().filter_map(|(at, value)| Some((format!("{at}/{name}"), value.get(name)?)));
        found = match element.ends_with("[]") {
            true => inner.flat_map(|(at, value)| elements(at, value)).collect(),
            false => inner.collect(),
        };
    }
    found
}

fn elements(at: String, value: &Value) -> impl Iterator<Item = (String, &Value)> {
    let items = value.as_array().into_iter().flatten().enumerate();
    items.map(move |(index, item)| (format!("{at}/{index}"), item))
}

fn named(namespace: &str, pointer: String, value: &Value, to: To) -> Option<(String, Named)> {
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    match to {
        To::Named("", "Secret") => Some((pointer, Named { namespace: namespace.into(), name: value.as_str()?.into() })),
        To::Reference("", kind) if text("kind").unwrap_or(kind) == "Secret" => {
            let namespace = text("namespace").unwrap_or(namespace).to_owned();
            Some((format!("{pointer}/name"), Named { namespace, name: text("name")?.into() }))
        }
        _ => None,
    }
}

fn by_name(value: &Value, at: String, namespace: &str, depth: usize, found: &mut BTreeMap<String, Named>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    if value.is_array() {
        elements(at, value).for_each(|(at, inner)| by_name(inner, at, namespace, depth, found));
        return;
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        match inner {
            Value::String(name) if edges::is_secret_name(key) => {
                found.insert(at.clone(), Named { namespace: namespace.into(), name: name.clone() });
            }
            Value::Object(_) if edges::is_secret_reference(key) => {
                let text = |field: &str| inner.get(field).and_then(Value::as_str);
                let namespace = text("namespace").unwrap_or(namespace).to_owned();
                let name = text("name").map(str::to_owned);
                found.extend(name.map(|name| (format!("{at}/name"), Named { namespace, name })));
            }
            _ => {}
        }
        by_name(inner, at, namespace, depth, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(value: Value) -> Vec<String> {
        let object = Object::new(value).unwrap();
        let told = |(pointer, named): (String, Named)| {
            let is_rewritten = if is_of_template(&object, &pointer) { " *" } else { "" };
            format!("{pointer} {}/{}{is_rewritten}", named.namespace, named.name)
        };
        of(&object).into_iter().map(told).collect()
    }

    #[test]
    fn every_field_that_names_a_secret_is_found_once_and_told_by_its_pointer() {
        let workload = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s", "namespace": "n"},
            "spec": {"template": {"spec": {
                "imagePullSecrets": [{"name": "pull"}],
                "containers": [{"name": "a", "envFrom": [{"secretRef": {"name": "all"}}],
                    "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "one", "key": "k"}}}]}],
                "volumes": [{"secret": {"secretName": "mounted"}}, {"csi": {"nodePublishSecretRef": {"name": "csi"}}},
                    {"projected": {"sources": [{"secret": {"name": "part"}}]}}],
            }}},
        });
        let pod = "/spec/template/spec";
        let expected = [
            format!("{pod}/containers/0/env/0/valueFrom/secretKeyRef/name n/one *"),
            format!("{pod}/containers/0/envFrom/0/secretRef/name n/all *"),
            format!("{pod}/imagePullSecrets/0/name n/pull *"),
            format!("{pod}/volumes/0/secret/secretName n/mounted *"),
            format!("{pod}/volumes/1/csi/nodePublishSecretRef/name n/csi *"),
            format!("{pod}/volumes/2/projected/sources/0/secret/name n/part *"),
        ];
        assert_eq!(told(workload), expected);
    }

    #[test]
    fn what_rolls_nothing_out_names_secrets_that_cannot_be_rewritten() {
        let metadata = json!({"name": "x", "namespace": "n"});
        let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata,
            "spec": {"tls": [{"secretName": "tls"}]}});
        assert_eq!(told(ingress), ["/spec/tls/0/secretName n/tls"]);
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata,
            "imagePullSecrets": [{"name": "pull"}]});
        assert_eq!(told(account), ["/imagePullSecrets/0/name n/pull"]);
        let release = json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": metadata,
            "spec": {"valuesFrom": [{"kind": "Secret", "name": "values"}, {"kind": "ConfigMap", "name": "no"}]}});
        assert_eq!(told(release), ["/spec/valuesFrom/0/name n/values"]);
        let custom = json!({"apiVersion": "example.com/v1", "kind": "Database", "metadata": metadata,
            "spec": {"a/b": {"adminSecretRef": {"name": "admin", "namespace": "other"}}}});
        assert_eq!(told(custom), ["/spec/a~1b/adminSecretRef/name other/admin"]);
    }
}
