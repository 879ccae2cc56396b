//! Flags, padding, and the printing of numbers and texts under them.

use super::super::float::{self, Bits};
use super::super::quote;

/// The flags of one verb.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
    pub(super) minus: bool,
    pub(super) plus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    /// `%+v`
    pub(super) plus_v: bool,
    /// `%#v`
    pub(super) sharp_v: bool,
}

/// How an integer is written.
#[derive(Clone, Copy)]
pub(super) struct Integer {
    pub(super) size: u64,
    pub(super) is_negative: bool,
    pub(super) base: u32,
    pub(super) is_upper: bool,
    /// `%O`: a leading `0o`.
    pub(super) has_octal_prefix: bool,
}

impl Flags {
    /// `v` turns `#` and `+` into flags of their own.
    pub(super) fn enter(&mut self, verb: char) {
        if verb == 'v' {
            self.sharp_v = std::mem::take(&mut self.sharp);
            self.plus_v = std::mem::take(&mut self.plus);
        }
    }

    pub(super) fn padding(self, out: &mut Vec<u8>, count: usize) {
        let fill = if self.zero && !self.minus { b'0' } else { b' ' };
        out.resize(out.len() + count, fill);
    }

    /// Writes a text, padded to the width in characters.
    pub(super) fn pad(self, out: &mut Vec<u8>, text: &[u8]) {
        let count = quote::runes(text).count();
        let missing = self.width.unwrap_or(0).saturating_sub(count);
        if self.minus {
            out.extend_from_slice(text);
            self.padding(out, missing);
        } else {
            self.padding(out, missing);
            out.extend_from_slice(text);
        }
    }

    fn pad_without_zeros(mut self, out: &mut Vec<u8>, text: &[u8]) {
        self.zero = false;
        self.pad(out, text);
    }

    /// As many characters as the precision allows.
    fn truncate(self, text: &[u8]) -> &[u8] {
        let Some(precision) = self.precision else { return text };
        let length: usize = quote::runes(text).take(precision).map(|(_, raw)| raw.len()).sum();
        &text[..length]
    }

    pub(super) fn text(self, out: &mut Vec<u8>, text: &[u8]) {
        self.pad(out, self.truncate(text));
    }

    pub(super) fn quoted(self, out: &mut Vec<u8>, text: &[u8]) {
        let text = self.truncate(text);
        if self.sharp && quote::can_backquote(text) {
            return self.pad(out, &[b"`", text, b"`"].concat());
        }
        let quoted = if self.plus { quote::quote_to_ascii(text) } else { quote::quote(text) };
        self.pad(out, quoted.as_bytes());
    }

    /// `%x` of bytes.
    pub(super) fn hex(self, out: &mut Vec<u8>, bytes: &[u8], is_upper: bool) {
        let length = self.precision.map_or(bytes.len(), |precision| precision.min(bytes.len()));
        if length == 0 {
            return self.padding(out, self.width.unwrap_or(0));
        }
        let prefix = match (self.sharp, is_upper) {
            (false, _) => "",
            (true, false) => "0x",
            (true, true) => "0X",
        };
        let mut text = prefix.to_owned();
        for (index, byte) in bytes[..length].iter().enumerate() {
            if self.space && index > 0 {
                text.push(' ');
                text.push_str(prefix);
            }
            text.push_str(&if is_upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        }
        self.pad(out, text.as_bytes());
    }

    pub(super) fn integer(self, out: &mut Vec<u8>, integer: Integer) {
        let has_sign = integer.is_negative || self.plus || self.space;
        let precision = match (self.precision, self.width) {
            (Some(0), _) if integer.size == 0 => {
                return Flags { zero: false, ..self }.padding(out, self.width.unwrap_or(0));
            }
            (Some(precision), _) => precision,
            (None, Some(width)) if self.zero && !self.minus => width.saturating_sub(usize::from(has_sign)),
            _ => 0,
        };
        let digits = match (integer.base, integer.is_upper) {
            (2, _) => format!("{:b}", integer.size),
            (8, _) => format!("{:o}", integer.size),
            (16, false) => format!("{:x}", integer.size),
            (16, true) => format!("{:X}", integer.size),
            _ => integer.size.to_string(),
        };
        let digits = zeros_before(&digits, precision);
        let prefix = match (self.sharp, integer.base, integer.is_upper) {
            (true, 2, _) => "0b",
            (true, 8, _) if !digits.starts_with('0') => "0",
            (true, 16, false) => "0x",
            (true, 16, true) => "0X",
            _ => "",
        };
        let octal = if integer.has_octal_prefix { "0o" } else { "" };
        let sign = if integer.is_negative {
            "-"
        } else if self.plus {
            "+"
        } else if self.space {
            " "
        } else {
            ""
        };
        self.pad_without_zeros(out, format!("{sign}{octal}{prefix}{digits}").as_bytes());
    }

    /// `%U`.
    pub(super) fn unicode(self, out: &mut Vec<u8>, code: u64) {
        let precision = self.precision.unwrap_or(0).max(4);
        let mut text = format!("U+{}", zeros_before(&format!("{code:X}"), precision));
        let character = u32::try_from(code).ok().and_then(char::from_u32);
        if let Some(character) = character.filter(|character| self.sharp && quote::is_print(*character)) {
            text.push_str(&format!(" '{character}'"));
        }
        self.pad_without_zeros(out, text.as_bytes());
    }

    /// `%c`, and `%q` of an integer.
    pub(super) fn character(self, out: &mut Vec<u8>, code: u64, is_quoted: bool) {
        let code = u32::try_from(code).unwrap_or(u32::MAX);
        if is_quoted {
            return self.pad(out, quote::quote_rune(code, self.plus).as_bytes());
        }
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.pad(out, character.encode_utf8(&mut [0; 4]).as_bytes());
    }

    pub(super) fn float(self, out: &mut Vec<u8>, value: f64, bits: Bits, verb: char, precision: Option<usize>) {
        let precision = self.precision.or(precision);
        let text = float::format(value, verb, precision, bits);
        let (mut sign, body) = match text.split_at_checked(1) {
            Some((sign @ ("-" | "+"), body)) => (sign, body),
            _ => ("+", text.as_str()),
        };
        if self.space && sign == "+" && !self.plus {
            sign = " ";
        }
        if !value.is_finite() {
            let shown = if sign == "+" && !self.plus && !value.is_infinite() { "" } else { sign };
            return self.pad_without_zeros(out, format!("{shown}{body}").as_bytes());
        }
        let body = if self.sharp && verb != 'b' { sharp(body, verb, precision) } else { body.to_owned() };
        if !self.plus && sign == "+" {
            return self.pad(out, body.as_bytes());
        }
        let length = body.len() + 1;
        match self.width {
            Some(width) if self.zero && !self.minus && width > length => {
                out.extend_from_slice(sign.as_bytes());
                self.padding(out, width - length);
                out.extend_from_slice(body.as_bytes());
            }
            _ => self.pad(out, format!("{sign}{body}").as_bytes()),
        }
    }
}

/// Digits with zeros before them. Rust's own widths end at 65535.
fn zeros_before(digits: &str, count: usize) -> String {
    let mut text = "0".repeat(count.saturating_sub(digits.len()));
    text.push_str(digits);
    text
}

/// `%#g` and its like: always a point, and zeros up to the precision.
fn sharp(body: &str, verb: char, precision: Option<usize>) -> String {
    let counts = matches!(verb, 'v' | 'g' | 'G' | 'x');
    let is_hex = matches!(verb, 'x' | 'X');
    let tail_at = body.find(|c| matches!(c, 'p' | 'P') || (!is_hex && matches!(c, 'e' | 'E'))).unwrap_or(body.len());
    let (head, tail) = body.split_at(tail_at);
    let mut digits = if counts { precision.unwrap_or(6) } else { 0 };
    let significant = head.chars().filter(|c| *c != '.').skip_while(|c| *c == '0').count();
    digits = digits.saturating_sub(significant);
    let mut text = head.to_owned();
    if !head.contains('.') {
        if head == "0" {
            digits = digits.saturating_sub(1);
        }
        text.push('.');
    }
    text.push_str(&"0".repeat(digits));
    text.push_str(tail);
    text
}
