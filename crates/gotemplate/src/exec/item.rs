//! A value with what Go's reflection knows beside it.

use crate::{Type, Value};

/// A value on its way through a pipeline.
///
/// Go tells a value from the `interface {}` that it was taken from: an element of a `[]interface {}` is an interface,
/// and its fields' errors speak of `interface {}`; so does a `nil` element, which is not the same as no value at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Item {
    pub(crate) value: Value,
    /// Whether it is still inside an `interface {}`.
    pub(crate) is_boxed: bool,
}

impl Item {
    /// A value with its own type.
    pub(crate) fn bare(value: Value) -> Self {
        Self { value, is_boxed: false }
    }

    /// An element of a container of `element`s.
    pub(crate) fn element(value: Value, element: Type) -> Self {
        Self { value, is_boxed: element == Type::Any }
    }

    /// The value out of its interface; a `nil` interface becomes no value.
    pub(crate) fn unboxed(self) -> Self {
        Self::bare(self.value)
    }

    /// Whether it is no value at all.
    pub(crate) fn is_invalid(&self) -> bool {
        !self.is_boxed && matches!(self.value, Value::Nil)
    }

    /// Whether it is a `nil` inside an interface.
    pub(crate) fn is_nil_interface(&self) -> bool {
        self.is_boxed && matches!(self.value, Value::Nil)
    }

    /// Its static type.
    pub(crate) fn go_type(&self) -> Type {
        if self.is_boxed { Type::Any } else { self.value.go_type() }
    }
}
