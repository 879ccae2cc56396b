//! Semantic versions.

use std::sync::Arc;

use super::{Result, give};
use crate::function::{Entry, Function};
use crate::go::semver::{Constraint, Version, VersionError};
use crate::value::{Host, Member, Uint};
use crate::{Call, Failure, Value};

pub(super) const TABLE: &[Entry] = &[
    Entry("semver", "func(string) (*semver.Version, error)", |c| {
        let version = Version::parse(&c.str(0)).map_err(told)?;
        Ok(Value::Host(Arc::new(SemanticVersion(version))))
    }),
    Entry("semverCompare", "func(string, string) (bool, error)", |c| {
        let constraint = Constraint::parse(&c.str(0)).map_err(|error| error.to_string())?;
        give(constraint.matches(&Version::parse(&c.str(1)).map_err(told)?))
    }),
];

fn told(error: VersionError) -> Failure {
    error.to_string().into()
}

/// A `*semver.Version`, as templates see it.
pub struct SemanticVersion(pub Version);

/// A method's body: the receiver, and the version that is its argument, where there is one.
type Method = (&'static str, &'static str, fn(&Version, &Call<'_, '_, '_>) -> Result);

fn other(c: &Call<'_, '_, '_>) -> std::result::Result<Version, Failure> {
    Version::parse(&crate::go::fmt::show_short("%v", c.value(0))).map_err(told)
}

fn version(version: Version) -> Result {
    Ok(Value::Host(Arc::new(SemanticVersion(version))))
}

const METHODS: &[Method] = &[
    ("Major", "func() uint64", |v, _| Ok(Value::Uint(v.major, Uint::Uint64))),
    ("Minor", "func() uint64", |v, _| Ok(Value::Uint(v.minor, Uint::Uint64))),
    ("Patch", "func() uint64", |v, _| Ok(Value::Uint(v.patch, Uint::Uint64))),
    ("Prerelease", "func() string", |v, _| give(v.prerelease.as_str())),
    ("Metadata", "func() string", |v, _| give(v.metadata.as_str())),
    ("Original", "func() string", |v, _| give(v.original())),
    ("String", "func() string", |v, _| give(v.to_string())),
    ("Compare", "func(*semver.Version) int", |v, c| Ok(Value::int(v.precedence(&other(c)?) as i64))),
    ("Equal", "func(*semver.Version) bool", |v, c| give(v.precedence(&other(c)?).is_eq())),
    ("LessThan", "func(*semver.Version) bool", |v, c| give(v.precedence(&other(c)?).is_lt())),
    ("LessThanEqual", "func(*semver.Version) bool", |v, c| give(v.precedence(&other(c)?).is_le())),
    ("GreaterThan", "func(*semver.Version) bool", |v, c| give(v.precedence(&other(c)?).is_gt())),
    ("GreaterThanEqual", "func(*semver.Version) bool", |v, c| give(v.precedence(&other(c)?).is_ge())),
    ("IncMajor", "func() semver.Version", |v, _| version(v.raised(0))),
    ("IncMinor", "func() semver.Version", |v, _| version(v.raised(1))),
    ("IncPatch", "func() semver.Version", |v, _| version(v.raised(2))),
];

impl Host for SemanticVersion {
    fn type_name(&self) -> &'static str {
        "*semver.Version"
    }

    fn member(&self, name: &str) -> Option<Member> {
        let (name, signature, body) = METHODS.iter().find(|(method, ..)| *method == name)?;
        let (version, body) = (self.0.clone(), *body);
        let body = Arc::new(move |call: &mut Call<'_, '_, '_>| body(&version, call));
        Some(Member::Method(Arc::new(Function::new(name, signature, body))))
    }

    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn json(&self) -> Option<Value> {
        Some(self.0.to_string().into())
    }
}
