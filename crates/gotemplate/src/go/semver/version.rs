//! Versions.

use std::cmp::Ordering;
use std::fmt;

/// The longest text that is read.
const MAX_LENGTH: usize = 256;

/// Why a text is no version, in the library's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// Nothing at all.
    #[error("version string empty")]
    Empty,
    /// Another form.
    #[error("invalid semantic version")]
    Invalid,
    /// A segment with something but digits.
    #[error("invalid characters in version")]
    Characters,
    /// A leading zero.
    #[error("version segment starts with 0")]
    LeadingZero,
    /// An empty part, or characters that may not be there, after `+`.
    #[error("invalid metadata string")]
    Metadata,
    /// An empty part, or characters that may not be there, after `-`.
    #[error("invalid prerelease string")]
    Prerelease,
    /// A segment beyond 64 bits.
    #[error("error parsing version segment: strconv.ParseUint: parsing \"{segment}\": value out of range")]
    TooLarge {
        /// The segment.
        segment: String,
    },
    /// The same, read strictly.
    #[error("strconv.ParseUint: parsing \"{segment}\": value out of range")]
    TooLargeStrict {
        /// The segment.
        segment: String,
    },
    /// Nothing between two dots.
    #[error("strconv.ParseUint: parsing \"\": invalid syntax")]
    EmptySegment,
    /// More than 256 bytes.
    #[error("version string is too long (max {MAX_LENGTH} bytes)")]
    TooLong,
}

/// A semantic version. Equality is of the parts; order is precedence, in which metadata does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// First number.
    pub major: u64,
    /// Second number; 0 when it is not given.
    pub minor: u64,
    /// Third number; 0 when it is not given.
    pub patch: u64,
    /// What follows `-`, without it.
    pub prerelease: String,
    /// What follows `+`, without it.
    pub metadata: String,
    original: String,
}

impl Version {
    /// Reads a version as people write it: `v1.2`, `1`, leading zeros (`NewVersion`).
    ///
    /// # Errors
    /// When the text is no version even so.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        if text.len() > MAX_LENGTH {
            return Err(VersionError::TooLong);
        }
        let (numbers, prerelease, metadata) = split(text.strip_prefix('v').unwrap_or(text));
        let segments: Vec<&str> = numbers.split('.').collect();
        let is_number = |segment: &&str| !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
        if segments.len() > 3 || !segments.iter().all(is_number) {
            return Err(VersionError::Invalid);
        }
        if !prerelease.is_none_or(has_good_parts) || !metadata.is_none_or(has_good_parts) {
            return Err(VersionError::Invalid);
        }
        let number = |index: usize| match segments.get(index) {
            Some(segment) => segment.parse().map_err(|_| VersionError::TooLarge { segment: (*segment).to_owned() }),
            None => Ok(0),
        };
        let (major, minor, patch) = (number(0)?, number(1)?, number(2)?);
        let prerelease = prerelease.unwrap_or_default().to_owned();
        if prerelease.split('.').any(has_leading_zero) {
            return Err(VersionError::LeadingZero);
        }
        let metadata = metadata.unwrap_or_default().to_owned();
        Ok(Self { major, minor, patch, prerelease, metadata, original: text.to_owned() })
    }

    /// Reads a version exactly as the specification has it (`StrictNewVersion`).
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn parse_strict(text: &str) -> Result<Self, VersionError> {
        match text.len() {
            0 => return Err(VersionError::Empty),
            length if length > MAX_LENGTH => return Err(VersionError::TooLong),
            _ => {}
        }
        let segments: Vec<&str> = text.splitn(3, '.').collect();
        let [major, minor, rest] = segments[..] else { return Err(VersionError::Invalid) };
        let (rest, metadata) = rest.split_once('+').map_or((rest, None), |(rest, after)| (rest, Some(after)));
        if !metadata.is_none_or(has_good_parts) {
            return Err(VersionError::Metadata);
        }
        let (patch, prerelease) = rest.split_once('-').map_or((rest, None), |(rest, after)| (rest, Some(after)));
        if let Some(prerelease) = prerelease {
            check_prerelease(prerelease)?;
        }
        let numbers = [major, minor, patch];
        if !numbers.iter().all(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(VersionError::Characters);
        }
        if numbers.iter().any(|number| number.len() > 1 && number.starts_with('0')) {
            return Err(VersionError::LeadingZero);
        }
        let number = |segment: &str| match segment {
            "" => Err(VersionError::EmptySegment),
            _ => segment.parse().map_err(|_| VersionError::TooLargeStrict { segment: segment.to_owned() }),
        };
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
            patch: number(patch)?,
            prerelease: prerelease.unwrap_or_default().to_owned(),
            metadata: metadata.unwrap_or_default().to_owned(),
            original: text.to_owned(),
        })
    }

    /// The text that it was read from.
    pub fn original(&self) -> &str {
        &self.original
    }

    /// Order by precedence: numbers, then pre-releases before the release; metadata does not count.
    pub fn precedence(&self, other: &Self) -> Ordering {
        let numbers = |version: &Self| (version.major, version.minor, version.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| {
            match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => prerelease_order(&self.prerelease, &other.prerelease),
            }
        })
    }

    /// The next version by one of its numbers. A pre-release becomes its release when the patch is raised.
    pub(crate) fn raised(&self, number: usize) -> Self {
        let prefix = if self.original.starts_with('v') { "v" } else { "" };
        let was_prerelease = !self.prerelease.is_empty();
        let mut next = Self { prerelease: String::new(), metadata: String::new(), ..self.clone() };
        match number {
            0 => (next.major, next.minor, next.patch) = (self.major.saturating_add(1), 0, 0),
            1 => (next.minor, next.patch) = (self.minor.saturating_add(1), 0),
            _ if was_prerelease => {}
            _ => next.patch = self.patch.saturating_add(1),
        }
        next.original = format!("{prefix}{next}");
        next
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.prerelease.is_empty() {
            write!(f, "-{}", self.prerelease)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

/// Numbers, pre-release, metadata.
fn split(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, metadata) = text.split_once('+').map_or((text, None), |(rest, after)| (rest, Some(after)));
    let (numbers, prerelease) = rest.split_once('-').map_or((rest, None), |(rest, after)| (rest, Some(after)));
    (numbers, prerelease, metadata)
}

fn has_good_parts(text: &str) -> bool {
    text.split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

fn has_leading_zero(part: &str) -> bool {
    part.len() > 1 && part.starts_with('0') && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_prerelease(text: &str) -> Result<(), VersionError> {
    for part in text.split('.') {
        if !has_good_parts(part) {
            return Err(VersionError::Prerelease);
        }
        if has_leading_zero(part) {
            return Err(VersionError::LeadingZero);
        }
    }
    Ok(())
}

/// Order of two pre-releases: part by part; numbers before words, a missing part before any.
pub(super) fn prerelease_order(left: &str, right: &str) -> Ordering {
    let (mut lefts, mut rights) = (left.split('.'), right.split('.'));
    loop {
        let (left, right) = (lefts.next(), rights.next());
        if left.is_none() && right.is_none() {
            return Ordering::Equal;
        }
        match part_order(left.unwrap_or_default(), right.unwrap_or_default()) {
            Ordering::Equal => {}
            order => return order,
        }
    }
}

fn part_order(left: &str, right: &str) -> Ordering {
    match (left.is_empty(), right.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Less,
        (false, true) => return Ordering::Greater,
        (false, false) => {}
    }
    match (left.parse::<u64>(), right.parse::<u64>()) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => left.cmp(right),
    }
}
