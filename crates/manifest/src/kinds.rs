//! Kind facts: what Kubernetes' own kinds are, as data. Which scope a kind has, which of its lists and maps server-side
//! apply merges, and by which keys a strategic merge patch does.
//!
//! The data, `kinds.txt`, is made by `cargo kinds` from the OpenAPI documents of the kube-apiserver that the tests run
//! against; `make test` says when it is stale. It holds no custom resources: those tell themselves in their CRD. Its lines:
//! ```text
//! kind <apiVersion> <kind> <namespaced|cluster> [<type>]
//! type <name> [atomic]
//!   <field> [set|map:<key>[=<default>],…] [atomic] [patch:<strategy>,…[:<merge key>]] [><type>]
//! ```
//! Kinds and fields without a type, and fields that are not listed, hold nothing that has a fact: their lists are atomic
//! and their maps are granular, as server-side apply treats what the schema is silent about. The field `*` stands for
//! every key of a map.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::Gvk;

/// Whether objects of a kind live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Each object has a namespace.
    Namespaced,
    /// Objects belong to the whole cluster.
    Cluster,
}

/// Facts about one type of object and, by [`Schema::field`], about all below it.
#[derive(Debug, PartialEq, Eq)]
pub struct Schema {
    atomic: bool,
    fields: HashMap<&'static str, Field>,
}

/// Facts about one field of a [`Schema`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Field {
    list: List,
    atomic: bool,
    replace_keys: bool,
    merged: bool,
    merge_key: Option<&'static str>,
    schema: Option<&'static str>,
}

/// How server-side apply merges a list (`x-kubernetes-list-type`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum List {
    /// As a whole; also what is no list.
    #[default]
    Atomic,
    /// By its scalar items.
    Set,
    /// Item by item, each known by its keys.
    Map(Vec<Key>),
}

/// One key of the items of a [`List::Map`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The field that is the key.
    pub name: &'static str,
    /// Value of an item without the field, such as `TCP` for `protocol`.
    pub default: Option<&'static str>,
}

/// The scope of one of Kubernetes' own kinds; `None` for any other.
pub fn scope(gvk: &Gvk) -> Option<Scope> {
    table().kinds.get(gvk).map(|kind| kind.scope)
}

/// Whether Kubernetes itself has kinds of a group.
pub fn has_group(group: &str) -> bool {
    table().kinds.keys().any(|gvk| gvk.group == group)
}

/// The facts of one of Kubernetes' own kinds; `None` for any other, and for a kind that has none.
pub fn schema(gvk: &Gvk) -> Option<&'static Schema> {
    table().types.get(table().kinds.get(gvk)?.schema?)
}

impl Schema {
    /// Whether server-side apply owns such an object as a whole (`x-kubernetes-map-type: atomic`).
    pub fn is_atomic(&self) -> bool {
        self.atomic
    }

    /// The facts of a field or, in a map, of any key; `None` when there are none.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(name).or_else(|| self.fields.get("*"))
    }
}

impl Field {
    /// How server-side apply merges it, if it is a list.
    pub fn list(&self) -> &List {
        &self.list
    }

    /// Whether server-side apply owns it as a whole, if it is a map.
    pub fn is_atomic(&self) -> bool {
        self.atomic || self.schema().is_some_and(Schema::is_atomic)
    }

    /// Whether a strategic merge patch merges it, if it is a list; else the patch replaces it.
    pub fn is_merged(&self) -> bool {
        self.merged
    }

    /// The key by which a strategic merge patch knows the items of a list of objects.
    pub fn merge_key(&self) -> Option<&'static str> {
        self.merge_key
    }

    /// Whether a strategic merge patch drops the keys that it does not name (`retainKeys`).
    pub fn retains_patched_keys_alone(&self) -> bool {
        self.replace_keys
    }

    /// The facts of what stands in it: of the object, or of each item of the list.
    pub fn schema(&self) -> Option<&'static Schema> {
        table().types.get(self.schema?)
    }
}

struct Kind {
    scope: Scope,
    schema: Option<&'static str>,
}

#[derive(Default)]
struct Table {
    kinds: HashMap<Gvk, Kind>,
    types: HashMap<&'static str, Schema>,
}

impl Table {
    /// Reads the data. Lines of no known form are left out: the data is ours, and a test reads it back whole.
    fn read(text: &'static str) -> Self {
        let mut table = Self::default();
        let mut current = "";
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("kind") => table.add_kind(words),
                Some("type") => {
                    current = words.next().unwrap_or_default();
                    let atomic = words.next() == Some("atomic");
                    table.types.insert(current, Schema { atomic, fields: HashMap::new() });
                }
                Some(name) if line.starts_with(' ') => {
                    let field = words.fold(Field::default(), Field::with);
                    table.types.entry(current).and_modify(|schema| _ = schema.fields.insert(name, field));
                }
                _ => {}
            }
        }
        table
    }

    fn add_kind(&mut self, mut words: impl Iterator<Item = &'static str>) {
        if let (Some(version), Some(kind), Some(scope)) = (words.next(), words.next(), words.next()) {
            let scope = if scope == "cluster" { Scope::Cluster } else { Scope::Namespaced };
            self.kinds.insert(Gvk::new(version, kind), Kind { scope, schema: words.next() });
        }
    }
}

impl Field {
    fn with(mut self, word: &'static str) -> Self {
        match word.split_once(':') {
            Some(("map", keys)) => self.list = List::Map(keys.split(',').map(Key::read).collect()),
            Some(("patch", rest)) => {
                let (strategies, key) = rest.split_once(':').map_or((rest, None), |(s, key)| (s, Some(key)));
                self.merged = strategies.split(',').any(|s| s == "merge");
                self.replace_keys = strategies.split(',').any(|s| s == "retainKeys");
                self.merge_key = key;
            }
            _ if word == "set" => self.list = List::Set,
            _ if word == "atomic" => self.atomic = true,
            _ => self.schema = word.strip_prefix('>'),
        }
        self
    }
}

impl Key {
    fn read(text: &'static str) -> Self {
        let (name, default) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        Self { name, default }
    }
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| Table::read(include_str!("kinds.txt")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(api_version: &str, kind: &str, path: &[&str]) -> &'static Field {
        let mut schema = schema(&Gvk::new(api_version, kind)).expect("the kind has facts");
        let (last, before) = path.split_last().expect("a path names a field");
        for name in before {
            schema = schema.field(name).and_then(Field::schema).expect(name);
        }
        schema.field(last).expect(last)
    }

    #[test]
    fn scopes_are_told_of_built_in_kinds_alone() {
        assert_eq!(scope(&Gvk::new("apps/v1", "Deployment")), Some(Scope::Namespaced));
        assert_eq!(scope(&Gvk::new("v1", "Namespace")), Some(Scope::Cluster));
        assert_eq!(scope(&Gvk::new("apiextensions.k8s.io/v1", "CustomResourceDefinition")), Some(Scope::Cluster));
        assert_eq!(scope(&Gvk::new("v1", "Deployment")), None);
        assert_eq!(scope(&Gvk::new("policy/v1", "Eviction")), None);
        assert!(["", "apps", "networking.k8s.io"].into_iter().all(has_group));
        assert!(!has_group("gateway.networking.k8s.io"));
    }

    #[test]
    fn lists_of_a_pod_merge_by_their_keys() {
        let containers = down("apps/v1", "Deployment", &["spec", "template", "spec", "containers"]);
        assert_eq!(containers.list(), &List::Map(vec![Key { name: "name", default: None }]));
        assert!(containers.is_merged());
        assert_eq!(containers.merge_key(), Some("name"));
        let ports = down("v1", "Pod", &["spec", "containers", "ports"]);
        let protocol = Key { name: "protocol", default: Some("TCP") };
        assert_eq!(ports.list(), &List::Map(vec![Key { name: "containerPort", default: None }, protocol]));
        assert_eq!(down("v1", "Pod", &["metadata", "finalizers"]).list(), &List::Set);
        assert!(down("v1", "Pod", &["spec", "volumes"]).retains_patched_keys_alone());
    }

    #[test]
    fn what_is_owned_as_a_whole_is_told() {
        assert!(down("apps/v1", "Deployment", &["spec", "selector"]).is_atomic());
        assert!(down("v1", "Pod", &["spec", "nodeSelector"]).is_atomic());
        assert!(!down("v1", "Pod", &["spec"]).is_atomic());
    }
}
