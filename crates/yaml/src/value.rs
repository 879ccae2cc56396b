//! From trees to plain values.

mod alias;
mod go_syntax;
mod v2;
mod v3;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Number, Value};

pub use alias::Aliases;
pub use go_syntax::quote;

use crate::error::{Error, Quoted};
use crate::limits::Limits;
use crate::node::{Kind, Node, Tag};
use crate::parser::Parser;
use crate::resolve::{Resolver, Scalar};
use crate::{float, text};

/// What to do with a key that a mapping has twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// The last one wins. yaml.v3 refuses them all the same.
    Lenient,
    /// Refused.
    Strict,
}

/// The value of a document or node, with its aliases followed and its merge keys (`<<`) applied.
///
/// `V2` gives what `sigs.k8s.io/yaml` gives: keys become strings. It goes by the style and the written tags of nodes,
/// so it is for trees that were read. `V3` gives what kustomize's `RNode` gives as JSON: timestamps become RFC 3339
/// texts, and keys below the root must be strings.
///
/// A number that JSON would print as an integer is one, whatever it was in YAML (`1.0`, `1e3`), as its next reader
/// sees it.
///
/// # Errors
/// A scalar that is not what its tag says, a key that cannot be a string, a key found twice, a number that JSON does
/// not have, an alias within its own anchor, or aliases that expand to too much.
pub fn to_value(node: &Node, resolver: Resolver, strictness: Strictness) -> Result<Value, Error> {
    let mut decoder = Decoder::new(Some(node), resolver, strictness);
    let value = match resolver {
        Resolver::V2 => decoder.value_v2(node)?,
        Resolver::V3 => decoder.root_v3(node)?,
    };
    decoder.conclude(value)
}

/// Whether yaml.v3 can decode a document into maps of Go, which need not have a form in JSON.
///
/// # Errors
/// As [`to_value`], but for what JSON alone does not have.
pub fn check(document: &Node) -> Result<(), Error> {
    let mut decoder = Decoder::new(Some(document), Resolver::V3, Strictness::Strict);
    let value = decoder.root_v3(document)?;
    decoder.unfit = None;
    decoder.conclude(value).map(drop)
}

/// The first document of a text as `sigs.k8s.io/yaml` reads it; an empty text is null.
///
/// # Errors
/// As [`crate::parse`] and [`to_value`].
pub fn from_str(text: &str) -> Result<Value, Error> {
    first_document(text, Strictness::Lenient)
}

/// As [`from_str`], and a key that a mapping has twice is an error.
///
/// # Errors
/// As [`from_str`].
pub fn from_str_strict(text: &str) -> Result<Value, Error> {
    first_document(text, Strictness::Strict)
}

fn first_document(text: &str, strictness: Strictness) -> Result<Value, Error> {
    let limits = Limits::default();
    let text = text::decode(text.as_bytes(), &limits)?;
    let mut parser = Parser::new(&text, Resolver::V2, &limits);
    let Some(document) = parser.next_document()? else { return Ok(Value::Null) };
    if parser.has_aliases() {
        return to_value(&document, Resolver::V2, strictness);
    }
    // Without aliases every text is needed once, and can be moved.
    let mut decoder = Decoder::new(None, Resolver::V2, strictness);
    let value = decoder.value_v2(document)?;
    decoder.conclude(value)
}

/// A node to decode: one that stays, or one that is used up.
trait Source: Sized {
    fn node(&self) -> &Node;
    fn text(self) -> String;
    fn children(self) -> impl Iterator<Item = Self>;
}

impl Source for &Node {
    fn node(&self) -> &Node {
        self
    }

    fn text(self) -> String {
        self.value.clone()
    }

    fn children(self) -> impl Iterator<Item = Self> {
        self.children.iter()
    }
}

impl Source for Node {
    fn node(&self) -> &Node {
        self
    }

    fn text(self) -> String {
        self.value
    }

    fn children(self) -> impl Iterator<Item = Self> {
        self.children.into_iter()
    }
}

/// Decodes one tree.
struct Decoder<'n> {
    /// Where aliases have their targets.
    root: Option<&'n Node>,
    resolver: Resolver,
    strictness: Strictness,
    aliases: Option<Aliases<'n>>,
    /// Aliases being followed, outermost first.
    following: Vec<*const Node>,
    depth: usize,
    decoded: usize,
    decoded_in_aliases: usize,
    /// Keys found twice, in Go's words, and the first of them.
    findings: Vec<String>,
    first_finding: Option<(u32, String)>,
    /// Go decodes all, then finds what JSON cannot hold.
    unfit: Option<Error>,
}

impl<'n> Decoder<'n> {
    fn new(root: Option<&'n Node>, resolver: Resolver, strictness: Strictness) -> Self {
        Decoder {
            root,
            resolver,
            strictness,
            aliases: None,
            following: Vec::new(),
            depth: 0,
            decoded: 0,
            decoded_in_aliases: 0,
            findings: Vec::new(),
            first_finding: None,
            unfit: None,
        }
    }

    fn conclude(self, value: Value) -> Result<Value, Error> {
        if let Some((line, key)) = self.first_finding {
            return Err(Error::DuplicateKey { line, key, findings: self.findings });
        }
        self.unfit.map_or(Ok(value), Err)
    }

    fn find(&mut self, line: u32, key: &str, finding: String) {
        self.first_finding.get_or_insert_with(|| (line, key.to_owned()));
        self.findings.push(finding);
    }

    /// Counts a step, as Go does, which refuses documents that are mostly aliases.
    fn count(&mut self, node: &Node) -> Result<(), Error> {
        self.decoded += 1;
        if self.following.is_empty() {
            return Ok(());
        }
        self.decoded_in_aliases += 1;
        let (inside, all) = (self.decoded_in_aliases, self.decoded);
        if inside > 100 && all > 1000 && exceeds_alias_ratio(inside, all) {
            return Err(unreadable(node, "document contains excessive aliasing"));
        }
        Ok(())
    }

    fn deeper(&mut self, node: &Node) -> Result<(), Error> {
        self.depth += 1;
        let limit = Limits::default().depth;
        if self.depth > limit {
            return Err(Error::TooLarge { line: node.line, what: "the depth of collections", limit });
        }
        Ok(())
    }

    /// Steps into the node that an alias stands for. [`Decoder::leave`] steps out.
    fn follow(&mut self, alias: &Node) -> Result<&'n Node, Error> {
        if self.following.contains(&std::ptr::from_ref(alias)) {
            let go_words = format!("yaml: anchor '{}' value contains itself", alias.value);
            return Err(unreadable_in("the value of an anchor contains itself", go_words, alias));
        }
        self.deeper(alias)?;
        let target = self.aliased(alias)?;
        self.following.push(alias);
        Ok(target)
    }

    fn leave(&mut self) {
        self.following.pop();
        self.depth -= 1;
    }

    fn aliased(&mut self, alias: &Node) -> Result<&'n Node, Error> {
        if self.aliases.is_none() {
            self.aliases = self.root.map(Aliases::of);
        }
        let target = self.aliases.as_ref().and_then(|aliases| aliases.target(alias));
        target.ok_or_else(|| {
            let go_words = format!("yaml: unknown anchor '{}' referenced", alias.value);
            unreadable_in("an alias of an unknown anchor", go_words, alias)
        })
    }

    /// The mapping that a node is or stands for, for a merge; nothing else can be merged.
    fn is_mapping(&mut self, node: &Node) -> Result<bool, Error> {
        Ok(match node.kind {
            Kind::Alias => self.aliased(node)?.kind == Kind::Mapping,
            kind => kind == Kind::Mapping,
        })
    }

    /// Refuses what is no mapping and does not stand for one.
    fn require_mapping(&mut self, node: &Node) -> Result<(), Error> {
        if self.is_mapping(node)? {
            return Ok(());
        }
        Err(unreadable(node, "map merge requires map or sequence of maps as the value"))
    }

    fn scalar(&mut self, source: impl Source) -> Result<Value, Error> {
        let node = source.node();
        if node.tag == Tag::Binary {
            return Ok(Value::String(decode_binary(node)?));
        }
        Ok(match self.resolver.scalar(node)? {
            Scalar::Null => Value::Null,
            Scalar::Bool(value) => Value::Bool(value),
            Scalar::Int(value) => Value::from(value),
            Scalar::Uint(value) => Value::from(value),
            Scalar::Float(value) => self.float(value),
            Scalar::Timestamp(text) => Value::String(text),
            Scalar::Merge | Scalar::Str(_) => Value::String(source.text()),
        })
    }

    fn float(&mut self, value: f64) -> Value {
        if let Some(problem) = unsupported(value) {
            self.unfit.get_or_insert(Error::Unwritable { problem });
        }
        integral(value).or_else(|| Number::from_f64(value)).map_or(Value::Null, Value::Number)
    }
}

/// The integer that JSON text of the number reads as; minus zero is none.
pub(crate) fn integral(value: f64) -> Option<Number> {
    if value.fract() != 0.0 || (value == 0.0 && value.is_sign_negative()) {
        return None;
    }
    let text = float::json(value);
    let signed = text.parse::<i64>().map(Number::from);
    signed.or_else(|_| text.parse::<u64>().map(Number::from)).ok()
}

fn unsupported(value: f64) -> Option<&'static str> {
    Some(match float::word(value)? {
        "+Inf" => "json: unsupported value: +Inf",
        "-Inf" => "json: unsupported value: -Inf",
        _ => "json: unsupported value: NaN",
    })
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of counts far below 2^52")]
fn exceeds_alias_ratio(inside: usize, all: usize) -> bool {
    const LOW: f64 = 400_000.0;
    const HIGH: f64 = 4_000_000.0;
    let (inside, all) = (inside as f64, all as f64);
    let allowed = 0.99 - 0.89 * ((all.clamp(LOW, HIGH) - LOW) / (HIGH - LOW));
    inside / all > allowed
}

fn unreadable(node: &Node, problem: &'static str) -> Error {
    unreadable_in(problem, format!("yaml: {problem}"), node)
}

fn unreadable_in(problem: &'static str, go_words: String, node: &Node) -> Error {
    Error::Unreadable { line: node.line, column: node.column, problem, go_words: Quoted(go_words) }
}

/// Go takes padding as a must and does not look at the bits behind the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

fn decode_binary(node: &Node) -> Result<String, Error> {
    let text: String = node.value.chars().filter(|character| !matches!(character, '\r' | '\n')).collect();
    let bytes = BASE64.decode(text).map_err(|_| unreadable(node, "!!binary value contains invalid base64 data"))?;
    Ok(lossy(&bytes))
}

/// As `encoding/json` writes bytes: each one that belongs to no character becomes a replacement character.
fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}
