//! Objects of the host program, as templates see them.

use std::sync::Arc;

use super::Value;
use crate::Function;

/// What a name after a dot means on a host object.
pub enum Member {
    /// A field of a struct.
    Field(Value),
    /// A method; its receiver is already bound.
    Method(Arc<Function>),
}

/// An object with fields and methods, such as Helm's `.Capabilities` or `.Files`.
pub trait Host: Send + Sync {
    /// Go's name of the type, such as `*common.Capabilities`; a leading `*` makes it a pointer.
    fn type_name(&self) -> &'static str;

    /// A field or method; `None` when there is none.
    fn member(&self, name: &str) -> Option<Member>;

    /// The map or slice that the object is underneath, for `range`, `index`, `len` and JSON.
    fn underlying(&self) -> Option<Value> {
        None
    }

    /// The exported fields, by Go name and by JSON name, in order; how the object prints and marshals. An empty JSON
    /// name leaves the field out of JSON.
    fn fields(&self) -> Vec<(&'static str, &'static str, Value)> {
        Vec::new()
    }

    /// What `String()` or `Error()` answers, when there is such a method.
    fn text(&self) -> Option<String> {
        None
    }

    /// What `MarshalJSON` or `MarshalText` gives, when there is such a method.
    fn json(&self) -> Option<Value> {
        None
    }

    /// Whether it is a nil pointer.
    fn is_nil(&self) -> bool {
        false
    }
}
