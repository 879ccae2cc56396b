//! Go's `time.Time`: instants in a zone, formatted and read by layouts.

mod civil;
mod format;
mod layout;
mod parse;
mod zone;

use std::fmt;

pub use parse::{TimeError, parse};
pub use zone::Zone;

use civil::Civil;

/// Names of the months, January first.
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Names of the days, Sunday first.
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// RFC 3339.
pub const RFC3339: &str = "2006-01-02T15:04:05Z07:00";

/// An instant, and the zone that it is shown in.
#[derive(Clone, Debug, PartialEq)]
pub struct Time {
    /// Seconds since 1970 began, in UTC.
    seconds: i64,
    nanoseconds: u32,
    zone: Zone,
}

/// Go's zero time: the first of January of the year 1, UTC.
impl Default for Time {
    fn default() -> Self {
        Self::new(-62_135_596_800, 0, Zone::Utc)
    }
}

impl Time {
    /// An instant by seconds since 1970 and nanoseconds of a second.
    pub fn new(seconds: i64, nanoseconds: u32, zone: Zone) -> Self {
        Self { seconds, nanoseconds: nanoseconds.min(999_999_999), zone }
    }

    /// An instant by nanoseconds since 1970, in UTC.
    pub fn from_nanoseconds(nanoseconds: i128) -> Self {
        let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
        Self::new(seconds, u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or(0), Zone::Utc)
    }

    /// Seconds since 1970.
    pub fn unix(&self) -> i64 {
        self.seconds
    }

    /// Nanoseconds of the second.
    pub fn nanosecond(&self) -> u32 {
        self.nanoseconds
    }

    /// Nanoseconds since 1970.
    pub fn unix_nanoseconds(&self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds)
    }

    /// The same instant in another zone.
    #[must_use]
    pub fn in_zone(&self, zone: Zone) -> Self {
        Self { zone, ..self.clone() }
    }

    /// The instant so many nanoseconds later.
    #[must_use]
    pub fn add(&self, duration: i64) -> Self {
        let moved = Self::from_nanoseconds(self.unix_nanoseconds() + i128::from(duration));
        Self { zone: self.zone.clone(), ..moved }
    }

    /// The same time of day so many years, months and days later; days beyond a month carry over.
    #[must_use]
    pub fn add_date(&self, years: i64, months: i64, days: i64) -> Self {
        let civil = self.civil();
        let limited = |value: i64| value.clamp(-1_000_000_000, 1_000_000_000);
        let (year, month) = (civil.year + limited(years), civil.month + limited(months));
        let local = Civil { year, month, day: civil.day + limited(days), ..civil }.seconds();
        let seconds = local - i64::from(self.zone.offset_of_local(local));
        Self { seconds, ..self.clone() }
    }

    /// Nanoseconds from another instant to this one; the extreme value when they are too many.
    pub fn since(&self, earlier: &Self) -> i64 {
        let distance = self.unix_nanoseconds() - earlier.unix_nanoseconds();
        i64::try_from(distance).unwrap_or(if distance < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether it is Go's zero time, whatever its zone.
    pub fn is_zero(&self) -> bool {
        (self.seconds, self.nanoseconds) == (Self::default().seconds, 0)
    }

    /// The zone.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Year, month from 1, day, hour, minute, second, and day of the year, in its zone.
    pub fn fields(&self) -> [i64; 7] {
        let civil = self.civil();
        [civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second, civil.year_day()]
    }

    /// Name of the month.
    pub fn month_name(&self) -> &'static str {
        usize::try_from(self.civil().month - 1).ok().and_then(|month| MONTHS.get(month)).copied().unwrap_or_default()
    }

    /// Name of the day.
    pub fn weekday_name(&self) -> &'static str {
        WEEKDAYS.get(self.civil().weekday()).copied().unwrap_or_default()
    }

    fn civil(&self) -> Civil {
        Civil::from_seconds(self.seconds.saturating_add(self.zone.at(self.seconds).offset.into()))
    }

    /// A Go expression of it (`GoString`).
    pub fn go_string(&self) -> String {
        let Civil { year, day, hour, minute, second, .. } = self.civil();
        let zone = match &self.zone {
            Zone::Utc => "time.UTC".to_owned(),
            zone => format!("time.Location({})", quoted(zone.name())),
        };
        let (month, nanoseconds) = (self.month_name(), self.nanoseconds);
        format!("time.Date({year}, time.{month}, {day}, {hour}, {minute}, {second}, {nanoseconds}, {zone})")
    }

    /// Go's inner fields, as verbs that are not for times show them: nanoseconds, and seconds since the year 1.
    pub(crate) fn inner(&self) -> (u64, i64) {
        (self.nanoseconds.into(), self.seconds - Self::default().seconds)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

/// A text in quotes as the time package writes them in errors: all but ASCII as hexadecimal bytes.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='\u{7f}' => out.push(character),
            _ => character.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| out.push_str(&format!("\\x{byte:02x}"))),
        }
    }
    out.push('"');
    out
}
