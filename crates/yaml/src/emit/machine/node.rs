//! Nodes: their properties, and scalars in the style that can carry them.

use super::super::analysis::{Analysis, analyze};
use super::super::writer::is_break;
use super::{Content, Event, Machine, Place, Scalar, State};
use crate::node::Style;

/// A key is written on one line with its value up to this length.
const LONGEST_SIMPLE_KEY: usize = 128;

impl<'a> Machine<'a> {
    pub(super) fn node(&mut self, event: Event<'a>, in_mapping: bool, in_simple_key: bool) {
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
        // From where the node that holds it begins. yaml.v3 says the indent that was asked for, which is another number
        // within lists of mappings, and writes what nobody can read.
        let parent = self.indents.last().copied().flatten().unwrap_or(0);
        let indent = self.writer.indent.unwrap_or(0).saturating_sub(parent);
        self.writer.write_block_hints(text, indent);
        if self.waiting.line.is_empty() {
            self.writer.put_break();
        } else {
            self.write_line();
        }
    }

    pub(super) fn is_simple_key(&self, event: &Event<'a>) -> bool {
        let length = match &event.content {
            Content::Scalar(scalar) if scalar.text.contains(is_break) => return false,
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
