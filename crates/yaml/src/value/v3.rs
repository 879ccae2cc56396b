//! The rules of yaml.v3, as kustomize uses them on its way to JSON.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{Decoder, decode_binary, go_syntax, unreadable_in};
use crate::error::Error;
use crate::node::{Kind, Node, Tag};
use crate::resolve::{Resolver, Scalar};

/// Findings of one mapping; a file that has more is not read to the end by anybody.
const MOST_FINDINGS: usize = 100;

/// Keys that a merge must not set: those of the mapping itself and of earlier merges.
type Merged = Option<HashSet<String>>;

impl<'n> Decoder<'n> {
    /// The root may have any scalar as a key, since Go decodes it into a map of strings.
    pub(super) fn root_v3(&mut self, node: &'n Node) -> Result<Value, Error> {
        let root = node.root();
        if root.kind != Kind::Mapping {
            return Ok(self.value_v3(node)?.unwrap_or_default());
        }
        self.count(root)?;
        if !self.has_unique_keys(root) {
            return Ok(Value::Null);
        }
        self.require_scalar_keys(root)?;
        let mut map = Map::new();
        self.mapping_v3(root, &mut map, &mut None)?;
        Ok(Value::Object(map))
    }

    fn require_scalar_keys(&mut self, root: &'n Node) -> Result<(), Error> {
        for (key, _) in root.pairs() {
            let kind = if key.kind == Kind::Alias { self.aliased(key)?.kind } else { key.kind };
            let tag = match kind {
                Kind::Mapping => "!!map",
                Kind::Sequence => "!!seq",
                _ => continue,
            };
            let go_words = format!("yaml: unmarshal errors:\n  line {}: cannot unmarshal {tag} into string", key.line);
            return Err(unreadable_in("a mapping or sequence is no key", go_words, key));
        }
        Ok(())
    }

    /// Nothing for a mapping with a key found twice, which Go leaves out and reports at the end.
    fn value_v3(&mut self, node: &'n Node) -> Result<Option<Value>, Error> {
        self.count(node)?;
        match node.kind {
            Kind::Scalar => self.scalar(node).map(Some),
            Kind::Document => node.children.first().map_or(Ok(None), |root| self.value_v3(root)),
            Kind::Alias => {
                let target = self.follow(node)?;
                let value = self.value_v3(target)?;
                self.leave();
                Ok(value)
            }
            Kind::Sequence => {
                self.deeper(node)?;
                let entries = node.children.iter().filter_map(|child| self.value_v3(child).transpose());
                let entries = entries.collect::<Result<_, _>>()?;
                self.depth -= 1;
                Ok(Some(Value::Array(entries)))
            }
            Kind::Mapping => {
                self.require_string_keys(node)?;
                let mut map = Map::new();
                let whole = self.mapping_v3(node, &mut map, &mut None)?;
                Ok(whole.then_some(Value::Object(map)))
            }
        }
    }

    /// False if it has a key twice.
    fn mapping_v3(&mut self, node: &'n Node, map: &mut Map<String, Value>, merged: &mut Merged) -> Result<bool, Error> {
        if !self.has_unique_keys(node) {
            return Ok(false);
        }
        self.deeper(node)?;
        let mut merge = None;
        for (key, value) in node.pairs() {
            if is_merge(key) {
                merge = Some(value);
                continue;
            }
            let Some(text) = self.key_v3(key)? else { continue };
            if let Some(merged) = merged
                && !merged.insert(text.clone())
            {
                continue;
            }
            if let Some(decoded) = self.value_v3(value)? {
                map.insert(text, decoded);
            }
        }
        if let Some(merge) = merge {
            self.merge_v3(node, merge, map, merged)?;
        }
        self.depth -= 1;
        Ok(true)
    }

    /// Keys that are there stay, and of a sequence the first one wins.
    fn merge_v3(
        &mut self,
        parent: &'n Node,
        value: &'n Node,
        map: &mut Map<String, Value>,
        merged: &mut Merged,
    ) -> Result<(), Error> {
        let is_outermost = merged.is_none();
        if is_outermost {
            let mut keys = HashSet::new();
            for (key, _) in parent.pairs() {
                keys.extend(self.key_v3(key)?);
            }
            *merged = Some(keys);
        }
        let sources = if value.kind == Kind::Sequence { &value.children } else { std::slice::from_ref(value) };
        for source in sources {
            self.require_mapping(source)?;
            self.count(source)?;
            if source.kind == Kind::Alias {
                let target = self.follow(source)?;
                self.count(target)?;
                self.mapping_v3(target, map, merged)?;
                self.leave();
            } else {
                self.mapping_v3(source, map, merged)?;
            }
        }
        if is_outermost {
            *merged = None;
        }
        Ok(())
    }

    /// The text of a key; a null is none, and Go leaves it out.
    fn key_v3(&mut self, key: &'n Node) -> Result<Option<String>, Error> {
        self.count(key)?;
        match key.kind {
            Kind::Alias => {
                let target = self.follow(key)?;
                let text = self.key_v3(target);
                self.leave();
                text
            }
            Kind::Scalar if key.tag == Tag::Binary => decode_binary(key).map(Some),
            Kind::Scalar => {
                let scalar = Resolver::V3.scalar(key)?;
                Ok((scalar != Scalar::Null).then(|| key.value.clone()))
            }
            _ => {
                self.value_v3(key)?;
                let go_words = format!("yaml: invalid map key: {}", self.go_syntax(key)?);
                Err(unreadable_in("a mapping or sequence is no key", go_words, key))
            }
        }
    }

    /// Go makes another type of map where a key is no string, and JSON refuses that type.
    fn require_string_keys(&mut self, node: &'n Node) -> Result<(), Error> {
        if !self.has_string_keys(node)? {
            let go_words = "json: unsupported type: map[interface {}]interface {}".to_owned();
            self.unfit.get_or_insert(unreadable_in("a key is no string", go_words, node));
        }
        Ok(())
    }

    pub(super) fn has_string_keys(&mut self, node: &Node) -> Result<bool, Error> {
        for (key, _) in node.pairs() {
            let key: &Node = if key.kind == Kind::Alias { self.aliased(key)? } else { key };
            if !matches!(short_tag(key), Tag::Str | Tag::Merge) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn has_unique_keys(&mut self, node: &Node) -> bool {
        let mut places: HashMap<(Kind, &str), Vec<usize>> = HashMap::with_capacity(node.children.len() / 2);
        for (place, (key, _)) in node.pairs().enumerate() {
            places.entry((key.kind, &key.value)).or_default().push(place);
        }
        if places.len() * 2 == node.children.len() {
            return true;
        }
        let keys: Vec<&Node> = node.pairs().map(|(key, _)| key).collect();
        let mut pairs = Vec::new();
        for (place, key) in keys.iter().enumerate() {
            let others = places.get(&(key.kind, key.value.as_str())).map_or(&[][..], Vec::as_slice);
            pairs.extend(others.iter().filter(|other| **other > place).map(|other| (*key, keys[*other])));
            if pairs.len() > MOST_FINDINGS {
                break;
            }
        }
        for (first, second) in pairs.into_iter().take(MOST_FINDINGS) {
            let shown = go_syntax::quote(&second.value);
            let finding = format!("line {}: mapping key {shown} already defined at line {}", second.line, first.line);
            self.find(second.line, &second.value, finding);
        }
        false
    }
}

fn short_tag(node: &Node) -> Tag {
    match node.tag {
        Tag::None if node.style != crate::Style::Plain => Tag::Str,
        Tag::None => crate::resolve_plain(&node.value, Resolver::V3).tag(),
        ref tag => tag.clone(),
    }
}

fn is_merge(key: &Node) -> bool {
    key.kind == Kind::Scalar && key.value == "<<" && matches!(key.tag, Tag::None | Tag::Merge)
}
