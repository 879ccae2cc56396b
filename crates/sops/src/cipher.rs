//! Single values: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.

use aes_gcm::aead::consts::U32;
use aes_gcm::aead::generic_array::GenericArray;
use aes_gcm::aes::Aes256;
use aes_gcm::{AeadInPlace as _, AesGcm, KeyInit as _};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::ValueProblem;
use crate::text::Text;
use crate::tree::{Comment, Value};
use crate::{number, time};

/// Bytes of a data key.
pub(crate) const KEY_LENGTH: usize = 32;
/// Bytes of a nonce; other programs use 12.
pub(crate) const IV_LENGTH: usize = 32;
const TAG_LENGTH: usize = 16;

/// Go demands padding and does not look at the bits behind the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// The key of a document, from which all its values are opened.
pub(crate) type DataKey = Zeroizing<Vec<u8>>;

/// Opens and seals the values of one document.
pub(crate) struct Cipher {
    aead: AesGcm<Aes256, U32>,
}

impl Cipher {
    /// `None` when the key has not the length of a data key.
    pub(crate) fn new(key: &DataKey) -> Option<Self> {
        let aead = AesGcm::new_from_slice(key.as_slice()).ok()?;
        Some(Cipher { aead })
    }

    /// Opens a value that was sealed for the place that `aad` names. An empty text is its own plaintext.
    pub(crate) fn open(&self, sealed: &[u8], aad: &[u8]) -> Result<Value, ValueProblem> {
        if sealed.is_empty() {
            return Ok(Value::Str(Text::default()));
        }
        let parts = Parts::of(sealed).ok_or(ValueProblem::NotSealed)?;
        let iv = decode("iv", parts.iv)?;
        let mut bytes = Zeroizing::new(decode("data", parts.data)?);
        bytes.extend_from_slice(&decode("tag", parts.tag)?);
        let iv: &[u8; IV_LENGTH] = iv.as_slice().try_into().map_err(|_| ValueProblem::IvLength)?;
        let length = bytes.len().checked_sub(TAG_LENGTH).ok_or(ValueProblem::Refused)?;
        let (data, tag) = bytes.split_at_mut(length);
        self.aead
            .decrypt_in_place_detached(GenericArray::from_slice(iv), aad, data, GenericArray::from_slice(tag))
            .map_err(|_| ValueProblem::Refused)?;
        typed(parts.kind, data)
    }

    /// The nonce of a sealed value.
    pub(crate) fn nonce(sealed: &[u8]) -> Option<[u8; IV_LENGTH]> {
        decode("iv", Parts::of(sealed)?.iv).ok()?.try_into().ok()
    }

    /// The name of a sealed value's type.
    pub(crate) fn kind(sealed: &[u8]) -> Option<&str> {
        std::str::from_utf8(Parts::of(sealed)?.kind).ok()
    }

    /// Seals a value for the place that `aad` names; `None` for what cannot be sealed. An empty text stays empty.
    pub(crate) fn seal(&self, value: &Value, aad: &[u8], iv: &[u8; IV_LENGTH]) -> Option<Text> {
        let kind = kind(value)?;
        let mut bytes = value.to_bytes().into_owned();
        if bytes.is_empty() {
            return Some(Text::default());
        }
        let tag = self.aead.encrypt_in_place_detached(GenericArray::from_slice(iv), aad, &mut bytes);
        let Ok(tag) = tag else {
            bytes.zeroize();
            return None;
        };
        let (data, iv, tag) = (BASE64.encode(&bytes), BASE64.encode(iv), BASE64.encode(tag));
        Some(format!("ENC[AES256_GCM,data:{data},iv:{iv},tag:{tag},type:{kind}]").into())
    }
}

fn decode(part: &'static str, text: &[u8]) -> Result<Vec<u8>, ValueProblem> {
    BASE64.decode(text).map_err(|_| ValueProblem::Base64 { part })
}

/// The four parts of a sealed value.
struct Parts<'t> {
    data: &'t [u8],
    iv: &'t [u8],
    tag: &'t [u8],
    kind: &'t [u8],
}

impl<'t> Parts<'t> {
    /// As the original's regular expression finds them: each part reaches as far as it can, what follows the last
    /// bracket of the line does not count, and none is empty.
    fn of(sealed: &'t [u8]) -> Option<Self> {
        let line = sealed.split(|byte| *byte == b'\n').next()?;
        let rest = line.strip_prefix(b"ENC[AES256_GCM,data:")?;
        let end = rest.iter().rposition(|byte| *byte == b']')?;
        let (rest, kind) = split_last(rest.get(..end)?, b",type:")?;
        let (rest, tag) = split_last(rest, b",tag:")?;
        let (data, iv) = split_last(rest, b",iv:")?;
        let parts = [data, iv, tag, kind];
        parts.iter().all(|part| !part.is_empty()).then_some(Parts { data, iv, tag, kind })
    }
}

fn split_last<'t>(text: &'t [u8], at: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let place = text.windows(at.len()).rposition(|window| window == at)?;
    Some((text.get(..place)?, text.get(place + at.len()..)?))
}

/// The name of a value's type in files; collections have none.
fn kind(value: &Value) -> Option<&'static str> {
    Some(match value {
        Value::Str(_) | Value::Bytes(_) => "str",
        Value::Int(_) => "int",
        Value::Float(_) => "float",
        Value::Bool(_) => "bool",
        Value::Time(_) => "time",
        Value::Comment(_) => "comment",
        Value::Null | Value::Uint(_) | Value::Branch(_) | Value::List(_) => return None,
    })
}

/// Gives plaintext its type. The type itself is not authenticated: whoever can write a file can change it.
fn typed(kind: &[u8], data: &[u8]) -> Result<Value, ValueProblem> {
    let parsed = |kind, parse: fn(&str) -> Option<Value>| {
        let value = std::str::from_utf8(data).ok().and_then(parse);
        value.ok_or(ValueProblem::NotOfType { kind })
    };
    match kind {
        b"str" => Ok(Value::Str(data.into())),
        b"bytes" => Ok(Value::Bytes(data.into())),
        b"comment" => Ok(Value::Comment(Comment::line(data))),
        b"int" => parsed("int", |text| text.parse().ok().map(Value::Int)),
        b"float" => parsed("float", |text| number::parse_float(text).map(Value::Float)),
        b"bool" => parsed("bool", |text| number::parse_bool(text).map(Value::Bool)),
        b"time" => parsed("time", |text| time::parse(text).map(Value::Time)),
        _ => Err(ValueProblem::UnknownType { kind: String::from_utf8_lossy(kind).into_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cipher() -> Cipher {
        Cipher::new(&Zeroizing::new(vec![7; KEY_LENGTH])).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_at_its_place_alone() {
        let values = [
            Value::text("hunter2"),
            Value::Int(-3),
            Value::Float(1.5),
            Value::Bool(true),
            Value::Time("2001-01-01T00:00:00Z".into()),
            Value::Comment(Comment::line("note")),
        ];
        for value in values {
            let sealed = cipher().seal(&value, b"a:b:", &[1; IV_LENGTH]).unwrap();
            assert!(cipher().open(sealed.bytes(), b"a:b:").is_ok_and(|opened| opened == value));
            assert!(matches!(cipher().open(sealed.bytes(), b"a:c:"), Err(ValueProblem::Refused)));
        }
    }

    #[test]
    fn an_empty_text_is_its_own_ciphertext() {
        assert!(cipher().seal(&Value::text(""), b":", &[1; IV_LENGTH]).unwrap().is_empty());
        assert!(cipher().open(b"", b":").is_ok_and(|opened| opened == Value::text("")));
    }

    #[test]
    fn what_follows_the_last_bracket_does_not_count() {
        let parts = Parts::of(b"ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]] # x\n]").unwrap();
        assert_eq!((parts.data, parts.iv, parts.tag, parts.kind), (&b"a"[..], &b"b"[..], &b"c"[..], &b"str]"[..]));
        for text in ["ENC[AES256_GCM,data:,iv:b,tag:c,type:str]", "ENC[AES256_GCM,data:a,iv:b,tag:c,type:str", "plain"]
        {
            assert!(Parts::of(text.as_bytes()).is_none(), "{text}");
        }
    }
}
