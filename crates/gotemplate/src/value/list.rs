//! Go's slices. Templates cannot change an element, so a list is shared and never written.

use std::sync::Arc;

use super::{Type, Value};

/// A slice. A `nil` slice is empty and prints as such, but is `null` in JSON.
#[derive(Clone)]
pub struct List {
    element: &'static Type,
    items: Option<Arc<Items>>,
}

struct Items(Vec<Value>);

impl List {
    /// A `[]interface {}`.
    pub fn new(items: Vec<Value>) -> Self {
        Self::of(&Type::Any, items)
    }

    /// A slice of `element`s; the caller gives only such.
    pub fn of(element: &'static Type, items: Vec<Value>) -> Self {
        Self { element, items: Some(Arc::new(Items(items))) }
    }

    /// A `nil` slice of `element`s.
    pub fn nil(element: &'static Type) -> Self {
        Self { element, items: None }
    }

    /// Type of the elements.
    pub fn element(&self) -> &'static Type {
        self.element
    }

    /// Whether it is `nil`.
    pub fn is_nil(&self) -> bool {
        self.items.is_none()
    }

    /// The elements.
    pub fn items(&self) -> &[Value] {
        self.items.as_ref().map_or(&[], |items| &items.0)
    }

    /// Whether both are the same slice in memory.
    pub(crate) fn is_same(&self, other: &List) -> bool {
        match (&self.items, &other.items) {
            (Some(left), Some(right)) => Arc::ptr_eq(left, right),
            (None, None) => true,
            _ => false,
        }
    }

    /// Takes the elements out when nobody else holds them.
    pub(super) fn take(&mut self) -> Vec<Value> {
        self.items.take().and_then(Arc::into_inner).map(|mut items| std::mem::take(&mut items.0)).unwrap_or_default()
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        super::unravel(std::mem::take(&mut self.0));
    }
}
