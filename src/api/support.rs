//! Which fields Lockstep acts on now. Whatever else is set is named, never ignored.
//!
//! Each kind has one table of leaves below `spec`; a leaf is a scalar, a list or map of scalars, or content of any
//! shape. `tests/crds.rs` walks the schemas and proves that every leaf is either in the table or reported.

use serde_json::Value;

/// A leaf of a spec that Lockstep acts on.
#[derive(Clone, Copy, Debug)]
pub struct Supported {
    /// Dotted path below `spec`; `[]` stands for the items of a list.
    pub path: &'static str,
    /// Values that it may have.
    pub allowed: Allowed,
}

/// Values of a leaf that Lockstep acts on.
#[derive(Clone, Copy, Debug)]
pub enum Allowed {
    /// Whatever the schema allows.
    Any,
    /// These alone; mostly the one that says "off".
    Only(&'static [&'static str]),
    /// Texts that begin so.
    Starts(&'static [&'static str]),
}

/// A leaf that may have any value.
pub(super) const fn any(path: &'static str) -> Supported {
    Supported { path, allowed: Allowed::Any }
}

/// A leaf that may have only these values; a boolean is written as text.
pub(super) const fn only(path: &'static str, values: &'static [&'static str]) -> Supported {
    Supported { path, allowed: Allowed::Only(values) }
}

/// A leaf whose text must begin with one of these.
pub(super) const fn starts(path: &'static str, prefixes: &'static [&'static str]) -> Supported {
    Supported { path, allowed: Allowed::Starts(prefixes) }
}

impl Supported {
    /// Whether the row is for the field at `path` itself.
    fn is(&self, path: &str) -> bool {
        self.path == path
    }

    /// Whether the row is for something below `path`.
    fn is_below(&self, path: &str) -> bool {
        let rest = self.path.strip_prefix(path);
        rest.is_some_and(|rest| path.is_empty() || rest.starts_with('.') || rest.starts_with("[]"))
    }
}

impl Allowed {
    /// What to say after the path when `value` is not allowed; `None` when it is.
    fn refusal(self, value: &Value) -> Option<String> {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let (fits, allowed) = match self {
            Self::Any => return None,
            Self::Only(values) => (values.contains(&text.as_str()), values),
            Self::Starts(prefixes) => (prefixes.iter().any(|prefix| text.starts_with(prefix)), prefixes),
        };
        (!fits).then(|| format!(" (only {})", allowed.join(", ")))
    }
}

/// The fields that are set in the object and not supported, in order: the path with list positions, and the supported
/// values when it is the value alone that is not.
pub(super) fn unsupported(table: &[Supported], object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(spec) = object.get("spec") {
        walk(table, spec, "", "spec", &mut found);
    }
    found
}

/// `path` is the field in the table's notation, `shown` the same for a person.
fn walk(table: &[Supported], value: &Value, path: &str, shown: &str, found: &mut Vec<String>) {
    if value.is_null() || value.as_array().is_some_and(Vec::is_empty) {
        return;
    }
    if let Some(row) = table.iter().find(|row| row.is(path)) {
        found.extend(row.allowed.refusal(value).map(|refusal| format!("{shown}{refusal}")));
        return;
    }
    match value {
        Value::Object(fields) if table.iter().any(|row| row.is_below(path)) => {
            for (name, value) in fields {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(table, value, &below, &format!("{shown}.{name}"), found);
            }
        }
        Value::Array(items) if table.iter().any(|row| row.is_below(path)) => {
            for (index, item) in items.iter().enumerate() {
                walk(table, item, &format!("{path}[]"), &format!("{shown}[{index}]"), found);
            }
        }
        _ => found.push(shown.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TABLE: &[Supported] = &[
        any("interval"),
        only("provider", &["generic"]),
        only("test.enable", &["false"]),
        starts("url", &["https://"]),
        any("dependsOn[].name"),
        any("values"),
    ];

    fn check(spec: Value, expected: &[&str]) {
        assert_eq!(unsupported(TABLE, &json!({"kind": "Sample", "spec": spec})), expected);
    }

    #[test]
    fn what_is_supported_is_not_named() {
        check(json!({"interval": "1m", "dependsOn": [{"name": "a"}, {"name": "b"}], "values": {"any": [1]}}), &[]);
    }

    #[test]
    fn an_unknown_field_is_named_with_its_place_in_the_list() {
        check(
            json!({"dependsOn": [{"name": "a"}, {"name": "b", "readyExpr": "true"}]}),
            &["spec.dependsOn[1].readyExpr"],
        );
    }

    #[test]
    fn a_value_that_says_off_is_supported_and_the_others_are_named() {
        check(json!({"provider": "generic", "test": {"enable": false}}), &[]);
        check(
            json!({"provider": "aws", "test": {"enable": true}, "url": "ssh://git"}),
            &["spec.provider (only generic)", "spec.test.enable (only false)", "spec.url (only https://)"],
        );
    }

    #[test]
    fn null_and_empty_lists_are_not_set_but_an_empty_map_may_be_a_choice() {
        check(json!({"patches": [], "kubeConfig": null, "verify": {}, "test": {}}), &["spec.verify"]);
    }

    #[test]
    fn a_field_whose_name_only_begins_like_a_supported_one_is_named() {
        check(json!({"testing": {"enable": true}, "val": 1}), &["spec.testing", "spec.val"]);
    }

    #[test]
    fn an_object_without_spec_has_nothing_to_name() {
        assert_eq!(unsupported(TABLE, &json!({"kind": "Sample"})), Vec::<String>::new());
    }
}
