//! The `fake` provider: values that stand in the store's own spec.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};

use super::hash;
use super::store::{Bytes, Cause, Data, Deletion, Item, ItemKind, Listed, Remote, Store};
use crate::api::store::Fake;

/// The values of one store, by key and version.
pub(super) struct FakeStore {
    values: BTreeMap<(String, String), Bytes>,
}

impl FakeStore {
    /// Takes the values of a spec. The last of equal ones counts.
    pub(super) fn new(spec: &Fake) -> Self {
        let values = spec.data.iter().map(|secret| {
            let value = secret.value.expose_text().unwrap_or_default();
            ((secret.key.clone(), secret.version.clone().unwrap_or_default()), Bytes::from(value.as_bytes().to_vec()))
        });
        Self { values: values.collect() }
    }

    /// The values have no names for their versions, so that a version is what the value hashes to. The values stand in
    /// the store's spec for everyone to read.
    fn version(value: &Bytes) -> String {
        hash::data(&Data::from([(String::new(), value.clone())]))
    }
}

impl Store for FakeStore {
    fn read(&self, item: Item) -> BoxFuture<'_, Result<Arc<Remote>, Cause>> {
        let found = self.values.get(&(item.name, item.version)).filter(|_| item.kind == ItemKind::Secret);
        let remote = found.map(|value| {
            let version = Self::version(value);
            Arc::new(Remote { value: value.clone(), tags: BTreeMap::new(), attributes: BTreeMap::new(), version })
        });
        ready(remote.ok_or(Cause::NotFound)).boxed()
    }

    /// Each key once; which of its versions is read is the text that sorts last, as in the original.
    fn list(&self) -> BoxFuture<'_, Result<Arc<Vec<Listed>>, Cause>> {
        let mut latest: BTreeMap<&str, (&str, &Bytes)> = BTreeMap::new();
        for ((key, version), value) in &self.values {
            latest.insert(key, (version, value));
        }
        let listed = latest.into_iter().map(|(key, (version, value))| Listed {
            name: key.to_owned(),
            version: version.to_owned(),
            tags: BTreeMap::new(),
            enabled: true,
            mark: Self::version(value),
        });
        ready(Ok(Arc::new(listed.collect()))).boxed()
    }

    fn deletion(&self, _: Item) -> BoxFuture<'_, Deletion> {
        ready(Deletion::Unknown).boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_key_is_found_by_its_version_alone() {
        let spec: Fake = serde_json::from_value(json!({"data": [
            {"key": "a", "value": "1"}, {"key": "a", "value": "2", "version": "v2"}, {"key": "a", "value": "3", "version": "v1"},
        ]}))
        .expect("a spec");
        let store = FakeStore::new(&spec);
        let read = |version: &str| store.read(Item { version: version.into(), ..Item::secret("a") });
        assert_eq!(read("").await.expect("a value").value.as_slice(), b"1");
        assert_eq!(read("v1").await.expect("a value").value.as_slice(), b"3");
        assert!(read("v3").await.is_err_and(|cause| cause.is_gone()));
        let listed = store.list().await.expect("a list");
        assert_eq!(
            listed.iter().map(|item| (item.name.as_str(), item.version.as_str())).collect::<Vec<_>>(),
            [("a", "v2")]
        );
    }
}
