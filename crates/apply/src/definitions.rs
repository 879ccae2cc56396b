//! Kinds that come with a landing. Nobody can try their objects on the server before they are defined, or defined anew: they
//! are held to the schema that the definition brings.

use std::collections::BTreeMap;

use manifest::{Gvk, Object};
use serde_json::Value;

use crate::change::Landing;
use crate::cluster::{ClusterError, Reference};
use crate::prepare::is_left_alone;
use crate::schema::Schema;

/// What definitions of a landing say of the kinds of its other objects.
pub(crate) struct Definitions {
    versions: BTreeMap<Gvk, Version>,
}

struct Version {
    schema: Schema,
    /// Whether the server takes no status with an object.
    drops_status: bool,
    /// Whether the server has this very schema already.
    is_live: bool,
}

/// Who is to judge an object that the server has not accepted.
pub(crate) enum Judge {
    /// The server has spoken.
    Server,
    /// Only the definition can: it takes the object, or says why not.
    Schema(Result<(), String>),
}

impl Definitions {
    /// Those of a landing, beside what is `live`.
    pub(crate) fn of(landing: &Landing, live: &BTreeMap<Reference, Object>) -> Self {
        let mut versions = BTreeMap::new();
        for change in landing.changes().filter(|change| change.desired.object.kind() == "CustomResourceDefinition") {
            let live = live.get(&change.desired.reference());
            if is_left_alone(&change.desired, live) {
                continue;
            }
            for (gvk, version) in served(&change.desired.object) {
                let is_live = live.and_then(|live| served(live).find(|(known, _)| *known == gvk));
                let is_live = is_live.is_some_and(|(_, known)| schema(known) == schema(version));
                versions.insert(gvk, (version, is_live));
            }
        }
        // Of a chart's hundreds, only those that the landing has objects of are kept.
        let used = landing.changes().filter_map(|change| versions.remove_entry(&change.desired.object.gvk()));
        let compiled = used.map(|(gvk, (version, is_live))| {
            let drops_status = version.pointer("/subresources/status").is_some();
            (gvk, Version { schema: Schema::new(schema(version).clone()), drops_status, is_live })
        });
        Self { versions: compiled.collect() }
    }

    /// Who judges an object to which the server has answered with `error`.
    pub(crate) fn judge(&self, object: &Object, error: &ClusterError) -> Judge {
        match (self.versions.get(&object.gvk()), error) {
            (Some(version), ClusterError::NoKind { .. }) => Judge::Schema(version.check(object)),
            (Some(version), ClusterError::Refused { .. }) if !version.is_live => Judge::Schema(version.check(object)),
            _ => Judge::Server,
        }
    }
}

impl Version {
    fn check(&self, object: &Object) -> Result<(), String> {
        let mut value = object.value().clone();
        if let Some(parts) = value.as_object_mut().filter(|_| self.drops_status) {
            parts.remove("status");
        }
        self.schema.normalize(&mut value);
        let faults = self.schema.validate(&value);
        let told: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect();
        if told.is_empty() { Ok(()) } else { Err(told.join(", ")) }
    }
}

/// Kinds that a definition has the server serve, with the version that says how.
fn served(definition: &Object) -> impl Iterator<Item = (Gvk, &Value)> {
    let text = |at: &str| definition.text(at).unwrap_or_default().to_owned();
    let (group, kind) = (text("/spec/group"), text("/spec/names/kind"));
    let versions = definition.value().pointer("/spec/versions").and_then(Value::as_array);
    versions.into_iter().flatten().filter(|version| version["served"] == true).filter_map(move |version| {
        let name = version["name"].as_str()?.to_owned();
        Some((Gvk { group: group.clone(), version: name, kind: kind.clone() }, version))
    })
}

fn schema(version: &Value) -> &Value {
    version.pointer("/schema/openAPIV3Schema").unwrap_or(&Value::Null)
}
