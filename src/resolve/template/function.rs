//! The functions of External Secrets' templates beside Go's and sprig's.

use gotemplate::{Call, Entries, Entry, Failure, Functions, Map, Text, Value};
use serde_json::Value as Json;

use aws_lc_rs::rsa::{self, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use zeroize::Zeroizing;

use super::{jwk, pem, pkcs12};

/// All functions that a template may call.
pub(super) fn table() -> Functions {
    let mut functions = Functions::sprig();
    functions.remove("getHostByName");
    functions.extend(TABLE);
    functions
}

/// Name, Go signature, body.
const TABLE: &[Entry] = &[
    Entry("toYaml", "func(any) string", to_yaml),
    Entry("fromYaml", "func(string) map[string]any", from_yaml),
    Entry("hexdec", "func(string) string", hexdec),
    Entry("certSANs", "func(string) ([]string, error)", pem::names),
    Entry("filterCertChain", "func(string, string) (string, error)", pem::filter_chain),
    Entry("filterPEM", "func(string, string) (string, error)", pem::filter),
    Entry("jwkPrivateKeyPem", "func(string) (string, error)", jwk::private),
    Entry("jwkPublicKeyPem", "func(string) (string, error)", jwk::public),
    Entry("fullPemToPkcs12", "func(string, string) (string, error)", pkcs12::full),
    Entry("fullPemToPkcs12Pass", "func(string, string, string) (string, error)", pkcs12::full),
    Entry("pemToPkcs12", "func(string, string) (string, error)", pkcs12::one),
    Entry("pemToPkcs12Pass", "func(string, string, string) (string, error)", pkcs12::one),
    Entry("pemTruststoreToPKCS12", "func(string) (string, error)", pkcs12::trust),
    Entry("pemTruststoreToPKCS12Pass", "func(string, string) (string, error)", pkcs12::trust),
    Entry("pkcs12cert", "func(string) (string, error)", pkcs12::certificates),
    Entry("pkcs12certPass", "func(string, string) (string, error)", pkcs12::certificates_by_password),
    Entry("pkcs12key", "func(string) (string, error)", pkcs12::key),
    Entry("pkcs12keyPass", "func(string, string) (string, error)", pkcs12::key_by_password),
    Entry("rsaDecrypt", "func(string, string, string, string) (string, error)", rsa_decrypt),
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

/// `rsaDecrypt`: scheme, hash, ciphertext, private key.
fn rsa_decrypt(call: &mut Call<'_, '_, '_>) -> Result<Value, Failure> {
    let (scheme, hash) = (call.str(0).into_owned(), call.str(1).into_owned());
    match scheme.as_str() {
        "None" => return Ok(Value::String(call.text(2))),
        "RSA-OAEP" => {}
        _ => return Err(format!("decryption scheme {scheme} is not supported").into()),
    }
    let text = call.str(3);
    let (block, _) = gotemplate::go::pem::next(&text).ok_or_else(|| Failure::new("failed to decode PEM block"))?;
    let key = pkcs12::private_key(&block.bytes).map_err(|error| error.wrap("could not parse private key"))?;
    let no_key = |_| Failure::new("could not parse RSA private key");
    let key = OaepPrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(&key).map_err(no_key)?);
    let key = key.map_err(|_| Failure::new("could not parse RSA private key"))?;
    let padding = match hash.as_str() {
        "SHA1" => &rsa::OAEP_SHA1_MGF1SHA1,
        "SHA512" => &rsa::OAEP_SHA512_MGF1SHA512,
        _ => &rsa::OAEP_SHA256_MGF1SHA256,
    };
    let mut plain = Zeroizing::new(vec![0; key.min_output_size()]);
    let wrong = |_| Failure::new("error decrypting data with RSA: crypto/rsa: decryption error");
    let plain = key.decrypt(padding, call.bytes(2), &mut plain, None).map_err(wrong)?;
    Ok(Value::String((&*plain).into()))
}
