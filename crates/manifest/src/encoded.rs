//! Bytes in objects, such as the values of a Secret's `data`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Base64 as the API server reads it: line breaks are passed over, and kustomize writes some into long values.
///
/// # Errors
/// Where it is wrong, line breaks not counted.
pub fn decoded(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    if text.contains(['\n', '\r']) {
        let flat: String = text.split(['\n', '\r']).collect();
        return STANDARD.decode(flat);
    }
    STANDARD.decode(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_are_passed_over_and_blanks_are_not() {
        assert_eq!(decoded("aGVs\nbG8=\r\n").as_deref(), Ok(b"hello".as_slice()));
        assert!(decoded("aGVs bG8=").is_err());
    }
}
