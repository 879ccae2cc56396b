//! Arithmetic on anything that reads as a number.

use super::cast::{to_float, to_int};
use super::decimal::Number;
use super::{Result, give};
use crate::function::Entry;
use crate::value::{INT, List};
use crate::{Call, Value};

pub(super) const TABLE: &[Entry] = &[
    Entry("add", "func(...any) int64", |c| {
        Ok(Value::int64(c.rest(0).iter().fold(0, |sum, value| sum.wrapping_add(to_int(value)))))
    }),
    Entry("add1", "func(any) int64", |c| Ok(Value::int64(to_int(c.value(0)).wrapping_add(1)))),
    Entry("add1f", "func(any) float64", |c| {
        Ok(Value::float(Number::new(to_float(c.value(0))).add(Number::new(1.0)).to_float()))
    }),
    Entry("addf", "func(...any) float64", |c| Ok(decimals(Number::new(0.0), c.rest(0), Number::add))),
    Entry("biggest", "func(any, ...any) int64", |c| Ok(extreme(c, i64::max))),
    Entry("ceil", "func(any) float64", |c| Ok(Value::float(to_float(c.value(0)).ceil()))),
    Entry("div", "func(any, any) int64", |c| divide(c, i64::wrapping_div)),
    Entry("divf", "func(any, ...any) float64", divf),
    Entry("float64", "func(any) float64", |c| Ok(Value::float(to_float(c.value(0))))),
    Entry("floor", "func(any) float64", |c| Ok(Value::float(to_float(c.value(0)).floor()))),
    Entry("int", "func(any) int", |c| Ok(Value::int(to_int(c.value(0))))),
    Entry("int64", "func(any) int64", |c| Ok(Value::int64(to_int(c.value(0))))),
    Entry("max", "func(any, ...any) int64", |c| Ok(extreme(c, i64::max))),
    Entry("maxf", "func(any, ...any) float64", |c| Ok(extreme_float(c, |a, b| b > a))),
    Entry("min", "func(any, ...any) int64", |c| Ok(extreme(c, i64::min))),
    Entry("minf", "func(any, ...any) float64", |c| Ok(extreme_float(c, |a, b| b < a))),
    Entry("mod", "func(any, any) int64", |c| divide(c, i64::wrapping_rem)),
    Entry("mul", "func(any, ...any) int64", |c| {
        let first = to_int(c.value(0));
        Ok(Value::int64(c.rest(1).iter().fold(first, |product, value| product.wrapping_mul(to_int(value)))))
    }),
    Entry("mulf", "func(any, ...any) float64", |c| Ok(decimals(first(c), c.rest(1), Number::multiply))),
    Entry("round", "func(any, int, ...float64) float64", round),
    Entry("seq", "func(...int) string", seq),
    Entry("sub", "func(any, any) int64", |c| Ok(Value::int64(to_int(c.value(0)).wrapping_sub(to_int(c.value(1)))))),
    Entry("subf", "func(any, ...any) float64", |c| Ok(decimals(first(c), c.rest(1), Number::subtract))),
    Entry("toDecimal", "func(any) int64", |c| {
        let octal = crate::go::number::parse_int(&crate::go::fmt::show_short("%v", c.value(0)), 8);
        Ok(Value::int64(octal.unwrap_or(0)))
    }),
    Entry("until", "func(int) []int", |c| {
        let stop = c.int(0);
        Ok(ints(steps(c, 0, stop, if stop < 0 { -1 } else { 1 })?))
    }),
    Entry("untilStep", "func(int, int, int) []int", |c| {
        let (start, stop, step) = (c.int(0), c.int(1), c.int(2));
        Ok(ints(steps(c, start, stop, step)?))
    }),
];

fn first(c: &Call<'_, '_, '_>) -> Number {
    Number::new(to_float(c.value(0)))
}

fn decimals(start: Number, values: &[Value], combine: fn(Number, Number) -> Number) -> Value {
    let total = values.iter().fold(start, |total, value| combine(total, Number::new(to_float(value))));
    Value::float(total.to_float())
}

fn divf(c: &mut Call<'_, '_, '_>) -> Result {
    let mut total = first(c);
    for value in c.rest(1) {
        total = total.divide(Number::new(to_float(value))).ok_or("decimal division by 0")?;
    }
    Ok(Value::float(total.to_float()))
}

fn extreme(c: &Call<'_, '_, '_>, better: fn(i64, i64) -> i64) -> Value {
    Value::int64(c.rest(1).iter().fold(to_int(c.value(0)), |best, value| better(best, to_int(value))))
}

fn extreme_float(c: &Call<'_, '_, '_>, is_better: fn(f64, f64) -> bool) -> Value {
    let first = to_float(c.value(0));
    let better = |best: f64, value: f64| if value.is_nan() || is_better(best, value) { value } else { best };
    Value::float(c.rest(1).iter().map(to_float).fold(first, better))
}

fn divide(c: &mut Call<'_, '_, '_>, operation: fn(i64, i64) -> i64) -> Result {
    match to_int(c.value(1)) {
        0 => Err("runtime error: integer divide by zero".into()),
        divisor => Ok(Value::int64(operation(to_int(c.value(0)), divisor))),
    }
}

#[expect(clippy::cast_precision_loss, reason = "as Go converts")]
fn round(c: &mut Call<'_, '_, '_>) -> Result {
    let threshold = if c.rest(2).is_empty() { 0.5 } else { c.float(2) };
    let power = 10f64.powf(c.int(1) as f64);
    let digit = power * to_float(c.value(0));
    let rounded = if digit.fract() >= threshold { digit.ceil() } else { digit.floor() };
    Ok(Value::float(rounded / power))
}

fn ints(items: Vec<i64>) -> Value {
    Value::List(List::of(&INT, items.into_iter().map(Value::int).collect()))
}

/// Numbers from `start` up or down to `stop`, without it.
fn steps(c: &mut Call<'_, '_, '_>, start: i64, stop: i64, step: i64) -> std::result::Result<Vec<i64>, crate::Failure> {
    let goes_on = |at: i64| if stop < start { at > stop } else { at < stop };
    if step == 0 || (stop < start) == (step > 0) {
        return Ok(Vec::new());
    }
    let distance = i128::from(stop) - i128::from(start);
    let count = usize::try_from((distance / i128::from(step)).unsigned_abs()).unwrap_or(usize::MAX);
    c.charge(count.saturating_mul(size_of::<Value>()))?;
    Ok(std::iter::successors(Some(start), |at| at.checked_add(step)).take_while(|at| goes_on(*at)).collect())
}

fn seq(c: &mut Call<'_, '_, '_>) -> Result {
    let (start, step, end) = match c.rest(0).len() {
        1 => (1, None, c.int(0)),
        2 => (c.int(0), None, c.int(1)),
        3 => (c.int(0), Some(c.int(1)), c.int(2)),
        _ => return give(""),
    };
    let direction = if end < start { -1 } else { 1 };
    if end < start && step.is_some_and(|step| step > 0) {
        return give("");
    }
    let numbers = steps(c, start, end.saturating_add(direction), step.unwrap_or(direction))?;
    give(numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" "))
}
