//! What one `remoteRef` takes from one item: its value, a property of it, its tags, or the members of an object.

use super::select;
use super::store::{Bytes, Cause, Data, Item, ItemKind, Remote};
use crate::api::secret::{MetadataPolicy, RemoteReference};

/// The manners in which the providers of External Secrets differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Azure Key Vault. The legacy client knows attributes as tags, the new one does not.
    Azure { attributes: bool },
    /// The store's own values: no tags, no kinds of items, no second try for properties with dots.
    Fake,
}

impl Dialect {
    /// The item that a reference means.
    pub(super) fn item(self, reference: &RemoteReference) -> Result<Item, Cause> {
        let version = reference.version.clone().unwrap_or_default();
        if self == Self::Fake {
            return Ok(Item { version, ..Item::secret(&reference.key) });
        }
        let mut parts = reference.key.split('/');
        let first = parts.next().unwrap_or_default();
        let (kind, name) = match (first, parts.next()) {
            (name, None) => (ItemKind::Secret, name),
            ("secret", Some(name)) => (ItemKind::Secret, name),
            ("cert", Some(name)) => (ItemKind::Certificate, name),
            ("key", Some(name)) => (ItemKind::Key, name),
            (_, Some(name)) => {
                return Err(Cause::Spec { message: format!("unknown Azure Keyvault object Type for {name}") });
            }
        };
        Ok(Item { kind, name: name.to_owned(), version })
    }

    /// One value.
    pub(super) fn value(self, remote: &Remote, item: &Item, reference: &RemoteReference) -> Result<Bytes, Cause> {
        let property = reference.property.as_deref();
        if self == Self::Fake {
            return selected(remote, property, select::select);
        }
        match (&reference.metadata_policy, item.kind) {
            (MetadataPolicy::Fetch, _) => tag(&self.tags(remote), property),
            (_, ItemKind::Certificate) => Ok(remote.value.clone()),
            _ => selected(remote, property, select::property),
        }
    }

    /// Several values, by key.
    pub(super) fn map(self, remote: &Remote, item: &Item, reference: &RemoteReference) -> Result<Data, Cause> {
        match item.kind {
            ItemKind::Secret => {}
            ItemKind::Certificate => return Err(spec("cannot get use dataFrom to get certificate secret")),
            ItemKind::Key => return Err(spec("cannot get use dataFrom to get key secret")),
        }
        let value = self.value(remote, item, reference)?;
        if self != Self::Fake && reference.metadata_policy == MetadataPolicy::Fetch {
            return Ok(self.tag_map(remote, item, reference));
        }
        let text = std::str::from_utf8(&value).map_err(|_| Cause::Content { expected: "text" })?;
        let members = select::object(text).ok_or(Cause::Content { expected: "a JSON object" })?;
        Ok(members.into_iter().map(|(key, value)| (key, bytes(&value))).collect())
    }

    /// Tags, and the item's times where the client knows them as tags.
    fn tags(self, remote: &Remote) -> Vec<(&str, &str)> {
        let tags = remote.tags.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let times = remote.attributes.iter().map(|(name, value)| (*name, value.as_str()));
        let mut all: Vec<_> = match self {
            Self::Azure { attributes: true } => {
                tags.filter(|(name, _)| !remote.attributes.contains_key(name)).chain(times).collect()
            }
            _ => tags.collect(),
        };
        all.sort_unstable();
        all
    }

    /// All tags as `<item>_<tag>`, or `<item>_<tag>_<member>` for a tag that is an object of strings.
    fn tag_map(self, remote: &Remote, item: &Item, reference: &RemoteReference) -> Data {
        let mut found: Vec<(String, Bytes)> = Vec::new();
        for (name, value) in self.tags(remote) {
            let name = format!("{}_{name}", item.name);
            match select::strings(value) {
                Some(members) => {
                    found.extend(members.iter().map(|(key, value)| (format!("{name}_{key}"), bytes(value))));
                }
                _ => found.push((name, bytes(value))),
            }
        }
        let Some(property) = &reference.property else { return found.into_iter().collect() };
        let key = format!("{}_{property}", reference.key);
        let tags: Vec<_> =
            found.iter().filter_map(|(key, value)| Some((key.as_str(), std::str::from_utf8(value).ok()?))).collect();
        let value = tag(&tags, Some(&key)).unwrap_or_default();
        Data::from([(key, value)])
    }
}

fn spec(message: &str) -> Cause {
    Cause::Spec { message: message.into() }
}

fn bytes(text: &str) -> Bytes {
    Bytes::from(text.as_bytes().to_vec())
}

/// A property of the value, or the value.
fn selected(
    remote: &Remote,
    property: Option<&str>,
    select: fn(&str, &str) -> Option<zeroize::Zeroizing<String>>,
) -> Result<Bytes, Cause> {
    let Some(property) = property else { return Ok(remote.value.clone()) };
    let found = select(remote.text()?, property);
    found.map(|text| bytes(&text)).ok_or_else(|| Cause::NoProperty { property: property.to_owned() })
}

/// One tag, `tag.path` into one that is JSON, or all of them as a JSON object.
fn tag(tags: &[(&str, &str)], property: Option<&str>) -> Result<Bytes, Cause> {
    let Some(property) = property else {
        let members: Vec<_> =
            tags.iter().map(|(name, value)| format!("{}:{}", *select::quoted(name), *select::quoted(value))).collect();
        return Ok(bytes(&format!("{{{}}}", members.join(","))));
    };
    let named = |wanted: &str| tags.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    if let Some(value) = named(property) {
        return Ok(bytes(value));
    }
    let missing = || Cause::NoTag { tag: property.to_owned() };
    let (name, path) = property.split_once('.').filter(|(name, _)| !name.is_empty()).ok_or_else(missing)?;
    let value = named(name).ok_or_else(missing)?;
    if path.is_empty() {
        return Ok(bytes(value));
    }
    let found = select::property(value, path);
    found.map(|text| bytes(&text)).ok_or_else(|| Cause::NoProperty { property: property.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEGACY: Dialect = Dialect::Azure { attributes: true };

    fn remote(value: &str, tags: &[(&str, &str)]) -> Remote {
        Remote {
            value: bytes(value),
            tags: tags.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            attributes: [("attribute.created", "2026-01-02T03:04:05Z".to_owned())].into(),
            version: "1".into(),
        }
    }

    fn reference(key: &str, property: &str, fetch: bool) -> RemoteReference {
        RemoteReference {
            key: key.into(),
            property: Some(property.to_owned()).filter(|property| !property.is_empty()),
            metadata_policy: if fetch { MetadataPolicy::Fetch } else { MetadataPolicy::None },
            ..RemoteReference::default()
        }
    }

    fn value(dialect: Dialect, remote: &Remote, reference: &RemoteReference) -> Result<String, String> {
        let item = dialect.item(reference).map_err(|cause| cause.to_string())?;
        let value = dialect.value(remote, &item, reference).map_err(|cause| cause.to_string())?;
        Ok(String::from_utf8(value.to_vec()).expect("text"))
    }

    fn map(dialect: Dialect, remote: &Remote, reference: &RemoteReference) -> Result<Vec<(String, String)>, String> {
        let item = dialect.item(reference).map_err(|cause| cause.to_string())?;
        let map = dialect.map(remote, &item, reference).map_err(|cause| cause.to_string())?;
        Ok(map.into_iter().map(|(key, value)| (key, String::from_utf8(value.to_vec()).expect("text"))).collect())
    }

    #[test]
    fn the_prefix_of_a_key_says_what_it_is() {
        let item = |key: &str| LEGACY.item(&reference(key, "", false)).map(|item| item.to_string());
        assert_eq!(item("db").expect("an item"), "secret/db");
        assert_eq!(item("cert/tls/ignored").expect("an item"), "cert/tls");
        assert_eq!(item("key/k").expect("an item"), "key/k");
        assert!(matches!(item("other/k"), Err(Cause::Spec { .. })));
        assert_eq!(Dialect::Fake.item(&reference("/a/b", "", false)).expect("an item").name, "/a/b");
    }

    #[test]
    fn a_property_that_is_missing_is_no_missing_secret() {
        let secret = remote(r#"{"a.b":"1"}"#, &[]);
        assert_eq!(value(LEGACY, &secret, &reference("db", "a.b", false)).as_deref(), Ok("1"));
        let missing = Dialect::Fake.value(&secret, &Item::secret("db"), &reference("db", "a.b", false));
        assert!(matches!(missing, Err(Cause::NoProperty { .. })));
    }

    #[test]
    fn metadata_is_tags_and_times() {
        let secret = remote("x", &[("team", "a<b"), ("json", r#"{"k":{"l":"v"}}"#)]);
        let fetch = |property: &str| value(LEGACY, &secret, &reference("db", property, true));
        let all = r#"{"attribute.created":"2026-01-02T03:04:05Z","json":"{\"k\":{\"l\":\"v\"}}","team":"a\u003cb"}"#;
        assert_eq!(fetch("").as_deref(), Ok(all));
        assert_eq!(fetch("team").as_deref(), Ok("a<b"));
        assert_eq!(fetch("attribute.created").as_deref(), Ok("2026-01-02T03:04:05Z"));
        assert_eq!(fetch("json.k.l").as_deref(), Ok("v"));
        assert_eq!(fetch("none"), Err("tag none does not exist".into()));
        let new = Dialect::Azure { attributes: false };
        assert_eq!(
            value(new, &secret, &reference("db", "attribute.created", true)),
            Err("tag attribute.created does not exist".into())
        );
    }

    #[test]
    fn extract_takes_an_object_apart() {
        let secret = remote(r#"{"user":"u","port":5432}"#, &[("t", "v"), ("j", r#"{"a":"b"}"#)]);
        let pairs =
            |pairs: &[(&str, &str)]| Ok(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        assert_eq!(map(LEGACY, &secret, &reference("db", "", false)), pairs(&[("port", "5432"), ("user", "u")]));
        let tags = pairs(&[("db_attribute.created", "2026-01-02T03:04:05Z"), ("db_j_a", "b"), ("db_t", "v")]);
        assert_eq!(map(LEGACY, &secret, &reference("db", "", true)), tags);
        assert_eq!(map(LEGACY, &secret, &reference("db", "t", true)), pairs(&[("db_t", "v")]));
        assert!(map(LEGACY, &secret, &reference("cert/db", "", false)).is_err());
        assert_eq!(
            map(LEGACY, &remote("plain", &[]), &reference("db", "", false)),
            Err("the value is not a JSON object".into())
        );
    }
}
