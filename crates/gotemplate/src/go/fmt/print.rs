//! Values under a verb.

use super::super::float::Bits;
use super::pad::{Flags, Integer};
use crate::value::{Float, Host, List, MAX_DEPTH, Map, Type, Uint, Value};

/// Writes values one after another.
#[derive(Default)]
pub(super) struct Printer {
    pub(super) out: Vec<u8>,
    pub(super) flags: Flags,
    /// Inside the report of a bad verb: methods do not count.
    is_reporting: bool,
}

impl Printer {
    pub(super) fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn pad(&mut self, text: &str) {
        self.flags.pad(&mut self.out, text.as_bytes());
    }

    /// One operand.
    pub(super) fn argument(&mut self, value: &Value, verb: char) {
        match (value, verb) {
            (Value::Nil, 'T' | 'v') => self.pad("<nil>"),
            (Value::Nil, _) => self.push(&format!("%!{verb}(<nil>)")),
            (_, 'T') => self.flags.text(&mut self.out, value.go_type().to_string().as_bytes()),
            (_, 'p') => self.bad_verb(value, verb),
            (Value::Bytes(bytes), 'v' | 'd') if self.flags.sharp_v => self.go_bytes(bytes, "[]byte"),
            _ => self.value(value, verb, 0),
        }
    }

    fn bad_verb(&mut self, value: &Value, verb: char) {
        self.is_reporting = true;
        self.push(&format!("%!{verb}({}=", value.go_type()));
        self.argument(value, 'v');
        self.push(")");
        self.is_reporting = false;
    }

    fn value(&mut self, value: &Value, verb: char, depth: usize) {
        if depth > MAX_DEPTH {
            return self.push("...");
        }
        if verb == 'w' {
            // Only `Errorf` wraps.
            return self.bad_verb(value, verb);
        }
        if self.methods(value, verb) {
            return;
        }
        match value {
            Value::Nil => self.push("<nil>"),
            Value::Bool(truth) if matches!(verb, 't' | 'v') => self.pad(if *truth { "true" } else { "false" }),
            Value::Int(number, _) | Value::Duration(number) => {
                self.integer(value, number.unsigned_abs(), *number < 0, verb);
            }
            Value::Uint(number, _) => self.unsigned(value, *number, verb),
            Value::Float(number, float) => self.float(value, *number, bits(*float), verb),
            Value::Complex(real, imaginary) => self.complex(value, *real, *imaginary, verb),
            Value::String(text) | Value::Number(text) => self.text(value, text, verb),
            Value::Bytes(bytes) => self.bytes(value, bytes, verb, depth),
            Value::List(list) => self.list(list, verb, depth),
            Value::Map(map) => self.map(map, verb, depth),
            Value::Time(time) => self.time(time, verb),
            Value::Host(host) => self.host(host.as_ref(), verb, depth),
            Value::Bool(_) | Value::Function(_) => self.bad_verb(value, verb),
        }
    }

    /// `Error()` and `String()`.
    fn methods(&mut self, value: &Value, verb: char) -> bool {
        if self.is_reporting || self.flags.sharp_v || !matches!(verb, 'v' | 's' | 'x' | 'X' | 'q') {
            return false;
        }
        let text = match value {
            Value::Duration(nanoseconds) => crate::go::duration::to_string(*nanoseconds),
            Value::Time(time) => time.to_string(),
            Value::Number(text) => text.to_str().into_owned(),
            Value::Host(host) => match host.text() {
                Some(text) if !host.is_nil() => text,
                _ => return false,
            },
            _ => return false,
        };
        self.text(value, text.as_bytes(), verb);
        true
    }

    fn integer(&mut self, value: &Value, size: u64, is_negative: bool, verb: char) {
        let code = if is_negative { size.wrapping_neg() } else { size };
        let (base, is_upper) = match verb {
            'v' | 'd' => (10, false),
            'b' => (2, false),
            'o' | 'O' => (8, false),
            'x' => (16, false),
            'X' => (16, true),
            'c' => return self.flags.character(&mut self.out, code, false),
            'q' => return self.flags.character(&mut self.out, code, true),
            'U' => return self.flags.unicode(&mut self.out, code),
            _ => return self.bad_verb(value, verb),
        };
        let integer = Integer { size, is_negative, base, is_upper, has_octal_prefix: verb == 'O' };
        self.flags.integer(&mut self.out, integer);
    }

    fn unsigned(&mut self, value: &Value, size: u64, verb: char) {
        if verb == 'v' && self.flags.sharp_v {
            return self.hexadecimal(size);
        }
        self.integer(value, size, false, verb);
    }

    fn hexadecimal(&mut self, size: u64) {
        let flags = Flags { sharp: true, ..self.flags };
        let integer = Integer { size, is_negative: false, base: 16, is_upper: false, has_octal_prefix: false };
        flags.integer(&mut self.out, integer);
    }

    fn float(&mut self, value: &Value, number: f64, bits: Bits, verb: char) {
        let (verb, precision) = match verb {
            'v' => ('g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => (verb, None),
            'f' | 'F' => ('f', Some(6)),
            'e' | 'E' => (verb, Some(6)),
            _ => return self.bad_verb(value, verb),
        };
        self.flags.float(&mut self.out, number, bits, verb, precision);
    }

    fn complex(&mut self, value: &Value, real: f64, imaginary: f64, verb: char) {
        if !matches!(verb, 'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E') {
            return self.bad_verb(value, verb);
        }
        let plus = self.flags.plus;
        self.push("(");
        self.float(value, real, Bits::B64, verb);
        self.flags.plus = true;
        self.float(value, imaginary, Bits::B64, verb);
        self.flags.plus = plus;
        self.push("i)");
    }

    fn text(&mut self, value: &Value, text: &[u8], verb: char) {
        match verb {
            'v' if self.flags.sharp_v => self.flags.quoted(&mut self.out, text),
            'v' | 's' => self.flags.text(&mut self.out, text),
            'x' => self.flags.hex(&mut self.out, text, false),
            'X' => self.flags.hex(&mut self.out, text, true),
            'q' => self.flags.quoted(&mut self.out, text),
            _ => self.bad_verb(value, verb),
        }
    }

    fn bytes(&mut self, value: &Value, bytes: &[u8], verb: char, depth: usize) {
        match verb {
            's' | 'x' | 'X' | 'q' => self.text(value, bytes, verb),
            'v' | 'd' if self.flags.sharp_v => self.go_bytes(bytes, "[]uint8"),
            _ => {
                let items: Vec<Value> = bytes.iter().map(|byte| Value::Uint((*byte).into(), Uint::Uint8)).collect();
                self.items(&items, Type::Any, verb, depth);
            }
        }
    }

    /// A time where its `String` does not count: Go's inner fields.
    fn time(&mut self, time: &crate::go::time::Time, verb: char) {
        if self.flags.sharp_v {
            return self.push(&time.go_string());
        }
        let (wall, seconds) = time.inner();
        self.push("{");
        self.value(&Value::Uint(wall, Uint::Uint64), verb, 1);
        self.push(" ");
        self.value(&Value::int64(seconds), verb, 1);
        self.push(" ");
        match verb {
            'v' => self.push("<nil>"),
            'b' | 'o' | 'd' | 'x' | 'X' => self.value(&Value::int(0), verb, 1),
            _ => {
                self.push(&format!("%!{verb}(*time.Location="));
                self.pad("<nil>");
                self.push(")");
            }
        }
        self.push("}");
    }

    fn go_bytes(&mut self, bytes: &[u8], name: &str) {
        self.push(name);
        self.push("{");
        for (index, byte) in bytes.iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.hexadecimal((*byte).into());
        }
        self.push("}");
    }

    fn list(&mut self, list: &List, verb: char, depth: usize) {
        if self.flags.sharp_v {
            self.push(&format!("[]{}", list.element()));
            if list.is_nil() {
                return self.push("(nil)");
            }
        }
        self.items(list.items(), *list.element(), verb, depth);
    }

    fn items(&mut self, items: &[Value], element: Type, verb: char, depth: usize) {
        self.push(if self.flags.sharp_v { "{" } else { "[" });
        for (index, item) in items.iter().enumerate() {
            self.separate(index);
            self.element(item, element, verb, depth);
        }
        self.push(if self.flags.sharp_v { "}" } else { "]" });
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.push(if self.flags.sharp_v { ", " } else { " " });
        }
    }

    /// An element of a container; `nil` in an interface prints the same under every verb.
    fn element(&mut self, item: &Value, element: Type, verb: char, depth: usize) {
        match item {
            Value::Nil if element == Type::Any && self.flags.sharp_v => self.push("interface {}(nil)"),
            Value::Nil if element == Type::Any => self.push("<nil>"),
            _ => self.value(item, verb, depth + 1),
        }
    }

    fn map(&mut self, map: &Map, verb: char, depth: usize) {
        if self.flags.sharp_v {
            self.push(&map.go_type().to_string());
            if map.is_nil() {
                return self.push("(nil)");
            }
            self.push("{");
        } else {
            self.push("map[");
        }
        for (index, (key, value)) in map.entries().iter().enumerate() {
            self.separate(index);
            self.value(&Value::String(key.clone()), verb, depth + 1);
            self.push(":");
            self.element(value, *map.element(), verb, depth);
        }
        self.push(if self.flags.sharp_v { "}" } else { "]" });
    }

    fn host(&mut self, host: &dyn Host, verb: char, depth: usize) {
        if host.is_nil() {
            return self.pad("<nil>");
        }
        if let Some(inner) = host.underlying() {
            return self.value(&inner, verb, depth);
        }
        let name = host.type_name();
        let is_pointer = name.starts_with('*');
        if is_pointer && depth > 0 {
            // Go prints an address, which says nothing and differs from run to run.
            return self.push("0xc000000000");
        }
        if is_pointer {
            self.push("&");
        }
        if self.flags.sharp_v {
            self.push(name.trim_start_matches('*'));
        }
        self.push("{");
        for (index, (field, _, inner)) in host.fields().into_iter().enumerate() {
            self.separate(index);
            if self.flags.plus_v || self.flags.sharp_v {
                self.push(&format!("{field}:"));
            }
            self.element(&inner, Type::Any, verb, depth);
        }
        self.push("}");
    }
}

fn bits(float: Float) -> Bits {
    match float {
        Float::Float32 => Bits::B32,
        Float::Float64 => Bits::B64,
    }
}
