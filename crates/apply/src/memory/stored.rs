//! An object as the cluster holds it: its content apart from who owns which of its fields.
//!
//! Most requests change nothing, or only look: what is stored is shared and never changed, and the form that readers get
//! is made once.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use manifest::Object;
use serde_json::Value;

use super::managed::{self, Managers};

/// One state of one object. It stands for its content without `managedFields`.
#[derive(Clone)]
pub(super) struct Stored(Arc<State>);

struct State {
    bare: Value,
    managers: Managers,
    /// Both together, when somebody has asked for it.
    whole: OnceLock<Object>,
}

impl Stored {
    /// Content and managers; `managedFields` in the content count for nothing.
    pub(super) fn new(mut value: Value, managers: Managers) -> Self {
        managed::bare(&mut value);
        Self(Arc::new(State { bare: value, managers, whole: OnceLock::new() }))
    }

    /// A whole object, as it was read.
    pub(super) fn of(object: Object) -> Self {
        let managers = Managers::of(object.value());
        Self::new(object.into_value(), managers)
    }

    pub(super) fn managers(&self) -> &Managers {
        &self.0.managers
    }

    /// The object with its `managedFields`.
    pub(super) fn whole(&self) -> &Object {
        self.0.whole.get_or_init(|| {
            let mut value = self.0.bare.clone();
            managed::record(&mut value, &self.0.managers);
            Object::unchecked(value)
        })
    }

    /// Whether the content is this, and so are the managers but for their times: who has done nothing is not recorded.
    pub(super) fn is(&self, value: &Value, managers: &Managers) -> bool {
        self.0.bare == *value && self.0.managers.is_same(managers)
    }
}

impl Deref for Stored {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0.bare
    }
}
