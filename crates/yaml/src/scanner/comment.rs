//! Which token a comment belongs to.
//!
//! yaml.v3 decides by blank lines and columns: a comment behind a token on its line is its *line*; a block of comment
//! lines above a token is its *head*; one that an empty line, a different column or a closing bracket separates from
//! what follows is the *foot* of what came before. The rules are those of Go's scanner, edge cases included, since
//! SOPS encrypts comments where that scanner attaches them.

use super::{Scanner, TokenKind};
use crate::cursor::Mark;

/// Go looks this far ahead for the next comment line; more empty lines end a comment.
const FARTHEST: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Head,
    Line,
    Foot,
}

#[derive(Debug)]
pub(crate) struct Comment {
    /// Where the search began that found it.
    scan: Mark,
    /// The first token at or behind this mark takes it.
    pub(crate) token: Mark,
    start: Mark,
    end: Mark,
    pub(crate) place: Place,
    pub(crate) text: String,
}

/// A block of comment lines as it grows.
struct Block {
    scan: Mark,
    token: Mark,
    start: Mark,
    text: String,
    /// Bytes looked ahead, and the place that they lead to.
    ahead: usize,
    line: u32,
    column: u32,
    next_indent: i64,
    recent_empty: bool,
    first_empty: bool,
    foot_line: i64,
    after_value: bool,
}

impl Block {
    /// Whether the comment stands further left than what is open here. Block columns count from 1.
    fn is_dedented(&self) -> bool {
        i64::from(self.start.column) - 1 < self.next_indent
    }

    fn is_foot_at_empty_line(&self) -> bool {
        let below = i64::from(self.start.line) == self.foot_line && !self.after_value;
        self.first_empty && (below || self.is_dedented())
    }

    fn finish(&mut self, place: Place, end: Mark) -> Comment {
        let text = std::mem::take(&mut self.text);
        Comment { scan: self.scan, token: self.token, start: self.start, end, place, text }
    }

    fn finish_foot(&mut self, end: Mark) -> Comment {
        let comment = self.finish(Place::Foot, end);
        self.scan = end;
        self.token = end;
        comment
    }
}

impl Scanner<'_> {
    /// Where a comment behind the token that begins here belongs: at the token before it, for a `:` or a `,`.
    pub(super) fn comment_mark(&self) -> Mark {
        let joins = if self.flow_level == 0 { b':' } else { b',' };
        match self.queue.back() {
            Some(last) if self.cursor.at(0) == joins => last.start,
            _ => self.cursor.mark,
        }
    }

    /// Takes the comment behind the token just fetched. A `-` alone has none: it is the head of what follows.
    pub(super) fn comment_after(&mut self, token: Mark) {
        let is_entry = matches!(self.queue.back(), Some(last) if last.kind == TokenKind::BlockEntry);
        if self.comments_kept && !is_entry {
            self.scan_line_comment(token);
        }
    }

    pub(super) fn scan_line_comment(&mut self, token: Mark) {
        if !self.comments_kept || self.cursor.newlines > 0 {
            return;
        }
        let blanks = (0..FARTHEST).find(|&ahead| !self.cursor.is_blank(ahead));
        if blanks.is_none_or(|ahead| self.cursor.at(ahead) != b'#') {
            return;
        }
        self.cursor.skip_blanks();
        let start = self.cursor.mark;
        let text = self.read_comment_line();
        let unset = Mark::default();
        self.comments.push_back(Comment { scan: unset, token, start, end: unset, place: Place::Line, text });
    }

    fn read_comment_line(&mut self) -> String {
        let from = self.cursor.mark.index;
        self.cursor.skip_line_rest();
        self.cursor.slice(from, self.cursor.mark.index).to_owned()
    }

    /// `- # comment` above an entry's own collection is a head, of the entry, or of what stands on the next line.
    pub(super) fn lift_entry_comment(&mut self) {
        let here = self.cursor.mark;
        let before_break = self.cursor.is_break(0);
        let Some(comment) = self.comments.back_mut().filter(|comment| comment.place == Place::Line) else { return };
        let mut last = self.queue.iter().rev().map(|token| &token.kind);
        let opens = (last.next(), last.next()) == (Some(&TokenKind::BlockEntry), Some(&TokenKind::BlockSequenceStart));
        if !opens || before_break {
            return;
        }
        comment.place = Place::Head;
        if comment.start.line + 1 == here.line {
            comment.token = here;
        }
    }

    /// The mark before comments that stand at the column of the block which ends here: they are its feet.
    pub(super) fn end_before_comments(&self, block_mark: Mark) -> Mark {
        let mut found = block_mark;
        let mut stop = block_mark.index;
        for comment in self.comments.iter().rev() {
            if comment.end.index < stop {
                break;
            }
            if i64::from(comment.start.column) == self.indent + 1 {
                found = comment.start;
            }
            stop = comment.scan.index;
        }
        found
    }

    /// Takes all comment lines up to the next token, and splits them into feet and a head.
    pub(super) fn scan_comments(&mut self, scan: Mark) {
        if !self.comments_kept {
            self.cursor.skip_line_rest();
            return;
        }
        let mut block = self.open_block(scan);
        while block.ahead < FARTHEST {
            block.column += 1;
            if !self.cursor.is_blank(block.ahead) && !self.look_at(&mut block) {
                break;
            }
            block.ahead += 1;
        }
        if !block.text.is_empty() {
            block.token = block.start;
            let index = (self.cursor.mark.index + block.ahead).saturating_sub(1);
            let end = Mark { index, line: block.line, column: block.column };
            self.comments.push_back(block.finish(Place::Head, end));
        }
    }

    fn open_block(&self, scan: Mark) -> Block {
        let mut last = self.queue.iter().rev();
        let token = match (last.next(), last.next()) {
            (Some(entry), Some(before)) if entry.kind == TokenKind::FlowEntry => Some(before),
            (token, _) => token,
        };
        let here = self.cursor.mark;
        let newlines = self.cursor.newlines;
        let mut foot_line = -1;
        if scan.line > 0 {
            foot_line = i64::from(here.line) - i64::from(newlines) + 1;
            if newlines == 0 && here.column > 1 {
                foot_line += 1;
            }
        }
        Block {
            scan,
            token: token.map_or(Mark::default(), |token| token.start),
            start: Mark::default(),
            text: String::new(),
            ahead: 0,
            line: here.line,
            column: here.column,
            next_indent: self.indent.max(0),
            recent_empty: false,
            first_empty: newlines <= 1,
            foot_line,
            after_value: token.is_some_and(|token| token.kind == TokenKind::Value),
        }
    }

    /// Takes what stands ahead into the block, unless it ends there.
    fn look_at(&mut self, block: &mut Block) -> bool {
        let byte = self.cursor.at(block.ahead);
        let closes_flow = self.flow_level > 0 && matches!(byte, b']' | b'}');
        let ahead = Mark { index: self.cursor.mark.index + block.ahead, line: block.line, column: block.column };
        if closes_flow || self.cursor.is_breakz(block.ahead) {
            self.end_line(block, closes_flow, ahead);
            let goes_on = self.cursor.is_break(block.ahead);
            if goes_on {
                block.first_empty = false;
                block.recent_empty = true;
                block.column = 0;
                block.line += 1;
            }
            return goes_on;
        }
        let moved_left = i64::from(block.column) - 1 < block.next_indent && block.column != block.start.column;
        if !block.text.is_empty() && moved_left {
            self.comments.push_back(block.finish_foot(ahead));
        }
        if byte != b'#' {
            return false;
        }
        self.take_line(block, ahead);
        true
    }

    fn end_line(&mut self, block: &mut Block, closes_flow: bool, ahead: Mark) {
        if block.recent_empty && !closes_flow {
            return;
        }
        if closes_flow || block.is_foot_at_empty_line() {
            if !block.text.is_empty() {
                if block.is_dedented() {
                    block.token = block.start;
                }
                self.comments.push_back(block.finish_foot(ahead));
            }
        } else if !block.text.is_empty() && self.cursor.at(block.ahead) != 0 {
            block.text.push('\n');
        }
    }

    fn take_line(&mut self, block: &mut Block, ahead: Mark) {
        if block.text.is_empty() {
            block.start = ahead;
        } else {
            block.text.push('\n');
        }
        block.recent_empty = false;
        while self.cursor.mark.index < ahead.index {
            if self.cursor.read_break().is_empty() {
                self.cursor.skip();
            }
        }
        block.text.push_str(&self.read_comment_line());
        // Go goes on behind the line break it stands at, without a look at it.
        block.ahead = 0;
        block.column = 0;
        block.line = self.cursor.mark.line;
        block.next_indent = self.indent.max(0);
    }
}
