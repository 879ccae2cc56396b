//! Go's `encoding/json`: reading, with its errors; printing is the `yaml` crate's.

use crate::value::{Entries, MAX_DEPTH, Map, Text, Value};

/// Reads a JSON text into what Go makes of it: numbers are `float64`, of two equal keys the last counts.
///
/// # Errors
/// Go's words for what is wrong with it.
pub fn parse(text: &[u8]) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0, unfit: None };
    reader.space();
    let value = reader.value(0)?;
    reader.space();
    match reader.peek() {
        Some(byte) => Err(reader.invalid(byte, "after top-level value")),
        None => reader.unfit.map_or(Ok(value), Err),
    }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    /// Go reads all before it finds that a number does not fit.
    unfit: Option<String>,
}

fn ended() -> String {
    "unexpected end of JSON input".into()
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn invalid(&self, byte: u8, place: &str) -> String {
        let shown = match byte {
            b'\'' => "'\\''".to_owned(),
            b'"' => "'\"'".to_owned(),
            byte => {
                let quoted = super::quote::quote(char::from(byte).to_string().as_bytes());
                format!("'{}'", &quoted[1..quoted.len() - 1])
            }
        };
        format!("invalid character {shown} {place}")
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err("exceeded max depth".into());
        }
        match self.peek().ok_or_else(ended)? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Value::String),
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            b'n' => self.literal("null", Value::Nil),
            b'-' | b'0'..=b'9' => self.number(),
            byte => Err(self.invalid(byte, "looking for beginning of value")),
        }
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, String> {
        for expected in word.bytes() {
            let byte = self.peek().ok_or_else(ended)?;
            if byte != expected {
                return Err(self.invalid(byte, &format!("in literal {word} (expecting '{}')", char::from(expected))));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        let number: f64 = text.parse().unwrap_or(f64::INFINITY);
        if number.is_infinite() {
            self.unfit
                .get_or_insert_with(|| format!("json: cannot unmarshal number {text} into Go value of type float64"));
        }
        Ok(Value::float(number))
    }

    fn digits(&mut self, place: &str) -> Result<(), String> {
        match self.peek() {
            None => return Err(ended()),
            Some(byte) if !byte.is_ascii_digit() => return Err(self.invalid(byte, place)),
            Some(_) => {}
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(items.into());
        }
        loop {
            self.space();
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek().ok_or_else(ended)? {
                b',' => self.at += 1,
                b']' => break,
                byte => return Err(self.invalid(byte, "after array element")),
            }
        }
        self.at += 1;
        Ok(items.into())
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        const KEY: &str = "looking for beginning of object key string";
        self.at += 1;
        let mut entries = Entries::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(entries.into());
        }
        loop {
            self.space();
            match self.peek().ok_or_else(ended)? {
                b'"' => {}
                byte => return Err(self.invalid(byte, KEY)),
            }
            let key = self.string()?;
            self.space();
            match self.peek().ok_or_else(ended)? {
                b':' => self.at += 1,
                byte => return Err(self.invalid(byte, "after object key")),
            }
            self.space();
            let value = self.value(depth + 1)?;
            entries.insert(key, value);
            self.space();
            match self.peek().ok_or_else(ended)? {
                b',' => self.at += 1,
                b'}' => break,
                byte => return Err(self.invalid(byte, "after object key:value pair")),
            }
        }
        self.at += 1;
        Ok(Value::Map(Map::new(entries)))
    }

    fn string(&mut self) -> Result<Text, String> {
        self.at += 1;
        let mut out: Vec<u8> = Vec::new();
        loop {
            let byte = self.peek().ok_or_else(ended)?;
            match byte {
                b'"' => break,
                b'\\' => self.escape(&mut out)?,
                0..0x20 => return Err(self.invalid(byte, "in string literal")),
                byte => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Ok(String::from_utf8_lossy(&out).into())
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        self.at += 1;
        let byte = self.peek().ok_or_else(ended)?;
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.at += 1;
                let character = self.code_point()?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            byte => return Err(self.invalid(byte, "in string escape code")),
        };
        self.at += 1;
        out.push(plain);
        Ok(())
    }

    /// `\uXXXX`, or two of them for a character beyond the first plane; halves alone become U+FFFD.
    fn code_point(&mut self) -> Result<char, String> {
        let first = self.hex4()?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        let after = self.at;
        if first < 0xdc00 && self.text.get(after..after + 2) == Some(b"\\u") {
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = after;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..4 {
            let byte = self.peek().ok_or_else(ended)?;
            let digit = char::from(byte).to_digit(16);
            code = code * 16 + digit.ok_or_else(|| self.invalid(byte, "in \\u hexadecimal character escape"))?;
            self.at += 1;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_told_in_gos_words() {
        let message = |text: &str| parse(text.as_bytes()).map(|_| ());
        assert_eq!(message("bad"), Err("invalid character 'b' looking for beginning of value".into()));
        assert_eq!(message("{\"a\""), Err("unexpected end of JSON input".into()));
        assert_eq!(message("[1 2]"), Err("invalid character '2' after array element".into()));
        assert_eq!(message("nul"), Err("unexpected end of JSON input".into()));
        assert!(message(&"[".repeat(100_000)).is_err());
    }
}
