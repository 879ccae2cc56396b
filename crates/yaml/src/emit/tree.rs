//! Trees with their styles, tags, anchors and comments, as yaml.v3 encodes nodes.

use std::borrow::Cow;

use super::Event;
use super::machine::{Content, Machine, Scalar, Waiting};
use crate::node::{Kind, Node, Style, Tag};
use crate::resolve::{Resolver, resolve_plain};

pub(super) fn print<'n>(machine: &mut Machine<'n>, node: &'n Node) {
    if node.kind != Kind::Document {
        machine.start_document("");
        machine.print_node(node, waiting(node));
        machine.end_document("");
        return;
    }
    let comments = waiting(node);
    machine.start_document(comments.head);
    for root in &node.children {
        machine.print_node(root, waiting(root));
    }
    machine.end_document(comments.foot);
}

impl<'n> Machine<'n> {
    fn print_node(&mut self, node: &'n Node, comments: Waiting<'n>) {
        match node.kind {
            Kind::Document => {}
            Kind::Alias => {
                let comments = Waiting { tail: "", ..comments };
                self.emit(Event { content: Content::Alias, anchor: &node.value, tag: String::new(), comments });
            }
            Kind::Scalar => self.print_scalar(node, comments),
            Kind::Sequence => self.print_sequence(node, comments),
            Kind::Mapping => self.print_mapping(node, comments),
        }
    }

    fn print_scalar(&mut self, node: &'n Node, comments: Waiting<'n>) {
        let (tag, must_quote) = written_tag(node);
        let style = match node.style {
            Style::Plain | Style::Flow if node.value.contains('\n') => Style::Literal,
            Style::Plain | Style::Flow if must_quote => Style::DoubleQuoted,
            style => style,
        };
        let content = Content::Scalar(Scalar { text: Cow::Borrowed(&node.value), style });
        self.emit(Event { content, anchor: anchor(node), tag, comments });
    }

    fn print_sequence(&mut self, node: &'n Node, comments: Waiting<'n>) {
        let content = Content::Sequence { flow: node.style == Style::Flow, is_empty: node.children.is_empty() };
        self.start_collection(node, content, Waiting { head: comments.head, ..Waiting::default() });
        for child in &node.children {
            self.print_node(child, waiting(child));
        }
        let comments = Waiting { head: "", tail: "", ..comments };
        self.emit(Event { comments, ..Event::of(Content::SequenceEnd) });
    }

    /// The foot of a key comes behind its value, which is before the next key or at the end.
    fn print_mapping(&mut self, node: &'n Node, comments: Waiting<'n>) {
        let content = Content::Mapping { flow: node.style == Style::Flow, is_empty: node.children.len() < 2 };
        self.start_collection(node, content, Waiting { line: "", foot: "", ..comments });
        let mut tail = "";
        for (key, value) in node.pairs() {
            let comments = waiting(key);
            self.print_node(key, Waiting { foot: "", tail, ..comments });
            tail = comments.foot;
            self.print_node(value, waiting(value));
        }
        let comments = Waiting { head: "", tail, ..comments };
        self.emit(Event { comments, ..Event::of(Content::MappingEnd) });
    }

    fn start_collection(&mut self, node: &'n Node, content: Content<'n>, comments: Waiting<'n>) {
        self.emit(Event { content, anchor: anchor(node), tag: written_tag(node).0, comments });
    }
}

fn waiting(node: &Node) -> Waiting<'_> {
    node.comments.as_deref().map_or_else(Waiting::default, |comments| Waiting {
        head: &comments.head,
        line: &comments.line,
        foot: &comments.foot,
        tail: "",
    })
}

fn anchor(node: &Node) -> &str {
    node.anchor.as_deref().unwrap_or_default()
}

/// The tag as it is written: nothing where the text says the same without it. Also whether a plain text must be quoted
/// to remain a string.
fn written_tag(node: &Node) -> (String, bool) {
    let text = short_form(&node.tag);
    if node.tagged {
        return (text, false);
    }
    let found = match node.kind {
        Kind::Mapping => Tag::Map,
        Kind::Sequence => Tag::Seq,
        _ if node.tag == Tag::Str && !matches!(node.style, Style::Plain | Style::Flow) => Tag::Str,
        _ => match resolve_plain(&node.value, Resolver::V3).tag() {
            // Go's resolver does not know the merge key; its parser does.
            Tag::Merge => Tag::Str,
            tag => tag,
        },
    };
    match &node.tag {
        tag if *tag == found => (String::new(), false),
        Tag::Str if node.kind == Kind::Scalar => (String::new(), true),
        _ => (text, false),
    }
}

/// `!!str`, `!own`, or the whole tag between `!<` and `>`.
fn short_form(tag: &Tag) -> String {
    let text = tag.as_str();
    if text.is_empty() || text.starts_with('!') { escape(text) } else { format!("!<{}>", escape(text)) }
}

/// Characters that a tag cannot hold are written as `%XX` for each byte.
fn escape(tag: &str) -> String {
    let mut text = String::with_capacity(tag.len());
    for (at, character) in tag.char_indices() {
        let is_plain = character.is_ascii_alphanumeric() || ";/?:@&=+$,_.~*'()[]-".contains(character);
        let is_handle = character == '!' && (at == 0 || tag.starts_with("!!") && at == 1);
        if is_plain || is_handle {
            text.push(character);
            continue;
        }
        let mut bytes = [0; 4];
        for byte in character.encode_utf8(&mut bytes).bytes() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
