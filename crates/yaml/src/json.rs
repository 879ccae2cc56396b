//! JSON as Go's `encoding/json` prints it.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use crate::float;

/// Whether `<`, `>` and `&` become `\u003c`, `\u003e` and `\u0026`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Html {
    /// As `json.Marshal`.
    Escaped,
    /// As an encoder after `SetEscapeHTML(false)`.
    Plain,
}

/// One line without a line break at its end: keys in byte order, numbers as Go writes them.
#[must_use]
pub fn to_string(value: &Value, html: Html) -> String {
    let mut printer = Printer { text: String::new(), html, indent: None, depth: 0 };
    printer.value(value);
    printer.text
}

/// As `json.MarshalIndent(value, "", indent)`.
#[must_use]
pub fn to_string_indent(value: &Value, indent: &str, html: Html) -> String {
    let mut printer = Printer { text: String::new(), html, indent: Some(indent), depth: 0 };
    printer.value(value);
    printer.text
}

/// A number as Go writes it: integers whole, others with as few digits as tell them apart.
#[must_use]
pub fn number(number: &Number) -> String {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(value), _, _) => value.to_string(),
        (_, Some(value), _) => value.to_string(),
        (_, _, Some(value)) if value.is_finite() => float::json(value),
        _ => number.to_string(),
    }
}

/// Appends a text as it stands between the quotes of a JSON string.
pub fn escape(into: &mut String, text: &str, html: Html) {
    let mut rest = text;
    while let Some(at) = rest.find(|character| is_escaped(character, html)) {
        let (clean, from) = rest.split_at(at);
        into.push_str(clean);
        let Some(character) = from.chars().next() else { break };
        escape_character(into, character);
        rest = from.get(character.len_utf8()..).unwrap_or_default();
    }
    into.push_str(rest);
}

fn is_escaped(character: char, html: Html) -> bool {
    match character {
        '\0'..' ' | '"' | '\\' | '\u{2028}' | '\u{2029}' => true,
        '<' | '>' | '&' => html == Html::Escaped,
        _ => false,
    }
}

fn escape_character(into: &mut String, character: char) {
    let short = match character {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\x08' => "\\b",
        '\x0C' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        _ => {
            // Writing to a string cannot fail.
            let _ = write!(into, "\\u{:04x}", u32::from(character));
            return;
        }
    };
    into.push_str(short);
}

struct Printer<'i> {
    text: String,
    html: Html,
    indent: Option<&'i str>,
    depth: usize,
}

impl Printer<'_> {
    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.text.push_str("null"),
            Value::Bool(true) => self.text.push_str("true"),
            Value::Bool(false) => self.text.push_str("false"),
            Value::Number(value) => self.text.push_str(&number(value)),
            Value::String(value) => self.string(value),
            Value::Array(entries) => self.array(entries),
            Value::Object(map) => self.object(map),
        }
    }

    fn array(&mut self, entries: &[Value]) {
        self.text.push('[');
        self.depth += 1;
        for (place, entry) in entries.iter().enumerate() {
            self.separate(place);
            self.value(entry);
        }
        self.close(entries.is_empty(), ']');
    }

    fn object(&mut self, map: &Map<String, Value>) {
        let mut entries: Vec<_> = map.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        self.text.push('{');
        self.depth += 1;
        for (place, (key, value)) in entries.iter().enumerate() {
            self.separate(place);
            self.string(key);
            self.text.push_str(if self.indent.is_some() { ": " } else { ":" });
            self.value(value);
        }
        self.close(entries.is_empty(), '}');
    }

    fn separate(&mut self, place: usize) {
        if place > 0 {
            self.text.push(',');
        }
        self.new_line();
    }

    fn close(&mut self, is_empty: bool, bracket: char) {
        self.depth -= 1;
        if !is_empty {
            self.new_line();
        }
        self.text.push(bracket);
    }

    fn new_line(&mut self) {
        let Some(indent) = self.indent else { return };
        self.text.push('\n');
        for _ in 0..self.depth {
            self.text.push_str(indent);
        }
    }

    fn string(&mut self, value: &str) {
        self.text.push('"');
        escape(&mut self.text, value, self.html);
        self.text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn html_and_separators_are_escaped_and_keys_sorted() {
        let value = json!({"b<": "\u{2028}\x01\x08\"", "a": [1.0, 1e21, {}, []]});
        assert_eq!(to_string(&value, Html::Escaped), r#"{"a":[1,1e+21,{},[]],"b\u003c":"\u2028\u0001\b\""}"#);
        assert_eq!(to_string(&json!("<&>"), Html::Plain), r#""<&>""#);
    }

    #[test]
    fn indentation_leaves_empty_collections_on_one_line() {
        let value = json!({"a": [1, {}], "b": []});
        assert_eq!(
            to_string_indent(&value, "  ", Html::Escaped),
            "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}"
        );
    }
}
