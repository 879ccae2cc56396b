//! Times to text.

use super::civil::Civil;
use super::layout::{Element, Offset, next};
use super::{MONTHS, Time, WEEKDAYS};

impl Time {
    /// The time by a layout (`Time.Format`).
    pub fn format(&self, layout: &str) -> String {
        let rule = self.zone.at(self.seconds);
        let civil = Civil::from_seconds(self.seconds.saturating_add(rule.offset.into()));
        let mut out = String::with_capacity(layout.len() + 10);
        let mut rest = layout;
        loop {
            let (prefix, element, suffix) = next(rest);
            out.push_str(prefix);
            let Some((element, _)) = element else { return out };
            match element {
                Element::Offset(offset) => push_offset(&mut out, rule.offset, offset),
                Element::ZoneName if rule.name.is_empty() => push_nameless(&mut out, rule.offset),
                Element::ZoneName => out.push_str(&rule.name),
                Element::Fraction { separator, digits, keeps_zeros } => {
                    push_fraction(&mut out, self.nanoseconds, char::from(separator), digits, keeps_zeros);
                }
                other => out.push_str(&field(civil, other)),
            }
            rest = suffix;
        }
    }
}

fn field(civil: Civil, element: Element) -> String {
    let name = |names: &[&'static str], at: i64, length: usize| {
        let name = usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or_default();
        name.get(..length).unwrap_or(name).to_owned()
    };
    let weekday = i64::try_from(civil.weekday()).unwrap_or(0);
    let hour = if civil.hour % 12 == 0 { 12 } else { civil.hour % 12 };
    let half = |morning: &str, evening: &str| if civil.hour >= 12 { evening } else { morning }.to_owned();
    match element {
        Element::LongMonth => name(&MONTHS, civil.month - 1, usize::MAX),
        Element::Month => name(&MONTHS, civil.month - 1, 3),
        Element::NumberMonth => civil.month.to_string(),
        Element::ZeroMonth => format!("{:02}", civil.month),
        Element::LongWeekday => name(&WEEKDAYS, weekday, usize::MAX),
        Element::Weekday => name(&WEEKDAYS, weekday, 3),
        Element::Day => civil.day.to_string(),
        Element::UnderDay => format!("{:2}", civil.day),
        Element::ZeroDay => format!("{:02}", civil.day),
        Element::UnderYearDay => format!("{:3}", civil.year_day()),
        Element::ZeroYearDay => format!("{:03}", civil.year_day()),
        Element::Hour => format!("{:02}", civil.hour),
        Element::Hour12 => hour.to_string(),
        Element::ZeroHour12 => format!("{hour:02}"),
        Element::Minute => civil.minute.to_string(),
        Element::ZeroMinute => format!("{:02}", civil.minute),
        Element::Second => civil.second.to_string(),
        Element::ZeroSecond => format!("{:02}", civil.second),
        Element::LongYear if civil.year < 0 => format!("-{:04}", -civil.year),
        Element::LongYear => format!("{:04}", civil.year),
        Element::Year => format!("{:02}", civil.year.abs() % 100),
        Element::UpperHalf => half("AM", "PM"),
        Element::LowerHalf => half("am", "pm"),
        Element::ZoneName | Element::Offset(_) | Element::Fraction { .. } => String::new(),
    }
}

fn push_offset(out: &mut String, seconds: i32, form: Offset) {
    if seconds == 0 && form.is_iso {
        out.push('Z');
        return;
    }
    // Go takes the sign of whole minutes.
    let minutes = (seconds / 60).abs();
    let colon = if form.has_colon { ":" } else { "" };
    out.push(if seconds / 60 < 0 { '-' } else { '+' });
    out.push_str(&format!("{:02}", minutes / 60));
    if form.has_minutes {
        out.push_str(&format!("{colon}{:02}", minutes % 60));
    }
    if form.has_seconds {
        out.push_str(&format!("{colon}{:02}", seconds.abs() % 60));
    }
}

/// A zone without a name shows its offset, in hours and minutes.
fn push_nameless(out: &mut String, seconds: i32) {
    let minutes = (seconds / 60).abs();
    let sign = if seconds / 60 < 0 { '-' } else { '+' };
    out.push_str(&format!("{sign}{:02}{:02}", minutes / 60, minutes % 60));
}

fn push_fraction(out: &mut String, nanoseconds: u32, separator: char, digits: usize, keeps_zeros: bool) {
    let text = format!("{nanoseconds:09}");
    let mut text = text.get(..digits.min(9)).unwrap_or_default();
    if !keeps_zeros {
        text = text.trim_end_matches('0');
        if text.is_empty() {
            return;
        }
    }
    out.push(separator);
    out.push_str(text);
}
