//! Values under a [`Shape`]: merged, compared, pruned, and listed as paths, as structured-merge-diff does it.
//!
//! An absent value and `null` differ: absent takes part in nothing, `null` is a value that fits every rule.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::fields::{Element, FieldSet, Node};
use super::shape::Shape;

/// A value that does not fit its rule, and where.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) path: String,
    pub(super) message: String,
}

impl Misfit {
    /// A value where a map is wanted; `field` is its dotted path.
    pub(super) fn not_a_map(field: &str, found: &Value) -> Self {
        Self { path: format!(".{field}"), message: format!("expected map, got &{{{}}}", go_text(found)) }
    }

    fn below(mut self, element: &Element) -> Self {
        self.path = format!("{element}{}", self.path);
        self
    }
}

/// What distinguishes two values.
#[derive(Default)]
pub(super) struct Comparison {
    pub(super) removed: FieldSet,
    /// Modified or added.
    pub(super) changed: FieldSet,
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    }
}

/// Whether two values are maps, lists or scalars alike; `null` and absence fit everything.
fn alike(left: Option<&Value>, right: &Value) -> bool {
    match (left, right) {
        (None | Some(Value::Null), _) | (_, Value::Null) => true,
        (Some(Value::Object(_)), right) => right.is_object(),
        (Some(Value::Array(_)), right) => right.is_array(),
        (Some(_), right) => !right.is_object() && !right.is_array(),
    }
}

/// Refuses values whose lists cannot be keyed, or hold two items with one key.
///
/// # Errors
/// With the path of the first misfit.
pub(super) fn check(value: &Value, shape: Shape<'_>) -> Result<(), Misfit> {
    let keyed = !shape.items().are_atomic();
    match value {
        Value::Null => Ok(()),
        Value::Array(items) if keyed => check_items(items, shape),
        other if keyed => {
            Err(Misfit { path: String::new(), message: format!("expected list, got &{{{}}}", go_text(other)) })
        }
        Value::Object(map) => map.iter().try_for_each(|(name, below)| {
            let known = if shape.admits(name) { Ok(()) } else { Err(undeclared()) };
            known.and_then(|()| check(below, shape.entry(name))).map_err(|misfit| misfit.below(&Element::field(name)))
        }),
        _ => Ok(()),
    }
}

/// A value as Go prints it (`%v`).
fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(name, value)| format!("{name}:{}", go_text(value))).collect();
            format!("map[{}]", entries.join(" "))
        }
        scalar => scalar.to_string(),
    }
}

fn undeclared() -> Misfit {
    Misfit { path: String::new(), message: "field not declared in schema".into() }
}

fn check_items(items: &[Value], shape: Shape<'_>) -> Result<(), Misfit> {
    let (mut seen, keys) = (BTreeSet::new(), shape.items());
    for (index, item) in items.iter().enumerate() {
        let element = keys
            .element(item)
            .map_err(|message| Misfit { path: String::new(), message: format!("element {index}: {message}") })?;
        check(item, shape.item()).map_err(|misfit| misfit.below(&element))?;
        if !seen.insert(element.clone()) {
            return Err(Misfit { path: String::new(), message: format!("duplicate entries for key {element}") });
        }
    }
    Ok(())
}

/// `right` over `left`. `None` when nothing is left.
pub(super) fn merge(left: Option<&Value>, right: Option<&Value>, shape: Shape<'_>) -> Option<Value> {
    let left = left.filter(|_| right.is_none_or(|right| alike(left, right)));
    let leaf = || right.or(left).cloned();
    if is_empty(left) && is_empty(right) {
        return leaf();
    }
    match right.filter(|right| !right.is_null()).or(left)? {
        Value::Object(_) if !shape.is_atomic() => merge_maps(left, right, shape),
        Value::Array(_) if !shape.items().are_atomic() => merge_lists(left, right, shape),
        _ => leaf(),
    }
}

/// What the right side does not name stays, and what is the same on both sides is not looked into.
fn merge_maps(left: Option<&Value>, right: Option<&Value>, shape: Shape<'_>) -> Option<Value> {
    let mut merged = left.and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, right) in right.and_then(Value::as_object).into_iter().flatten() {
        let left = merged.get(name);
        if left == Some(right) {
            continue;
        }
        match merge(left, Some(right), shape.entry(name)) {
            Some(below) => merged.insert(name.clone(), below),
            None => merged.remove(name),
        };
    }
    (!merged.is_empty()).then_some(Value::Object(merged))
}

/// Items with their elements. Items that share an element with an earlier one have no partner to merge with.
struct Keyed<'a> {
    items: Vec<(Element, &'a Value)>,
}

impl<'a> Keyed<'a> {
    fn new(list: Option<&'a Value>, shape: Shape<'_>) -> Self {
        let (keys, items) = (shape.items(), list.and_then(Value::as_array).into_iter().flatten());
        Self { items: items.filter_map(|item| Some((keys.element(item).ok()?, item))).collect() }
    }

    fn has(&self, element: &Element) -> bool {
        self.items.iter().any(|(own, _)| own == element)
    }

    /// All items of one element; more than one only in lists that were not checked.
    fn all(&self, element: &Element) -> Vec<&'a Value> {
        self.items.iter().filter(|(own, _)| own == element).map(|(_, item)| *item).collect()
    }

    /// The partner for a merge. Duplicates give way.
    fn partner(&self, element: &Element) -> Option<&'a Value> {
        match self.all(element)[..] {
            [] => None,
            [one] => Some(one),
            _ => Some(&Value::Null),
        }
    }
}

/// Merges keyed lists. Items of both keep the right side's order; items of the left side alone stay where they stood
/// between the shared ones.
fn merge_lists(left: Option<&Value>, right: Option<&Value>, shape: Shape<'_>) -> Option<Value> {
    let (left, right) = (Keyed::new(left, shape), Keyed::new(right, shape));
    let mut merged: Vec<Value> = Vec::new();
    let mut shared = right.items.iter().map(|(element, _)| element).filter(|element| left.has(element));
    let mut next_shared = shared.next();
    let mut done: BTreeSet<&Element> = BTreeSet::new();
    let (mut l, mut r) = (0, 0);
    while l < left.items.len() || r < right.items.len() {
        if let (Some((mine, _)), Some((theirs, _))) = (left.items.get(l), right.items.get(r)) {
            if mine == theirs {
                done.insert(theirs);
                merged.extend(merge(left.partner(mine), right.partner(theirs), shape.item()));
                (l, r) = (l + 1, r + 1);
                next_shared = shared.next();
                continue;
            }
            if right.has(mine) && next_shared.is_some_and(|next| next != mine) {
                l += 1;
                continue;
            }
        }
        if let Some((mine, item)) = left.items.get(l) {
            if !right.has(mine) {
                merged.extend(merge(Some(item), None, shape.item()));
                l += 1;
                continue;
            }
            if done.contains(mine) {
                l += 1;
            }
        }
        if let Some((theirs, _)) = right.items.get(r) {
            done.insert(theirs);
            merged.extend(merge(left.partner(theirs), right.partner(theirs), shape.item()));
            r += 1;
            if next_shared == Some(theirs) {
                next_shared = shared.next();
            }
        }
    }
    (!merged.is_empty()).then_some(Value::Array(merged))
}

/// Every path that a value sets.
pub(super) fn paths(value: &Value, shape: Shape<'_>) -> FieldSet {
    collect(value, shape).below
}

/// The paths below a value; the value is a member itself where nothing below it is.
fn collect(value: &Value, shape: Shape<'_>) -> Node {
    let mut all = Node::default();
    match value {
        Value::Object(map) if !shape.is_atomic() => {
            for (name, below) in map {
                let mut node = collect(below, shape.entry(name));
                node.member |= below.is_null() || below.as_object().is_some_and(Map::is_empty) || !shape.names(name);
                all.below.put(Element::field(name), node);
            }
        }
        Value::Array(_) if !shape.items().are_atomic() => {
            let keyed = Keyed::new(Some(value), shape);
            for (element, item) in &keyed.items {
                let is_one = keyed.all(element).len() == 1;
                let node = if is_one { collect(item, shape.item()) } else { Node::default() };
                all.below.put(element.clone(), Node { member: true, ..node });
            }
        }
        Value::Null if !shape.is_atomic() => {}
        _ => all.member = true,
    }
    all
}

/// What must change for `left` to become `right`.
pub(super) fn compare(left: &Value, right: &Value, shape: Shape<'_>) -> Comparison {
    let mut found = Comparison::default();
    compare_at(Some(left), Some(right), shape, &mut Vec::new(), &mut found);
    found
}

fn compare_at(
    left: Option<&Value>,
    right: Option<&Value>,
    shape: Shape<'_>,
    path: &mut Vec<Element>,
    found: &mut Comparison,
) {
    let both_empty = is_empty(left) && is_empty(right);
    let mixed = matches!((left, right), (Some(_), Some(right)) if !alike(left, right));
    let shown = right.filter(|right| !right.is_null()).or(left);
    let into_map = matches!(shown, Some(Value::Object(_))) && !shape.is_atomic();
    let into_list = matches!(shown, Some(Value::Array(_))) && !shape.items().are_atomic();
    if !both_empty && !mixed && into_map {
        compare_maps(left, right, shape, path, found);
    } else if !both_empty && !mixed && into_list {
        compare_lists(left, right, shape, path, found);
    } else if left.is_some() && right.is_some() && left != right {
        found.changed.insert(path);
    }
    match (left, right) {
        (None, _) => found.changed.insert(path),
        (_, None) => found.removed.insert(path),
        _ => {}
    }
}

fn compare_maps(
    left: Option<&Value>,
    right: Option<&Value>,
    shape: Shape<'_>,
    path: &mut Vec<Element>,
    found: &mut Comparison,
) {
    let (left, right) = (left.and_then(Value::as_object), right.and_then(Value::as_object));
    let names: BTreeSet<&String> = left.into_iter().chain(right).flat_map(Map::keys).collect();
    for name in names {
        let (left, right) = (left.and_then(|map| map.get(name)), right.and_then(|map| map.get(name)));
        if left == right {
            continue;
        }
        path.push(Element::field(name));
        compare_at(left, right, shape.entry(name), path, found);
        path.pop();
    }
}

fn compare_lists(
    left: Option<&Value>,
    right: Option<&Value>,
    shape: Shape<'_>,
    path: &mut Vec<Element>,
    found: &mut Comparison,
) {
    let (left, right) = (Keyed::new(left, shape), Keyed::new(right, shape));
    let elements: BTreeSet<&Element> = left.items.iter().chain(&right.items).map(|(element, _)| element).collect();
    for element in elements {
        let (mine, theirs) = (left.all(element), right.all(element));
        if mine == theirs {
            continue;
        }
        path.push(element.clone());
        match (mine.len(), theirs.len()) {
            (0 | 1, 0 | 1) => {
                compare_at(mine.first().copied(), theirs.first().copied(), shape.item(), path, found);
            }
            (0 | 1, _) => {
                if let Some(only) = mine.first() {
                    compare_at(Some(only), None, shape.item(), path, found);
                }
                found.changed.insert(path);
            }
            (_, 0 | 1) => {
                if let Some(only) = theirs.first() {
                    compare_at(None, Some(only), shape.item(), path, found);
                }
                found.removed.insert(path);
            }
            _ => found.changed.insert(path),
        }
        path.pop();
    }
}

/// `value` without the paths of `set`; `null` when nothing is left of it.
pub(super) fn remove(value: &Value, set: &FieldSet, shape: Shape<'_>) -> Value {
    match value {
        Value::Object(map) if shape.is_atomic() || map.is_empty() => Value::Null,
        Value::Object(map) => remove_entries(map, set, shape),
        Value::Array(items) if shape.items().are_atomic() || items.is_empty() => Value::Null,
        Value::Array(items) => remove_items(items, set, shape),
        scalar => scalar.clone(),
    }
}

fn remove_entries(map: &Map<String, Value>, set: &FieldSet, shape: Shape<'_>) -> Value {
    let mut kept = Map::new();
    let mut touched = false;
    for (name, value) in map {
        let element = Element::field(name);
        if set.has(&element) {
            continue;
        }
        let value = set.below(&element).map_or_else(
            || value.clone(),
            |below| {
                touched = true;
                keep_container(value, remove(value, below, shape.entry(name)))
            },
        );
        kept.insert(name.clone(), value);
    }
    if kept.is_empty() && !touched { Value::Null } else { Value::Object(kept) }
}

fn remove_items(items: &[Value], set: &FieldSet, shape: Shape<'_>) -> Value {
    let (mut kept, keys) = (Vec::new(), shape.items());
    let mut touched = false;
    for item in items {
        let Ok(element) = keys.element(item) else { continue };
        if set.has(&element) {
            continue;
        }
        let item = set.below(&element).map_or_else(
            || item.clone(),
            |below| {
                touched = true;
                keep_container(item, remove(item, below, shape.item()))
            },
        );
        kept.push(item);
    }
    if kept.is_empty() && !touched { Value::Null } else { Value::Array(kept) }
}

/// A map or list of which parts were removed stays as an empty one.
fn keep_container(before: &Value, after: Value) -> Value {
    match (before, after) {
        (Value::Object(_), Value::Null) => Value::Object(Map::new()),
        (Value::Array(_), Value::Null) => Value::Array(Vec::new()),
        (_, after) => after,
    }
}

/// `set` with each structure's field a member where something lies below it.
pub(super) fn with_fields(set: &FieldSet, shape: Shape<'_>) -> FieldSet {
    set.with_members(
        shape,
        &|shape, element| matches!(element, Element::Field(name) if shape.names(name)),
        &|shape, element| shape.below(element),
    )
}
