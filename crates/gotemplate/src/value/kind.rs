//! Go's types, as far as templates can tell them apart.

use std::fmt;

/// Go's signed integer types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Int {
    /// `int`, 64 bits wide.
    Int,
    /// `int8`.
    Int8,
    /// `int16`.
    Int16,
    /// `int32`, also a rune.
    Int32,
    /// `int64`.
    Int64,
}

/// Go's unsigned integer types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uint {
    /// `uint`, 64 bits wide.
    Uint,
    /// `uint8`, also a byte.
    Uint8,
    /// `uint16`.
    Uint16,
    /// `uint32`.
    Uint32,
    /// `uint64`.
    Uint64,
}

/// Go's floating-point types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    /// `float32`.
    Float32,
    /// `float64`.
    Float64,
}

/// A Go type: of a value, or of a parameter. It prints as Go prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Type {
    /// `interface {}`: a parameter that takes everything.
    Any,
    /// `reflect.Value`: a parameter that takes everything, a missing value included.
    Reflect,
    /// `bool`.
    Bool,
    /// A signed integer.
    Int(Int),
    /// An unsigned integer.
    Uint(Uint),
    /// A floating-point number.
    Float(Float),
    /// `complex128`: only literals such as `1i` have it.
    Complex,
    /// `string`.
    String,
    /// `json.Number`: a number kept as its text.
    Number,
    /// `time.Duration`.
    Duration,
    /// `time.Time`.
    Time,
    /// A slice of an element type.
    List(&'static Type),
    /// A map from `string` to an element type.
    Map(&'static Type),
    /// A named type over another one, such as `common.Values` over `map[string]interface {}`.
    Named(&'static str, &'static Type),
    /// A type of the host program, by its Go name.
    Host(&'static str),
    /// A function, by its Go signature.
    Function(&'static str),
}

/// `int`.
pub(crate) const INT: Type = Type::Int(Int::Int);
/// `int64`.
pub(crate) const INT64: Type = Type::Int(Int::Int64);
/// `uint8`.
pub(crate) const BYTE: Type = Type::Uint(Uint::Uint8);
/// `float64`.
pub(crate) const FLOAT64: Type = Type::Float(Float::Float64);
/// `[]interface {}`.
pub(crate) const ANY_LIST: Type = Type::List(&Type::Any);
/// `map[string]interface {}`.
pub(crate) const ANY_MAP: Type = Type::Map(&Type::Any);

impl Type {
    /// Whether a value of this type can be given where `parameter` is asked for: the same type, or the same underlying
    /// type when one of the two has no name.
    pub(crate) fn assignable_to(self, parameter: Type) -> bool {
        match (self, parameter) {
            (_, Type::Any | Type::Reflect) => true,
            (Type::Named(_, under), Type::List(_) | Type::Map(_)) => *under == parameter,
            (Type::List(_) | Type::Map(_), Type::Named(_, under)) => *under == self,
            _ => self == parameter,
        }
    }

    /// Whether `nil` is one of its values.
    pub(crate) fn can_be_nil(self) -> bool {
        matches!(self.underlying(), Type::Any | Type::Reflect | Type::List(_) | Type::Map(_) | Type::Function(_))
    }

    /// The type without its name.
    pub(crate) fn underlying(self) -> Type {
        match self {
            Type::Named(_, under) => *under,
            other => other,
        }
    }

    /// Go's word for the kind, as sprig's `kindOf` prints it.
    pub(crate) fn kind_name(self) -> &'static str {
        match self {
            Type::Any => "interface",
            Type::Reflect | Type::Time => "struct",
            Type::Bool => "bool",
            Type::Int(int) => int.name(),
            Type::Uint(uint) => uint.name(),
            Type::Float(float) => float.name(),
            Type::Complex => "complex128",
            Type::String | Type::Number => "string",
            Type::Duration => "int64",
            Type::List(_) => "slice",
            Type::Map(_) => "map",
            Type::Named(_, under) => under.kind_name(),
            Type::Host(name) if name.starts_with('*') => "ptr",
            Type::Host(_) => "struct",
            Type::Function(_) => "func",
        }
    }
}

impl Int {
    /// Go's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
        }
    }
}

impl Uint {
    /// Go's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uint => "uint",
            Self::Uint8 => "uint8",
            Self::Uint16 => "uint16",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
        }
    }
}

impl Float {
    /// Go's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Any => f.write_str("interface {}"),
            Type::Reflect => f.write_str("reflect.Value"),
            Type::Bool => f.write_str("bool"),
            Type::Int(int) => f.write_str(int.name()),
            Type::Uint(uint) => f.write_str(uint.name()),
            Type::Float(float) => f.write_str(float.name()),
            Type::Complex => f.write_str("complex128"),
            Type::String => f.write_str("string"),
            Type::Number => f.write_str("json.Number"),
            Type::Duration => f.write_str("time.Duration"),
            Type::Time => f.write_str("time.Time"),
            Type::List(element) => write!(f, "[]{element}"),
            Type::Map(element) => write!(f, "map[string]{element}"),
            Type::Named(name, _) | Type::Host(name) | Type::Function(name) => f.write_str(name),
        }
    }
}
