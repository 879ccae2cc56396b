//! The tokens of TOML, read one by one from a place in the text.

use gotemplate::go;

/// What is wrong, in the package's words, and in which line.
pub(super) struct Problem {
    pub line: usize,
    pub words: String,
}

pub(super) type Result<T> = std::result::Result<T, Problem>;

/// A token that stands for a value; its text may still be no such value.
pub(super) enum Token {
    Text(String),
    /// Between double quotes: what stands after a backslash is still to be read. Whether over several lines.
    Escaped(String, bool),
    Bool(bool),
    Integer(String),
    Float(String),
    Time(String),
    /// A `[`.
    List,
    /// A `{`.
    Table,
}

pub(super) struct Scanner<'t> {
    text: &'t str,
    /// What follows the text, if that is no UTF-8.
    bad: Option<u8>,
    at: usize,
    /// Where the token began.
    start: usize,
    line: usize,
    /// The end has been read, and nothing put back since.
    has_ended: bool,
}

pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

pub(super) fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

pub(super) fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// A character as Go quotes it; the end is a zero there.
pub(super) fn quoted(c: Option<char>) -> String {
    go::quote::quote_rune(c.map_or(0, u32::from), false)
}

fn or_end(c: Option<char>) -> String {
    c.map_or_else(|| "end of file".into(), |c| format!("'{c}'"))
}

/// A text of many lines may begin in the line after its quotes.
pub(super) fn without_first_newline(text: &str) -> &str {
    text.strip_prefix('\n').or_else(|| text.strip_prefix("\r\n")).unwrap_or(text)
}

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        let valid = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        Self { text: valid, bad: text.get(valid.len()).copied(), at: 0, start: 0, line: 1, has_ended: false }
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// A problem here, or where the text ended.
    pub(super) fn fail<T>(&self, words: impl Into<String>) -> Result<T> {
        let after_newline = self.has_ended && self.text.ends_with('\n');
        Err(Problem { line: self.line - usize::from(after_newline), words: words.into() })
    }

    /// A problem before a line break that has been read.
    pub(super) fn fail_before<T>(&self, words: impl Into<String>) -> Result<T> {
        Err(Problem { line: self.line - 1, words: words.into() })
    }

    /// The next character; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<char>> {
        let mut rest = self.text[self.at..].chars();
        let Some(c) = rest.next() else {
            if let Some(byte) = self.bad {
                return self.fail(format!("invalid UTF-8 byte: 0x{byte:02x}"));
            }
            self.has_ended = true;
            return Ok(None);
        };
        self.line += usize::from(c == '\n');
        let is_lone = c == '\r' && !rest.as_str().starts_with('\n');
        if is_lone || (c.is_ascii_control() && !is_blank(c) && !is_newline(c)) {
            return self.fail(format!("TOML files cannot contain control characters: '0x{:02x}'", u32::from(c)));
        }
        self.at += c.len_utf8();
        Ok(Some(c))
    }

    /// Puts back what was read last.
    pub(super) fn back(&mut self, c: Option<char>) {
        self.has_ended = false;
        self.at -= c.map_or(0, char::len_utf8);
        self.line -= usize::from(c == Some('\n'));
    }

    pub(super) fn peek(&mut self) -> Result<Option<char>> {
        let c = self.next()?;
        self.back(c);
        Ok(c)
    }

    pub(super) fn accept(&mut self, wanted: char) -> Result<bool> {
        let c = self.next()?;
        if c != Some(wanted) {
            self.back(c);
        }
        Ok(c == Some(wanted))
    }

    /// A token begins here.
    fn mark(&mut self) {
        self.start = self.at;
    }

    /// The token so far.
    fn token(&self) -> String {
        self.text[self.start..self.at].to_owned()
    }

    pub(super) fn skip_while(&mut self, is_skipped: impl Fn(char) -> bool) -> Result<()> {
        loop {
            let c = self.next()?;
            if !c.is_some_and(&is_skipped) {
                self.back(c);
                self.mark();
                return Ok(());
            }
        }
    }

    pub(super) fn skip_blanks(&mut self) -> Result<()> {
        self.skip_while(is_blank)
    }

    /// The rest of a comment; its line break stays.
    pub(super) fn comment(&mut self) -> Result<()> {
        self.skip_while(|c| !is_newline(c))
    }

    /// The end of a line after a value or a header; whether the text goes on.
    pub(super) fn end_of_line(&mut self) -> Result<bool> {
        loop {
            match self.next()? {
                Some('#') => return self.comment().map(|()| true),
                Some(c) if is_blank(c) => {}
                Some(c) if is_newline(c) => return Ok(true),
                None => return Ok(false),
                c => {
                    let got = quoted(c);
                    return self.fail(format!(
                        "expected a top-level item to end with a newline, comment, or EOF, but got {got} instead"
                    ));
                }
            }
        }
    }

    /// One part of a name: bare, or between quotes.
    pub(super) fn name(&mut self) -> Result<Token> {
        self.mark();
        match self.peek()? {
            Some('"') => {
                self.accept('"')?;
                self.string()
            }
            Some('\'') => {
                self.accept('\'')?;
                self.raw()
            }
            _ => {
                self.skip_bare()?;
                Ok(Token::Text(self.token()))
            }
        }
    }

    fn skip_bare(&mut self) -> Result<()> {
        let start = self.start;
        self.skip_while(is_bare)?;
        self.start = start;
        Ok(())
    }

    /// What follows a value in a list or a table: whether a comma.
    pub(super) fn comma(&mut self, close: char) -> Result<bool> {
        loop {
            match self.next()? {
                Some(c) if is_blank(c) || is_newline(c) => {}
                Some('#') => self.comment()?,
                Some(',') => return Ok(true),
                Some(c) if c == close => return Ok(false),
                c if close == ']' => {
                    let got = or_end(c);
                    return self.fail(format!("expected a comma (',') or array terminator (']'), but got {got}"));
                }
                c => {
                    let got = or_end(c);
                    return self
                        .fail(format!("expected a comma or an inline table terminator '}}', but got {got} instead"));
                }
            }
        }
    }

    /// The beginning of a value, or the whole of a plain one.
    pub(super) fn value(&mut self) -> Result<Token> {
        self.skip_blanks()?;
        let c = self.next()?;
        match c {
            Some('0'..='9') => {
                self.back(c);
                self.number_or_time()
            }
            Some('[') => Ok(Token::List),
            Some('{') => Ok(Token::Table),
            Some('"') => self.any_string('"'),
            Some('\'') => self.any_string('\''),
            Some('.') => self.fail("floats must start with a digit, not '.'"),
            Some('-' | '+') => self.signed(),
            Some(letter) if letter.is_alphabetic() => self.word(letter),
            None => self.fail("unexpected EOF; expected value"),
            Some('\n') => self.fail_before("expected value but found '\\n' instead"),
            c => self.fail(format!("expected value but found {} instead", quoted(c))),
        }
    }

    /// `inf` and `nan` are no words but numbers; what only begins like them is told from where it differs.
    fn word(&mut self, first: char) -> Result<Token> {
        let mut last = first;
        if matches!(first, 'i' | 'n') {
            for (second, third) in [('n', 'f'), ('a', 'n')] {
                if self.accept(second)? {
                    if self.accept(third)? {
                        return Ok(Token::Float(self.token()));
                    }
                    last = second;
                }
            }
        }
        self.back(Some(last));
        self.mark();
        self.skip_letters()?;
        match self.token().as_str() {
            "true" => Ok(Token::Bool(true)),
            "false" => Ok(Token::Bool(false)),
            other => self.fail(format!("expected value but found {} instead", go::quote::quote(other.as_bytes()))),
        }
    }

    fn skip_letters(&mut self) -> Result<()> {
        let start = self.start;
        self.skip_while(char::is_alphabetic)?;
        self.start = start;
        Ok(())
    }

    fn signed(&mut self) -> Result<Token> {
        let c = self.next()?;
        let rest = match c {
            Some('i') => Some(['n', 'f']),
            Some('n') => Some(['a', 'n']),
            _ => None,
        };
        if let Some([second, third]) = rest {
            if self.accept(second)? && self.accept(third)? {
                return Ok(Token::Float(self.token()));
            }
            return self.fail(format!("invalid float: '{}'", self.token()));
        }
        match c {
            Some('0') => {
                let base = self.peek()?;
                match base {
                    Some(base @ ('b' | 'o' | 'x')) => {
                        let sign = self.token();
                        self.fail(format!("cannot use sign with non-decimal numbers: '{sign}{base}'"))
                    }
                    _ => self.decimal(),
                }
            }
            Some('1'..='9') => self.decimal(),
            Some('.') => self.fail("floats must start with a digit, not '.'"),
            c => self.fail(format!("expected a digit but got {}", quoted(c))),
        }
    }

    fn number_or_time(&mut self) -> Result<Token> {
        if self.next()? == Some('0') {
            let c = self.next()?;
            match c {
                Some('0'..='9') => {}
                Some('_') => return self.decimal(),
                Some('.' | 'e' | 'E') => return self.float(),
                Some('b') => return self.based("a binary", |c| matches!(c, '0' | '1')),
                Some('o') => return self.based("an octal", |c| matches!(c, '0'..='7')),
                Some('x') => return self.based("a hexadecimal", |c| c.is_ascii_hexdigit()),
                c => {
                    self.back(c);
                    return Ok(Token::Integer(self.token()));
                }
            }
        }
        loop {
            let c = self.next()?;
            match c {
                Some('0'..='9') => {}
                Some('-' | ':') => return self.time(),
                Some('_') => return self.decimal(),
                Some('.' | 'e' | 'E') => return self.float(),
                c => {
                    self.back(c);
                    return Ok(Token::Integer(self.token()));
                }
            }
        }
    }

    fn based(&mut self, kind: &str, is_digit: fn(char) -> bool) -> Result<Token> {
        let c = self.peek()?;
        if !c.is_some_and(is_digit) {
            let got = self.token();
            return self.fail(format!("not {kind} number: '{got}{}'", c.unwrap_or('\0')));
        }
        self.rest_of(|c| is_digit(c) || c == '_').map(Token::Integer)
    }

    /// The token with all characters that may follow.
    fn rest_of(&mut self, is_part: impl Fn(char) -> bool) -> Result<String> {
        let start = self.start;
        self.skip_while(is_part)?;
        self.start = start;
        Ok(self.token())
    }

    fn decimal(&mut self) -> Result<Token> {
        let digits = self.rest_of(|c| c.is_ascii_digit() || c == '_')?;
        match self.next()? {
            Some('.' | 'e' | 'E') => self.float(),
            c => {
                self.back(c);
                Ok(Token::Integer(digits))
            }
        }
    }

    fn float(&mut self) -> Result<Token> {
        self.rest_of(|c| c.is_ascii_digit() || matches!(c, '_' | '.' | '-' | '+' | 'e' | 'E')).map(Token::Float)
    }

    fn time(&mut self) -> Result<Token> {
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | ':' | 'T' | 't' | ' ' | '.' | 'Z' | 'z' | '+');
        let text = self.rest_of(is_part)?;
        Ok(Token::Time(text.trim().to_owned()))
    }

    /// A text whose first quote has been read.
    fn any_string(&mut self, quote: char) -> Result<Token> {
        if self.accept(quote)? {
            if self.accept(quote)? {
                self.mark();
                return self.long_string(quote);
            }
            self.back(Some(quote));
        }
        if quote == '"' { self.string() } else { self.raw() }
    }

    fn string(&mut self) -> Result<Token> {
        self.mark();
        loop {
            match self.next()? {
                None => return self.fail("unexpected EOF; expected '\"'"),
                Some(c) if is_newline(c) => return self.fail_before("strings cannot contain newlines"),
                Some('\\') => self.escape()?,
                Some('"') => {
                    let text = self.text_before(1);
                    return Ok(Token::Escaped(text, false));
                }
                Some(_) => {}
            }
        }
    }

    fn raw(&mut self) -> Result<Token> {
        self.mark();
        loop {
            match self.next()? {
                None => return self.fail("unexpected EOF; expected \"'\""),
                Some(c) if is_newline(c) => return self.fail_before("strings cannot contain newlines"),
                Some('\'') => return Ok(Token::Text(self.text_before(1))),
                Some(_) => {}
            }
        }
    }

    /// The token without its last characters, which are quotes.
    fn text_before(&self, quotes: usize) -> String {
        self.text[self.start..self.at - quotes].to_owned()
    }

    /// A text of many lines, which ends at three quotes; two more may stand before them.
    fn long_string(&mut self, quote: char) -> Result<Token> {
        let three = quote.to_string().repeat(3);
        loop {
            match self.next()? {
                None if quote == '"' => return self.fail("unexpected EOF; expected '\"\"\"'"),
                None => return self.fail("unexpected EOF; expected \"'''\""),
                Some('\\') if quote == '"' => match self.next()? {
                    Some(c) if is_newline(c) => {}
                    c => {
                        self.back(c);
                        self.escape()?;
                    }
                },
                Some(c) if c == quote && self.accept(quote)? => {
                    if !self.accept(quote)? {
                        self.back(Some(quote));
                        continue;
                    }
                    if self.peek()? == Some(quote) {
                        self.check_quotes(&three)?;
                        self.back(Some(quote));
                        self.back(Some(quote));
                        continue;
                    }
                    let text = self.text_before(3);
                    if quote == '"' {
                        return Ok(Token::Escaped(text, true));
                    }
                    return Ok(Token::Text(without_first_newline(&text).to_owned()));
                }
                Some(_) => {}
            }
        }
    }

    /// Six quotes are too many, unless a backslash takes one.
    fn check_quotes(&self, three: &str) -> Result<()> {
        let (token, five) = (self.token(), &three.repeat(2)[1..]);
        if !token.ends_with(five) || (three == "\"\"\"" && token.ends_with(&format!("\\{five}"))) {
            return Ok(());
        }
        let around = if three == "\"\"\"" { '\'' } else { '"' };
        self.fail(format!("unexpected {around}{three}{three}{around}"))
    }

    /// What follows a backslash; the parser reads it again.
    fn escape(&mut self) -> Result<()> {
        let c = self.next()?;
        let (count, digits) = match c {
            Some('e' | 'b' | 't' | 'n' | 'f' | 'r' | '"' | ' ' | '\t' | '\\') => return Ok(()),
            Some('x') => (2, "two hexadecimal digits after '\\x'"),
            Some('u') => (4, "four hexadecimal digits after '\\u'"),
            Some('U') => (8, "eight hexadecimal digits after '\\U'"),
            Some(c) => return self.fail(format!("invalid escape in string '\\{c}'")),
            None => return self.fail_before("invalid escape in string '\\\0'"),
        };
        for _ in 0..count {
            if !self.next()?.is_some_and(|c| c.is_ascii_hexdigit()) {
                let got = go::quote::quote(self.token().as_bytes());
                return self.fail(format!("expected {digits}, but got {got} instead"));
            }
        }
        Ok(())
    }
}
