//! Values on a command line: `a.b=1,c[0]=x,d={1,2}`.

use gotemplate::go::number;
use gotemplate::go::quote::{quote, quote_rune};
use serde_json::{Number, Value};

use super::Values;

/// The highest index of a list.
const MAX_INDEX: i64 = 65_536;
/// How deep names may nest.
const MAX_NESTING: usize = 30;
/// How deep lists may nest; Helm has no such limit.
const MAX_LISTS: usize = 100;

/// What is wrong with a line of values, in Helm's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StrvalsError(String);

/// Reads the file that a value names.
pub type ReadFile<'r> = &'r dyn Fn(&str) -> Result<String, String>;

/// How the right side of `=` is read.
#[derive(Clone, Copy)]
pub enum Mode<'r> {
    /// `--set`: numbers, booleans and `null` are what they look like.
    Typed,
    /// `--set-string`: all is text.
    Text,
    /// `--set-file`: the content of the file that is named.
    File(ReadFile<'r>),
    /// `--set-json`: JSON.
    Json,
    /// `--set-literal`: all is text, up to the end, and nothing has a meaning in it.
    Literal,
}

/// Reads a line of values into a map.
///
/// # Errors
/// When the line has another form. The map may hold a part of it then.
pub fn parse(line: &str, mode: Mode<'_>, into: &mut Values) -> Result<(), StrvalsError> {
    let mut parser = Parser { rest: line, mode, lists: 0 };
    loop {
        parser.lists = 0;
        match parser.key(into, 0) {
            Ok(()) => {}
            Err(Stop::End) => return Ok(()),
            Err(Stop::Problem(problem)) => return Err(StrvalsError(problem)),
        }
    }
}

/// Why reading stopped. The end is no problem, but it ends all.
enum Stop {
    End,
    Problem(String),
}

fn problem<T>(text: impl Into<String>) -> Read<T> {
    Err(Stop::Problem(text.into()))
}

type Read<T> = Result<T, Stop>;

struct Parser<'l, 'r> {
    rest: &'l str,
    mode: Mode<'r>,
    /// Lists that the value under way lies in.
    lists: usize,
}

/// A word, and the character that ended it; `None` at the end of the line.
type Word = (String, Option<char>);

impl Parser<'_, '_> {
    fn next(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.rest = &self.rest[character.len_utf8()..];
        Some(character)
    }

    fn until(&mut self, stops: &[char]) -> Word {
        let mut word = String::new();
        while let Some(character) = self.next() {
            if stops.contains(&character) {
                return (word, Some(character));
            }
            if character == '\\' && !matches!(self.mode, Mode::Literal) {
                match self.next() {
                    Some(escaped) => word.push(escaped),
                    None => break,
                }
                continue;
            }
            word.push(character);
        }
        (word, None)
    }

    fn key(&mut self, data: &mut Values, nesting: usize) -> Read<()> {
        let stops: &[char] = if matches!(self.mode, Mode::Literal) { &['=', '[', '.'] } else { &['=', '[', ',', '.'] };
        let (key, stop) = self.until(stops);
        match stop {
            None if key.is_empty() => Err(Stop::End),
            None => problem(format!("key {} has no value", quote(key.as_bytes()))),
            Some('[') => self.list(data, &key, nesting),
            Some('=') => self.assign(data, &key),
            Some('.') => self.map(data, &key, nesting + 1),
            Some(_) => {
                set(data, &key, "".into());
                problem(format!("key {} has no value (cannot end with ,)", quote(key.as_bytes())))
            }
        }
    }

    fn list(&mut self, data: &mut Values, key: &str, nesting: usize) -> Read<()> {
        let index = self.index()?;
        let list = match data.get_mut(key) {
            None => Vec::new(),
            Some(Value::Array(list)) => std::mem::take(list),
            Some(other) => return problem(not_a(other, "[]interface {}")),
        };
        let (list, result) = self.item(list, index, nesting);
        set(data, key, Value::Array(list));
        result
    }

    fn map(&mut self, data: &mut Values, key: &str, nesting: usize) -> Read<()> {
        if nesting > MAX_NESTING {
            return problem(format!(
                "value name nested level is greater than maximum supported nested level of {MAX_NESTING}"
            ));
        }
        let mut inner = match data.get_mut(key) {
            None => Values::new(),
            Some(Value::Object(inner)) => std::mem::take(inner),
            Some(other) => return problem(not_a(other, "map[string]interface {}")),
        };
        let result = self.key(&mut inner, nesting);
        if result.is_ok() && inner.is_empty() {
            return problem(format!("key map {} has no value", quote(key.as_bytes())));
        }
        if !inner.is_empty() {
            set(data, key, Value::Object(inner));
        }
        result
    }

    fn assign(&mut self, data: &mut Values, key: &str) -> Read<()> {
        let (value, result) = self.value();
        if let Some(value) = value {
            set(data, key, value);
        }
        result
    }

    /// What stands right of `=`, and how to go on; there may be a value even at the end.
    fn value(&mut self) -> (Option<Value>, Read<()>) {
        match self.mode {
            Mode::Literal => {
                let text = std::mem::take(&mut self.rest);
                (Some(text.into()), Ok(()))
            }
            Mode::Json => match self.json() {
                Ok(value) => (Some(value), Ok(())),
                Err(stop) => (None, Err(stop)),
            },
            _ if self.rest.is_empty() => (Some("".into()), Err(Stop::End)),
            _ if self.rest.starts_with('{') => match self.braces() {
                Ok(items) => (Some(Value::Array(items)), Ok(())),
                Err(stop) => (None, Err(stop)),
            },
            _ => {
                let (word, _) = self.until(&[',']);
                match self.typed(word) {
                    Ok(value) => (Some(value), Ok(())),
                    Err(stop) => (Some(Value::Null), Err(stop)),
                }
            }
        }
    }

    fn index(&mut self) -> Read<i64> {
        let (text, stop) = self.until(&[']']);
        if stop.is_none() {
            return Err(Stop::End);
        }
        match number::atoi(&text) {
            Ok(index) => Ok(index),
            Err(error) => {
                let shown = quote(text.as_bytes());
                problem(format!("error parsing index: strconv.Atoi: parsing {shown}: {}", error.message()))
            }
        }
    }

    /// Changes one item of a list; the list comes back whatever happens.
    fn item(&mut self, mut list: Vec<Value>, index: i64, nesting: usize) -> (Vec<Value>, Read<()>) {
        if index < 0 {
            return (list, problem(format!("negative {index} index not allowed")));
        }
        self.lists += 1;
        if self.lists > MAX_LISTS {
            return (list, problem(format!("lists nest deeper than {MAX_LISTS}")));
        }
        let (word, stop) = self.until(&['[', '.', '=']);
        if !word.is_empty() {
            let shown: Vec<String> = word.chars().map(|c| quote_rune(c.into(), false)).collect();
            return (list, problem(format!("unexpected data at end of array index: [{}]", shown.join(" "))));
        }
        match stop {
            None => (list, Err(Stop::End)),
            Some('=') => self.item_value(list, index),
            Some('[') => self.item_list(list, index, nesting),
            Some(_) => {
                let slot = usize::try_from(index).ok().and_then(|index| list.get_mut(index));
                let existed = slot.is_some();
                let mut inner = match slot.map(Value::take) {
                    Some(Value::Object(inner)) => inner,
                    _ => Values::new(),
                };
                let result = self.key(&mut inner, nesting);
                // A new item is lost when the line ends within it, one that was there is changed.
                if existed || result.is_ok() {
                    let put = put(&mut list, index, Value::Object(inner));
                    return (list, result.and(put));
                }
                (list, result)
            }
        }
    }

    fn item_value(&mut self, mut list: Vec<Value>, index: i64) -> (Vec<Value>, Read<()>) {
        let was_empty = self.rest.is_empty();
        let (value, result) = self.value();
        match (value, result) {
            (Some(value), Err(Stop::End)) if was_empty => {
                let put = put(&mut list, index, value);
                (list, put)
            }
            (Some(value), Ok(())) => {
                let put = put(&mut list, index, value);
                (list, put)
            }
            (_, result) => (list, result),
        }
    }

    fn item_list(&mut self, mut list: Vec<Value>, index: i64, nesting: usize) -> (Vec<Value>, Read<()>) {
        let next = match self.index() {
            Ok(next) => next,
            Err(stop) => return (list, Err(stop)),
        };
        let slot = usize::try_from(index).ok().and_then(|index| list.get_mut(index));
        let inner = match slot {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(inner)) => inner.clone(),
            Some(other) => {
                let text = not_a(other, "[]interface {}");
                return (list, problem(text));
            }
        };
        let (inner, result) = self.item(inner, next, nesting);
        if result.is_err() {
            return (list, result);
        }
        let put = put(&mut list, index, Value::Array(inner));
        (list, put)
    }

    /// `{a,b}`.
    fn braces(&mut self) -> Read<Vec<Value>> {
        self.next();
        let mut items = Vec::new();
        loop {
            let (word, stop) = self.until(&[',', '}']);
            match stop {
                None => return problem("list must terminate with '}'"),
                Some(',') => items.push(self.typed(word)?),
                Some(_) => {
                    self.rest = self.rest.strip_prefix(',').unwrap_or(self.rest);
                    items.push(self.typed(word)?);
                    return Ok(items);
                }
            }
        }
    }

    fn typed(&self, word: String) -> Read<Value> {
        match self.mode {
            Mode::Typed => Ok(typed(word)),
            Mode::File(read) => read(&word).map(Value::String).map_err(Stop::Problem),
            _ => Ok(Value::String(word)),
        }
    }

    fn json(&mut self) -> Read<Value> {
        if self.skip_separator() {
            return Ok(Value::Null);
        }
        let mut stream = serde_json::Deserializer::from_str(self.rest).into_iter::<Value>();
        let value = match stream.next() {
            Some(Ok(value)) => value,
            _ => {
                // Go reads a stream here, whose end is another error than that of a text.
                let text = gotemplate::go::json::parse(self.rest.as_bytes()).err().unwrap_or_default();
                return problem(text.replace("unexpected end of JSON input", "unexpected EOF"));
            }
        };
        self.rest = &self.rest[stream.byte_offset()..];
        self.skip_separator();
        Ok(super::floats(value))
    }

    /// Skips spaces and one comma; whether that was all up to the comma or the end.
    fn skip_separator(&mut self) -> bool {
        self.rest = self.rest.trim_start();
        if let Some(rest) = self.rest.strip_prefix(',') {
            self.rest = rest;
            return true;
        }
        self.rest.is_empty()
    }
}

fn typed(word: String) -> Value {
    if word.eq_ignore_ascii_case("true") {
        return true.into();
    }
    if word.eq_ignore_ascii_case("false") {
        return false.into();
    }
    if word.eq_ignore_ascii_case("null") {
        return Value::Null;
    }
    let is_plain = word == "0" || !word.starts_with('0');
    match number::atoi(&word) {
        Ok(whole) if is_plain => Value::Number(Number::from(whole)),
        _ => Value::String(word),
    }
}

fn set(data: &mut Values, key: &str, value: Value) {
    if !key.is_empty() {
        data.insert(key.to_owned(), value);
    }
}

fn put(list: &mut Vec<Value>, index: i64, value: Value) -> Read<()> {
    if index > MAX_INDEX {
        return problem(format!("index of {index} is greater than maximum supported index of {MAX_INDEX}"));
    }
    let index = usize::try_from(index).unwrap_or(0);
    if list.len() <= index {
        list.resize(index + 1, Value::Null);
    }
    list[index] = value;
    Ok(())
}

/// Go's words for a value of the wrong type.
fn not_a(value: &Value, wanted: &str) -> String {
    let found = match value {
        Value::Null => "nil".into(),
        other => gotemplate::Value::from_json_integers(other).go_type().to_string(),
    };
    format!("unable to parse key: interface conversion: interface {{}} is {found}, not {wanted}")
}
