//! Constraints: `>=1.2 <2`, `~1.2 || ^2`, `1.2 - 2.0`, `1.x`.

use std::cmp::Ordering;
use std::fmt;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::version::{Version, prerelease_order};

const MAX_LENGTH: usize = 512;
const MAX_GROUPS: usize = 32;

/// Why a text is no constraint, in the library's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConstraintError {
    /// Another form.
    #[error("improper constraint: {}", crate::go::quote::quote(part.as_bytes()))]
    Improper {
        /// The part between two `||`.
        part: String,
    },
    /// A version that is none.
    #[error("constraint parser error")]
    Version,
    /// More than 512 bytes.
    #[error("constraint string is too long (max {MAX_LENGTH} bytes)")]
    TooLong,
    /// More than 32 parts.
    #[error("too many constraint groups (max {MAX_GROUPS})")]
    TooManyGroups,
}

/// Alternatives, each a list of comparisons that must all hold.
#[derive(Clone, Debug)]
pub struct Constraint {
    groups: Vec<Group>,
}

#[derive(Clone, Debug)]
struct Group {
    comparisons: Vec<Comparison>,
    /// Whether one of them names a pre-release: only then are pre-releases looked at.
    has_prerelease: bool,
}

/// One comparison; "dirty" numbers are missing or `x`.
#[derive(Clone, Debug)]
struct Comparison {
    operator: String,
    version: Version,
    /// The version as written.
    original: String,
    is_dirty: bool,
    minor_is_dirty: bool,
    patch_is_dirty: bool,
}

/// The library's own grammar; its order of alternatives decides what is found.
const OPERATORS: &str = r"=||!=|>|<|>=|=>|<=|=<|~|~>|\^";
const VERSION: &str = concat!(
    r"v?([0-9|x|X|\*]+)(\.[0-9|x|X|\*]+)?(\.[0-9|x|X|\*]+)?",
    r"(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?",
    r"(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?"
);
const SPACE: &str = r"[\t\n\x0C\r ]";

struct Grammar {
    whole: Regex,
    each: Regex,
    one: Regex,
    range: Regex,
}

#[expect(clippy::unwrap_used, reason = "the patterns are constants")]
static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    let (o, v, s) = (OPERATORS, VERSION, SPACE);
    let regex = |pattern: String| Regex::new(&pattern).unwrap();
    Grammar {
        whole: regex(format!("^({s}*({o}){s}*({v}){s}*)((?:{s}+|,{s}*)({o}){s}*({v}){s}*)*$")),
        each: regex(format!("({o}){s}*({v})")),
        one: regex(format!("^{s}*({o}){s}*({v}){s}*$")),
        range: regex(format!("{s}*({v}){s}+-{s}+({v}){s}*")),
    }
});

impl Constraint {
    /// Reads a constraint.
    ///
    /// # Errors
    /// When the text is none.
    pub fn parse(text: &str) -> Result<Self, ConstraintError> {
        if text.len() > MAX_LENGTH {
            return Err(ConstraintError::TooLong);
        }
        let text = rewrite_ranges(text);
        let parts: Vec<&str> = text.split("||").collect();
        if parts.len() > MAX_GROUPS {
            return Err(ConstraintError::TooManyGroups);
        }
        let groups = parts.into_iter().map(Group::parse).collect::<Result<_, _>>()?;
        Ok(Self { groups })
    }

    /// Whether a version fits.
    pub fn matches(&self, version: &Version) -> bool {
        self.groups.iter().any(|group| {
            group.comparisons.iter().all(|comparison| comparison.check(version, group.has_prerelease).is_ok())
        })
    }

    /// Why a version does not fit: one reason for each comparison that fails; nothing when it fits.
    ///
    /// # Errors
    /// The reasons, in the library's words.
    pub fn validate(&self, version: &Version) -> Result<(), Vec<String>> {
        let mut reasons: Vec<String> = Vec::new();
        let mut told = false;
        for group in &self.groups {
            let mut holds = true;
            for comparison in &group.comparisons {
                if !group.has_prerelease && !version.prerelease.is_empty() {
                    if !told {
                        reasons.push(only_releases(version));
                    }
                    told = true;
                    holds = false;
                } else if let Err(reason) = comparison.check(version, group.has_prerelease) {
                    reasons.push(reason);
                    holds = false;
                }
            }
            if holds {
                return Ok(());
            }
        }
        Err(reasons)
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.groups.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { " || " })?;
            for (at, comparison) in group.comparisons.iter().enumerate() {
                let space = if at == 0 { "" } else { " " };
                write!(f, "{space}{}{}", comparison.operator, comparison.original)?;
            }
        }
        Ok(())
    }
}

/// `1.2 - 2.0` becomes `>= 1.2, <= 2.0`.
fn rewrite_ranges(text: &str) -> String {
    let mut out = text.to_owned();
    for found in GRAMMAR.range.captures_iter(text) {
        let part = |index: usize| found.get(index).map_or("", |part| part.as_str());
        out = out.replacen(part(0), &format!(">= {}, <= {} ", part(1), part(11)), 1);
    }
    out
}

impl Group {
    fn parse(part: &str) -> Result<Self, ConstraintError> {
        if !GRAMMAR.whole.is_match(part) {
            return Err(ConstraintError::Improper { part: part.to_owned() });
        }
        let comparisons = GRAMMAR.each.find_iter(part).map(|found| Comparison::parse(found.as_str()));
        let comparisons: Vec<Comparison> = comparisons.collect::<Result<_, _>>()?;
        let has_prerelease = comparisons.iter().any(|comparison| !comparison.version.prerelease.is_empty());
        Ok(Self { comparisons, has_prerelease })
    }
}

fn is_x(part: &str) -> bool {
    matches!(part.trim_start_matches('.'), "x" | "X" | "*" | "")
}

impl Comparison {
    fn parse(text: &str) -> Result<Self, ConstraintError> {
        let improper = || ConstraintError::Improper { part: text.to_owned() };
        let found: Captures<'_> = GRAMMAR.one.captures(text).ok_or_else(improper)?;
        let part = |index: usize| found.get(index).map_or("", |part| part.as_str());
        let (major, minor, patch, prerelease) = (part(3), part(4), part(5), part(6));
        let (is_dirty, minor_is_dirty, patch_is_dirty, version) = if is_x(major) {
            (true, false, false, format!("0.0.0{prerelease}"))
        } else if is_x(minor) {
            (true, true, false, format!("{major}.0.0{prerelease}"))
        } else if is_x(patch) {
            (true, false, true, format!("{major}{minor}.0{prerelease}"))
        } else {
            (false, false, false, part(2).to_owned())
        };
        let version = Version::parse(&version).map_err(|_| ConstraintError::Version)?;
        let (operator, original) = (part(1).to_owned(), part(2).to_owned());
        Ok(Self { operator, version, original, is_dirty, minor_is_dirty, patch_is_dirty })
    }

    fn check(&self, version: &Version, with_prereleases: bool) -> Result<(), String> {
        if !version.prerelease.is_empty() && !with_prereleases {
            return Err(only_releases(version));
        }
        match self.operator.as_str() {
            "!=" => self.not_equal(version),
            ">" => self.greater(version),
            "<" => self.require(self.order(version).is_lt(), version, "is greater than or equal to"),
            ">=" | "=>" => self.require(self.order(version).is_ge(), version, "is less than"),
            "<=" | "=<" => self.less_or_equal(version),
            "~" | "~>" => self.tilde(version),
            "^" => self.caret(version),
            _ if self.is_dirty => self.tilde(version),
            _ => self.require(self.order(version).is_eq(), version, "is not equal to"),
        }
    }

    fn order(&self, version: &Version) -> Ordering {
        version.precedence(&self.version)
    }

    fn require(&self, holds: bool, version: &Version, relation: &str) -> Result<(), String> {
        if holds { Ok(()) } else { Err(format!("\"{version}\" {relation} \"{}\"", self.original)) }
    }

    fn not_equal(&self, version: &Version) -> Result<(), String> {
        let own = &self.version;
        let relation = "is equal to";
        if self.is_dirty {
            if own.major != version.major || (own.minor != version.minor && !self.minor_is_dirty) {
                return Ok(());
            }
            if self.minor_is_dirty {
                return self.require(false, version, relation);
            }
            if own.patch != version.patch && !self.patch_is_dirty {
                return Ok(());
            }
            if self.patch_is_dirty {
                let differs = prerelease_order(&version.prerelease, &own.prerelease).is_ne();
                return self.require(differs, version, relation);
            }
        }
        self.require(self.order(version).is_ne(), version, relation)
    }

    fn greater(&self, version: &Version) -> Result<(), String> {
        let own = &self.version;
        let holds = if !self.is_dirty {
            self.order(version).is_gt()
        } else if version.major != own.major {
            version.major > own.major
        } else if self.minor_is_dirty {
            false
        } else if self.patch_is_dirty {
            version.minor > own.minor
        } else {
            self.order(version).is_gt()
        };
        self.require(holds, version, "is less than or equal to")
    }

    fn less_or_equal(&self, version: &Version) -> Result<(), String> {
        let own = &self.version;
        let holds = if self.is_dirty {
            version.major < own.major
                || (version.major == own.major && (version.minor <= own.minor || self.minor_is_dirty))
        } else {
            self.order(version).is_le()
        };
        self.require(holds, version, "is greater than")
    }

    fn tilde(&self, version: &Version) -> Result<(), String> {
        let own = &self.version;
        self.require(self.order(version).is_ge(), version, "is less than")?;
        let is_anything =
            (own.major, own.minor, own.patch) == (0, 0, 0) && !self.minor_is_dirty && !self.patch_is_dirty;
        if is_anything {
            return Ok(());
        }
        self.require(version.major == own.major, version, "does not have same major version as")?;
        let same_minor = version.minor == own.minor || self.minor_is_dirty;
        self.require(same_minor, version, "does not have same major and minor version as")
    }

    fn caret(&self, version: &Version) -> Result<(), String> {
        let own = &self.version;
        self.require(self.order(version).is_ge(), version, "is less than")?;
        let same_major = version.major == own.major;
        if own.major > 0 || self.minor_is_dirty {
            return self.require(same_major, version, "does not have same major version as");
        }
        self.require(version.major == 0, version, "does not have same major version as")?;
        let same_minor = "does not have same minor version as";
        if own.minor > 0 || self.patch_is_dirty {
            let result = self.require(version.minor == own.minor, version, same_minor);
            let expectation = "Expected minor versions to match when constraint major version is 0";
            return result.map_err(|reason| format!("{reason}. {expectation}"));
        }
        self.require(version.minor == 0, version, same_minor)?;
        let expectation = "Expect version and constraint to equal when major and minor versions are 0";
        self.require(own.patch == version.patch, version, "does not equal")
            .map_err(|reason| format!("{reason}. {expectation}"))
    }
}

fn only_releases(version: &Version) -> String {
    format!("\"{version}\" is a prerelease version and the constraint is only looking for release versions")
}
