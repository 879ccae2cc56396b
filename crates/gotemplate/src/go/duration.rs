//! Go's `time.Duration`: nanoseconds, written `1h30m` or `1.5s`.

/// Nanoseconds of a second.
pub const SECOND: i64 = 1_000_000_000;

/// Why a text is no duration, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("time: {problem} {}", super::time::quoted(text))]
pub struct DurationError {
    problem: String,
    text: String,
}

/// Reads `[+-]` and one or more decimal numbers, each with a unit of `ns`, `us`, `µs`, `ms`, `s`, `m`, `h`
/// (`time.ParseDuration`). The result is in nanoseconds.
///
/// # Errors
/// When the text has another form, or does not fit into 64 bits.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let fail = |problem: &str| DurationError { problem: problem.into(), text: text.into() };
    let (is_negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(fail("invalid duration"));
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let (part, tail) = part(rest).map_err(|problem| fail(&problem))?;
        total = total.checked_add(part).filter(|total| *total <= 1 << 63).ok_or_else(|| fail("invalid duration"))?;
        rest = tail;
    }
    let limit = if is_negative { 1 << 63 } else { (1 << 63) - 1 };
    if total > limit {
        return Err(fail("invalid duration"));
    }
    Ok(if is_negative { total.cast_signed().wrapping_neg() } else { total.cast_signed() })
}

/// One number with its unit, in nanoseconds, and what follows.
fn part(text: &str) -> Result<(u64, &str), String> {
    let invalid = || "invalid duration".to_owned();
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let length = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(length);
    if unit.is_empty() {
        return Err("missing unit in duration".into());
    }
    // Go finds that a number is too large before it looks at the unit.
    let count: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
    let unit = nanoseconds(unit).ok_or_else(|| format!("unknown unit {} in duration", super::time::quoted(unit)))?;
    if count > (1 << 63) / unit {
        return Err(invalid());
    }
    let total = count * unit + fraction_of(fraction, unit);
    if total > 1 << 63 { Err(invalid()) } else { Ok((total, rest)) }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The part of a unit that the digits after the point make; digits beyond 64 bits do not count.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as Go computes"
)]
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let mut size = 0u64;
    let mut scale = 1f64;
    for digit in digits.bytes() {
        match size.checked_mul(10).and_then(|size| size.checked_add(u64::from(digit - b'0'))).filter(|s| *s <= 1 << 63)
        {
            Some(next) => (size, scale) = (next, scale * 10.0),
            None => break,
        }
    }
    if size == 0 { 0 } else { (size as f64 * (unit as f64 / scale)) as u64 }
}

fn nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// `Duration.String`: `72h3m0.5s`; below a second in the largest fitting unit; `0s`.
pub fn to_string(nanoseconds: i64) -> String {
    let size = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let body = match size {
        0 => "0s".into(),
        1..1_000 => format!("{size}ns"),
        1_000..1_000_000 => with_fraction(size, 3, "µs"),
        1_000_000..1_000_000_000 => with_fraction(size, 6, "ms"),
        _ => {
            let seconds = size / 1_000_000_000;
            let tail = with_fraction(size % 60_000_000_000, 9, "s");
            match (seconds / 3600, seconds / 60 % 60) {
                (0, 0) => tail,
                (0, minutes) => format!("{minutes}m{tail}"),
                (hours, minutes) => format!("{hours}h{minutes}m{tail}"),
            }
        }
    };
    format!("{sign}{body}")
}

/// A number with its last `places` digits behind the point, without trailing zeros.
fn with_fraction(size: u64, places: u32, unit: &str) -> String {
    let scale = 10u64.pow(places);
    let width = usize::try_from(places).unwrap_or(0);
    let fraction = format!("{:0width$}", size % scale);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}{unit}", size / scale)
}

/// `Duration.Truncate`: towards zero to a multiple of `unit`; unchanged when `unit` is not positive.
pub fn truncate(nanoseconds: i64, unit: i64) -> i64 {
    if unit <= 0 { nanoseconds } else { nanoseconds - nanoseconds % unit }
}

/// `Duration.Round`: to the nearest multiple of `unit`, halves away from zero; the extreme value when that overflows.
pub fn round(nanoseconds: i64, unit: i64) -> i64 {
    if unit <= 0 {
        return nanoseconds;
    }
    let rest = nanoseconds % unit;
    let towards_zero = nanoseconds - rest;
    if rest.unsigned_abs() < unit.unsigned_abs() - rest.unsigned_abs() {
        return towards_zero;
    }
    if nanoseconds < 0 { towards_zero.saturating_sub(unit) } else { towards_zero.saturating_add(unit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_go_does() {
        for (text, shown) in [("1h30m", "1h30m0s"), ("1.5h", "1h30m0s"), ("-1m", "-1m0s"), ("5µs", "5µs"), ("0", "0s")]
        {
            assert_eq!(parse(text).map(to_string).as_deref(), Ok(shown));
        }
        let message = |text| parse(text).map_err(|error| error.to_string());
        assert_eq!(message("1"), Err("time: missing unit in duration \"1\"".into()));
        assert_eq!(message("1H"), Err("time: unknown unit \"H\" in duration \"1H\"".into()));
    }
}
