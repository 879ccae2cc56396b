//! What SOPS sealed is not shown, not even sealed.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use manifest::Object;
use serde_json::Value;
use yaml::{Node, Resolver, Strictness, Tag};

use crate::redact::Masked;

/// What stands for a sealed value.
const MASK: &str = "**SOPS**";
/// What stands for the sealed value of a Secret that a kubelet reads as JSON.
const MASK_JSON: &str = r#"{"mask":"**SOPS**"}"#;

/// As Go decodes, which passes over bits behind the last byte.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// Masks the sealed values of a Secret: all of one that is sealed as a whole, else those that hold a sealed file.
///
/// # Errors
/// When a value of `data` is not base64, as upstream.
pub(super) fn mask(mut object: Object) -> anyhow::Result<Masked> {
    if object.kind() != "Secret" {
        return Ok(Masked::new(object));
    }
    let (mut data, mut texts) = (texts_of(&object, "data"), texts_of(&object, "stringData"));
    if is_sealed(&object) {
        if let Some(map) = object.value_mut().as_object_mut() {
            map.remove("sops");
        }
        let is_docker = object.text("/type") == Some("kubernetes.io/dockerconfigjson");
        let shown = if is_docker { MASK_JSON } else { MASK };
        data.values_mut().for_each(|value| *value = BASE64.encode(shown));
        texts.values_mut().for_each(|value| *value = shown.into());
    } else {
        for value in data.values_mut() {
            let encoded = value.replace(['\r', '\n'], "");
            let decoded = BASE64.decode(encoded).map_err(|_| anyhow!("illegal base64 data"));
            let decoded = decoded.with_context(|| format!("failed to mask secret {} sops data", object.name()));
            if holds_sealed(&decoded?) {
                *value = BASE64.encode(MASK);
            }
        }
        // Upstream puts the same bytes here, where they are no base64 but the value itself.
        texts
            .values_mut()
            .filter(|value| holds_sealed(value.as_bytes()))
            .for_each(|value| *value = BASE64.encode(MASK));
    }
    write(&mut object, data, texts)?;
    Ok(Masked::new(object))
}

/// Whether the whole object was sealed.
fn is_sealed(object: &Object) -> bool {
    let text = kustomize::to_yaml(object);
    text.contains("sops:") && text.contains("mac: ENC[")
}

/// Whether a value is a file that was sealed.
fn holds_sealed(value: &[u8]) -> bool {
    let holds = |word: &[u8]| value.windows(word.len()).any(|window| window == word);
    holds(b"sops") && holds(b"ENC[")
}

fn texts_of(object: &Object, field: &str) -> BTreeMap<String, String> {
    let fields = object.value().get(field).and_then(Value::as_object).into_iter().flatten();
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        _ => String::new(),
    };
    fields.map(|(key, value)| (key.clone(), text(value))).collect()
}

/// Writes the maps back as upstream does: `data` as texts, `stringData` as scalars whose form says what they are, so that
/// the text `"5"` is printed as the number 5.
fn write(object: &mut Object, data: BTreeMap<String, String>, texts: BTreeMap<String, String>) -> anyhow::Result<()> {
    let name = object.name().to_owned();
    let Some(map) = object.value_mut().as_object_mut() else { return Ok(()) };
    map.remove("data");
    if !data.is_empty() {
        map.insert("data".into(), data.into_iter().map(|(key, value)| (key, Value::String(value))).collect());
    }
    if !texts.is_empty() {
        let pairs = texts.into_iter().map(|(key, value)| (Node::string(key), Node::scalar(Tag::None, value)));
        let node = Node::mapping(pairs.flat_map(|(key, value)| [key, value]).collect());
        let value = yaml::to_value(&node, Resolver::V3, Strictness::Lenient);
        map.insert("stringData".into(), value.with_context(|| format!("failed to mask secret {name} sops data"))?);
    }
    Ok(())
}
