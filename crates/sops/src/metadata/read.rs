//! From the tree to metadata.

use super::fields::Fields;
use super::{Metadata, invalid};
use crate::error::Error;
use crate::key::{KeyKind, MasterKey};
use crate::selection::{Rule, RuleKind};
use crate::time;
use crate::tree::Branch;

pub(super) fn metadata(entries: &Branch) -> Result<Metadata, Error> {
    let fields = Fields { branch: entries, place: String::new() };
    let last_modified = time(&fields, "lastmodified")?;
    Ok(Metadata {
        groups: groups(&fields)?,
        threshold: fields.count("shamir_threshold")?,
        last_modified,
        mac: fields.text("mac")?.into(),
        mac_only_encrypted: fields.boolean("mac_only_encrypted")?,
        rule: Some(rule(&fields)?),
        version: fields.text("version")?,
    })
}

fn time(fields: &Fields<'_>, name: &'static str) -> Result<String, Error> {
    let text = fields.text(name)?;
    let time = time::parse(&text).ok_or_else(|| invalid(fields.field(name), "is not a time of RFC 3339"))?;
    Ok(time::to_seconds(&time))
}

fn rule(fields: &Fields<'_>) -> Result<Rule, Error> {
    let mut found: Option<Rule> = None;
    for kind in RuleKind::ALL {
        let text = fields.text(kind.field())?;
        if text.is_empty() {
            continue;
        }
        if let Some(other) = found.replace(Rule { kind, text }) {
            return Err(invalid(kind.field(), format!("cannot be used together with {}", other.kind.field())));
        }
    }
    Ok(found.unwrap_or_default())
}

/// One group from the lists at the top, where there are any; else those of `key_groups`.
fn groups(fields: &Fields<'_>) -> Result<Vec<Vec<MasterKey>>, Error> {
    let single = group(fields)?;
    if !single.is_empty() {
        return Ok(vec![single]);
    }
    let groups = fields.mappings("key_groups")?.iter().map(group).collect::<Result<Vec<_>, Error>>()?;
    if groups.is_empty() { Err(invalid("", "no keys found in the file")) } else { Ok(groups) }
}

fn group(fields: &Fields<'_>) -> Result<Vec<MasterKey>, Error> {
    let mut keys = Vec::new();
    for kind in KeyKind::IN_ORDER {
        for fields in fields.mappings(kind.list())? {
            keys.push(key(kind, &fields)?);
        }
    }
    Ok(keys)
}

fn key(kind: KeyKind, fields: &Fields<'_>) -> Result<MasterKey, Error> {
    let mut key = MasterKey::new(kind);
    for name in kind.fields() {
        let text = if *name == "created_at" { time(fields, name)? } else { fields.text(name)? };
        key.set(name, text);
    }
    if kind == KeyKind::AwsKms {
        key.context = fields.texts("context")?;
    }
    key.wrapped = fields.text("enc")?;
    Ok(key)
}
