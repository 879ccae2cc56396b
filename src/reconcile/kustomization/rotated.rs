//! Secrets that rotate while the source cannot be had: they land with what landed last.

use apply::Journal;

use super::{Turn, guard, inputs};
use crate::pipeline::{again, spec_version};
use crate::reconcile::{Error, Told};
use crate::unit::{ReadSet, Thing};

impl Turn<'_> {
    /// Lands what landed last with its secrets as they are now. `None` when none has changed, when they failed like this
    /// before, or when something is asked for that only the source can give.
    pub(super) async fn land_rotated(&mut self, journal: &mut Journal) -> Result<Option<Told>, Error> {
        let Some(landed) = journal.landed().cloned().filter(|_| journal.open().is_none()) else { return Ok(None) };
        let read_set = ReadSet::from_value(&landed.read_set);
        let is_asked = read_set.version(&Thing::Spec) == Some(spec_version(self.object).as_str());
        let tried = inputs::tried(journal, &landed);
        let is_gathering = self.shared.units.is_gathering(&self.unit()).is_some();
        if !is_asked || is_gathering || !inputs::has_changed(self.shared, &tried, inputs::is_secret).await? {
            return Ok(None);
        }
        let name = guard::source_name(self);
        let world = &self.shared.world;
        let user = world.user_of(&self.key.namespace, self.spec.service_account_name.as_deref());
        let since = self.shared.queue.since(self.key);
        let compiled = again::with_new_secrets(&landed, &name, user, since, world).await?;
        tracing::info!(unit = %self.unit(), "secrets land without their source");
        self.land(&name, compiled, journal).await.map(Some)
    }
}
