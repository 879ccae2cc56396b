//! Sequences and mappings: brackets, commas, dashes and colons.

use super::{Content, Event, Machine, Place, State};

impl<'a> Machine<'a> {
    pub(super) fn flow_entry(&mut self, event: Event<'a>, place: Place) {
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

    pub(super) fn flow_key(&mut self, event: Event<'a>, place: Place) {
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

    pub(super) fn flow_value(&mut self, event: Event<'a>, simple: bool) {
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

    pub(super) fn block_entry(&mut self, event: Event<'a>, first: bool) {
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

    pub(super) fn block_key(&mut self, event: Event<'a>, first: bool) {
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

    pub(super) fn block_value(&mut self, event: Event<'a>, simple: bool) {
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

    pub(super) fn increase_indent(&mut self, flow: bool, compact: bool) {
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

    pub(super) fn decrease_indent(&mut self) {
        self.writer.indent = self.indents.pop().flatten();
    }

    pub(super) fn leave(&mut self) {
        self.state = self.states.pop().unwrap_or(State::End);
    }
}
