//! TOML as the `BurntSushi/toml` package prints and reads it.

mod literal;
mod parse;
mod scan;

use gotemplate::go::time::Zone;
use gotemplate::{Float, Host, MAX_DEPTH, Map, Value, go};

pub(super) use parse::parse;

/// How times without an offset print, by the name that their zone has.
const LOCAL_TIMES: [(&str, &str); 3] = [
    ("datetime-local", "2006-01-02T15:04:05.999999999"),
    ("date-local", "2006-01-02"),
    ("time-local", "15:04:05.999999999"),
];

/// Prints a map.
///
/// # Errors
/// The package's words for what TOML cannot hold.
pub(super) fn print(value: &Value) -> Result<String, String> {
    let mut printer = Printer { out: String::new() };
    match value {
        Value::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".into()),
        value => printer.entry(&[], value)?,
    }
    Ok(printer.out)
}

struct Printer {
    out: String,
}

const NIL_ELEMENT: &str = "toml: cannot encode array with nil element";
const NO_KEY: &str = "toml: top-level values must be Go maps or structs";

fn is_table(value: &Value) -> bool {
    matches!(value, Value::Map(map) if !map.is_nil())
}

/// Whether all elements of a list are tables.
fn is_table_list(value: &Value) -> Result<bool, String> {
    let Value::List(list) = value else { return Ok(false) };
    if list.items().iter().any(Value::is_nil) {
        return Err(NIL_ELEMENT.into());
    }
    Ok(!list.items().is_empty() && list.items().iter().all(is_table))
}

impl Printer {
    fn entry(&mut self, key: &[String], value: &Value) -> Result<(), String> {
        if key.len() > MAX_DEPTH {
            return Err("toml: nested too deeply".into());
        }
        match value {
            Value::Nil => Ok(()),
            Value::Map(map) if map.is_nil() => Ok(()),
            Value::Map(map) => self.table(key, map),
            Value::List(list) if is_table_list(value)? => self.table_list(key, list.items()),
            value => self.line(key, value),
        }
    }

    fn line(&mut self, key: &[String], value: &Value) -> Result<(), String> {
        // A value alone is no document of TOML, but it is printed.
        let Some(name) = key.last() else { return self.element(value, 0) };
        self.out.push_str(&format!("{}{} = ", indent(key), quoted_key(name)));
        self.element(value, 0)?;
        self.out.push('\n');
        Ok(())
    }

    fn newline(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    fn table(&mut self, key: &[String], map: &Map) -> Result<(), String> {
        if key.len() == 1 {
            self.newline();
        }
        if !key.is_empty() {
            self.out.push_str(&format!("{}[{}]\n", indent(key), joined(key)));
        }
        self.entries(key, map)
    }

    fn table_list(&mut self, key: &[String], items: &[Value]) -> Result<(), String> {
        if key.is_empty() {
            return Err(NO_KEY.into());
        }
        for item in items {
            self.newline();
            self.out.push_str(&format!("{}[[{}]]\n", indent(key), joined(key)));
            if let Value::Map(map) = item {
                self.entries(key, map)?;
            }
        }
        Ok(())
    }

    /// Plain values first, tables after them.
    fn entries(&mut self, key: &[String], map: &Map) -> Result<(), String> {
        let entries = map.entries();
        let mut tables = Vec::new();
        for (name, value) in entries.iter() {
            if is_table(value) || is_table_list(value)? {
                tables.push((name, value));
            } else {
                self.named(key, name, value)?;
            }
        }
        tables.into_iter().try_for_each(|(name, value)| self.named(key, name, value))
    }

    fn named(&mut self, key: &[String], name: &gotemplate::Text, value: &Value) -> Result<(), String> {
        let mut path = key.to_vec();
        path.push(name.to_str().into_owned());
        self.entry(&path, value)
    }

    /// A value on one line.
    fn element(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("toml: nested too deeply".into());
        }
        match value {
            Value::Bool(value) => self.out.push_str(&value.to_string()),
            Value::Int(value, _) => self.out.push_str(&value.to_string()),
            Value::Uint(value, _) => self.out.push_str(&value.to_string()),
            Value::Float(value, float) => self.out.push_str(&number(*value, *float)),
            Value::String(text) => self.out.push_str(&quoted(&text.to_str())),
            Value::Number(text) => self.out.push_str(&text.to_str()),
            Value::Duration(duration) => self.out.push_str(&quoted(&go::duration::to_string(*duration))),
            Value::Time(time) => self.out.push_str(&time.format(layout(time.zone()))),
            Value::List(list) => self.inline_list(list.items(), depth)?,
            Value::Map(map) => self.inline_table(map, depth)?,
            Value::Bytes(bytes) => {
                let items: Vec<String> = bytes.iter().map(u8::to_string).collect();
                self.out.push_str(&format!("[{}]", items.join(", ")));
            }
            Value::Host(host) => self.host(host.as_ref(), depth)?,
            other => return Err(format!("unexpected type: {}", other.go_type())),
        }
        Ok(())
    }

    fn host(&mut self, host: &dyn Host, depth: usize) -> Result<(), String> {
        match (host.text(), host.underlying()) {
            (Some(text), _) => self.out.push_str(&quoted(&text)),
            (None, Some(value)) => self.element(&value, depth + 1)?,
            (None, None) => return Err(format!("unexpected type: {}", host.type_name())),
        }
        Ok(())
    }

    fn inline_list(&mut self, items: &[Value], depth: usize) -> Result<(), String> {
        self.out.push('[');
        for (index, item) in items.iter().enumerate() {
            self.out.push_str(if index == 0 { "" } else { ", " });
            self.element(item, depth + 1)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn inline_table(&mut self, map: &Map, depth: usize) -> Result<(), String> {
        let entries = map.entries();
        let (tables, plain): (Vec<_>, Vec<_>) =
            entries.iter().filter(|(_, value)| !value.is_nil()).partition(|(_, value)| is_table(value));
        self.out.push('{');
        for (index, (name, value)) in plain.into_iter().chain(tables).enumerate() {
            self.out.push_str(if index == 0 { "" } else { ", " });
            self.out.push_str(&format!("{} = ", quoted_key(&name.to_str())));
            self.element(value, depth + 1)?;
        }
        self.out.push('}');
        Ok(())
    }
}

fn layout(zone: &Zone) -> &'static str {
    let local = match zone {
        Zone::Fixed(0, name) => LOCAL_TIMES.iter().find(|(zone, _)| zone == name),
        _ => None,
    };
    local.map_or("2006-01-02T15:04:05.999999999Z07:00", |(_, layout)| layout)
}

fn indent(key: &[String]) -> String {
    "  ".repeat(key.len().saturating_sub(1))
}

fn joined(key: &[String]) -> String {
    key.iter().map(|name| quoted_key(name)).collect::<Vec<_>>().join(".")
}

fn quoted_key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if is_bare { name.to_owned() } else { quoted(name) }
}

/// A float always shows that it is one.
fn number(value: f64, float: Float) -> String {
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if value.is_nan() {
        return format!("{sign}nan");
    }
    if value.is_infinite() {
        return format!("{sign}inf");
    }
    let bits = if float == Float::Float32 { go::float::Bits::B32 } else { go::float::Bits::B64 };
    let text = go::float::format(value, 'g', None, bits);
    if text.contains(['.', 'e']) { text } else { format!("{text}.0") }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' | '\u{7f}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}
