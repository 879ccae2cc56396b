//! Quoted scalars.

use super::plain::{Gap, Text};
use super::{Scan, Scanner};
use crate::Style;
use crate::cursor::Mark;
use crate::token::TokenKind;

impl Scanner<'_> {
    pub(super) fn scan_quoted_scalar(&mut self, single: bool) -> Scan<()> {
        let start = self.cursor.mark;
        let quote = self.cursor.at(0);
        self.cursor.skip();
        let mut text = Text::new(self.source());
        loop {
            if self.cursor.is_document_indicator() {
                return Err(self.problem("found unexpected document indicator", start));
            }
            if self.cursor.is_end() {
                return Err(self.problem("found unexpected end of stream", start));
            }
            let mut gap = Gap { broken: self.scan_quoted_words(single, start, &mut text)?, ..Gap::default() };
            if self.cursor.at(0) == quote {
                break;
            }
            self.scan_quoted_gap(&mut gap);
            gap.fold_into(&mut text);
        }
        self.cursor.skip();
        let style = if single { Style::SingleQuoted } else { Style::DoubleQuoted };
        self.push(TokenKind::Scalar { value: text.finish(), style }, start)
    }

    /// Reads up to a blank, a line break or the closing quote. True behind an escaped line break, which is no space.
    fn scan_quoted_words(&mut self, single: bool, start: Mark, text: &mut Text<'_>) -> Scan<bool> {
        let ends = if single { [b'\'', b'\''] } else { [b'"', b'\\'] };
        loop {
            let from = self.cursor.mark.index;
            let bytes = self.cursor.quoted_run(ends);
            self.cursor.skip_text(bytes);
            text.push_source(from, from + bytes);
            match (self.cursor.at(0), self.cursor.at(1)) {
                (b'\'', b'\'') if single => {
                    text.push('\'');
                    self.cursor.skip_text(2);
                }
                (b'\\', _) if !single && self.cursor.is_break(1) => {
                    self.cursor.skip();
                    self.cursor.read_break();
                    return Ok(true);
                }
                (b'\\', _) if !single => self.scan_escape(start, text)?,
                _ => return Ok(false),
            }
        }
    }

    fn scan_quoted_gap(&mut self, gap: &mut Gap) {
        loop {
            let from = self.cursor.mark.index;
            self.cursor.skip_blanks();
            if !gap.broken {
                gap.blanks = (from, self.cursor.mark.index);
            }
            if !self.cursor.is_break(0) {
                return;
            }
            gap.push_break(self.cursor.read_break());
        }
    }

    fn scan_escape(&mut self, start: Mark, text: &mut Text<'_>) -> Scan<()> {
        let meaning = match self.cursor.at(1) {
            b'0' => '\0',
            b'a' => '\x07',
            b'b' => '\x08',
            b't' | b'\t' => '\t',
            b'n' => '\n',
            b'v' => '\x0B',
            b'f' => '\x0C',
            b'r' => '\r',
            b'e' => '\x1B',
            b' ' => ' ',
            b'"' => '"',
            b'\'' => '\'',
            b'\\' => '\\',
            b'N' => '\u{85}',
            b'_' => '\u{A0}',
            b'L' => '\u{2028}',
            b'P' => '\u{2029}',
            b'x' => return self.scan_code(2, start, text),
            b'u' => return self.scan_code(4, start, text),
            b'U' => return self.scan_code(8, start, text),
            _ => return Err(self.problem("found unknown escape character", start)),
        };
        text.push(meaning);
        self.cursor.skip_text(2);
        Ok(())
    }

    fn scan_code(&mut self, digits: usize, start: Mark, text: &mut Text<'_>) -> Scan<()> {
        self.cursor.skip_text(2);
        let mut code = 0;
        for ahead in 0..digits {
            let Some(digit) = char::from(self.cursor.at(ahead)).to_digit(16) else {
                return Err(self.problem("did not find expected hexdecimal number", start));
            };
            code = (code << 4) | digit;
        }
        let Some(character) = char::from_u32(code) else {
            return Err(self.problem("found invalid Unicode character escape code", start));
        };
        text.push(character);
        self.cursor.skip_text(digits);
        Ok(())
    }
}
