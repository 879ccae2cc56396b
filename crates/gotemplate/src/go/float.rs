//! Go's `strconv.FormatFloat`.

/// Width of the number that is printed; it decides what "shortest" means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// `float32`.
    B32,
    /// `float64`.
    B64,
}

/// `FormatFloat(value, 'g', -1, 64)`: the shortest text that reads back as the value, with an exponent when it is below
/// -4 or above 5.
pub fn shortest(value: f64) -> String {
    format(value, 'g', None, Bits::B64)
}

/// `FormatFloat(value, verb, precision, bits)`; no precision means as many digits as are needed. Verbs are `b`, `e`,
/// `E`, `f`, `g`, `G`, `x` and `X`.
pub fn format(value: f64, verb: char, precision: Option<usize>, bits: Bits) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let size = value.abs();
    let body = match verb {
        'f' => fixed(size, precision, bits),
        'e' | 'E' => exponential(&Digits::new(size, precision.map(|digits| digits + 1), bits), precision, verb),
        'g' | 'G' => general(size, precision, verb, bits),
        'b' => binary(size, bits),
        'x' | 'X' => hexadecimal(size, precision, verb, bits),
        other => return format!("%{other}"),
    };
    format!("{sign}{body}")
}

/// More digits than the exact decimal form of any float has, before or after the point. What follows is zeros; Rust's own
/// precisions end at 65535.
const MOST_DIGITS: usize = 1100;

fn zeros_after(mut text: String, count: usize) -> String {
    text.extend(std::iter::repeat_n('0', count));
    text
}

/// Decimal digits, and the position of the point in them.
struct Digits {
    digits: String,
    point: i32,
}

impl Digits {
    /// The shortest digits, or `count` correctly rounded ones (at least one, and no more than a float can have).
    fn new(size: f64, count: Option<usize>, bits: Bits) -> Self {
        let text = match (count, bits) {
            (Some(count), _) => format!("{:.*e}", count.clamp(1, MOST_DIGITS) - 1, size),
            (None, Bits::B64) => format!("{size:e}"),
            #[expect(clippy::cast_possible_truncation, reason = "the value was a float32")]
            (None, Bits::B32) => format!("{:e}", size as f32),
        };
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let is_zero = digits.bytes().all(|digit| digit == b'0');
        Self { digits, point: if is_zero { 1 } else { exponent + 1 } }
    }

    fn is_zero(&self) -> bool {
        self.digits.bytes().all(|digit| digit == b'0')
    }
}

fn fixed(size: f64, precision: Option<usize>, bits: Bits) -> String {
    match (precision, bits) {
        (Some(precision), _) if precision > MOST_DIGITS => {
            zeros_after(format!("{size:.MOST_DIGITS$}"), precision - MOST_DIGITS)
        }
        (Some(precision), _) => format!("{size:.precision$}"),
        (None, Bits::B64) => format!("{size}"),
        #[expect(clippy::cast_possible_truncation, reason = "the value was a float32")]
        (None, Bits::B32) => format!("{}", size as f32),
    }
}

/// `d.ddde±dd`.
fn exponential(digits: &Digits, precision: Option<usize>, verb: char) -> String {
    let (first, rest) = digits.digits.split_at(1);
    let rest = match precision {
        Some(precision) => zeros_after(rest.to_owned(), precision.saturating_sub(rest.len())),
        None if digits.is_zero() => String::new(),
        None => rest.to_owned(),
    };
    let point = if rest.is_empty() { "" } else { "." };
    let exponent = if digits.is_zero() { 0 } else { digits.point - 1 };
    let letter = if verb.is_uppercase() { 'E' } else { 'e' };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{first}{point}{rest}{letter}{sign}{:02}", exponent.abs())
}

fn general(size: f64, precision: Option<usize>, verb: char, bits: Bits) -> String {
    let count = precision.map(|precision| precision.max(1));
    let mut digits = Digits::new(size, count, bits);
    if count.is_some() {
        digits.digits.truncate(digits.digits.trim_end_matches('0').len().max(1));
    }
    let length = i32::try_from(digits.digits.len()).unwrap_or(i32::MAX);
    let mut limit = count.map_or(SHORTEST_LIMIT, |count| i32::try_from(count).unwrap_or(i32::MAX));
    if precision.is_some() && limit > length && length >= digits.point {
        limit = length;
    }
    let exponent = digits.point - 1;
    if exponent < -4 || exponent >= limit {
        let precision = if count.is_some() { Some(digits.digits.len() - 1) } else { None };
        return exponential(&digits, precision, verb);
    }
    if digits.is_zero() {
        return "0".into();
    }
    plain(&digits)
}

/// From this power of ten on, `'g'` without precision writes an exponent.
const SHORTEST_LIMIT: i32 = 6;

/// The digits with zeros around them and a point where it belongs.
fn plain(digits: &Digits) -> String {
    let text = &digits.digits;
    match usize::try_from(digits.point) {
        Ok(point) if point >= text.len() => zeros_after(text.clone(), point - text.len()),
        Ok(point) if point > 0 => format!("{}.{}", &text[..point], &text[point..]),
        _ => format!("0.{}{text}", "0".repeat(usize::try_from(-digits.point).unwrap_or(0))),
    }
}

/// Mantissa with its leading bit, binary exponent of its last bit, and bits of a full mantissa.
fn parts(size: f64, bits: Bits) -> (u64, i32, u32) {
    match bits {
        Bits::B64 => {
            let raw = size.to_bits();
            let (exponent, mantissa) = (i32::try_from(raw >> 52 & 0x7ff).unwrap_or(0), raw & ((1 << 52) - 1));
            if exponent == 0 { (mantissa, -1074, 52) } else { (mantissa | 1 << 52, exponent - 1075, 52) }
        }
        Bits::B32 => {
            #[expect(clippy::cast_possible_truncation, reason = "the value was a float32")]
            let raw = (size as f32).to_bits();
            let (exponent, mantissa) = (i32::try_from(raw >> 23 & 0xff).unwrap_or(0), u64::from(raw & ((1 << 23) - 1)));
            if exponent == 0 { (mantissa, -149, 23) } else { (mantissa | 1 << 23, exponent - 150, 23) }
        }
    }
}

/// `%b`: the mantissa and the power of two.
fn binary(size: f64, bits: Bits) -> String {
    let (mantissa, exponent, _) = parts(size, bits);
    format!("{mantissa}p{exponent:+}")
}

/// `%x`: a hexadecimal mantissa between one and two, and the power of two.
fn hexadecimal(size: f64, precision: Option<usize>, verb: char, bits: Bits) -> String {
    let (mut mantissa, exponent, width) = parts(size, bits);
    let mut exponent = if mantissa == 0 { 0 } else { exponent + width.cast_signed() };
    // The leading bit at 60, so that fifteen hexadecimal digits follow the point.
    mantissa <<= 60 - width;
    while mantissa != 0 && mantissa >> 60 == 0 {
        mantissa <<= 1;
        exponent -= 1;
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let shift = 60 - 4 * u32::try_from(precision).unwrap_or(0);
        let extra = mantissa & ((1 << shift) - 1);
        mantissa >>= shift;
        let half = 1u64 << (shift - 1);
        if extra > half || (extra == half && mantissa & 1 == 1) {
            mantissa += 1;
        }
        mantissa <<= shift;
        if mantissa >> 61 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let digits = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let digits = match precision {
        Some(precision) if precision < digits.len() => digits[..precision].to_owned(),
        Some(precision) => zeros_after(digits.clone(), precision - digits.len()),
        None => digits.trim_end_matches('0').to_owned(),
    };
    let point = if digits.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    let text = format!("0x{}{point}{digits}p{sign}{:02}", mantissa >> 60, exponent.abs());
    if verb == 'X' { text.to_uppercase() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_go_prints_them() {
        let all = [0.0, 1.0, 1e5, 1e6, 1.5e-7, 0.0001, 123_456_789.0].map(shortest);
        assert_eq!(all, ["0", "1", "100000", "1e+06", "1.5e-07", "0.0001", "1.23456789e+08"]);
        assert_eq!(format(1.5, 'x', None, Bits::B64), "0x1.8p+00");
        assert_eq!(format(2.0, 'b', None, Bits::B64), "4503599627370496p-51");
        assert_eq!(format(100_000.0, 'g', Some(3), Bits::B64), "1e+05");
        assert_eq!(format(2.5, 'e', Some(6), Bits::B64), "2.500000e+00");
    }
}
