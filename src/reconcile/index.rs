//! The objects of all kinds that are watched, as they were seen last.
//!
//! **Form.** Packed, since most objects are looked at once an hour. Who looks for objects that name something reads only those
//! in whose text the name stands.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use manifest::{Object, Packed};
use memchr::memmem::Finder;

use super::{Key, Kind};

/// The objects of all kinds that are watched.
#[derive(Default)]
pub struct Index {
    objects: RwLock<BTreeMap<Key, Kept>>,
}

/// An object as it is kept.
#[derive(Clone)]
struct Kept {
    generation: i64,
    form: Packed,
}

impl Kept {
    fn new(object: Object) -> Self {
        let object = light(object);
        Self { generation: object.generation(), form: Packed::new(&object) }
    }

    fn mentions(&self, names: &[Finder<'_>]) -> bool {
        self.form.text().is_none_or(|text| names.iter().any(|name| name.find(text).is_some()))
    }
}

impl Index {
    /// One object.
    pub fn get(&self, key: &Key) -> Option<Object> {
        let kept = self.read().get(key).cloned()?;
        kept.form.object()
    }

    /// The generation of an object.
    pub fn generation(&self, key: &Key) -> Option<i64> {
        self.read().get(key).map(|kept| kept.generation)
    }

    /// Every object of a kind.
    pub fn keys(&self, kind: Kind) -> Vec<Key> {
        of_kind(&self.read(), kind).map(|(key, _)| key.clone()).collect()
    }

    /// Every object of a kind that is meant, among those in which one of `names` stands as a name or a word of its own.
    pub fn mentioning(&self, kind: Kind, names: &[&str], is_meant: impl Fn(&Object) -> bool) -> Vec<Key> {
        let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let finders: Vec<Finder<'_>> = quoted.iter().map(Finder::new).collect();
        let objects = self.read();
        let candidates = of_kind(&objects, kind).filter(|(_, kept)| kept.mentions(&finders));
        candidates
            .filter(|(_, kept)| kept.form.object().is_some_and(|object| is_meant(&object)))
            .map(|(k, _)| k.clone())
            .collect()
    }

    /// Whether there is an object of a kind that is meant, among those whose keys `may_be`.
    pub fn any(&self, kind: Kind, may_be: impl Fn(&Key) -> bool, is_meant: impl Fn(&Object) -> bool) -> bool {
        let objects = self.read();
        let mut candidates = of_kind(&objects, kind).filter(|(key, _)| may_be(key));
        candidates.any(|(_, kept)| kept.form.object().is_some_and(|object| is_meant(&object)))
    }

    /// Puts an object.
    pub fn put(&self, key: Key, object: Object) {
        let kept = Kept::new(object);
        self.objects.write().unwrap_or_else(PoisonError::into_inner).insert(key, kept);
    }

    /// Replaces an object by what a write has made of it; returns the one that stood there. `None` when the watch has told
    /// of something newer already, or that the object is gone: then nothing is replaced.
    pub fn replace(&self, key: &Key, written: &Object) -> Option<Object> {
        let version = |object: &Object| object.resource_version().parse::<u128>().ok();
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        let kept = objects.get_mut(key)?;
        let seen = kept.form.object()?;
        let is_newer = version(&seen).zip(version(written)).is_some_and(|(seen, written)| seen > written);
        if is_newer {
            return None;
        }
        *kept = Kept::new(written.clone());
        Some(seen)
    }

    /// Takes an object away.
    pub fn remove(&self, key: &Key) {
        self.objects.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Key, Kept>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_kind(objects: &BTreeMap<Key, Kept>, kind: Kind) -> impl Iterator<Item = (&Key, &Kept)> {
    let first = Key { kind, namespace: String::new(), name: String::new() };
    objects.range((Bound::Included(first), Bound::Unbounded)).take_while(move |(key, _)| key.kind == kind)
}

/// An object without what nobody asks for: who wrote which field is more than half of it.
fn light(mut object: Object) -> Object {
    object.metadata().remove("managedFields");
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn release(name: &str, spec: Value) -> (Key, Object) {
        let kind = Kind::HelmRelease;
        let object = Object::unchecked(json!({"apiVersion": kind.api_version(), "kind": kind.name(),
            "metadata": {"name": name, "namespace": "n", "generation": 7}, "spec": spec}));
        (Key::of(kind, &object), object)
    }

    #[test]
    fn only_what_names_something_is_looked_at() {
        let index = Index::default();
        for (name, spec) in
            [("a", json!({"dependsOn": [{"name": "db"}]})), ("b", json!({"dependsOn": [{"name": "db2"}]}))]
        {
            let (key, object) = release(name, spec);
            index.put(key.clone(), object.clone());
            assert_eq!(index.get(&key).unwrap().value(), object.value());
            assert_eq!(index.generation(&key), Some(7));
        }
        let looked = std::cell::Cell::new(0);
        let found = index.mentioning(Kind::HelmRelease, &["db", "c"], |_| {
            looked.set(looked.get() + 1);
            true
        });
        assert_eq!((found.len(), found[0].name.as_str(), looked.get()), (1, "a", 1));
        assert!(index.mentioning(Kind::Kustomization, &["db"], |_| true).is_empty());
        assert!(index.any(Kind::HelmRelease, |key| key.name == "b", |object| object.name() == "b"));
    }
}
