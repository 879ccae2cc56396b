//! Go's builtin functions.

mod compare;
pub(crate) mod escape;
pub(crate) mod index;

use std::sync::Arc;

use crate::exec::Item;
use crate::function::Run;
use crate::go::fmt;
use crate::{Call, Failure, Value};

/// Name, Go signature, body.
pub(crate) type Builtin = (&'static str, &'static str, fn() -> Run);

/// All of them.
pub(crate) const TABLE: &[Builtin] = &[
    ("and", "func(reflect.Value, ...reflect.Value) reflect.Value", || Run::ShortCircuit(false)),
    ("call", "func(reflect.Value, ...reflect.Value) reflect.Value", || Run::Call),
    ("eq", "func(reflect.Value, ...reflect.Value) (bool, error)", || Run::Reflect(compare::eq)),
    ("ge", "func(reflect.Value, reflect.Value) (bool, error)", || Run::Reflect(compare::ge)),
    ("gt", "func(reflect.Value, reflect.Value) (bool, error)", || Run::Reflect(compare::gt)),
    ("html", "func(...any) string", || plain(|call| Ok(escape::html(&text_of(call)).into()))),
    ("index", "func(reflect.Value, ...reflect.Value) (reflect.Value, error)", || Run::Reflect(index::index)),
    ("js", "func(...any) string", || plain(|call| Ok(escape::js(&text_of(call)).into()))),
    ("le", "func(reflect.Value, reflect.Value) (bool, error)", || Run::Reflect(compare::le)),
    ("len", "func(reflect.Value) (int, error)", || Run::Reflect(index::len)),
    ("lt", "func(reflect.Value, reflect.Value) (bool, error)", || Run::Reflect(compare::lt)),
    ("ne", "func(reflect.Value, reflect.Value) (bool, error)", || Run::Reflect(compare::ne)),
    ("not", "func(reflect.Value) bool", || Run::Reflect(not)),
    ("or", "func(reflect.Value, ...reflect.Value) reflect.Value", || Run::ShortCircuit(true)),
    ("print", "func(...any) string", || plain(|call| Ok(fmt::sprint(&call.arguments).into()))),
    ("printf", "func(string, ...any) string", || plain(|call| Ok(fmt::sprintf(call.bytes(0), call.rest(1)).into()))),
    ("println", "func(...any) string", || plain(|call| Ok(fmt::sprintln(&call.arguments).into()))),
    ("slice", "func(reflect.Value, ...reflect.Value) (reflect.Value, error)", || Run::Reflect(index::slice)),
    ("urlquery", "func(...any) string", || plain(|call| Ok(escape::url_query(&text_of(call)).into()))),
];

fn plain(body: fn(&mut Call<'_, '_, '_>) -> Result<Value, Failure>) -> Run {
    Run::Plain(Arc::new(body))
}

fn not(items: &[Item]) -> Result<Item, Failure> {
    Ok(Item::bare(Value::Bool(!items.first().is_some_and(|item| item.value.is_true()))))
}

/// The arguments as `print` writes them; `nil` reads `<no value>`, as it does where a template prints it.
fn text_of(call: &Call<'_, '_, '_>) -> Vec<u8> {
    let shown = call.arguments.iter().map(|value| match value {
        Value::Nil => Value::from("<no value>"),
        value => value.clone(),
    });
    fmt::sprint(&shown.collect::<Vec<_>>())
}
