//! Plain scalars, and how the parts of a scalar come together.

use std::borrow::Cow;

use super::{Scan, Scanner};
use crate::Style;
use crate::token::TokenKind;

/// A scalar as it grows: a slice of the source as long as it is one, a text of its own afterwards.
#[derive(Debug)]
pub(super) struct Text<'a> {
    source: &'a str,
    from: usize,
    to: usize,
    owned: Option<String>,
}

impl<'a> Text<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Text { source, from: 0, to: 0, owned: None }
    }

    /// Appends a slice of the source.
    pub(super) fn push_source(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        if self.owned.is_none() {
            if self.from == self.to {
                (self.from, self.to) = (from, to);
                return;
            }
            if self.to == from {
                self.to = to;
                return;
            }
        }
        let source = self.source;
        self.own().push_str(source.get(from..to).unwrap_or_default());
    }

    pub(super) fn push_str(&mut self, text: &str) {
        if !text.is_empty() {
            self.own().push_str(text);
        }
    }

    pub(super) fn push(&mut self, character: char) {
        self.own().push(character);
    }

    fn own(&mut self) -> &mut String {
        let (source, from, to) = (self.source, self.from, self.to);
        self.owned.get_or_insert_with(|| source.get(from..to).unwrap_or_default().to_owned())
    }

    pub(super) fn finish(self) -> Cow<'a, str> {
        match self.owned {
            Some(text) => Cow::Owned(text),
            None => Cow::Borrowed(self.source.get(self.from..self.to).unwrap_or_default()),
        }
    }
}

/// Blanks and line breaks between two words of a scalar: blanks stay, a line break becomes a space, and of several
/// the first one goes.
#[derive(Debug, Default)]
pub(super) struct Gap {
    /// Where the blanks stand, before a line break was seen.
    pub(super) blanks: (usize, usize),
    pub(super) broken: bool,
    pub(super) first: &'static str,
    pub(super) rest: String,
}

impl Gap {
    pub(super) fn push_break(&mut self, meaning: &'static str) {
        if self.broken {
            self.rest.push_str(meaning);
        } else {
            self.first = meaning;
            self.broken = true;
        }
    }

    pub(super) fn fold_into(self, text: &mut Text<'_>) {
        if !self.broken {
            text.push_source(self.blanks.0, self.blanks.1);
        } else if self.first == "\n" {
            text.push_str(if self.rest.is_empty() { " " } else { &self.rest });
        } else {
            text.push_str(self.first);
            text.push_str(&self.rest);
        }
    }
}

impl<'a> Scanner<'a> {
    pub(super) fn scan_plain_scalar(&mut self) -> Scan<()> {
        let start = self.cursor.mark;
        let mut end = start;
        let mut text = Text::new(self.source());
        let mut gap = Gap::default();
        while !self.cursor.is_document_indicator() && self.cursor.at(0) != b'#' {
            let bytes = self.cursor.plain_run(self.flow_level > 0);
            if bytes > 0 {
                std::mem::take(&mut gap).fold_into(&mut text);
                let from = self.cursor.mark.index;
                self.cursor.skip_text(bytes);
                text.push_source(from, from + bytes);
                end = self.cursor.mark;
            }
            if !self.cursor.is_blank(0) && !self.cursor.is_break(0) {
                break;
            }
            self.scan_plain_gap(&mut gap, start)?;
            if self.flow_level == 0 && i64::from(self.cursor.mark.column) <= self.indent {
                break;
            }
        }
        self.queue.push_back(super::Token {
            kind: TokenKind::Scalar { value: text.finish(), style: Style::Plain },
            start,
            end,
        });
        if gap.broken {
            self.key_allowed = true;
        }
        Ok(())
    }

    fn scan_plain_gap(&mut self, gap: &mut Gap, start: crate::cursor::Mark) -> Scan<()> {
        loop {
            let from = self.cursor.mark.index;
            if gap.broken {
                self.skip_plain_indent(start)?;
            } else {
                self.cursor.skip_blanks();
                gap.blanks = (from, self.cursor.mark.index);
            }
            if !self.cursor.is_break(0) {
                return Ok(());
            }
            gap.push_break(self.cursor.read_break());
        }
    }

    fn skip_plain_indent(&mut self, start: crate::cursor::Mark) -> Scan<()> {
        while self.cursor.is_blank(0) {
            if self.cursor.at(0) == b'\t' && i64::from(self.cursor.mark.column) <= self.indent {
                return Err(self.problem("found a tab character that violates indentation", start));
            }
            self.cursor.skip();
        }
        Ok(())
    }

    pub(super) fn source(&self) -> &'a str {
        self.cursor.text()
    }
}
