//! Versions as Flux reads them, of tags and of charts.

use gotemplate::go::semver::Version;

/// Reads a version that has all three numbers: Flux passes over `v1` and `v1.2`.
pub(super) fn full(text: &str) -> Option<Version> {
    if text.splitn(3, '.').count() != 3 {
        return None;
    }
    Version::parse(text).ok()
}
