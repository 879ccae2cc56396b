//! Text to tokens, with Go's positions and Go's words for what is no token.

use std::borrow::Cow;

use crate::go::quote::{is_print, quote};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    End,
    Text,
    LeftDelimiter,
    RightDelimiter,
    Bool,
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Dot,
    Field,
    Identifier,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightParen,
    Space,
    String,
    Variable,
    Block,
    Break,
    Continue,
    Define,
    Else,
    EndKeyword,
    If,
    Nil,
    Range,
    Template,
    With,
}

/// A token; `value` of an error is its message.
#[derive(Clone, Debug)]
pub(crate) struct Token<'t> {
    pub(crate) kind: Kind,
    pub(crate) position: usize,
    pub(crate) line: u32,
    pub(crate) value: Cow<'t, str>,
}

impl Token<'_> {
    /// Whether Go counts it among the keywords such as `if`; the dot is one.
    fn is_keyword(&self) -> bool {
        use Kind::{Block, Break, Continue, Define, Dot, Else, EndKeyword, If, Nil, Range, Template, With};
        matches!(
            self.kind,
            Block | Break | Continue | Define | Dot | Else | EndKeyword | If | Nil | Range | Template | With
        )
    }

    /// As Go's error messages show it.
    pub(crate) fn show(&self) -> String {
        match self.kind {
            Kind::End => "EOF".into(),
            Kind::Error => self.value.to_string(),
            _ if self.is_keyword() => format!("<{}>", self.value),
            _ if self.value.len() > 10 => {
                // Go's %.10q counts characters.
                let head: String = self.value.chars().take(10).collect();
                format!("{}...", quote(head.as_bytes()))
            }
            _ => quote(self.value.as_bytes()),
        }
    }
}

/// The scanner of one text.
pub(crate) struct Lexer<'t> {
    input: &'t str,
    left: &'t str,
    right: &'t str,
    position: usize,
    start: usize,
    line: u32,
    start_line: u32,
    parens: u32,
    inside_action: bool,
    keywords: LoopKeywords,
}

/// Whether `break` and `continue` are keywords: not when a function has that name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoopKeywords {
    pub(crate) is_break: bool,
    pub(crate) is_continue: bool,
}

type Scanned<'t> = Option<Token<'t>>;

impl<'t> Lexer<'t> {
    /// Starts at the beginning of a text; an empty delimiter is the default one.
    pub(crate) fn new(input: &'t str, left: &'t str, right: &'t str, keywords: LoopKeywords) -> Self {
        let left = if left.is_empty() { "{{" } else { left };
        let right = if right.is_empty() { "}}" } else { right };
        Self {
            input,
            left,
            right,
            position: 0,
            start: 0,
            line: 1,
            start_line: 1,
            parens: 0,
            inside_action: false,
            keywords,
        }
    }

    /// The next token; after the last one and after an error, `End` for ever.
    pub(crate) fn next_token(&mut self) -> Token<'t> {
        loop {
            let scanned = if self.inside_action { self.inside_action() } else { self.text() };
            if let Some(token) = scanned {
                return token;
            }
        }
    }

    fn rest(&self) -> &'t str {
        self.input.get(self.position..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.position += character.len_utf8();
        self.line += u32::from(character == '\n');
        Some(character)
    }

    fn accept(&mut self, valid: &str) -> bool {
        let fits = self.peek().is_some_and(|character| valid.contains(character));
        if fits {
            self.advance();
        }
        fits
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn scanned(&self) -> &'t str {
        self.input.get(self.start..self.position).unwrap_or_default()
    }

    fn count_lines(&self) -> u32 {
        u32::try_from(self.scanned().bytes().filter(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX)
    }

    fn token(&mut self, kind: Kind) -> Token<'t> {
        let token = Token { kind, position: self.start, line: self.start_line, value: Cow::Borrowed(self.scanned()) };
        self.start = self.position;
        self.start_line = self.line;
        token
    }

    fn emit(&mut self, kind: Kind) -> Scanned<'t> {
        Some(self.token(kind))
    }

    /// Skips what was moved over without [`Lexer::advance`].
    fn ignore(&mut self) {
        self.line += self.count_lines();
        self.start = self.position;
        self.start_line = self.line;
    }

    fn fail(&mut self, message: impl Into<Cow<'t, str>>) -> Scanned<'t> {
        let token = Token { kind: Kind::Error, position: self.start, line: self.start_line, value: message.into() };
        self.input = "";
        self.position = 0;
        self.start = 0;
        self.inside_action = false;
        Some(token)
    }

    fn text(&mut self) -> Scanned<'t> {
        let Some(distance) = self.rest().find(self.left) else {
            self.position = self.input.len();
            if self.position > self.start {
                self.line += self.count_lines();
                return self.emit(Kind::Text);
            }
            return self.emit(Kind::End);
        };
        if distance > 0 {
            self.position += distance;
            let after = self.rest().get(self.left.len()..).unwrap_or_default();
            let trimmed = if has_left_trim(after) { trailing_spaces(self.scanned()) } else { 0 };
            self.position -= trimmed;
            self.line += self.count_lines();
            let token = self.token(Kind::Text);
            self.position += trimmed;
            self.ignore();
            if !token.value.is_empty() {
                return Some(token);
            }
        }
        self.left_delimiter()
    }

    fn left_delimiter(&mut self) -> Scanned<'t> {
        self.position += self.left.len();
        let after_marker = if has_left_trim(self.rest()) { 2 } else { 0 };
        if self.rest().get(after_marker..).is_some_and(|rest| rest.starts_with("/*")) {
            self.position += after_marker;
            self.ignore();
            return self.comment();
        }
        let token = self.token(Kind::LeftDelimiter);
        self.inside_action = true;
        self.position += after_marker;
        self.ignore();
        self.parens = 0;
        Some(token)
    }

    fn comment(&mut self) -> Scanned<'t> {
        self.position += "/*".len();
        let Some(length) = self.rest().find("*/") else { return self.fail("unclosed comment") };
        self.position += length + "*/".len();
        let Some(trims) = self.at_right_delimiter() else {
            return self.fail("comment ends before closing delimiter");
        };
        self.skip_right_delimiter(trims);
        self.ignore();
        None
    }

    fn skip_right_delimiter(&mut self, trims: bool) {
        self.position += if trims { 2 } else { 0 } + self.right.len();
        if trims {
            self.position += leading_spaces(self.rest());
        }
    }

    /// Whether a right delimiter comes now, and if so whether it trims.
    fn at_right_delimiter(&self) -> Option<bool> {
        let rest = self.rest();
        if has_right_trim(rest) && rest.get(2..).is_some_and(|rest| rest.starts_with(self.right)) {
            return Some(true);
        }
        rest.starts_with(self.right).then_some(false)
    }

    fn right_delimiter(&mut self, trims: bool) -> Scanned<'t> {
        if trims {
            self.position += 2;
            self.ignore();
        }
        self.position += self.right.len();
        let token = self.token(Kind::RightDelimiter);
        if trims {
            self.position += leading_spaces(self.rest());
            self.ignore();
        }
        self.inside_action = false;
        Some(token)
    }

    fn inside_action(&mut self) -> Scanned<'t> {
        if let Some(trims) = self.at_right_delimiter() {
            return if self.parens == 0 { self.right_delimiter(trims) } else { self.fail("unclosed left paren") };
        }
        let before = self.position;
        let Some(character) = self.advance() else { return self.fail("unclosed action") };
        match character {
            ' ' | '\t' | '\r' | '\n' => self.space(character),
            '=' => self.emit(Kind::Assign),
            ':' if self.accept("=") => self.emit(Kind::Declare),
            ':' => self.fail("expected :="),
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', "unterminated quoted string", Kind::String),
            '`' => self.raw_string(),
            '$' => self.field_or_variable(Kind::Variable),
            '\'' => self.quoted('\'', "unterminated character constant", Kind::CharConstant),
            '.' if !self.rest().starts_with(|next: char| next.is_ascii_digit()) && !self.rest().is_empty() => {
                self.field_or_variable(Kind::Field)
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.position = before;
                self.number()
            }
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen)
            }
            ')' if self.parens == 0 => self.fail("unexpected right paren"),
            ')' => {
                self.parens -= 1;
                self.emit(Kind::RightParen)
            }
            _ if is_alphanumeric(character) => self.identifier(),
            _ if character.is_ascii() && is_print(character) => self.emit(Kind::Char),
            _ => self.fail(format!("unrecognized character in action: {}", code_point(character))),
        }
    }

    fn space(&mut self, first: char) -> Scanned<'t> {
        let mut last = first;
        let mut count = 1;
        while let Some(character) = self.peek().filter(|character| is_space(*character)) {
            self.advance();
            last = character;
            count += 1;
        }
        // The last space may belong to a closing delimiter with a trim marker.
        self.position -= 1;
        let closes = self.at_right_delimiter() == Some(true);
        if closes {
            self.line -= u32::from(last == '\n');
            if count == 1 {
                return self.right_delimiter(true);
            }
        } else {
            self.position += 1;
        }
        self.emit(Kind::Space)
    }

    fn identifier(&mut self) -> Scanned<'t> {
        self.skip_word();
        if !self.at_terminator() {
            return self.bad_character();
        }
        let kind = match self.scanned() {
            "block" => Kind::Block,
            "break" if self.keywords.is_break => Kind::Break,
            "continue" if self.keywords.is_continue => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::EndKeyword,
            "if" => Kind::If,
            "range" => Kind::Range,
            "nil" => Kind::Nil,
            "template" => Kind::Template,
            "with" => Kind::With,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.emit(kind)
    }

    fn skip_word(&mut self) {
        while self.peek().is_some_and(is_alphanumeric) {
            self.advance();
        }
    }

    fn field_or_variable(&mut self, kind: Kind) -> Scanned<'t> {
        if self.at_terminator() {
            return self.emit(if kind == Kind::Variable { kind } else { Kind::Dot });
        }
        self.skip_word();
        if self.at_terminator() { self.emit(kind) } else { self.bad_character() }
    }

    fn bad_character(&mut self) -> Scanned<'t> {
        let shown = self.peek().map(code_point).unwrap_or_default();
        self.fail(format!("bad character {shown}"))
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(character) => is_space(character) || self.rest().starts_with(self.right),
        }
    }

    fn number(&mut self) -> Scanned<'t> {
        if !self.scan_number() {
            return self.bad_number();
        }
        if self.rest().starts_with(['+', '-']) {
            if !self.scan_number() || !self.scanned().ends_with('i') {
                return self.bad_number();
            }
            return self.emit(Kind::Complex);
        }
        self.emit(Kind::Number)
    }

    fn bad_number(&mut self) -> Scanned<'t> {
        let shown = quote(self.scanned().as_bytes());
        self.fail(format!("bad number syntax: {shown}"))
    }

    fn scan_number(&mut self) -> bool {
        const DECIMAL: &str = "0123456789_";
        const HEXADECIMAL: &str = "0123456789abcdefABCDEF_";
        self.accept("+-");
        let mut digits = DECIMAL;
        if self.accept("0") {
            if self.accept("xX") {
                digits = HEXADECIMAL;
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if (digits == DECIMAL && self.accept("eE")) || (digits == HEXADECIMAL && self.accept("pP")) {
            self.accept("+-");
            self.accept_run(DECIMAL);
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.advance();
            return false;
        }
        true
    }

    fn quoted(&mut self, mark: char, unterminated: &'static str, kind: Kind) -> Scanned<'t> {
        loop {
            match self.advance() {
                Some('\\') if !matches!(self.peek(), None | Some('\n')) => {
                    self.advance();
                }
                None | Some('\n' | '\\') => return self.fail(unterminated),
                Some(character) if character == mark => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn raw_string(&mut self) -> Scanned<'t> {
        loop {
            match self.advance() {
                None => return self.fail("unterminated raw quoted string"),
                Some('`') => return self.emit(Kind::RawString),
                Some(_) => {}
            }
        }
    }
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn is_alphanumeric(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

fn has_left_trim(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next() == Some('-') && chars.next().is_some_and(is_space)
}

fn has_right_trim(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(is_space) && chars.next() == Some('-')
}

fn trailing_spaces(text: &str) -> usize {
    text.len() - text.trim_end_matches(is_space).len()
}

fn leading_spaces(text: &str) -> usize {
    text.len() - text.trim_start_matches(is_space).len()
}

/// Go's `%#U`.
fn code_point(character: char) -> String {
    let code = u32::from(character);
    if is_print(character) { format!("U+{code:04X} '{character}'") } else { format!("U+{code:04X}") }
}
