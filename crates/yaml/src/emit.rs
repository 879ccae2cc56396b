//! Printing YAML as Go's libraries print it.

mod analysis;
mod machine;
mod order;
mod scalar;
mod tree;
mod value;
mod writer;

use serde_json::Value;

use crate::{Node, Tag};
use machine::{Event, Machine};
use writer::{Profile, Version};

/// Whether entries of a sequence stand further right than the key that holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequences {
    /// `key:\n  - entry`; yaml.v3's own way.
    Wide,
    /// `key:\n- entry`; kustomize's way.
    Compact,
}

/// How [`node`] and [`documents`] print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmitOptions {
    /// Spaces a level: SOPS 4, kyaml 2. Below 2 or above 9 means 2, as in Go.
    pub indent: usize,
    /// Where sequences stand.
    pub sequences: Sequences,
}

impl EmitOptions {
    /// As kyaml's `String` prints a node: indent 2, compact sequences.
    pub const KYAML: EmitOptions = EmitOptions { indent: 2, sequences: Sequences::Compact };
    /// As SOPS prints a file.
    pub const SOPS: EmitOptions = EmitOptions { indent: 4, sequences: Sequences::Wide };
}

/// Prints a value as `sigs.k8s.io/yaml` marshals it, which is also Helm's `toYaml` and what `kustomize build` prints:
/// keys in yaml.v2's natural order, texts folded at 80 columns, a line break at the end.
///
/// Go fails, and Helm then prints nothing, where a string holds a character that YAML refuses unescaped (DEL, C1
/// controls) or a key is longer than 1,024 characters, because it reads its own JSON as YAML on the way. Here these are
/// printed, escaped.
#[must_use]
pub fn to_yaml(value: &Value) -> String {
    value::print(value, Profile::V2)
}

/// Prints a value as [`to_yaml`] does, but with keys in the order of their bytes: what Flux takes the digest of values
/// over.
#[must_use]
pub fn to_yaml_by_bytes(value: &Value) -> String {
    value::print(value, Profile { natural: false, ..Profile::V2 })
}

/// Prints a value as yaml.v3 marshals it with kyaml's options: indent 2, compact sequences, keys in yaml.v3's natural
/// order, nothing folded.
#[must_use]
pub fn to_kyaml(value: &Value) -> String {
    to_v3(value, EmitOptions::KYAML)
}

/// Prints a value as yaml.v3 marshals it with options of one's own, as Helm's `toYamlPretty` (indent 2, wide
/// sequences).
#[must_use]
pub fn to_v3(value: &Value, options: EmitOptions) -> String {
    value::print(value, Profile::v3(options))
}

/// Prints a document or node as yaml.v3 encodes it, comments, styles, anchors and tags kept.
#[must_use]
pub fn node(node: &Node, options: EmitOptions) -> String {
    documents(std::slice::from_ref(node), options)
}

/// The node that yaml.v3 makes of a string: quoted where plain text would be something else to this or an older reader.
#[must_use]
pub fn string_node(text: impl Into<String>) -> Node {
    let text = text.into();
    // The parser, which has the last word on a node's tag, knows the merge key.
    let tag = if text == "<<" { Tag::Merge } else { Tag::Str };
    Node { style: value::style(&text, Version::V3), ..Node::scalar(tag, text) }
}

/// Prints documents as yaml.v3 encodes them one after the other, `---` between them.
#[must_use]
pub fn documents(documents: &[Node], options: EmitOptions) -> String {
    let mut machine = Machine::new(Profile::v3(options));
    for document in documents {
        tree::print(&mut machine, document);
    }
    machine.finish()
}
