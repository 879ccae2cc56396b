//! Number literals: kept in every type that can hold them, as Go's ideal constants are.

use crate::go::number::{parse_float, parse_int, parse_uint};
use crate::go::quote::{Unit, quote, unquote_char};
use crate::lex::Kind;

/// A number literal.
#[derive(Debug, Default)]
pub(crate) struct Literal {
    pub(crate) position: usize,
    pub(crate) text: String,
    pub(crate) int: Option<i64>,
    pub(crate) uint: Option<u64>,
    pub(crate) float: Option<f64>,
    pub(crate) complex: Option<(f64, f64)>,
}

impl Literal {
    /// Reads a literal.
    ///
    /// # Errors
    /// Go's words for what is wrong with it.
    pub(crate) fn new(position: usize, text: &str, kind: Kind) -> Result<Self, String> {
        let empty = Self { position, text: text.to_owned(), ..Self::default() };
        match kind {
            Kind::CharConstant => empty.character(),
            Kind::Complex => {
                let (real, imaginary) = split_complex(text).ok_or("syntax error scanning complex number")?;
                Ok(empty.complex(real, imaginary))
            }
            _ => match text.strip_suffix('i').map(parse_float) {
                Some(Ok(imaginary)) => Ok(empty.complex(0.0, imaginary)),
                _ => empty.real(),
            },
        }
    }

    fn character(mut self) -> Result<Self, String> {
        let (unit, tail) = unquote_char(self.text.get(1..).unwrap_or_default(), '\'').ok_or("invalid syntax")?;
        if tail != "'" {
            return Err(format!("malformed character constant: {}", self.text));
        }
        let code = match unit {
            Unit::Byte(byte) => u32::from(byte),
            Unit::Character(character) => u32::from(character),
        };
        (self.int, self.uint, self.float) = (Some(code.into()), Some(code.into()), Some(code.into()));
        Ok(self)
    }

    fn complex(mut self, real: f64, imaginary: f64) -> Self {
        self.complex = Some((real, imaginary));
        if imaginary == 0.0 {
            self.float = Some(real);
            (self.int, self.uint) = (whole(real), whole_unsigned(real));
        }
        self
    }

    #[expect(clippy::cast_precision_loss, reason = "Go promotes in the same way")]
    fn real(mut self) -> Result<Self, String> {
        self.int = parse_int(&self.text, 0).ok();
        self.uint = parse_uint(&self.text, 0).ok().or(self.int.filter(|int| *int == 0).map(|_| 0));
        self.float = self.int.map(|int| int as f64).or(self.uint.map(|uint| uint as f64));
        if let (None, Ok(float)) = (self.float, parse_float(&self.text)) {
            if !self.text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", quote(self.text.as_bytes())));
            }
            (self.int, self.uint, self.float) = (whole(float), whole_unsigned(float), Some(float));
        }
        if self.float.is_none() {
            return Err(format!("illegal number syntax: {}", quote(self.text.as_bytes())));
        }
        Ok(self)
    }

    /// Whether, where no type is asked for, it is a float rather than an int: by its spelling.
    pub(crate) fn is_spelled_as_float(&self) -> bool {
        let is_hex = self.text.len() > 2 && self.text.starts_with(['0']) && self.text[1..].starts_with(['x', 'X']);
        let is_hex_int = is_hex && !self.text.contains(['p', 'P']);
        self.float.is_some()
            && !is_hex_int
            && !self.text.starts_with('\'')
            && self.text.contains(['.', 'e', 'E', 'p', 'P'])
    }
}

fn split_complex(text: &str) -> Option<(f64, f64)> {
    let body = text.strip_suffix('i')?;
    let split = body.rfind(['+', '-']).filter(|at| *at > 0)?;
    Some((parse_float(&body[..split]).ok()?, parse_float(&body[split..]).ok()?))
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value))
        .then_some(value as i64)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn whole_unsigned(value: f64) -> Option<u64> {
    (value.fract() == 0.0 && (0.0..18_446_744_073_709_551_616.0).contains(&value)).then_some(value as u64)
}
