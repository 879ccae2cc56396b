//! From what a store gave to keys and values of a Secret: decoding, conversion, and which keys may stand there.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use regex::Regex;

use super::store::{Bytes, Cause, Data};
use crate::api::secret::{ConversionStrategy, DecodingStrategy, NullBytePolicy};

/// The longest key that Kubernetes takes.
const KEY_LIMIT: usize = 253;

/// As Go decodes: padding is asked for, what the last bits hold is not.
const GO: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::RequireCanonical);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, GO);
const URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, GO);

/// Decodes one value.
pub(super) fn decode(strategy: &DecodingStrategy, value: Bytes) -> Result<Bytes, Cause> {
    match strategy {
        DecodingStrategy::None => Ok(value),
        DecodingStrategy::Base64 => base64(&STANDARD, &value).ok_or(Cause::Content { expected: "base64" }),
        DecodingStrategy::Base64Url => base64(&URL, &value).ok_or(Cause::Content { expected: "base64url" }),
        DecodingStrategy::Auto => Ok(base64(&STANDARD, &value).or_else(|| base64(&URL, &value)).unwrap_or(value)),
        DecodingStrategy::Other(other) => {
            Err(Cause::Spec { message: format!("decoding strategy {other} is not supported") })
        }
    }
}

/// Go passes over line breaks, wherever they stand.
fn base64(engine: &GeneralPurpose, value: &[u8]) -> Option<Bytes> {
    let text = Bytes::from(value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect::<Vec<_>>());
    engine.decode(&*text).ok().map(Bytes::from)
}

/// Decodes all values.
pub(super) fn decode_all(strategy: &DecodingStrategy, data: Data) -> Result<Data, Cause> {
    let decoded = data.into_iter().map(|(key, value)| {
        let value = decode(strategy, value).map_err(|cause| match cause {
            Cause::Content { expected } => Cause::Key { message: format!("the value of {key} is not {expected}") },
            other => other,
        })?;
        Ok((key, value))
    });
    decoded.collect()
}

/// Refuses null bytes where the policy does.
pub(super) fn check_bytes(policy: &NullBytePolicy, key: &str, value: &[u8]) -> Result<(), Cause> {
    if *policy != NullBytePolicy::Fail || !value.contains(&0) {
        return Ok(());
    }
    Err(Cause::Key {
        message: format!(
            "fetched secret value for key {key:?} contains null bytes; use a text-safe format such as PEM/base64 or \
             leave nullBytePolicy unset for intentional binary data"
        ),
    })
}

/// Makes keys that a Secret can have. Two that become one are an error.
pub(super) fn convert(strategy: &ConversionStrategy, data: Data) -> Result<Data, Cause> {
    let mut converted = Data::new();
    for (key, value) in data {
        let key = converted_key(strategy, &key);
        if converted.contains_key(&key) {
            return Err(Cause::Key { message: format!("secret name collision during conversion: {key}") });
        }
        converted.insert(key, value);
    }
    Ok(converted)
}

fn converted_key(strategy: &ConversionStrategy, key: &str) -> String {
    let convert = |c: char| match strategy {
        _ if is_key_character(c) => c.to_string(),
        ConversionStrategy::Default => "_".into(),
        ConversionStrategy::Unicode => format!("_U{:04x}_", u32::from(c)),
        ConversionStrategy::Other(_) => c.to_string(),
    };
    key.chars().map(convert).collect()
}

/// Refuses keys that no Secret can have. An empty one is dropped, as the original does.
pub(super) fn check(mut data: Data) -> Result<Data, Cause> {
    data.remove("");
    for key in data.keys() {
        if key.len() > KEY_LIMIT {
            let start = &key[..key.floor_char_boundary(KEY_LIMIT)];
            let message =
                format!("key has length {} but max is {KEY_LIMIT}: (following is truncated): {start}", key.len());
            return Err(Cause::Key { message });
        }
        if let Some(c) = key.chars().find(|c| !is_key_character(*c)) {
            let message =
                format!("key has invalid character {c}, only alphanumeric, '-', '.' and '_' are allowed: {key}");
            return Err(Cause::Key { message });
        }
    }
    Ok(data)
}

/// Letters and numbers of all scripts, as Go's `unicode` has them.
fn is_key_character(c: char) -> bool {
    #[expect(clippy::expect_used, reason = "the pattern is a constant")]
    static LETTER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[\p{L}\p{N}]$").expect("a valid pattern"));
    c.is_ascii_alphanumeric()
        || matches!(c, '-' | '.' | '_')
        || (!c.is_ascii() && LETTER.is_match(c.encode_utf8(&mut [0; 4])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(keys: &[&str]) -> Data {
        keys.iter().map(|key| ((*key).to_owned(), Bytes::from(b"v".to_vec()))).collect()
    }

    fn decoded(strategy: DecodingStrategy, value: &str) -> Option<Vec<u8>> {
        decode(&strategy, Bytes::from(value.as_bytes().to_vec())).ok().map(|bytes| bytes.to_vec())
    }

    #[test]
    fn values_are_decoded_as_go_decodes() {
        assert_eq!(decoded(DecodingStrategy::Base64, "aG\nk=\r\n").as_deref(), Some(&b"hi"[..]));
        assert_eq!(decoded(DecodingStrategy::Base64, "aGl="), Some(b"hi".to_vec()), "the last bits are free");
        assert_eq!(decoded(DecodingStrategy::Base64, "aGk"), None, "padding is asked for");
        assert_eq!(decoded(DecodingStrategy::Base64Url, "Zm9vJV8_YmFy"), Some(b"foo%_?bar".to_vec()));
        assert_eq!(decoded(DecodingStrategy::Auto, "Zm9vJV8_YmFy"), Some(b"foo%_?bar".to_vec()));
        assert_eq!(decoded(DecodingStrategy::Auto, "p@ss"), Some(b"p@ss".to_vec()));
        assert_eq!(decoded(DecodingStrategy::Other("Hex".into()), "00"), None);
    }

    #[test]
    fn keys_are_converted_or_refused() {
        let converted = |strategy, keys: &[&str]| {
            convert(&strategy, data(keys)).map(|data| data.into_keys().collect::<Vec<_>>().join(" ")).ok()
        };
        assert_eq!(converted(ConversionStrategy::Default, &["a/b", "é.c", "x"]).as_deref(), Some("a_b x é.c"));
        assert_eq!(converted(ConversionStrategy::Unicode, &["a/b"]).as_deref(), Some("a_U002f_b"));
        assert_eq!(converted(ConversionStrategy::Default, &["a/b", "a:b"]), None);
        assert!(check(data(&["", "a.b"])).is_ok_and(|data| data.len() == 1));
        assert!(check(data(&["a/b"])).is_err());
        assert!(check(data(&["é".repeat(200).as_str()])).is_err());
    }

    #[test]
    fn null_bytes_are_refused_only_where_asked() {
        assert!(check_bytes(&NullBytePolicy::Ignore, "k", b"a\0").is_ok());
        assert!(check_bytes(&NullBytePolicy::Fail, "k", b"a\0").is_err());
    }
}
