//! From characters to tokens, as libyaml and its Go ports do it.
//!
//! YAML's keys are only known as keys once their `:` is seen. So each place where a key may begin is remembered (one
//! for each level of flow collections), and tokens wait in a queue until no remembered place could still put a `Key`
//! token before them.

mod block;
mod comment;
mod flow;
mod plain;
mod property;

use std::collections::VecDeque;

pub(crate) use comment::{Comment, Place};

use crate::cursor::{Cursor, Mark};
use crate::error::Problem;
use crate::token::{Token, TokenKind};

/// Go's bound on nested collections; [`crate::Limits`] has a lower one.
const DEEPEST: usize = 10_000;
/// Characters between the beginning of a key and its `:`.
const LONGEST_KEY: u32 = 1024;

type Scan<T> = Result<T, Box<Problem>>;

/// A place where a key may have begun.
#[derive(Debug, Clone, Copy, Default)]
struct SimpleKey {
    possible: bool,
    /// Nothing but a key may stand here.
    required: bool,
    token: usize,
    mark: Mark,
}

#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    cursor: Cursor<'a>,
    /// Whether comments are kept. It also asks for two more tokens ahead, so that a comment below a token is known
    /// before the token is given out; this decides which of two errors of a text is seen first.
    comments_kept: bool,
    pub(crate) comments: VecDeque<Comment>,
    queue: VecDeque<Token<'a>>,
    /// Tokens given out, so the number of the first one in the queue.
    given: usize,
    ready: bool,
    started: bool,
    flow_level: usize,
    indent: i64,
    indents: Vec<i64>,
    key_allowed: bool,
    /// One for each flow level, and one for the block level.
    keys: Vec<SimpleKey>,
    /// Number of the token at which a possible key begins, and its level; ordered by both.
    key_tokens: VecDeque<(usize, usize)>,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str, comments_kept: bool) -> Self {
        Scanner {
            cursor: Cursor::new(text),
            comments_kept,
            comments: VecDeque::new(),
            queue: VecDeque::new(),
            given: 0,
            ready: false,
            started: false,
            flow_level: 0,
            indent: -1,
            indents: Vec::new(),
            key_allowed: true,
            keys: vec![SimpleKey::default()],
            key_tokens: VecDeque::new(),
        }
    }

    /// Makes sure that the next token is known. It stays the next one until [`Scanner::take`].
    pub(crate) fn advance(&mut self) -> Scan<()> {
        while !self.ready {
            if self.is_head_certain()? {
                self.ready = true;
            } else {
                self.fetch()?;
            }
        }
        Ok(())
    }

    /// Whether the scanner looked at the end of the text, so that what follows there could have mattered.
    pub(crate) fn has_seen_end(&self) -> bool {
        self.cursor.has_seen_end()
    }

    /// The next token, behind [`Scanner::advance`].
    pub(crate) fn head(&self) -> Option<&Token<'a>> {
        self.queue.front()
    }

    /// Gives out the next token.
    pub(crate) fn take(&mut self) -> Option<Token<'a>> {
        self.ready = false;
        self.given += 1;
        self.queue.pop_front()
    }

    fn is_head_certain(&mut self) -> Scan<bool> {
        let ended = matches!(self.queue.back(), Some(Token { kind: TokenKind::StreamEnd, .. }));
        let ahead = if self.comments_kept && !ended { 2 } else { 0 };
        if self.queue.len() <= ahead {
            return Ok(false);
        }
        while self.key_tokens.front().is_some_and(|&(token, _)| token < self.given) {
            self.key_tokens.pop_front();
        }
        match self.key_tokens.front() {
            Some(&(token, level)) if token == self.given => Ok(!self.is_key_valid(level)?),
            _ => Ok(true),
        }
    }

    fn fetch(&mut self) -> Scan<()> {
        if !self.started {
            self.started = true;
            return self.push(TokenKind::StreamStart, self.cursor.mark);
        }
        let scan_mark = self.cursor.mark;
        self.skip_to_token();
        self.unroll_indent(i64::from(self.cursor.mark.column), scan_mark);
        if self.cursor.is_end() {
            return self.fetch_stream_end();
        }
        if self.cursor.mark.column == 0 && self.cursor.at(0) == b'%' {
            return self.fetch_directive();
        }
        if self.cursor.is_document_indicator() {
            return self.fetch_document_indicator();
        }
        let comment_mark = self.comment_mark();
        self.fetch_content()?;
        self.comment_after(comment_mark);
        Ok(())
    }

    fn fetch_content(&mut self) -> Scan<()> {
        let spaced = self.cursor.is_blankz(1);
        let in_flow = self.flow_level > 0;
        match self.cursor.at(0) {
            b'[' => self.fetch_flow_start(TokenKind::FlowSequenceStart),
            b'{' => self.fetch_flow_start(TokenKind::FlowMappingStart),
            b']' => self.fetch_flow_end(TokenKind::FlowSequenceEnd),
            b'}' => self.fetch_flow_end(TokenKind::FlowMappingEnd),
            b',' => self.fetch_flow_entry(),
            b'-' if spaced => self.fetch_block_entry(),
            b'?' if in_flow || spaced => self.fetch_key(),
            b':' if in_flow || spaced => self.fetch_value(),
            b'*' => self.fetch_anchor(TokenKind::Alias),
            b'&' => self.fetch_anchor(TokenKind::Anchor),
            b'!' => self.fetch_tag(),
            b'|' if !in_flow => self.fetch_block_scalar(true),
            b'>' if !in_flow => self.fetch_block_scalar(false),
            b'\'' => self.fetch_quoted_scalar(true),
            b'"' => self.fetch_quoted_scalar(false),
            b'-' => self.fetch_plain_scalar(),
            b'?' | b':' if !in_flow => self.fetch_plain_scalar(),
            b'?' | b':' | b'#' | b'|' | b'>' | b'%' | b'@' | b'`' | b' ' | b'\t' => Err(self.no_token()),
            _ => self.fetch_plain_scalar(),
        }
    }

    fn no_token(&self) -> Box<Problem> {
        let mark = self.cursor.mark;
        Problem::scanner("found character that cannot start any token", mark, Some(mark))
    }

    /// A problem of something that began at `start` and is seen here.
    fn problem(&self, problem: &'static str, start: Mark) -> Box<Problem> {
        Problem::scanner(problem, self.cursor.mark, Some(start))
    }

    fn push(&mut self, kind: TokenKind<'a>, start: Mark) -> Scan<()> {
        self.queue.push_back(Token { kind, start, end: self.cursor.mark });
        Ok(())
    }

    /// Puts a token at `number`; one that should have come before tokens already given out comes last, as in Go,
    /// where it makes the parser fail.
    fn insert(&mut self, number: usize, kind: TokenKind<'a>, mark: Mark) {
        let at = number.checked_sub(self.given).unwrap_or(self.queue.len()).min(self.queue.len());
        self.queue.insert(at, Token { kind, start: mark, end: mark });
    }

    fn next_number(&self) -> usize {
        self.given + self.queue.len()
    }
}

// Keys.
impl<'a> Scanner<'a> {
    fn is_key_valid(&mut self, level: usize) -> Scan<bool> {
        let here = self.cursor.mark;
        let Some(key) = self.keys.get_mut(level).filter(|key| key.possible) else { return Ok(false) };
        if key.mark.line == here.line && key.mark.column + LONGEST_KEY >= here.column {
            return Ok(true);
        }
        if key.required {
            return Err(Problem::scanner("could not find expected ':'", here, Some(key.mark)));
        }
        key.possible = false;
        Ok(false)
    }

    fn save_key(&mut self) -> Scan<()> {
        if !self.key_allowed {
            return Ok(());
        }
        let mark = self.cursor.mark;
        let required = self.flow_level == 0 && self.indent == i64::from(mark.column);
        self.remove_key()?;
        let token = self.next_number();
        let level = self.keys.len().saturating_sub(1);
        if let Some(key) = self.keys.last_mut() {
            *key = SimpleKey { possible: true, required, token, mark };
        }
        self.key_tokens.push_back((token, level));
        Ok(())
    }

    fn remove_key(&mut self) -> Scan<()> {
        let here = self.cursor.mark;
        let Some(key) = self.keys.last_mut().filter(|key| key.possible) else { return Ok(()) };
        if key.required {
            return Err(Problem::scanner("could not find expected ':'", here, Some(key.mark)));
        }
        key.possible = false;
        let token = key.token;
        self.forget_key_token(token);
        Ok(())
    }

    fn forget_key_token(&mut self, token: usize) {
        let at = self.key_tokens.partition_point(|&(other, _)| other < token);
        if self.key_tokens.get(at).is_some_and(|&(other, _)| other == token) {
            self.key_tokens.remove(at);
        }
    }
}

// Indentation.
impl<'a> Scanner<'a> {
    /// Opens a block collection, if `column` is further right than the last one.
    fn roll_indent(&mut self, number: Option<usize>, kind: TokenKind<'a>, mark: Mark) -> Scan<()> {
        let column = i64::from(mark.column);
        if self.flow_level > 0 || self.indent >= column {
            return Ok(());
        }
        self.indents.push(self.indent);
        self.indent = column;
        if self.indents.len() > DEEPEST {
            let key = self.keys.last().map_or(mark, |key| key.mark);
            return Err(self.problem("exceeded max depth of 10000", key));
        }
        self.insert(number.unwrap_or_else(|| self.next_number()), kind, mark);
        Ok(())
    }

    /// Closes all block collections that are further right than `column`.
    fn unroll_indent(&mut self, column: i64, scan_mark: Mark) {
        if self.flow_level > 0 {
            return;
        }
        let mut block_mark = Mark { index: scan_mark.index.saturating_sub(1), ..scan_mark };
        while self.indent > column {
            block_mark = self.end_before_comments(block_mark);
            self.queue.push_back(Token { kind: TokenKind::BlockEnd, start: block_mark, end: block_mark });
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }
}

// Tokens of one kind each.
impl<'a> Scanner<'a> {
    fn fetch_stream_end(&mut self) -> Scan<()> {
        if self.cursor.mark.column != 0 {
            self.cursor.mark.column = 0;
            self.cursor.mark.line += 1;
        }
        self.unroll_indent(-1, self.cursor.mark);
        self.remove_key()?;
        self.key_allowed = false;
        self.push(TokenKind::StreamEnd, self.cursor.mark)
    }

    fn fetch_directive(&mut self) -> Scan<()> {
        self.unroll_indent(-1, self.cursor.mark);
        self.remove_key()?;
        self.key_allowed = false;
        self.scan_directive()
    }

    fn fetch_document_indicator(&mut self) -> Scan<()> {
        self.unroll_indent(-1, self.cursor.mark);
        self.remove_key()?;
        self.key_allowed = false;
        let start = self.cursor.mark;
        let kind = if self.cursor.at(0) == b'-' { TokenKind::DocumentStart } else { TokenKind::DocumentEnd };
        self.cursor.skip_text(3);
        self.push(kind, start)
    }

    fn fetch_flow_start(&mut self, kind: TokenKind<'a>) -> Scan<()> {
        self.save_key()?;
        let start = self.cursor.mark;
        self.keys.push(SimpleKey { token: self.next_number(), mark: start, ..SimpleKey::default() });
        self.flow_level += 1;
        if self.flow_level > DEEPEST {
            return Err(self.problem("exceeded max depth of 10000", start));
        }
        self.key_allowed = true;
        self.cursor.skip();
        self.push(kind, start)
    }

    fn fetch_flow_end(&mut self, kind: TokenKind<'a>) -> Scan<()> {
        self.remove_key()?;
        if self.flow_level > 0 {
            self.flow_level -= 1;
            if let Some(key) = self.keys.pop() {
                self.forget_key_token(key.token);
            }
        }
        self.key_allowed = false;
        let start = self.cursor.mark;
        self.cursor.skip();
        self.push(kind, start)
    }

    fn fetch_flow_entry(&mut self) -> Scan<()> {
        self.remove_key()?;
        self.key_allowed = true;
        let start = self.cursor.mark;
        self.cursor.skip();
        self.push(TokenKind::FlowEntry, start)
    }

    fn fetch_block_entry(&mut self) -> Scan<()> {
        let start = self.cursor.mark;
        // Within a flow collection the parser refuses it, and can say in which one.
        if self.flow_level == 0 {
            self.allow_only_at_key("block sequence entries are not allowed in this context")?;
            self.roll_indent(None, TokenKind::BlockSequenceStart, start)?;
        }
        self.remove_key()?;
        self.key_allowed = true;
        self.cursor.skip();
        self.push(TokenKind::BlockEntry, start)
    }

    fn fetch_key(&mut self) -> Scan<()> {
        let start = self.cursor.mark;
        if self.flow_level == 0 {
            self.allow_only_at_key("mapping keys are not allowed in this context")?;
            self.roll_indent(None, TokenKind::BlockMappingStart, start)?;
        }
        self.remove_key()?;
        self.key_allowed = self.flow_level == 0;
        self.cursor.skip();
        self.push(TokenKind::Key, start)
    }

    fn fetch_value(&mut self) -> Scan<()> {
        let level = self.keys.len().saturating_sub(1);
        let start = self.cursor.mark;
        if self.is_key_valid(level)? {
            self.end_simple_key(level)?;
        } else {
            if self.flow_level == 0 {
                self.allow_only_at_key("mapping values are not allowed in this context")?;
                self.roll_indent(None, TokenKind::BlockMappingStart, start)?;
            }
            self.key_allowed = self.flow_level == 0;
        }
        self.cursor.skip();
        self.push(TokenKind::Value, start)
    }

    /// Puts the tokens before a key that its `:` has just shown to be one.
    fn end_simple_key(&mut self, level: usize) -> Scan<()> {
        let Some(key) = self.keys.get_mut(level) else { return Ok(()) };
        key.possible = false;
        let SimpleKey { token, mark, .. } = *key;
        self.insert(token, TokenKind::Key, mark);
        self.roll_indent(Some(token), TokenKind::BlockMappingStart, mark)?;
        self.forget_key_token(token);
        self.key_allowed = false;
        Ok(())
    }

    fn allow_only_at_key(&self, problem: &'static str) -> Scan<()> {
        if self.key_allowed { Ok(()) } else { Err(self.problem(problem, self.cursor.mark)) }
    }

    fn fetch_anchor(&mut self, kind: fn(&'a str) -> TokenKind<'a>) -> Scan<()> {
        self.save_key()?;
        self.key_allowed = false;
        self.scan_anchor(kind)
    }

    fn fetch_tag(&mut self) -> Scan<()> {
        self.save_key()?;
        self.key_allowed = false;
        self.scan_tag()
    }

    fn fetch_block_scalar(&mut self, literal: bool) -> Scan<()> {
        self.remove_key()?;
        self.key_allowed = true;
        self.scan_block_scalar(literal)
    }

    fn fetch_quoted_scalar(&mut self, single: bool) -> Scan<()> {
        self.save_key()?;
        self.key_allowed = false;
        self.scan_quoted_scalar(single)
    }

    fn fetch_plain_scalar(&mut self) -> Scan<()> {
        self.save_key()?;
        self.key_allowed = false;
        self.scan_plain_scalar()
    }

    /// Steps over blanks, line breaks and comments.
    fn skip_to_token(&mut self) {
        let scan_mark = self.cursor.mark;
        loop {
            if self.cursor.mark.index == 0 && self.cursor.slice(0, 3) == "\u{FEFF}" {
                self.cursor.skip();
            }
            // A tab indents nothing: where a key may begin it is refused, as the beginning of a token.
            while self.cursor.at(0) == b' '
                || (self.cursor.at(0) == b'\t' && (self.flow_level > 0 || !self.key_allowed))
            {
                self.cursor.skip();
            }
            self.lift_entry_comment();
            if self.cursor.at(0) == b'#' {
                self.scan_comments(scan_mark);
            }
            if self.cursor.read_break().is_empty() {
                return;
            }
            if self.flow_level == 0 {
                self.key_allowed = true;
            }
        }
    }
}
