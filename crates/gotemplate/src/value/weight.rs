//! How much a walk over a value reads.

use super::{MAX_DEPTH, Value};

/// What a value weighs beside its text, in bytes: about what it takes where a walk copies it.
const NODE: u64 = 64;

impl Value {
    /// What a walk over all that the value holds reads, in bytes; a part that is shared counts each time. A short
    /// template can make a value that holds more than any machine, so the count ends when it is above `limit`.
    pub(crate) fn weight(&self, limit: u64) -> u64 {
        let mut left = limit;
        match weigh(self, &mut left, 0) {
            Some(()) => limit - left,
            None => limit.saturating_add(1),
        }
    }
}

/// Takes a value's weight from what is left; `None` when nothing is.
fn weigh(value: &Value, left: &mut u64, depth: usize) -> Option<()> {
    // What is deep is printed with much space before it.
    *left = left.checked_sub(NODE + 2 * depth as u64)?;
    if depth > MAX_DEPTH {
        return Some(());
    }
    let mut below = |value: &Value| weigh(value, left, depth + 1);
    match value {
        Value::List(list) => list.items().iter().try_for_each(below),
        Value::Map(map) => map.entries().values().try_for_each(below),
        Value::Host(host) => match host.underlying() {
            Some(inner) => below(&inner),
            None => host.fields().iter().try_for_each(|(_, _, field)| below(field)),
        },
        Value::String(text) | Value::Number(text) | Value::Bytes(text) => {
            *left = left.checked_sub(text.len() as u64)?;
            Some(())
        }
        _ => Some(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_weighs_each_time_and_the_count_ends() {
        let mut value = Value::from(vec![Value::from("12345678")]);
        assert_eq!(value.weight(1 << 20), 2 * NODE + 2 + 8);
        for _ in 0..60 {
            value = vec![value.clone(), value].into();
        }
        assert_eq!(value.weight(1 << 20), (1 << 20) + 1);
    }
}
