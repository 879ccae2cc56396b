//! Defaults, JSON, choice.

use yaml::json::{Html, to_string, to_string_indent};

use super::{Result, give};
use crate::function::Entry;
use crate::{Call, Failure, Value};

pub(super) const TABLE: &[Entry] = &[
    Entry("all", "func(...any) bool", |c| give(!c.rest(0).iter().any(is_empty))),
    Entry("any", "func(...any) bool", |c| give(!c.rest(0).iter().all(is_empty))),
    Entry("coalesce", "func(...any) any", |c| {
        Ok(c.rest(0).iter().find(|value| !is_empty(value)).cloned().unwrap_or_default())
    }),
    Entry("default", "func(any, ...any) any", |c| {
        let given = c.rest(1).first().filter(|value| !is_empty(value));
        Ok(given.unwrap_or(c.value(0)).clone())
    }),
    Entry("deepCopy", "func(any) any", deep_copy),
    Entry("empty", "func(any) bool", |c| give(is_empty(c.value(0)))),
    Entry("fail", "func(string) (string, error)", |c| Err(c.str(0).into_owned().into())),
    Entry("fromJson", "func(string) any", |c| Ok(crate::go::json::parse(c.bytes(0)).unwrap_or_default())),
    Entry("mustDeepCopy", "func(any) (any, error)", deep_copy),
    Entry("mustFromJson", "func(string) (any, error)", |c| crate::go::json::parse(c.bytes(0)).map_err(Failure::from)),
    Entry("mustToJson", "func(any) (string, error)", |c| give(json(c, Form::Line)?)),
    Entry("mustToPrettyJson", "func(any) (string, error)", |c| give(json(c, Form::Pretty)?)),
    Entry("mustToRawJson", "func(any) (string, error)", |c| give(json(c, Form::Raw)?)),
    Entry("ternary", "func(any, any, bool) any", |c| Ok(c.value(usize::from(!c.bool(2))).clone())),
    Entry("toJson", "func(any) string", |c| give(json(c, Form::Line).unwrap_or_default())),
    Entry("toPrettyJson", "func(any) string", |c| give(json(c, Form::Pretty).unwrap_or_default())),
    Entry("toRawJson", "func(any) string", |c| give(json(c, Form::Raw)?)),
];

/// Sprig's `empty`: the zero value of its type; structs never are.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Host(host) if !host.is_nil() && host.underlying().is_none() => false,
        value => !value.is_true(),
    }
}

#[derive(Clone, Copy)]
enum Form {
    Line,
    Pretty,
    Raw,
}

fn json(c: &Call<'_, '_, '_>, form: Form) -> std::result::Result<String, Failure> {
    let value = c.value(0).to_json()?;
    Ok(match form {
        Form::Line => to_string(&value, Html::Escaped),
        Form::Pretty => to_string_indent(&value, "  ", Html::Escaped),
        Form::Raw => to_string(&value, Html::Plain),
    })
}

fn deep_copy(c: &mut Call<'_, '_, '_>) -> Result {
    c.charge_walks()?;
    let value = c.value(0);
    if matches!(value, Value::Nil) {
        return Err("reflect: call of reflect.Value.Type on zero Value".into());
    }
    value.deep_copy().ok_or_else(|| "deepCopy error: nested too deeply".into())
}
