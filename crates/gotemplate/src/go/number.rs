//! Go's `strconv`: text to numbers.

/// Why a text is no number of the wanted type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// Not a number at all.
    Syntax,
    /// Too large for the type.
    Range,
}

impl NumberError {
    /// Go's words.
    pub fn message(self) -> &'static str {
        match self {
            Self::Syntax => "invalid syntax",
            Self::Range => "value out of range",
        }
    }
}

/// `strconv.ParseUint(text, radix, 64)`; radix 0 reads the prefixes `0x`, `0o`, `0b`, `0` and underscores.
///
/// # Errors
/// When the text is no such number.
pub fn parse_uint(text: &str, radix: u32) -> Result<u64, NumberError> {
    if radix == 0 && text.contains('_') {
        return if underscores_are_good(text) {
            parse_uint(&text.replace('_', ""), 0)
        } else {
            Err(NumberError::Syntax)
        };
    }
    let (radix, digits) = if radix == 0 { prefix(text)? } else { (radix, text) };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(NumberError::Syntax);
    }
    u64::from_str_radix(digits, radix).map_err(|_| NumberError::Range)
}

/// `strconv.ParseInt(text, radix, 64)`; see [`parse_uint`].
///
/// # Errors
/// When the text is no such number.
pub fn parse_int(text: &str, radix: u32) -> Result<i64, NumberError> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let size = parse_uint(digits, radix)?;
    if negative { 0i64.checked_sub_unsigned(size) } else { i64::try_from(size).ok() }.ok_or(NumberError::Range)
}

/// `strconv.Atoi`.
///
/// # Errors
/// When the text is no decimal number that fits.
pub fn atoi(text: &str) -> Result<i64, NumberError> {
    parse_int(text, 10)
}

fn prefix(text: &str) -> Result<(u32, &str), NumberError> {
    let lower = text.get(..2).map(str::to_ascii_lowercase);
    let rest = text.get(2..).unwrap_or_default();
    match lower.as_deref() {
        Some("0x") => Ok((16, rest)),
        Some("0o") => Ok((8, rest)),
        Some("0b") => Ok((2, rest)),
        _ if text.starts_with('0') && text.len() > 1 => Ok((8, &text[1..])),
        _ if text.is_empty() => Err(NumberError::Syntax),
        _ => Ok((10, text)),
    }
}

/// Whether each underscore stands between digits; one may follow a base prefix.
fn underscores_are_good(text: &str) -> bool {
    let bytes = text.strip_prefix(['+', '-']).unwrap_or(text).as_bytes();
    let is_prefixed = bytes.len() >= 2 && bytes[0] == b'0' && matches!(bytes[1] | 0x20, b'x' | b'o' | b'b');
    let is_hex = is_prefixed && bytes[1] | 0x20 == b'x';
    let mut previous = if is_prefixed { b'0' } else { b'^' };
    for byte in &bytes[if is_prefixed { 2 } else { 0 }..] {
        let is_digit = byte.is_ascii_digit() || (is_hex && byte.is_ascii_hexdigit());
        let kind = if is_digit { b'0' } else { *byte };
        if (kind == b'_' && previous != b'0') || (previous == b'_' && !is_digit) {
            return false;
        }
        previous = if is_digit || kind == b'_' { kind } else { b'!' };
    }
    previous != b'_'
}

/// `strconv.ParseFloat(text, 64)`: decimal and hexadecimal floats, underscores, `inf` and `nan`.
///
/// # Errors
/// When the text is no number, or too large.
pub fn parse_float(text: &str) -> Result<f64, NumberError> {
    let plain = if text.contains('_') {
        if !underscores_are_good(text) {
            return Err(NumberError::Syntax);
        }
        text.replace('_', "")
    } else {
        text.to_owned()
    };
    let lower = plain.to_ascii_lowercase();
    let unsigned = lower.trim_start_matches(['+', '-']);
    if unsigned.len() + 1 < lower.len() {
        return Err(NumberError::Syntax);
    }
    if let Some(digits) = unsigned.strip_prefix("0x") {
        let size = hexadecimal(digits).ok_or(NumberError::Syntax)?;
        return finite(if lower.starts_with('-') { -size } else { size });
    }
    if matches!(unsigned, "inf" | "infinity" | "nan") {
        return lower.parse().map_err(|_| NumberError::Syntax);
    }
    finite(lower.parse().map_err(|_| NumberError::Syntax)?)
}

fn finite(value: f64) -> Result<f64, NumberError> {
    if value.is_finite() { Ok(value) } else { Err(NumberError::Range) }
}

/// `1.8p3`: hexadecimal digits, and a binary exponent that must be there.
#[expect(clippy::cast_precision_loss, reason = "digits beyond the mantissa do not count")]
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let exponent: i32 = exponent.parse().ok().filter(|_| !exponent.is_empty())?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    let mut shift = 0i32;
    for digit in digits.chars() {
        let digit = u64::from(digit.to_digit(16)?);
        if value >> 60 == 0 { value = value << 4 | digit } else { shift += 4 }
    }
    let shift = shift - 4 * i32::try_from(fraction.len()).ok()?;
    Some(value as f64 * 2f64.powi(exponent.saturating_add(shift)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_underscores_are_read_as_go_reads_them() {
        let read = |text| parse_int(text, 0);
        assert_eq!(
            [read("0x1F"), read("0o17"), read("017"), read("0b101"), read("1_000")],
            [31, 15, 15, 5, 1000].map(Ok)
        );
        assert_eq!(read("1__0"), Err(NumberError::Syntax));
        assert_eq!(read("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(read("9223372036854775808"), Err(NumberError::Range));
        assert_eq!(parse_float("0x1.8p1"), Ok(3.0));
        assert_eq!(parse_float("1e400"), Err(NumberError::Range));
    }
}
