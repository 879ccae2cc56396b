//! JSON as Go's decoder reads it token by token: keys in order, doubles kept, integers exact.

use super::malformed;
use crate::Format;
use crate::error::Error;
use crate::text::Text;
use crate::tree::{Branch, DEEPEST, Item, Value};

/// Reads the object at the start of the text; what follows it does not count, as in the original.
pub(super) fn load(bytes: &[u8]) -> Result<Branch, Error> {
    let mut reader = Reader { bytes, place: 0, depth: 0 };
    match reader.next_token() {
        Some(b'{') => reader.object(),
        Some(b'[') => Err(reader.error("the top level must be an object, not an array")),
        Some(_) => Err(reader.error("the top level must be an object")),
        None => Err(reader.error("it is empty")),
    }
}

/// Reads a single value, behind which nothing may stand.
pub(super) fn load_value(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader { bytes, place: 0, depth: 0 };
    let value = reader.value()?;
    match reader.next_token() {
        None => Ok(value),
        Some(_) => Err(reader.error("more stands behind the value")),
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    place: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.place).copied()
    }

    /// The first byte behind white space.
    fn next_token(&mut self) -> Option<u8> {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.place += 1;
        }
        self.peek()
    }

    fn error(&self, problem: &str) -> Error {
        let before = self.bytes.get(..self.place).unwrap_or(self.bytes);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        malformed(Format::Json, u32::try_from(line).ok(), problem)
    }

    fn deeper(&mut self) -> Result<(), Error> {
        self.place += 1;
        self.depth += 1;
        if self.depth > DEEPEST { Err(self.error("collections are nested too deep")) } else { Ok(()) }
    }

    fn object(&mut self) -> Result<Branch, Error> {
        self.deeper()?;
        let mut branch = Branch::new();
        loop {
            match self.next_token() {
                Some(b'}') if branch.is_empty() => break,
                Some(b'"') => {}
                _ => return Err(self.error("expected a key")),
            }
            let key = self.string()?;
            if self.next_token() != Some(b':') {
                return Err(self.error("expected a colon"));
            }
            self.place += 1;
            let value = self.value()?;
            branch.push(Item::new(key, value));
            if !self.goes_on(b'}')? {
                break;
            }
        }
        self.place += 1;
        self.depth -= 1;
        Ok(branch)
    }

    fn array(&mut self) -> Result<Vec<Value>, Error> {
        self.deeper()?;
        let mut list = Vec::new();
        if self.next_token() != Some(b']') {
            loop {
                list.push(self.value()?);
                if !self.goes_on(b']')? {
                    break;
                }
            }
        }
        self.place += 1;
        self.depth -= 1;
        Ok(list)
    }

    /// Whether a comma follows; the closing bracket is left where it is.
    fn goes_on(&mut self, close: u8) -> Result<bool, Error> {
        match self.next_token() {
            Some(b',') => {
                self.place += 1;
                Ok(true)
            }
            Some(byte) if byte == close => Ok(false),
            Some(_) => Err(self.error("expected a comma or the end of the collection")),
            None => Err(self.error("it ends within a collection")),
        }
    }

    fn value(&mut self) -> Result<Value, Error> {
        match self.next_token() {
            Some(b'{') => self.object().map(Value::Branch),
            Some(b'[') => self.array().map(Value::List),
            Some(b'"') => self.string().map(Value::Str),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => Err(self.error("expected a value")),
            None => Err(self.error("it ends where a value is expected")),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Error> {
        if !self.bytes.get(self.place..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return Err(self.error("expected a value"));
        }
        self.place += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, Error> {
        let start = self.place;
        if self.peek() == Some(b'-') {
            self.place += 1;
        }
        match self.peek() {
            Some(b'0') => self.place += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.place += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.place += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.place += 1;
            }
            self.digits()?;
        }
        let text = self.bytes.get(start..self.place).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or("");
        if let Ok(value) = text.parse() {
            return Ok(Value::Int(value));
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Value::Float(value)),
            _ => Err(self.error("a number is out of range")),
        }
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.place;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.place += 1;
        }
        if self.place == start { Err(self.error("expected a digit")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<Text, Error> {
        self.place += 1;
        let mut text = Vec::new();
        loop {
            let start = self.place;
            while self.peek().is_some_and(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
                self.place += 1;
            }
            // Go replaces what is not UTF-8.
            let clean = self.bytes.get(start..self.place).unwrap_or_default();
            for chunk in clean.utf8_chunks() {
                text.extend_from_slice(chunk.valid().as_bytes());
                text.extend(chunk.invalid().iter().flat_map(|_| "\u{fffd}".bytes()));
            }
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    let character = self.escape()?;
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(_) => return Err(self.error("a control character in a string")),
                None => return Err(self.error("it ends within a string")),
            }
        }
        self.place += 1;
        Ok(text.into())
    }

    fn escape(&mut self) -> Result<char, Error> {
        let letter = self.bytes.get(self.place + 1).copied();
        self.place += 2;
        Ok(match letter {
            Some(letter @ (b'"' | b'\\' | b'/')) => char::from(letter),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.code_point(),
            _ => return Err(self.error("an unknown escape in a string")),
        })
    }

    /// A half of a pair that stands alone is replaced.
    fn code_point(&mut self) -> Result<char, Error> {
        let Some(first) = self.hexadecimal() else { return Err(self.error("an incomplete escape in a string")) };
        self.place += 4;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        let has_second = self.bytes.get(self.place..).is_some_and(|rest| rest.starts_with(b"\\u"));
        if has_second && (0xd800..0xdc00).contains(&first) {
            self.place += 2;
            match self.hexadecimal() {
                Some(second @ 0xdc00..0xe000) => {
                    self.place += 4;
                    let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                    return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                _ => self.place -= 2,
            }
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hexadecimal(&self) -> Option<u32> {
        let digits = self.bytes.get(self.place..self.place + 4)?;
        digits.iter().try_fold(0, |code, digit| Some(code * 16 + char::from(*digit).to_digit(16)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Value> {
        let text = format!("{{\"v\":{text}}} trailing");
        load(text.as_bytes()).ok()?.pop().map(|item| item.value)
    }

    #[test]
    fn values_are_read_as_go_reads_them() {
        assert!(read("9007199254740993") == Some(Value::Int(9_007_199_254_740_993)));
        assert!(read("1.0") == Some(Value::Float(1.0)));
        assert!(read("18446744073709551615") == Some(Value::Float(18_446_744_073_709_551_615.0)));
        assert!(read("-0") == Some(Value::Int(0)));
        assert!(read(r#""\ud83d\ude00\ud83d\u0041\n""#) == Some(Value::text("\u{1f600}\u{fffd}A\n")));
        for text in ["01", "1.", "1e400", "tru", "\"\t\"", "[1,]", "[1", "{\"a\" 1}", "", "\"\\x\"", "\"\\u12"] {
            assert!(read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn depth_is_limited() {
        let text = "{\"a\":".repeat(100_000);
        assert!(load(text.as_bytes()).is_err());
    }
}
