//! Versions and constraints as `Masterminds/semver` v3 reads them: Helm's, sprig's and Flux's rules.

mod constraint;
mod version;

pub use constraint::{Constraint, ConstraintError};
pub use version::{Version, VersionError};
