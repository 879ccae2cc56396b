//! Reading, line by line.

/// A section and its entries, in the order of the file.
#[derive(Default)]
pub(super) struct Section {
    pub(super) name: Vec<u8>,
    pub(super) comment: Vec<u8>,
    pub(super) entries: Vec<Entry>,
}

pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) comment: Vec<u8>,
}

/// Line and problem.
pub(super) type Problem = (u32, &'static str);

struct Reader<'b> {
    rest: &'b [u8],
    line: u32,
    /// What stands in comments since the last section or entry.
    comment: Vec<u8>,
}

/// All sections; the first one is that of the entries before any header, and a name can be there several times.
pub(super) fn sections(bytes: &[u8]) -> Result<Vec<Section>, Problem> {
    let mut reader = Reader { rest: without_mark(bytes), line: 0, comment: Vec::new() };
    let mut done = Vec::new();
    let mut section = Section { name: super::DEFAULT.into(), ..Section::default() };
    // Entries named `-` are numbered.
    let mut number = 1;
    while let Some(line) = reader.next_line() {
        let line = trim_start(line);
        match line.first() {
            None => {}
            Some(b'#' | b';') => reader.comment.extend_from_slice(line),
            Some(b'[') => {
                let name = reader.header(line)?;
                let comment = reader.take_comment();
                let next = Section { name, comment, entries: Vec::new() };
                done.push(std::mem::replace(&mut section, next));
                number = 1;
            }
            Some(_) => {
                let (mut name, rest) = key(line).map_err(|problem| (reader.line, problem))?;
                if name == b"-" {
                    name = format!("#{number}").into_bytes();
                    number += 1;
                }
                let value = reader.value(rest)?;
                if name.is_empty() {
                    return Err((reader.line, "a key is empty"));
                }
                let comment = reader.take_comment();
                section.insert(Entry { name, value, comment });
            }
        }
    }
    done.push(section);
    Ok(done)
}

impl Section {
    /// A name that is there already keeps its place.
    fn insert(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|other| other.name == entry.name) {
            Some(other) => *other = entry,
            None => self.entries.push(entry),
        }
    }
}

impl<'b> Reader<'b> {
    /// With its line break, where it has one.
    fn next_line(&mut self) -> Option<&'b [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(end);
        (self.rest, self.line) = (rest, self.line + 1);
        Some(line)
    }

    fn take_comment(&mut self) -> Vec<u8> {
        trim(&std::mem::take(&mut self.comment)).to_vec()
    }

    fn header(&mut self, line: &[u8]) -> Result<Vec<u8>, Problem> {
        let close = line.iter().rposition(|byte| *byte == b']').ok_or((self.line, "a section header is not closed"))?;
        let name = line.get(1..close).unwrap_or_default();
        if name.is_empty() {
            return Err((self.line, "a section has no name"));
        }
        let behind = line.get(close + 1..).unwrap_or_default();
        self.comment.extend_from_slice(from_comment(behind));
        Ok(name.to_vec())
    }

    fn value(&mut self, text: &'b [u8]) -> Result<Vec<u8>, Problem> {
        let text = trim_start(text);
        let quote: &[u8] = match text {
            [b'"', b'"', b'"', _, ..] => b"\"\"\"",
            [b'`', ..] => b"`",
            [] => return Ok(Vec::new()),
            _ => return self.unquoted(trim(text)),
        };
        let inner = text.get(quote.len()..).unwrap_or_default();
        match find_last(inner, quote) {
            Some(end) => Ok(inner.get(..end).unwrap_or_default().to_vec()),
            None => self.lines(inner, quote),
        }
    }

    /// A quoted value of several lines.
    fn lines(&mut self, first: &[u8], quote: &[u8]) -> Result<Vec<u8>, Problem> {
        let mut value = first.to_vec();
        let start = self.line;
        loop {
            let next = self.next_line().ok_or((start, "a quoted value is not closed"))?;
            match find_last(next, quote) {
                Some(end) => {
                    let behind = next.get(end + quote.len()..).unwrap_or_default();
                    if trim(behind).ends_with(b"\\") {
                        value.extend_from_slice(next);
                        continue;
                    }
                    value.extend_from_slice(next.get(..end).unwrap_or_default());
                    self.comment.extend_from_slice(trim(from_comment(next.get(end..).unwrap_or_default())));
                    return Ok(value);
                }
                None => value.extend_from_slice(next),
            }
        }
    }

    fn unquoted(&mut self, text: &[u8]) -> Result<Vec<u8>, Problem> {
        if let Some(head) = text.strip_suffix(b"\\") {
            return Ok(self.continued(head));
        }
        let comment = from_comment(text);
        self.comment.extend_from_slice(comment);
        let value = trim(text.get(..text.len() - comment.len()).unwrap_or_default());
        Ok(unquote(value).to_vec())
    }

    /// A backslash at the end of a line joins it with the next one.
    fn continued(&mut self, head: &[u8]) -> Vec<u8> {
        let mut value = head.to_vec();
        while let Some(next) = self.next_line().map(trim).filter(|next| !next.is_empty()) {
            value.extend_from_slice(next);
            if value.last() != Some(&b'\\') {
                break;
            }
            value.pop();
        }
        value
    }
}

/// The name of an entry, and what follows its delimiter.
fn key(line: &[u8]) -> Result<(Vec<u8>, &[u8]), &'static str> {
    let quote: &[u8] = match line {
        [b'"', b'"', b'"', _, _, _, _, ..] => b"\"\"\"",
        [b'"', ..] => b"\"",
        [b'`', ..] => b"`",
        _ => b"",
    };
    let inner = line.get(quote.len()..).unwrap_or_default();
    let (name, after) = if quote.is_empty() {
        (None, line)
    } else {
        let end = find(inner, quote).ok_or("the quote of a key is not closed")?;
        (inner.get(..end), inner.get(end + quote.len()..).unwrap_or_default())
    };
    let at = after.iter().position(|byte| matches!(byte, b'=' | b':')).ok_or("an entry without '=' or ':'")?;
    let name = name.unwrap_or_else(|| after.get(..at).unwrap_or_default());
    if at == 0 && quote.is_empty() {
        return Err("a key is empty");
    }
    Ok((trim(name).to_vec(), after.get(at + 1..).unwrap_or_default()))
}

/// Quotes come off where they stand at both ends and nowhere else.
fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [first @ (b'\'' | b'"'), inner @ .., last] if first == last && !inner.contains(first) => inner,
        value => value,
    }
}

/// From the first character of a comment on; empty when there is none.
fn from_comment(text: &[u8]) -> &[u8] {
    let at = text.iter().position(|byte| matches!(byte, b'#' | b';'));
    at.and_then(|at| text.get(at..)).unwrap_or_default()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn find_last(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).rposition(|window| window == part)
}

/// The mark of a text's encoding is passed over; UTF-16 is read as bytes all the same.
fn without_mark(bytes: &[u8]) -> &[u8] {
    match bytes {
        [0xfe, 0xff, rest @ ..] | [0xff, 0xfe, rest @ ..] | [0xef, 0xbb, 0xbf, rest @ ..] => rest,
        bytes => bytes,
    }
}

fn trim_start(text: &[u8]) -> &[u8] {
    let blank = text.iter().take_while(|byte| is_space(**byte)).count();
    text.get(blank..).unwrap_or_default()
}

/// Without white space at both ends.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let text = trim_start(text);
    let blank = text.iter().rev().take_while(|byte| is_space(**byte)).count();
    text.get(..text.len() - blank).unwrap_or_default()
}

/// ASCII white space, the vertical tab too.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}
