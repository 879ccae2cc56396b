//! The kinds that the cluster serves: the built-in ones, and those of its custom resource definitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use manifest::Gvk;
use serde_json::Value;

use super::shape::Shape;
use crate::Scope;
use crate::schema::Schema;

/// The version without content: kinds are stored once, whichever version wrote them.
pub(super) type GroupKind = (String, String);

/// One kind in one version.
pub(super) struct Kind {
    pub(super) gvk: Gvk,
    /// Plural, lower case, as in URLs.
    pub(super) plural: String,
    pub(super) scope: Scope,
    /// `status` is written through its own endpoint only.
    pub(super) has_status: bool,
    /// Changes of content count up `metadata.generation`.
    pub(super) counts: bool,
    /// For custom resources.
    pub(super) schema: Option<Schema>,
}

impl Kind {
    /// `deployments.apps`, as in "not found".
    pub(super) fn resource(&self) -> String {
        join(&self.plural, &self.gvk.group)
    }

    /// `Deployment.apps`, as in "is invalid".
    pub(super) fn title(&self) -> String {
        join(&self.gvk.kind, &self.gvk.group)
    }

    pub(super) fn is(&self, group: &str, kind: &str) -> bool {
        self.gvk.group == group && self.gvk.kind == kind
    }

    /// How its objects merge.
    pub(super) fn shape(&self) -> Shape<'_> {
        self.schema.as_ref().map_or_else(|| Shape::built_in(&self.gvk), |schema| Shape::Custom(schema.root()))
    }

    pub(super) fn is_custom(&self) -> bool {
        self.schema.is_some()
    }
}

fn join(name: &str, group: &str) -> String {
    if group.is_empty() { name.into() } else { format!("{name}.{group}") }
}

/// Version, kind, plural and traits: `n`amespaced or `c`luster-wide, with `s`tatus, with `g`eneration.
const BUILT_IN: &str = "
v1 Namespace namespaces cs
v1 ConfigMap configmaps n
v1 Secret secrets n
v1 Service services ns
v1 ServiceAccount serviceaccounts n
v1 Pod pods nsg
v1 PodTemplate podtemplates ng
v1 PersistentVolumeClaim persistentvolumeclaims ns
v1 PersistentVolume persistentvolumes cs
v1 ReplicationController replicationcontrollers nsg
v1 Node nodes cs
v1 Event events n
v1 LimitRange limitranges n
v1 ResourceQuota resourcequotas ns
v1 Endpoints endpoints n
apps/v1 Deployment deployments nsg
apps/v1 StatefulSet statefulsets nsg
apps/v1 DaemonSet daemonsets nsg
apps/v1 ReplicaSet replicasets nsg
apps/v1 ControllerRevision controllerrevisions n
batch/v1 Job jobs nsg
batch/v1 CronJob cronjobs nsg
networking.k8s.io/v1 Ingress ingresses nsg
networking.k8s.io/v1 IngressClass ingressclasses cg
networking.k8s.io/v1 NetworkPolicy networkpolicies ng
networking.k8s.io/v1 IPAddress ipaddresses c
networking.k8s.io/v1 ServiceCIDR servicecidrs cs
rbac.authorization.k8s.io/v1 Role roles n
rbac.authorization.k8s.io/v1 RoleBinding rolebindings n
rbac.authorization.k8s.io/v1 ClusterRole clusterroles c
rbac.authorization.k8s.io/v1 ClusterRoleBinding clusterrolebindings c
policy/v1 PodDisruptionBudget poddisruptionbudgets nsg
autoscaling/v2 HorizontalPodAutoscaler horizontalpodautoscalers ns
autoscaling/v1 HorizontalPodAutoscaler horizontalpodautoscalers ns
storage.k8s.io/v1 StorageClass storageclasses c
storage.k8s.io/v1 CSIDriver csidrivers c
storage.k8s.io/v1 CSINode csinodes c
storage.k8s.io/v1 CSIStorageCapacity csistoragecapacities n
storage.k8s.io/v1 VolumeAttachment volumeattachments cs
storage.k8s.io/v1 VolumeAttributesClass volumeattributesclasses c
scheduling.k8s.io/v1 PriorityClass priorityclasses cg
coordination.k8s.io/v1 Lease leases n
discovery.k8s.io/v1 EndpointSlice endpointslices ng
node.k8s.io/v1 RuntimeClass runtimeclasses c
certificates.k8s.io/v1 CertificateSigningRequest certificatesigningrequests cs
events.k8s.io/v1 Event events n
flowcontrol.apiserver.k8s.io/v1 FlowSchema flowschemas csg
flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration prioritylevelconfigurations csg
admissionregistration.k8s.io/v1 MutatingWebhookConfiguration mutatingwebhookconfigurations cg
admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration validatingwebhookconfigurations cg
admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy validatingadmissionpolicies csg
admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding validatingadmissionpolicybindings cg
admissionregistration.k8s.io/v1 MutatingAdmissionPolicy mutatingadmissionpolicies cg
admissionregistration.k8s.io/v1 MutatingAdmissionPolicyBinding mutatingadmissionpolicybindings cg
apiextensions.k8s.io/v1 CustomResourceDefinition customresourcedefinitions csg
apiregistration.k8s.io/v1 APIService apiservices cs
";

static TABLE: LazyLock<BTreeMap<Gvk, Arc<Kind>>> = LazyLock::new(|| {
    let kinds = BUILT_IN.lines().filter_map(built_in);
    kinds.map(|kind| (kind.gvk.clone(), Arc::new(kind))).collect()
});

fn built_in(line: &str) -> Option<Kind> {
    let mut words = line.split(' ');
    let (version, kind, plural, traits) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let scope = if traits.contains('n') { Scope::Namespaced } else { Scope::Cluster };
    Some(Kind {
        gvk: Gvk::new(version, kind),
        plural: plural.into(),
        scope,
        has_status: traits.contains('s'),
        counts: traits.contains('g'),
        schema: None,
    })
}

/// What is served now, and what the client side knows of it.
#[derive(Default)]
pub(super) struct Kinds {
    custom: BTreeMap<Gvk, Arc<Kind>>,
    discovered: BTreeSet<Gvk>,
}

impl Kinds {
    /// A kind that is served now.
    pub(super) fn get(&self, gvk: &Gvk) -> Option<Arc<Kind>> {
        TABLE.get(gvk).or_else(|| self.custom.get(gvk)).cloned()
    }

    /// Any served version of a kind.
    pub(super) fn any(&self, key: &GroupKind) -> Option<Arc<Kind>> {
        let all = TABLE.values().chain(self.custom.values());
        all.into_iter().find(|kind| kind.gvk.group == key.0 && kind.gvk.kind == key.1).cloned()
    }

    /// What was served when it was last discovered.
    pub(super) fn discovered(&self, gvk: &Gvk) -> Option<Arc<Kind>> {
        let known = TABLE.contains_key(gvk) || self.discovered.contains(gvk);
        known.then(|| self.get(gvk)).flatten()
    }

    /// All kinds that were served when it was last discovered.
    pub(super) fn all_discovered(&self) -> impl Iterator<Item = &Gvk> {
        TABLE.keys().chain(&self.discovered)
    }

    /// Makes everything that is served known.
    pub(super) fn discover(&mut self) {
        self.discovered = self.custom.keys().cloned().collect();
    }

    /// Serves what a definition defines; versions that it no longer has are served no more.
    pub(super) fn define(&mut self, definition: &Value) {
        let Some(spec) = definition.get("spec") else { return };
        let text = |pointer: &str| spec.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (group, kind) = (text("/group"), text("/names/kind"));
        self.undefine(&(group.clone(), kind.clone()));
        let versions = spec.get("versions").and_then(Value::as_array).into_iter().flatten();
        for version in versions.filter(|version| version.get("served") == Some(&Value::Bool(true))) {
            let name = version.get("name").and_then(Value::as_str).unwrap_or_default();
            let gvk = Gvk { group: group.clone(), version: name.into(), kind: kind.clone() };
            let schema = version.pointer("/schema/openAPIV3Schema").cloned().unwrap_or_default();
            let scope = if text("/scope") == "Cluster" { Scope::Cluster } else { Scope::Namespaced };
            let kind = Kind {
                gvk: gvk.clone(),
                plural: text("/names/plural"),
                scope,
                has_status: version.pointer("/subresources/status").is_some(),
                counts: true,
                schema: Some(Schema::new(schema)),
            };
            self.custom.insert(gvk, Arc::new(kind));
        }
    }

    /// Serves a kind no more.
    pub(super) fn undefine(&mut self, key: &GroupKind) {
        self.custom.retain(|gvk, _| gvk.group != key.0 || gvk.kind != key.1);
    }
}
