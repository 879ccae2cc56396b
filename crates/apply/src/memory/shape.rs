//! How values of a kind merge: which lists are keyed, which values are replaced whole.
//!
//! A [`Shape`] is a place in a schema: of a built-in kind, as a real server publishes it ([`manifest::kinds`]), or of a
//! custom resource definition.

use manifest::{Gvk, kinds};
use serde_json::Value;

use super::fields::{Element, Scalar};
use crate::schema::{child, flag};

/// How the items of a list are told apart.
pub(super) enum Items<'a> {
    /// Not at all: the list is replaced whole.
    Atomic,
    /// By their value.
    Set,
    /// By these fields, each with what counts when it is absent.
    Keyed(Vec<(&'a str, Option<Scalar>)>),
}

/// The merge rules of one place in an object, and of what lies below it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape<'a> {
    /// In a built-in kind.
    BuiltIn { field: Option<&'static kinds::Field>, below: Option<&'static kinds::Schema> },
    /// The top of a custom resource.
    Custom(&'a Value),
    /// In a custom resource.
    Part(&'a Value),
    /// Where the schema is silent: lists are replaced whole, maps merge.
    Untyped,
}

impl<'a> Shape<'a> {
    /// The top of a built-in kind.
    pub(super) fn built_in(gvk: &Gvk) -> Shape<'static> {
        Shape::BuiltIn { field: None, below: kinds::schema(gvk) }
    }

    fn metadata() -> Shape<'static> {
        Shape::built_in(&Gvk::new("v1", "ConfigMap")).entry("metadata")
    }

    /// The rule of a map's entry.
    pub(super) fn entry(self, name: &str) -> Shape<'a> {
        match self {
            Self::BuiltIn { below, .. } => {
                let field = below.and_then(|below| below.field(name));
                Self::BuiltIn { field, below: field.and_then(kinds::Field::schema) }
            }
            Self::Custom(_) if name == "metadata" => Self::metadata(),
            Self::Custom(schema) | Self::Part(schema) => match child(schema, name) {
                Some(schema) => Self::Part(schema),
                None if name == "metadata" && flag(schema, "x-kubernetes-embedded-resource") => Self::metadata(),
                None => Self::Untyped,
            },
            Self::Untyped => Self::Untyped,
        }
    }

    /// The rule of list items.
    pub(super) fn item(self) -> Shape<'a> {
        match self {
            Self::BuiltIn { below, .. } => Self::BuiltIn { field: None, below },
            Self::Custom(schema) | Self::Part(schema) => schema.get("items").map_or(Self::Untyped, Self::Part),
            Self::Untyped => Self::Untyped,
        }
    }

    /// The rule below a path element.
    pub(super) fn below(self, element: &Element) -> Shape<'a> {
        match element {
            Element::Field(name) => self.entry(name),
            _ => self.item(),
        }
    }

    /// Whether a map that stands here is replaced whole.
    pub(super) fn is_atomic(self) -> bool {
        match self {
            Self::BuiltIn { field: Some(field), .. } => field.is_atomic(),
            Self::BuiltIn { below, .. } => below.is_some_and(kinds::Schema::is_atomic),
            Self::Custom(schema) | Self::Part(schema) => {
                schema.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic")
            }
            Self::Untyped => false,
        }
    }

    /// Whether `name` is a field of a structure, and not the entry of a map.
    pub(super) fn names(self, name: &str) -> bool {
        match self {
            Self::BuiltIn { .. } => true,
            Self::Custom(_) if matches!(name, "apiVersion" | "kind" | "metadata") => true,
            Self::Custom(schema) | Self::Part(schema) => {
                schema.get("properties").is_some_and(|properties| properties.get(name).is_some())
            }
            Self::Untyped => false,
        }
    }

    /// Whether an apply may name this field. What built-in kinds do not have is not known here.
    pub(super) fn admits(self, name: &str) -> bool {
        let (Self::Custom(schema) | Self::Part(schema)) = self else { return true };
        let open = flag(schema, "x-kubernetes-preserve-unknown-fields") || schema.get("additionalProperties").is_some();
        let embedded = flag(schema, "x-kubernetes-embedded-resource");
        open || schema.get("properties").is_none()
            || self.names(name)
            || (embedded && matches!(name, "apiVersion" | "kind" | "metadata"))
    }

    /// How the items of a list that stands here are told apart.
    pub(super) fn items(self) -> Items<'a> {
        match self {
            Self::BuiltIn { field: Some(field), .. } => match field.list() {
                kinds::List::Atomic => Items::Atomic,
                kinds::List::Set => Items::Set,
                kinds::List::Map(keys) => {
                    Items::Keyed(keys.iter().map(|key| (key.name, Some(zero_or_default(key)))).collect())
                }
            },
            Self::Custom(schema) | Self::Part(schema) => custom_items(schema),
            Self::BuiltIn { .. } | Self::Untyped => Items::Atomic,
        }
    }
}

/// Built-in kinds are Go structures: a field that is absent has a value all the same.
fn zero_or_default(key: &kinds::Key) -> Scalar {
    match (key.default, key.name) {
        (Some(text), _) => Scalar::Text(text.into()),
        (None, "containerPort" | "port") => Scalar::Int(0),
        (None, _) => Scalar::Text(String::new()),
    }
}

fn custom_items(schema: &Value) -> Items<'_> {
    let default = |key: &str| {
        let property = schema.get("items")?.get("properties")?.get(key)?;
        Scalar::of(property.get("default")?)
    };
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => Items::Set,
        Some("map") => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten();
            Items::Keyed(keys.filter_map(Value::as_str).map(|key| (key, default(key))).collect())
        }
        _ => Items::Atomic,
    }
}

impl Items<'_> {
    /// Whether the list is replaced whole.
    pub(super) fn are_atomic(&self) -> bool {
        matches!(self, Self::Atomic)
    }

    /// The path element of an item.
    ///
    /// # Errors
    /// The server's words when the item cannot be told apart.
    pub(super) fn element(&self, item: &Value) -> Result<Element, String> {
        match self {
            Self::Keyed(keys) => keyed(keys, item),
            Self::Set | Self::Atomic => match Scalar::of(item) {
                Some(Scalar::Null) => {
                    Err("associative list without keys has an element that's an explicit null".into())
                }
                Some(scalar) => Ok(Element::Value(scalar)),
                None => Err("associative list without keys has an element that's a map type".into()),
            },
        }
    }
}

fn keyed(keys: &[(&str, Option<Scalar>)], item: &Value) -> Result<Element, String> {
    let map = item.as_object().ok_or("associative list with keys may not have non-map elements")?;
    let value = |(key, default): &(&str, Option<Scalar>)| {
        let scalar = map.get(*key).and_then(Scalar::of).or_else(|| default.clone())?;
        Some(((*key).to_owned(), scalar))
    };
    let mut found: Vec<(String, Scalar)> = keys.iter().filter_map(value).collect();
    found.sort();
    if found.is_empty() {
        let keys: Vec<String> = keys.iter().map(|(key, _)| format!("{key:?}")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            keys.join(" ")
        ));
    }
    Ok(Element::Key(found))
}
