//! Scalars in each of their styles.

use super::analysis::is_printable;
use super::writer::{Writer, is_break};

impl Writer {
    pub(super) fn write_plain(&mut self, text: &str, folds: bool) {
        if text.is_empty() {
            self.indention = false;
            return;
        }
        self.write_space();
        self.write_words(text, folds, "");
        self.whitespace = false;
        self.indention = false;
    }

    pub(super) fn write_single_quoted(&mut self, text: &str, folds: bool) {
        self.write_indicator("'");
        self.write_words(text, folds, "'");
        self.write_attached("'");
    }

    /// Text whose line breaks are doubled, so that folding keeps them; `quote` is doubled too. A space stays as it is
    /// at both ends and beside another one.
    fn write_words(&mut self, text: &str, folds: bool, quote: &str) {
        let mut breaks = false;
        let mut spaces = false;
        let mut characters = text.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            let next = characters.peek().map(|(_, next)| *next);
            if character == ' ' {
                let inside = quote.is_empty() || (at > 0 && next.is_some());
                if folds && !spaces && self.column > self.profile.width && inside && next != Some(' ') {
                    self.write_indent();
                } else {
                    self.put(' ');
                }
                spaces = true;
            } else if is_break(character) {
                if !breaks && character == '\n' {
                    self.put_break();
                }
                self.put_line_break(character);
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                if quote.contains(character) {
                    self.put(character);
                }
                self.put(character);
                self.indention = false;
                spaces = false;
                breaks = false;
            }
        }
    }

    pub(super) fn write_double_quoted(&mut self, text: &str, folds: bool) {
        self.write_indicator("\"");
        // Behind a byte order mark at the beginning Go escapes every character.
        let escapes_all = text.starts_with('\u{FEFF}');
        let mut spaces = false;
        let mut characters = text.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            let next = characters.peek().map(|(_, next)| *next);
            if escapes_all || !is_printable(character) || is_break(character) || matches!(character, '"' | '\\') {
                self.write_escaped(character);
                spaces = false;
            } else if character == ' ' {
                if folds && !spaces && self.column > self.profile.width && at > 0 && next.is_some() {
                    self.write_indent();
                    if next == Some(' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(' ');
                }
                spaces = true;
            } else {
                self.put(character);
                spaces = false;
            }
        }
        self.write_attached("\"");
    }

    fn write_escaped(&mut self, character: char) {
        let short = match character {
            '\0' => "\\0",
            '\x07' => "\\a",
            '\x08' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\x0B' => "\\v",
            '\x0C' => "\\f",
            '\r' => "\\r",
            '\x1B' => "\\e",
            '"' => "\\\"",
            '\\' => "\\\\",
            '\u{85}' => "\\N",
            '\u{A0}' => "\\_",
            '\u{2028}' => "\\L",
            '\u{2029}' => "\\P",
            _ => {
                let code = u32::from(character);
                let escaped = match code {
                    0..=0xFF => format!("\\x{code:02X}"),
                    0x100..=0xFFFF => format!("\\u{code:04X}"),
                    _ => format!("\\U{code:08X}"),
                };
                return self.put_str(&escaped);
            }
        };
        self.put_str(short);
    }

    /// Indentation, where the text begins with a blank, and what becomes of the line breaks at its end.
    pub(super) fn write_block_hints(&mut self, text: &str, indent: usize) {
        if text.starts_with(|character| character == ' ' || is_break(character)) {
            self.write_attached(&indent.to_string());
        }
        let mut last = text.chars().rev();
        match (last.next(), last.next()) {
            (Some(end), before) if is_break(end) => {
                if before.is_none_or(is_break) {
                    self.write_attached("+");
                }
            }
            _ => self.write_attached("-"),
        }
    }

    /// The lines of a literal scalar, at the beginning of a line.
    pub(super) fn write_literal(&mut self, text: &str) {
        self.whitespace = true;
        let mut breaks = true;
        for character in text.chars() {
            if is_break(character) {
                self.put_line_break(character);
                breaks = true;
                continue;
            }
            if breaks {
                self.write_indent();
            }
            self.put(character);
            self.indention = false;
            breaks = false;
        }
    }

    /// The lines of a folded scalar, at the beginning of a line. Go decides by the first characters of the text, not
    /// by those behind the break, whether a break is doubled.
    pub(super) fn write_folded(&mut self, text: &str) {
        self.whitespace = true;
        let first = text.chars().find(|character| !is_break(*character));
        let doubles = first.is_some_and(|first| !matches!(first, ' ' | '\t' | '\0'));
        let mut breaks = true;
        let mut leading_spaces = true;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            if is_break(character) {
                if !breaks && !leading_spaces && character == '\n' && doubles {
                    self.put_break();
                }
                self.put_line_break(character);
                breaks = true;
                continue;
            }
            if breaks {
                self.write_indent();
                leading_spaces = matches!(character, ' ' | '\t');
            }
            let folds = character == ' ' && characters.peek() != Some(&' ') && self.column > self.profile.width;
            if !breaks && folds {
                self.write_indent();
            } else {
                self.put(character);
            }
            self.indention = false;
            breaks = false;
        }
    }
}
