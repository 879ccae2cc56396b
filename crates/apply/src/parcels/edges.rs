//! What belongs with what, and what depends on what, as one table (landing.md section 4).

use std::collections::{BTreeMap, BTreeSet};

use manifest::{Gvk, Object, ObjectId};
use serde_json::Value;

use super::webhooks::Webhooks;

/// How two objects stand to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    /// If one is held, the other is.
    BelongsWith,
    /// If the target is held, the one that depends on it is.
    DependsOn,
}

use Relation::{BelongsWith, DependsOn};

/// Whose objects an edge starts from.
#[derive(Clone, Copy, Debug)]
pub enum From {
    /// Everything that has pods, at their specification.
    Pods,
    /// One kind of a group (`*` for any); paths start at the object.
    Kind(&'static str, &'static str),
}

/// What stands at an edge's path.
#[derive(Clone, Copy, Debug)]
pub enum To {
    /// A name of a kind of a group.
    Named(&'static str, &'static str),
    /// `name`, and perhaps `kind`, `namespace` and `apiVersion`, `apiGroup` or `group`; these count when they are not given.
    Reference(&'static str, &'static str),
    /// A label selector over pods: the workloads that make them.
    Pods,
    /// A label selector over Services.
    Services,
}

/// One row: relation, start, path (`[]` for each element), target.
pub type Edge = (Relation, From, &'static str, To);

const SECRET: To = To::Named("", "Secret");
const CONFIG: To = To::Named("", "ConfigMap");
const SERVICE: To = To::Reference("", "Service");
const RBAC: &str = "rbac.authorization.k8s.io";
const NET: &str = "networking.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
const GATEWAY: &str = "gateway.networking.k8s.io";
const MONITORING: &str = "monitoring.coreos.com";
const EXTERNAL: &str = "external-secrets.io";
const HELM: &str = "helm.toolkit.fluxcd.io";
const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io";
const SOURCE: &str = "source.toolkit.fluxcd.io";

/// The table. Besides it: every object depends on its Namespace, on the CustomResourceDefinition of its kind and on the
/// configuration of a webhook that judges it ([`super::webhooks`]); a field
/// called `secretName`, `existingSecret` or `secretRef.name`, or ending so, names a Secret that its object belongs with; and
/// what an ExternalSecret or a release makes belongs with it.
pub const EDGES: &[Edge] = &[
    // Values.
    (BelongsWith, From::Pods, "/containers[]/env[]/valueFrom/secretKeyRef/name", SECRET),
    (BelongsWith, From::Pods, "/initContainers[]/env[]/valueFrom/secretKeyRef/name", SECRET),
    (BelongsWith, From::Pods, "/containers[]/env[]/valueFrom/configMapKeyRef/name", CONFIG),
    (BelongsWith, From::Pods, "/initContainers[]/env[]/valueFrom/configMapKeyRef/name", CONFIG),
    (BelongsWith, From::Pods, "/containers[]/envFrom[]/secretRef/name", SECRET),
    (BelongsWith, From::Pods, "/initContainers[]/envFrom[]/secretRef/name", SECRET),
    (BelongsWith, From::Pods, "/containers[]/envFrom[]/configMapRef/name", CONFIG),
    (BelongsWith, From::Pods, "/initContainers[]/envFrom[]/configMapRef/name", CONFIG),
    (BelongsWith, From::Pods, "/volumes[]/secret/secretName", SECRET),
    (BelongsWith, From::Pods, "/volumes[]/configMap/name", CONFIG),
    (BelongsWith, From::Pods, "/volumes[]/projected/sources[]/secret/name", SECRET),
    (BelongsWith, From::Pods, "/volumes[]/projected/sources[]/configMap/name", CONFIG),
    (BelongsWith, From::Pods, "/imagePullSecrets[]/name", SECRET),
    (BelongsWith, From::Kind("", "ServiceAccount"), "/imagePullSecrets[]/name", SECRET),
    (BelongsWith, From::Kind(HELM, "HelmRelease"), "/spec/valuesFrom[]", To::Reference("", "ConfigMap")),
    (
        BelongsWith,
        From::Kind(KUSTOMIZE, "Kustomization"),
        "/spec/postBuild/substituteFrom[]",
        To::Reference("", "ConfigMap"),
    ),
    (
        BelongsWith,
        From::Kind(GATEWAY, "Gateway"),
        "/spec/listeners[]/tls/certificateRefs[]",
        To::Reference("", "Secret"),
    ),
    // Selection.
    (BelongsWith, From::Kind("", "Service"), "/spec/selector", To::Pods),
    (BelongsWith, From::Kind("policy", "PodDisruptionBudget"), "/spec/selector", To::Pods),
    (BelongsWith, From::Kind(NET, "NetworkPolicy"), "/spec/podSelector", To::Pods),
    (
        BelongsWith,
        From::Kind("autoscaling", "HorizontalPodAutoscaler"),
        "/spec/scaleTargetRef",
        To::Reference("apps", "Deployment"),
    ),
    (
        BelongsWith,
        From::Kind("autoscaling.k8s.io", "VerticalPodAutoscaler"),
        "/spec/targetRef",
        To::Reference("apps", "Deployment"),
    ),
    (BelongsWith, From::Kind(MONITORING, "ServiceMonitor"), "/spec/selector", To::Services),
    (BelongsWith, From::Kind(MONITORING, "PodMonitor"), "/spec/selector", To::Pods),
    (BelongsWith, From::Kind(NET, "Ingress"), "/spec/rules[]/http/paths[]/backend/service", SERVICE),
    (BelongsWith, From::Kind(NET, "Ingress"), "/spec/defaultBackend/service", SERVICE),
    (BelongsWith, From::Kind(GATEWAY, "*"), "/spec/rules[]/backendRefs[]", SERVICE),
    (BelongsWith, From::Kind(ADMISSION, "*"), "/webhooks[]/clientConfig/service", SERVICE),
    (BelongsWith, From::Kind("apiregistration.k8s.io", "APIService"), "/spec/service", SERVICE),
    (BelongsWith, From::Kind("apiextensions.k8s.io", "*"), "/spec/conversion/webhook/clientConfig/service", SERVICE),
    (BelongsWith, From::Kind("apps", "StatefulSet"), "/spec/serviceName", To::Named("", "Service")),
    // Order.
    (DependsOn, From::Pods, "/serviceAccountName", To::Named("", "ServiceAccount")),
    (DependsOn, From::Pods, "/priorityClassName", To::Named("scheduling.k8s.io", "PriorityClass")),
    (DependsOn, From::Pods, "/runtimeClassName", To::Named("node.k8s.io", "RuntimeClass")),
    (DependsOn, From::Pods, "/volumes[]/persistentVolumeClaim/claimName", To::Named("", "PersistentVolumeClaim")),
    (
        DependsOn,
        From::Kind("", "PersistentVolumeClaim"),
        "/spec/storageClassName",
        To::Named("storage.k8s.io", "StorageClass"),
    ),
    (DependsOn, From::Kind(NET, "Ingress"), "/spec/ingressClassName", To::Named(NET, "IngressClass")),
    (DependsOn, From::Kind(GATEWAY, "Gateway"), "/spec/gatewayClassName", To::Named(GATEWAY, "GatewayClass")),
    (DependsOn, From::Kind(GATEWAY, "*"), "/spec/parentRefs[]", To::Reference(GATEWAY, "Gateway")),
    (DependsOn, From::Kind(RBAC, "*"), "/roleRef", To::Reference(RBAC, "Role")),
    (DependsOn, From::Kind(EXTERNAL, "*"), "/spec/secretStoreRef", To::Reference(EXTERNAL, "SecretStore")),
    (DependsOn, From::Kind(EXTERNAL, "*"), "/spec/data[]/sourceRef/storeRef", To::Reference(EXTERNAL, "SecretStore")),
    (
        DependsOn,
        From::Kind(EXTERNAL, "*"),
        "/spec/dataFrom[]/sourceRef/storeRef",
        To::Reference(EXTERNAL, "SecretStore"),
    ),
    (DependsOn, From::Kind(HELM, "HelmRelease"), "/spec/chart/spec/sourceRef", To::Reference(SOURCE, "HelmRepository")),
    (DependsOn, From::Kind(HELM, "HelmRelease"), "/spec/chartRef", To::Reference(SOURCE, "OCIRepository")),
    (DependsOn, From::Kind(HELM, "HelmRelease"), "/spec/dependsOn[]", To::Reference(HELM, "HelmRelease")),
    (DependsOn, From::Kind(HELM, "HelmRelease"), "/spec/serviceAccountName", To::Named("", "ServiceAccount")),
    (DependsOn, From::Kind(KUSTOMIZE, "Kustomization"), "/spec/sourceRef", To::Reference(SOURCE, "GitRepository")),
    (DependsOn, From::Kind(KUSTOMIZE, "Kustomization"), "/spec/dependsOn[]", To::Reference(KUSTOMIZE, "Kustomization")),
    (DependsOn, From::Kind(KUSTOMIZE, "Kustomization"), "/spec/serviceAccountName", To::Named("", "ServiceAccount")),
];

/// Ends of field names whose text, or whose `name`, is that of a Secret.
const SECRET_NAMES: [&str; 2] = ["secretname", "existingsecret"];
const SECRET_REFERENCE: &str = "secretref";
/// How deep such fields are looked for.
const DEPTH: usize = 32;

/// What leads a parcel, for its name: the lower the better.
pub(crate) fn rank(id: &ObjectId) -> usize {
    const LEADERS: [&str; 7] =
        ["HelmRelease", "Kustomization", "Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job"];
    LEADERS.iter().position(|kind| *kind == id.kind).unwrap_or(match id.kind.as_str() {
        "ExternalSecret" => LEADERS.len() + 1,
        "Secret" | "ConfigMap" => LEADERS.len() + 2,
        _ => LEADERS.len(),
    })
}

/// Objects that one cannot do without, wherever they are declared: its namespace, the Secrets and ConfigMaps whose values
/// it reads, and all that the table has it depend on.
pub fn needed(object: &Object) -> BTreeSet<ObjectId> {
    let edges = Known::new(std::iter::empty(), |_: &ObjectId| false).edges(object).into_iter();
    let is_needed = |relation, id: &ObjectId| {
        relation == DependsOn || (id.group.is_empty() && matches!(id.kind.as_str(), "Secret" | "ConfigMap"))
    };
    edges.filter(|(relation, id)| is_needed(*relation, id)).map(|(_, id)| id).collect()
}

/// Objects that will come of one that declares them: the Secret of an ExternalSecret.
pub fn promised(object: &Object) -> Vec<ObjectId> {
    if object.kind() != "ExternalSecret" || object.gvk().group != EXTERNAL {
        return Vec::new();
    }
    let name = object.text("/spec/target/name").filter(|name| !name.is_empty()).unwrap_or(object.name());
    vec![id("", "Secret", object.namespace(), name)]
}

/// What an object can lead to: everything that was declared with it.
pub(crate) struct Known<'a, F> {
    exists: F,
    /// Labels of the pods that workloads make, by namespace.
    pods: BTreeMap<&'a str, Vec<(ObjectId, &'a Value)>>,
    services: BTreeMap<&'a str, Vec<(ObjectId, &'a Value)>>,
    /// The definition of each group and kind.
    definitions: BTreeMap<(String, String), ObjectId>,
    /// API services, by name.
    apis: BTreeMap<String, ObjectId>,
    webhooks: Webhooks<'a>,
}

impl<'a, F: Fn(&ObjectId) -> bool> Known<'a, F> {
    pub(crate) fn new(objects: impl Iterator<Item = &'a Object>, exists: F) -> Self {
        let (pods, services, definitions, apis) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut known = Self { exists, pods, services, definitions, apis, webhooks: Webhooks::default() };
        for object in objects {
            known.webhooks.note(object);
            if let Some(labels) = pod(object).and_then(|(_, template)| template?.pointer("/metadata/labels")) {
                known.pods.entry(object.namespace()).or_default().push((object.id(), labels));
            }
            if object.kind() == "Service"
                && let Some(labels) = object.value().pointer("/metadata/labels")
            {
                known.services.entry(object.namespace()).or_default().push((object.id(), labels));
            }
            if is_api(object) {
                known.apis.insert(object.name().to_owned(), object.id());
            }
            if object.kind() == "CustomResourceDefinition" {
                let [group, kind] = ["/spec/group", "/spec/names/kind"].map(|at| object.text(at).unwrap_or_default());
                known.definitions.insert((group.to_owned(), kind.to_owned()), object.id());
            }
        }
        known
    }

    /// Everything that an object leads to.
    pub(crate) fn edges(&self, object: &Object) -> BTreeSet<(Relation, ObjectId)> {
        let mut found = BTreeSet::new();
        if !object.namespace().is_empty() {
            found.insert((DependsOn, id("", "Namespace", "", object.namespace())));
        }
        let gvk = object.gvk();
        found.extend(self.definitions.get(&(gvk.group.clone(), gvk.kind.clone())).map(|id| (DependsOn, id.clone())));
        if !self.apis.is_empty() {
            found.extend(self.apis.get(&api_of(&gvk)).map(|id| (DependsOn, id.clone())));
        }
        found.extend(self.webhooks.judging(object).map(|id| (DependsOn, id)));
        let pod = pod(object).map(|(pod, _)| pod);
        for (relation, from, path, to) in EDGES {
            let start = match from {
                From::Pods => pod,
                From::Kind(group, kind) => {
                    (*group == gvk.group && (*kind == gvk.kind || *kind == "*")).then_some(object.value())
                }
            };
            for value in start.into_iter().flat_map(|start| at(start, path)) {
                found.extend(self.targets(object.namespace(), value, *to).into_iter().map(|id| (*relation, id)));
            }
        }
        if !matches!(object.kind(), "Secret" | "ConfigMap" | "CustomResourceDefinition") {
            let mut names = BTreeSet::new();
            secrets(object.value(), object.namespace(), DEPTH, &mut names);
            let ids = names.into_iter().map(|(namespace, name)| id("", "Secret", namespace, name));
            found.extend(ids.map(|id| (BelongsWith, id)));
        }
        let own = object.id();
        found.retain(|(_, id)| *id != own);
        found
    }

    fn targets(&self, namespace: &str, value: &Value, to: To) -> Vec<ObjectId> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        let one = |group: &str, kind: &str, namespace: &str, name: Option<&str>| {
            name.map(|name| self.existing(group, kind, namespace, name)).into_iter().collect()
        };
        match to {
            To::Named(group, kind) => one(group, kind, namespace, value.as_str()),
            To::Reference(group, kind) => {
                let version = text("apiVersion").map(|version| version.rsplit_once('/').map_or("", |(group, _)| group));
                let group = version.or(text("apiGroup")).or(text("group")).unwrap_or(group);
                one(group, text("kind").unwrap_or(kind), text("namespace").unwrap_or(namespace), text("name"))
            }
            To::Pods => selected(self.pods.get(namespace), value),
            To::Services => selected(self.services.get(namespace), value),
        }
    }

    /// The object of that name, in the namespace or cluster-scoped.
    fn existing(&self, group: &str, kind: &str, namespace: &str, name: &str) -> ObjectId {
        let namespaced = id(group, kind, namespace, name);
        let in_cluster = id(group, kind, "", name);
        if !(self.exists)(&namespaced) && (self.exists)(&in_cluster) { in_cluster } else { namespaced }
    }
}

fn id(group: &str, kind: &str, namespace: &str, name: &str) -> ObjectId {
    ObjectId { namespace: namespace.into(), name: name.into(), group: group.into(), kind: kind.into() }
}

/// Whether other objects live in it.
pub(crate) fn is_namespace(object: &Object) -> bool {
    object.kind() == "Namespace" && object.api_version() == "v1"
}

/// Whether an object has a Service answer for a version of an API group.
pub fn is_api(object: &Object) -> bool {
    object.kind() == "APIService" && object.value().pointer("/spec/service").is_some_and(Value::is_object)
}

/// Name that the APIService of a kind's version must have.
pub fn api_of(gvk: &Gvk) -> String {
    format!("{}.{}", gvk.version, gvk.group)
}

/// The specification of an object's pods, and their template.
pub(crate) fn pod(object: &Object) -> Option<(&Value, Option<&Value>)> {
    let at = pod_at(object)?;
    let template = object.value().pointer(at.strip_suffix("/spec")?);
    Some((object.value().pointer(at)?, template))
}

/// Where the specification of an object's pods stands.
pub(crate) fn pod_at(object: &Object) -> Option<&'static str> {
    match (object.gvk().group.as_str(), object.kind()) {
        ("", "Pod") => Some("/spec"),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => Some("/spec/template/spec"),
        ("batch", "Job") | ("", "ReplicationController") => Some("/spec/template/spec"),
        ("batch", "CronJob") => Some("/spec/jobTemplate/spec/template/spec"),
        _ => None,
    }
}

/// Objects whose labels a selector matches. One that selects everything says nothing about what belongs with it.
fn selected(all: Option<&Vec<(ObjectId, &Value)>>, selector: &Value) -> Vec<ObjectId> {
    let matches = |labels: &Value| selects(selector, labels);
    all.into_iter().flatten().filter(|(_, labels)| matches(labels)).map(|(id, _)| id.clone()).collect()
}

/// Kubernetes' rule for label selectors, and for the plain map of a Service.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    let list = |value: &Value, field: &str| value.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let is_plain = ["matchLabels", "matchExpressions"].iter().all(|field| selector.get(field).is_none());
    let wanted = if is_plain { Some(selector) } else { selector.get("matchLabels") };
    let wanted: Vec<_> = wanted.and_then(Value::as_object).into_iter().flatten().collect();
    let expressions = if is_plain { Vec::new() } else { list(selector, "matchExpressions") };
    if wanted.is_empty() && expressions.is_empty() {
        return false;
    }
    let fits = |expression: &Value| {
        let found = labels.get(text(expression, "key").unwrap_or_default());
        let is_listed = found.is_some_and(|found| list(expression, "values").contains(found));
        match text(expression, "operator").as_deref() {
            Some("In") => is_listed,
            Some("NotIn") => !is_listed,
            Some("Exists") => found.is_some(),
            Some("DoesNotExist") => found.is_none(),
            _ => false,
        }
    };
    wanted.iter().all(|(key, value)| labels.get(key.as_str()) == Some(*value)) && expressions.iter().all(fits)
}

/// The values at a path with `/name` for a field and `/name[]` for each element of a list.
fn at<'v>(start: &'v Value, path: &str) -> Vec<&'v Value> {
    let mut found = vec![start];
    for element in path.split('/').skip(1) {
        let name = element.trim_end_matches("[]");
        let inner = found.into_iter().filter_map(|value| value.get(name));
        found = match element.ends_with("[]") {
            true => inner.filter_map(Value::as_array).flatten().collect(),
            false => inner.collect(),
        };
    }
    found
}

/// Namespaces and names of Secrets that fields of an object name by what they are called.
pub(crate) fn named_secrets(object: &Object) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    secrets(object.value(), object.namespace(), DEPTH, &mut found);
    found.into_iter().map(|(namespace, name)| (namespace.to_owned(), name.to_owned())).collect()
}

/// Whether a field is called after the name of a Secret.
pub(crate) fn is_secret_name(field: &str) -> bool {
    let field = field.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|end| field.ends_with(end))
}

/// Whether a field is called after a reference to a Secret.
pub(crate) fn is_secret_reference(field: &str) -> bool {
    field.to_ascii_lowercase().ends_with(SECRET_REFERENCE)
}

/// Secrets that fields name by what they are called.
fn secrets<'v>(value: &'v Value, namespace: &'v str, depth: usize, found: &mut BTreeSet<(&'v str, &'v str)>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::Array(list) => list.iter().for_each(|inner| secrets(inner, namespace, depth, found)),
        Value::Object(map) => {
            for (key, inner) in map {
                match inner {
                    Value::String(name) if is_secret_name(key) => {
                        found.insert((namespace, name));
                    }
                    Value::Object(reference) if is_secret_reference(key) => {
                        let text = |field: &str| reference.get(field).and_then(Value::as_str);
                        let place = text("namespace").unwrap_or(namespace);
                        found.extend(text("name").map(|name| (place, name)));
                    }
                    _ => {}
                }
                secrets(inner, namespace, depth, found);
            }
        }
        _ => {}
    }
}
