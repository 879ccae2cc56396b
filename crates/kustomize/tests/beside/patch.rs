//! Random patches of an object, and random values. Included by path, too.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use serde_json::{Map, Value, json};

use crate::dice::Dice;

enum Step {
    Key(String),
    Index(usize),
}

/// A walk from the root to somewhere below.
fn down(mut value: &Value, dice: &mut Dice) -> Vec<Step> {
    let mut path = Vec::new();
    loop {
        if !path.is_empty() && dice.hits(15) {
            return path;
        }
        value = match value {
            Value::Object(map) if !map.is_empty() => {
                let (key, below) = map.iter().nth(dice.below(map.len() as u64) as usize).expect("one of them");
                path.push(Step::Key(key.clone()));
                below
            }
            Value::Array(list) if !list.is_empty() => {
                let at = dice.below(list.len() as u64) as usize;
                path.push(Step::Index(at));
                &list[at]
            }
            _ => return path,
        };
    }
}

/// Operations of a JSON patch on something within an object.
pub(crate) fn operations(object: &Value, dice: &mut Dice) -> Value {
    let operations = (0..=dice.below(3)).map(|_| {
        let mut path = pointer(&down(object, dice));
        if dice.hits(10) {
            path = format!(
                "{}/{}",
                path.rsplit_once('/').unwrap_or_default().0,
                ["-", "added", "0", "99"][dice.below(4) as usize]
            );
        }
        match dice.below(8) {
            0 | 1 => json!({"op": "add", "path": path, "value": value(dice)}),
            2 | 3 => json!({"op": "replace", "path": path, "value": value(dice)}),
            4 => json!({"op": "remove", "path": path}),
            5 => json!({"op": "copy", "from": pointer(&down(object, dice)), "path": path}),
            6 => json!({"op": "move", "from": pointer(&down(object, dice)), "path": path}),
            _ => json!({"op": "test", "path": path, "value": object.pointer(&path).cloned().unwrap_or_default()}),
        }
    });
    operations.collect()
}

/// A path as JSON patches write it.
fn pointer(path: &[Step]) -> String {
    path.iter().fold(String::new(), |pointer, step| match step {
        Step::Key(key) => format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")),
        Step::Index(at) => format!("{pointer}/{at}"),
    })
}

/// A path as replacements write it.
pub(crate) fn field_path(object: &Value, dice: &mut Dice) -> String {
    let steps = down(object, dice).into_iter().map(|step| match step {
        Step::Key(key) if key.contains('.') => format!("[{key}]"),
        Step::Key(key) => key,
        Step::Index(at) if dice.hits(70) => at.to_string(),
        Step::Index(_) => ["*", "[name=web]", "-"][dice.below(3) as usize].to_owned(),
    });
    steps.collect::<Vec<_>>().join(".")
}

/// A value that some parser may take for something else, or a plain one.
pub(crate) fn value(dice: &mut Dice) -> Value {
    let values = [
        json!("changed"),
        json!("yes"),
        json!("0123"),
        json!("1e3"),
        json!(""),
        json!("a: b"),
        json!("two\nlines\n"),
        json!(" blank first"),
        json!("$(NAME)"),
        json!("null"),
        json!("#no comment"),
        json!("2020-01-01"),
        json!("very long ".repeat(12)),
        json!(5),
        json!(-7),
        json!(1.5),
        json!(1e21),
        json!(true),
        json!(null),
        json!({}),
        json!([]),
        json!({"a": "b"}),
        json!([1, "x"]),
    ];
    let plain = dice.hits(40);
    values[if plain { 0 } else { dice.below(values.len() as u64) as usize }].clone()
}

/// What names an object in a patch.
fn named(object: &Value) -> Map<String, Value> {
    let mut patch = Map::new();
    for key in ["apiVersion", "kind"] {
        patch.insert(key.to_owned(), object[key].clone());
    }
    let mut metadata = Map::new();
    for key in ["name", "namespace"] {
        if let Some(value) = object["metadata"].get(key) {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    patch.insert("metadata".to_owned(), metadata.into());
    patch
}

/// A strategic-merge patch of something within an object.
pub(crate) fn strategic(object: &Value, dice: &mut Dice) -> Value {
    let mut patch = Value::Object(named(object));
    for _ in 0..=dice.below(2) {
        let path = down(object, dice);
        merge(&mut patch, grown(object, &path, dice));
    }
    if dice.hits(6) {
        patch["$patch"] = json!(["delete", "replace", "merge"][dice.below(3) as usize]);
    }
    patch
}

/// The path within an object as an object of its own, with a change at its end.
fn grown(object: &Value, path: &[Step], dice: &mut Dice) -> Value {
    match path {
        [] => end(object, dice),
        [Step::Key(key), rest @ ..] => {
            let mut map = Map::new();
            let below = object.get(key).unwrap_or(&Value::Null);
            map.insert(key.clone(), grown(below, rest, dice));
            if rest.is_empty() && below.is_array() && dice.hits(30) {
                list_directive(&mut map, key, below, dice);
            }
            Value::Object(map)
        }
        [Step::Index(at), rest @ ..] => {
            let entry = object.get(*at).unwrap_or(&Value::Null);
            let mut below = grown(entry, rest, dice);
            if let (Value::Object(map), Value::Object(entry)) = (&mut below, entry) {
                // What may be its key among the others.
                for (key, value) in entry.iter().filter(|(_, value)| !value.is_object() && !value.is_array()) {
                    if ["name", "containerPort", "port", "mountPath", "key", "ip"].contains(&key.as_str()) {
                        map.entry(key.clone()).or_insert_with(|| value.clone());
                    }
                }
            }
            json!([below])
        }
    }
}

fn list_directive(map: &mut Map<String, Value>, key: &str, list: &Value, dice: &mut Dice) {
    match dice.below(3) {
        0 => map.insert(format!("$setElementOrder/{key}"), list.clone()),
        1 => map.insert(format!("$deleteFromPrimitiveList/{key}"), list.clone()),
        _ => map.insert("$retainKeys".to_owned(), json!([key])),
    };
}

fn end(was: &Value, dice: &mut Dice) -> Value {
    match was {
        Value::Object(_) if dice.hits(60) => match dice.below(4) {
            0 => json!({"$patch": "delete"}),
            1 => json!({"$patch": "replace", "added": value(dice)}),
            2 => json!({"$patch": "merge", "added": value(dice)}),
            _ => json!({"added": value(dice)}),
        },
        Value::Array(list) if dice.hits(60) => match dice.below(4) {
            0 => json!([{"$patch": "replace"}]),
            1 => json!([value(dice)]),
            2 => json!([{"$patch": "delete"}]),
            _ => json!([{"name": "added", "value": value(dice)}, list.first().cloned().unwrap_or_default()]),
        },
        _ => value(dice),
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}
