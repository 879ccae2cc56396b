//! Go's maps: shared, and changed in place by functions such as `set` and `merge`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Text, Type, Value};

/// The entries of a map, in the order in which Go's templates and printers walk them.
pub type Entries = BTreeMap<Text, Value>;

/// A map with string keys. Cloning shares it: a change through one is seen through all.
///
/// A reader gets a snapshot ([`Map::entries`]) that costs no copy; a writer copies only while a snapshot is held. So
/// nobody holds a lock while it looks at values, and a map that contains itself cannot deadlock.
#[derive(Clone)]
pub struct Map {
    element: &'static Type,
    name: Option<&'static Type>,
    shared: Option<Arc<Shared>>,
}

struct Shared(Mutex<Arc<Entries>>);

impl Map {
    /// A `map[string]interface {}`.
    pub fn new(entries: Entries) -> Self {
        Self::of(&Type::Any, entries)
    }

    /// A map to `element`s; the caller gives only such.
    pub fn of(element: &'static Type, entries: Entries) -> Self {
        Self { element, name: None, shared: Some(Arc::new(Shared(Mutex::new(Arc::new(entries))))) }
    }

    /// A `nil` map to `element`s: empty, and cannot be written.
    pub fn nil(element: &'static Type) -> Self {
        Self { element, name: None, shared: None }
    }

    /// The same map (changes are shared) seen as another type: a [`Type::Named`], or plain.
    #[must_use]
    pub fn named(&self, name: Option<&'static Type>) -> Self {
        Self { name, ..self.clone() }
    }

    /// Another map of the same type.
    pub(super) fn rebuilt(&self, entries: Entries) -> Self {
        Self { name: self.name, ..Self::of(self.element, entries) }
    }

    /// Type of the map itself.
    pub fn go_type(&self) -> Type {
        match (self.name, self.element) {
            (Some(name), _) => *name,
            (None, element) => Type::Map(element),
        }
    }

    /// Type of the elements.
    pub fn element(&self) -> &'static Type {
        self.element
    }

    /// Whether it is `nil`.
    pub fn is_nil(&self) -> bool {
        self.shared.is_none()
    }

    /// The entries as they are now.
    pub fn entries(&self) -> Arc<Entries> {
        self.shared.as_ref().map(|shared| Arc::clone(&shared.lock())).unwrap_or_default()
    }

    /// One value.
    pub fn get(&self, key: &[u8]) -> Option<Value> {
        self.shared.as_ref()?.lock().get(key).cloned()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.shared.as_ref().map_or(0, |shared| shared.lock().len())
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes one value. `false` when the map is `nil` and so cannot be written.
    pub fn insert(&self, key: Text, value: Value) -> bool {
        let Some(shared) = &self.shared else { return false };
        let old = Arc::make_mut(&mut shared.lock()).insert(key, value);
        drop(old);
        true
    }

    /// Removes one entry.
    pub fn remove(&self, key: &[u8]) {
        if let Some(shared) = &self.shared {
            let old = Arc::make_mut(&mut shared.lock()).remove(key);
            drop(old);
        }
    }

    /// Whether both are the same map in memory.
    pub fn is_same(&self, other: &Map) -> bool {
        match (&self.shared, &other.shared) {
            (Some(left), Some(right)) => Arc::ptr_eq(left, right),
            (None, None) => true,
            _ => false,
        }
    }

    /// Removes every entry: breaks a map that was made to contain itself, which would never be freed otherwise.
    pub(crate) fn clear(&self) {
        if let Some(shared) = &self.shared {
            let old = std::mem::take(&mut *shared.lock());
            drop(old);
        }
    }

    /// Takes the entries out when nobody else holds them.
    pub(super) fn take(&mut self) -> Vec<Value> {
        let shared = self.shared.take().and_then(Arc::into_inner);
        shared.map(|mut shared| shared.take_values()).unwrap_or_default()
    }
}

impl Default for Map {
    fn default() -> Self {
        Self::new(Entries::new())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Arc<Entries>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_values(&mut self) -> Vec<Value> {
        let entries = std::mem::take(self.0.get_mut().unwrap_or_else(PoisonError::into_inner));
        Arc::into_inner(entries).map(|entries| entries.into_values().collect()).unwrap_or_default()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        super::unravel(self.take_values());
    }
}
