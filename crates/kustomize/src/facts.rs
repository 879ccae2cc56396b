//! What kustomize knows of kinds: which lists of theirs merge, by which keys, and which have no namespace.
//!
//! kustomize v5.8.1 carries the OpenAPI document of Kubernetes v1.21.2, whatever the cluster is. `facts.txt` holds what
//! it takes from there; `facts/main.go` wrote it, and says how it reads. A kustomization may bring its own document.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use serde_json::Value;

/// What is known of kinds.
#[derive(Default)]
pub(crate) struct Facts {
    definitions: Vec<Definition>,
    names: HashMap<String, usize>,
    /// By kind, so that a look-up needs no text of its own; then by `apiVersion`.
    kinds: HashMap<String, HashMap<String, usize>>,
    cluster: HashMap<String, HashSet<String>>,
}

/// Fields of a type from which a list that merges can be reached, and those lists.
#[derive(Default)]
struct Definition {
    fields: HashMap<String, Field>,
    /// For every other field, of a map.
    others: Option<Field>,
}

/// What a field is.
#[derive(Clone, Default)]
pub(crate) struct Field {
    /// The type of the field, or of the entries of its list.
    target: Option<usize>,
    is_list: bool,
    /// The keys by which its entries merge: none for texts. `None` when they do not merge.
    keys: Option<Arc<[String]>>,
}

/// What is known of a place in an object.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    facts: &'a Facts,
    field: Place<'a>,
}

#[derive(Clone, Copy)]
enum Place<'a> {
    Type(usize),
    Field(&'a Field),
}

impl<'a> Shape<'a> {
    fn definition(&self) -> Option<&'a Definition> {
        let index = match self.field {
            Place::Type(index) => index,
            Place::Field(field) if field.is_list => return None,
            Place::Field(field) => field.target?,
        };
        self.facts.definitions.get(index)
    }

    /// What is known of a field below.
    pub(crate) fn field(&self, name: &str) -> Option<Shape<'a>> {
        let definition = self.definition()?;
        let field = definition.fields.get(name).or(definition.others.as_ref())?;
        Some(Shape { facts: self.facts, field: Place::Field(field) })
    }

    /// What is known of the entries of a list.
    pub(crate) fn entries(&self) -> Option<Shape<'a>> {
        match self.field {
            Place::Field(Field { is_list: true, target: Some(target), .. }) => {
                Some(Shape { facts: self.facts, field: Place::Type(*target) })
            }
            _ => None,
        }
    }

    /// By which keys the entries of a list merge; `None` when they do not.
    pub(crate) fn merge_keys(&self) -> Option<&'a [String]> {
        match self.field {
            Place::Field(field) => field.keys.as_deref(),
            Place::Type(_) => None,
        }
    }
}

/// What kustomize knows without being told.
pub(crate) static BUILTIN: LazyLock<Arc<Facts>> =
    LazyLock::new(|| Arc::new(Facts::from_table(include_str!("facts.txt"))));

impl Facts {
    /// What is known of a kind's fields.
    pub(crate) fn shape(&self, api_version: &str, kind: &str) -> Option<Shape<'_>> {
        let index = *self.kinds.get(kind)?.get(api_version)?;
        Some(Shape { facts: self, field: Place::Type(index) })
    }

    /// Whether objects of a kind certainly have no namespace.
    pub(crate) fn is_cluster_scoped(&self, api_version: &str, kind: &str) -> bool {
        self.cluster.get(kind).is_some_and(|versions| versions.contains(api_version))
    }

    fn from_table(table: &str) -> Self {
        let mut facts = Facts::default();
        for line in table.lines() {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("type"), Some(name), first) => facts.add_type(name, first.into_iter().chain(words)),
                (Some("kind"), Some(api_version), Some(kind)) => {
                    let index = facts.index(words.next().unwrap_or_default());
                    facts.kinds.entry(kind.into()).or_default().insert(api_version.into(), index);
                }
                (Some("cluster"), Some(api_version), Some(kind)) => facts.add_cluster(api_version.into(), kind.into()),
                _ => {}
            }
        }
        facts
    }

    fn index(&mut self, name: &str) -> usize {
        if let Some(index) = self.names.get(name) {
            return *index;
        }
        self.definitions.push(Definition::default());
        self.names.insert(name.into(), self.definitions.len() - 1);
        self.definitions.len() - 1
    }

    fn add_type<'t>(&mut self, name: &str, fields: impl Iterator<Item = &'t str>) {
        let mut definition = Definition::default();
        for (field, target) in fields.filter_map(|field| field.split_once('=')) {
            let target = (!target.is_empty()).then(|| self.index(target));
            let (name, keys) = match field.split_once('[') {
                Some((name, keys)) => (name, Some(keys.trim_end_matches(']'))),
                None => (field, None),
            };
            let merge = keys.filter(|keys| !keys.is_empty());
            let keys_of = |keys: &str| keys.split(',').filter(|key| *key != "-").map(String::from).collect();
            let field = Field { target, is_list: keys.is_some(), keys: merge.map(keys_of) };
            match name.strip_suffix('*') {
                Some(_) => definition.others = Some(field),
                None => _ = definition.fields.insert(name.into(), field),
            }
        }
        let index = self.index(name);
        if let Some(slot) = self.definitions.get_mut(index) {
            *slot = definition;
        }
    }

    /// What an OpenAPI document says, above what is known without it: the scope of kinds stays known, their fields only
    /// where `keep` says so (Flux has the built-in document loaded when a kustomization brings its own, the command line
    /// has not).
    pub(crate) fn with_document(document: &Value, keep: bool) -> Self {
        let mut facts = Facts::from_table(if keep { include_str!("facts.txt") } else { "" });
        facts.cluster.clone_from(&BUILTIN.cluster);
        let definitions = document.get("definitions").and_then(Value::as_object);
        for (name, schema) in definitions.into_iter().flatten() {
            facts.add_schema(name, schema);
        }
        facts.add_scopes(document);
        facts
    }

    fn add_schema(&mut self, name: &str, schema: &Value) {
        let mut definition = Definition::default();
        let properties = schema.get("properties").and_then(Value::as_object);
        for (field, schema) in properties.into_iter().flatten() {
            let field_of = self.schema_field(name, field, schema);
            definition.fields.insert(field.clone(), field_of);
        }
        if let Some(others) = schema.get("additionalProperties").filter(|others| others.is_object()) {
            definition.others = Some(self.schema_field(name, "*", others));
        }
        let index = self.index(name);
        if let Some(slot) = self.definitions.get_mut(index) {
            *slot = definition;
        }
        for kind in schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array).into_iter().flatten() {
            if let Some((api_version, kind)) = kind_key(kind) {
                self.kinds.entry(kind).or_default().insert(api_version, index);
            }
        }
    }

    fn schema_field(&mut self, owner: &str, name: &str, schema: &Value) -> Field {
        let text = |key: &str| schema.get(key).and_then(Value::as_str);
        let items = schema.get("items").filter(|_| text("type") == Some("array"));
        let target = self.schema_target(owner, name, items.unwrap_or(schema));
        let merges =
            text("x-kubernetes-patch-strategy").is_some_and(|strategy| strategy.split(',').any(|part| part == "merge"));
        let list_keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
        let keys = merges.then(|| match list_keys {
            Some(keys) => keys.iter().filter_map(Value::as_str).map(String::from).collect(),
            None => text("x-kubernetes-patch-merge-key").into_iter().map(String::from).collect(),
        });
        Field { target, is_list: items.is_some(), keys }
    }

    /// The type that a schema names, or describes in its own place.
    fn schema_target(&mut self, owner: &str, name: &str, schema: &Value) -> Option<usize> {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            return Some(self.index(target.trim_start_matches("#/definitions/")));
        }
        if schema.get("properties").is_none()
            && schema.get("additionalProperties").is_none_or(|others| !others.is_object())
        {
            return None;
        }
        let inner = format!("{owner}.{name}");
        self.add_schema(&inner, schema);
        Some(self.index(&inner))
    }

    fn add_scopes(&mut self, document: &Value) {
        let mut seen: HashMap<(String, String), bool> = HashMap::new();
        let paths = document.get("paths").and_then(Value::as_object);
        for (path, methods) in paths.into_iter().flatten() {
            let kind = methods.get("get").and_then(|get| get.get("x-kubernetes-group-version-kind"));
            if let Some(key) = kind.and_then(kind_key) {
                *seen.entry(key).or_default() |= path.contains("namespaces/{namespace}");
            }
        }
        for ((api_version, kind), _) in seen.into_iter().filter(|(_, namespaced)| !namespaced) {
            self.add_cluster(api_version, kind);
        }
    }

    fn add_cluster(&mut self, api_version: String, kind: String) {
        self.cluster.entry(kind).or_default().insert(api_version);
    }
}

fn kind_key(kind: &Value) -> Option<(String, String)> {
    let text = |key: &str| kind.get(key).and_then(Value::as_str);
    let version = text("version")?;
    let api_version = match text("group") {
        Some(group) if !group.is_empty() => format!("{group}/{version}"),
        _ => version.into(),
    };
    Some((api_version, text("kind")?.into()))
}
