//! Go's `fmt`: `Sprint`, `Sprintln`, `Sprintf` over template values.

mod pad;
mod print;

use pad::Flags;
use print::Printer;

use crate::limits::MAX_TEXT;
use crate::value::Value;

/// `fmt.Sprint`: a space between operands when neither is a string.
pub fn sprint(values: &[Value]) -> Vec<u8> {
    let mut printer = Printer::default();
    let mut after_string = false;
    for (index, value) in values.iter().enumerate() {
        let is_string = matches!(value, Value::String(_) | Value::Number(_));
        if index > 0 && !is_string && !after_string {
            printer.out.push(b' ');
        }
        printer.argument(value, 'v');
        after_string = is_string;
    }
    printer.out
}

/// `fmt.Sprintln`: a space between all operands, a newline at the end.
pub fn sprintln(values: &[Value]) -> Vec<u8> {
    let mut printer = Printer::default();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            printer.out.push(b' ');
        }
        printer.argument(value, 'v');
    }
    printer.out.push(b'\n');
    printer.out
}

/// `%v` of one value.
pub fn show(value: &Value) -> Vec<u8> {
    sprint(std::slice::from_ref(value))
}

/// A value under one verb where only a short one can be meant; of one that holds very much, three dots.
pub(crate) fn show_short(verb: &str, value: &Value) -> String {
    const LONG: u64 = 1 << 20;
    if value.weight(LONG) > LONG {
        return "...".into();
    }
    String::from_utf8_lossy(&sprintf(verb.as_bytes(), std::slice::from_ref(value))).into_owned()
}

/// `fmt.Sprintf`. What does not fit together is said in the output, as Go does: `%!d(string=x)`. Stops once the
/// text is longer than any may be.
pub fn sprintf(format: &[u8], values: &[Value]) -> Vec<u8> {
    let mut formatter = Formatter {
        format,
        values,
        at: 0,
        next: 0,
        is_reordered: false,
        is_good: true,
        after_index: false,
        printer: Printer::default(),
    };
    formatter.run();
    formatter.printer.out
}

/// Widths and precisions beyond this are refused.
const TOO_LARGE: i64 = 1_000_000;

struct Formatter<'a> {
    format: &'a [u8],
    values: &'a [Value],
    /// Position in the format.
    at: usize,
    /// Index of the next operand.
    next: usize,
    is_reordered: bool,
    /// Whether the explicit index of the current verb is good.
    is_good: bool,
    after_index: bool,
    printer: Printer,
}

impl Formatter<'_> {
    fn run(&mut self) {
        while self.at < self.format.len() && self.printer.out.len() <= MAX_TEXT {
            self.is_good = true;
            let rest = &self.format[self.at..];
            let plain = rest.iter().position(|byte| *byte == b'%').unwrap_or(rest.len());
            self.printer.out.extend_from_slice(&rest[..plain]);
            self.at += plain;
            if self.at >= self.format.len() {
                break;
            }
            self.at += 1;
            self.printer.flags = Flags::default();
            self.directive();
        }
        self.extra();
    }

    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    fn directive(&mut self) {
        self.read_flags();
        self.after_index = self.index();
        self.width();
        self.precision();
        if !self.after_index {
            self.after_index = self.index();
        }
        let rest = self.format.get(self.at..).unwrap_or_default();
        // No character is longer.
        let rest = &rest[..rest.len().min(4)];
        let Some((character, raw)) = super::quote::runes(rest).next() else {
            self.printer.push("%!(NOVERB)");
            return;
        };
        self.at += raw.len();
        self.verb(character.unwrap_or(char::REPLACEMENT_CHARACTER));
    }

    fn verb(&mut self, verb: char) {
        match verb {
            '%' => self.printer.push("%"),
            _ if !self.is_good => self.printer.push(&format!("%!{verb}(BADINDEX)")),
            _ => match self.values.get(self.next) {
                None => self.printer.push(&format!("%!{verb}(MISSING)")),
                Some(value) => {
                    self.next += 1;
                    self.printer.flags.enter(verb);
                    self.printer.argument(value, verb);
                }
            },
        }
    }

    fn read_flags(&mut self) {
        while let Some(byte) = self.peek() {
            let flags = &mut self.printer.flags;
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => return,
            }
            self.at += 1;
        }
    }

    fn width(&mut self) {
        if self.peek() == Some(b'*') {
            self.at += 1;
            let width = self.operand_number();
            if width.is_none() {
                self.printer.push("%!(BADWIDTH)");
            }
            self.printer.flags.width = width.map(|width| usize::try_from(width.unsigned_abs()).unwrap_or(0));
            if width.is_some_and(|width| width < 0) {
                self.printer.flags.minus = true;
                self.printer.flags.zero = false;
            }
            self.after_index = false;
            return;
        }
        self.printer.flags.width = self.number();
        if self.after_index && self.printer.flags.width.is_some() {
            self.is_good = false;
        }
    }

    fn precision(&mut self) {
        if self.peek() != Some(b'.') || self.at + 1 >= self.format.len() {
            return;
        }
        self.at += 1;
        if self.after_index {
            self.is_good = false;
        }
        self.after_index = self.index();
        if self.peek() != Some(b'*') {
            self.printer.flags.precision = Some(self.number().unwrap_or(0));
            return;
        }
        self.at += 1;
        let precision = self.operand_number().and_then(|precision| usize::try_from(precision).ok());
        if precision.is_none() {
            self.printer.push("%!(BADPREC)");
        }
        self.printer.flags.precision = precision;
        self.after_index = false;
    }

    /// An integer operand, for `*`.
    fn operand_number(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        let number = match value {
            Value::Int(number, _) | Value::Duration(number) => *number,
            Value::Uint(number, _) => i64::try_from(*number).ok()?,
            _ => return None,
        };
        (number.abs() <= TOO_LARGE).then_some(number)
    }

    /// A number in the format; one that is too large swallows the rest, as in Go.
    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            let before = number.unwrap_or(0i64);
            if before > TOO_LARGE {
                self.at = self.format.len();
                return None;
            }
            number = Some(before * 10 + i64::from(digit - b'0'));
            self.at += 1;
        }
        number.and_then(|number| usize::try_from(number).ok())
    }

    /// Reads `[n]`; whether there was a good one.
    fn index(&mut self) -> bool {
        let rest = self.format.get(self.at..).unwrap_or_default();
        if rest.first() != Some(&b'[') {
            return false;
        }
        self.is_reordered = true;
        let close = rest.iter().skip(1).position(|byte| *byte == b']').filter(|_| rest.len() >= 3);
        let Some(length) = close else {
            self.is_good = false;
            self.at += 1;
            return false;
        };
        self.at += length + 2;
        let text = std::str::from_utf8(&rest[1..=length]).unwrap_or_default();
        let parsed = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<usize>().ok()).flatten();
        match parsed {
            Some(index) if (1..=self.values.len()).contains(&index) => {
                self.next = index - 1;
                true
            }
            other => {
                self.is_good = false;
                other.is_some()
            }
        }
    }

    fn extra(&mut self) {
        if self.is_reordered || self.next >= self.values.len() {
            return;
        }
        self.printer.flags = Flags::default();
        self.printer.push("%!(EXTRA ");
        for (index, value) in self.values[self.next..].iter().enumerate() {
            if index > 0 {
                self.printer.push(", ");
            }
            if matches!(value, Value::Nil) {
                self.printer.push("<nil>");
            } else {
                self.printer.push(&format!("{}=", value.go_type()));
                self.printer.argument(value, 'v');
            }
        }
        self.printer.push(")");
    }
}
