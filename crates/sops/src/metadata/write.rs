//! From metadata to the tree: keys sorted, what is empty left out where sops leaves it out.

use super::Metadata;
use crate::key::{KeyKind, MasterKey};
use crate::tree::{Branch, Item, Value};

pub(super) fn entries(metadata: &Metadata) -> Branch {
    let mut entries = match metadata.groups.as_slice() {
        [group] => lists(group, &[]),
        groups => {
            let always = [KeyKind::Vault, KeyKind::Age];
            let groups = groups.iter().map(|group| Value::Branch(sorted(lists(group, &always))));
            vec![Item::new("key_groups", Value::List(groups.collect()))]
        }
    };
    entries.push(Item::new("lastmodified", Value::text(&metadata.last_modified)));
    entries.push(Item::new("mac", Value::Str(metadata.mac.clone())));
    entries.push(Item::new("version", Value::text(&metadata.version)));
    if let Some(rule) = &metadata.rule {
        entries.push(Item::new(rule.kind.field(), Value::text(&rule.text)));
    }
    if metadata.mac_only_encrypted {
        entries.push(Item::new("mac_only_encrypted", Value::Bool(true)));
    }
    if metadata.threshold > 0 {
        let threshold = i64::try_from(metadata.threshold).unwrap_or(i64::MAX);
        entries.push(Item::new("shamir_threshold", Value::Int(threshold)));
    }
    sorted(entries)
}

/// The keys of a group by kind; kinds without keys are left out unless they are in `always`.
fn lists(group: &[MasterKey], always: &[KeyKind]) -> Branch {
    let lists = KeyKind::IN_ORDER.into_iter().filter_map(|kind| {
        let keys: Vec<Value> = group.iter().filter(|key| key.kind == kind).map(key).collect();
        (!keys.is_empty() || always.contains(&kind)).then(|| Item::new(kind.list(), Value::List(keys)))
    });
    lists.collect()
}

fn key(key: &MasterKey) -> Value {
    let mut entries = Branch::new();
    for name in key.kind.fields() {
        let text = key.get(name);
        if !(text.is_empty() && *name == "role") {
            entries.push(Item::new(*name, Value::text(text)));
        }
    }
    entries.push(Item::new("enc", Value::text(&key.wrapped)));
    if !key.context.is_empty() {
        let context = key.context.iter().map(|(name, text)| Item::new(name.as_str(), Value::text(text)));
        entries.push(Item::new("context", Value::Branch(context.collect())));
    }
    Value::Branch(sorted(entries))
}

fn sorted(mut entries: Branch) -> Branch {
    entries.sort_by(|left, right| left.name().map(|name| name.bytes()).cmp(&right.name().map(|name| name.bytes())));
    entries
}
