//! The dates and times that Go's libraries know, read as `time.Parse` reads them.

use std::fmt::Write as _;

#[derive(Debug, Default)]
struct Time {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    nanosecond: u32,
    /// Minutes east of UTC.
    offset: i32,
}

/// `2006-1-2`, `2006-1-2 15:4:5.9` or `2006-1-2T15:4:5.9+07:00`; gives RFC 3339 with nanoseconds.
pub(super) fn parse(text: &str) -> Option<String> {
    let (year, rest) = text.split_at_checked(4)?;
    if !year.bytes().all(|byte| byte.is_ascii_digit()) || !rest.starts_with('-') {
        return None;
    }
    let mut time = Time { year: year.parse().ok()?, ..Time::default() };
    let rest = time.date(rest)?;
    match rest.as_bytes().first() {
        None => {}
        Some(b'T' | b't') => {
            let rest = time.clock(rest.get(1..)?)?;
            time.zone(rest)?;
        }
        Some(b' ') if time.clock(rest.trim_start_matches(' '))?.is_empty() => {}
        Some(_) => return None,
    }
    Some(time.rfc_3339())
}

impl Time {
    fn date<'a>(&mut self, rest: &'a str) -> Option<&'a str> {
        let (month, rest) = number(rest.strip_prefix('-')?)?;
        let (day, rest) = number(rest.strip_prefix('-')?)?;
        if !(1..=12).contains(&month) || !(1..=days_in(self.year, month)).contains(&day) {
            return None;
        }
        (self.month, self.day) = (month, day);
        Some(rest)
    }

    fn clock<'a>(&mut self, rest: &'a str) -> Option<&'a str> {
        let (hour, rest) = number(rest)?;
        let (minute, rest) = number(rest.strip_prefix(':')?)?;
        let (second, rest) = number(rest.strip_prefix(':')?)?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        (self.hour, self.minute, self.second) = (hour, minute, second);
        let Some(fraction) = rest.strip_prefix(['.', ',']) else { return Some(rest) };
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Some(rest);
        }
        let (digits, rest) = fraction.split_at(digits);
        self.nanosecond = format!("{:0<9.9}", digits).parse().ok()?;
        Some(rest)
    }

    fn zone(&mut self, rest: &str) -> Option<()> {
        if rest == "Z" {
            return Some(());
        }
        let sign = match rest.as_bytes() {
            [b'+', _, _, b':', _, _] => 1,
            [b'-', _, _, b':', _, _] => -1,
            _ => return None,
        };
        let two = |from: usize| {
            let digits = rest.get(from..from + 2)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i32>().ok())?
        };
        let (hours, minutes) = (two(1)?, two(4)?);
        if hours > 24 || minutes > 60 {
            return None;
        }
        self.offset = sign * (hours * 60 + minutes);
        Some(())
    }

    fn rfc_3339(&self) -> String {
        let Time { year, month, day, hour, minute, second, .. } = self;
        let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
        if self.nanosecond > 0 {
            let fraction = format!("{:09}", self.nanosecond);
            text.push('.');
            text.push_str(fraction.trim_end_matches('0'));
        }
        if self.offset == 0 {
            text.push('Z');
        } else {
            let sign = if self.offset < 0 { '-' } else { '+' };
            let minutes = self.offset.abs();
            // Writing to a string cannot fail.
            let _ = write!(text, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        }
        text
    }
}

/// One or two digits.
fn number(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

fn days_in(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_forms_of_go_are_times_and_others_are_not() {
        for (text, expected) in [
            ("2001-12-14", "2001-12-14T00:00:00Z"),
            ("2001-2-3 4:5:6", "2001-02-03T04:05:06Z"),
            ("2001-2-3   4:5:6.120", "2001-02-03T04:05:06.12Z"),
            ("2001-12-14t21:59:43.10-05:00", "2001-12-14T21:59:43.1-05:00"),
            ("2001-12-14T21:59:43Z", "2001-12-14T21:59:43Z"),
            ("2001-12-14T21:59:43,5+00:00", "2001-12-14T21:59:43.5Z"),
            ("2000-02-29T00:00:00.1234567899Z", "2000-02-29T00:00:00.123456789Z"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["2001-13-01", "2001-02-29", "2001-1", "2001-01-01T00:00:00", "2001-12-14 21:59:43.10 -5", "20011-1-1"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
