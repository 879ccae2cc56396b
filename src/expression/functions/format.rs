//! `'%s'.format([…])`.

use gotemplate::go;
use gotemplate::go::float::Bits;

use super::super::evaluate::Outcome;
use super::super::value::Value;
use super::{LARGEST, time};

/// Digits that a clause may ask for.
const MOST_DIGITS: usize = 1000;

/// Puts values into a text.
pub(super) fn format<'a>(form: &str, values: &[Value<'a>]) -> Outcome<'a> {
    let (mut made, mut rest, mut index) = (String::new(), form, 0_usize);
    while let Some((before, after)) = rest.split_once('%') {
        made.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            made.push('%');
            rest = after;
            continue;
        }
        let value = values.get(index).ok_or_else(|| format!("index {index} out of range"))?;
        if after.is_empty() {
            return Err("unexpected end of string".into());
        }
        let (clause, after) =
            Clause::read(after).map_err(|error| format!("could not parse formatting clause: {error}"))?;
        made.push_str(&clause.show(value).map_err(|error| format!("error during formatting: {error}"))?);
        if made.len() > LARGEST {
            return Err("the result is too large".into());
        }
        (rest, index) = (after, index + 1);
    }
    made.push_str(rest);
    Ok(Value::text(made))
}

/// What stands behind a percent sign.
struct Clause {
    verb: char,
    precision: usize,
}

impl Clause {
    fn read(text: &str) -> Result<(Self, &str), String> {
        let (mut precision, mut rest) = (6, text);
        if let Some(digits) = text.strip_prefix('.') {
            let end = digits.find(|character: char| !character.is_ascii_digit());
            let end = end.ok_or("error while parsing precision: could not find end of precision specifier")?;
            let number = go::number::atoi(&digits[..end]).map_err(|error| {
                let shown = format!("strconv.Atoi: parsing \"{}\": {}", &digits[..end], error.message());
                format!("error while parsing precision: error while converting precision to integer: {shown}")
            })?;
            precision = usize::try_from(number).unwrap_or(MOST_DIGITS).min(MOST_DIGITS);
            rest = &digits[end..];
        }
        let mut characters = rest.chars();
        let verb = characters.next().ok_or("unexpected end of string")?;
        if !"sdfebxXo".contains(verb) {
            return Err(format!("unrecognized formatting clause \"{verb}\""));
        }
        Ok((Self { verb, precision }, characters.as_str()))
    }

    fn show(&self, value: &Value<'_>) -> Result<String, String> {
        let given = value.type_name();
        match self.verb {
            's' => Ok(shown(value)),
            'd' => match value {
                Value::Int(_) | Value::Uint(_) | Value::Double(_) => Ok(shown(value)),
                _ => Err(format!("decimal clause can only be used on ints, uints, and doubles, was given {given}")),
            },
            'f' => self.decimal(value).ok_or_else(|| {
                format!("fixed-point clause can only be used on ints, uints, and doubles, was given {given}")
            }),
            'e' => self.decimal(value).ok_or_else(|| {
                format!("scientific clause can only be used on ints, uints, and doubles, was given {given}")
            }),
            'b' => match value {
                Value::Bool(value) => Ok(u8::from(*value).to_string()),
                _ => digits(value, |size| format!("{size:b}")).ok_or_else(|| {
                    format!("only ints, uints, and bools can be formatted as binary, was given {given}")
                }),
            },
            'o' => digits(value, |size| format!("{size:o}"))
                .ok_or_else(|| format!("octal clause can only be used on ints and uints, was given {given}")),
            verb => hexadecimal(value, verb == 'X').ok_or_else(|| {
                format!("only ints, uints, bytes, and strings can be formatted as hex, was given {given}")
            }),
        }
    }

    /// cel-go hands ints to Go's verbs for floats, which complain within the text.
    fn decimal(&self, value: &Value<'_>) -> Option<String> {
        let complaint =
            |kind: &str, value: String| format!("%!{}({kind}={value:0>width$})", self.verb, width = self.precision);
        match value {
            Value::Int(value) => Some(complaint("int64", value.to_string())),
            Value::Uint(value) => Some(complaint("uint64", value.to_string())),
            Value::Double(value) if !value.is_finite() => Some(shown(&Value::Double(*value))),
            Value::Double(value) => Some(go::float::format(*value, self.verb, Some(self.precision), Bits::B64)),
            _ => None,
        }
    }
}

fn digits(value: &Value<'_>, show: impl Fn(u64) -> String) -> Option<String> {
    match value {
        Value::Int(value) => Some(format!("{}{}", if *value < 0 { "-" } else { "" }, show(value.unsigned_abs()))),
        Value::Uint(value) => Some(show(*value)),
        _ => None,
    }
}

fn hexadecimal(value: &Value<'_>, is_upper: bool) -> Option<String> {
    let bytes = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = match value {
        Value::Text(text) => bytes(text.as_bytes()),
        Value::Bytes(found) => bytes(found),
        number => digits(number, |size| format!("{size:x}"))?,
    };
    Some(if is_upper { text.to_uppercase() } else { text })
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) if value.is_nan() => "NaN".into(),
        Value::Double(value) if value.is_infinite() => (if *value > 0.0 { "Infinity" } else { "-Infinity" }).into(),
        Value::Double(value) => go::float::format(*value, 'f', None, Bits::B64),
        Value::Text(text) => text.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Duration(nanoseconds) => time::show_duration(*nanoseconds),
        Value::Timestamp(at) => time::show(*at),
        Value::Type(name) => (*name).into(),
        Value::Optional(_) => "optional_type".into(),
        Value::List(_) | Value::Array(_) => {
            let texts: Vec<String> = value.elements().unwrap_or_default().iter().map(shown).collect();
            format!("[{}]", texts.join(", "))
        }
        Value::Map(_) | Value::Object(_) => {
            let entries = value.entries().unwrap_or_default();
            let mut texts: Vec<_> = entries.iter().map(|(key, value)| (shown(key), shown(value))).collect();
            texts.sort_by(|one, other| one.0.cmp(&other.0));
            let texts: Vec<String> = texts.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
            format!("{{{}}}", texts.join(", "))
        }
    }
}
