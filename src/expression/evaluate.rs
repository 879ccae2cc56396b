//! Tree and variables -> value.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Map as JsonMap, Value as Json};

use super::functions;
use super::syntax::{Constant, Fold, How, Kind, Node, Select};
use super::value::{TYPES, Value};

/// Steps that one evaluation may take. Flux has no such limit, and waits for its context to end.
const STEPS: u64 = 1_000_000;

/// Why there is no value, in cel-go's words.
pub(super) type Outcome<'a> = Result<Value<'a>, String>;

/// Evaluates an expression over variables.
pub(super) fn evaluate<'a>(node: &'a Node, variables: &'a JsonMap<String, Json>) -> Outcome<'a> {
    let run = Run { variables, steps: Cell::new(STEPS) };
    run.value(node, &Scope { outer: None, bound: None })
}

/// The variables that macros have bound, innermost first.
struct Scope<'s, 'a> {
    outer: Option<&'s Scope<'s, 'a>>,
    bound: Option<(&'a str, Value<'a>)>,
}

impl<'s, 'a> Scope<'s, 'a> {
    fn find(&self, name: &str) -> Option<Value<'a>> {
        let own = self.bound.as_ref().filter(|(bound, _)| *bound == name).map(|(_, value)| value.clone());
        own.or_else(|| self.outer?.find(name))
    }

    fn with(&'s self, name: &'a str, value: Value<'a>) -> Scope<'s, 'a> {
        Scope { outer: Some(self), bound: Some((name, value)) }
    }
}

/// One evaluation.
struct Run<'a> {
    variables: &'a JsonMap<String, Json>,
    steps: Cell<u64>,
}

impl<'a> Run<'a> {
    /// Counts what is done and what is made, so that neither time nor memory is without bound.
    fn spend(&self, steps: u64) -> Result<(), String> {
        let left = self.steps.get().checked_sub(steps).ok_or("operation cancelled: actual cost limit exceeded")?;
        self.steps.set(left);
        Ok(())
    }

    fn value(&self, node: &'a Node, scope: &Scope<'_, 'a>) -> Outcome<'a> {
        self.spend(1)?;
        match &node.kind {
            Kind::Constant(constant) => Ok(constant_value(constant)),
            Kind::Name(name) => self.name(name, scope).ok_or_else(|| unknown(node)),
            Kind::Select(select) => self.select(node, select, scope),
            Kind::Index { operand, index, is_optional } => self.index(node, operand, index, *is_optional, scope),
            Kind::Call { function, target, arguments } => self.call(function, target.as_deref(), arguments, scope),
            Kind::And(all) => self.logic(all, false, scope),
            Kind::Or(all) => self.logic(all, true, scope),
            Kind::Conditional(parts) => {
                let [condition, yes, no] = parts.as_ref();
                match self.value(condition, scope)? {
                    Value::Bool(true) => self.value(yes, scope),
                    Value::Bool(false) => self.value(no, scope),
                    _ => Err(functions::NO_OVERLOAD.into()),
                }
            }
            Kind::List(elements) => self.list(elements, scope),
            Kind::Map(entries) => self.map(entries, scope),
            Kind::Message(name) => Err(format!("unknown type: {name}")),
            Kind::Fold(fold) => self.fold(fold, scope),
        }
    }

    fn name(&self, name: &str, scope: &Scope<'_, 'a>) -> Option<Value<'a>> {
        scope
            .find(name)
            .or_else(|| self.variables.get(name).map(Value::of))
            .or_else(|| TYPES.into_iter().find(|known| *known == name).map(Value::Type))
    }

    /// What an unknown name at the head of a chain leads to: a type with dots in its name, or nothing.
    fn headless(&self, node: &'a Node, scope: &Scope<'_, 'a>) -> Option<Outcome<'a>> {
        let (root, path, _) = node.path()?;
        if self.name(root, scope).is_some() {
            return None;
        }
        let known = TYPES.into_iter().find(|known| *known == path).map(Value::Type);
        Some(known.ok_or_else(|| unknown(node)))
    }

    fn select(&self, node: &'a Node, select: &'a Select, scope: &Scope<'_, 'a>) -> Outcome<'a> {
        if let Some(outcome) = self.headless(node, scope) {
            return outcome;
        }
        let operand = self.value(&select.operand, scope)?;
        let key = Value::Text(Cow::Borrowed(&select.field));
        if select.is_test {
            return Ok(Value::Bool(match operand {
                Value::Optional(None) => false,
                Value::Optional(Some(inner)) => find(&inner, &key)?.is_some(),
                other => find(&other, &key)?.is_some(),
            }));
        }
        chosen(operand, &key, select.is_optional)
    }

    fn index(
        &self,
        node: &'a Node,
        operand: &'a Node,
        index: &'a Node,
        is_optional: bool,
        scope: &Scope<'_, 'a>,
    ) -> Outcome<'a> {
        if let Some(outcome) = self.headless(node, scope) {
            return outcome;
        }
        let (operand, index) = (self.value(operand, scope)?, self.value(index, scope)?);
        chosen(operand, &index, is_optional)
    }

    fn call(
        &self,
        function: &'a str,
        target: Option<&'a Node>,
        arguments: &'a [Node],
        scope: &Scope<'_, 'a>,
    ) -> Outcome<'a> {
        let mut values = Vec::with_capacity(arguments.len() + 1);
        // An absent optional need not compute what would stand for it.
        if let (Some(target), "or" | "orValue", [otherwise]) = (target, function, arguments) {
            return match self.value(target, scope)? {
                Value::Optional(None) => self.value(otherwise, scope),
                Value::Optional(Some(inner)) if function == "orValue" => Ok(inner.as_ref().clone()),
                other => Ok(other),
            };
        }
        for node in target.into_iter().chain(arguments) {
            values.push(self.value(node, scope)?);
        }
        self.spend(cost(function, &values))?;
        let result = functions::call(function, target.is_some(), values)?;
        self.spend(weight(&result))?;
        Ok(result)
    }

    /// `&&` and `||`: one operand that decides takes back the errors of the others.
    fn logic(&self, all: &'a [Node], decisive: bool, scope: &Scope<'_, 'a>) -> Outcome<'a> {
        let mut error = None;
        for node in all {
            match self.value(node, scope) {
                Ok(Value::Bool(value)) if value == decisive => return Ok(Value::Bool(decisive)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => error = error.or(Some(functions::NO_OVERLOAD.to_owned())),
                Err(message) => error = error.or(Some(message)),
            }
        }
        error.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    fn list(&self, elements: &'a [(Node, bool)], scope: &Scope<'_, 'a>) -> Outcome<'a> {
        let mut values = Vec::with_capacity(elements.len());
        for (node, is_optional) in elements {
            values.extend(present(self.value(node, scope)?, *is_optional)?);
        }
        Ok(Value::list(values))
    }

    fn map(&self, entries: &'a [(Node, Node, bool)], scope: &Scope<'_, 'a>) -> Outcome<'a> {
        let mut made: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
        for (key, value, is_optional) in entries {
            let (key, value) = (self.value(key, scope)?, self.value(value, scope)?);
            let Some(value) = present(value, *is_optional)? else { continue };
            self.spend(made.len() as u64)?;
            match made.iter_mut().find(|(known, _)| known.type_name() == key.type_name() && known.equals(&key)) {
                Some(entry) => entry.1 = value,
                None => made.push((key, value)),
            }
        }
        Ok(Value::Map(Rc::new(made)))
    }

    fn fold(&self, fold: &'a Fold, scope: &Scope<'_, 'a>) -> Outcome<'a> {
        let range = self.value(&fold.range, scope)?;
        if matches!(fold.how, How::OptMap | How::OptFlatMap) {
            let found = match range {
                Value::Optional(None) => return Ok(Value::Optional(None)),
                Value::Optional(Some(inner)) => {
                    self.value(&fold.body, &scope.with(&fold.variable, inner.as_ref().clone()))?
                }
                other => return Err(format!("no such overload: hasValue({})", other.type_name())),
            };
            return Ok(if fold.how == How::OptMap { Value::some(found) } else { found });
        }
        let keys = |entries: Vec<(Value<'a>, Value<'a>)>| entries.into_iter().map(|(key, _)| key).collect();
        let elements = match range.elements().or_else(|| range.entries().map(keys)) {
            Some(elements) => elements,
            None => return Err(format!("got 'types.{}', expected iterable type", go_type(&range))),
        };
        self.spend(elements.len() as u64)?;
        match fold.how {
            How::All => self.quantify(fold, elements, false, scope),
            How::Exists => self.quantify(fold, elements, true, scope),
            _ => self.gather(fold, elements, scope),
        }
    }

    fn quantify(&self, fold: &'a Fold, elements: Vec<Value<'a>>, decisive: bool, scope: &Scope<'_, 'a>) -> Outcome<'a> {
        let mut error = None;
        for element in elements {
            match self.value(&fold.body, &scope.with(&fold.variable, element)) {
                Ok(Value::Bool(value)) if value == decisive => return Ok(Value::Bool(decisive)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => error = error.or(Some(functions::NO_OVERLOAD.to_owned())),
                Err(message) => error = error.or(Some(message)),
            }
        }
        error.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    /// `map`, `filter` and `exists_one`.
    fn gather(&self, fold: &'a Fold, elements: Vec<Value<'a>>, scope: &Scope<'_, 'a>) -> Outcome<'a> {
        let mut found = Vec::new();
        for element in elements {
            let inner = scope.with(&fold.variable, element.clone());
            if let Some(filter) = &fold.filter
                && !self.condition(filter, &inner)?
            {
                continue;
            }
            if fold.how == How::Map {
                found.push(self.value(&fold.body, &inner)?);
            } else if self.condition(&fold.body, &inner)? {
                found.push(element);
            }
        }
        Ok(if fold.how == How::ExistsOne { Value::Bool(found.len() == 1) } else { Value::list(found) })
    }

    fn condition(&self, node: &'a Node, scope: &Scope<'_, 'a>) -> Result<bool, String> {
        match self.value(node, scope)? {
            Value::Bool(value) => Ok(value),
            _ => Err(functions::NO_OVERLOAD.into()),
        }
    }
}

/// What a call may do, in steps.
fn cost(function: &str, values: &[Value<'_>]) -> u64 {
    let product = |of: fn(&Value<'_>) -> u64| values.iter().map(|value| of(value).max(1)).fold(1, u64::saturating_mul);
    match function {
        "_==_" | "_!=_" | "@in" | "format" => values.iter().map(deep_weight).sum(),
        "sets.contains" | "sets.equivalent" | "sets.intersects" => product(deep_weight),
        "matches" => values.get(1).map_or(0, |pattern| 100 * (1 + weight(pattern))) + product(weight),
        _ => values.iter().map(weight).sum(),
    }
}

/// What a whole value weighs, with all that it holds.
fn deep_weight(value: &Value<'_>) -> u64 {
    let elements = value.elements().into_iter().flatten().map(|element| deep_weight(&element));
    let entries = value.entries().into_iter().flatten().map(|(key, value)| weight(&key) + deep_weight(&value));
    weight(value) + elements.chain(entries).sum::<u64>()
}

/// Every 64 bytes, and every element, of a value cost a step.
fn weight(value: &Value<'_>) -> u64 {
    match value {
        Value::Text(text) => text.len() as u64 / 64,
        Value::Bytes(bytes) => bytes.len() as u64 / 64,
        other => other.size().unwrap_or_default() as u64,
    }
}

fn unknown(node: &Node) -> String {
    let path = node.path().map(|(_, path, _)| path).unwrap_or_default();
    format!("no such attribute(s): {path}")
}

fn constant_value(constant: &Constant) -> Value<'_> {
    match constant {
        Constant::Null => Value::Null,
        Constant::Bool(value) => Value::Bool(*value),
        Constant::Int(value) => Value::Int(*value),
        Constant::Uint(value) => Value::Uint(*value),
        Constant::Double(value) => Value::Double(*value),
        Constant::Text(text) => Value::Text(Cow::Borrowed(text)),
        Constant::Bytes(bytes) => Value::Bytes(bytes.as_slice().into()),
    }
}

/// An element of a literal; none where it is optional and has no value.
fn present(value: Value<'_>, is_optional: bool) -> Result<Option<Value<'_>>, String> {
    match value {
        Value::Optional(inner) if is_optional => Ok(inner.map(|inner| inner.as_ref().clone())),
        other if is_optional => {
            Err(format!("cannot initialize optional list element from non-optional value {}", other.type_name()))
        }
        other => Ok(Some(other)),
    }
}

/// A field or an element; of an optional value it is optional, too.
fn chosen<'a>(operand: Value<'a>, key: &Value<'a>, is_optional: bool) -> Outcome<'a> {
    match operand {
        Value::Optional(None) => Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => Ok(find(&inner, key)?.map_or(Value::Optional(None), Value::some)),
        other if is_optional => Ok(find(&other, key)?.map_or(Value::Optional(None), Value::some)),
        other => find(&other, key)?.ok_or_else(|| match (&other, key) {
            (Value::List(_) | Value::Array(_), _) => format!("index out of bounds: {}", shown(key)),
            _ => format!("no such key: {}", shown(key)),
        }),
    }
}

fn find<'a>(operand: &Value<'a>, key: &Value<'_>) -> Result<Option<Value<'a>>, String> {
    let at = |index: i64| usize::try_from(index).ok();
    match operand {
        Value::List(values) => Ok(position(key)?.and_then(at).and_then(|index| values.get(index).cloned())),
        Value::Array(array) => Ok(position(key)?.and_then(at).and_then(|index| array.get(index)).map(Value::of)),
        other => Ok(other.get(key)),
    }
}

/// The index that a value is for a list; none when it is out of all bounds.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "compared with what was cut off")]
fn position(key: &Value<'_>) -> Result<Option<i64>, String> {
    match key {
        Value::Int(index) => Ok(Some(*index)),
        Value::Uint(index) => Ok(i64::try_from(*index).ok()),
        Value::Double(index) if (*index as i64) as f64 == *index => Ok(Some(*index as i64)),
        Value::Double(index) => Err(format!("unsupported index value {index} in list")),
        other => Err(format!("unsupported index type '{}' in list", other.type_name())),
    }
}

fn shown(key: &Value<'_>) -> String {
    match key {
        Value::Text(text) => text.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        other => other.type_name().to_owned(),
    }
}

/// The Go type of what cannot be iterated.
fn go_type(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "Null",
        Value::Bool(_) => "Bool",
        Value::Int(_) => "Int",
        Value::Uint(_) => "Uint",
        Value::Double(_) => "Double",
        Value::Text(_) => "String",
        Value::Bytes(_) => "Bytes",
        Value::Duration(_) => "Duration",
        Value::Timestamp(_) => "Timestamp",
        _ => "Type",
    }
}
