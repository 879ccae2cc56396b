//! Go's layouts: the reference time `Mon Jan 2 15:04:05 MST 2006`, cut into its elements.

/// An element of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    LongMonth,
    Month,
    NumberMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperHalf,
    LowerHalf,
    ZoneName,
    Offset(Offset),
    /// Digits of a second after `.` or `,`; trailing zeros kept or not.
    Fraction {
        separator: u8,
        digits: usize,
        keeps_zeros: bool,
    },
}

/// How an offset is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offset {
    /// `Z` for UTC.
    pub(super) is_iso: bool,
    pub(super) has_colon: bool,
    pub(super) has_minutes: bool,
    pub(super) has_seconds: bool,
}

const MINUTES: Offset = Offset { is_iso: false, has_colon: false, has_minutes: true, has_seconds: false };
const SECONDS: Offset = Offset { has_seconds: true, ..MINUTES };
const HOURS: Offset = Offset { has_minutes: false, ..MINUTES };

/// Offsets by their spelling after `-` or `Z`; a longer one before those that it begins with.
const OFFSETS: [(&str, Offset); 5] = [
    ("070000", SECONDS),
    ("07:00:00", Offset { has_colon: true, ..SECONDS }),
    ("0700", MINUTES),
    ("07:00", Offset { has_colon: true, ..MINUTES }),
    ("07", HOURS),
];

/// What comes before the first element, the element with its spelling, and what follows. Without an element the
/// whole layout comes first.
pub(super) fn next(layout: &str) -> (&str, Option<(Element, &str)>, &str) {
    let bytes = layout.as_bytes();
    for at in 0..bytes.len() {
        if let Some((element, skip, length)) = element_at(bytes, at) {
            let (prefix, rest) = layout.split_at(at + skip);
            let (spelled, suffix) = rest.split_at(length);
            return (prefix, Some((element, spelled)), suffix);
        }
    }
    (layout, None, "")
}

/// The element at a position, the bytes before it that are text after all, and its length.
fn element_at(bytes: &[u8], at: usize) -> Option<(Element, usize, usize)> {
    let rest = &bytes[at..];
    let found = |element, length| Some((element, 0, length));
    match rest[0] {
        b'J' | b'M' => name(rest).and_then(|(element, length)| found(element, length)),
        b'0' => zero_element(rest).and_then(|(element, length)| found(element, length)),
        b'1' if rest.get(1) == Some(&b'5') => found(Element::Hour, 2),
        b'1' => found(Element::NumberMonth, 1),
        b'2' if rest.starts_with(b"2006") => found(Element::LongYear, 4),
        b'2' => found(Element::Day, 1),
        b'_' if rest.starts_with(b"_2006") => Some((Element::LongYear, 1, 4)),
        b'_' if rest.starts_with(b"_2") => found(Element::UnderDay, 2),
        b'_' if rest.starts_with(b"__2") => found(Element::UnderYearDay, 3),
        b'3' => found(Element::Hour12, 1),
        b'4' => found(Element::Minute, 1),
        b'5' => found(Element::Second, 1),
        b'P' if rest.starts_with(b"PM") => found(Element::UpperHalf, 2),
        b'p' if rest.starts_with(b"pm") => found(Element::LowerHalf, 2),
        first @ (b'-' | b'Z') => {
            let (text, offset) = OFFSETS.iter().find(|(text, _)| rest[1..].starts_with(text.as_bytes()))?;
            found(Element::Offset(Offset { is_iso: first == b'Z', ..*offset }), text.len() + 1)
        }
        b'.' | b',' => fraction(rest).and_then(|(element, length)| found(element, length)),
        _ => None,
    }
}

fn name(rest: &[u8]) -> Option<(Element, usize)> {
    let is_word = |length: usize| !rest.get(length).is_some_and(u8::is_ascii_lowercase);
    match rest {
        _ if rest.starts_with(b"January") => Some((Element::LongMonth, 7)),
        _ if rest.starts_with(b"Jan") && is_word(3) => Some((Element::Month, 3)),
        _ if rest.starts_with(b"Monday") => Some((Element::LongWeekday, 6)),
        _ if rest.starts_with(b"Mon") && is_word(3) => Some((Element::Weekday, 3)),
        _ if rest.starts_with(b"MST") => Some((Element::ZoneName, 3)),
        _ => None,
    }
}

fn zero_element(rest: &[u8]) -> Option<(Element, usize)> {
    let element = match rest.get(1)? {
        b'1' => Element::ZeroMonth,
        b'2' => Element::ZeroDay,
        b'3' => Element::ZeroHour12,
        b'4' => Element::ZeroMinute,
        b'5' => Element::ZeroSecond,
        b'6' => Element::Year,
        _ if rest.starts_with(b"002") => return Some((Element::ZeroYearDay, 3)),
        _ => return None,
    };
    Some((element, 2))
}

/// `.000` or `.999`: one digit repeated, with no other digit after it.
fn fraction(rest: &[u8]) -> Option<(Element, usize)> {
    let digit = *rest.get(1).filter(|digit| matches!(digit, b'0' | b'9'))?;
    let digits = rest[1..].iter().take_while(|byte| **byte == digit).count();
    if rest.get(1 + digits).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    Some((Element::Fraction { separator: rest[0], digits, keeps_zeros: digit == b'0' }, 1 + digits))
}
