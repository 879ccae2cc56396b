//! The functions of External Secrets' templates beside Go's and sprig's.

use std::sync::Arc;

use gotemplate::{Call, Entries, Entry, Failure, Function, Functions, Map, Text, Value};
use serde_json::Value as Json;

/// All functions that a template may call.
pub(super) fn table() -> Functions {
    let mut functions = Functions::sprig();
    functions.remove("getHostByName");
    functions.extend(TABLE);
    for (name, signature) in LATER {
        let body = move |_: &mut Call<'_, '_, '_>| Err(Failure::new(format!("{name} is not supported yet")));
        functions.add(Function::new(name, signature, Arc::new(body)));
    }
    functions
}

/// Functions of External Secrets that say so when they are called.
const LATER: &[(&str, &str)] = &[
    ("certSANs", "func(string) ([]string, error)"),
    ("filterCertChain", "func(string, string) (string, error)"),
    ("filterPEM", "func(string, string) (string, error)"),
    ("fullPemToPkcs12", "func(string, string) (string, error)"),
    ("fullPemToPkcs12Pass", "func(string, string, string) (string, error)"),
    ("jwkPrivateKeyPem", "func(string) (string, error)"),
    ("jwkPublicKeyPem", "func(string) (string, error)"),
    ("pemToPkcs12", "func(string, string) (string, error)"),
    ("pemToPkcs12Pass", "func(string, string, string) (string, error)"),
    ("pemTruststoreToPKCS12", "func(string) (string, error)"),
    ("pemTruststoreToPKCS12Pass", "func(string, string) (string, error)"),
    ("pkcs12cert", "func(string) (string, error)"),
    ("pkcs12certPass", "func(string, string) (string, error)"),
    ("pkcs12key", "func(string) (string, error)"),
    ("pkcs12keyPass", "func(string, string) (string, error)"),
    ("rsaDecrypt", "func(string, string, string, string) (string, error)"),
];

/// Name, Go signature, body.
const TABLE: &[Entry] = &[
    Entry("toYaml", "func(any) string", to_yaml),
    Entry("fromYaml", "func(string) map[string]any", from_yaml),
    Entry("hexdec", "func(string) string", hexdec),
];

fn to_yaml(call: &mut Call<'_, '_, '_>) -> Result<Value, Failure> {
    // A value that JSON cannot hold gives nothing, as in the original.
    let text = call.value(0).to_json().map(|json| yaml::emit::to_yaml(&json)).unwrap_or_default();
    Ok(Value::String(text.strip_suffix('\n').unwrap_or(&text).into()))
}

fn from_yaml(call: &mut Call<'_, '_, '_>) -> Result<Value, Failure> {
    let problem =
        |message: String| Value::Map(Map::new(Entries::from([(Text::from("Error"), Value::String(message.into()))])));
    Ok(match yaml::from_str(&call.str(0)) {
        Ok(json @ Json::Object(_)) => Value::from_json(&json),
        Ok(Json::Null) => Value::Map(Map::new(Entries::new())),
        Ok(other) => problem(format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type \
             map[string]interface {{}}",
            kind(&other)
        )),
        Err(error) => problem(format!("error converting YAML to JSON: {error}")),
    })
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

/// Bytes of hexadecimal digits; what is none comes back as Go's words for it.
fn hexdec(call: &mut Call<'_, '_, '_>) -> Result<Value, Failure> {
    let digits = call.bytes(0);
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for pair in digits.chunks(2) {
        let mut byte = 0;
        for digit in pair {
            let Some(value) = char::from(*digit).to_digit(16) else {
                return Ok(Value::String(invalid_digit(*digit).into()));
            };
            byte = byte * 16 + value;
        }
        if pair.len() < 2 {
            return Ok(Value::String("encoding/hex: odd length hex string".into()));
        }
        bytes.push(u8::try_from(byte).unwrap_or_default());
    }
    Ok(Value::String(bytes.as_slice().into()))
}

fn invalid_digit(digit: u8) -> String {
    let c = char::from(digit);
    let shown = if c.is_control() || c == '\u{a0}' || c == '\u{ad}' { String::new() } else { format!(" '{c}'") };
    format!("encoding/hex: invalid byte: U+{digit:04X}{shown}")
}
