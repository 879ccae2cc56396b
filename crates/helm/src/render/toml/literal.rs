//! Numbers and times of TOML, and why a text is none, in the package's words.

use gotemplate::go;
use gotemplate::go::number::{NumberError, parse_float, parse_int};
use gotemplate::go::time::{self, Time, Zone};

pub(super) fn integer(text: &str) -> Result<i64, String> {
    let shown = go::quote::quote(text.as_bytes());
    if !has_good_underscores(text) {
        return Err(format!("Invalid integer {shown}: underscores must be surrounded by digits"));
    }
    if has_leading_zero(text) {
        return Err(format!("Invalid integer {shown}: cannot have leading zeroes"));
    }
    parse_int(text, 0).map_err(|_| format!("{text} is out of range for int64"))
}

pub(super) fn float(text: &str) -> Result<f64, String> {
    let shown = go::quote::quote(text.as_bytes());
    let parts: Vec<&str> = text.split(['.', 'e', 'E']).filter(|part| !part.is_empty()).collect();
    if !parts.iter().all(|part| has_good_underscores(part)) {
        return Err(format!("Invalid float {shown}: underscores must be surrounded by digits"));
    }
    if parts.first().is_some_and(|first| has_leading_zero(first)) {
        return Err(format!("Invalid float {shown}: cannot have leading zeroes"));
    }
    let mut after_points = text.split('.').skip(1);
    if !after_points.all(|part| part.starts_with(|c: char| c.is_ascii_digit())) {
        return Err(format!("Invalid float {shown}: '.' must be followed by one or more digits"));
    }
    let digits = text.replace('_', "");
    match digits.as_str() {
        "+nan" | "nan" => return Ok(f64::NAN),
        "-nan" => return Ok(-f64::NAN),
        _ => {}
    }
    parse_float(&digits).map_err(|error| match error {
        NumberError::Range => format!("{text} is out of range for float64"),
        NumberError::Syntax => format!("Invalid float value: {shown}"),
    })
}

/// Whether a number begins with a zero that it must not have.
fn has_leading_zero(text: &str) -> bool {
    match text.as_bytes() {
        [b'0', second, ..] => !matches!(second, b'b' | b'o' | b'x'),
        [b'-' | b'+', b'0', _, ..] => true,
        _ => false,
    }
}

/// Whether each underscore has a digit before and after it.
fn has_good_underscores(text: &str) -> bool {
    if matches!(text.trim_start_matches(['+', '-']), "nan" | "inf") {
        return true;
    }
    let mut accepts = false;
    for c in text.chars() {
        if c == '_' && !accepts {
            return false;
        }
        accepts = c.is_ascii_hexdigit();
    }
    accepts
}

/// The forms of a time, and what the zone of one without an offset is called.
const FORMS: [(&str, &str); 7] = [
    ("2006-01-02T15:04:05.999999999Z07:00", ""),
    ("2006-01-02T15:04:05.999999999", super::LOCAL_TIMES[0].0),
    ("2006-01-02", super::LOCAL_TIMES[1].0),
    ("15:04:05.999999999", super::LOCAL_TIMES[2].0),
    ("2006-01-02T15:04Z07:00", ""),
    ("2006-01-02T15:04", super::LOCAL_TIMES[0].0),
    ("15:04", super::LOCAL_TIMES[2].0),
];

/// A time with the letters that its forms have.
pub(super) fn normal_time(text: &str) -> String {
    text.replace('z', "Z").replace(['t', ' '], "T")
}

pub(super) fn instant(text: &str) -> Option<Time> {
    let text = normal_time(text);
    let (time, form) = FORMS.iter().find_map(|(form, zone)| {
        let zone = if zone.is_empty() { Zone::Utc } else { Zone::Fixed(0, (*zone).to_owned()) };
        Some((time::parse(form, &text, &zone).ok()?, form))
    })?;
    (!lacks_a_zero(&text, form)).then_some(time)
}

/// Whether a part is shorter than it should be, which Go's times allow.
fn lacks_a_zero(text: &str, form: &str) -> bool {
    let signs = form.bytes().enumerate().take_while(|(_, sign)| !matches!(sign, b'.' | b'Z'));
    signs.filter(|(_, sign)| !sign.is_ascii_digit()).any(|(at, sign)| text.as_bytes().get(at) != Some(&sign))
}
