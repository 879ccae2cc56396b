//! Durations and times as Go writes them in objects.

use std::time::Duration as Span;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::field::Field;

/// Go's units in nanoseconds.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A Go duration such as `1h30m`. Its text is kept, so that what was read is written back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duration {
    text: String,
    nanoseconds: i64,
}

impl Duration {
    /// Reads Go's notation: a sign, then numbers with a unit each (`h`, `m`, `s`, `ms`, `us`, `ns`); or `0`.
    ///
    /// # Errors
    /// When the text is something else, or longer than 292 years.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let length = if unsigned == "0" { Some(0) } else { sum(unsigned) };
        let signed = length.map(|length| if text.starts_with('-') { -length } else { length });
        let nanoseconds = signed.and_then(|signed| i64::try_from(signed).ok()).ok_or(DurationError)?;
        Ok(Self { text: text.to_owned(), nanoseconds })
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its length; none when it is negative.
    pub fn span(&self) -> Span {
        Span::from_nanos(u64::try_from(self.nanoseconds).unwrap_or_default())
    }
}

/// The sum of the parts of a duration without sign; `None` when one is malformed.
fn sum(mut rest: &str) -> Option<i128> {
    let mut total = 0_i128;
    loop {
        let (part, after) = first_part(rest)?;
        total = total.checked_add(part)?;
        rest = after;
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// The length of the first part, and what follows it.
fn first_part(text: &str) -> Option<(i128, &str)> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(number_end);
    let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    Some((whole.checked_mul(*unit)?.checked_add(fraction_of(fraction, *unit))?, rest))
}

/// The digits after a point, as nanoseconds; what is below one nanosecond is cut off, as in Go.
fn fraction_of(digits: &str, unit: i128) -> i128 {
    let digits = digits.bytes().take(18);
    let (value, scale) =
        digits.fold((0, 1), |(value, scale), digit| (value * 10 + i128::from(digit - b'0'), scale * 10));
    value * unit / scale
}

impl From<Span> for Duration {
    /// A duration as Go prints it, such as `1h0m0s` or `1.5ms`.
    fn from(span: Span) -> Self {
        let nanoseconds = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        Self { text: printed(nanoseconds), nanoseconds }
    }
}

fn printed(nanoseconds: i64) -> String {
    let (seconds, below) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    match nanoseconds {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => decimal(nanoseconds / 1_000, nanoseconds % 1_000, 3) + "\u{b5}s",
        1_000_000..1_000_000_000 => decimal(nanoseconds / 1_000_000, nanoseconds % 1_000_000, 6) + "ms",
        _ => {
            let hours = if seconds >= 3600 { format!("{}h", seconds / 3600) } else { String::new() };
            let minutes = if seconds >= 60 { format!("{}m", seconds / 60 % 60) } else { String::new() };
            format!("{hours}{minutes}{}s", decimal(seconds % 60, below, 9))
        }
    }
}

fn decimal(whole: i64, fraction: i64, digits: usize) -> String {
    let text = format!("{whole}.{fraction:0digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Default for Duration {
    fn default() -> Self {
        Self::from(Span::ZERO)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Field for Duration {}

/// Why a text is no duration. The text is left out: it comes from the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a duration such as 1h30m")]
pub struct DurationError;

/// A point in time as Kubernetes writes it: RFC 3339, UTC, whole seconds.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(String);

impl Time {
    /// The text as it stands in the object.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The point in time; `None` when it was never set or is malformed.
    pub fn timestamp(&self) -> Option<jiff::Timestamp> {
        self.0.parse().ok()
    }
}

impl From<jiff::Timestamp> for Time {
    fn from(timestamp: jiff::Timestamp) -> Self {
        Self(timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    }
}

impl Field for Time {
    fn is_blank(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_reads_as_in_go() {
        let seconds = |text| Duration::parse(text).map(|duration| duration.span().as_secs_f64());
        for (text, expected) in [
            ("1h30m", 5400.0),
            ("0", 0.0),
            ("1.5h", 5400.0),
            (".5s", 0.5),
            ("1.s", 1.0),
            ("300ms", 0.3),
            ("-1m", 0.0),
            ("+2s", 2.0),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "",
            "1",
            "1x",
            ".s",
            "1.2.3s",
            "h",
            "s1",
            "-",
            "1h ",
            "300000h300000h3000000h",
            "1\u{661}s",
            "00000000000000000000000000000000000000000000000000000000000000001d",
        ] {
            assert_eq!(Duration::parse(text), Err(DurationError), "{text}");
        }
    }

    #[test]
    fn a_duration_prints_as_in_go() {
        for (nanoseconds, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1\u{b5}s"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (60_000_000_000, "1m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (245_000_000_000, "4m5s"),
            (3_661_001_000_000, "1h1m1.001s"),
        ] {
            assert_eq!(Duration::from(Span::from_nanos(nanoseconds)).as_str(), expected);
        }
    }

    #[test]
    fn a_time_is_cut_to_seconds() {
        let timestamp: jiff::Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        assert_eq!(Time::from(timestamp).as_str(), "2026-01-02T03:04:05Z");
        assert_eq!(Time::default().timestamp(), None);
    }
}
