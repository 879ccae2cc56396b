//! TOML as the `BurntSushi/toml` package reads it, and what it says of texts that are none.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use gotemplate::{Entries, List, MAX_DEPTH, Map, Type, Value, go};

use super::literal::{float, instant, integer, normal_time};
use super::scan::{self, Problem, Result, Scanner, Token, is_blank, is_newline};

/// Reads a text.
///
/// # Errors
/// The package's words for what is no TOML.
pub(in crate::render) fn parse(text: &[u8]) -> std::result::Result<Value, String> {
    let marks: [&[u8]; 3] = [b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"];
    let text = marks.iter().find_map(|mark| text.strip_prefix(*mark)).unwrap_or(text);
    if text.iter().take(6).any(|byte| *byte == 0) {
        let words = "files cannot contain NULL bytes; probably using UTF-16; TOML files must be UTF-8";
        return Err(format!("toml: line 1: {words}"));
    }
    let mut parser = Parser {
        scan: Scanner::new(text),
        context: Vec::new(),
        key: String::new(),
        line: 0,
        tables: vec![Table::new()],
        lists: HashMap::new(),
        implicit: HashSet::new(),
        depth: 0,
    };
    let read = parser.document();
    let last = parser.last_key();
    read.map_err(|problem| match last.is_empty() {
        true => format!("toml: line {}: {}", problem.line, problem.words),
        false => {
            let last = go::quote::quote(last.as_bytes());
            format!("toml: line {} (last key {last}): {}", problem.line, problem.words)
        }
    })?;
    Ok(parser.table(0))
}

type Table = HashMap<String, Node>;

/// A value of a table; tables are kept by number, as they grow while others are read.
#[derive(Clone)]
enum Node {
    Plain(Value),
    List(Vec<Node>),
    Table(usize),
    /// What `[[name]]` makes.
    Tables(Vec<usize>),
}

struct Parser<'t> {
    scan: Scanner<'t>,
    /// The table in which keys are set.
    context: Vec<String>,
    /// The key whose value is read.
    key: String,
    /// Where the key or header began that is read.
    line: usize,
    tables: Vec<Table>,
    /// Whether a path is a list between brackets.
    lists: HashMap<String, bool>,
    /// Paths that were made on the way to others.
    implicit: HashSet<String>,
    depth: usize,
}

/// A path as it could stand in a document.
fn path(keys: &[String]) -> String {
    keys.iter().map(|key| super::quoted_key(key)).collect::<Vec<_>>().join(".")
}

impl Parser<'_> {
    fn fail<T>(&self, words: impl Into<String>) -> Result<T> {
        Err(Problem { line: self.line, words: words.into() })
    }

    fn last_key(&self) -> String {
        match (self.context.is_empty(), self.key.is_empty()) {
            (_, true) => path(&self.context),
            (true, _) => self.key.clone(),
            _ => format!("{}.{}", path(&self.context), self.key),
        }
    }

    fn document(&mut self) -> Result<()> {
        loop {
            self.scan.skip_while(|c| is_blank(c) || is_newline(c))?;
            match self.scan.next()? {
                None => return Ok(()),
                Some('#') => {
                    self.scan.comment()?;
                    continue;
                }
                Some('[') => self.header()?,
                c => {
                    self.scan.back(c);
                    let outer = self.context.clone();
                    self.entry()?;
                    self.context = outer;
                    self.key = String::new();
                }
            }
            if !self.scan.end_of_line()? {
                return Ok(());
            }
        }
    }

    /// `[name]` or `[[name]]`, after the first bracket.
    fn header(&mut self) -> Result<()> {
        let is_list = self.scan.peek()? == Some('[') && self.scan.accept('[')?;
        let mut keys = Vec::new();
        loop {
            self.scan.skip_blanks()?;
            match self.scan.peek()? {
                Some(']') | None => {
                    return self.scan.fail("unexpected end of table name (table names cannot be empty)");
                }
                Some('.') => return self.scan.fail("unexpected table separator (table names cannot be empty)"),
                _ => self.name(&mut keys)?,
            }
            self.scan.skip_blanks()?;
            match self.scan.next()? {
                Some('.') => {}
                Some(']') => break,
                c => {
                    let got = scan::quoted(c);
                    return self.scan.fail(format!("expected '.' or ']' to end table name, but got {got} instead"));
                }
            }
        }
        if is_list {
            let c = self.scan.next()?;
            if c != Some(']') {
                let got = scan::quoted(c);
                return self
                    .scan
                    .fail(format!("expected end of table array name delimiter ']', but got {got} instead"));
            }
        }
        self.open(&keys, is_list)?;
        self.lists.insert(path(&self.context), false);
        Ok(())
    }

    /// One part of a name.
    fn name(&mut self, keys: &mut Vec<String>) -> Result<()> {
        let token = self.scan.name()?;
        if keys.is_empty() {
            self.line = self.scan.line();
        }
        if keys.len() + self.context.len() >= MAX_DEPTH {
            return self.fail("nested too deeply");
        }
        keys.push(match token {
            Token::Text(text) => text,
            Token::Escaped(text, _) => self.unescaped(&text)?,
            _ => String::new(),
        });
        Ok(())
    }

    /// The parts of a key, with the sign after it.
    fn keys(&mut self) -> Result<Vec<String>> {
        self.scan.skip_blanks()?;
        match self.scan.peek()? {
            Some('=') | None => return self.scan.fail("unexpected '=': key name appears blank"),
            Some('.') => return self.scan.fail("unexpected '.': keys cannot start with a '.'"),
            _ => {}
        }
        let mut keys = Vec::new();
        loop {
            self.scan.skip_blanks()?;
            match self.scan.peek()? {
                Some('=') | None => return self.scan.fail("unexpected '='"),
                Some('.') => return self.scan.fail("unexpected '.'"),
                _ => self.name(&mut keys)?,
            }
            self.scan.skip_blanks()?;
            match self.scan.next()? {
                Some('.') => {}
                Some('=') => return Ok(keys),
                None => return self.scan.fail("unexpected EOF; expected key separator '='"),
                Some('\n') => return self.scan.fail_before("expected '.' or '=', but got '\\n' instead"),
                c => return self.scan.fail(format!("expected '.' or '=', but got {} instead", scan::quoted(c))),
            }
        }
    }

    /// `key = value`; gives both. The context becomes the one of the key.
    fn entry(&mut self) -> Result<(Vec<String>, Node)> {
        let keys = self.keys()?;
        if let Some((last, parents)) = keys.split_last() {
            self.key = last.clone();
            for parent in parents {
                let mut within = self.context.clone();
                within.push(parent.clone());
                self.implicit.insert(path(&within));
                self.open(&within, false)?;
            }
        }
        let (node, is_list) = self.value(false)?;
        self.set(&self.key.clone(), node.clone())?;
        self.note(is_list);
        Ok((keys, node))
    }

    /// Notes whether the current key is a list between brackets.
    fn note(&mut self, is_list: bool) {
        let mut keys = self.context.clone();
        if !self.key.is_empty() || keys.is_empty() {
            keys.push(self.key.clone());
        }
        self.lists.insert(path(&keys), is_list);
    }

    /// The table that a node is, or the last one of those that it is.
    fn table_of(node: &Node) -> Option<usize> {
        match node {
            Node::Table(table) => Some(*table),
            Node::Tables(tables) => tables.last().copied(),
            _ => None,
        }
    }

    fn new_table(&mut self) -> usize {
        self.tables.push(Table::new());
        self.tables.len() - 1
    }

    /// Goes to a table and makes it, with those on the way.
    fn open(&mut self, keys: &[String], is_list: bool) -> Result<()> {
        let Some((last, parents)) = keys.split_last() else { return Ok(()) };
        let mut at = 0;
        for (index, key) in parents.iter().enumerate() {
            let way = &keys[..=index];
            if !self.tables[at].contains_key(key) {
                self.implicit.insert(path(way));
                let made = self.new_table();
                self.tables[at].insert(key.clone(), Node::Table(made));
            }
            match self.tables[at].get(key).and_then(Self::table_of) {
                Some(table) => at = table,
                None => return self.fail(format!("Key '{}' was already created as a hash.", path(way))),
            }
        }
        self.context = parents.to_vec();
        if is_list {
            let made = self.new_table();
            match self.tables[at].entry(last.clone()).or_insert_with(|| Node::Tables(Vec::new())) {
                Node::Tables(tables) => tables.push(made),
                _ => {
                    let words = format!("Key '{}' was already created and cannot be used as an array.", path(keys));
                    return self.fail(words);
                }
            }
        } else {
            let made = self.new_table();
            self.set(last, Node::Table(made))?;
        }
        self.context.push(last.clone());
        Ok(())
    }

    /// Sets a key of the context.
    fn set(&mut self, key: &str, node: Node) -> Result<()> {
        let mut at = 0;
        for (index, step) in self.context.iter().enumerate() {
            match self.tables[at].get(step).and_then(Self::table_of) {
                Some(table) => at = table,
                None => {
                    let words = format!("Key '{}' has already been defined.", path(&self.context[..=index]));
                    return self.fail(words);
                }
            }
        }
        let keys = [self.context.as_slice(), &[key.to_owned()]].concat();
        let whole = path(&keys);
        if self.tables[at].contains_key(key) {
            // What was made on the way to another key may be defined once.
            if !self.implicit.remove(&whole) {
                return self.fail(format!("Key '{whole}' has already been defined."));
            }
            if self.lists.get(&whole) != Some(&true) {
                return Ok(());
            }
        }
        self.tables[at].insert(key.to_owned(), node);
        Ok(())
    }

    /// A value, and whether it is a list between brackets.
    fn value(&mut self, in_list: bool) -> Result<(Node, bool)> {
        let token = self.scan.value()?;
        let line = self.scan.line();
        let told = |words: String| Problem { line, words };
        let plain = match token {
            Token::Text(text) => text.into(),
            Token::Escaped(text, is_long) => {
                let text = if is_long { without_escaped_newlines(&text) } else { text };
                self.unescaped(&text)?.into()
            }
            Token::Bool(value) => Value::Bool(value),
            Token::Integer(text) => Value::int64(integer(&text).map_err(told)?),
            Token::Float(text) => Value::float(float(&text).map_err(told)?),
            Token::Time(text) => {
                let time = instant(&text);
                let time = time.ok_or_else(|| {
                    told(format!("invalid datetime: {}", go::quote::quote(normal_time(&text).as_bytes())))
                })?;
                Value::Time(Arc::new(time))
            }
            Token::List | Token::Table => {
                if self.depth >= MAX_DEPTH / 4 {
                    return self.scan.fail("nested too deeply");
                }
                self.depth += 1;
                let is_list = matches!(token, Token::List);
                let node = if is_list { self.list() } else { self.inline_table(in_list) };
                self.depth -= 1;
                return Ok((node?, is_list));
            }
        };
        Ok((Node::Plain(plain), false))
    }

    fn list(&mut self) -> Result<Node> {
        self.note(true);
        let mut items = Vec::new();
        loop {
            self.scan.skip_while(|c| is_blank(c) || is_newline(c))?;
            match self.scan.next()? {
                Some('#') => {
                    self.scan.comment()?;
                    continue;
                }
                Some(',') => return self.scan.fail("unexpected comma"),
                Some(']') => break,
                c => self.scan.back(c),
            }
            items.push(self.value(true)?.0);
            if !self.scan.comma(']')? {
                break;
            }
        }
        Ok(Node::List(items))
    }

    fn inline_table(&mut self, in_list: bool) -> Result<Node> {
        let (outer, outer_key) = (self.context.clone(), std::mem::take(&mut self.key));
        let within = [outer.as_slice(), std::slice::from_ref(&outer_key)].concat();
        if within.len() > MAX_DEPTH {
            return self.fail("nested too deeply");
        }
        self.context.clone_from(&within);
        self.implicit.insert(path(&within));
        self.open(&within, in_list)?;
        let top = self.new_table();
        while self.has_entry()? {
            let (keys, node) = self.entry()?;
            self.put(top, &keys, node)?;
            self.context.clone_from(&within);
            if !self.scan.comma('}')? {
                break;
            }
        }
        (self.context, self.key) = (outer, outer_key);
        Ok(Node::Table(top))
    }

    /// Whether an entry of an inline table begins here, or its end.
    fn has_entry(&mut self) -> Result<bool> {
        loop {
            self.scan.skip_while(|c| is_blank(c) || is_newline(c))?;
            match self.scan.next()? {
                Some('#') => self.scan.comment()?,
                Some(',') => return self.scan.fail("unexpected comma"),
                Some('}') => return Ok(false),
                c => {
                    self.scan.back(c);
                    return Ok(true);
                }
            }
        }
    }

    /// Sets a key of an inline table, whose tables are its own.
    fn put(&mut self, top: usize, keys: &[String], node: Node) -> Result<()> {
        let Some((last, parents)) = keys.split_last() else { return Ok(()) };
        let mut at = top;
        for key in parents {
            if !self.tables[at].contains_key(key) {
                let made = self.new_table();
                self.tables[at].insert(key.clone(), Node::Table(made));
            }
            match self.tables[at].get(key) {
                Some(Node::Table(table)) => at = *table,
                _ => {
                    let shown = go::quote::quote(path(&self.context).as_bytes());
                    return self.fail(format!("{shown} is not a table"));
                }
            }
        }
        self.tables[at].insert(last.clone(), node);
        Ok(())
    }

    /// The text for which another with backslashes stands.
    fn unescaped(&self, text: &str) -> Result<String> {
        let told = |words: String| Problem { line: self.scan.line(), words };
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('\\') {
            out.push_str(before);
            let mut characters = after.chars();
            let c = characters.next().unwrap_or_default();
            rest = characters.as_str();
            let digits = match c {
                'x' => 2,
                'u' => 4,
                'U' => 8,
                _ => 0,
            };
            out.push(match c {
                'b' => '\u{8}',
                't' => '\t',
                'n' => '\n',
                'f' => '\u{c}',
                'r' => '\r',
                'e' => '\u{1b}',
                '"' | '\\' => c,
                _ if digits == 0 => return Err(told(format!("invalid escape: '\\{c}'"))),
                _ => {
                    let (code, after) = rest.split_at_checked(digits).unwrap_or((rest, ""));
                    rest = after;
                    let character = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
                    let wrong = || told(format!("Escaped character '\\u{code}' is not valid UTF-8."));
                    character.ok_or_else(wrong)?
                }
            });
        }
        out.push_str(rest);
        Ok(out)
    }

    /// A table as a value.
    fn table(&self, table: usize) -> Value {
        let entries = self.tables[table].iter().map(|(key, node)| (key.as_str().into(), self.node(node)));
        Value::Map(Map::new(entries.collect::<Entries>()))
    }

    fn node(&self, node: &Node) -> Value {
        match node {
            Node::Plain(value) => value.clone(),
            Node::Table(table) => self.table(*table),
            Node::List(items) => Value::List(List::new(items.iter().map(|item| self.node(item)).collect())),
            Node::Tables(tables) => {
                let tables = tables.iter().map(|table| self.table(*table)).collect();
                Value::List(List::of(&Type::Map(&Type::Any), tables))
            }
        }
    }
}

/// A text of many lines without its first line break, and without the blanks that follow a backslash at the end of a
/// line.
fn without_escaped_newlines(text: &str) -> String {
    let text = scan::without_first_newline(text);
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let next = after.trim_start_matches([' ', '\t', '\r', '\n']);
        if after[..after.len() - next.len()].contains('\n') {
            rest = next;
            continue;
        }
        out.push('\\');
        rest = after;
        // What follows is no backslash of its own.
        if let Some(c) = after.chars().next() {
            out.push(c);
            rest = &after[c.len_utf8()..];
        }
    }
    out.push_str(rest);
    out
}
