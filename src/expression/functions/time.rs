//! Timestamps and durations.

use gotemplate::go;
use gotemplate::go::time::{RFC3339, Time, Zone};

use super::super::evaluate::Outcome;
use super::super::value::Value;

const SECOND: i64 = 1_000_000_000;
/// Seconds of the first and the last moment that CEL knows: years 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i128> = -62_135_596_800..=253_402_300_799;

/// A moment, in nanoseconds since 1970, when it is one that CEL knows.
pub(super) fn within<'a>(nanoseconds: i128) -> Outcome<'a> {
    let is_known = SECONDS.contains(&nanoseconds.div_euclid(i128::from(SECOND)));
    if is_known { Ok(Value::Timestamp(nanoseconds)) } else { Err("timestamp overflow".into()) }
}

/// Whole seconds since 1970.
pub(super) fn seconds(at: i128) -> i64 {
    Time::from_nanoseconds(at).unix()
}

/// Reads RFC 3339.
pub(super) fn read(text: &str) -> Option<i128> {
    Some(go::time::parse(RFC3339, text, &Zone::Utc).ok()?.unix_nanoseconds())
}

/// As RFC 3339, with as many digits of the second as there are.
pub(super) fn show(at: i128) -> String {
    Time::from_nanoseconds(at).format("2006-01-02T15:04:05.999999999Z07:00")
}

/// As protobuf's JSON has it: `5400s`.
pub(super) fn show_duration(nanoseconds: i64) -> String {
    let (sign, size) = (if nanoseconds < 0 { "-" } else { "" }, nanoseconds.unsigned_abs());
    let (whole, part) = (size / SECOND.unsigned_abs(), size % SECOND.unsigned_abs());
    let part = format!("{part:09}");
    let part = part.trim_end_matches('0');
    let point = if part.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{part}s")
}

/// Calls a getter; `None` when it is none.
pub(super) fn call<'a>(function: &str, values: &[Value<'a>]) -> Option<Outcome<'a>> {
    match values {
        [Value::Duration(nanoseconds)] => part_of_duration(function, *nanoseconds),
        [Value::Timestamp(at)] => part(function, *at, Zone::Utc),
        [Value::Timestamp(at), Value::Text(zone)] if function.starts_with("get") => match zone_of(zone) {
            Ok(zone) => part(function, *at, zone),
            Err(message) => Some(Err(message)),
        },
        _ => None,
    }
}

fn part_of_duration<'a>(function: &str, nanoseconds: i64) -> Option<Outcome<'a>> {
    let unit = match function {
        "getHours" => 3600 * SECOND,
        "getMinutes" => 60 * SECOND,
        "getSeconds" => SECOND,
        "getMilliseconds" => SECOND / 1000,
        _ => return None,
    };
    Some(Ok(Value::Int(nanoseconds / unit)))
}

fn part<'a>(function: &str, at: i128, zone: Zone) -> Option<Outcome<'a>> {
    const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    let moment = Time::from_nanoseconds(at).in_zone(zone);
    let [year, month, day, hour, minute, second, day_of_year] = moment.fields();
    let value = match function {
        "getFullYear" => year,
        "getMonth" => month - 1,
        "getDate" => day,
        "getDayOfMonth" => day - 1,
        "getDayOfWeek" => {
            let index = WEEKDAYS.iter().position(|name| *name == moment.weekday_name()).unwrap_or_default();
            i64::try_from(index).unwrap_or_default()
        }
        "getDayOfYear" => day_of_year - 1,
        "getHours" => hour,
        "getMinutes" => minute,
        "getSeconds" => second,
        "getMilliseconds" => i64::from(moment.nanosecond() / 1_000_000),
        _ => return None,
    };
    Some(Ok(Value::Int(value)))
}

/// `Europe/Berlin` or `+02:00`.
fn zone_of(text: &str) -> Result<Zone, String> {
    let Some((hours, minutes)) = text.split_once(':') else {
        return Zone::load(text).ok_or_else(|| format!("unknown time zone {text}"));
    };
    let number = |text: &str| {
        go::number::atoi(text).map_err(|error| format!("strconv.Atoi: parsing {text:?}: {}", error.message()))
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let minutes = if text.starts_with('-') { -minutes } else { minutes };
    let seconds = hours.saturating_mul(3600).saturating_add(minutes.saturating_mul(60));
    let offset = i32::try_from(seconds).ok().filter(|offset| offset.abs() < 360_000);
    offset.map(|offset| Zone::Fixed(offset, String::new())).ok_or_else(|| format!("unknown time zone {text}"))
}
