//! How values of a kind merge: which lists are keyed, which values are replaced whole.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::fields::{Element, Scalar};

/// How the items of a list are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) enum Items {
    /// Not at all: the list is replaced whole.
    #[default]
    Atomic,
    /// By their value.
    Set,
    /// By these fields.
    Keyed(Vec<String>),
}

/// The merge rule of one place in an object, and of what lies below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// A list that stands here.
    pub(super) items: Items,
    /// A map that stands here is replaced whole.
    pub(super) atomic: bool,
    /// Names without a rule of their own are fields of a structure, not entries of a map.
    pub(super) open: bool,
    /// Other names than those of `fields` are refused.
    pub(super) closed: bool,
    /// Rules by name.
    pub(super) fields: BTreeMap<String, Arc<Shape>>,
    /// Rule of list items, and of map entries without a rule of their own.
    pub(super) each: Option<Arc<Shape>>,
    /// What the server writes when the field is absent; matters where it is a key of a list.
    pub(super) default: Option<Value>,
}

static STRUCTURE: LazyLock<Shape> = LazyLock::new(|| Shape { open: true, ..Shape::default() });
static UNTYPED: LazyLock<Shape> = LazyLock::new(Shape::default);

impl Shape {
    /// The rule of a map's entry.
    pub(super) fn entry(&self, name: &str) -> &Shape {
        self.fields.get(name).or(self.each.as_ref()).map_or_else(|| self.fallback(), AsRef::as_ref)
    }

    /// The rule of list items.
    pub(super) fn item(&self) -> &Shape {
        self.each.as_ref().map_or_else(|| self.fallback(), AsRef::as_ref)
    }

    /// Whether `name` is a field of a structure.
    pub(super) fn names(&self, name: &str) -> bool {
        self.open || self.fields.contains_key(name)
    }

    /// The rule below a path element.
    pub(super) fn below(&self, element: &Element) -> &Shape {
        match element {
            Element::Field(name) => self.entry(name),
            _ => self.item(),
        }
    }

    fn fallback(&self) -> &'static Shape {
        if self.open { &STRUCTURE } else { &UNTYPED }
    }

    /// The path element of a list item.
    ///
    /// # Errors
    /// The server's words when the item cannot be told apart.
    pub(super) fn element(&self, item: &Value) -> Result<Element, String> {
        match &self.items {
            Items::Keyed(keys) => self.keyed(keys, item),
            Items::Set | Items::Atomic => match Scalar::of(item) {
                Some(Scalar::Null) => {
                    Err("associative list without keys has an element that's an explicit null".into())
                }
                Some(scalar) => Ok(Element::Value(scalar)),
                None => Err("associative list without keys has an element that's a map type".into()),
            },
        }
    }

    fn keyed(&self, keys: &[String], item: &Value) -> Result<Element, String> {
        let map = item.as_object().ok_or("associative list with keys may not have non-map elements")?;
        let value = |key: &String| {
            let default = || self.item().fields.get(key).and_then(|field| field.default.as_ref());
            let scalar = map.get(key).or_else(default).and_then(Scalar::of)?;
            Some((key.clone(), scalar))
        };
        let mut found: Vec<(String, Scalar)> = keys.iter().filter_map(value).collect();
        found.sort();
        if found.is_empty() {
            let keys: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                keys.join(" ")
            ));
        }
        Ok(Element::Key(found))
    }

    /// The shape of objects whose schema is known: `schema` is an `openAPIV3Schema`.
    pub(super) fn of_schema(schema: &Value) -> Arc<Shape> {
        let mut shape = Self::from_schema(schema, 0);
        shape.fields.insert("metadata".into(), METADATA.clone());
        for field in ["apiVersion", "kind"] {
            shape.fields.entry(field.into()).or_default();
        }
        Arc::new(shape)
    }

    fn from_schema(schema: &Value, depth: usize) -> Shape {
        let text = |name: &str| schema.get(name).and_then(Value::as_str);
        let mut shape = Shape { default: schema.get("default").cloned(), ..Shape::default() };
        if depth > 64 {
            return shape;
        }
        shape.atomic = text("x-kubernetes-map-type") == Some("atomic");
        shape.items = match text("x-kubernetes-list-type") {
            Some("set") => Items::Set,
            Some("map") => Items::Keyed(strings(schema.get("x-kubernetes-list-map-keys"))),
            _ => Items::Atomic,
        };
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        shape.fields =
            properties.map(|(name, below)| (name.clone(), Arc::new(Self::from_schema(below, depth + 1)))).collect();
        let each = schema.get("items").or_else(|| schema.get("additionalProperties")).filter(|each| each.is_object());
        shape.each = each.map(|each| Arc::new(Self::from_schema(each, depth + 1)));
        let flag = |name: &str| schema.get(name) == Some(&Value::Bool(true));
        let untyped = flag("x-kubernetes-preserve-unknown-fields") || schema.get("additionalProperties").is_some();
        shape.closed = !shape.fields.is_empty() && !untyped;
        if flag("x-kubernetes-embedded-resource") {
            for field in ["apiVersion", "kind"] {
                shape.fields.entry(field.into()).or_default();
            }
            shape.fields.entry("metadata".into()).or_insert_with(|| METADATA.clone());
        }
        shape
    }
}

fn strings(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

/// The rules of the built-in kinds. One line per structure: its name, then its fields with a rule.
/// `field[a,b]` is a list keyed by `a` and `b` (`b=TCP` has a default), `field[]` a set, `field!` replaced whole; the
/// structure of the items or of the field follows after `:`. What is not listed is a structure of its own whose lists
/// are replaced whole.
const RULES: &str = "
Metadata finalizers[] ownerReferences[uid]:Whole
Whole !
Conditions conditions[type]
PodSpec containers[name]:Container initContainers[name]:Container ephemeralContainers[name]:Container volumes[name]:Volume imagePullSecrets[name]:Whole hostAliases[ip] topologySpreadConstraints[topologyKey,whenUnsatisfiable]:Spread schedulingGates[name] resourceClaims[name] nodeSelector! affinity:Affinity
Container ports[containerPort,protocol=TCP] env[name]:Variable volumeMounts[mountPath] volumeDevices[devicePath] resources:Resources
Variable valueFrom:VariableSource
VariableSource secretKeyRef! configMapKeyRef! fieldRef! resourceFieldRef!
Resources claims[name]
Spread labelSelector!
Affinity nodeAffinity:NodeAffinity
NodeAffinity requiredDuringSchedulingIgnoredDuringExecution!
Volume azureFile: cephfs:VolumeSecret cinder:VolumeSecret csi:VolumeNode flexVolume:VolumeSecret rbd:VolumeSecret scaleIO:VolumeSecret storageos:VolumeSecret iscsi:VolumeSecret downwardAPI: ephemeral:Ephemeral
VolumeSecret secretRef!
VolumeNode nodePublishSecretRef!
Ephemeral volumeClaimTemplate:ClaimTemplate
ClaimTemplate metadata:Metadata spec:ClaimSpec
ClaimSpec dataSource! selector!
Template metadata:Metadata spec:PodSpec
Workload selector! template:Template
JobSpec selector! template:Template podFailurePolicy:
JobTemplate metadata:Metadata spec:JobSpec
CronJobSpec jobTemplate:JobTemplate
ServiceSpec ports[port,protocol=TCP] selector!
ServiceStatus conditions[type]
PolicySpec podSelector!
BudgetSpec selector!
ScalerStatus conditions[type]
IngressBackend service: resource!
IngressSpec defaultBackend:IngressBackend
VolumeSpec claimRef: nodeAffinity:VolumeAffinity
VolumeAffinity required!
DefinitionSpec conversion:
Binding roleRef!
Role aggregationRule:
Webhook namespaceSelector! objectSelector! matchConditions[name]
";

/// Which structure stands at `spec`, `status` and other top-level fields of a kind.
const KINDS: &str = "
Pod spec:PodSpec status:PodStatus
Deployment spec:Workload status:Conditions
StatefulSet spec:Workload status:Conditions
DaemonSet spec:Workload status:Conditions
ReplicaSet spec:Workload status:Conditions
Job spec:JobSpec status:Conditions
CronJob spec:CronJobSpec
Service spec:ServiceSpec status:ServiceStatus
ServiceAccount secrets[name]:Whole
Namespace status:Conditions
Node status:Conditions
PersistentVolumeClaim spec:ClaimSpec status:Conditions
PersistentVolume spec:VolumeSpec
NetworkPolicy spec:PolicySpec
PodDisruptionBudget spec:BudgetSpec status:Conditions
HorizontalPodAutoscaler status:ScalerStatus
Ingress spec:IngressSpec
RoleBinding roleRef!
ClusterRoleBinding roleRef!
CustomResourceDefinition status:Conditions
APIService status:Conditions
MutatingWebhookConfiguration webhooks[name]:Webhook
ValidatingWebhookConfiguration webhooks[name]:Webhook
";

static METADATA: LazyLock<Arc<Shape>> = LazyLock::new(|| structure("Metadata"));

/// Shapes of the built-in kinds, by kind.
static BUILT_IN: LazyLock<BTreeMap<&'static str, Arc<Shape>>> = LazyLock::new(|| {
    let lines = KINDS.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(kind, rules)| (kind, Arc::new(object(rules)))).collect()
});

static PLAIN: LazyLock<Arc<Shape>> = LazyLock::new(|| Arc::new(object("")));

/// The shape of a built-in kind.
pub(super) fn built_in(kind: &str) -> Arc<Shape> {
    BUILT_IN.get(kind).unwrap_or(&PLAIN).clone()
}

fn object(rules: &str) -> Shape {
    let mut shape = parse(rules);
    shape.fields.insert("metadata".into(), METADATA.clone());
    shape
}

fn structure(name: &str) -> Arc<Shape> {
    let line = RULES.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Arc::new(parse(line.unwrap_or_default()))
}

fn parse(rules: &str) -> Shape {
    let mut shape = Shape { open: true, ..Shape::default() };
    for rule in rules.split_whitespace() {
        if rule == "!" {
            shape.atomic = true;
        } else {
            let (name, field) = parse_field(rule);
            shape.fields.insert(name.into(), Arc::new(field));
        }
    }
    shape
}

fn parse_field(rule: &str) -> (&str, Shape) {
    if let Some(name) = rule.strip_suffix('!') {
        return (name, Shape { atomic: true, open: true, ..Shape::default() });
    }
    let (rule, below) = rule.split_once(':').unwrap_or((rule, ""));
    let Some((name, keys)) = rule.strip_suffix(']').and_then(|rule| rule.split_once('[')) else {
        return (rule, structure(below).as_ref().clone());
    };
    if keys.is_empty() {
        return (name, Shape { items: Items::Set, open: true, ..Shape::default() });
    }
    let mut item = structure(below).as_ref().clone();
    let mut names = Vec::new();
    for key in keys.split(',') {
        let (key, default) = key.split_once('=').map_or((key, None), |(key, default)| (key, Some(default)));
        names.push(key.to_owned());
        let field = Shape { default: default.map(Value::from), open: true, ..Shape::default() };
        item.fields.entry(key.to_owned()).or_insert_with(|| Arc::new(field));
    }
    (name, Shape { items: Items::Keyed(names), each: Some(Arc::new(item)), open: true, ..Shape::default() })
}
