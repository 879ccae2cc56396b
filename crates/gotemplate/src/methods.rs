//! Methods of Go's own types: `time.Time`, `time.Duration`, `json.Number`.

use std::sync::Arc;

use crate::function::Function;
use crate::go::{duration, number, time};
use crate::value::{Int, Value};
use crate::{Call, Failure};

/// A method's body: the receiver, and the call with its arguments.
type Method<T> = fn(&T, &mut Call<'_, '_, '_>) -> Result<Value, Failure>;

/// The method of a value, its receiver bound.
pub(crate) fn find(value: &Value, name: &str) -> Option<Arc<Function>> {
    match value {
        Value::Time(time) => {
            let (name, signature, body) = TIME.iter().find(|(method, ..)| *method == name)?;
            let (time, body) = (Arc::clone(time), *body);
            Some(bound(name, signature, move |call| body(&time, call)))
        }
        Value::Duration(duration) => {
            let (name, signature, body) = DURATION.iter().find(|(method, ..)| *method == name)?;
            let (duration, body) = (*duration, *body);
            Some(bound(name, signature, move |call| body(&duration, call)))
        }
        Value::Number(text) => {
            let (name, signature, body) = NUMBER.iter().find(|(method, ..)| *method == name)?;
            let (text, body) = (text.to_str().into_owned(), *body);
            Some(bound(name, signature, move |call| body(&text, call)))
        }
        _ => None,
    }
}

fn bound(
    name: &'static str,
    signature: &'static str,
    body: impl Fn(&mut Call<'_, '_, '_>) -> Result<Value, Failure> + Send + Sync + 'static,
) -> Arc<Function> {
    Arc::new(Function::new(name, signature, Arc::new(body)))
}

fn int(value: impl Into<i64>) -> Result<Value, Failure> {
    Ok(Value::int(value.into()))
}

fn at(time: time::Time) -> Result<Value, Failure> {
    Ok(Value::Time(Arc::new(time)))
}

/// The time that an argument is.
fn other(call: &Call<'_, '_, '_>) -> Arc<time::Time> {
    match call.value(0) {
        Value::Time(time) => Arc::clone(time),
        _ => Arc::default(),
    }
}

const TIME: &[(&str, &str, Method<time::Time>)] = &[
    ("Format", "func(string) string", |time, call| Ok(time.format(&call.str(0)).into())),
    ("String", "func() string", |time, _| Ok(time.to_string().into())),
    ("Unix", "func() int64", |time, _| Ok(Value::int64(time.unix()))),
    ("UnixMilli", "func() int64", |time, _| clamped(time.unix_nanoseconds() / 1_000_000)),
    ("UnixMicro", "func() int64", |time, _| clamped(time.unix_nanoseconds() / 1_000)),
    ("UnixNano", "func() int64", |time, _| clamped(time.unix_nanoseconds())),
    ("Year", "func() int", |time, _| int(time.fields()[0])),
    ("Month", "func() time.Month", |time, _| Ok(Value::from(time.month_name()))),
    ("Day", "func() int", |time, _| int(time.fields()[2])),
    ("Hour", "func() int", |time, _| int(time.fields()[3])),
    ("Minute", "func() int", |time, _| int(time.fields()[4])),
    ("Second", "func() int", |time, _| int(time.fields()[5])),
    ("YearDay", "func() int", |time, _| int(time.fields()[6])),
    ("Nanosecond", "func() int", |time, _| int(time.nanosecond())),
    ("Weekday", "func() time.Weekday", |time, _| Ok(Value::from(time.weekday_name()))),
    ("IsZero", "func() bool", |time, _| Ok(time.is_zero().into())),
    ("UTC", "func() time.Time", |time, _| at(time.in_zone(time::Zone::Utc))),
    ("Local", "func() time.Time", |time, _| at(time.in_zone(time::Zone::Utc))),
    ("Add", "func(time.Duration) time.Time", |time, call| at(time.add(call.int(0)))),
    ("AddDate", "func(int, int, int) time.Time", |time, call| at(time.add_date(call.int(0), call.int(1), call.int(2)))),
    ("Sub", "func(time.Time) time.Duration", |time, call| Ok(Value::Duration(time.since(&other(call))))),
    ("After", "func(time.Time) bool", |time, call| Ok((time.since(&other(call)) > 0).into())),
    ("Before", "func(time.Time) bool", |time, call| Ok((time.since(&other(call)) < 0).into())),
    ("Equal", "func(time.Time) bool", |time, call| Ok((time.since(&other(call)) == 0).into())),
];

fn clamped(value: i128) -> Result<Value, Failure> {
    Ok(Value::int64(i64::try_from(value).unwrap_or(i64::MAX)))
}

#[expect(clippy::cast_precision_loss, reason = "Go's result is a float64 too")]
fn parts(duration: i64, unit: i64) -> Result<Value, Failure> {
    Ok(Value::float((duration / unit) as f64 + (duration % unit) as f64 / unit as f64))
}

const DURATION: &[(&str, &str, Method<i64>)] = &[
    ("String", "func() string", |duration, _| Ok(duration::to_string(*duration).into())),
    ("Hours", "func() float64", |duration, _| parts(*duration, 3600 * duration::SECOND)),
    ("Minutes", "func() float64", |duration, _| parts(*duration, 60 * duration::SECOND)),
    ("Seconds", "func() float64", |duration, _| parts(*duration, duration::SECOND)),
    ("Milliseconds", "func() int64", |duration, _| Ok(Value::int64(duration / 1_000_000))),
    ("Microseconds", "func() int64", |duration, _| Ok(Value::int64(duration / 1_000))),
    ("Nanoseconds", "func() int64", |duration, _| Ok(Value::int64(*duration))),
    ("Round", "func(time.Duration) time.Duration", |duration, call| {
        Ok(Value::Duration(duration::round(*duration, call.int(0))))
    }),
    ("Truncate", "func(time.Duration) time.Duration", |duration, call| {
        Ok(Value::Duration(duration::truncate(*duration, call.int(0))))
    }),
    ("Abs", "func() time.Duration", |duration, _| Ok(Value::Duration(duration.saturating_abs()))),
];

const NUMBER: &[(&str, &str, Method<String>)] = &[
    ("String", "func() string", |text, _| Ok(text.as_str().into())),
    ("Int64", "func() (int64, error)", |text, _| match number::parse_int(text, 10) {
        Ok(value) => Ok(Value::Int(value, Int::Int64)),
        Err(error) => Err(refused("ParseInt", text, error)),
    }),
    ("Float64", "func() (float64, error)", |text, _| match number::parse_float(text) {
        Ok(value) => Ok(Value::float(value)),
        Err(error) => Err(refused("ParseFloat", text, error)),
    }),
];

fn refused(function: &str, text: &str, error: number::NumberError) -> Failure {
    let shown = crate::go::quote::quote(text.as_bytes());
    format!("strconv.{function}: parsing {shown}: {}", error.message()).into()
}
