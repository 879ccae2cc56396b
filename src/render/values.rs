//! The values of a release, merged as Flux merges them, and their digest.

use helm::values::{Values, from_json, from_yaml, merge_maps, strvals};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::api::helm::ValuesSource;
use crate::api::kustomization::ValuesKind;

/// A reference of `spec.valuesFrom` with what was found.
pub struct Part<'a> {
    /// The reference.
    pub source: &'a ValuesSource,
    /// What its key holds.
    pub content: Content,
}

/// What a reference leads to.
pub enum Content {
    /// The value of its key.
    Found(Vec<u8>),
    /// The object has no such key.
    NoKey,
    /// There is no such object.
    NoObject,
}

/// Values that cannot be had, in Flux's words; never a value.
#[derive(Debug, thiserror::Error)]
#[error("could not resolve {kind} chart values reference '{namespace}/{name}' with key '{key}': {problem}")]
pub struct ValuesError {
    kind: &'static str,
    namespace: String,
    name: String,
    key: String,
    problem: String,
}

/// Key of a reference that names none.
const KEY: &str = "values.yaml";

/// The kind that a reference names.
pub fn kind_of(source: &ValuesSource) -> &'static str {
    if source.kind == ValuesKind::Secret { "Secret" } else { "ConfigMap" }
}

/// The key that a reference names.
pub fn key_of(source: &ValuesSource) -> &str {
    source.values_key.as_deref().filter(|key| !key.is_empty()).unwrap_or(KEY)
}

/// Merges what references lead to, in order, and `spec.values` on top.
///
/// A reference with a `targetPath` writes into a map of which parts are those of `spec.values` themselves, so that what
/// it writes there holds against them; elsewhere `spec.values` win. That is how Flux's code shares its maps.
///
/// # Errors
/// The first reference that is missing and not optional, or cannot be read.
pub fn compose(namespace: &str, inline: Option<&Value>, parts: &[Part<'_>]) -> Result<Values, ValuesError> {
    let mut inline = from_json(inline.and_then(Value::as_object).cloned().unwrap_or_default());
    let mut result = Values::new();
    for Part { source, content } in parts {
        let fail = |problem: String| ValuesError {
            kind: kind_of(source),
            namespace: namespace.to_owned(),
            name: source.name.clone(),
            key: key_of(source).to_owned(),
            problem,
        };
        let content = match content {
            Content::Found(content) => content,
            Content::NoKey | Content::NoObject if source.optional => continue,
            Content::NoKey => return Err(fail("key not found".into())),
            Content::NoObject => {
                return Err(fail(format!("{}s \"{}\" not found", kind_of(source).to_lowercase(), source.name)));
            }
        };
        let text = std::str::from_utf8(content).map_err(|_| fail("not UTF-8".into()))?;
        match source.target_path.as_deref().filter(|path| !path.is_empty()) {
            Some(path) => {
                result = write(result, &mut inline, path, text, source.literal)
                    .map_err(|()| fail("failed to merge value".into()))?;
            }
            None => {
                // Flux reads one document, whatever follows it.
                let first = yaml::documents(text).first().map_or("", |document| document.text);
                let values = from_yaml(first).map_err(|error| fail(error.to_string()))?;
                result = merge_maps(result, values);
            }
        }
    }
    Ok(merge_maps(result, inline))
}

/// Writes one value by its path into the result merged with `inline`, and into the parts of `inline` that are the same.
fn write(result: Values, inline: &mut Values, path: &str, text: &str, literal: bool) -> Result<Values, ()> {
    let before = result;
    let mut result = merge_maps(before.clone(), inline.clone());
    set(&mut result, path, text, literal)?;
    share(&before, inline, &result);
    Ok(result)
}

fn set(values: &mut Values, path: &str, text: &str, literal: bool) -> Result<(), ()> {
    let quoted = |quote: char| text.starts_with(quote) && text.ends_with(quote);
    let (text, mode) = match () {
        () if literal => (escaped(text), strvals::Mode::Text),
        () if quoted('\'') || quoted('"') => (text.trim_matches(['\'', '"']).to_owned(), strvals::Mode::Text),
        () => (text.to_owned(), strvals::Mode::Typed),
    };
    strvals::parse(&format!("{path}={text}"), mode, values).map_err(|_| ())
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | ',' | '[' | ']' | '{' | '}') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Carries over to `inline` what was written into the parts that the result has from it as they are: maps that the
/// result did not have before, and the items of lists.
fn share(before: &Values, inline: &mut Values, result: &Values) {
    for (key, own) in inline.iter_mut() {
        match (before.get(key), own, result.get(key)) {
            (Some(Value::Object(before)), Value::Object(own), Some(Value::Object(result))) => {
                share(before, own, result)
            }
            (_, Value::Object(own), Some(Value::Object(result))) => own.clone_from(result),
            (_, Value::Array(own), Some(Value::Array(result))) => {
                own.iter_mut().zip(result).for_each(|(own, result)| own.clone_from(result));
            }
            _ => {}
        }
    }
}

/// Digest of values as Flux writes it into status: over their YAML, sorted by the bytes of keys; no values are nothing.
pub fn digest(values: &Values) -> String {
    let text =
        if values.is_empty() { String::new() } else { yaml::emit::to_yaml_by_bytes(&Value::Object(values.clone())) };
    format!("sha256:{:x}", Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(target: Option<&str>, optional: bool, literal: bool) -> ValuesSource {
        ValuesSource {
            kind: ValuesKind::Secret,
            name: "s".into(),
            target_path: target.map(str::to_owned),
            optional,
            literal,
            ..ValuesSource::default()
        }
    }

    fn composed(inline: Value, parts: &[(&str, &str)]) -> Value {
        let sources: Vec<_> = parts.iter().map(|(path, _)| source(Some(path), false, false)).collect();
        let content = parts.iter().map(|(_, text)| Content::Found(text.as_bytes().to_vec()));
        let parts: Vec<_> = sources.iter().zip(content).map(|(source, content)| Part { source, content }).collect();
        Value::Object(compose("apps", Some(&inline), &parts).unwrap())
    }

    #[test]
    fn later_references_win_and_the_inline_values_win_over_all() {
        let inline = json!({"a": {"x": 1}});
        let yaml = "a: {x: 2, w: 2}\nb: 1\n";
        assert_eq!(
            composed(inline, &[("", "a: {z: 3}"), ("", yaml)]),
            json!({"a": {"x": 1.0, "w": 2.0, "z": 3.0}, "b": 1.0})
        );
    }

    #[test]
    fn a_target_path_wins_inside_a_map_that_is_only_inline_and_loses_at_the_top() {
        assert_eq!(composed(json!({"a": {"x": 1}}), &[("a.x", "2")]), json!({"a": {"x": 2}}));
        assert_eq!(composed(json!({"a": 1}), &[("a", "2")]), json!({"a": 1.0}));
        assert_eq!(
            composed(json!({"a": {"x": 1}}), &[("", "a: {w: 1}"), ("a.x", "2")]),
            json!({"a": {"x": 1.0, "w": 1.0}})
        );
        let list = json!({"env": [{"name": "A", "value": "b"}]});
        assert_eq!(composed(list, &[("env[0].value", "c")]), json!({"env": [{"name": "A", "value": "c"}]}));
    }

    #[test]
    fn a_quoted_value_is_text_and_a_literal_one_is_taken_as_it_is() {
        assert_eq!(composed(json!({}), &[("a", "'1'")]), json!({"a": "1"}));
        let (literal, typed) = (source(Some("a"), false, true), source(Some("a"), false, false));
        let values = |source| {
            let part = Part { source, content: Content::Found(b"x,b=[1]".to_vec()) };
            compose("apps", None, &[part]).map(Value::Object).ok()
        };
        assert_eq!(values(&literal), Some(json!({"a": "x,b=[1]"})));
        assert_eq!(values(&typed), Some(json!({"a": "x", "b": "[1]"})));
    }

    #[test]
    fn what_is_missing_is_named_unless_it_is_optional() {
        let (needed, optional) = (source(None, false, false), source(None, true, false));
        let part = |source, content| compose("apps", None, &[Part { source, content }]);
        assert!(part(&optional, Content::NoObject).unwrap().is_empty());
        assert_eq!(
            part(&needed, Content::NoKey).unwrap_err().to_string(),
            "could not resolve Secret chart values reference 'apps/s' with key 'values.yaml': key not found"
        );
    }

    #[test]
    fn the_digest_is_that_of_flux() {
        let digest_of = |value: Value| digest(&from_json(value.as_object().unwrap().clone()));
        assert_eq!(digest_of(json!({})), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        // These are the project's own examples.
        let ports = json!([{"protocol": "TCP", "port": 8080}, {"port": 9090, "protocol": "UDP"}]);
        assert_eq!(
            digest_of(json!({"replicas": 3, "image": {"tag": "latest", "repository": "nginx"}, "ports": ports})),
            "sha256:fcdc2b0de1581a3633ada4afee3f918f6eaa5b5ab38c3fef03d5b48d3f85d9f6"
        );
        let test = json!({"632bd80235a05f4192aefade": "value1", "632bd80ddf416cf32fd50679": "value2",
            "632bd817c559818a52307da2": "value3", "632bd82398e71231a98004b6": "value4"});
        assert_eq!(
            digest_of(json!({"replicas": 3, "test": test})),
            "sha256:8a980fcbeadd6f05818f07e8aec14070c22250ca3d96af1fcd5f93b3e85b4d70"
        );
    }
}
