//! A Kubernetes object and the place that it was read from.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use zeroize::Zeroize as _;

use crate::{Gvk, ObjectId};

/// Where an object was declared. Carried beside the object, never written into it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Origin {
    /// Path below the artifact root, with `/`.
    pub file: String,
    /// Line of the document's first key, from 1; 0 when the object was generated.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}", self.file, self.line) }
    }
}

/// A Kubernetes object: a map with `apiVersion`, `kind` and, unless it is a list, `metadata.name`.
///
/// `Debug` prints identity only. Clones share their content until one of them is changed: a landing holds an object in
/// its plan, its journal and its requests. The strings of a Secret are wiped when the last that holds them is dropped.
#[derive(Clone)]
pub struct Object {
    content: Arc<Content>,
    origin: Option<Box<Origin>>,
}

/// What clones of an object share.
#[derive(Clone)]
struct Content(Value);

impl Object {
    /// Takes a value that is an object of Kubernetes.
    ///
    /// # Errors
    /// When it is not a map, when `apiVersion`, `kind` or `metadata.name` is missing or no string, or when `apiVersion` is no
    /// group and version.
    pub fn new(value: Value) -> Result<Self, ObjectError> {
        let object = Self::unchecked(value);
        object.check()?;
        Ok(object)
    }

    /// Takes what a tool printed, which may not be an object of Kubernetes: [`Object::check`] tells.
    pub fn unchecked(value: Value) -> Self {
        Self { content: Arc::new(Content(value)), origin: None }
    }

    /// Whether this is an object of Kubernetes.
    ///
    /// # Errors
    /// As [`Object::new`].
    pub fn check(&self) -> Result<(), ObjectError> {
        let map = self.value().as_object().ok_or(ObjectError::NotAMap)?;
        for field in ["apiVersion", "kind"] {
            if map.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                return Err(ObjectError::Missing { field });
            }
        }
        // Go's clients find no kind where there is more than a group and a version.
        if self.api_version().matches('/').count() > 1 {
            return Err(ObjectError::Version);
        }
        if self.name().is_empty() && self.text("/metadata/generateName").is_none() {
            return Err(ObjectError::Missing { field: "metadata.name" });
        }
        Ok(())
    }

    /// The same object, known to come from `origin`.
    #[must_use]
    pub fn at(mut self, origin: Origin) -> Self {
        self.origin = Some(Box::new(origin));
        self
    }

    /// Where it was declared, when known.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_deref()
    }

    /// The whole content. Whoever calls this may hold plaintext: not for logs, errors or status.
    pub fn value(&self) -> &Value {
        &self.content.0
    }

    /// The whole content, to change. `apiVersion`, `kind` and `metadata.name` must stay.
    pub fn value_mut(&mut self) -> &mut Value {
        &mut Arc::make_mut(&mut self.content).0
    }

    /// The content, for good.
    pub fn into_value(mut self) -> Value {
        std::mem::take(self.value_mut())
    }

    /// Group, version and kind.
    pub fn gvk(&self) -> Gvk {
        Gvk::new(self.api_version(), self.kind())
    }

    /// Identity without version.
    pub fn id(&self) -> ObjectId {
        let Gvk { group, kind, .. } = self.gvk();
        ObjectId { namespace: self.namespace().into(), name: self.name().into(), group, kind }
    }

    /// `apiVersion`.
    pub fn api_version(&self) -> &str {
        text(self.value(), "apiVersion")
    }

    /// `kind`.
    pub fn kind(&self) -> &str {
        text(self.value(), "kind")
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.metadata_text("name")
    }

    /// `metadata.namespace`; empty when there is none.
    pub fn namespace(&self) -> &str {
        self.metadata_text("namespace")
    }

    /// `metadata.uid`; empty for an object that never was in a cluster.
    pub fn uid(&self) -> &str {
        self.metadata_text("uid")
    }

    /// `metadata.resourceVersion`; empty for an object that never was in a cluster.
    pub fn resource_version(&self) -> &str {
        self.metadata_text("resourceVersion")
    }

    /// A pointer would be taken apart each time, and identity is asked for often.
    fn metadata_text(&self, field: &str) -> &str {
        self.value().get("metadata").and_then(|own| own.get(field)).and_then(Value::as_str).unwrap_or_default()
    }

    /// `metadata.generation`; 0 when there is none.
    pub fn generation(&self) -> i64 {
        self.value().get("metadata").and_then(|own| own.get("generation")?.as_i64()).unwrap_or_default()
    }

    /// Whether a deletion of the object has begun.
    pub fn is_terminating(&self) -> bool {
        self.value().get("metadata").is_some_and(|own| own.get("deletionTimestamp").is_some())
    }

    /// One label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.value().get("metadata")?.get("labels")?.get(key)?.as_str()
    }

    /// One annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.value().get("metadata")?.get("annotations")?.get(key)?.as_str()
    }

    /// Writes one label; `metadata.labels` is made when missing.
    pub fn set_label(&mut self, key: &str, value: &str) {
        self.metadata_map("labels").insert(key.into(), value.into());
    }

    /// Writes one annotation; `metadata.annotations` is made when missing.
    pub fn set_annotation(&mut self, key: &str, value: &str) {
        self.metadata_map("annotations").insert(key.into(), value.into());
    }

    /// Writes `metadata.namespace`.
    pub fn set_namespace(&mut self, namespace: &str) {
        self.metadata().insert("namespace".into(), namespace.into());
    }

    /// Whether this is a core Secret, whose data must not be shown.
    pub fn is_secret(&self) -> bool {
        is_secret(self.value())
    }

    /// A string field by JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.value().pointer(pointer)?.as_str()
    }

    /// `metadata` as a map to change; made when missing.
    pub fn metadata(&mut self) -> &mut Map<String, Value> {
        child_map(self.value_mut(), "metadata")
    }

    fn metadata_map(&mut self, field: &str) -> &mut Map<String, Value> {
        if !self.metadata().get(field).is_some_and(Value::is_object) {
            self.metadata().insert(field.into(), Value::Object(Map::new()));
        }
        child_map(&mut self.value_mut()["metadata"], field)
    }
}

/// The map below `field`; whatever else stands there gives way to an empty one.
#[expect(clippy::expect_used, reason = "the value is made a map right above")]
fn child_map<'a>(parent: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    if !parent.is_object() {
        *parent = Value::Object(Map::new());
    }
    let slot = &mut parent[field];
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().expect("made a map just above")
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({} {})", self.gvk(), self.id())
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        if is_secret(&self.0) {
            for field in ["data", "stringData"] {
                if let Some(value) = self.0.get_mut(field) {
                    wipe(value);
                }
            }
        }
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn is_secret(value: &Value) -> bool {
    text(value, "kind") == "Secret" && text(value, "apiVersion") == "v1"
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        _ => {}
    }
}

/// Why a value is not an object of Kubernetes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// A list, a scalar or nothing.
    #[error("not a map")]
    NotAMap,
    /// An `apiVersion` of more parts than two.
    #[error("apiVersion is no group and version")]
    Version,
    /// A field that every object has.
    #[error("{field} is missing or not a string")]
    Missing {
        /// Dotted path of the field.
        field: &'static str,
    },
}
