//! A place in the text, and the classes of characters that YAML knows.

use std::cell::Cell;

/// A place: offset in bytes, line and column from 0, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    pub(crate) index: usize,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// Walks over the text and keeps count of lines and columns. Behind the end it sees NUL, which the text cannot hold.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    pub(crate) mark: Mark,
    /// Line breaks since the last character that is not blank; tells whether a comment stands on a line of its own.
    pub(crate) newlines: u32,
    /// Whether the end was seen.
    at_end: Cell<bool>,
}

const STOP_LINE: u8 = 1;
const STOP_WORD: u8 = 2;
const STOP_PLAIN: u8 = 4;
const STOP_FLOW: u8 = 8;

/// For each byte, which runs it may end. Bytes that begin a line break of several bytes are only candidates.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut at = 0;
    let ends = [0, b'\r', b'\n', 0xC2, 0xE2];
    while at < ends.len() {
        classes[ends[at] as usize] = STOP_LINE | STOP_WORD | STOP_PLAIN;
        at += 1;
    }
    classes[b' ' as usize] = STOP_WORD | STOP_PLAIN;
    classes[b'\t' as usize] = STOP_WORD | STOP_PLAIN;
    classes[b':' as usize] = STOP_PLAIN;
    let flow = [b',', b'?', b'[', b']', b'{', b'}'];
    at = 0;
    while at < flow.len() {
        classes[flow[at] as usize] = STOP_FLOW;
        at += 1;
    }
    classes
};

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Cursor { text, mark: Mark::default(), newlines: 0, at_end: Cell::new(false) }
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// The byte `ahead` of the place.
    pub(crate) fn at(&self, ahead: usize) -> u8 {
        match self.text.as_bytes().get(self.mark.index + ahead) {
            Some(byte) => *byte,
            None => {
                self.at_end.set(true);
                0
            }
        }
    }

    /// Whether anything looked at the end so far.
    pub(crate) fn has_seen_end(&self) -> bool {
        self.at_end.get()
    }

    pub(crate) fn slice(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or_default()
    }

    pub(crate) fn is_end(&self) -> bool {
        self.at(0) == 0
    }

    pub(crate) fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.at(ahead), b' ' | b'\t')
    }

    pub(crate) fn is_break(&self, ahead: usize) -> bool {
        match self.at(ahead) {
            b'\r' | b'\n' => true,
            0xC2 => self.at(ahead + 1) == 0x85,
            0xE2 => self.at(ahead + 1) == 0x80 && matches!(self.at(ahead + 2), 0xA8 | 0xA9),
            _ => false,
        }
    }

    pub(crate) fn is_breakz(&self, ahead: usize) -> bool {
        self.at(ahead) == 0 || self.is_break(ahead)
    }

    pub(crate) fn is_blankz(&self, ahead: usize) -> bool {
        self.is_blank(ahead) || self.is_breakz(ahead)
    }

    /// Whether `---` or `...` stands at the beginning of the line.
    pub(crate) fn is_document_indicator(&self) -> bool {
        self.mark.column == 0 && (self.is_indicator(b'-') || self.is_indicator(b'.')) && self.is_blankz(3)
    }

    pub(crate) fn is_indicator(&self, byte: u8) -> bool {
        self.at(0) == byte && self.at(1) == byte && self.at(2) == byte
    }

    /// Steps over one character that is not a line break.
    pub(crate) fn skip(&mut self) {
        let byte = self.at(0);
        if !matches!(byte, b' ' | b'\t') {
            self.newlines = 0;
        }
        self.mark.index += width(byte);
        self.mark.column += 1;
    }

    /// Steps over `bytes` without a line break, the last of which is not blank.
    pub(crate) fn skip_text(&mut self, bytes: usize) {
        if bytes > 0 {
            self.newlines = 0;
            self.advance(bytes);
        }
    }

    pub(crate) fn skip_blanks(&mut self) {
        while self.is_blank(0) {
            self.mark.index += 1;
            self.mark.column += 1;
        }
    }

    /// Steps to the end of the line.
    pub(crate) fn skip_line_rest(&mut self) {
        let bytes = self.rest_of_line();
        let from = self.mark.index;
        if !self.slice(from, from + bytes).trim_matches([' ', '\t']).is_empty() {
            self.newlines = 0;
        }
        self.advance(bytes);
    }

    fn advance(&mut self, bytes: usize) {
        let from = self.mark.index;
        let passed = self.text.as_bytes().get(from..from + bytes).unwrap_or_default();
        self.mark.index += bytes;
        self.mark.column += characters(passed);
    }

    /// Steps over one line break, if one stands here, and says what it means: line ends are all `\n`, the separators
    /// of Unicode stay.
    pub(crate) fn read_break(&mut self) -> &'static str {
        let (bytes, meaning) = match (self.at(0), self.at(1), self.at(2)) {
            (b'\r', b'\n', _) | (0xC2, 0x85, _) => (2, "\n"),
            (b'\r' | b'\n', _, _) => (1, "\n"),
            (0xE2, 0x80, 0xA8) => (3, "\u{2028}"),
            (0xE2, 0x80, 0xA9) => (3, "\u{2029}"),
            _ => return "",
        };
        self.mark.index += bytes;
        self.mark.line += 1;
        self.mark.column = 0;
        self.newlines += 1;
        meaning
    }

    /// Bytes up to the end of the line.
    pub(crate) fn rest_of_line(&self) -> usize {
        self.run(STOP_LINE, |cursor, ahead| cursor.is_breakz(ahead))
    }

    /// Bytes of a plain scalar up to a blank, a line break or an indicator that ends it.
    pub(crate) fn plain_run(&self, in_flow: bool) -> usize {
        let stop = if in_flow { STOP_PLAIN | STOP_FLOW } else { STOP_PLAIN };
        self.run(stop, |cursor, ahead| match cursor.at(ahead) {
            b':' => cursor.is_blankz(ahead + 1),
            0xC2 | 0xE2 => cursor.is_break(ahead),
            _ => true,
        })
    }

    /// Bytes of a quoted scalar up to a blank, a line break or one of `ends`.
    pub(crate) fn quoted_run(&self, ends: [u8; 2]) -> usize {
        let mut bytes = 0;
        while !ends.contains(&self.at(bytes)) {
            if CLASSES[usize::from(self.at(bytes))] & STOP_WORD != 0 && self.is_blankz(bytes) {
                break;
            }
            bytes += 1;
        }
        bytes
    }

    fn run(&self, stop: u8, ends: impl Fn(&Self, usize) -> bool) -> usize {
        let rest = self.text.as_bytes().get(self.mark.index..).unwrap_or_default();
        let mut bytes = 0;
        for &byte in rest {
            if CLASSES[usize::from(byte)] & stop != 0 && ends(self, bytes) {
                break;
            }
            bytes += 1;
        }
        bytes
    }
}

fn characters(bytes: &[u8]) -> u32 {
    let starts = bytes.iter().filter(|&&byte| byte & 0xC0 != 0x80).count();
    u32::try_from(starts).unwrap_or(u32::MAX)
}

fn width(leading: u8) -> usize {
    match leading {
        0..=0x7F => 1,
        0x80..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xFF => 4,
    }
}

/// Letters, digits, `_` and `-`: what names of anchors and directives are made of.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_indexes_count_bytes() {
        let mut cursor = Cursor::new("aé漢 b\r\nc");
        cursor.skip_text(cursor.plain_run(false));
        assert_eq!(cursor.mark, Mark { index: 6, line: 0, column: 3 });
        cursor.skip_blanks();
        cursor.skip();
        assert_eq!(cursor.read_break(), "\n");
        assert_eq!(cursor.mark, Mark { index: 10, line: 1, column: 0 });
    }
}
