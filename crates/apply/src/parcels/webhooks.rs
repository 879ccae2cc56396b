//! Which objects a webhook judges, read from its configuration as the API server reads it.
//!
//! Only webhooks that must answer count (`failurePolicy: Fail`, the default), and only those that a Service of the cluster
//! serves. What has pods, and the values that pods read, never waits for a webhook: workloads would be newer than their
//! Secrets, or a webhook would wait for itself.

use std::collections::BTreeMap;

use manifest::{Gvk, Object, ObjectId};
use serde_json::{Map, Value};

use super::edges::{pod, selects};
use crate::order::{self, Stage};
use crate::reads::items;

/// Group of the kinds that configure webhooks.
const GROUP: &str = "admissionregistration.k8s.io";
/// Label that every namespace has.
const NAME: &str = "kubernetes.io/metadata.name";

/// The webhooks among some objects.
#[derive(Default)]
pub(crate) struct Webhooks<'a> {
    /// Each with the configuration that it stands in.
    all: Vec<(ObjectId, &'a Value)>,
    /// Resource names of kinds that are defined beside them.
    resources: BTreeMap<(String, String), &'a str>,
    /// Labels of namespaces that are declared beside them.
    namespaces: BTreeMap<&'a str, Option<&'a Value>>,
}

impl<'a> Webhooks<'a> {
    /// Takes note of an object.
    pub(crate) fn note(&mut self, object: &'a Object) {
        let gvk = object.gvk();
        if is_configuration(&gvk) {
            let webhooks = items(object.value(), "webhooks").filter(|webhook| must_answer(webhook));
            self.all.extend(webhooks.map(|webhook| (object.id(), webhook)));
        }
        match gvk.kind.as_str() {
            "Namespace" => drop(self.namespaces.insert(object.name(), object.value().pointer("/metadata/labels"))),
            "CustomResourceDefinition" => {
                let [group, kind, plural] =
                    ["/spec/group", "/spec/names/kind", "/spec/names/plural"].map(|at| object.text(at));
                let key = (group.unwrap_or_default().to_owned(), kind.unwrap_or_default().to_owned());
                self.resources.extend(plural.map(|plural| (key, plural)));
            }
            _ => {}
        }
    }

    /// The configurations of the webhooks that judge an object when it is written.
    pub(crate) fn judging<'s>(&'s self, object: &'s Object) -> impl Iterator<Item = ObjectId> + 's {
        let may_wait = !self.all.is_empty() && may_wait(object);
        let judging = self.all.iter().filter(move |(_, webhook)| may_wait && self.judges(webhook, object));
        judging.map(|(id, _)| id.clone())
    }

    fn judges(&self, webhook: &Value, object: &Object) -> bool {
        let gvk = object.gvk();
        let resource = self.resource(&gvk);
        let lists = |rule: &Value, list: &str, wanted: &[&str]| {
            items(rule, list).filter_map(Value::as_str).any(|one| one == "*" || wanted.contains(&one))
        };
        let is_about = |rule: &Value| {
            lists(rule, "apiGroups", &[&gvk.group])
                && lists(rule, "resources", &[&resource, "*/*"])
                && lists(rule, "operations", &["CREATE", "UPDATE"])
        };
        items(webhook, "rules").any(is_about)
            && selected(webhook.get("objectSelector"), object.value().pointer("/metadata/labels"))
            && self.is_in_namespace(webhook.get("namespaceSelector"), object)
    }

    fn resource(&self, gvk: &Gvk) -> String {
        let defined = self.resources.get(&(gvk.group.clone(), gvk.kind.clone()));
        defined.map_or_else(|| plural(&gvk.kind.to_ascii_lowercase()), |name| (*name).to_owned())
    }

    /// Of a namespace that is declared elsewhere only the name is known: what else it is selected by may be so.
    fn is_in_namespace(&self, selector: Option<&Value>, object: &Object) -> bool {
        if object.namespace().is_empty() {
            return true;
        }
        let declared = self.namespaces.get(object.namespace());
        let mut labels = declared.copied().flatten().and_then(Value::as_object).cloned().unwrap_or_default();
        labels.insert(NAME.into(), object.namespace().into());
        let is_known = declared.is_some() || asks_for_name_alone(selector);
        !is_known || selected(selector, Some(&Value::Object(labels)))
    }
}

/// Whether a kind configures webhooks.
pub(crate) fn is_configuration(gvk: &Gvk) -> bool {
    gvk.group == GROUP && gvk.kind.ends_with("WebhookConfiguration")
}

fn must_answer(webhook: &Value) -> bool {
    let ignores = webhook.get("failurePolicy").and_then(Value::as_str) == Some("Ignore");
    !ignores && webhook.pointer("/clientConfig/service").is_some()
}

/// Whether an object can be written after all workloads.
fn may_wait(object: &Object) -> bool {
    let stage = order::place(&object.gvk()).0;
    stage >= Stage::Workloads && stage < Stage::Admission && object.kind() != "Service" && pod(object).is_none()
}

/// Kubernetes' rule for selectors of webhooks: none, or an empty one, selects everything.
fn selected(selector: Option<&Value>, labels: Option<&Value>) -> bool {
    let has = |name: &str| match selector.and_then(|selector| selector.get(name)) {
        Some(Value::Object(map)) => !map.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        _ => false,
    };
    let is_empty = !has("matchLabels") && !has("matchExpressions");
    is_empty || selector.is_some_and(|selector| selects(selector, labels.unwrap_or(&Value::Null)))
}

fn asks_for_name_alone(selector: Option<&Value>) -> bool {
    let Some(selector) = selector else { return true };
    let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    let expressions = items(selector, "matchExpressions").filter_map(|expression| expression.get("key")?.as_str());
    labels.map(String::as_str).chain(expressions).all(|key| key == NAME)
}

/// How the API server's clients guess the name of a resource (apimachinery `UnsafeGuessKindToResource`).
fn plural(kind: &str) -> String {
    let is_vowel_y = ["ay", "ey", "iy", "oy", "uy"].iter().any(|end| kind.ends_with(end));
    match kind.strip_suffix('y') {
        Some(stem) if !is_vowel_y => format!("{stem}ies"),
        _ if kind.ends_with("endpoints") => kind.to_owned(),
        _ if ["s", "x", "ch", "sh"].iter().any(|end| kind.ends_with(end)) => format!("{kind}es"),
        _ => format!("{kind}s"),
    }
}
