//! Time zones, from the database that is compiled in: the same everywhere.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time by which every zone has its present rules: the first of January 2025.
const TODAY: i64 = 1_735_689_600;

/// A time zone.
#[derive(Clone, Debug, PartialEq)]
pub enum Zone {
    /// UTC.
    Utc,
    /// An offset in seconds east of UTC, perhaps with a name.
    Fixed(i32, String),
    /// A place of the time zone database.
    Place(TimeZone, String),
}

/// What holds in a zone at a time: seconds east of UTC, and the abbreviation.
pub(super) struct Rule {
    pub(super) offset: i32,
    pub(super) name: String,
}

impl Zone {
    /// A zone by name, such as `Europe/Amsterdam` (`time.LoadLocation`); empty and `UTC` are UTC, and so is `Local`:
    /// an engine has no place of its own.
    pub fn load(name: &str) -> Option<Self> {
        match name {
            "" | "UTC" | "Local" => Some(Self::Utc),
            // The database finds names without regard to case; Go looks for a file.
            name => {
                let zone = DATABASE.get(name).ok()?;
                (zone.iana_name() == Some(name)).then(|| Self::Place(zone, name.to_owned()))
            }
        }
    }

    /// What holds in the zone at a time, in seconds since 1970.
    pub(super) fn at(&self, seconds: i64) -> Rule {
        match self {
            Self::Utc => Rule { offset: 0, name: "UTC".into() },
            Self::Fixed(offset, name) => Rule { offset: *offset, name: name.clone() },
            Self::Place(zone, _) => {
                let info = zone.to_offset_info(timestamp(seconds));
                Rule { offset: info.offset().seconds(), name: info.abbreviation().to_owned() }
            }
        }
    }

    /// Its name, for `Location().String()`.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Utc => "UTC",
            Self::Fixed(_, name) | Self::Place(_, name) => name,
        }
    }

    /// The offset that a local time has, as Go's `Date` finds it: the one that holds at that time of UTC, unless the
    /// zone changes in between.
    pub(super) fn offset_of_local(&self, local: i64) -> i32 {
        match self.at(local).offset {
            0 => 0,
            offset => self.at(local - i64::from(offset)).offset,
        }
    }

    /// The offset of an abbreviation such as `CEST`, best the one that holds at that local time.
    pub(super) fn offset_of_name(&self, name: &str, local: i64) -> Option<i32> {
        if *self == Self::Utc {
            return (name == "UTC").then_some(0);
        }
        // The database does not list its abbreviations: look at the months before, and at those of today's rules.
        let months = |from: i64| (0..12).map(move |month| from - month * 30 * super::civil::DAY);
        let times = months(local).chain(months(TODAY));
        let rules: Vec<Rule> = times.map(|at| self.at(at)).filter(|rule| rule.name == name).collect();
        let fits = |rule: &&Rule| self.at(local - i64::from(rule.offset)).name == name;
        rules.iter().find(fits).or(rules.first()).map(|rule| rule.offset)
    }
}

fn timestamp(seconds: i64) -> Timestamp {
    let range = Timestamp::MIN.as_second() + 1..=Timestamp::MAX.as_second() - 1;
    Timestamp::from_second(seconds.clamp(*range.start(), *range.end())).unwrap_or(Timestamp::UNIX_EPOCH)
}
