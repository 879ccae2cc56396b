//! Functions that templates call: name, Go signature, body.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::exec::Item;
use crate::value::{ANY_LIST, ANY_MAP, BYTE, FLOAT64, INT, INT64, List, Map, Text, Uint};
use crate::{Call, Failure, Type, Value};

/// What a function does. Its arguments have the types of the signature already.
pub type Body = Arc<dyn Fn(&mut Call<'_, '_, '_>) -> Result<Value, Failure> + Send + Sync>;

/// One line of a function table: name, Go signature, body.
pub struct Entry(pub &'static str, pub &'static str, pub fn(&mut Call<'_, '_, '_>) -> Result<Value, Failure>);

/// A function with its Go signature.
pub struct Function {
    name: &'static str,
    go_type: &'static str,
    pub(crate) parameters: Vec<Type>,
    pub(crate) is_variadic: bool,
    pub(crate) returns_any: bool,
    /// Whether it makes a text of what its arguments hold.
    makes_text: bool,
    pub(crate) run: Run,
}

/// How a body is run.
pub(crate) enum Run {
    /// On plain values.
    Plain(Body),
    /// On values with what Go's reflection knows of them: `index`, `len` and their like.
    Reflect(fn(&[Item]) -> Result<Item, Failure>),
    /// `and` (false) and `or` (true), which do not evaluate what they do not need.
    ShortCircuit(bool),
    /// `call`.
    Call,
}

/// Functions that make a text of a value by a look from outside.
const LOOKS: [&str; 2] = ["kindOf", "typeOf"];

impl Function {
    /// A function of a host program. `signature` is written as in Go, such as `func(string, ...any) (string, error)`;
    /// parameter types are checked as Go checks them.
    pub fn new(name: &'static str, signature: &'static str, body: Body) -> Self {
        Self::with(name, signature, Run::Plain(body))
    }

    pub(crate) fn with(name: &'static str, signature: &'static str, run: Run) -> Self {
        let (parameters, result) = split_signature(signature);
        let is_variadic = parameters.last().is_some_and(|last| last.starts_with("..."));
        Self {
            name,
            go_type: signature,
            parameters: parameters.iter().map(|name| parse_type(name.trim_start_matches("..."))).collect(),
            is_variadic,
            returns_any: parse_type(result) == Type::Any,
            makes_text: matches!(result, "string" | "[]string") && !LOOKS.contains(&name),
            run,
        }
    }

    /// The same function, but its arguments are passed on, to a template for one, and it does not walk them itself.
    #[must_use]
    pub fn passing_on(self) -> Self {
        Self { makes_text: false, ..self }
    }

    /// Whether the argument at `index` may be walked to its last leaf.
    pub(crate) fn reads_through(&self, index: usize) -> bool {
        self.makes_text && self.parameter(index) == Type::Any
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its Go type, as written.
    pub(crate) fn go_type(&self) -> &'static str {
        self.go_type
    }

    /// Type of the argument at `index`, variadic ones included.
    pub(crate) fn parameter(&self, index: usize) -> Type {
        self.parameters.get(index).or(self.parameters.last()).copied().unwrap_or(Type::Any)
    }

    /// How many arguments it must have at least.
    pub(crate) fn required(&self) -> usize {
        self.parameters.len() - usize::from(self.is_variadic)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.go_type)
    }
}

/// The parameters and the first result of `func(a, b) c` or `func(a) (b, error)`.
fn split_signature(signature: &'static str) -> (Vec<&'static str>, &'static str) {
    let inner = signature.strip_prefix("func(").unwrap_or(signature);
    let (parameters, results) = inner.split_once(')').unwrap_or((inner, ""));
    let results = results.trim().trim_start_matches('(').trim_end_matches(')');
    let parameters = parameters.split(", ").filter(|name| !name.is_empty()).collect();
    (parameters, results.split(", ").next().unwrap_or_default())
}

fn parse_type(name: &'static str) -> Type {
    match name {
        "any" | "interface {}" => Type::Any,
        "reflect.Value" => Type::Reflect,
        "bool" => Type::Bool,
        "int" => INT,
        "int64" => INT64,
        "uint32" => Type::Uint(Uint::Uint32),
        "float64" => FLOAT64,
        "string" => Type::String,
        "[]byte" => Type::List(&BYTE),
        "[]any" => ANY_LIST,
        "[]string" => Type::List(&Type::String),
        "map[string]any" => ANY_MAP,
        "[][]interface {}" => Type::List(&ANY_LIST),
        "map[string]string" => Type::Map(&Type::String),
        "time.Time" => Type::Time,
        "time.Duration" => Type::Duration,
        other => Type::Host(other),
    }
}

/// A table of functions by name. Cloning is cheap enough to make one per engine.
#[derive(Clone, Default)]
pub struct Functions {
    by_name: HashMap<&'static str, Arc<Function>, BuildHasherDefault<NameHash>>,
}

/// FNV-1a: every call looks its function up, and names are the program's own, so that nobody chooses ones that collide.
struct NameHash(u64);

impl Default for NameHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for NameHash {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Functions {
    /// Go's builtins alone.
    pub fn builtin() -> Self {
        let mut functions = Self::default();
        crate::builtin::TABLE.iter().for_each(|(name, signature, run)| {
            functions.add(Function::with(name, signature, run()));
        });
        functions
    }

    /// Adds a function; one of the same name gives way.
    pub fn add(&mut self, function: Function) {
        self.by_name.insert(function.name, Arc::new(function));
    }

    /// Adds the functions of a table.
    pub fn extend(&mut self, table: &[Entry]) {
        for Entry(name, signature, body) in table {
            self.add(Function::new(name, signature, Arc::new(*body)));
        }
    }

    /// Takes a function away.
    pub fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    /// One function.
    pub fn get(&self, name: &str) -> Option<&Arc<Function>> {
        self.by_name.get(name)
    }

    /// All names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.by_name.keys().copied()
    }
}

impl crate::parse::Names for Functions {
    fn has_function(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }
}

/// The arguments of a call, by position. What has another type than asked for reads as that type's zero value; the
/// signature has been checked before.
impl Call<'_, '_, '_> {
    /// An argument of any type; `nil` beyond the last one.
    pub fn value(&self, index: usize) -> &Value {
        const NIL: &Value = &Value::Nil;
        self.arguments.get(index).unwrap_or(NIL)
    }

    /// The arguments from `index` on.
    pub fn rest(&self, index: usize) -> &[Value] {
        self.arguments.get(index..).unwrap_or_default()
    }

    /// The bytes of a `string`.
    pub fn bytes(&self, index: usize) -> &[u8] {
        match self.value(index) {
            Value::String(text) | Value::Number(text) | Value::Bytes(text) => text,
            _ => &[],
        }
    }

    /// A `string` as text that can be shared.
    pub fn text(&self, index: usize) -> Text {
        self.value(index).as_text().cloned().unwrap_or_default()
    }

    /// A `string` as UTF-8; other bytes become U+FFFD.
    pub fn str(&self, index: usize) -> std::borrow::Cow<'_, str> {
        let bytes = self.bytes(index);
        // Nearly all is UTF-8, which is found out faster than what is not.
        std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Into::into)
    }

    /// An `int` or `int64`.
    pub fn int(&self, index: usize) -> i64 {
        match self.value(index) {
            Value::Int(value, _) | Value::Duration(value) => *value,
            _ => 0,
        }
    }

    /// A `float64`.
    pub fn float(&self, index: usize) -> f64 {
        match self.value(index) {
            Value::Float(value, _) => *value,
            _ => 0.0,
        }
    }

    /// A `bool`.
    pub fn bool(&self, index: usize) -> bool {
        matches!(self.value(index), Value::Bool(true))
    }

    /// A map.
    pub fn map(&self, index: usize) -> Map {
        match self.value(index) {
            Value::Map(map) => map.clone(),
            _ => Map::nil(&Type::Any),
        }
    }

    /// A slice.
    pub fn list(&self, index: usize) -> List {
        match self.value(index) {
            Value::List(list) => list.clone(),
            _ => List::nil(&Type::Any),
        }
    }
}
