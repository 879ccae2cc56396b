//! Refusals in the server's words.

use manifest::ObjectId;

use super::kinds::Kind;
use crate::ClusterError;
use crate::schema::Fault;

/// Where an object of a kind is, for errors.
pub(super) fn id(kind: &Kind, namespace: &str, name: &str) -> ObjectId {
    ObjectId {
        namespace: namespace.into(),
        name: name.into(),
        group: kind.gvk.group.clone(),
        kind: kind.gvk.kind.clone(),
    }
}

pub(super) fn not_found(kind: &Kind, id: ObjectId) -> ClusterError {
    let message = format!("{} {:?} not found", kind.resource(), id.name);
    ClusterError::NotFound { id, message }
}

pub(super) fn conflict(kind: &Kind, id: ObjectId, why: &str) -> ClusterError {
    conflict_of(&kind.resource(), id, why)
}

/// Deletions name the kind instead of the resource.
pub(super) fn conflict_of(title: &str, id: ObjectId, why: &str) -> ClusterError {
    let message = format!("Operation cannot be fulfilled on {title} {:?}: {why}", id.name);
    ClusterError::Conflict { id, message }
}

/// An update of a custom resource that does not say which state it read.
pub(super) fn unversioned(kind: &Kind, id: ObjectId) -> ClusterError {
    let field = "metadata.resourceVersion";
    let message = format!(
        "{} {:?} is invalid: {field}: Invalid value: 0: must be specified for an update",
        kind.resource(),
        id.name
    );
    ClusterError::Refused { id: Some(id), message, fields: vec![field.into()] }
}

/// The object is not the one that the writer read.
pub(super) fn modified(kind: &Kind, id: ObjectId) -> ClusterError {
    conflict(kind, id, "the object has been modified; please apply your changes to the latest version and try again")
}

/// `Deployment.apps "a" is invalid: spec.x: Required value`.
pub(super) fn invalid(kind: &Kind, id: ObjectId, faults: &[Fault]) -> ClusterError {
    let texts: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect();
    let texts = if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) };
    let message = format!("{} {:?} is invalid: {texts}", kind.title(), id.name);
    let fields = faults.iter().map(|fault| fault.field.clone()).collect();
    ClusterError::Refused { id: Some(id), message, fields }
}

/// A request that makes no sense.
pub(super) fn bad(id: ObjectId, message: impl Into<String>) -> ClusterError {
    ClusterError::Refused { id: Some(id), message: message.into(), fields: Vec::new() }
}
