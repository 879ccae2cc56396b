//! Sets of field paths: who owns what, in the `FieldsV1` form of `metadata.managedFields`.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// A scalar that names a list item. The order is structured-merge-diff's: numbers, text, booleans, null.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scalar {
    Int(i64),
    Float(String),
    Text(String),
    Bool(bool),
    Null,
}

impl Scalar {
    /// `None` for a list or a map.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::Null),
            Value::Bool(flag) => Some(Self::Bool(*flag)),
            Value::Number(number) => Some(number.as_i64().map_or_else(|| Self::Float(number.to_string()), Self::Int)),
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Int(number) => Value::from(*number),
            Self::Float(text) => serde_json::from_str(text).unwrap_or(Value::Null),
            Self::Text(text) => Value::from(text.as_str()),
            Self::Bool(flag) => Value::from(*flag),
            Self::Null => Value::Null,
        }
    }
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Element {
    /// A map's entry.
    Field(String),
    /// The list item with these key fields, in order of name.
    Key(Vec<(String, Scalar)>),
    /// The item of a set.
    Value(Scalar),
    /// The item at a position.
    Index(i64),
}

impl Element {
    pub(super) fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    fn from_text(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Self::field(rest)),
            "v" => Scalar::of(&serde_json::from_str(rest).ok()?).map(Self::Value),
            "i" => rest.parse().ok().map(Self::Index),
            "k" => {
                let map: BTreeMap<String, Value> = serde_json::from_str(rest).ok()?;
                map.into_iter()
                    .map(|(name, value)| Some((name, Scalar::of(&value)?)))
                    .collect::<Option<_>>()
                    .map(Self::Key)
            }
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => {
                let map: BTreeMap<&str, Value> = keys.iter().map(|(name, key)| (name.as_str(), key.value())).collect();
                format!("k:{}", serde_json::to_string(&map).unwrap_or_default())
            }
            Self::Value(scalar) => format!("v:{}", scalar.value()),
            Self::Index(index) => format!("i:{index}"),
        }
    }
}

/// As structured-merge-diff prints paths in conflicts: `.spec.ports[port=80,protocol="TCP"].name`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let keys: Vec<String> = keys.iter().map(|(name, key)| format!("{name}={}", key.value())).collect();
                write!(f, "[{}]", keys.join(","))
            }
            Self::Value(scalar) => write!(f, "[={}]", scalar.value()),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A set of paths. A path can be a member without those below it, and the other way round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    nodes: BTreeMap<Element, Node>,
}

/// One element in a set: whether it is a member itself, and the set of what lies below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) member: bool,
    pub(super) below: FieldSet,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl FieldSet {
    /// Adds a path; the empty path is no path.
    pub(super) fn insert(&mut self, path: &[Element]) {
        match path {
            [] => {}
            [last] => self.node(last).member = true,
            [first, rest @ ..] => self.node(first).below.insert(rest),
        }
    }

    fn node(&mut self, element: &Element) -> &mut Node {
        self.nodes.entry(element.clone()).or_default()
    }

    /// Adds an element with all that lies below it, unless that is nothing.
    pub(super) fn put(&mut self, element: Element, node: Node) {
        if !node.is_empty() {
            self.nodes.insert(element, node);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.values().all(Node::is_empty)
    }

    /// Whether the path of this one element is a member.
    pub(super) fn has(&self, element: &Element) -> bool {
        self.nodes.get(element).is_some_and(|node| node.member)
    }

    /// What lies below an element; `None` when nothing does.
    pub(super) fn below(&self, element: &Element) -> Option<&FieldSet> {
        self.nodes.get(element).map(|node| &node.below).filter(|below| !below.is_empty())
    }

    /// Adds the members of another.
    pub(super) fn add(&mut self, other: Self) {
        for (element, node) in other.nodes {
            let mine = self.nodes.entry(element).or_default();
            mine.member |= node.member;
            mine.below.add(node.below);
        }
    }

    /// Takes the members of `other` away. A member of `other` does not take what lies below it along.
    pub(super) fn subtract(&mut self, other: &Self) {
        for (element, theirs) in &other.nodes {
            let Some(mine) = self.nodes.get_mut(element) else { continue };
            mine.member &= !theirs.member;
            mine.below.subtract(&theirs.below);
            if mine.is_empty() {
                self.nodes.remove(element);
            }
        }
    }

    /// Whether both have a member in common.
    pub(super) fn meets(&self, other: &Self) -> bool {
        other.nodes.iter().any(|(element, theirs)| {
            let mine = self.nodes.get(element);
            mine.is_some_and(|mine| (mine.member && theirs.member) || mine.below.meets(&theirs.below))
        })
    }

    /// Whether every member is one of `other`.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.nodes.iter().all(|(element, mine)| match other.nodes.get(element) {
            Some(theirs) => (theirs.member || !mine.member) && mine.below.is_within(&theirs.below),
            None => mine.is_empty(),
        })
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut common = Self::default();
        for (element, mine) in &self.nodes {
            let Some(theirs) = other.nodes.get(element) else { continue };
            let below = mine.below.intersection(&theirs.below);
            common.put(element.clone(), Node { member: mine.member && theirs.member, below });
        }
        common
    }

    /// Without the members of `other`, as [`FieldSet::subtract`] has it.
    pub(super) fn difference(&self, other: &Self) -> Self {
        let mut left = self.clone();
        left.subtract(other);
        left
    }

    /// Without a top-level field and all that lies below it.
    pub(super) fn without(mut self, field: &str) -> Self {
        self.nodes.remove(&Element::field(field));
        self
    }

    /// A top-level field and what lies below it alone.
    pub(super) fn only(mut self, field: &str) -> Self {
        let node = self.nodes.remove_entry(&Element::field(field));
        Self { nodes: node.into_iter().collect() }
    }

    /// Makes every element that `is_field` says yes to a member where something lies below it; `descend` tells the
    /// context for what lies below.
    pub(super) fn with_members<C: Copy>(
        &self,
        context: C,
        is_field: &impl Fn(C, &Element) -> bool,
        descend: &impl Fn(C, &Element) -> C,
    ) -> Self {
        let nodes = self.nodes.iter().map(|(element, node)| {
            let member = node.member || (!node.below.is_empty() && is_field(context, element));
            let below = node.below.with_members(descend(context, element), is_field, descend);
            (element.clone(), Node { member, below })
        });
        Self { nodes: nodes.collect() }
    }

    /// Every member as text: those of one level before what lies below, as the server lists conflicts.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        let members = self.nodes.iter().filter(|(_, node)| node.member);
        paths.extend(members.map(|(element, _)| format!("{prefix}{element}")));
        for (element, node) in &self.nodes {
            node.below.collect_paths(&format!("{prefix}{element}"), paths);
        }
    }

    /// The `FieldsV1` form.
    pub(super) fn to_json(&self) -> Value {
        let mut map = Map::new();
        for (element, node) in self.nodes.iter().filter(|(_, node)| !node.is_empty()) {
            let mut below = node.below.to_json();
            if node.member && below.as_object().is_some_and(|below| !below.is_empty()) {
                below["."] = Value::Object(Map::new());
            }
            map.insert(element.text(), below);
        }
        Value::Object(map)
    }

    /// Reads the `FieldsV1` form; entries of unknown form are left out.
    pub(super) fn from_json(value: &Value) -> Self {
        let mut set = Self::default();
        for (key, below) in value.as_object().into_iter().flatten() {
            let member = below.as_object().is_none_or(|map| map.is_empty() || map.contains_key("."));
            if let Some(element) = Element::from_text(key) {
                set.put(element, Node { member, below: Self::from_json(below) });
            }
        }
        set
    }
}
