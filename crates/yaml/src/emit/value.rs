//! Values without a style of their own.

use std::borrow::Cow;

use serde_json::{Number, Value};

use super::machine::{Content, Scalar};
use super::writer::{Profile, Version};
use super::{Event, Machine, order};
use crate::float;
use crate::node::Style;
use crate::resolve::{self, Resolver};
use crate::value::integral;

pub(super) fn print(value: &Value, profile: Profile) -> String {
    let mut machine = Machine::new(profile);
    machine.start_document("");
    machine.print(value);
    machine.end_document("");
    machine.finish()
}

impl<'v> Machine<'v> {
    fn print(&mut self, value: &'v Value) {
        match value {
            Value::Null => self.plain(Cow::Borrowed("null")),
            Value::Bool(true) => self.plain(Cow::Borrowed("true")),
            Value::Bool(false) => self.plain(Cow::Borrowed("false")),
            Value::Number(value) => self.plain(Cow::Owned(number(value, self.version()))),
            Value::String(text) => self.string(text),
            Value::Array(entries) => {
                self.emit(Event::of(Content::Sequence { flow: false, is_empty: entries.is_empty() }));
                for entry in entries {
                    self.print(entry);
                }
                self.emit(Event::of(Content::SequenceEnd));
            }
            Value::Object(map) => {
                self.emit(Event::of(Content::Mapping { flow: false, is_empty: map.is_empty() }));
                let mut entries: Vec<_> = map.iter().map(|(key, value)| (key.as_str(), value)).collect();
                match self.is_natural() {
                    true => order::sort(&mut entries, self.version()),
                    false => entries.sort_by_key(|(key, _)| *key),
                }
                for (key, value) in entries {
                    self.string(key);
                    self.print(value);
                }
                self.emit(Event::of(Content::MappingEnd));
            }
        }
    }

    fn plain(&mut self, text: Cow<'v, str>) {
        self.emit(Event::of(Content::Scalar(Scalar { text, style: Style::Plain })));
    }

    fn string(&mut self, text: &'v str) {
        let text = match self.version() {
            Version::V2 => fold_next_lines(text),
            Version::V3 => Cow::Borrowed(text),
        };
        let style = style(&text, self.version());
        self.emit(Event::of(Content::Scalar(Scalar { text, style })));
    }
}

/// How a string is written.
pub(super) fn style(text: &str, version: Version) -> Style {
    if text.contains('\n') {
        Style::Literal
    } else if is_plain_string(text, version) {
        Style::Plain
    } else {
        Style::DoubleQuoted
    }
}

/// What becomes of U+0085 (next line): JSON leaves it as it is, and Go reads its own JSON as YAML, where it is a line
/// break that folds into a space.
fn fold_next_lines(text: &str) -> Cow<'_, str> {
    const NEXT_LINE: char = '\u{85}';
    if !text.contains(NEXT_LINE) {
        return Cow::Borrowed(text);
    }
    let mut folded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(NEXT_LINE) {
        let (before, after) = rest.split_at(at);
        folded.push_str(before.trim_end_matches(' '));
        let gap = after.len() - after.trim_start_matches([NEXT_LINE, ' ']).len();
        let (gap, after) = after.split_at(gap);
        match gap.matches(NEXT_LINE).count() {
            1 => folded.push(' '),
            breaks => folded.extend(std::iter::repeat_n('\n', breaks - 1)),
        }
        rest = after;
    }
    folded.push_str(rest);
    Cow::Owned(folded)
}

/// Whether the text, written plain, is read as a string by the library, and by older ones.
fn is_plain_string(text: &str, version: Version) -> bool {
    let resolver = match version {
        Version::V2 => Resolver::V2,
        Version::V3 => Resolver::V3,
    };
    resolve::is_string(text, resolver) && !is_base_60(text) && resolve::old_bool(text).is_none()
}

/// Whether YAML 1.1 would read a number in base 60, such as `1:30`.
fn is_base_60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let Some((head, rest)) = unsigned.split_once(':') else { return false };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let (parts, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let is_part = |part: &str| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    head.starts_with(|first: char| first.is_ascii_digit())
        && is_digits(head)
        && is_digits(fraction)
        && parts.split(':').all(is_part)
}

/// On its way to yaml.v2 a number passes through JSON, which writes a whole one as an integer up to 1e21.
fn number(number: &Number, version: Version) -> String {
    if number.is_i64() || number.is_u64() {
        return number.to_string();
    }
    match (number.as_f64(), version) {
        (Some(0.0), Version::V2) => "0".to_owned(),
        (Some(value), Version::V2) => integral(value).map_or_else(|| float::general(value), |whole| whole.to_string()),
        (Some(value), Version::V3) => float::general(value),
        (None, _) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{to_kyaml, to_yaml};

    #[test]
    fn whole_numbers_are_integers_behind_json_alone() {
        let value = json!([1e6, 1e20, 1.5, u64::MAX, -0.0]);
        assert_eq!(to_yaml(&value), "- 1000000\n- 1e+20\n- 1.5\n- 18446744073709551615\n- 0\n");
        assert_eq!(to_kyaml(&value), "- 1e+06\n- 1e+20\n- 1.5\n- 18446744073709551615\n- -0\n");
    }

    #[test]
    fn next_line_characters_fold_as_in_go() {
        assert_eq!(to_yaml(&json!(" a \u{85} b\u{85}\u{85}c")), "|2-\n   a b\n  c\n");
        assert_eq!(to_yaml(&json!("\u{85}x")), "' x'\n");
        assert_eq!(to_kyaml(&json!("\u{85}x")), "\"\\Nx\"\n");
    }

    #[test]
    fn texts_that_older_readers_take_for_something_else_are_quoted() {
        for text in ["y", "014", "1:30", "+1:2:3.4_5", "2001-01-01", "null", "", "0b1"] {
            assert_eq!(to_yaml(&json!(text)), format!("\"{text}\"\n"));
            assert_eq!(to_kyaml(&json!(text)), format!("\"{text}\"\n"));
        }
        for text in ["<<", "=", "1:90", "1:3:x", "_1:2", "1.2.3"] {
            assert_eq!(to_yaml(&json!(text)), format!("{text}\n"), "{text}");
        }
    }
}
