//! The suffix that names a ConfigMap or Secret after its content.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use yaml::json::{Html, to_string};
use yaml::{Kind, Node};

use crate::error::{Error, Problem};
use crate::facts::Facts;
use crate::output;
use crate::resources::Resources;
use crate::transform::each;

/// Adds its suffix to the name of every object that is to have one.
pub(crate) fn add(resources: &mut Resources, facts: &Facts) -> Vec<Error> {
    each(resources, facts, |resource, _| {
        if !resource.needs_hash {
            return Ok(());
        }
        let suffix = suffix(&resource.node)?;
        let name = format!("{}-{suffix}", resource.id(facts).name);
        resource.remember(facts);
        resource.set_name(&name)
    })
}

/// Ten letters for the content of an object.
fn suffix(node: &Node) -> Result<String, Problem> {
    let text = |name: &str| node.get(name).map(|value| value.value.as_str()).unwrap_or_default();
    let encoded = match text("kind") {
        "ConfigMap" => to_string(&content(node, "ConfigMap", &["data"], "binaryData")?, Html::Escaped),
        "Secret" => to_string(&content(node, "Secret", &["type", "data"], "stringData")?, Html::Escaped),
        // Go's JSON of yaml.v3's tree, positions and all: only a patch or a function could ask for it.
        kind => return Err(Problem::NoHash { kind: kind.into() }),
    };
    let digest = Sha256::digest(encoded.as_bytes());
    let hex = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(10);
    // Letters that could make words are replaced (upstream `hasher.encode`).
    Ok(hex.map(|digit| char::from(b"gh2k456789mbcdtf"[usize::from(digit)])).collect())
}

/// What is hashed. The name is empty: upstream looks for a field called `metadata/name`, which no object has.
fn content(node: &Node, kind: &str, fields: &[&str], optional: &str) -> Result<Value, Problem> {
    let mut map = Map::new();
    map.insert("kind".into(), kind.into());
    map.insert("name".into(), "".into());
    for field in fields {
        map.insert((*field).into(), field_value(node, field)?);
    }
    let value = field_value(node, optional)?;
    if value.is_object() {
        map.insert(optional.into(), value);
    }
    Ok(Value::Object(map))
}

fn field_value(node: &Node, field: &str) -> Result<Value, Problem> {
    match node.get(field) {
        None => Ok("".into()),
        Some(value) if value.kind == Kind::Scalar => Ok(value.value.as_str().into()),
        Some(value) => {
            let value = output::value(value)?;
            Ok(if value.is_object() { value } else { Value::Null })
        }
    }
}
