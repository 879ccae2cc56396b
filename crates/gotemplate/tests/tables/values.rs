//! Go values as the tables write them: JSON, with `{"$t": type, "v": ...}` for what JSON has not.

use std::sync::Arc;

use gotemplate::{Entries, Float, Function, Host, Int, List, Map, Member, Type, Uint, Value, go};
use serde_json::Value as Json;

/// What plain numbers are: `int`, `int64`, `number`, or nothing for `float64`.
pub(crate) fn decode(json: &Json, numbers: &str) -> Value {
    match json {
        Json::Number(number) => match (numbers, number.as_i64()) {
            ("number", _) => Value::Number(number.to_string().as_str().into()),
            ("int", Some(whole)) => Value::int(whole),
            ("int64", Some(whole)) => Value::int64(whole),
            _ => Value::float(number.as_f64().unwrap()),
        },
        Json::Array(items) => Value::from(items.iter().map(|item| decode(item, numbers)).collect::<Vec<_>>()),
        Json::Object(map) => match map.get("$t").and_then(Json::as_str) {
            Some(kind) => typed(kind, &map["v"]),
            None => entries(map, |value| decode(value, numbers)).into(),
        },
        other => Value::from_json(other),
    }
}

fn entries(map: &serde_json::Map<String, Json>, value: impl Fn(&Json) -> Value) -> Entries {
    map.iter().map(|(key, inner)| (key.as_str().into(), value(inner))).collect()
}

fn text(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

fn strings(json: &Json) -> Vec<Value> {
    json.as_array().unwrap().iter().map(|item| Value::from(text(item))).collect()
}

fn typed(kind: &str, json: &Json) -> Value {
    let int = || text(json).parse::<i64>().unwrap();
    match kind {
        "int" => Value::int(int()),
        "int64" => Value::int64(int()),
        "uint" => Value::Uint(int().cast_unsigned(), Uint::Uint),
        "uint8" => Value::Uint(int().cast_unsigned(), Uint::Uint8),
        "float32" => Value::Float(f64::from(text(json).parse::<f32>().unwrap()), Float::Float32),
        "float64" => Value::Float(text(json).parse().unwrap(), Float::Float64),
        "complex" => Value::Complex(1.0, 2.0),
        "number" => Value::Number(text(json).into()),
        "bytes" => Value::Bytes(text(json).into()),
        "b64" => Value::String(vec![0xff].into()),
        "strings" => Value::List(List::of(&Type::String, strings(json))),
        "array2" => Value::List(List::new(strings(json))),
        "ints" => {
            let items = json.as_array().unwrap().iter().map(|item| Value::int(item.as_i64().unwrap()));
            Value::List(List::of(&Type::Int(Int::Int), items.collect()))
        }
        "mapss" => {
            Value::Map(Map::of(&Type::String, entries(json.as_object().unwrap(), |inner| Value::from(text(inner)))))
        }
        "mapsi" => Value::Map(Map::of(
            &Type::Int(Int::Int),
            entries(json.as_object().unwrap(), |inner| Value::int(text(inner).parse().unwrap())),
        )),
        "nilmap" => Value::Map(Map::nil(&Type::Any)),
        "nilslice" => Value::List(List::nil(&Type::Any)),
        "time" => Value::Time(Arc::new(go::time::Time::new(int(), 0, go::time::Zone::Utc))),
        "duration" => Value::Duration(go::duration::parse(&text(json)).unwrap()),
        "error" => Value::Host(Arc::new(Failure(text(json)))),
        "nilptr" => Value::Host(Arc::new(NilPointer)),
        "struct" => Value::Host(Arc::new(Struct { name: text(json), is_pointer: false })),
        "ptr" => Value::Host(Arc::new(Struct { name: text(json), is_pointer: true })),
        "func0" => {
            let result = text(json);
            function("func() string", move |_| Ok(result.as_str().into()))
        }
        "func1" => function("func(int) int", |call| Ok(Value::int(call.int(0) * 2))),
        "funcerr" => {
            let message = text(json);
            function("func() (string, error)", move |_| Err(message.as_str().into()))
        }
        other => Value::from(format!("no value of type {other}")),
    }
}

fn function(
    signature: &'static str,
    body: impl Fn(&mut gotemplate::Call<'_, '_, '_>) -> Result<Value, gotemplate::Failure> + Send + Sync + 'static,
) -> Value {
    Value::Function(Arc::new(Function::new("f", signature, Arc::new(body))))
}

/// Go's `errors.New`.
struct Failure(String);

impl Host for Failure {
    fn type_name(&self) -> &'static str {
        "*errors.errorString"
    }

    fn member(&self, _: &str) -> Option<Member> {
        None
    }

    fn fields(&self) -> Vec<(&'static str, &'static str, Value)> {
        vec![("s", "", self.0.as_str().into())]
    }

    fn text(&self) -> Option<String> {
        Some(self.0.clone())
    }
}

/// A `*T` that is nil.
struct NilPointer;

impl Host for NilPointer {
    fn type_name(&self) -> &'static str {
        "*main.T"
    }

    fn member(&self, _: &str) -> Option<Member> {
        None
    }

    fn is_nil(&self) -> bool {
        true
    }
}

/// The tables' own struct.
struct Struct {
    name: String,
    is_pointer: bool,
}

impl Struct {
    fn method(&self, name: &str) -> Option<Function> {
        let own = self.name.clone();
        Some(match name {
            "Hello" => Function::new(
                "Hello",
                "func(string) string",
                Arc::new(move |call| Ok(format!("hello {} from {own}", call.str(0)).into())),
            ),
            "Fail" => Function::new("Fail", "func() (string, error)", Arc::new(|_| Err("fail called".into()))),
            "Sum" => Function::new(
                "Sum",
                "func(int, ...int) int",
                Arc::new(|call| Ok(Value::int((0..call.rest(0).len()).map(|index| call.int(index)).sum()))),
            ),
            "Pair" => Function::new("Pair", "func() (int, error)", Arc::new(|_| Ok(Value::int(7)))),
            "Ptr" if self.is_pointer => Function::new("Ptr", "func() string", Arc::new(|_| Ok("ptr".into()))),
            _ => return None,
        })
    }
}

impl Host for Struct {
    fn type_name(&self) -> &'static str {
        if self.is_pointer { "*main.T" } else { "main.T" }
    }

    fn member(&self, name: &str) -> Option<Member> {
        if let Some(method) = self.method(name) {
            return Some(Member::Method(Arc::new(method)));
        }
        let doubled = || function("func(int) int", |call| Ok(Value::int(call.int(0) + 1)));
        let field = self.fields().into_iter().find(|(field, ..)| *field == name).map(|(.., value)| value);
        field.or_else(|| (name == "F").then(doubled)).map(Member::Field)
    }

    fn fields(&self) -> Vec<(&'static str, &'static str, Value)> {
        let ints = |items: &[i64]| {
            let items = items.iter().map(|item| Value::int(*item)).collect();
            Value::List(List::of(&Type::Int(Int::Int), items))
        };
        let (list, keys) = if self.is_pointer { (ints(&[]), &["a"][..]) } else { (ints(&[1, 2, 3]), &["a", "b"][..]) };
        let map = (1..).zip(keys).map(|(value, key)| ((*key).into(), Value::int(value))).collect();
        vec![
            ("Name", "Name", self.name.as_str().into()),
            ("N", "N", Value::int(5)),
            ("L", "L", list),
            ("M", "M", Value::Map(Map::of(&Type::Int(Int::Int), map))),
            ("P", "P", Value::Host(Arc::new(NilPointer))),
            ("I", "I", if self.is_pointer { Value::Nil } else { "iface".into() }),
        ]
    }

    fn text(&self) -> Option<String> {
        Some(format!("T({})", self.name))
    }
}
