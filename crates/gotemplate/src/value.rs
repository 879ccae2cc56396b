//! What templates compute with: Go's values, their kinds kept apart.
//!
//! # Guarantees
//! - Cloning is cheap; maps are shared, as Go's are.
//! - Dropping a value of any depth uses no stack.
//! - `Debug` shows the type only: a value may be a secret.

mod convert;
mod equal;
mod host;
mod kind;
mod list;
mod map;
mod text;
mod weight;

use std::fmt;
use std::sync::Arc;

pub use convert::MAX_DEPTH;
pub(crate) use equal::deep_equal;
pub use host::{Host, Member};
pub(crate) use kind::{ANY_LIST, ANY_MAP, BYTE, FLOAT64, INT, INT64};
pub use kind::{Float, Int, Type, Uint};
pub use list::List;
pub use map::{Entries, Map};
pub use text::Text;

use crate::Function;
use crate::go::time::Time;

/// A Go value.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Value {
    /// `nil` without a type.
    #[default]
    Nil,
    /// `bool`.
    Bool(bool),
    /// A signed integer.
    Int(i64, Int),
    /// An unsigned integer.
    Uint(u64, Uint),
    /// A floating-point number.
    Float(f64, Float),
    /// `complex128`.
    Complex(f64, f64),
    /// `string`.
    String(Text),
    /// `json.Number`.
    Number(Text),
    /// `[]uint8`.
    Bytes(Text),
    /// Any other slice.
    List(List),
    /// A map.
    Map(Map),
    /// `time.Duration`, in nanoseconds.
    Duration(i64),
    /// `time.Time`.
    Time(Arc<Time>),
    /// A function that `call` can call.
    Function(Arc<Function>),
    /// An object of the host program.
    Host(Arc<dyn Host>),
}

impl Value {
    /// An `int`.
    pub fn int(value: i64) -> Self {
        Self::Int(value, Int::Int)
    }

    /// An `int64`.
    pub fn int64(value: i64) -> Self {
        Self::Int(value, Int::Int64)
    }

    /// A `float64`.
    pub fn float(value: f64) -> Self {
        Self::Float(value, Float::Float64)
    }

    /// A `[]string`.
    pub fn strings(items: impl IntoIterator<Item = Text>) -> Self {
        Self::List(List::of(&Type::String, items.into_iter().map(Self::String).collect()))
    }

    /// Its Go type; [`Type::Any`] for `nil`.
    pub fn go_type(&self) -> Type {
        match self {
            Self::Nil => Type::Any,
            Self::Bool(_) => Type::Bool,
            Self::Int(_, int) => Type::Int(*int),
            Self::Uint(_, uint) => Type::Uint(*uint),
            Self::Float(_, float) => Type::Float(*float),
            Self::Complex(..) => Type::Complex,
            Self::String(_) => Type::String,
            Self::Number(_) => Type::Number,
            Self::Bytes(_) => Type::List(&BYTE),
            Self::List(list) => Type::List(list.element()),
            Self::Map(map) => map.go_type(),
            Self::Duration(_) => Type::Duration,
            Self::Time(_) => Type::Time,
            Self::Function(function) => Type::Function(function.go_type()),
            Self::Host(host) => Type::Host(host.type_name()),
        }
    }

    /// The zero value of a type; `nil` where the type has one.
    pub fn zero(of: Type) -> Self {
        match of {
            Type::Bool => Self::Bool(false),
            Type::Int(int) => Self::Int(0, int),
            Type::Uint(uint) => Self::Uint(0, uint),
            Type::Float(float) => Self::Float(0.0, float),
            Type::Complex => Self::Complex(0.0, 0.0),
            Type::String => Self::String(Text::default()),
            Type::Number => Self::Number(Text::default()),
            Type::Duration => Self::Duration(0),
            Type::Time => Self::Time(Arc::new(Time::default())),
            Type::List(element) => Self::List(List::nil(element)),
            Type::Map(element) => Self::Map(Map::nil(element)),
            Type::Named(_, under) => Self::zero(*under),
            Type::Any | Type::Reflect | Type::Host(_) | Type::Function(_) => Self::Nil,
        }
    }

    /// Whether it is the `nil` of its type.
    pub fn is_nil(&self) -> bool {
        match self {
            Self::Nil => true,
            Self::List(list) => list.is_nil(),
            Self::Map(map) => map.is_nil(),
            Self::Host(host) => host.is_nil(),
            _ => false,
        }
    }

    /// The text of a `string`.
    pub fn as_text(&self) -> Option<&Text> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// What stands behind a host object that is a map or a slice underneath; else the value itself.
    pub(crate) fn underlying(&self) -> std::borrow::Cow<'_, Value> {
        match self {
            Self::Host(host) => host.underlying().map_or(std::borrow::Cow::Borrowed(self), std::borrow::Cow::Owned),
            _ => std::borrow::Cow::Borrowed(self),
        }
    }

    /// The elements of anything that is a slice to Go; `None` for all else.
    pub(crate) fn elements(&self) -> Option<std::borrow::Cow<'_, [Value]>> {
        use std::borrow::Cow;
        match self {
            Self::List(list) => Some(Cow::Borrowed(list.items())),
            Self::Bytes(bytes) => {
                Some(Cow::Owned(bytes.iter().map(|byte| Value::Uint((*byte).into(), Uint::Uint8)).collect()))
            }
            Self::Host(host) => host.underlying().and_then(|value| Some(Cow::Owned(value.elements()?.into_owned()))),
            _ => None,
        }
    }

    /// Go's truth: not the zero value of its type; structs are always true.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value, _) | Self::Duration(value) => *value != 0,
            Self::Uint(value, _) => *value != 0,
            Self::Float(value, _) => *value != 0.0,
            Self::Complex(real, imaginary) => *real != 0.0 || *imaginary != 0.0,
            Self::String(text) | Self::Number(text) | Self::Bytes(text) => !text.is_empty(),
            Self::List(list) => !list.items().is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Time(_) | Self::Function(_) => true,
            Self::Host(host) => host.underlying().map_or_else(|| !host.is_nil(), |value| value.is_true()),
        }
    }

    /// Whether dropping it may drop others.
    fn has_children(&self) -> bool {
        matches!(self, Self::List(_) | Self::Map(_))
    }
}

/// Drops values of any depth with a heap of their children instead of the stack.
fn unravel(mut pending: Vec<Value>) {
    if !pending.iter().any(Value::has_children) {
        return;
    }
    while let Some(value) = pending.pop() {
        match value {
            Value::List(mut list) => pending.append(&mut list.take()),
            Value::Map(mut map) => pending.append(&mut map.take()),
            _ => {}
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value.into())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::String(value.into())
    }
}

impl From<Text> for Value {
    fn from(value: Text) -> Self {
        Self::String(value)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::List(List::new(items))
    }
}

impl From<Entries> for Value {
    fn from(entries: Entries) -> Self {
        Self::Map(Map::new(entries))
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

/// Type only: a value may be a secret.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.go_type())
    }
}
