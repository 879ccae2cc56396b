//! The rules of yaml.v2 and of `sigs.k8s.io/yaml` above it.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{Decoder, Source, Strictness, decode_binary, go_syntax, unreadable_in};
use crate::error::Error;
use crate::float;
use crate::node::{Kind, Node, Style, Tag};
use crate::resolve::{Resolver, Scalar};

/// Keys of a mapping with their types, since `1` and `"1"` are two keys to yaml.v2; kept where duplicates matter.
type Seen = Option<HashSet<(Tag, String)>>;

impl Decoder<'_> {
    pub(super) fn value_v2(&mut self, source: impl Source) -> Result<Value, Error> {
        let node = source.node();
        self.count(node)?;
        match node.kind {
            Kind::Scalar => self.scalar(source),
            Kind::Document => source.children().next().map_or(Ok(Value::Null), |root| self.value_v2(root)),
            Kind::Alias => {
                let target = self.follow(node)?;
                let value = self.value_v2(target)?;
                self.leave();
                Ok(value)
            }
            Kind::Sequence => {
                self.deeper(node)?;
                let entries = source.children().map(|child| self.value_v2(child)).collect::<Result<_, _>>()?;
                self.depth -= 1;
                Ok(Value::Array(entries))
            }
            Kind::Mapping => {
                let mut map = Map::new();
                let mut seen = (self.strictness == Strictness::Strict).then(HashSet::new);
                self.mapping_v2(source, &mut map, &mut seen)?;
                Ok(Value::Object(map))
            }
        }
    }

    fn mapping_v2(&mut self, source: impl Source, map: &mut Map<String, Value>, seen: &mut Seen) -> Result<(), Error> {
        self.deeper(source.node())?;
        let mut children = source.children();
        while let (Some(key), Some(value)) = (children.next(), children.next()) {
            if is_merge(key.node()) {
                self.merge_v2(value, map, seen)?;
                continue;
            }
            let line = value.node().line;
            let key = self.key_v2(key, value.node())?;
            let decoded = self.value_v2(value)?;
            // Not a number is another key each time.
            let can_repeat = key.tag != Tag::Float || key.text != ".nan";
            if can_repeat
                && let Some(seen) = seen
                && !seen.insert((key.tag.clone(), key.text.clone()))
            {
                self.find(line, &key.text, format!("line {line}: key {} already set in map", key.shown()));
            } else if key.fits {
                map.insert(key.text, decoded);
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Merged keys go in at the place of the merge key, over those before it; of a sequence, the first one wins.
    fn merge_v2(&mut self, value: impl Source, map: &mut Map<String, Value>, seen: &mut Seen) -> Result<(), Error> {
        if value.node().kind != Kind::Sequence {
            return self.merge_one_v2(value, map, seen);
        }
        let sources: Vec<_> = value.children().collect();
        for source in &sources {
            self.require_mapping(source.node())?;
        }
        sources.into_iter().rev().try_for_each(|source| self.merge_one_v2(source, map, seen))
    }

    fn merge_one_v2(
        &mut self,
        source: impl Source,
        map: &mut Map<String, Value>,
        seen: &mut Seen,
    ) -> Result<(), Error> {
        let node = source.node();
        self.require_mapping(node)?;
        self.count(node)?;
        if node.kind != Kind::Alias {
            return self.mapping_v2(source, map, seen);
        }
        let target = self.follow(node)?;
        self.count(target)?;
        self.mapping_v2(target, map, seen)?;
        self.leave();
        Ok(())
    }

    fn key_v2(&mut self, source: impl Source, value: &Node) -> Result<Key, Error> {
        let key = source.node();
        self.count(key)?;
        match key.kind {
            Kind::Alias => {
                let target = self.follow(key)?;
                let found = self.key_v2(target, value);
                self.leave();
                found
            }
            Kind::Scalar if key.tag == Tag::Binary => Ok(Key { tag: Tag::Str, text: decode_binary(key)?, fits: true }),
            Kind::Scalar => {
                let scalar = Resolver::V2.scalar(key)?;
                let tag = scalar.tag();
                let (text, fits) = match scalar {
                    Scalar::Null => ("<nil>".to_owned(), false),
                    Scalar::Uint(value) => (format!("{value:#x}"), false),
                    Scalar::Bool(value) => (value.to_string(), true),
                    Scalar::Int(value) => (value.to_string(), true),
                    Scalar::Float(value) => (float_key(value), true),
                    Scalar::Timestamp(_) | Scalar::Merge | Scalar::Str(_) => {
                        return Ok(Key { tag: Tag::Str, text: source.text(), fits: true });
                    }
                };
                if !fits {
                    self.refuse_key(&tag, &text, key, value)?;
                }
                Ok(Key { tag, text, fits })
            }
            _ => {
                self.value_v2(key)?;
                let go_words = format!("yaml: invalid map key: {}", self.go_syntax(key)?);
                Err(unreadable_in("a mapping or sequence is no key", go_words, key))
            }
        }
    }

    /// Remembers a key that `sigs.k8s.io/yaml` does not make a string of. It does so only behind yaml.v2's own errors.
    fn refuse_key(&mut self, tag: &Tag, shown: &str, key: &Node, value: &Node) -> Result<(), Error> {
        if self.unfit.is_none() {
            let kind = if *tag == Tag::Null { "%!s(<nil>)" } else { "uint64" };
            let value = self.go_syntax(value)?;
            let go_words = format!("unsupported map key of type: {kind}, key: {shown}, value: {value}");
            self.unfit = Some(unreadable_in("a key of this type cannot be a string", go_words, key));
        }
        Ok(())
    }
}

/// A key as a string.
struct Key {
    tag: Tag,
    text: String,
    /// Whether `sigs.k8s.io/yaml` takes a key of this type.
    fits: bool,
}

impl Key {
    /// As Go shows the key that it was before it became a string.
    fn shown(&self) -> String {
        match (&self.tag, self.text.as_str()) {
            (Tag::Str, text) => go_syntax::quote(text),
            (_, ".inf") => "+Inf".to_owned(),
            (_, "-.inf") => "-Inf".to_owned(),
            (_, text) => text.to_owned(),
        }
    }
}

fn float_key(value: f64) -> String {
    let text = float::general_32(value);
    match text.as_str() {
        "+Inf" => ".inf".to_owned(),
        "-Inf" => "-.inf".to_owned(),
        "NaN" => ".nan".to_owned(),
        _ => text,
    }
}

fn is_merge(key: &Node) -> bool {
    let implicit = match &key.tag {
        Tag::Other(tag) => &**tag == "!",
        tag => *tag == Tag::Merge || (!key.tagged && key.style == Style::Plain),
    };
    key.kind == Kind::Scalar && key.value == "<<" && implicit
}
