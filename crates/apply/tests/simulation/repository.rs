//! What a unit declares, revision by revision: things of all kinds, with what they read of one another.

use std::collections::BTreeMap;

use apply::Reference;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Namespace of all that is not cluster-wide.
pub(crate) const NAMESPACE: &str = "app";
/// Label by which the unit knows what is its own.
pub(crate) const OWNER: (&str, &str) = ("owner", "unit");

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Namespace,
    Definition,
    Account,
    Config,
    Secret,
    /// An ExternalSecret and the Secret that it owns.
    External,
    /// The Secret of an ExternalSecret that others keep: the unit is that one alone.
    Target,
    Claim,
    Service,
    Deployment,
    StatefulSet,
    DaemonSet,
    CronJob,
    /// An object of the kind that `Definition` defines.
    Widget,
    /// A chart with a hook, an object and records.
    Release,
}

impl Kind {
    pub(crate) fn is_workload(self) -> bool {
        matches!(self, Self::Deployment | Self::StatefulSet | Self::DaemonSet | Self::CronJob)
    }

    /// Whether its pods can be seen to fail.
    pub(crate) fn rolls_out(self) -> bool {
        self.is_workload() && self != Self::CronJob
    }

    pub(crate) fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::External | Self::Target)
    }

    /// Kinds that a revert leaves in place.
    pub(crate) fn is_irreplaceable(self) -> bool {
        matches!(self, Self::Namespace | Self::Definition | Self::Claim)
    }

    pub(crate) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Namespace => ("v1", "Namespace"),
            Self::Definition => ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
            Self::Account => ("v1", "ServiceAccount"),
            Self::Config | Self::Release => ("v1", "ConfigMap"),
            Self::Secret | Self::Target => ("v1", "Secret"),
            Self::External => ("external-secrets.io/v1", "ExternalSecret"),
            Self::Claim => ("v1", "PersistentVolumeClaim"),
            Self::Service => ("v1", "Service"),
            Self::Deployment => ("apps/v1", "Deployment"),
            Self::StatefulSet => ("apps/v1", "StatefulSet"),
            Self::DaemonSet => ("apps/v1", "DaemonSet"),
            Self::CronJob => ("batch/v1", "CronJob"),
            Self::Widget => ("sim.example.com/v1", "Widget"),
        }
    }
}

/// Why a thing cannot land.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Its pods crash.
    Unhealthy,
    /// The server refuses it.
    Invalid,
    /// The store has no bytes for it: its Secret cannot be made.
    Unresolved,
}

/// What the store says when it is asked for the bytes of an ExternalSecret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Value,
    /// There is no such key; seen for the first time.
    Missing,
    /// The same, confirmed.
    Gone,
    /// Nothing is in it.
    Empty,
    /// It does not answer, or refuses.
    Error,
}

impl Said {
    /// Whether nobody knows what the bytes are.
    pub(crate) fn is_doubt(self) -> bool {
        !matches!(self, Self::Value | Self::Gone)
    }
}

/// Something that the unit declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Thing {
    pub(crate) id: u32,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// Version of its content; of a secret, of its bytes.
    pub(crate) version: u32,
    pub(crate) flaw: Option<Flaw>,
    /// Secrets that a workload reads, with the version that its template was made for.
    pub(crate) needs: BTreeMap<u32, u32>,
    /// Version of what must not change in a live object.
    pub(crate) cast: u32,
    /// What the store says of its bytes.
    pub(crate) said: Said,
}

/// What others must find of an object of a thing, and what the thing wants.
pub(crate) struct Declared {
    pub(crate) value: Value,
    /// The object of the same thing that owns it.
    pub(crate) owner: Option<Reference>,
}

/// One revision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repository {
    pub(crate) things: Vec<Thing>,
}

/// One change of a commit. Changes of things that are not there change nothing.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Add(Thing),
    /// New content, and in what reads it, too, if `with_readers`.
    Change {
        id: u32,
        with_readers: bool,
    },
    Rename(u32),
    Remove(u32),
    Break(u32, Flaw),
    Answer(u32, Said),
    /// What must not change in a live object changes.
    Recast(u32),
    Mend,
}

impl Repository {
    pub(crate) fn find(&self, id: u32) -> Option<&Thing> {
        self.things.iter().find(|thing| thing.id == id)
    }

    pub(crate) fn is_flawed(&self, flaw: Flaw) -> bool {
        self.things.iter().any(|thing| thing.flaw == Some(flaw))
    }

    /// Whether pods wait for a Secret that is gone.
    pub(crate) fn is_in_want(&self) -> bool {
        let is_gone = |id: &u32| self.find(*id).is_some_and(|secret| secret.said == Said::Gone);
        self.things.iter().any(|thing| thing.kind.rolls_out() && thing.needs.keys().any(is_gone))
    }

    pub(crate) fn edit(&mut self, edit: &Edit) {
        match edit {
            Edit::Add(thing) if self.find(thing.id).is_none() => {
                let mut thing = thing.clone();
                thing.needs = thing.needs.keys().filter_map(|id| Some((*id, self.find(*id)?.version))).collect();
                self.things.push(thing);
            }
            Edit::Add(_) => {}
            Edit::Change { id, with_readers } => self.change(*id, *with_readers),
            Edit::Rename(id) => {
                self.with(*id, |thing| thing.name = format!("{}-r", thing.name));
                self.things.iter_mut().filter(|thing| thing.needs.contains_key(id)).for_each(|t| t.version += 1);
            }
            Edit::Remove(id) => {
                self.things.retain(|thing| thing.id != *id);
                for thing in self.things.iter_mut().filter(|thing| thing.needs.contains_key(id)) {
                    thing.needs.remove(id);
                    thing.version += 1;
                }
            }
            Edit::Break(id, flaw) => self.with(*id, |thing| {
                thing.flaw = Some(*flaw);
                thing.version += 1;
            }),
            // What is gone is gone until there is a value again.
            Edit::Answer(id, said) => self.with(*id, |thing| {
                if *said == Said::Value {
                    thing.version += 1;
                }
                if *said == Said::Value || thing.said != Said::Gone {
                    thing.said = *said;
                }
            }),
            Edit::Recast(id) => self.with(*id, |thing| {
                thing.cast += 1;
                thing.version += 1;
            }),
            Edit::Mend => self.things.iter_mut().filter(|thing| thing.is_ailing()).for_each(|thing| {
                thing.flaw = None;
                thing.said = Said::Value;
                thing.version += 1;
            }),
        }
    }

    fn change(&mut self, id: u32, with_readers: bool) {
        self.with(id, |thing| thing.version += 1);
        let Some(version) = self.find(id).map(|thing| thing.version) else { return };
        for reader in self.things.iter_mut().filter(|_| with_readers) {
            if let Some(need) = reader.needs.get_mut(&id) {
                *need = version;
                reader.version += 1;
            }
        }
    }

    fn with(&mut self, id: u32, change: impl FnOnce(&mut Thing)) {
        if let Some(thing) = self.things.iter_mut().find(|thing| thing.id == id) {
            change(thing);
        }
    }

    /// All objects of a thing as the unit wants them; of a release those of its chart.
    pub(crate) fn objects(&self, thing: &Thing) -> Vec<Declared> {
        let target = |external: &Thing| {
            let mut value = secret(thing);
            value["metadata"]["labels"]["reconcile.external-secrets.io/managed"] = json!("true");
            Declared { value, owner: Some(external.reference()) }
        };
        if let Some(external) = thing.external() {
            return vec![target(&external)];
        }
        let own = Declared { value: self.object(thing), owner: None };
        let secret = (thing.kind == Kind::External && thing.said != Said::Gone).then(|| target(thing));
        std::iter::once(own).chain(secret).collect()
    }

    /// The ExternalSecrets that others keep for the unit.
    pub(crate) fn externals(&self) -> Vec<Value> {
        self.things.iter().filter_map(Thing::external).map(|external| self.object(&external)).collect()
    }

    fn object(&self, thing: &Thing) -> Value {
        let name = &thing.name;
        let content = match thing.kind {
            Kind::Namespace | Kind::Account => json!({}),
            Kind::Secret | Kind::Target => return secret(thing),
            Kind::Config | Kind::Release => {
                let data = BTreeMap::from([(format!("v{}", thing.version), "x"), ("stays".to_owned(), "y")]);
                json!({ "data": data })
            }
            Kind::Definition => definition(name),
            Kind::External => json!({ "spec": { "version": thing.version.to_string(), "target": { "name": name } } }),
            Kind::Claim => {
                json!({ "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } })
            }
            Kind::Service => {
                json!({ "spec": { "ports": [{ "port": 8000 + thing.version }], "selector": { "app": name } } })
            }
            Kind::Widget => json!({ "spec": { "version": thing.version.to_string() } }),
            _ => json!({ "spec": self.workload(thing) }),
        };
        with_flaw(thing.object(content), thing)
    }

    fn workload(&self, thing: &Thing) -> Value {
        let template = self.template(thing);
        let mut selector = json!({ "matchLabels": { "app": thing.name } });
        if thing.cast > 0 {
            selector["matchLabels"]["cast"] = json!(thing.cast.to_string());
        }
        match thing.kind {
            Kind::CronJob => json!({ "schedule": "@daily", "jobTemplate": { "spec": { "template": template } } }),
            Kind::StatefulSet => {
                json!({ "replicas": 2, "serviceName": thing.name, "selector": selector, "template": template })
            }
            Kind::DaemonSet => json!({ "selector": selector, "template": template }),
            _ => json!({ "replicas": 2, "selector": selector, "template": template }),
        }
    }

    fn template(&self, thing: &Thing) -> Value {
        let read: Vec<(&Thing, u32)> =
            thing.needs.iter().filter_map(|(id, version)| Some((self.find(*id)?, *version))).collect();
        let needs: String = read.iter().map(|(secret, version)| format!("{}={version}\n", secret.name)).collect();
        let mut env = vec![json!({ "name": "CONTENT", "value": thing.version.to_string() })];
        let mut all = Vec::new();
        for (secret, _) in &read {
            if secret.id.is_multiple_of(2) {
                let source = json!({ "secretKeyRef": { "name": secret.name, "key": "version" } });
                env.push(json!({ "name": format!("S{}", secret.id), "valueFrom": source }));
            } else {
                all.push(json!({ "secretRef": { "name": secret.name } }));
            }
        }
        let mut container = json!({ "name": "main", "image": "image", "env": env });
        if !all.is_empty() {
            container["envFrom"] = json!(all);
        }
        let mut labels = json!({ "app": thing.name });
        if thing.cast > 0 {
            labels["cast"] = json!(thing.cast.to_string());
        }
        if thing.flaw == Some(Flaw::Unhealthy) {
            labels["testbed/fail"] = json!("true");
        }
        let mut spec = json!({ "containers": [container] });
        if thing.kind == Kind::CronJob {
            spec["restartPolicy"] = json!("Never");
        }
        json!({ "metadata": { "labels": labels, "annotations": { "needs": needs } }, "spec": spec })
    }
}

fn with_flaw(mut value: Value, thing: &Thing) -> Value {
    if thing.flaw != Some(Flaw::Invalid) {
        return value;
    }
    match thing.kind {
        Kind::Config | Kind::Release => value["data"] = json!("none"),
        Kind::Service => value["spec"]["ports"] = json!("none"),
        // What its pods read can still be seen.
        Kind::CronJob => value["spec"]["jobTemplate"]["spec"]["template"]["spec"]["initContainers"] = json!("none"),
        _ if thing.kind.is_workload() => value["spec"]["template"]["spec"]["initContainers"] = json!("none"),
        _ => value["metadata"]["labels"] = json!("none"),
    }
    value
}

/// Where a rendered object lives.
pub(crate) fn reference(value: &Value) -> Reference {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    Reference::new(text("/apiVersion"), text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

impl Thing {
    pub(crate) fn reference(&self) -> Reference {
        let (version, kind) = self.kind.names();
        let namespace = if matches!(self.kind, Kind::Namespace | Kind::Definition) { "" } else { NAMESPACE };
        Reference::new(version, kind, namespace, &self.name)
    }

    fn is_ailing(&self) -> bool {
        self.flaw.is_some() || self.said != Said::Value
    }

    /// The ExternalSecret that asks for it, of one that others keep.
    fn external(&self) -> Option<Self> {
        (self.kind == Kind::Target).then(|| Self { kind: Kind::External, ..self.clone() })
    }

    /// An object with everything that all objects of the unit have.
    fn object(&self, content: Value) -> Value {
        let at = self.reference();
        let mut annotations = BTreeMap::from([("version".to_owned(), self.version.to_string())]);
        annotations.insert(format!("only-v{}", self.version), "x".to_owned());
        let mut value = content;
        value["apiVersion"] = json!(at.gvk.api_version());
        value["kind"] = json!(at.gvk.kind);
        value["metadata"] = json!({ "name": self.name, "labels": { OWNER.0: OWNER.1 }, "annotations": annotations });
        if !at.namespace.is_empty() {
            value["metadata"]["namespace"] = json!(at.namespace);
        }
        value
    }
}

fn secret(thing: &Thing) -> Value {
    let bytes = |text: String| STANDARD.encode(text);
    let version = thing.version;
    let mut data = BTreeMap::from([("version".to_owned(), bytes(format!("v{version};")))]);
    data.insert(format!("v{version}"), bytes("x".into()));
    let mut value = thing.object(json!({ "data": data }));
    (value["apiVersion"], value["kind"]) = (json!("v1"), json!("Secret"));
    with_flaw(value, thing)
}

fn definition(name: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { "spec": {
        "type": "object", "properties": { "version": { "type": "string" } } } } });
    let (plural, group) = name.split_once('.').unwrap_or((name, ""));
    let kind = if plural == "widgets" { "Widget" } else { "ExternalSecret" };
    let schema = if plural == "widgets" {
        schema
    } else {
        json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
    };
    json!({ "spec": { "group": group, "scope": "Namespaced",
        "names": { "plural": plural, "kind": kind, "singular": kind.to_lowercase(), "listKind": format!("{kind}List") },
        "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } }] } })
}

/// The definition of ExternalSecrets, which is there before everything else.
pub(crate) fn external_secrets() -> Value {
    let name = "externalsecrets.external-secrets.io";
    let mut value = definition(name);
    value["apiVersion"] = json!("apiextensions.k8s.io/v1");
    value["kind"] = json!("CustomResourceDefinition");
    value["metadata"] = json!({ "name": name });
    value
}
