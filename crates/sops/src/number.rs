//! Numbers as Go's `strconv` writes and reads them.

use yaml::float;

/// `FormatFloat(value, 'f', -1, 64)`: all digits, never an exponent.
pub(crate) fn positional(value: f64) -> String {
    float::word(value).map_or_else(|| value.to_string(), str::to_owned)
}

/// Format `G`, and a whole number gets a decimal.
pub(crate) fn upper(value: f64) -> String {
    if let Some(word) = float::word(value) {
        return word.to_owned();
    }
    let text = float::general(value).to_uppercase();
    if text.contains(['.', 'E']) { text } else { format!("{value:.1}") }
}

/// `%v` of bytes.
pub(crate) fn list(bytes: &[u8]) -> String {
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    format!("[{}]", numbers.join(" "))
}

/// `ParseFloat`, without hexadecimal numbers, which sops never writes.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let is_word = text.contains(['n', 'N']);
    (value.is_finite() || is_word).then_some(value)
}

/// `ParseBool`.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        for (value, plain, line) in [
            (1.0, "1", "1.0"),
            (1e21, "1000000000000000000000", "1E+21"),
            (1e23, "100000000000000000000000", "1E+23"),
            (0.1, "0.1", "0.1"),
            (1e-7, "0.0000001", "1E-07"),
            (123_456_789.0, "123456789", "1.23456789E+08"),
            (f64::INFINITY, "+Inf", "+Inf"),
        ] {
            assert_eq!(positional(value), plain);
            assert_eq!(upper(value), line);
        }
    }
}
