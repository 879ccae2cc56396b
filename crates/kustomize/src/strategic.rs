//! Strategic-merge patches, as kyaml's `merge2` applies them.
//!
//! The whole object is walked, not only what the patch names: a list that merges is brought into order by its keys even
//! where the patch says nothing, and an empty null vanishes. What the walk gives for a place is one of the two trees
//! that it found there, changed in place; a tree that only the patch has is walked against itself.

use yaml::{Kind, Node, Style};

use crate::error::Problem;
use crate::facts::{Facts, Shape};
use crate::lists::{Lists, is_no_entry};
use crate::tree;

/// Which of the two trees of a place is the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Neither: the place is gone.
    Gone,
    /// The object's.
    Object,
    /// The patch's.
    Patch,
}

/// What a patch says about a place by `$patch`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// The two trees of a place.
pub(crate) enum Pair<'a> {
    /// Object and patch, each as far as it is there.
    Two(Option<&'a mut Node>, Option<&'a mut Node>),
    /// One tree that stands for both.
    Same(&'a mut Node),
}

/// Applies `patch` to `object`, both in place, and says which of them is the result.
pub(crate) fn apply(object: &mut Node, patch: &mut Node, facts: &Facts) -> Result<Outcome, Problem> {
    Merge { facts }.walk(Pair::Two(Some(object), Some(patch)), None)
}

struct Merge<'f> {
    facts: &'f Facts,
}

fn is_there(node: Option<&Node>) -> bool {
    node.is_some_and(|node| !tree::is_null(node))
}

impl Pair<'_> {
    fn object(&self) -> Option<&Node> {
        match self {
            Pair::Two(object, _) => object.as_deref(),
            Pair::Same(node) => Some(node),
        }
    }

    fn patch(&self) -> Option<&Node> {
        match self {
            Pair::Two(_, patch) => patch.as_deref(),
            Pair::Same(node) => Some(node),
        }
    }

    /// The kind of the first tree that is there and not null.
    fn kind(&self) -> Option<Kind> {
        let some = [self.object(), self.patch()].into_iter().flatten().find(|node| !tree::is_null(node));
        some.map(|node| node.kind)
    }

    fn expect_kind(&self, kind: Kind) -> Result<(), Problem> {
        [self.object(), self.patch()].into_iter().flatten().try_for_each(|node| tree::expect_kind(node, kind))
    }

    /// The outcome that stands for the patch's tree.
    fn whole_patch(&self) -> Outcome {
        match self {
            Pair::Two(_, Some(_)) => Outcome::Patch,
            Pair::Two(_, None) => Outcome::Gone,
            Pair::Same(_) => Outcome::Object,
        }
    }
}

impl<'f> Merge<'f> {
    fn walk(&self, pair: Pair<'_>, shape: Option<Shape<'f>>) -> Result<Outcome, Problem> {
        let shape = shape.or_else(|| self.shape_of(&pair));
        match pair.kind() {
            Some(Kind::Mapping) | None => {
                if pair.kind().is_some() {
                    pair.expect_kind(Kind::Mapping)?;
                }
                self.walk_map(pair, shape)
            }
            Some(Kind::Sequence) => {
                pair.expect_kind(Kind::Sequence)?;
                match shape.and_then(|shape| Some((shape, shape.merge_keys()?))) {
                    Some((shape, keys)) => self.walk_list(pair, shape, keys),
                    None => Ok(if pair.patch().is_some() { pair.whole_patch() } else { Outcome::Object }),
                }
            }
            Some(Kind::Scalar) => {
                pair.expect_kind(Kind::Scalar)?;
                Ok(if pair.patch().is_some() { pair.whole_patch() } else { Outcome::Object })
            }
            Some(_) => Ok(Outcome::Gone),
        }
    }

    /// What is known of a place by what it says it is.
    fn shape_of(&self, pair: &Pair<'_>) -> Option<Shape<'f>> {
        [pair.object(), pair.patch()].into_iter().flatten().find_map(|node| {
            let (api_version, kind) = (node.get("apiVersion")?, node.get("kind")?);
            self.facts.shape(tree::text(api_version), tree::text(kind))
        })
    }

    fn walk_map(&self, mut pair: Pair<'_>, shape: Option<Shape<'f>>) -> Result<Outcome, Problem> {
        if !is_there(pair.object()) {
            return self.walk_missing_map(pair, shape);
        }
        if pair.patch().is_some_and(tree::is_null) {
            return Ok(Outcome::Gone);
        }
        match directive(&mut pair)? {
            Directive::Delete => Ok(Outcome::Gone),
            Directive::Replace => self.walk_patch_alone(pair, shape),
            Directive::Merge => {
                self.walk_fields(&mut pair, shape)?;
                Ok(Outcome::Object)
            }
        }
    }

    /// A map that the object does not have, or has as null.
    fn walk_missing_map(&self, mut pair: Pair<'_>, shape: Option<Shape<'f>>) -> Result<Outcome, Problem> {
        // An unknown directive is passed over here, as upstream does.
        if matches!(directive(&mut pair), Ok(Directive::Delete)) {
            return Ok(Outcome::Gone);
        }
        match &pair {
            // A null that is written out stays, an empty one vanishes.
            Pair::Two(Some(object), None) if !object.value.is_empty() => Ok(Outcome::Object),
            Pair::Two(_, None) => Ok(Outcome::Gone),
            _ => self.walk_patch_alone(pair, shape),
        }
    }

    /// The patch's tree takes the place; its own fields are walked against themselves.
    fn walk_patch_alone(&self, pair: Pair<'_>, shape: Option<Shape<'f>>) -> Result<Outcome, Problem> {
        let outcome = pair.whole_patch();
        let node = match pair {
            Pair::Two(_, Some(patch)) => patch,
            Pair::Same(node) => node,
            Pair::Two(_, None) => return Ok(Outcome::Gone),
        };
        if tree::is_null(node) {
            return Ok(Outcome::Gone);
        }
        self.walk_fields(&mut Pair::Same(node), shape)?;
        Ok(outcome)
    }

    fn walk_fields(&self, pair: &mut Pair<'_>, shape: Option<Shape<'f>>) -> Result<(), Problem> {
        for name in field_names(pair) {
            let below = shape.and_then(|shape| shape.field(&name));
            match pair {
                Pair::Same(node) => self.walk_own_field(node, &name, below)?,
                Pair::Two(Some(object), patch) => self.walk_field(object, patch.as_deref_mut(), &name, below)?,
                Pair::Two(None, _) => {}
            }
        }
        Ok(())
    }

    fn walk_own_field(&self, map: &mut Node, name: &str, shape: Option<Shape<'f>>) -> Result<(), Problem> {
        let Some(field) = map.get_mut(name) else { return Ok(()) };
        match self.walk(Pair::Same(field), shape)? {
            Outcome::Gone => tree::clear(map, name).map(|_| ()),
            Outcome::Object | Outcome::Patch => {
                tree::quote_if_needed(field);
                Ok(())
            }
        }
    }

    fn walk_field(
        &self,
        object: &mut Node,
        patch: Option<&mut Node>,
        name: &str,
        shape: Option<Shape<'f>>,
    ) -> Result<(), Problem> {
        let key_style = patch.as_deref().map_or(Style::Plain, |patch| style_of_key(patch, name));
        let mut new = patch.and_then(|patch| patch.get_mut(name));
        let outcome = self.walk(Pair::Two(object.get_mut(name), new.as_deref_mut()), shape)?;
        match (outcome, new) {
            (Outcome::Patch, Some(new)) => put(object, name, std::mem::take(new), key_style),
            (Outcome::Object, _) => {
                if let Some(field) = object.get_mut(name) {
                    tree::quote_if_needed(field);
                }
                Ok(())
            }
            _ => tree::clear(object, name).map(|_| ()),
        }
    }

    fn walk_list(&self, mut pair: Pair<'_>, shape: Shape<'f>, keys: &[String]) -> Result<Outcome, Problem> {
        if is_there(pair.object()) {
            if pair.patch().is_some_and(tree::is_null) {
                return Ok(Outcome::Gone);
            }
            match directive(&mut pair)? {
                Directive::Delete => return Ok(Outcome::Gone),
                Directive::Merge => {
                    return self
                        .merge_list(pair, shape, keys)
                        .map(|stays| if stays { Outcome::Object } else { Outcome::Gone });
                }
                Directive::Replace => {}
            }
        }
        let outcome = pair.whole_patch();
        let node = match pair {
            Pair::Two(_, Some(patch)) => patch,
            Pair::Same(node) => node,
            Pair::Two(_, None) => return Ok(Outcome::Gone),
        };
        self.merge_list(Pair::Same(node), shape, keys).map(|stays| if stays { outcome } else { Outcome::Gone })
    }

    /// Merges the patch's entries into the object's list, in place.
    fn merge_list(&self, pair: Pair<'_>, shape: Shape<'f>, keys: &[String]) -> Result<bool, Problem> {
        let (target, added, is_same) = match pair {
            Pair::Same(node) => (node, None, true),
            Pair::Two(Some(object), patch) => (object, patch, false),
            Pair::Two(None, _) => return Ok(false),
        };
        let own = std::mem::take(&mut target.children);
        let mut lists = match added {
            _ if is_same => Lists::of_one(own),
            Some(patch) => Lists::of_two(own, std::mem::take(&mut patch.children)),
            None => Lists::of_two(own, Vec::new()),
        };
        lists.merge(keys, &mut |entry| self.walk(entry, shape.entries()))?;
        target.children = lists.finish();
        Ok(true)
    }
}

/// The style of a field's key.
fn style_of_key(map: &Node, name: &str) -> Style {
    tree::position(map, name).and_then(|at| map.children.get(at * 2)).map(|key| key.style).unwrap_or_default()
}

/// Writes what the patch says into the object; a new key keeps the style that the patch gives it.
fn put(object: &mut Node, name: &str, value: Node, key_style: Style) -> Result<(), Problem> {
    let is_new = tree::position(object, name).is_none();
    tree::set(object, name, value)?;
    let key = tree::position(object, name).filter(|_| is_new).and_then(|at| object.children.get_mut(at * 2));
    if let Some(key) = key {
        key.style = key_style;
    }
    Ok(())
}

/// The names of the fields that either tree has, each once, in order.
fn field_names(pair: &Pair<'_>) -> Vec<String> {
    let trees = match pair {
        Pair::Two(object, patch) => [object.as_deref(), patch.as_deref()],
        Pair::Same(node) => [Some(&**node), None],
    };
    let mut names: Vec<String> =
        trees.into_iter().flatten().flat_map(Node::pairs).map(|(key, _)| key.value.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Takes `$patch` out of the patch's tree and reads it.
fn directive(pair: &mut Pair<'_>) -> Result<Directive, Problem> {
    let node = match pair {
        Pair::Two(_, Some(patch)) => &mut **patch,
        Pair::Same(node) => &mut **node,
        Pair::Two(_, None) => return Ok(Directive::Merge),
    };
    match node.kind {
        Kind::Mapping => {
            let Some(directive) = node.get("$patch").map(|value| read_directive(&value.value)) else {
                return Ok(Directive::Merge);
            };
            let directive = directive?;
            tree::clear(node, "$patch")?;
            Ok(directive)
        }
        Kind::Sequence => {
            let first = node.children.iter().find(|entry| entry.kind == Kind::Mapping && entry.get("$patch").is_some());
            let Some(entry) = first.filter(|entry| entry.children.len() <= 2) else { return Ok(Directive::Merge) };
            let word = entry.get("$patch").map(|value| value.value.clone()).unwrap_or_default();
            let directive = read_directive(&word)?;
            node.children.retain(|entry| !is_no_entry(entry) && !tree::entry_matches(entry, "$patch", &word));
            Ok(directive)
        }
        _ => Ok(Directive::Merge),
    }
}

fn read_directive(word: &str) -> Result<Directive, Problem> {
    match word {
        "delete" => Ok(Directive::Delete),
        "replace" => Ok(Directive::Replace),
        "merge" => Ok(Directive::Merge),
        _ => Err(Problem::UnknownDirective { directive: word.into() }),
    }
}
