//! What `crds` says about references, labels and annotations in custom objects.

use serde_json::Value;

use crate::config::{Config, FieldSpec, NameReference, merge_one};
use crate::error::Problem;
use crate::id::Gvk;

/// How deep definitions may refer to one another.
const DEEPEST: usize = 50;

/// Reads an OpenAPI document of custom kinds.
pub(crate) fn read(text: &str) -> Result<Config, Problem> {
    let document: Value = yaml::from_str(text)?;
    let mut config = Config::default();
    for (name, definition) in document.as_object().into_iter().flatten() {
        let properties = properties(definition);
        let is_object = ["kind", "apiVersion", "metadata"]
            .iter()
            .all(|field| properties.is_some_and(|all| all.contains_key(*field)));
        if is_object {
            let kind = name.rsplit('.').next().unwrap_or(name);
            let gvk = Gvk { kind: kind.into(), ..Gvk::default() };
            collect(&mut config, &gvk, &document, name, &mut Vec::new())?;
        }
    }
    Ok(config)
}

fn properties(definition: &Value) -> Option<&serde_json::Map<String, Value>> {
    definition.get("Schema").or_else(|| definition.get("schema"))?.get("properties")?.as_object()
}

fn collect(
    config: &mut Config,
    gvk: &Gvk,
    document: &Value,
    name: &str,
    path: &mut Vec<String>,
) -> Result<(), Problem> {
    if path.len() > DEEPEST {
        return Err(Problem::TooMuch { what: "definitions that refer to one another", limit: DEEPEST });
    }
    let Some(properties) = document.get(name).and_then(properties) else { return Ok(()) };
    for (field, schema) in properties {
        path.push(field.clone());
        collect_field(config, gvk, schema, path)?;
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            collect(config, gvk, document, target, path)?;
        }
        path.pop();
    }
    Ok(())
}

fn collect_field(config: &mut Config, gvk: &Gvk, schema: &Value, path: &[String]) -> Result<(), Problem> {
    let text = |key: &str| schema.get(key).and_then(Value::as_str);
    let spec = FieldSpec::new(gvk.clone(), &path.join("/"), false);
    if text("x-kubernetes-annotation").is_some() {
        merge_one(&mut config.common_annotations, &spec)?;
    }
    if text("x-kubernetes-label-selector").is_some() {
        merge_one(&mut config.common_labels, &spec)?;
    }
    if text("x-kubernetes-identity").is_some() {
        merge_one(&mut config.name_prefix, &spec)?;
    }
    if let (Some(version), Some(kind)) =
        (text("x-kubernetes-object-ref-api-version"), text("x-kubernetes-object-ref-kind"))
    {
        let name = text("x-kubernetes-object-ref-name-key").unwrap_or("name");
        let spec = FieldSpec::new(gvk.clone(), &format!("{}/{name}", path.join("/")), false);
        config.add_reference(&NameReference {
            version: version.into(),
            kind: kind.into(),
            referrers: vec![spec],
            ..NameReference::default()
        })?;
    }
    Ok(())
}
