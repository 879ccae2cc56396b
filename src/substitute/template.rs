//! The language of `${…}` (fluxcd/pkg/envsubst v1.8.0), a small part of the shell's: defaults, substrings, case,
//! prefixes and suffixes, replacements. A bare `$name` is text, `$${` writes `${`.
//!
//! The original reads character by character, and what it takes for a name, an operator or an argument follows from
//! which characters it accepts at which place; so does this.

mod functions;

use super::{Unset, Variables};

/// How deep arguments may hold variables.
const DEEPEST: usize = 100;

/// Why a text is not expanded. Upstream's words; names are shown, values are not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// Something else than the operator allows.
    #[error("bad substitution")]
    BadSubstitution,
    /// Neither an operator nor the end behind a name.
    #[error("missing closing brace")]
    MissingClosingBrace,
    /// No name where one must be.
    #[error("unable to parse variable name")]
    NoName,
    /// No argument where one must be.
    #[error("unable to parse substitution within function")]
    NoArgument,
    /// An operator that begins as a default and is none.
    #[error("unable to parse default function")]
    BadDefault,
    /// A variable that is not set, in strict mode.
    #[error("variable not set (strict mode): {name:?}")]
    NotSet {
        /// Its name.
        name: String,
    },
    /// Arguments within arguments, too many or too large.
    #[error("the template is too complex: {what}")]
    TooComplex {
        /// What there is too much of.
        what: &'static str,
    },
}

/// Writes variables into a text. The result is bytes, since a substring may cut a character in two.
///
/// # Errors
/// A text that is no template, or a variable that is not set where that is an error.
pub fn expand(text: &str, variables: &Variables, unset: Unset) -> Result<Vec<u8>, TemplateError> {
    // To the original a NUL is the end.
    let text = text.split('\0').next().unwrap_or_default();
    if !text.contains('$') {
        return Ok(text.into());
    }
    let mut parser = Parser { rest: text, escapes: Escapes::Dollar, depth: 0 };
    let mut parts = Vec::new();
    while !parser.rest.is_empty() {
        parser.escapes = Escapes::Dollar;
        parts.push(if parser.opens() {
            parser.call()?
        } else {
            Part::Text(parser.word(|_, _| true, Stops::AtVariable)?)
        });
    }
    let mut result = Vec::with_capacity(text.len());
    parts.iter().try_for_each(|part| part.write(variables, unset, &mut result))?;
    Ok(result)
}

/// A piece of a template.
enum Part {
    Text(String),
    Call { name: String, operator: String, arguments: Vec<Part> },
}

impl Part {
    fn write(&self, variables: &Variables, unset: Unset, result: &mut Vec<u8>) -> Result<(), TemplateError> {
        let (name, operator, arguments) = match self {
            Part::Text(text) => {
                result.extend_from_slice(text.as_bytes());
                return Ok(());
            }
            Part::Call { name, operator, arguments } => (name, operator, arguments),
        };
        let evaluate = |argument: &Part| {
            let mut value = Vec::new();
            argument.write(variables, unset, &mut value).map(|()| value)
        };
        let arguments = arguments.iter().map(evaluate).collect::<Result<Vec<_>, _>>()?;
        let has_default = matches!(operator.as_str(), "=" | ":=" | ":-" | ":?" | ":+");
        let value = match variables.get(name) {
            None if unset == Unset::Error && !has_default => return Err(TemplateError::NotSet { name: name.clone() }),
            value => value.map(String::as_str).unwrap_or_default(),
        };
        result.extend(functions::call(operator, value, &arguments)?);
        Ok(())
    }
}

/// Which characters a backslash or a second dollar stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// `$$`
    Dollar,
    /// `$$`, `\/`, `\\`
    All,
}

/// Where a word ends besides at a character that it does not take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stops {
    /// Nowhere else.
    Never,
    /// Before `${`, and escapes are undone.
    AtVariable,
    /// Before `${`.
    AtVariablePlain,
}

struct Parser<'t> {
    rest: &'t str,
    escapes: Escapes,
    depth: usize,
}

/// Whether a character may stand at a place of a word, counted in bytes from 1 behind it.
type Accept = fn(char, usize) -> bool;

fn is_name(c: char, _: usize) -> bool {
    c.is_alphabetic() || c.is_numeric() || c == '_'
}

fn is_inner(c: char, _: usize) -> bool {
    c != '}'
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Takes `${`.
    fn opens(&mut self) -> bool {
        let opens = self.rest.starts_with("${");
        self.skip(if opens { 2 } else { 0 });
        opens
    }

    /// The character that an escape at this place stands for.
    fn escaped(&self) -> Option<char> {
        let escapes: &[(&str, char)] = match self.escapes {
            Escapes::Dollar => &[("$$", '$')],
            Escapes::All => &[("$$", '$'), (r"\/", '/'), (r"\\", '\\')],
        };
        escapes.iter().find(|(escape, _)| self.rest.starts_with(escape)).map(|(_, c)| *c)
    }

    /// Takes all characters that `accept` takes; there must be one.
    fn word(&mut self, accept: Accept, stops: Stops) -> Result<String, TemplateError> {
        let mut word = String::new();
        while let Some(c) = self.peek() {
            if stops != Stops::Never && self.rest.starts_with("${") {
                break;
            }
            if let Some(escaped) = self.escaped().filter(|_| stops == Stops::AtVariable) {
                word.push(escaped);
                self.skip(2);
                continue;
            }
            if !accept(c, word.len() + c.len_utf8()) {
                break;
            }
            word.push(c);
            self.skip(c.len_utf8());
        }
        if word.is_empty() { Err(TemplateError::BadSubstitution) } else { Ok(word) }
    }

    fn close(&mut self) -> Result<(), TemplateError> {
        if self.peek() != Some('}') {
            return Err(TemplateError::BadSubstitution);
        }
        self.skip(1);
        Ok(())
    }

    /// What stands behind `${`.
    fn call(&mut self) -> Result<Part, TemplateError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(TemplateError::TooComplex { what: "variables within arguments" });
        }
        self.escapes = Escapes::All;
        let call = self.call_inner();
        self.depth -= 1;
        call
    }

    fn call_inner(&mut self) -> Result<Part, TemplateError> {
        if self.peek() == Some('#') {
            let operator = self.word(|c, at| c == '#' && at == 1, Stops::Never)?;
            let name = self.word(is_name, Stops::Never)?;
            return self.close().map(|()| Part::Call { name, operator, arguments: Vec::new() });
        }
        let name = self.word(is_name, Stops::Never).map_err(|_| TemplateError::NoName)?;
        let (operator, arguments) = match self.peek() {
            Some(':') if self.rest[1..].starts_with(['=', '-', '?', '+']) => self.default()?,
            Some(':') => self.substring()?,
            Some('=') => self.default()?,
            Some(',' | '^') => (self.word(|c, at| (c == ',' || c == '^') && at < 3, Stops::Never)?, Vec::new()),
            Some('/') => self.replacement()?,
            Some('#') => self.removal(|c, at| c == '#' && at < 3)?,
            Some('%') => self.removal(|c, at| c == '%' && at < 3)?,
            Some('}') => (String::new(), Vec::new()),
            _ => return Err(TemplateError::MissingClosingBrace),
        };
        self.close()?;
        Ok(Part::Call { name, operator, arguments })
    }

    /// A variable, or a text of the characters that `accept` takes.
    fn argument(&mut self, accept: Accept, stops: Stops) -> Result<Part, TemplateError> {
        if self.opens() {
            return self.call();
        }
        self.word(accept, stops).map(Part::Text).map_err(|_| TemplateError::NoArgument)
    }

    fn default(&mut self) -> Result<(String, Vec<Part>), TemplateError> {
        let accept: Accept = match self.peek() {
            Some('=') => |c, at| at == 1 && c == '=',
            _ => |c, at| (at == 1 && c == ':') || (at == 2 && matches!(c, '=' | '-' | '?' | '+')),
        };
        let operator = self.word(accept, Stops::Never).map_err(|_| TemplateError::BadDefault)?;
        let mut arguments = Vec::new();
        while self.peek() != Some('}') {
            arguments.push(self.argument(is_inner, Stops::AtVariablePlain)?);
        }
        Ok((operator, arguments))
    }

    fn substring(&mut self) -> Result<(String, Vec<Part>), TemplateError> {
        let operator = self.word(|c, at| at == 1 && c == ':', Stops::Never)?;
        let mut arguments = vec![self.argument(|c, _| c != ':' && c != '}', Stops::AtVariablePlain)?];
        if self.peek() != Some('}') {
            self.word(|c, _| c == ':', Stops::Never)?;
            arguments.push(self.argument(is_inner, Stops::AtVariablePlain)?);
        }
        Ok((operator, arguments))
    }

    fn removal(&mut self, accept: Accept) -> Result<(String, Vec<Part>), TemplateError> {
        let operator = self.word(accept, Stops::Never)?;
        Ok((operator, vec![self.argument(is_inner, Stops::AtVariablePlain)?]))
    }

    fn replacement(&mut self) -> Result<(String, Vec<Part>), TemplateError> {
        let accept: Accept = |c, at| (at == 1 && c == '/') || (at == 2 && matches!(c, '/' | '#' | '%'));
        let operator = self.word(accept, Stops::Never)?;
        let mut arguments = vec![self.argument(|c, _| c != '/', Stops::AtVariable)?];
        self.word(|c, _| c == '/', Stops::Never)?;
        if self.peek() != Some('}') {
            arguments.push(self.argument(is_inner, Stops::AtVariable)?);
        }
        Ok((operator, arguments))
    }
}
