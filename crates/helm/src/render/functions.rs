//! The functions that Helm adds to sprig's, and those that it replaces.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gotemplate::{Call, Entries, Failure, Function, Functions, List, Map, Text, Type, Value, go};
use serde_json::Value as Json;
use yaml::emit::{EmitOptions, Sequences};
use yaml::json::Html;

use super::{Lookup, toml};

/// How often a template may include itself.
const MAX_INCLUDES: u32 = 1000;

type Result<T = Value> = std::result::Result<T, Failure>;

/// Functions that need nothing but their arguments.
const TABLE: &[gotemplate::Entry] = &[
    gotemplate::Entry("fail", "func(string) (string, error)", |call| Err(Failure::Raised(call.str(0).into_owned()))),
    gotemplate::Entry("fromJson", "func(string) map[string]any", |call| Ok(from_json(call))),
    gotemplate::Entry("fromJsonArray", "func(string) []any", |call| {
        Ok(array(go::json::parse(call.bytes(0)), List::nil(&Type::Any), ""))
    }),
    gotemplate::Entry("fromToml", "func(string) map[string]any", |call| {
        Ok(toml::parse(call.bytes(0)).unwrap_or_else(|problem| error_map(&problem)))
    }),
    gotemplate::Entry("fromYaml", "func(string) map[string]any", |call| Ok(from_yaml(call))),
    gotemplate::Entry("fromYamlArray", "func(string) []any", |call| {
        Ok(array(read_yaml(call), List::new(Vec::new()), DECODING))
    }),
    gotemplate::Entry("getHostByName", "func(string) string", |_| Ok("".into())),
    gotemplate::Entry("mustToJson", "func(any) string", |call| {
        Ok(yaml::json::to_string(&call.value(0).to_json()?, Html::Escaped).into())
    }),
    gotemplate::Entry("mustToToml", "func(any) string", |call| Ok(toml::print(call.value(0))?.into())),
    gotemplate::Entry("mustToYaml", "func(any) string", |call| Ok(to_yaml(&call.value(0).to_json()?))),
    gotemplate::Entry("required", "func(string, any) (any, error)", |call| match call.value(1) {
        Value::Nil => Err(Failure::Raised(call.str(0).into_owned())),
        Value::String(text) if text.is_empty() => Err(Failure::Raised(call.str(0).into_owned())),
        value => Ok(value.clone()),
    }),
    gotemplate::Entry("toJson", "func(any) string", |call| {
        let json = call.value(0).to_json().map(|json| yaml::json::to_string(&json, Html::Escaped));
        Ok(json.unwrap_or_default().into())
    }),
    gotemplate::Entry("toToml", "func(any) string", |call| {
        if matches!(call.value(0), Value::Nil) {
            return Err(toml::print(call.value(0)).unwrap_or_else(|problem| problem).into());
        }
        Ok(toml::print(call.value(0)).unwrap_or_else(|problem| problem).into())
    }),
    gotemplate::Entry("toYaml", "func(any) string", |call| {
        Ok(call.value(0).to_json().map_or_else(|_| "".into(), |json| to_yaml(&json)))
    }),
    gotemplate::Entry("toYamlPretty", "func(any) string", |call| {
        let options = EmitOptions { indent: 2, sequences: Sequences::Wide };
        let printed = call.value(0).to_json_with_floats().map(|json| yaml::emit::to_v3(&json, options));
        Ok(printed.unwrap_or_default().trim_end_matches('\n').into())
    }),
];

/// Instead of what stops a render, for a look at a chart alone.
const LENIENT: &[gotemplate::Entry] = &[
    gotemplate::Entry("fail", "func(string) (string, error)", |_| Ok("".into())),
    gotemplate::Entry("required", "func(string, any) (any, error)", |call| match call.value(1) {
        Value::Nil => Ok("".into()),
        value => Ok(value.clone()),
    }),
];

/// The function table of a render.
pub(super) fn functions(lookup: Arc<dyn Lookup>) -> Functions {
    let mut functions = Functions::sprig();
    functions.extend(TABLE);
    functions.add(include());
    functions.add(Function::new("tpl", "func(string, any) (string, error)", Arc::new(tpl)).passing_on());
    let body = move |call: &mut Call<'_, '_, '_>| -> Result {
        let [version, kind, namespace, name] = [0, 1, 2, 3].map(|index| call.str(index));
        Ok(Value::from_json(&lookup.lookup(&version, &kind, &namespace, &name)?))
    };
    let signature = "func(string, string, string, string) (map[string]any, error)";
    functions.add(Function::new("lookup", signature, Arc::new(body)));
    functions
}

/// The same where `required` and `fail` let everything pass.
pub(crate) fn lenient_functions(lookup: Arc<dyn Lookup>) -> Functions {
    let mut functions = functions(lookup);
    functions.extend(LENIENT);
    functions
}

fn include() -> Function {
    let active: Mutex<HashMap<Text, u32>> = Mutex::default();
    let body = move |call: &mut Call<'_, '_, '_>| -> Result {
        let name = call.text(0);
        let lock = || active.lock().unwrap_or_else(PoisonError::into_inner);
        let count = *lock().entry(name.clone()).and_modify(|count| *count += 1).or_insert(1);
        let included = if count > MAX_INCLUDES + 1 {
            let problem = format!("rendering template has a nested reference name: {}", name.to_str());
            Err(Failure::new("unable to execute template").wrap(problem))
        } else {
            call.execute(&name.to_str(), call.value(1).clone()).map_err(Failure::from)
        };
        lock().entry(name).and_modify(|count| *count -= 1);
        Ok(included?.into())
    };
    Function::new("include", "func(string, any) (string, error)", Arc::new(body)).passing_on()
}

fn tpl(call: &mut Call<'_, '_, '_>) -> Result {
    let text = call.str(0).into_owned();
    let shown = go::quote::quote(text.as_bytes());
    let data = call.value(1).clone();
    let executed = call
        .execute_text(text, data)
        .map_err(|error| Failure::from(error).wrap(format!("cannot parse template {shown}")))?;
    let out = executed
        .map_err(|error| Failure::from(error).wrap(format!("error during tpl function execution for {shown}")))?;
    Ok(super::without_no_value(out).into())
}

/// `toYaml`: without the line break at the end.
fn to_yaml(json: &Json) -> Value {
    let printed = yaml::emit::to_yaml(json);
    printed.strip_suffix('\n').unwrap_or(&printed).into()
}

fn read_yaml(call: &Call<'_, '_, '_>) -> std::result::Result<Value, String> {
    let json = yaml::from_str(&call.str(0)).map_err(|error| crate::values::yaml_problem(&error))?;
    Ok(Value::from_json(&json))
}

fn error_map(problem: &str) -> Value {
    Value::from(Entries::from([("Error".into(), problem.into())]))
}

fn cannot_unmarshal(value: &Value, wanted: Type) -> String {
    let found = match value {
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
        _ => "number",
    };
    format!("json: cannot unmarshal {found} into Go value of type {wanted}")
}

/// A map out of what was read; `null` gives what is said, anything else the error in a map.
fn map(read: std::result::Result<Value, String>, null: Map, prefix: &str) -> Value {
    match read {
        Ok(Value::Map(map)) => Value::Map(map),
        Ok(Value::Nil) => Value::Map(null),
        Ok(other) => error_map(&format!("{prefix}{}", cannot_unmarshal(&other, Type::Map(&Type::Any)))),
        Err(problem) => error_map(&problem),
    }
}

const DECODING: &str = "error unmarshaling JSON: while decoding JSON: ";

fn from_json(call: &Call<'_, '_, '_>) -> Value {
    map(go::json::parse(call.bytes(0)), Map::nil(&Type::Any), "")
}

fn from_yaml(call: &Call<'_, '_, '_>) -> Value {
    map(read_yaml(call), Map::default(), DECODING)
}

fn array(read: std::result::Result<Value, String>, null: List, prefix: &str) -> Value {
    match read {
        Ok(Value::List(list)) => Value::List(list),
        Ok(Value::Nil) => Value::List(null),
        Ok(other) => {
            let problem = cannot_unmarshal(&other, Type::List(&Type::Any));
            Value::from(vec![Value::from(format!("{prefix}{problem}"))])
        }
        Err(problem) => Value::from(vec![Value::from(problem)]),
    }
}
