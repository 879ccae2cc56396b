//! Text to times.

use super::civil::{Civil, days_in, is_leap};
use super::layout::{Element, Offset, next};
use super::{MONTHS, Time, WEEKDAYS, Zone, quoted};

/// Why a text is no time of a layout, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parsing time {value}{problem}")]
pub struct TimeError {
    value: String,
    problem: String,
}

/// Reads a time by a layout. What the text does not say is zero; a time without a zone is in `zone`
/// (`time.ParseInLocation`).
///
/// # Errors
/// When the text has not the form of the layout, or a field is out of range.
pub fn parse(layout: &str, value: &str, zone: &Zone) -> Result<Time, TimeError> {
    let mut reader = Reader { layout, value, rest: value, fields: Fields::default() };
    reader.read()?;
    reader.time(zone)
}

/// What has been read.
#[derive(Default)]
struct Fields {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanoseconds: u32,
    is_morning: bool,
    is_evening: bool,
    is_utc: bool,
    offset: Option<i32>,
    zone_name: String,
}

struct Reader<'a> {
    layout: &'a str,
    value: &'a str,
    rest: &'a str,
    fields: Fields,
}

/// Why an element could not be read.
enum Bad {
    /// The text has not its form.
    Form,
    /// The field of this name is out of range.
    Range(&'static str),
}

impl Reader<'_> {
    fn error<T>(&self, problem: &str) -> Result<T, TimeError> {
        Err(TimeError { value: quoted(self.value), problem: problem.to_owned() })
    }

    fn mismatch<T>(&self, held: &str, element: &str) -> Result<T, TimeError> {
        let (layout, held, element) = (quoted(self.layout), quoted(held), quoted(element));
        self.error(&format!(" as {layout}: cannot parse {held} as {element}"))
    }

    fn read(&mut self) -> Result<(), TimeError> {
        let mut layout = self.layout;
        loop {
            let (prefix, element, suffix) = next(layout);
            if !self.skip(prefix) {
                return self.mismatch(self.rest, prefix);
            }
            let Some((element, spelled)) = element else {
                if self.rest.is_empty() {
                    return Ok(());
                }
                return self.error(&format!(": extra text: {}", quoted(self.rest)));
            };
            layout = suffix;
            let held = self.rest;
            match self.element(element, layout) {
                Ok(()) => {}
                Err(Bad::Range(field)) => return self.error(&format!(": {field} out of range")),
                Err(Bad::Form) => return self.mismatch(held, spelled),
            }
        }
    }

    /// Skips the text of a layout; a space stands for any number of them.
    fn skip(&mut self, mut prefix: &str) -> bool {
        while let Some(expected) = prefix.chars().next() {
            if expected == ' ' {
                if !self.rest.is_empty() && !self.rest.starts_with(' ') {
                    return false;
                }
                prefix = prefix.trim_start_matches(' ');
                self.rest = self.rest.trim_start_matches(' ');
                continue;
            }
            let Some(rest) = self.rest.strip_prefix(expected) else { return false };
            self.rest = rest;
            prefix = &prefix[expected.len_utf8()..];
        }
        true
    }

    fn element(&mut self, element: Element, layout: &str) -> Result<(), Bad> {
        match element {
            Element::Year => self.short_year()?,
            Element::LongYear => self.fields.year = self.digits(4, 4)?,
            Element::Month => self.fields.month = Some(self.name(&MONTHS, 3)?),
            Element::LongMonth => self.fields.month = Some(self.name(&MONTHS, usize::MAX)?),
            Element::NumberMonth | Element::ZeroMonth => {
                self.fields.month = Some(self.within(element == Element::ZeroMonth, 1..=12, "month")?);
            }
            Element::Weekday => self.name(&WEEKDAYS, 3).map(drop)?,
            Element::LongWeekday => self.name(&WEEKDAYS, usize::MAX).map(drop)?,
            Element::Day | Element::UnderDay | Element::ZeroDay => {
                self.space(element == Element::UnderDay);
                self.fields.day = Some(self.number(element == Element::ZeroDay)?);
            }
            Element::UnderYearDay | Element::ZeroYearDay => {
                self.space(element == Element::UnderYearDay);
                self.space(element == Element::UnderYearDay);
                let fewest = if element == Element::ZeroYearDay { 3 } else { 1 };
                self.fields.year_day = Some(self.digits(fewest, 3)?);
            }
            Element::Hour => self.fields.hour = self.within(false, 0..=23, "hour")?,
            Element::Hour12 | Element::ZeroHour12 => {
                self.fields.hour = self.within(element == Element::ZeroHour12, 0..=12, "hour")?;
            }
            Element::Minute | Element::ZeroMinute => {
                self.fields.minute = self.within(element == Element::ZeroMinute, 0..=59, "minute")?;
            }
            Element::Second | Element::ZeroSecond => self.second(element == Element::ZeroSecond, layout)?,
            Element::UpperHalf => self.half("AM", "PM")?,
            Element::LowerHalf => self.half("am", "pm")?,
            Element::Offset(form) => self.offset(form)?,
            Element::ZoneName => self.zone_name()?,
            Element::Fraction { digits, keeps_zeros: true, .. } => self.fraction(digits)?,
            Element::Fraction { .. } => {
                let digits = leading_digits(self.rest.get(1..).unwrap_or_default());
                if self.rest.starts_with(['.', ',']) && digits > 0 {
                    self.fraction(digits)?;
                }
            }
        }
        Ok(())
    }

    /// Between `fewest` and `most` digits.
    fn digits(&mut self, fewest: usize, most: usize) -> Result<i64, Bad> {
        let count = leading_digits(self.rest).min(most);
        if count < fewest.max(1) {
            return Err(Bad::Form);
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        digits.parse().map_err(|_| Bad::Form)
    }

    fn number(&mut self, is_fixed: bool) -> Result<i64, Bad> {
        self.digits(if is_fixed { 2 } else { 1 }, 2)
    }

    fn within(
        &mut self,
        is_fixed: bool,
        range: std::ops::RangeInclusive<i64>,
        field: &'static str,
    ) -> Result<i64, Bad> {
        let number = self.number(is_fixed)?;
        if range.contains(&number) { Ok(number) } else { Err(Bad::Range(field)) }
    }

    fn space(&mut self, is_allowed: bool) {
        if is_allowed {
            self.rest = self.rest.strip_prefix(' ').unwrap_or(self.rest);
        }
    }

    fn take(&mut self, count: usize) -> Result<&str, Bad> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Bad::Form)?;
        self.rest = rest;
        Ok(taken)
    }

    fn short_year(&mut self) -> Result<(), Bad> {
        let year: i64 = self.take(2)?.parse().map_err(|_| Bad::Form)?;
        self.fields.year = year + if year >= 69 { 1900 } else { 2000 };
        Ok(())
    }

    /// A name out of a table, by its first letters, in any case; its number from 1.
    fn name(&mut self, names: &[&str], letters: usize) -> Result<i64, Bad> {
        for (number, name) in (1..).zip(names) {
            let name = name.get(..letters).unwrap_or(name);
            if self.rest.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name)) {
                self.rest = &self.rest[name.len()..];
                return Ok(number);
            }
        }
        Err(Bad::Form)
    }

    /// Seconds; a fraction may follow though the layout has none.
    fn second(&mut self, is_fixed: bool, layout: &str) -> Result<(), Bad> {
        self.fields.second = self.within(is_fixed, 0..=59, "second")?;
        let digits = leading_digits(self.rest.get(1..).unwrap_or_default());
        let is_expected = matches!(next(layout).1, Some((Element::Fraction { .. }, _)));
        if self.rest.starts_with(['.', ',']) && digits > 0 && !is_expected {
            self.fraction(digits)?;
        }
        Ok(())
    }

    fn fraction(&mut self, digits: usize) -> Result<(), Bad> {
        let text = self.take(digits + 1)?;
        let digits = text.strip_prefix(['.', ',']).filter(|digits| leading_digits(digits) == digits.len());
        let digits = digits.ok_or(Bad::Form)?;
        self.fields.nanoseconds = format!("{digits:0<9}")[..9].parse().map_err(|_| Bad::Form)?;
        Ok(())
    }

    fn half(&mut self, morning: &str, evening: &str) -> Result<(), Bad> {
        let half = self.take(2)?;
        let (is_morning, is_evening) = (half == morning, half == evening);
        (self.fields.is_morning, self.fields.is_evening) = (is_morning, is_evening);
        if is_morning || is_evening { Ok(()) } else { Err(Bad::Form) }
    }

    fn offset(&mut self, form: Offset) -> Result<(), Bad> {
        if form.is_iso && self.rest.starts_with('Z') {
            self.rest = &self.rest[1..];
            self.fields.is_utc = true;
            return Ok(());
        }
        let parts = 1 + usize::from(form.has_minutes) + usize::from(form.has_seconds);
        let colons = if form.has_colon { parts - 1 } else { 0 };
        let text = self.take(1 + 2 * parts + colons)?.to_owned();
        let (sign, text) = text.split_at_checked(1).ok_or(Bad::Form)?;
        let mut size = 0;
        let limits = [(24, "time zone offset hour"), (60, "time zone offset minute"), (60, "time zone offset second")];
        let mut rest = text;
        let mut outside = None;
        for (index, (limit, field)) in limits.into_iter().take(parts).enumerate() {
            if index > 0 && form.has_colon {
                rest = rest.strip_prefix(':').ok_or(Bad::Form)?;
            }
            let (digits, tail) = rest.split_at_checked(2).ok_or(Bad::Form)?;
            let number: i32 = digits.parse().ok().filter(|_| leading_digits(digits) == 2).ok_or(Bad::Form)?;
            if number > limit {
                outside = Some(field);
            }
            size += number * [3600, 60, 1][index];
            rest = tail;
        }
        if let Some(field) = outside {
            return Err(Bad::Range(field));
        }
        self.fields.offset = Some(match sign {
            "+" => size,
            "-" => -size,
            _ => return Err(Bad::Form),
        });
        Ok(())
    }

    fn zone_name(&mut self) -> Result<(), Bad> {
        if let Some(rest) = self.rest.strip_prefix("UTC") {
            self.rest = rest;
            self.fields.is_utc = true;
            return Ok(());
        }
        let length = zone_name_length(self.rest).ok_or(Bad::Form)?;
        self.fields.zone_name = self.take(length)?.to_owned();
        Ok(())
    }

    fn time(&self, zone: &Zone) -> Result<Time, TimeError> {
        let (month, day) = self.date()?;
        let Fields { year, minute, second, nanoseconds, .. } = self.fields;
        let hour = match self.fields.hour {
            hour if self.fields.is_evening && hour < 12 => hour + 12,
            12 if self.fields.is_morning => 0,
            hour => hour,
        };
        let local = Civil { year, month, day, hour, minute, second }.seconds();
        let (offset, zone) = self.zone(zone, local);
        Ok(Time::new(local - i64::from(offset), nanoseconds, zone))
    }

    fn date(&self) -> Result<(i64, i64), TimeError> {
        let year = self.fields.year;
        let (month, day) = match self.fields.year_day {
            Some(year_day) => self.date_of_year_day(year_day)?,
            None => (self.fields.month.unwrap_or(1), self.fields.day.unwrap_or(1)),
        };
        if day < 1 || day > days_in(year, month) {
            return self.error(": day out of range");
        }
        Ok((month, day))
    }

    fn date_of_year_day(&self, year_day: i64) -> Result<(i64, i64), TimeError> {
        let year = self.fields.year;
        if year_day < 1 || year_day > 365 + i64::from(is_leap(year)) {
            return self.error(": day-of-year out of range");
        }
        let (mut month, mut day) = (1, year_day);
        while day > days_in(year, month) {
            day -= days_in(year, month);
            month += 1;
        }
        if self.fields.month.is_some_and(|given| given != month) {
            return self.error(": day-of-year does not match month");
        }
        if self.fields.day.is_some_and(|given| given != day) {
            return self.error(": day-of-year does not match day");
        }
        Ok((month, day))
    }

    /// Offset and zone of a local time: those of the text, where it names the zone's own kept in the zone.
    fn zone(&self, zone: &Zone, local: i64) -> (i32, Zone) {
        let name = &self.fields.zone_name;
        if self.fields.is_utc {
            return (0, Zone::Utc);
        }
        if let Some(offset) = self.fields.offset {
            let rule = zone.at(local - i64::from(offset));
            let is_own = rule.offset == offset && (name.is_empty() || rule.name == *name);
            return (offset, if is_own { zone.clone() } else { Zone::Fixed(offset, name.clone()) });
        }
        if name.is_empty() {
            return (zone.offset_of_local(local), zone.clone());
        }
        if let Some(offset) = zone.offset_of_name(name, local) {
            return (offset, zone.clone());
        }
        let hours: i32 = name.strip_prefix("GMT").and_then(|hours| hours.parse().ok()).unwrap_or(0);
        (0, Zone::Fixed(hours * 3600, name.clone()))
    }
}

fn leading_digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Length of an abbreviation: three to five capitals by Go's rules, `GMT` with hours, or hours alone.
fn zone_name_length(text: &str) -> Option<usize> {
    if text.starts_with("ChST") || text.starts_with("MeST") {
        return Some(4);
    }
    if let Some(rest) = text.strip_prefix("GMT") {
        return Some(3 + signed_hours(rest).unwrap_or(0));
    }
    if text.len() >= 3 && text.starts_with(['+', '-']) {
        return signed_hours(text);
    }
    match text.bytes().take(6).take_while(u8::is_ascii_uppercase).count() {
        5 if text.as_bytes()[4] == b'T' => Some(5),
        4 if text.as_bytes()[3] == b'T' || text.starts_with("WITA") => Some(4),
        3 => Some(3),
        _ => None,
    }
}

/// Length of a sign and hours up to 23.
fn signed_hours(text: &str) -> Option<usize> {
    let digits = text.strip_prefix(['+', '-'])?;
    let count = leading_digits(digits);
    let hours: u32 = digits[..count].parse().ok()?;
    (hours <= 23).then_some(count + 1)
}
