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
            let Some((tag, text)) = key else { continue };
            if let Some(seen) = seen
                && !seen.insert((tag.clone(), text.clone()))
            {
                let shown = if tag == Tag::Str { go_syntax::quote(&text) } else { text.clone() };
                self.find(line, &text, format!("line {line}: key {shown} already set in map"));
                continue;
            }
            map.insert(text, decoded);
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

    /// The key as a string, with its type; nothing for one that cannot be a string, which is remembered.
    fn key_v2(&mut self, source: impl Source, value: &Node) -> Result<Option<(Tag, String)>, Error> {
        let key = source.node();
        self.count(key)?;
        match key.kind {
            Kind::Alias => {
                let target = self.follow(key)?;
                let found = self.key_v2(target, value);
                self.leave();
                found
            }
            Kind::Scalar if key.tag == Tag::Binary => Ok(Some((Tag::Str, decode_binary(key)?))),
            Kind::Scalar => {
                let scalar = Resolver::V2.scalar(key)?;
                let tag = scalar.tag();
                let text = match scalar {
                    Scalar::Null => return self.unfit_key(("%!s(<nil>)", "<nil>".to_owned()), key, value),
                    Scalar::Uint(number) => return self.unfit_key(("uint64", format!("{number:#x}")), key, value),
                    Scalar::Bool(value) => value.to_string(),
                    Scalar::Int(value) => value.to_string(),
                    Scalar::Float(value) => float_key(value),
                    Scalar::Timestamp(_) | Scalar::Merge | Scalar::Str(_) => {
                        return Ok(Some((Tag::Str, source.text())));
                    }
                };
                Ok(Some((tag, text)))
            }
            _ => {
                self.value_v2(key)?;
                let go_words = format!("yaml: invalid map key: {}", self.go_syntax(key)?);
                Err(unreadable_in("a mapping or sequence is no key", go_words, key))
            }
        }
    }

    fn unfit_key(
        &mut self,
        (kind, shown): (&str, String),
        key: &Node,
        value: &Node,
    ) -> Result<Option<(Tag, String)>, Error> {
        if self.unfit.is_none() {
            let value = self.go_syntax(value)?;
            let go_words = format!("unsupported map key of type: {kind}, key: {shown}, value: {value}");
            self.unfit = Some(unreadable_in("a key of this type cannot be a string", go_words, key));
        }
        Ok(None)
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
