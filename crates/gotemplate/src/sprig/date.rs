//! Dates. The zone `Local` is UTC: an engine has no place of its own.

use std::sync::Arc;

use super::{Result, give};
use crate::function::Entry;
use crate::go::duration::{self, SECOND};
use crate::go::time::{Time, Zone, parse};
use crate::{Call, Failure, Value};

pub(super) const TABLE: &[Entry] = &[
    Entry("ago", "func(any) string", |c| {
        let (then, now) = (instant(c, 0), now(c));
        give(duration::to_string(duration::round(now.since(&then), SECOND)))
    }),
    Entry("date", "func(string, any) string", |c| in_zone(c, 1, None, None)),
    Entry("dateInZone", "func(string, any, string) string", |c| in_zone(c, 1, Some(2), None)),
    Entry("dateModify", "func(string, time.Time) time.Time", |c| modify(c, duration::parse(&c.str(0)).unwrap_or(0))),
    Entry("date_in_zone", "func(string, any, string) string", |c| in_zone(c, 1, Some(2), None)),
    Entry("date_modify", "func(string, time.Time) time.Time", |c| modify(c, duration::parse(&c.str(0)).unwrap_or(0))),
    Entry("duration", "func(any) string", |c| {
        let seconds = match c.value(0) {
            Value::String(text) => crate::go::number::parse_int(&text.to_str(), 10).unwrap_or(0),
            Value::Int(seconds, crate::Int::Int64) => *seconds,
            _ => 0,
        };
        give(duration::to_string(seconds.wrapping_mul(SECOND)))
    }),
    Entry("durationRound", "func(any) string", duration_round),
    Entry("htmlDate", "func(any) string", |c| in_zone(c, 0, None, Some("2006-01-02"))),
    Entry("htmlDateInZone", "func(any, string) string", |c| in_zone(c, 0, Some(1), Some("2006-01-02"))),
    Entry("mustDateModify", "func(string, time.Time) (time.Time, error)", |c| modify(c, must_parse(c)?)),
    Entry("mustToDate", "func(string, string) (time.Time, error)", |c| {
        time(parse(&c.str(0), &c.str(1), &Zone::Utc).map_err(|error| error.to_string())?)
    }),
    Entry("must_date_modify", "func(string, time.Time) (time.Time, error)", |c| modify(c, must_parse(c)?)),
    Entry("now", "func() time.Time", |c| time(now(c))),
    Entry("toDate", "func(string, string) time.Time", |c| {
        time(parse(&c.str(0), &c.str(1), &Zone::Utc).unwrap_or_default())
    }),
    Entry("unixEpoch", "func(time.Time) string", |c| match c.value(0) {
        Value::Time(time) => give(time.unix().to_string()),
        _ => give("0"),
    }),
];

fn time(time: Time) -> Result {
    Ok(Value::Time(Arc::new(time)))
}

fn now(c: &mut Call<'_, '_, '_>) -> Time {
    Time::from_nanoseconds(c.environment().now())
}

/// The time that an argument is: a time or seconds; now for anything else.
fn instant(c: &mut Call<'_, '_, '_>, index: usize) -> Time {
    match c.value(index) {
        Value::Time(time) => Time::clone(time),
        Value::Int(seconds, crate::Int::Int | crate::Int::Int32 | crate::Int::Int64) => {
            Time::new(*seconds, 0, Zone::Utc)
        }
        _ => now(c),
    }
}

/// A time by a layout (the first argument, when none is given) in the zone that an argument names.
fn in_zone(c: &mut Call<'_, '_, '_>, index: usize, zone: Option<usize>, layout: Option<&str>) -> Result {
    let zone = zone.and_then(|zone| Zone::load(&c.str(zone))).unwrap_or(Zone::Utc);
    let time = instant(c, index).in_zone(zone);
    give(time.format(layout.unwrap_or(&c.str(0))))
}

fn must_parse(c: &Call<'_, '_, '_>) -> std::result::Result<i64, Failure> {
    duration::parse(&c.str(0)).map_err(|error| error.to_string().into())
}

fn modify(c: &Call<'_, '_, '_>, duration: i64) -> Result {
    match c.value(1) {
        Value::Time(own) => time(own.add(duration)),
        _ => Ok(c.value(1).clone()),
    }
}

/// The largest whole unit: `2h`, `3d`, `1y`.
fn duration_round(c: &mut Call<'_, '_, '_>) -> Result {
    const UNITS: [(i64, &str); 6] = [
        (SECOND * 3600 * 24 * 365, "y"),
        (SECOND * 3600 * 24 * 30, "mo"),
        (SECOND * 3600 * 24, "d"),
        (SECOND * 3600, "h"),
        (SECOND * 60, "m"),
        (SECOND, "s"),
    ];
    let duration = match c.value(0) {
        Value::String(text) => duration::parse(&text.to_str()).unwrap_or(0),
        Value::Int(nanoseconds, crate::Int::Int64) => *nanoseconds,
        Value::Time(then) => {
            let then = Arc::clone(then);
            now(c).since(&then)
        }
        _ => 0,
    };
    let size = duration.unsigned_abs();
    let unit = UNITS.iter().find(|(unit, _)| size > unit.unsigned_abs());
    give(unit.map_or_else(|| "0s".into(), |(unit, name)| format!("{}{name}", size / unit.unsigned_abs())))
}
