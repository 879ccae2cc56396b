//! Text -> tokens, as CEL's grammar cuts them.

use super::syntax::Flaw;

/// A piece of an expression, and the character at which it begins.
pub(super) type Located = (usize, Token);

/// A piece of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// An identifier, keywords among them.
    Name(String),
    /// Digits of an int, `0x` included.
    Int(String),
    /// Digits of a uint, without its `u`.
    Uint(String),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// An operator or bracket.
    Mark(&'static str),
    End,
}

/// Operators and brackets, longer ones first.
const MARKS: [&str; 26] = [
    "==", "!=", "<=", ">=", "&&", "||", "(", ")", "[", "]", "{", "}", ".", ",", ":", "?", "+", "-", "*", "/", "%", "!",
    "<", ">", "`", "\u{feff}",
];

/// Cuts a text; the last token is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Located>, Flaw> {
    let characters: Vec<char> = text.chars().collect();
    let mut lexer = Lexer { characters: &characters, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let start = lexer.at;
        let token = lexer.token()?;
        let is_last = token == Token::End;
        tokens.push((start, token));
        if is_last {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    characters: &'a [char],
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    fn skip_blank(&mut self) {
        loop {
            match self.peek(0) {
                Some(' ' | '\t' | '\n' | '\r' | '\u{c}') => self.at += 1,
                Some('/') if self.peek(1) == Some('/') => {
                    while self.peek(0).is_some_and(|character| character != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn token(&mut self) -> Result<Token, Flaw> {
        let Some(first) = self.peek(0) else { return Ok(Token::End) };
        if let Some(prefix) = self.quote_prefix() {
            return self.quoted(prefix);
        }
        if first.is_ascii_digit() || (first == '.' && self.peek(1).is_some_and(|next| next.is_ascii_digit())) {
            return self.number();
        }
        if first == '_' || first.is_ascii_alphabetic() {
            return Ok(Token::Name(self.take(|character| character == '_' || character.is_ascii_alphanumeric())));
        }
        let is_here =
            |mark: &str| mark.chars().enumerate().all(|(index, character)| self.peek(index) == Some(character));
        match MARKS.into_iter().find(|mark| is_here(mark)) {
            Some("`") => Err(Flaw::new(self.at, "unsupported syntax: '`'")),
            Some(mark) if mark != "\u{feff}" => {
                self.at += mark.len();
                Ok(Token::Mark(mark))
            }
            _ => Err(Flaw::syntax(self.at, &format!("token recognition error at: '{first}'"))),
        }
    }

    fn take(&mut self, is_part: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.peek(0).is_some_and(&is_part) {
            self.at += 1;
        }
        self.characters[start..self.at].iter().collect()
    }

    fn number(&mut self) -> Result<Token, Flaw> {
        let start = self.at;
        if self.peek(0) == Some('0') && self.peek(1) == Some('x') && self.peek(2).is_some_and(|c| c.is_ascii_hexdigit())
        {
            self.at += 2;
            let digits = format!("0x{}", self.take(|character| character.is_ascii_hexdigit()));
            return Ok(self.int_or_uint(digits));
        }
        let mut digits = self.take(|character| character.is_ascii_digit());
        let mut is_double = false;
        if self.peek(0) == Some('.') && self.peek(1).is_some_and(|next| next.is_ascii_digit()) {
            self.at += 1;
            digits = format!("{digits}.{}", self.take(|character| character.is_ascii_digit()));
            is_double = true;
        }
        if let Some(exponent) = self.exponent() {
            digits.push_str(&exponent);
            is_double = true;
        }
        if !is_double {
            return Ok(self.int_or_uint(digits));
        }
        let value: f64 = digits.parse().map_err(|_| Flaw::new(start, "invalid double literal"))?;
        if value.is_infinite() {
            return Err(Flaw::new(start, "invalid double literal"));
        }
        Ok(Token::Double(value))
    }

    fn exponent(&mut self) -> Option<String> {
        let sign = usize::from(matches!(self.peek(1), Some('+' | '-')));
        let is_one = matches!(self.peek(0), Some('e' | 'E')) && self.peek(1 + sign)?.is_ascii_digit();
        if !is_one {
            return None;
        }
        let head: String = self.characters.get(self.at..=self.at + sign)?.iter().collect();
        self.at += 1 + sign;
        Some(head + &self.take(|character| character.is_ascii_digit()))
    }

    fn int_or_uint(&mut self, digits: String) -> Token {
        if matches!(self.peek(0), Some('u' | 'U')) {
            self.at += 1;
            return Token::Uint(digits);
        }
        Token::Int(digits)
    }

    /// Length of what stands before a quote (`r`, `b`, `br`), when a quoted text begins here.
    fn quote_prefix(&self) -> Option<usize> {
        let is_quote = |index: usize| matches!(self.peek(index), Some('\'' | '"'));
        let (first, second) = (self.peek(0)?.to_ascii_lowercase(), self.peek(1).map(|c| c.to_ascii_lowercase()));
        match (first, second) {
            ('\'' | '"', _) => Some(0),
            ('r' | 'b', _) if is_quote(1) => Some(1),
            ('b', Some('r')) | ('r', Some('b')) if is_quote(2) => Some(2),
            _ => None,
        }
    }

    fn quoted(&mut self, prefix: usize) -> Result<Token, Flaw> {
        let start = self.at;
        let marks: String = self.characters[start..start + prefix].iter().map(char::to_ascii_lowercase).collect();
        let (is_raw, is_bytes) = (marks.contains('r'), marks.contains('b'));
        self.at += prefix;
        let quote = self.peek(0).unwrap_or('"');
        let is_long = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        let fence = if is_long { 3 } else { 1 };
        self.at += fence;
        let mut content = Content { is_bytes, start, text: String::new(), bytes: Vec::new() };
        loop {
            let unended = || Flaw::syntax(start, &format!("token recognition error at: '{quote}'"));
            let character = self.peek(0).ok_or_else(unended)?;
            if (0..fence).all(|index| self.peek(index) == Some(quote)) {
                self.at += fence;
                return Ok(if is_bytes { Token::Bytes(content.bytes) } else { Token::Text(content.text) });
            }
            if !is_long && matches!(character, '\n' | '\r') {
                return Err(unended());
            }
            self.at += 1;
            if character == '\\' && !is_raw {
                self.escape(&mut content)?;
            } else {
                content.push(character);
            }
        }
    }

    fn escape(&mut self, content: &mut Content) -> Result<(), Flaw> {
        let bad = || Flaw::syntax(content.start, "token recognition error at: an unknown escape");
        let escaped = self.peek(0).ok_or_else(bad)?;
        self.at += 1;
        let plain = match escaped {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' | '\'' | '"' | '?' | '`' => escaped,
            'x' | 'X' => return self.code(2, 16).ok_or_else(bad).and_then(|code| content.push_code(code)),
            'u' | 'U' if content.is_bytes => return Err(Flaw::new(content.start, "unable to unescape string")),
            'u' => return self.code(4, 16).ok_or_else(bad).and_then(|code| content.push_code(code)),
            'U' => return self.code(8, 16).ok_or_else(bad).and_then(|code| content.push_code(code)),
            '0'..='3' => {
                self.at -= 1;
                return self.code(3, 8).ok_or_else(bad).and_then(|code| content.push_code(code));
            }
            _ => return Err(bad()),
        };
        content.push(plain);
        Ok(())
    }

    fn code(&mut self, length: usize, radix: u32) -> Option<u32> {
        let digits: String = self.characters.get(self.at..self.at + length)?.iter().collect();
        let is_number = digits.chars().all(|digit| digit.is_digit(radix));
        self.at += length;
        if is_number { u32::from_str_radix(&digits, radix).ok() } else { None }
    }
}

/// What a quoted text holds so far.
struct Content {
    is_bytes: bool,
    start: usize,
    text: String,
    bytes: Vec<u8>,
}

impl Content {
    fn push(&mut self, character: char) {
        if self.is_bytes {
            self.bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            self.text.push(character);
        }
    }

    /// A numeric escape: a byte among bytes, a character in a text.
    fn push_code(&mut self, code: u32) -> Result<(), Flaw> {
        let flaw = || Flaw::new(self.start, "invalid unicode code point");
        if self.is_bytes {
            self.bytes.push(u8::try_from(code).map_err(|_| flaw())?);
        } else {
            self.text.push(char::from_u32(code).ok_or_else(flaw)?);
        }
        Ok(())
    }
}
