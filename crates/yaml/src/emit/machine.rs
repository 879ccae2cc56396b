//! What is printed where: the states of libyaml's emitter.
//!
//! Nodes come as events, as their parser would have seen them. Comments of an event wait until the place where they are
//! printed: a head before its node, a line behind it, a foot below it; a tail is the foot of the key before, and is
//! printed before the next key.

mod collection;
mod node;

use std::borrow::Cow;

use super::writer::{Profile, Version, Writer};
use crate::node::Style;

#[derive(Debug)]
pub(super) struct Scalar<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) style: Style,
}

#[derive(Debug)]
pub(super) enum Content<'a> {
    Alias,
    Scalar(Scalar<'a>),
    Sequence { flow: bool, is_empty: bool },
    SequenceEnd,
    Mapping { flow: bool, is_empty: bool },
    MappingEnd,
}

#[derive(Debug)]
pub(super) struct Event<'a> {
    pub(super) content: Content<'a>,
    /// The name of an anchor, or of an alias.
    pub(super) anchor: &'a str,
    /// As it is written.
    pub(super) tag: String,
    pub(super) comments: Waiting<'a>,
}

impl<'a> Event<'a> {
    pub(super) fn of(content: Content<'a>) -> Self {
        Event { content, anchor: "", tag: String::new(), comments: Waiting::default() }
    }
}

/// Comments on their way.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Waiting<'a> {
    pub(super) head: &'a str,
    pub(super) line: &'a str,
    pub(super) foot: &'a str,
    pub(super) tail: &'a str,
}

impl Waiting<'_> {
    /// Whether a comment stands between a node and what follows it.
    fn follow(&self) -> bool {
        !(self.line.is_empty() && self.foot.is_empty() && self.tail.is_empty())
    }
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Root,
    /// Within `[`: the first entry, one behind a comma that is still to be written, one behind a written comma.
    FlowSequence(Place),
    FlowKey(Place),
    FlowValue {
        simple: bool,
    },
    BlockSequence {
        first: bool,
    },
    BlockKey {
        first: bool,
    },
    BlockValue {
        simple: bool,
    },
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    Next,
    AfterComma,
}

#[derive(Debug)]
pub(super) struct Machine<'a> {
    writer: Writer,
    state: State,
    /// What comes behind the nodes that are open.
    states: Vec<State>,
    indents: Vec<Option<usize>>,
    flow_level: usize,
    in_mapping: bool,
    in_simple_key: bool,
    waiting: Waiting<'a>,
    key_line: &'a str,
    documents: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(profile: Profile) -> Self {
        Machine {
            writer: Writer::new(profile),
            state: State::Root,
            states: Vec::new(),
            indents: Vec::new(),
            flow_level: 0,
            in_mapping: false,
            in_simple_key: false,
            waiting: Waiting::default(),
            key_line: "",
            documents: 0,
        }
    }

    pub(super) fn is_natural(&self) -> bool {
        self.writer.profile.natural
    }

    pub(super) fn version(&self) -> Version {
        self.writer.profile.version
    }

    pub(super) fn finish(self) -> String {
        self.writer.text
    }

    pub(super) fn start_document(&mut self, head: &'a str) {
        if self.documents > 0 {
            self.writer.write_indent();
            self.writer.write_indicator("---");
            self.writer.write_indent();
        }
        self.documents += 1;
        if !head.is_empty() {
            self.waiting.head = head;
            self.write_head();
            self.writer.put_break();
        }
        self.state = State::Root;
    }

    pub(super) fn end_document(&mut self, foot: &'a str) {
        if !foot.is_empty() {
            self.waiting.foot = foot;
        }
        self.writer.foot_indent = Some(0);
        self.write_foot();
        self.writer.foot_indent = None;
        self.writer.write_indent();
    }

    pub(super) fn emit(&mut self, event: Event<'a>) {
        self.wait(event.comments);
        match self.state {
            State::Root => self.root(event),
            State::FlowSequence(place) => self.flow_entry(event, place),
            State::FlowKey(place) => self.flow_key(event, place),
            State::FlowValue { simple } => self.flow_value(event, simple),
            State::BlockSequence { first } => self.block_entry(event, first),
            State::BlockKey { first } => self.block_key(event, first),
            State::BlockValue { simple } => self.block_value(event, simple),
            State::End => {}
        }
    }

    fn wait(&mut self, comments: Waiting<'a>) {
        let waiting = &mut self.waiting;
        for (waiting, comment) in [
            (&mut waiting.head, comments.head),
            (&mut waiting.line, comments.line),
            (&mut waiting.foot, comments.foot),
            (&mut waiting.tail, comments.tail),
        ] {
            if !comment.is_empty() {
                *waiting = comment;
            }
        }
    }

    fn root(&mut self, event: Event<'a>) {
        self.write_head();
        self.states.push(State::End);
        self.node(event, false, false);
        self.write_line();
        self.write_foot();
    }
}

// Comments.
impl Machine<'_> {
    fn write_head(&mut self) {
        let tail = std::mem::take(&mut self.waiting.tail);
        if !tail.is_empty() {
            self.write_below(tail);
        }
        let head = std::mem::take(&mut self.waiting.head);
        if !head.is_empty() {
            self.writer.write_indent();
            self.writer.write_comment(head);
        }
    }

    fn write_line(&mut self) {
        let line = std::mem::take(&mut self.waiting.line);
        if !line.is_empty() {
            self.writer.write_space();
            self.writer.write_comment(line);
        }
    }

    fn write_foot(&mut self) {
        let foot = std::mem::take(&mut self.waiting.foot);
        if !foot.is_empty() {
            self.write_below(foot);
        }
    }

    /// A comment that an empty line separates from what follows at its column.
    fn write_below(&mut self, comment: &str) {
        self.writer.write_indent();
        self.writer.write_comment(comment);
        self.writer.foot_indent = Some(self.writer.indent.unwrap_or(0));
    }
}
