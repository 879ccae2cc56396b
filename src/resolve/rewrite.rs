//! `rewrite`: changes the keys of what `find` or `extract` gave, or merges values that are JSON objects.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::open::pattern;
use super::store::{Bytes, Cause, Data};
use super::{select, template};
use crate::api::secret::{ConflictPolicy, MergeStrategy, PriorityPolicy, Rewrite, RewriteMerge, RewriteRegexp};

/// Applies all steps in order. Of keys that become one, the last in the old keys' order stays.
pub(super) fn apply(rewrites: &[Rewrite], data: Data) -> Result<Data, Cause> {
    rewrites.iter().enumerate().try_fold(data, |data, (index, rewrite)| {
        step(rewrite, data).map_err(|cause| match cause {
            Cause::Key { message } => Cause::Key { message: format!("failed rewrite operation[{index}]: {message}") },
            other => other,
        })
    })
}

fn step(rewrite: &Rewrite, data: Data) -> Result<Data, Cause> {
    if let Some(operation) = &rewrite.merge {
        merge(operation, data)
    } else if let Some(operation) = &rewrite.regexp {
        regexp(operation, data)
    } else if let Some(operation) = &rewrite.transform {
        data.into_iter().map(|(key, value)| Ok((template::transform(&operation.template, &key)?, value))).collect()
    } else {
        Ok(data)
    }
}

fn regexp(operation: &RewriteRegexp, data: Data) -> Result<Data, Cause> {
    let pattern = pattern(&operation.source)?;
    let renamed = |key: &str| pattern.replace_all(key, &operation.target);
    Ok(data.into_iter().map(|(key, value)| (renamed(&key), value)).collect())
}

fn failed(message: String) -> Cause {
    Cause::Key { message: format!("merge failed with {message}") }
}

fn merge(operation: &RewriteMerge, data: Data) -> Result<Data, Cause> {
    let (mut merged, mut conflicts) = (Map::new(), BTreeSet::new());
    for key in order(operation, &data) {
        let Some(value) = data.get(key) else {
            if operation.priority_policy == PriorityPolicy::IgnoreNotFound {
                continue;
            }
            return Err(failed(format!("key {key:?} not found in input map")));
        };
        for (name, member) in members(key, value)? {
            if merged.insert(name.clone(), member).is_some() {
                conflicts.insert(name);
            }
        }
    }
    if operation.conflict_policy != ConflictPolicy::Ignore && !conflicts.is_empty() {
        let names: Vec<_> = conflicts.into_iter().collect();
        return Err(failed(format!("conflicts: {}", names.join(", "))));
    }
    let printed = |value: &Value, html| Bytes::from(go_json(value, html).into_bytes());
    match &operation.strategy {
        MergeStrategy::Extract => Ok(merged.iter().map(|(name, value)| (name.clone(), bare(value))).collect()),
        MergeStrategy::Json if operation.into.is_empty() => Err(failed("missing 'into' field".into())),
        MergeStrategy::Json => {
            let whole = printed(&Value::Object(merged), false);
            Ok(data.into_iter().chain([(operation.into.clone(), whole)]).collect())
        }
        MergeStrategy::Other(_) => Ok(Data::new()),
    }
}

/// Keys without a priority by name, then those with one, in their order.
fn order<'a>(operation: &'a RewriteMerge, data: &'a Data) -> Vec<&'a String> {
    let others = data.keys().filter(|key| !operation.priority.contains(key));
    others.chain(&operation.priority).collect()
}

fn members(key: &str, value: &[u8]) -> Result<Map<String, Value>, Cause> {
    let parsed = serde_json::from_slice::<Option<Map<String, Value>>>(value);
    Ok(parsed
        .map_err(|_| failed(format!("failed to unmarshal JSON: the value of {key} is no object")))?
        .unwrap_or_default())
}

/// A member as the value of a key: strings bare, numbers without exponent, nested ones as JSON.
fn bare(value: &Value) -> Bytes {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map(|number| format!("{number}")).unwrap_or_default(),
        other => go_json(other, true),
    };
    Bytes::from(text.into_bytes())
}

/// JSON as Go prints what it read into `any`: keys sorted, numbers as floats, `<`, `>` and `&` escaped where asked.
fn go_json(value: &Value, html: bool) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => go_number(number.as_f64().unwrap_or_default()),
        Value::String(text) => go_string(text, html),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| go_json(item, html)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            let members =
                members.iter().map(|(key, value)| format!("{}:{}", go_string(key, html), go_json(value, html)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
    }
}

fn go_string(text: &str, html: bool) -> String {
    if html {
        return select::quoted(text).to_string();
    }
    let quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

fn go_number(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        return if text.contains("e-") { text } else { text.replace('e', "e+") };
    }
    format!("{number}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rewritten(rewrites: Value, data: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let rewrites: Vec<Rewrite> = serde_json::from_value(rewrites).expect("rewrites");
        let data =
            data.iter().map(|(key, value)| ((*key).to_owned(), Bytes::from(value.as_bytes().to_vec()))).collect();
        let data = apply(&rewrites, data).map_err(|cause| cause.to_string())?;
        Ok(data.into_iter().map(|(key, value)| (key, String::from_utf8(value.to_vec()).expect("text"))).collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        Ok(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn regular_expressions_and_templates_rename_keys() {
        let rewrites = json!([{"regexp": {"source": "^db-(.*)$", "target": "x_$1"}}, {"transform": {"template": "{{ .value | upper }}"}}]);
        assert_eq!(rewritten(rewrites, &[("db-a", "1"), ("b", "2")]), pairs(&[("B", "2"), ("X_A", "1")]));
    }

    #[test]
    fn merge_spreads_objects_over_keys() {
        let data = [("a", r#"{"k":"v","n":1e3,"o":{"z":1,"a":"<"}}"#), ("b", r#"{"t":true,"nil":null}"#)];
        let expected =
            pairs(&[("k", "v"), ("n", "1000"), ("nil", ""), ("o", r#"{"a":"\u003c","z":1}"#), ("t", "true")]);
        assert_eq!(rewritten(json!([{"merge": {}}]), &data), expected);
        let into = rewritten(json!([{"merge": {"strategy": "JSON", "into": "all"}}]), &[("b", r#"{"t":"<"}"#)]);
        assert_eq!(into, pairs(&[("all", r#"{"t":"<"}"#), ("b", r#"{"t":"<"}"#)]));
    }

    #[test]
    fn merge_conflicts_are_errors_unless_ignored() {
        let data = [("a", r#"{"k":"1"}"#), ("b", r#"{"k":"2"}"#)];
        assert_eq!(
            rewritten(json!([{"merge": {}}]), &data),
            Err("failed rewrite operation[0]: merge failed with conflicts: k".into())
        );
        let merge = json!([{"merge": {"conflictPolicy": "Ignore", "priority": ["a"]}}]);
        assert_eq!(rewritten(merge, &data), pairs(&[("k", "1")]));
        assert!(rewritten(json!([{"merge": {"priority": ["none"]}}]), &data).is_err());
        assert!(rewritten(json!([{"merge": {}}]), &[("a", "plain")]).is_err());
    }
}
