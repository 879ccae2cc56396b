//! What is printed where: the states of libyaml's emitter.
//!
//! Nodes come as events, as their parser would have seen them. Comments of an event wait until the place where they are
//! printed: a head before its node, a line behind it, a foot below it; a tail is the foot of the key before, and is
//! printed before the next key.

use std::borrow::Cow;

use super::analysis::{Analysis, analyze};
use super::writer::{Profile, Version, Writer};
use crate::node::Style;

/// A key is written on one line with its value up to this length.
const LONGEST_SIMPLE_KEY: usize = 128;

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

// Collections.
impl<'a> Machine<'a> {
    fn flow_entry(&mut self, event: Event<'a>, place: Place) {
        if place == Place::First {
            self.open_flow('[');
        }
        if matches!(event.content, Content::SequenceEnd) {
            self.close_flow("]");
            return;
        }
        self.separate(place);
        self.states.push(State::FlowSequence(self.next_place()));
        self.node(event, false, false);
        self.end_flow_entry();
    }

    fn flow_key(&mut self, event: Event<'a>, place: Place) {
        if place == Place::First {
            self.open_flow('{');
        }
        if matches!(event.content, Content::MappingEnd) {
            let comments = [self.waiting.head, self.waiting.foot, self.waiting.tail];
            if place == Place::Next && comments.iter().any(|comment| !comment.is_empty()) {
                self.writer.write_attached(",");
            }
            self.write_head();
            self.close_flow("}");
            return;
        }
        self.separate(place);
        let simple = self.is_simple_key(&event);
        if !simple {
            self.writer.write_indicator("?");
        }
        self.states.push(State::FlowValue { simple });
        self.node(event, true, simple);
    }

    fn flow_value(&mut self, event: Event<'a>, simple: bool) {
        if simple {
            self.writer.write_attached(":");
        } else {
            self.break_long_line();
            self.writer.write_indicator(":");
        }
        self.states.push(State::FlowKey(self.next_place()));
        self.node(event, true, false);
        self.end_flow_entry();
    }

    fn open_flow(&mut self, bracket: char) {
        self.writer.write_opening(bracket);
        self.increase_indent(true, false);
        self.flow_level += 1;
    }

    fn close_flow(&mut self, bracket: &str) {
        self.flow_level -= 1;
        self.decrease_indent();
        if self.writer.column == 0 && bracket == "]" {
            self.writer.write_indent();
        }
        self.writer.write_attached(bracket);
        self.write_line();
        self.write_foot();
        self.leave();
    }

    fn separate(&mut self, place: Place) {
        if place == Place::Next {
            self.writer.write_attached(",");
        }
        self.write_head();
        if self.writer.column == 0 {
            self.writer.write_indent();
        }
        self.break_long_line();
    }

    fn break_long_line(&mut self) {
        if self.writer.column > self.writer.profile.width {
            self.writer.write_indent();
        }
    }

    /// A comment behind an entry makes the comma come before it.
    fn next_place(&self) -> Place {
        if self.waiting.follow() { Place::AfterComma } else { Place::Next }
    }

    fn end_flow_entry(&mut self) {
        if self.waiting.follow() {
            self.writer.write_attached(",");
        }
        self.write_line();
        self.write_foot();
    }

    fn block_entry(&mut self, event: Event<'a>, first: bool) {
        if first {
            let writer = &self.writer;
            let below_key = self.in_mapping && (writer.column == 0 || !writer.indention);
            self.increase_indent(false, below_key && writer.profile.compact);
        }
        if matches!(event.content, Content::SequenceEnd) {
            self.decrease_indent();
            self.leave();
            return;
        }
        self.write_head();
        self.writer.write_indent();
        self.writer.write_block_indicator('-');
        self.states.push(State::BlockSequence { first: false });
        self.node(event, false, false);
        self.write_line();
        self.write_foot();
    }

    fn block_key(&mut self, event: Event<'a>, first: bool) {
        if first {
            self.increase_indent(false, false);
        }
        self.write_head();
        if matches!(event.content, Content::MappingEnd) {
            self.decrease_indent();
            self.leave();
            return;
        }
        self.writer.write_indent();
        if !self.waiting.line.is_empty() {
            self.key_line = std::mem::take(&mut self.waiting.line);
        }
        let simple = self.is_simple_key(&event);
        if !simple {
            self.writer.write_block_indicator('?');
        }
        self.states.push(State::BlockValue { simple });
        self.node(event, true, simple);
    }

    fn block_value(&mut self, event: Event<'a>, simple: bool) {
        if simple {
            self.writer.write_attached(":");
        } else {
            self.writer.write_indent();
            self.writer.write_block_indicator(':');
        }
        if !self.key_line.is_empty() {
            self.place_key_line(&event);
        }
        self.states.push(State::BlockKey { first: false });
        self.node(event, true, false);
        self.write_line();
        self.write_foot();
    }

    /// The comment on the line of a key: behind its scalar, or before its block.
    fn place_key_line(&mut self, event: &Event<'a>) {
        match event.content {
            Content::Scalar(_) if self.waiting.line.is_empty() => {
                self.waiting.line = std::mem::take(&mut self.key_line);
            }
            Content::Sequence { flow: false, .. } | Content::Mapping { flow: false, .. } => {
                std::mem::swap(&mut self.waiting.line, &mut self.key_line);
                self.write_line();
                std::mem::swap(&mut self.waiting.line, &mut self.key_line);
            }
            _ => {}
        }
    }

    fn increase_indent(&mut self, flow: bool, compact: bool) {
        self.indents.push(self.writer.indent);
        let unit = self.writer.profile.indent;
        self.writer.indent = Some(match self.writer.indent {
            None if flow => unit,
            None => 0,
            // Behind a `- ` the next column is used, everything else aligns to the unit.
            Some(indent) if self.states.last() == Some(&State::BlockSequence { first: false }) => indent + 2,
            Some(indent) => unit * (indent / unit + 1) - if compact { 2 } else { 0 },
        });
    }

    fn decrease_indent(&mut self) {
        self.writer.indent = self.indents.pop().flatten();
    }

    fn leave(&mut self) {
        self.state = self.states.pop().unwrap_or(State::End);
    }
}

// Nodes.
impl<'a> Machine<'a> {
    fn node(&mut self, event: Event<'a>, in_mapping: bool, in_simple_key: bool) {
        self.in_mapping = in_mapping;
        self.in_simple_key = in_simple_key;
        let (anchor, tag) = (event.anchor, event.tag.as_str());
        let in_flow = self.flow_level > 0;
        match event.content {
            Content::Alias => {
                self.write_anchor('*', anchor);
                self.leave();
            }
            Content::Scalar(scalar) => self.scalar(&scalar, anchor, tag),
            Content::Sequence { flow, is_empty } => {
                self.write_properties(anchor, tag);
                self.state = if in_flow || flow || is_empty {
                    State::FlowSequence(Place::First)
                } else {
                    State::BlockSequence { first: true }
                };
            }
            Content::Mapping { flow, is_empty } => {
                self.write_properties(anchor, tag);
                self.state = if in_flow || flow || is_empty {
                    State::FlowKey(Place::First)
                } else {
                    State::BlockKey { first: true }
                };
            }
            Content::SequenceEnd | Content::MappingEnd => {}
        }
    }

    fn scalar(&mut self, scalar: &Scalar<'a>, anchor: &str, tag: &str) {
        let text = &*scalar.text;
        let analysis = analyze(text, self.version());
        let style = self.possible_style(scalar, &analysis);
        self.write_properties(anchor, tag);
        self.increase_indent(true, false);
        let folds = !self.in_simple_key;
        match style {
            Style::Plain | Style::Flow => self.writer.write_plain(text, folds),
            Style::SingleQuoted => self.writer.write_single_quoted(text, folds),
            Style::DoubleQuoted => self.writer.write_double_quoted(text, folds),
            Style::Literal => {
                self.start_block("|", text);
                self.writer.write_literal(text);
            }
            Style::Folded => {
                self.start_block(">", text);
                self.writer.write_folded(text);
            }
        }
        self.decrease_indent();
        self.leave();
    }

    /// The style asked for, or the next one that can carry the text here.
    fn possible_style(&self, scalar: &Scalar<'a>, analysis: &Analysis) -> Style {
        let in_flow = self.flow_level > 0;
        let mut style = scalar.style;
        if self.in_simple_key && analysis.multiline {
            style = Style::DoubleQuoted;
        }
        if style == Style::Plain {
            let allowed = if in_flow { analysis.flow_plain } else { analysis.block_plain };
            let vanishes = scalar.text.is_empty() && (in_flow || self.in_simple_key);
            if !allowed || vanishes {
                style = Style::SingleQuoted;
            }
        }
        if style == Style::SingleQuoted && !analysis.single_quoted {
            style = Style::DoubleQuoted;
        }
        let is_block = matches!(style, Style::Literal | Style::Folded);
        if is_block && (!analysis.block || in_flow || self.in_simple_key) {
            style = Style::DoubleQuoted;
        }
        style
    }

    fn start_block(&mut self, indicator: &str, text: &str) {
        self.writer.write_indicator(indicator);
        self.writer.write_block_hints(text);
        if self.waiting.line.is_empty() {
            self.writer.put_break();
        } else {
            self.write_line();
        }
    }

    fn is_simple_key(&self, event: &Event<'a>) -> bool {
        let length = match &event.content {
            Content::Scalar(scalar) if scalar.text.contains(super::writer::is_break) => return false,
            Content::Scalar(scalar) => scalar.text.len(),
            Content::Sequence { is_empty, .. } | Content::Mapping { is_empty, .. } if !is_empty => return false,
            _ => 0,
        };
        event.anchor.len() + event.tag.len() + length <= LONGEST_SIMPLE_KEY
    }

    fn write_properties(&mut self, anchor: &str, tag: &str) {
        if !anchor.is_empty() {
            self.write_anchor('&', anchor);
        }
        if !tag.is_empty() {
            self.writer.write_indicator(tag);
        }
    }

    fn write_anchor(&mut self, indicator: char, name: &str) {
        self.writer.write_space();
        self.writer.put(indicator);
        self.writer.write_attached(name);
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
