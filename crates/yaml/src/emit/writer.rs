//! Characters, columns and indentation.

use super::{EmitOptions, Sequences};

/// Where yaml.v2 and yaml.v3 differ in what they print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) version: Version,
    pub(super) indent: usize,
    /// Texts are folded where they reach beyond this column.
    pub(super) width: usize,
    pub(super) compact: bool,
    /// Whether keys stand in Go's natural order, or by their bytes.
    pub(super) natural: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V2,
    V3,
}

impl Profile {
    pub(super) const V2: Profile = Profile { version: Version::V2, indent: 2, width: 80, compact: true, natural: true };

    pub(super) fn v3(options: EmitOptions) -> Self {
        let indent = if (2..=9).contains(&options.indent) { options.indent } else { 2 };
        let compact = options.sequences == Sequences::Compact;
        Profile { version: Version::V3, indent, width: usize::MAX, compact, natural: true }
    }
}

/// The text so far, and what its last characters were.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) text: String,
    pub(super) profile: Profile,
    pub(super) column: usize,
    /// The column of the open collection; nothing at the root.
    pub(super) indent: Option<usize>,
    /// Whether a blank, or nothing, stands before the place.
    pub(super) whitespace: bool,
    /// Whether only indentation and indicators of collections stand before it on the line.
    pub(super) indention: bool,
    /// The column of a foot comment just written, which an empty line must follow.
    pub(super) foot_indent: Option<usize>,
}

impl Writer {
    pub(super) fn new(profile: Profile) -> Self {
        Writer {
            text: String::new(),
            profile,
            column: 0,
            indent: None,
            whitespace: true,
            indention: true,
            foot_indent: None,
        }
    }

    pub(super) fn put(&mut self, character: char) {
        self.text.push(character);
        self.column += 1;
    }

    pub(super) fn put_str(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += if text.is_ascii() { text.len() } else { text.chars().count() };
    }

    pub(super) fn put_break(&mut self) {
        self.put_line_break('\n');
    }

    /// A line break of the text itself, which may be one of Unicode's.
    pub(super) fn put_line_break(&mut self, character: char) {
        self.text.push(character);
        self.column = 0;
        self.indention = true;
    }

    /// Goes to the indentation of the open collection, on a new line where needed.
    pub(super) fn write_indent(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.put_break();
        }
        if self.foot_indent == Some(indent) {
            self.put_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.foot_indent = None;
    }

    pub(super) fn write_space(&mut self) {
        if !self.whitespace {
            self.put(' ');
        }
    }

    /// `[`, `{`: blanks may follow at once.
    pub(super) fn write_opening(&mut self, indicator: char) {
        self.write_space();
        self.put(indicator);
        self.whitespace = true;
        self.indention = false;
    }

    /// Any other indicator, after a blank.
    pub(super) fn write_indicator(&mut self, indicator: &str) {
        self.write_space();
        self.write_attached(indicator);
    }

    /// An indicator right behind what it follows.
    pub(super) fn write_attached(&mut self, indicator: &str) {
        self.put_str(indicator);
        self.whitespace = false;
        self.indention = false;
    }

    /// `-`, `?` and the `:` of a complex key: what follows may begin a collection on the same line.
    pub(super) fn write_block_indicator(&mut self, indicator: char) {
        self.write_space();
        self.put(indicator);
        self.whitespace = false;
    }

    pub(super) fn write_comment(&mut self, comment: &str) {
        let mut breaks = false;
        let mut marked = false;
        for character in comment.chars() {
            if is_break(character) {
                self.put_line_break(character);
                breaks = true;
                marked = false;
                continue;
            }
            if breaks {
                self.write_indent();
            }
            if !marked && character != '#' {
                self.put_str("# ");
            }
            marked = true;
            self.put(character);
            self.indention = false;
            breaks = false;
        }
        if !breaks {
            self.put_break();
        }
        self.whitespace = true;
    }
}

pub(super) fn is_break(character: char) -> bool {
    matches!(character, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}
