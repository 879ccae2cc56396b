//! Times, kept as RFC 3339 texts.

use yaml::{Resolver, Scalar};

/// RFC 3339 as Go's `time.Time` reads it from text, in Go's canonical form: no trailing zeros behind the second, `Z` for
/// UTC.
pub(crate) fn parse(text: &str) -> Option<String> {
    // The resolver knows the calendar, and takes looser forms than RFC 3339.
    let is_rfc_3339 = text.len() >= "2006-01-02T15:04:05Z".len()
        && text.bytes().zip("0000-00-00T00:00:00".bytes()).all(|(found, form)| match form {
            b'0' => found.is_ascii_digit(),
            form => found == form,
        });
    match yaml::resolve_plain(text, Resolver::V3) {
        Scalar::Timestamp(time) if is_rfc_3339 => Some(time),
        _ => None,
    }
}

/// Without what stands behind the second.
pub(crate) fn to_seconds(time: &str) -> String {
    let Some((head, tail)) = time.split_once('.') else { return time.to_owned() };
    format!("{head}{}", tail.trim_start_matches(|digit: char| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_made_canonical_and_other_forms_refused() {
        for (text, time) in [
            ("2001-12-14T21:59:43.10-05:00", Some("2001-12-14T21:59:43.1-05:00")),
            ("2001-12-14T21:59:43+00:00", Some("2001-12-14T21:59:43Z")),
            ("2001-12-14 21:59:43", None),
            ("2001-12-14", None),
            ("2001-2-14T21:59:43Z", None),
            ("2001-02-30T21:59:43Z", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse(text).as_deref(), time, "{text}");
        }
    }

    #[test]
    fn fractions_are_cut() {
        assert_eq!(to_seconds("2001-12-14T21:59:43.123-05:00"), "2001-12-14T21:59:43-05:00");
        assert_eq!(to_seconds("2001-12-14T21:59:43Z"), "2001-12-14T21:59:43Z");
    }
}
