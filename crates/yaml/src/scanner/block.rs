//! Literal (`|`) and folded (`>`) scalars.

use std::borrow::Cow;

use super::{Scan, Scanner, Token};
use crate::Style;
use crate::cursor::Mark;
use crate::token::TokenKind;

/// What happens to the line breaks at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chomping {
    Strip,
    Clip,
    Keep,
}

impl Scanner<'_> {
    pub(super) fn scan_block_scalar(&mut self, literal: bool) -> Scan<()> {
        let start = self.cursor.mark;
        self.cursor.skip();
        let (chomping, increment) = self.scan_block_header(start)?;
        self.scan_header_rest(start)?;
        let mut indent = increment.map_or(0, |increment| self.indent.max(0) + increment);
        let mut breaks = String::new();
        let mut end = self.scan_block_breaks(&mut indent, &mut breaks, start)?;
        let mut text = String::new();
        let mut leading_break = "";
        let mut leading_blank = false;
        while i64::from(self.cursor.mark.column) == indent && !self.cursor.is_end() {
            let is_blank = self.cursor.is_blank(0);
            let folds = !literal && !leading_blank && !is_blank && leading_break == "\n";
            match (folds, breaks.is_empty()) {
                (true, true) => text.push(' '),
                (true, false) => {}
                (false, _) => text.push_str(leading_break),
            }
            text.push_str(&breaks);
            breaks.clear();
            leading_blank = is_blank;
            let from = self.cursor.mark.index;
            self.cursor.skip_line_rest();
            text.push_str(self.cursor.slice(from, self.cursor.mark.index));
            leading_break = self.cursor.read_break();
            end = self.scan_block_breaks(&mut indent, &mut breaks, start)?;
        }
        if chomping != Chomping::Strip {
            text.push_str(leading_break);
        }
        if chomping == Chomping::Keep {
            text.push_str(&breaks);
        }
        let style = if literal { Style::Literal } else { Style::Folded };
        self.queue.push_back(Token { kind: TokenKind::Scalar { value: Cow::Owned(text), style }, start, end });
        Ok(())
    }

    /// `+` or `-`, and the indentation as a digit, in either order.
    fn scan_block_header(&mut self, start: Mark) -> Scan<(Chomping, Option<i64>)> {
        let mut chomping = self.scan_chomping();
        let increment = self.scan_increment(start)?;
        if chomping == Chomping::Clip && increment.is_some() {
            chomping = self.scan_chomping();
        }
        Ok((chomping, increment))
    }

    fn scan_chomping(&mut self) -> Chomping {
        let chomping = match self.cursor.at(0) {
            b'+' => Chomping::Keep,
            b'-' => Chomping::Strip,
            _ => return Chomping::Clip,
        };
        self.cursor.skip();
        chomping
    }

    fn scan_increment(&mut self, start: Mark) -> Scan<Option<i64>> {
        let digit = self.cursor.at(0);
        if digit == b'0' {
            return Err(self.problem("found an indentation indicator equal to 0", start));
        }
        if !digit.is_ascii_digit() {
            return Ok(None);
        }
        self.cursor.skip();
        Ok(Some(i64::from(digit - b'0')))
    }

    fn scan_header_rest(&mut self, start: Mark) -> Scan<()> {
        self.cursor.skip_blanks();
        if self.cursor.at(0) == b'#' {
            self.scan_line_comment(start);
            self.cursor.skip_line_rest();
        }
        if !self.cursor.is_breakz(0) {
            return Err(self.problem("did not find expected comment or line break", start));
        }
        self.cursor.read_break();
        Ok(())
    }

    /// Steps over indentation and empty lines; finds out the indentation, where it is 0. The mark is behind the last
    /// line break.
    fn scan_block_breaks(&mut self, indent: &mut i64, breaks: &mut String, start: Mark) -> Scan<Mark> {
        let mut end = self.cursor.mark;
        let mut widest = 0;
        loop {
            while self.is_left_of(*indent) && self.cursor.at(0) == b' ' {
                self.cursor.skip();
            }
            widest = widest.max(i64::from(self.cursor.mark.column));
            if self.is_left_of(*indent) && self.cursor.at(0) == b'\t' {
                return Err(self.problem("found a tab character where an indentation space is expected", start));
            }
            if !self.cursor.is_break(0) {
                break;
            }
            breaks.push_str(self.cursor.read_break());
            end = self.cursor.mark;
        }
        if *indent == 0 {
            *indent = widest.max(self.indent + 1).max(1);
        }
        Ok(end)
    }

    fn is_left_of(&self, indent: i64) -> bool {
        indent == 0 || i64::from(self.cursor.mark.column) < indent
    }
}
