//! Sequences and mappings, in block and flow style.

use super::{Parse, Parser, Position, Properties, boxed, new_node};
use crate::cursor::Mark;
use crate::error::Error;
use crate::node::{Comments, Kind, Node, Style};
use crate::token::TokenKind;

impl<'a> Parser<'a> {
    /// A collection without children, at its first token. Block collections take no comments here: what stands above
    /// them is about their first entry, unless it was set aside as the stem.
    pub(super) fn collection(&mut self, kind: Kind, style: Style, start: Mark, properties: Properties<'a>) -> Node {
        let mut node = Node { style, ..new_node(kind, start) };
        self.set_properties(&mut node, properties);
        node.comments = match style {
            Style::Flow => boxed(self.take_comments()),
            _ => None,
        };
        node
    }

    fn take_stem(&mut self, node: &mut Node) {
        if !self.stem.is_empty() {
            node.comments = boxed(Comments { head: std::mem::take(&mut self.stem), ..Comments::default() });
        }
    }

    pub(super) fn block_sequence(&mut self, mut node: Node) -> Parse<Node> {
        self.take_stem(&mut node);
        let start = self.open()?;
        loop {
            let token = self.peek()?;
            let mark = token.end;
            match token.kind {
                TokenKind::BlockEntry => {
                    self.take_entry()?;
                    let child = match self.peek()?.kind {
                        TokenKind::BlockEntry | TokenKind::BlockEnd => self.empty(mark),
                        _ => self.node(Position::Block)?,
                    };
                    node.children.push(child);
                }
                TokenKind::BlockEnd => break,
                _ => {
                    let mark = token.start;
                    return Err(self.refuse("did not find expected '-' indicator", mark, Some(start)));
                }
            }
        }
        self.close();
        Ok(without_line_and_foot(node))
    }

    /// A sequence in a mapping whose `-` stand below the key. It has neither a start nor an end token.
    pub(super) fn indentless_sequence(&mut self, mut node: Node) -> Parse<Node> {
        self.deepen()?;
        loop {
            let token = self.peek()?;
            let mark = token.end;
            if token.kind != TokenKind::BlockEntry {
                break;
            }
            self.take_entry()?;
            let child = match self.peek()?.kind {
                TokenKind::BlockEntry | TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd => self.empty(mark),
                _ => self.node(Position::Block)?,
            };
            node.children.push(child);
        }
        self.depth -= 1;
        Ok(without_line_and_foot(node))
    }

    /// Steps over a `-`. What stood above it is the stem of a collection that follows on the same line.
    fn take_entry(&mut self) -> Parse<()> {
        let waiting = self.pending.head.len();
        self.take();
        if waiting == 0 {
            return Ok(());
        }
        match self
            .peek()
            .map(|token| matches!(token.kind, TokenKind::BlockSequenceStart | TokenKind::BlockMappingStart))
        {
            Ok(true) => {
                let rest = self.pending.head.split_off(waiting);
                let rest = rest.get(1..).unwrap_or_default().to_owned();
                self.stem = std::mem::replace(&mut self.pending.head, rest);
                Ok(())
            }
            Ok(false) => Ok(()),
            // Go scans on behind the error, and reports the one it finds there if there is one.
            Err(error) => self.peek().and(Err(error)),
        }
    }

    pub(super) fn block_mapping(&mut self, mut node: Node) -> Parse<Node> {
        self.take_stem(&mut node);
        let start = self.open()?;
        loop {
            let token = self.peek()?;
            let (mark, here) = (token.end, token.start);
            match token.kind {
                TokenKind::Key => {
                    self.take();
                    let key = self.block_mapping_part(mark)?;
                    push_key(&mut node, key);
                    let value = self.block_mapping_value()?;
                    push_value(&mut node, value);
                }
                TokenKind::BlockEnd => break,
                _ => return Err(self.refuse("did not find expected key", here, Some(start))),
            }
        }
        let comments = self.take_comments();
        self.close();
        end_mapping(&mut node, comments);
        Ok(node)
    }

    fn block_mapping_value(&mut self) -> Parse<Node> {
        let token = self.peek()?;
        let (mark, here) = (token.end, token.start);
        if token.kind != TokenKind::Value {
            return Ok(self.empty(here));
        }
        self.take();
        self.block_mapping_part(mark)
    }

    fn block_mapping_part(&mut self, mark: Mark) -> Parse<Node> {
        match self.peek()?.kind {
            TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd => Ok(self.empty(mark)),
            _ => self.node(Position::BlockOfMapping),
        }
    }

    pub(super) fn flow_sequence(&mut self, mut node: Node) -> Parse<Node> {
        let start = self.open()?;
        while self.flow_continues(&node, &TokenKind::FlowSequenceEnd, start, "did not find expected ',' or ']'")? {
            let token = self.peek()?;
            let here = token.start;
            let child = match token.kind {
                TokenKind::Key => self.flow_pair(here)?,
                _ => self.node(Position::Flow)?,
            };
            node.children.push(child);
        }
        let comments = self.take_comments();
        self.close();
        set_end_comments(&mut node, comments);
        Ok(node)
    }

    /// `[a: b]`: a mapping of one key.
    fn flow_pair(&mut self, start: Mark) -> Parse<Node> {
        self.take();
        self.deepen()?;
        let mut node = self.collection_without_comments(start);
        let token = self.peek()?;
        let mark = token.end;
        let key = match token.kind {
            TokenKind::Value | TokenKind::FlowEntry | TokenKind::FlowSequenceEnd => {
                // Go steps over the token, so `[? : b]` and `[? , b]` lose it.
                self.take();
                self.empty(mark)
            }
            _ => self.node(Position::Flow)?,
        };
        push_key(&mut node, key);
        let value = self.flow_value(&TokenKind::FlowSequenceEnd)?;
        push_value(&mut node, value);
        self.peek()?;
        self.depth -= 1;
        end_mapping(&mut node, Comments::default());
        Ok(node)
    }

    fn collection_without_comments(&mut self, start: Mark) -> Node {
        let mut node = Node { style: Style::Flow, ..new_node(Kind::Mapping, start) };
        self.set_properties(&mut node, Properties::default());
        node
    }

    pub(super) fn flow_mapping(&mut self, mut node: Node) -> Parse<Node> {
        let start = self.open()?;
        while self.flow_continues(&node, &TokenKind::FlowMappingEnd, start, "did not find expected ',' or '}'")? {
            let is_key = self.peek()?.kind == TokenKind::Key;
            if is_key {
                self.take();
            }
            let token = self.peek()?;
            let here = token.start;
            let key = match token.kind {
                TokenKind::Value | TokenKind::FlowEntry | TokenKind::FlowMappingEnd if is_key => self.empty(here),
                _ => self.node(Position::Flow)?,
            };
            push_key(&mut node, key);
            let value = if is_key {
                self.flow_value(&TokenKind::FlowMappingEnd)?
            } else {
                let mark = self.peek()?.start;
                self.empty(mark)
            };
            push_value(&mut node, value);
        }
        let comments = self.take_comments();
        self.close();
        end_mapping(&mut node, comments);
        Ok(node)
    }

    fn flow_value(&mut self, end: &TokenKind<'a>) -> Parse<Node> {
        let token = self.peek()?;
        let here = token.start;
        if token.kind != TokenKind::Value {
            return Ok(self.empty(here));
        }
        self.take();
        let token = self.peek()?;
        if token.kind == TokenKind::FlowEntry || token.kind == *end {
            // In a pair of a sequence Go gives the place of the `:`, in a mapping that of the token behind it.
            let mark = if *end == TokenKind::FlowSequenceEnd { here } else { token.start };
            return Ok(self.empty(mark));
        }
        self.node(Position::Flow)
    }

    /// Whether another entry follows; steps over the comma before it.
    fn flow_continues(&mut self, node: &Node, end: &TokenKind<'a>, start: Mark, problem: &'static str) -> Parse<bool> {
        if self.peek()?.kind == *end {
            return Ok(false);
        }
        if !node.children.is_empty() {
            let token = self.peek()?;
            let here = token.start;
            if token.kind != TokenKind::FlowEntry {
                return Err(self.refuse(problem, here, Some(start)));
            }
            self.take();
        }
        Ok(self.peek()?.kind != *end)
    }

    /// Steps over the first token of a collection and gives its place.
    fn open(&mut self) -> Parse<Mark> {
        self.deepen()?;
        let start = self.peek()?.start;
        self.take();
        Ok(start)
    }

    fn close(&mut self) {
        self.take();
        self.depth -= 1;
    }

    fn deepen(&mut self) -> Parse<()> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            let line = self.peek()?.start.line + 1;
            return Err(Error::TooLarge { line, what: "the depth of collections", limit: self.limits.depth });
        }
        Ok(())
    }
}

fn without_line_and_foot(mut node: Node) -> Node {
    set_end_comments(&mut node, Comments::default());
    node
}

/// Go takes the line and the foot of a collection from its end, and the head from its beginning.
fn set_end_comments(node: &mut Node, end: Comments) {
    let head = node.comments.take().map(|comments| comments.head).unwrap_or_default();
    node.comments = boxed(Comments { head, line: end.line, foot: end.foot });
}

fn foot(node: &Node) -> &str {
    node.comments.as_deref().map_or("", |comments| &comments.foot)
}

fn take_foot(node: &mut Node) -> String {
    let foot = node.comments.as_deref_mut().map(|comments| std::mem::take(&mut comments.foot)).unwrap_or_default();
    if node.comments.as_deref() == Some(&Comments::default()) {
        node.comments = None;
    }
    foot
}

fn set_foot(node: Option<&mut Node>, foot: String) {
    if let Some(node) = node {
        node.comments.get_or_insert_default().foot = foot;
    }
}

/// A foot that was found at a key of a block mapping is about the key before it.
fn push_key(node: &mut Node, mut key: Node) {
    let before = node.children.len().checked_sub(2);
    if node.style != Style::Flow
        && !foot(&key).is_empty()
        && let Some(before) = before
    {
        let foot = take_foot(&mut key);
        set_foot(node.children.get_mut(before), foot);
    }
    node.children.push(key);
}

/// A foot of a value is its key's.
fn push_value(node: &mut Node, mut value: Node) {
    if let Some(key) = node.children.last_mut()
        && foot(key).is_empty()
        && !foot(&value).is_empty()
    {
        set_foot(Some(key), take_foot(&mut value));
    }
    node.children.push(value);
}

/// A foot at the end of a block mapping is its last key's.
fn end_mapping(node: &mut Node, end: Comments) {
    set_end_comments(node, end);
    let last = node.children.len().checked_sub(2);
    if node.style != Style::Flow
        && !foot(node).is_empty()
        && let Some(last) = last
    {
        let foot = take_foot(node);
        set_foot(node.children.get_mut(last), foot);
    }
}
