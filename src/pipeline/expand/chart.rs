//! HelmReleases of a unit.

use manifest::{Object, ObjectId};

use super::{Expanded, Work};

/// What became of a HelmRelease.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// Which one.
    pub id: ObjectId,
}

impl Work<'_> {
    pub(super) async fn render_all(&mut self, _: &[Object], _: &mut Expanded) {}
}
