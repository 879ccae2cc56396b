//! From tokens to trees, as the parsers of yaml.v2 and yaml.v3 do it.
//!
//! Both share libyaml's grammar. yaml.v3 also hands comments out: those that stand before the place of the next token
//! wait in `head`, `line` and `foot` until a node takes them.

mod collection;

use std::collections::HashSet;

use crate::cursor::Mark;
use crate::error::{Error, Problem};
use crate::limits::Limits;
use crate::node::{Comments, Kind, Node, Style, Tag};
use crate::resolve::{Resolver, resolve_plain};
use crate::scanner::{Place, Scanner};
use crate::text::Text;
use crate::token::{Token, TokenKind};

type Parse<T> = Result<T, Error>;

/// Where a node may stand decides what it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Flow,
    Block,
    /// In a block mapping, where a sequence needs no indentation of its own.
    BlockOfMapping,
}

/// What may precede the content of a node.
#[derive(Debug, Default)]
struct Properties<'a> {
    anchor: Option<&'a str>,
    tag: Option<String>,
    /// Where the first of them begins.
    start: Option<Mark>,
}

#[derive(Debug)]
pub(crate) struct Parser<'a> {
    scanner: Scanner<'a>,
    /// Why the text ends where it does, if not because it is read.
    fault: Option<Error>,
    resolver: Resolver,
    limits: Limits,
    depth: usize,
    first: bool,
    pending: Comments,
    /// The head of an entry whose content is a collection; it belongs to the collection, not to its first entry.
    stem: String,
    tag_directives: Vec<(String, String)>,
    anchors: HashSet<&'a str>,
    has_aliases: bool,
}

impl<'a> Parser<'a> {
    /// Comments are kept, and plain scalars get their types, for v3 alone.
    pub(crate) fn new(text: &'a Text<'_>, resolver: Resolver, limits: &Limits) -> Self {
        Parser {
            scanner: Scanner::new(&text.text, resolver == Resolver::V3),
            fault: text.fault.clone(),
            resolver,
            limits: *limits,
            depth: 0,
            first: true,
            pending: Comments::default(),
            stem: String::new(),
            tag_directives: Vec::new(),
            anchors: HashSet::new(),
            has_aliases: false,
        }
    }

    /// Whether any alias was read so far.
    pub(crate) fn has_aliases(&self) -> bool {
        self.has_aliases
    }

    /// The next document of the stream, or nothing at its end.
    pub(crate) fn next_document(&mut self) -> Parse<Option<Node>> {
        let implicit = std::mem::take(&mut self.first);
        if implicit {
            self.peek()?;
            self.take();
        }
        while !implicit && self.peek()?.kind == TokenKind::DocumentEnd {
            self.take();
        }
        let token = self.peek()?;
        let start = token.start;
        let mut document = match token.kind {
            TokenKind::StreamEnd => return Ok(None),
            TokenKind::VersionDirective { .. } | TokenKind::TagDirective { .. } | TokenKind::DocumentStart => {
                self.explicit_document(start)?
            }
            _ if implicit => self.implicit_document(start)?,
            _ => self.explicit_document(start)?,
        };
        self.end_document(&mut document)?;
        Ok(Some(document))
    }

    fn implicit_document(&mut self, start: Mark) -> Parse<Node> {
        self.directives()?;
        let head = self.take_document_head();
        let mut document = new_node(Kind::Document, start);
        document.comments = boxed(Comments { head, ..Comments::default() });
        document.children.push(self.node(Position::Block)?);
        Ok(document)
    }

    fn explicit_document(&mut self, start: Mark) -> Parse<Node> {
        self.directives()?;
        let token = self.peek()?;
        if token.kind != TokenKind::DocumentStart {
            let mark = token.start;
            return Err(self.refuse("did not find expected <document start>", mark, None));
        }
        self.take();
        let mut document = new_node(Kind::Document, start);
        let token = self.peek()?;
        let mark = token.start;
        let root = match token.kind {
            TokenKind::VersionDirective { .. }
            | TokenKind::TagDirective { .. }
            | TokenKind::DocumentStart
            | TokenKind::DocumentEnd
            | TokenKind::StreamEnd => self.empty(mark),
            _ => self.node(Position::Block)?,
        };
        document.children.push(root);
        Ok(document)
    }

    fn end_document(&mut self, document: &mut Node) -> Parse<()> {
        if self.peek()?.kind == TokenKind::DocumentEnd {
            self.take();
        }
        self.tag_directives.clear();
        if self.resolver == Resolver::V2 {
            self.anchors.clear();
        }
        let Comments { head, foot, .. } = self.take_comments();
        let foot = if foot.is_empty() { head } else { foot };
        if !foot.is_empty() {
            document.comments.get_or_insert_default().foot = foot;
        }
        Ok(())
    }

    /// The part of the comments before the last empty line is about the document, the rest about its first node.
    fn take_document_head(&mut self) -> String {
        let head = &self.pending.head;
        let (document, rest) = if let Some(document) = head.strip_suffix('\n') {
            (document.to_owned(), String::new())
        } else if let Some(at) = head.rfind("\n\n") {
            (head[..at].to_owned(), head[at + 2..].to_owned())
        } else {
            return String::new();
        };
        self.pending.head = rest;
        document
    }

    fn directives(&mut self) -> Parse<()> {
        let mut versioned = false;
        loop {
            let Token { kind, start, .. } = self.peek()?.clone();
            match kind {
                TokenKind::VersionDirective { .. } if versioned => {
                    return Err(self.refuse("found duplicate %YAML directive", start, None));
                }
                TokenKind::VersionDirective { supported: false } => {
                    return Err(self.refuse("found incompatible YAML document", start, None));
                }
                TokenKind::VersionDirective { .. } => versioned = true,
                TokenKind::TagDirective { handle, prefix } => {
                    if self.tag_prefix(handle).is_some() {
                        return Err(self.refuse("found duplicate %TAG directive", start, None));
                    }
                    self.tag_directives.push((handle.to_owned(), prefix.into_owned()));
                }
                _ => break,
            }
            self.take();
        }
        for (handle, prefix) in [("!", "!"), ("!!", "tag:yaml.org,2002:")] {
            if self.tag_prefix(handle).is_none() {
                self.tag_directives.push((handle.to_owned(), prefix.to_owned()));
            }
        }
        Ok(())
    }

    fn tag_prefix(&self, handle: &str) -> Option<&str> {
        let found = self.tag_directives.iter().find(|(other, _)| other == handle);
        found.map(|(_, prefix)| prefix.as_str())
    }

    fn node(&mut self, position: Position) -> Parse<Node> {
        let mut node = self.roomy_node(position)?;
        // A vector grows by doubling from four: of many small collections half would be room.
        node.children.shrink_to_fit();
        Ok(node)
    }

    fn roomy_node(&mut self, position: Position) -> Parse<Node> {
        let token = self.peek()?;
        let properties = match token.kind {
            TokenKind::Alias(name) => {
                let start = token.start;
                return self.alias(name, start);
            }
            TokenKind::Anchor(_) | TokenKind::Tag { .. } => self.properties()?,
            _ => Properties::default(),
        };
        let token = self.peek()?;
        let start = properties.start.unwrap_or(token.start);
        let in_block = position != Position::Flow;
        match token.kind {
            TokenKind::BlockEntry if position == Position::BlockOfMapping => {
                let node = self.collection(Kind::Sequence, Style::Plain, start, properties);
                self.indentless_sequence(node)
            }
            TokenKind::Scalar { .. } => self.scalar(start, properties),
            TokenKind::FlowSequenceStart => {
                let node = self.collection(Kind::Sequence, Style::Flow, start, properties);
                self.flow_sequence(node)
            }
            TokenKind::FlowMappingStart => {
                let node = self.collection(Kind::Mapping, Style::Flow, start, properties);
                self.flow_mapping(node)
            }
            TokenKind::BlockSequenceStart if in_block => {
                let node = self.collection(Kind::Sequence, Style::Plain, start, properties);
                self.block_sequence(node)
            }
            TokenKind::BlockMappingStart if in_block => {
                let node = self.collection(Kind::Mapping, Style::Plain, start, properties);
                self.block_mapping(node)
            }
            _ if properties.start.is_some() => Ok(self.empty_with(start, properties)),
            _ => {
                let mark = token.start;
                Err(self.refuse("did not find expected node content", mark, Some(start)))
            }
        }
    }

    fn alias(&mut self, name: &'a str, start: Mark) -> Parse<Node> {
        if !self.anchors.contains(name) {
            return Err(Error::without_place(start, format!("unknown anchor '{name}' referenced")));
        }
        self.has_aliases = true;
        let mut node = new_node(Kind::Alias, start);
        node.value = name.to_owned();
        node.comments = boxed(self.take_comments());
        self.take();
        Ok(node)
    }

    /// An anchor and a tag, in either order.
    fn properties(&mut self) -> Parse<Properties<'a>> {
        let mut properties = Properties::default();
        let mut tag = None;
        for _ in 0..2 {
            let token = self.peek()?;
            let mark = token.start;
            match &token.kind {
                TokenKind::Anchor(name) if properties.anchor.is_none() => properties.anchor = Some(name),
                TokenKind::Tag { handle, suffix } if tag.is_none() => tag = Some((*handle, suffix.clone(), mark)),
                _ => break,
            }
            properties.start.get_or_insert(mark);
            self.take();
        }
        if let Some((handle, suffix, mark)) = tag {
            let prefix = if handle.is_empty() { Some("") } else { self.tag_prefix(handle) };
            let Some(prefix) = prefix else {
                return Err(self.refuse("found undefined tag handle", mark, properties.start));
            };
            properties.tag = Some(format!("{prefix}{suffix}"));
        }
        Ok(properties)
    }

    fn scalar(&mut self, start: Mark, properties: Properties<'a>) -> Parse<Node> {
        let comments = boxed(self.take_comments());
        let Some(Token { kind: TokenKind::Scalar { value, style }, .. }) = self.take() else {
            return Err(self.refuse("did not find expected node content", start, None));
        };
        let mut node = Node { style, comments, value: value.into_owned(), ..new_node(Kind::Scalar, start) };
        self.set_properties(&mut node, properties);
        Ok(node)
    }

    fn empty(&self, mark: Mark) -> Node {
        let tag = if self.resolver == Resolver::V3 { Tag::Null } else { Tag::None };
        Node { tag, ..new_node(Kind::Scalar, mark) }
    }

    fn empty_with(&mut self, mark: Mark, properties: Properties<'a>) -> Node {
        let mut node = self.empty(mark);
        self.set_properties(&mut node, properties);
        node
    }

    fn set_properties(&mut self, node: &mut Node, properties: Properties<'a>) {
        if let Some(name) = properties.anchor {
            self.anchors.insert(name);
            node.anchor = Some(name.into());
        }
        match (properties.tag.as_deref(), self.resolver) {
            // To yaml.v2 this is a tag that it does not know; to yaml.v3 it is none.
            (Some("!"), Resolver::V2) => (node.tag, node.tagged) = (Tag::Other("!".into()), true),
            (None | Some("" | "!"), _) => node.tag = self.implicit_tag(node),
            (Some(tag), _) => (node.tag, node.tagged) = (Tag::from(tag), true),
        }
    }

    fn implicit_tag(&self, node: &Node) -> Tag {
        match (node.kind, node.style) {
            (Kind::Mapping, _) => Tag::Map,
            (Kind::Sequence, _) => Tag::Seq,
            (_, Style::Plain) if self.resolver == Resolver::V2 => Tag::None,
            (_, Style::Plain) => resolve_plain(&node.value, self.resolver).tag(),
            _ => Tag::Str,
        }
    }
}

// Tokens and comments.
impl<'a> Parser<'a> {
    fn peek(&mut self) -> Parse<&Token<'a>> {
        let found = self.scanner.advance();
        if let Some(fault) = &self.fault
            && self.scanner.has_seen_end()
        {
            return Err(fault.clone());
        }
        let resolver = self.resolver;
        found.map_err(|problem| problem.into_error(resolver))?;
        if !self.scanner.comments.is_empty() {
            self.collect_comments();
        }
        self.scanner.head().ok_or_else(|| Error::without_place(Mark::default(), "no token is left".to_owned()))
    }

    fn take(&mut self) -> Option<Token<'a>> {
        self.scanner.take()
    }

    /// Moves the comments that the next token takes to those that wait.
    fn collect_comments(&mut self) {
        let Some(token) = self.scanner.head() else { return };
        let (at, is_block_end) = (token.start.index, token.kind == TokenKind::BlockEnd);
        while let Some(comment) = self.scanner.comments.front() {
            // The end of a block has no head: it waits for what follows.
            if at < comment.token.index || (is_block_end && comment.place == Place::Head) {
                return;
            }
            let Some(comment) = self.scanner.comments.pop_front() else { return };
            let waiting = match comment.place {
                Place::Head => &mut self.pending.head,
                Place::Line => &mut self.pending.line,
                Place::Foot => &mut self.pending.foot,
            };
            if !waiting.is_empty() {
                waiting.push('\n');
            }
            waiting.push_str(&comment.text);
        }
    }

    fn take_comments(&mut self) -> Comments {
        self.stem.clear();
        std::mem::take(&mut self.pending)
    }

    fn refuse(&self, problem: &'static str, mark: Mark, context: Option<Mark>) -> Error {
        Problem { in_scanner: false, problem, mark, context }.into_error(self.resolver)
    }
}

fn new_node(kind: Kind, mark: Mark) -> Node {
    Node { kind, line: mark.line + 1, column: mark.column + 1, ..Node::default() }
}

fn boxed(comments: Comments) -> Option<Box<Comments>> {
    (comments != Comments::default()).then(|| Box::new(comments))
}
