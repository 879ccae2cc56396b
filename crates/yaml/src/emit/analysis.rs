//! In which styles a text can be written.

use super::writer::{Version, is_break};

/// What a text allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Analysis {
    pub(super) multiline: bool,
    pub(super) flow_plain: bool,
    pub(super) block_plain: bool,
    pub(super) single_quoted: bool,
    pub(super) block: bool,
}

/// What was found in a text.
#[derive(Debug, Default)]
struct Findings {
    block_indicators: bool,
    flow_indicators: bool,
    breaks: bool,
    special: bool,
    tabs: bool,
    /// A space or line break at either end.
    edges: bool,
    trailing_space: bool,
    break_space: bool,
    space_break: bool,
}

/// Looks through a text that is not empty.
pub(super) fn analyze(text: &str, version: Version) -> Analysis {
    if text.is_empty() {
        return Analysis { multiline: false, flow_plain: false, block_plain: true, single_quoted: true, block: false };
    }
    let mut found = Findings::default();
    if text.starts_with("---") || text.starts_with("...") {
        found.block_indicators = true;
        found.flow_indicators = true;
    }
    let mut characters = text.chars().peekable();
    let mut previous = None;
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        found.look_for_indicators(character, previous, next);
        found.look_for_blanks(character, previous, next);
        match character {
            '\t' if version == Version::V3 => found.tabs = true,
            _ => found.special |= !is_printable(character),
        }
        previous = Some(character);
    }
    found.conclude()
}

impl Findings {
    fn look_for_indicators(&mut self, character: char, previous: Option<char>, next: Option<char>) {
        let spaced = next.is_none_or(is_blank);
        let (flow, block) = match (previous, character) {
            (None, '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`') => {
                (true, true)
            }
            (None, '?') | (_, ':') => (true, spaced),
            (None, '-') => (spaced, spaced),
            (Some(_), ',' | '?' | '[' | ']' | '{' | '}') => (true, false),
            (Some(previous), '#') => {
                let spaced = is_blank(previous) || is_break(previous) || previous == '\0';
                (spaced, spaced)
            }
            _ => (false, false),
        };
        self.flow_indicators |= flow;
        self.block_indicators |= block;
    }

    fn look_for_blanks(&mut self, character: char, previous: Option<char>, next: Option<char>) {
        let at_edge = previous.is_none() || next.is_none();
        if character == ' ' {
            self.edges |= at_edge;
            self.trailing_space |= next.is_none();
            self.break_space |= previous.is_some_and(is_break);
        } else if is_break(character) {
            self.breaks = true;
            self.edges |= at_edge;
            self.space_break |= previous == Some(' ');
        }
    }

    fn conclude(self) -> Analysis {
        let unquoted = !self.edges && !self.breaks;
        let single_quoted = !(self.break_space || self.space_break || self.tabs || self.special);
        Analysis {
            multiline: self.breaks,
            flow_plain: unquoted && single_quoted && !self.flow_indicators,
            block_plain: unquoted && single_quoted && !self.block_indicators,
            single_quoted,
            block: !(self.trailing_space || self.space_break || self.special),
        }
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

/// What Go's libraries write as it is; nothing beyond the basic plane, and no tab.
pub(super) fn is_printable(character: char) -> bool {
    matches!(character, '\n' | ' '..='~' | '\u{A0}'..='\u{D7FF}' | '\u{E000}'..='\u{FEFE}' | '\u{FF00}'..='\u{FFFD}')
}
