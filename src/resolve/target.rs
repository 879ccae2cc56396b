//! The Secret that an ExternalSecret wants: data, labels, annotations, type and owner, as External Secrets writes them.

use std::collections::{BTreeMap, BTreeSet};

use apply::Reference;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifest::Object;
use serde_json::{Map, Value, json};

use super::hash;
use super::lookup::secret_value;
use super::store::{Bytes, Cause, Data};
use crate::api::Kind as _;
use crate::api::secret::{CreationPolicy, ExternalSecret, ExternalSecretSpec, Template};

/// Label of every Secret that External Secrets manages; its value is `true`.
pub const MANAGED_LABEL: &str = "reconcile.external-secrets.io/managed";
/// Label that names the ExternalSecret that owns a Secret, as [`hash::owner`] has it.
pub const OWNER_LABEL: &str = "reconcile.external-secrets.io/created-by";
/// Annotation with [`hash::data`] of the Secret.
pub const HASH_ANNOTATION: &str = "reconcile.external-secrets.io/data-hash";

/// Where the Secret of an ExternalSecret is.
pub fn reference(external: &Object) -> Reference {
    let name = external.text("/spec/target/name").filter(|name| !name.is_empty()).unwrap_or(external.name());
    Reference::new("v1", "Secret", external.namespace(), name)
}

/// An ExternalSecret, read.
pub(super) struct Wanted<'a> {
    /// The object itself.
    pub object: &'a Object,
    /// Its spec.
    pub spec: &'a ExternalSecretSpec,
}

/// What goes into a Secret besides what is the same for all.
#[derive(Default)]
pub(super) struct Content {
    /// Keys and values.
    pub data: Data,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// The Secret as desired. No `Debug`: it holds plaintext.
pub struct Desired {
    /// What is to be applied, without `ownerReferences`. For creation policy Merge these are this ExternalSecret's keys
    /// alone; the others stay.
    pub object: Object,
    /// Who shall control it: the ExternalSecret, whose UID is filled in when the object is written.
    pub owner: Option<Reference>,
    /// The field manager that External Secrets writes it with.
    pub manager: String,
    /// Keys of the live Secret that do not belong there and are not this manager's: External Secrets removes them.
    pub foreign_keys: Vec<String>,
    /// What this manager has written to the live Secret and would not have there any more, encoded as there.
    pub lost: Map<String, Value>,
}

impl Wanted<'_> {
    /// Name of the Secret.
    pub(super) fn target_name(&self) -> &str {
        self.spec.target.name.as_deref().unwrap_or(self.object.name())
    }

    /// Whether keys that are there already stay.
    fn keeps_keys(&self) -> bool {
        matches!(self.spec.target.creation_policy, CreationPolicy::Merge | CreationPolicy::CreateOrMerge)
    }

    /// What a Secret starts with before templates: data of the provider where they go in, labels and annotations.
    pub(super) fn content(&self, provided: &Data) -> Content {
        let Some(template) = &self.spec.target.template else {
            let metadata = |field: &str| strings(self.object.value().pointer(&format!("/metadata/{field}")));
            return Content {
                data: provided.clone(),
                labels: metadata("labels"),
                annotations: metadata("annotations"),
            };
        };
        Content { data: if includes_data(template) { provided.clone() } else { Data::new() }, ..Content::default() }
    }

    /// The Secret itself.
    ///
    /// # Errors
    /// When somebody else owns the live Secret, or it cannot be changed.
    pub(super) fn secret(&self, content: Content, live: Option<&Object>) -> Result<Desired, Cause> {
        let manager = hash::field_manager(self.object.name());
        let owned = self.spec.target.creation_policy == CreationPolicy::Owner;
        if let Some(live) = live {
            self.check_owner(live, owned)?;
        }
        let present = live.map(data_of).unwrap_or_default();
        let content = match live {
            // An immutable Secret keeps its bytes; only its metadata follows.
            Some(_) if self.spec.target.immutable => Content { data: present.clone(), ..content },
            _ => content,
        };
        let own = live.map(|live| own_data(live, &manager)).unwrap_or_default();
        let lost = own.iter().filter(|(key, _)| !content.data.contains_key(*key));
        let lost = lost.map(|(key, value)| (key.clone(), value.clone())).collect();
        let foreign = present.iter().filter(|(key, _)| !own.contains_key(*key) && !content.data.contains_key(*key));
        let (kept, foreign): (Data, Vec<String>) = if self.keeps_keys() {
            (foreign.map(|(key, value)| (key.clone(), value.clone())).collect(), Vec::new())
        } else {
            (Data::new(), foreign.map(|(key, _)| key.clone()).collect())
        };
        let object = self.object_of(content, kept, owned)?;
        if let Some(live) = live {
            check_immutable(live, &object, &foreign)?;
        }
        let owner = owned.then(|| Reference::of(self.object));
        Ok(Desired { object, owner, manager, foreign_keys: foreign, lost })
    }

    fn object_of(&self, content: Content, kept: Data, owned: bool) -> Result<Object, Cause> {
        let Content { data, mut labels, mut annotations } = content;
        let hashed = hash::data(&kept.into_iter().chain(data.clone()).collect());
        labels.insert(MANAGED_LABEL.into(), "true".into());
        labels.remove(OWNER_LABEL);
        if owned {
            labels.insert(OWNER_LABEL.into(), hash::owner(self.object.namespace(), self.object.name()));
        }
        annotations.insert(HASH_ANNOTATION.into(), hashed);
        let encoded: Map<String, Value> =
            data.iter().map(|(key, value)| (key.clone(), STANDARD.encode(value).into())).collect();
        let mut value = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": self.target_name(), "namespace": self.object.namespace(),
                "labels": labels, "annotations": annotations,
            },
            "data": encoded,
        });
        let template = self.spec.target.template.as_ref();
        if let Some(kind) = template.and_then(|template| template.kind.as_deref()) {
            value["type"] = kind.into();
        }
        let metadata = template.and_then(|template| template.metadata.as_ref());
        if let Some(metadata) = metadata.filter(|metadata| !metadata.finalizers.is_empty()) {
            value["metadata"]["finalizers"] = json!(metadata.finalizers);
        }
        if self.spec.target.immutable {
            value["immutable"] = true.into();
        }
        Object::new(value).map_err(|error| Cause::Spec { message: format!("the target Secret: {error}") })
    }

    /// Refuses a Secret that another ExternalSecret controls, and, to own it, one that anybody else controls.
    fn check_owner(&self, live: &Object, owned: bool) -> Result<(), Cause> {
        let references = live.value().pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let controller = references.into_iter().flatten().find(|owner| owner["controller"] == true);
        let Some(controller) = controller else { return Ok(()) };
        let text = |field: &str| controller[field].as_str().unwrap_or_default();
        let group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
        let external = group == "external-secrets.io" && text("kind") == ExternalSecret::KIND;
        match external {
            true if text("name") == self.object.name() => Ok(()),
            true => {
                Err(Cause::Spec { message: format!("secret is owned by another ExternalSecret: {}", text("name")) })
            }
            false if owned => Err(Cause::Spec {
                message: format!(
                    "could not set controller reference on secret: already owned by {} {}",
                    text("kind"),
                    text("name")
                ),
            }),
            false => Ok(()),
        }
    }
}

/// Whether the provider's data goes into a Secret with a template.
fn includes_data(template: &Template) -> bool {
    template.merge_policy == crate::api::secret::MergePolicy::Merge || !makes_data(template)
}

fn makes_data(template: &Template) -> bool {
    !template.data.is_empty() || !template.template_from.is_empty()
}

/// Whether an ExternalSecret's values go through templates.
pub fn is_templated(external: &Object) -> bool {
    let spec = ExternalSecret::spec(external).unwrap_or_default();
    spec.target.template.as_ref().is_some_and(makes_data)
}

/// Keys that an ExternalSecret brings, as far as its spec names them.
pub fn named_keys(external: &Object) -> BTreeSet<String> {
    let spec = ExternalSecret::spec(external).unwrap_or_default();
    let template = spec.target.template.as_ref();
    let made = template.into_iter().flat_map(|template| template.data.keys().cloned());
    let passes_through = template.is_none_or(includes_data);
    let read = spec.data.iter().filter(|_| passes_through).map(|entry| entry.secret_key.clone());
    made.chain(read).collect()
}

/// The API server would refuse; said before anything is tried.
fn check_immutable(live: &Object, desired: &Object, foreign: &[String]) -> Result<(), Cause> {
    if live.value().get("immutable") != Some(&Value::Bool(true)) {
        return Ok(());
    }
    let wanted = desired.value()["data"].as_object().into_iter().flatten();
    let same =
        wanted.into_iter().all(|(key, value)| live.value().pointer("/data").and_then(|d| d.get(key)) == Some(value));
    let kind = desired.text("/type").is_none_or(|kind| live.text("/type") == Some(kind));
    if same && kind && foreign.is_empty() {
        return Ok(());
    }
    Err(Cause::Spec { message: format!("unable to update secret {}: secret is immutable", live.name()) })
}

/// The data of a Secret.
pub(super) fn data_of(secret: &Object) -> Data {
    let keys = secret.value().get("data").and_then(Value::as_object).into_iter().flatten();
    keys.filter_map(|(key, _)| Some((key.clone(), secret_value(secret, key)?))).collect()
}

/// Whether a live Secret still is what was written: it has the label, and its data hash to the annotation.
///
/// What External Secrets asks before it skips a refresh. With creation policy Orphan it never asks.
pub fn is_intact(live: Option<&Object>, policy: &CreationPolicy) -> bool {
    if *policy == CreationPolicy::Orphan {
        return true;
    }
    live.is_some_and(|live| {
        live.label(MANAGED_LABEL) == Some("true")
            && live.annotation(HASH_ANNOTATION) == Some(hash::data(&data_of(live)).as_str())
    })
}

/// Entries of `data` that a field manager owns, encoded as they are.
fn own_data(live: &Object, manager: &str) -> Map<String, Value> {
    let entries = live.value().pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let own = entries.filter(|entry| entry["manager"] == manager);
    let fields = own.filter_map(|entry| entry.pointer("/fieldsV1/f:data")?.as_object());
    let keys = fields.flat_map(Map::keys).filter_map(|key| key.strip_prefix("f:"));
    keys.filter_map(|key| Some((key.to_owned(), live.value().get("data")?.get(key)?.clone()))).collect()
}

/// Gives a Secret that was written before the bytes that it has now, where all of them are still this manager's.
pub fn follow(before: &mut Object, live: &Object, manager: &str) {
    let own = own_data(live, manager);
    let Some(data) = before.value().get("data").and_then(Value::as_object) else { return };
    let now: Option<Map<String, Value>> = data.keys().map(|key| Some((key.clone(), own.get(key)?.clone()))).collect();
    let (Some(now), Some(hash)) = (now, live.annotation(HASH_ANNOTATION)) else { return };
    let hash = hash.to_owned();
    before.value_mut()["data"] = now.into();
    before.set_annotation(HASH_ANNOTATION, &hash);
}

fn strings(map: Option<&Value>) -> BTreeMap<String, String> {
    let members = map.and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Plaintext from text.
pub(super) fn bytes(text: &str) -> Bytes {
    Bytes::from(text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn external(target: Value) -> Object {
        let value = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": {"name": "db", "namespace": "apps", "labels": {"app": "web"}, "annotations": {"note": "n"}},
            "spec": {"target": target},
        });
        Object::new(value).expect("an object")
    }

    fn live(more: Value) -> Object {
        let mut value = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "apps"},
            "data": {"mine": "bQ==", "theirs": "dA=="},
        });
        for (key, part) in more.as_object().into_iter().flatten() {
            value[key] = part.clone();
        }
        Object::new(value).expect("an object")
    }

    fn desired(target: Value, live: Option<&Object>) -> Result<Desired, Cause> {
        let object = external(target);
        let spec = ExternalSecret::spec(&object).expect("a spec");
        let wanted = Wanted { object: &object, spec: &spec };
        let content = wanted.content(&Data::from([("mine".to_owned(), bytes("m"))]));
        wanted.secret(content, live)
    }

    #[test]
    fn an_owned_secret_is_written_as_external_secrets_writes_it() {
        let desired = desired(json!({}), None).expect("a secret");
        let owner = desired.owner.expect("an owner");
        assert_eq!((owner.gvk.kind.as_str(), owner.name.as_str()), ("ExternalSecret", "db"));
        assert_eq!(desired.manager, "externalsecrets.external-secrets.io/db");
        let mine = hash::data(&Data::from([("mine".to_owned(), bytes("m"))]));
        let expected = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {
                "name": "db", "namespace": "apps",
                "labels": {"app": "web", MANAGED_LABEL: "true", OWNER_LABEL: "366940a0bb1765c3baf51df691ce5179c77b40d88cdd8afe4c21c09f"},
                "annotations": {"note": "n", HASH_ANNOTATION: mine},
            },
            "data": {"mine": "bQ=="},
        });
        assert_eq!(*desired.object.value(), expected);
    }

    #[test]
    fn a_template_gives_type_and_metadata_instead_of_the_external_secret() {
        let target = json!({"name": "other", "creationPolicy": "Orphan", "immutable": true,
            "template": {"type": "kubernetes.io/tls", "metadata": {"finalizers": ["a/b"]}}});
        let desired = desired(target, None).expect("a secret");
        assert!(desired.owner.is_none());
        let value = desired.object.value();
        assert_eq!(
            (desired.object.name(), &value["type"], &value["immutable"]),
            ("other", &json!("kubernetes.io/tls"), &json!(true))
        );
        assert_eq!(value["metadata"]["labels"], json!({MANAGED_LABEL: "true"}));
        assert_eq!(value["metadata"]["finalizers"], json!(["a/b"]));
        assert_eq!(value["data"], json!({"mine": "bQ=="}));
    }

    #[test]
    fn merge_keeps_the_keys_of_others_and_hashes_them_too() {
        let manager = hash::field_manager("db");
        let fields = json!([{"manager": manager, "fieldsV1": {"f:data": {"f:mine": {}, "f:gone": {}}}}]);
        let live = live(json!({
            "metadata": {"name": "db", "namespace": "apps", "managedFields": fields},
            "data": {"mine": "bQ==", "gone": "Zw==", "theirs": "dA=="},
        }));
        let desired = desired(json!({"creationPolicy": "Merge"}), Some(&live)).expect("a secret");
        let all = Data::from([("mine".to_owned(), bytes("m")), ("theirs".to_owned(), bytes("t"))]);
        assert_eq!(desired.object.annotation(HASH_ANNOTATION), Some(hash::data(&all).as_str()));
        assert_eq!(desired.object.value()["data"], json!({"mine": "bQ=="}));
        assert!(desired.foreign_keys.is_empty());
    }

    #[test]
    fn an_owned_secret_names_the_keys_that_must_go() {
        assert_eq!(desired(json!({}), Some(&live(json!({})))).expect("a secret").foreign_keys, ["theirs"]);
    }

    #[test]
    fn a_secret_of_somebody_else_is_refused() {
        let owned = |kind: &str, group: &str| {
            let owners = json!([{"apiVersion": format!("{group}/v1"), "kind": kind, "name": "x", "controller": true}]);
            live(json!({"metadata": {"name": "db", "namespace": "apps", "ownerReferences": owners}}))
        };
        let another = owned("ExternalSecret", "external-secrets.io");
        let orphan = json!({"creationPolicy": "Orphan"});
        assert!(desired(json!({}), Some(&another)).is_err() && desired(orphan.clone(), Some(&another)).is_err());
        let certificate = owned("Certificate", "cert-manager.io");
        assert!(desired(json!({}), Some(&certificate)).is_err() && desired(orphan, Some(&certificate)).is_ok());
    }

    #[test]
    fn an_immutable_secret_keeps_its_bytes() {
        let live = live(json!({"immutable": true, "data": {"mine": "b2xk"}}));
        let kept = desired(json!({"immutable": true}), Some(&live)).expect("a secret");
        assert_eq!(kept.object.value()["data"], json!({"mine": "b2xk"}));
        assert!(desired(json!({}), Some(&live)).is_err());
    }

    #[test]
    fn drift_shows_in_the_hash() {
        let policy = CreationPolicy::Owner;
        let mut secret = desired(json!({}), None).expect("a secret").object;
        assert!(
            is_intact(Some(&secret), &policy) && !is_intact(None, &policy) && is_intact(None, &CreationPolicy::Orphan)
        );
        secret.value_mut()["data"]["added"] = "eA==".into();
        assert!(!is_intact(Some(&secret), &policy));
    }
}
