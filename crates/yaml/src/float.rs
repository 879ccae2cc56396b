//! Floating-point numbers as Go's `strconv.FormatFloat` writes them, with as few digits as tell them apart.

use std::fmt::Write as _;

/// The digits of a number and where its point is: `0.digits * 10^point`.
struct Decimal {
    negative: bool,
    digits: String,
    point: i32,
}

impl Decimal {
    /// Reads Rust's `-1.25e7`, which has the same shortest digits.
    fn new(scientific: &str) -> Self {
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let negative = mantissa.starts_with('-');
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        Decimal { negative, digits, point: exponent + 1 }
    }

    fn exponent(&self) -> i32 {
        self.point - 1
    }

    /// `1.25e+07`, with at least `width` digits of the exponent.
    fn scientific(&self, width: usize) -> String {
        let (first, rest) = self.digits.split_at(1);
        let mut text = String::from(if self.negative { "-" } else { "" });
        text.push_str(first);
        if !rest.is_empty() {
            text.push('.');
            text.push_str(rest);
        }
        let exponent = self.exponent();
        let sign = if exponent < 0 { '-' } else { '+' };
        // Writing to a string cannot fail.
        let _ = write!(text, "e{sign}{:0width$}", exponent.unsigned_abs());
        text
    }

    /// `12500000` or `0.00125`
    fn positional(&self) -> String {
        let mut text = String::from(if self.negative { "-" } else { "" });
        let point = usize::try_from(self.point).unwrap_or(0);
        if self.point <= 0 {
            text.push_str("0.");
            text.extend(std::iter::repeat_n('0', self.point.unsigned_abs() as usize));
            text.push_str(&self.digits);
        } else if point >= self.digits.len() {
            text.push_str(&self.digits);
            text.extend(std::iter::repeat_n('0', point - self.digits.len()));
        } else {
            text.push_str(&self.digits[..point]);
            text.push('.');
            text.push_str(&self.digits[point..]);
        }
        text
    }
}

/// Format `g`, which is also `fmt`'s `%v`.
#[must_use]
pub fn general(value: f64) -> String {
    general_or_word(value, || Decimal::new(&format!("{value:e}")))
}

/// Format `g` of the nearest number of 32 bits, as `sigs.k8s.io/yaml` writes keys.
pub(crate) fn general_32(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "Go rounds to 32 bits here")]
    let narrow = value as f32;
    // A number too large for 32 bits is infinite here.
    general_or_word(f64::from(narrow), || Decimal::new(&format!("{narrow:e}")))
}

fn general_or_word(value: f64, decimal: impl FnOnce() -> Decimal) -> String {
    if let Some(word) = word(value) {
        return word.to_owned();
    }
    let decimal = decimal();
    match decimal.exponent() {
        -4..6 => decimal.positional(),
        _ => decimal.scientific(2),
    }
}

/// Go's word for what is no number, or none that ends.
#[must_use]
pub fn word(value: f64) -> Option<&'static str> {
    match value {
        f64::INFINITY => Some("+Inf"),
        f64::NEG_INFINITY => Some("-Inf"),
        _ if value.is_nan() => Some("NaN"),
        _ => None,
    }
}

/// As `encoding/json` writes a finite number.
#[must_use]
pub fn json(value: f64) -> String {
    let decimal = Decimal::new(&format!("{value:e}"));
    match decimal.exponent() {
        -6..21 => decimal.positional(),
        _ => decimal.scientific(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn general_form_is_scientific_from_a_million_on() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (123_456.0, "123456"),
            (1_234_567.0, "1.234567e+06"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (-1.5e300, "-1.5e+300"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(general(value), expected);
        }
        assert_eq!(general_32(0.1), "0.1");
        assert_eq!(general_32(1.23456789), "1.2345679");
    }

    #[test]
    fn json_form_is_scientific_beyond_a_thousand_trillion_million() {
        for (value, expected) in
            [(1e20, "100000000000000000000"), (1e21, "1e+21"), (1e-6, "0.000001"), (1e-7, "1e-7"), (12.5, "12.5")]
        {
            assert_eq!(json(value), expected);
        }
    }
}
