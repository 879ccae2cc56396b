//! Types and kinds.

use super::give;
use crate::Value;
use crate::function::Entry;
use crate::value::deep_equal;

pub(super) const TABLE: &[Entry] = &[
    Entry("deepEqual", "func(any, any) bool", |c| {
        c.charge_walks()?;
        give(deep_equal(c.value(0), c.value(1)))
    }),
    Entry("kindIs", "func(string, any) bool", |c| give(c.bytes(0) == kind_of(c.value(1)).as_bytes())),
    Entry("kindOf", "func(any) string", |c| give(kind_of(c.value(0)))),
    Entry("typeIs", "func(string, any) bool", |c| give(c.bytes(0) == type_of(c.value(1)).as_bytes())),
    Entry("typeIsLike", "func(string, any) bool", |c| {
        let (target, own) = (c.str(0), type_of(c.value(1)));
        give(target == own || own.strip_prefix('*') == Some(&target))
    }),
    Entry("typeOf", "func(any) string", |c| give(type_of(c.value(0)))),
];

fn type_of(value: &Value) -> String {
    if matches!(value, Value::Nil) { "<nil>".into() } else { value.go_type().to_string() }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Nil => "invalid",
        Value::Host(host) => match host.underlying() {
            Some(inner) => inner.go_type().kind_name(),
            None => value.go_type().kind_name(),
        },
        value => value.go_type().kind_name(),
    }
}
