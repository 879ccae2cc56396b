//! What is lost while health is awaited: whoever waits learns at once that somebody has deleted what its landing wrote.
//!
//! **Flow.** A wait names what was written. Its kinds are followed from then on by the watches that follow what has landed,
//! one for each kind, until the unit claims what landed. Nothing is asked for a single object.
//!
//! **Caveats.** Objects without our labels are seen to be gone only where the unit has claimed them before: a watch for them
//! would tell of everybody's. A Job may go when it has ended.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use manifest::{Object, ObjectId};
use tokio::sync::Notify;

use super::{Follow, Owned, State};
use crate::unit::Unit;

/// So many that went last are remembered, for waits that begin later.
const REMEMBERED: usize = 256;

/// All who wait.
#[derive(Default)]
pub(super) struct Losses {
    begun: u64,
    waits: HashMap<u64, Wait>,
    /// What the last wait of a unit follows.
    follows: HashMap<Unit, Vec<Follow>>,
    /// What went last, with its last resourceVersion: it may have been written by a landing that is about to wait.
    gone: VecDeque<(ObjectId, u64)>,
}

struct Wait {
    unit: Unit,
    /// With the resourceVersions of their writes: an older state may go.
    written: HashMap<ObjectId, (Follow, u64)>,
    lost: Arc<Notify>,
}

/// One who waits, until it is dropped.
struct Waiting {
    owned: Arc<Owned>,
    number: u64,
    lost: Arc<Notify>,
}

impl Owned {
    /// Ends when somebody has deleted one of the objects of a unit that its landing has written, as they were answered, or
    /// one that has landed before.
    pub fn lost(self: &Arc<Self>, unit: &Unit, written: &[Object]) -> impl Future<Output = ()> + Send + use<> {
        let waiting = self.wait(unit, written);
        async move { waiting.lost.notified().await }
    }

    fn wait(self: &Arc<Self>, unit: &Unit, written: &[Object]) -> Waiting {
        let mut state = self.lock();
        let (mut known, mut follows) = (HashMap::new(), Vec::new());
        for object in written.iter().filter(|object| may_not_go(&object.id())) {
            let follow = Follow::of(object, &state.narrow, self.only);
            if follow.selector.is_none() {
                continue;
            }
            if !follows.contains(&follow) {
                state.count(&follow);
                follows.push(follow.clone());
            }
            known.insert(object.id(), (follow, object.resource_version().parse().unwrap_or_default()));
        }
        state.unfollow(unit);
        let (lost, losses) = (Arc::new(Notify::new()), &mut state.losses);
        losses.begun += 1;
        let number = losses.begun;
        losses.follows.insert(unit.clone(), follows);
        if losses.takes_gone(&known) {
            lost.notify_one();
        }
        losses.waits.insert(number, Wait { unit: unit.clone(), written: known, lost: lost.clone() });
        self.tell(&state);
        Waiting { owned: self.clone(), number, lost }
    }
}

impl Losses {
    /// Whether something of what was written has gone already; that is told once.
    fn takes_gone(&mut self, written: &HashMap<ObjectId, (Follow, u64)>) -> bool {
        let before = self.gone.len();
        self.gone.retain(|(id, last)| written.get(id).is_none_or(|(_, version)| last < version));
        self.gone.len() < before
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.owned.lock().losses.waits.remove(&self.number);
    }
}

impl State {
    /// What the last wait of a unit follows is followed no more for its sake.
    pub(super) fn unfollow(&mut self, unit: &Unit) {
        let follows = self.losses.follows.remove(unit).unwrap_or_default();
        follows.iter().for_each(|follow| self.release(follow));
    }

    /// A watch has told that an object is gone which had this version.
    pub(super) fn is_lost(&mut self, id: &ObjectId, version: u64) {
        let mut is_told = false;
        let entry = self.objects.get(id).filter(|entry| version >= entry.version && may_not_go(id));
        for wait in self.losses.waits.values() {
            let is_written = wait.written.get(id).is_some_and(|(_, written)| version >= *written);
            if is_written || entry.is_some_and(|entry| entry.unit == wait.unit) {
                wait.lost.notify_one();
                is_told = true;
            }
        }
        if !is_told && may_not_go(id) {
            self.losses.gone.push_back((id.clone(), version));
            if self.losses.gone.len() > REMEMBERED {
                self.losses.gone.pop_front();
            }
        }
    }

    /// Who has written what a watch tells of, without it.
    pub(super) fn are_lost(&self, follow: &Follow, is_there: impl Fn(&ObjectId) -> bool) {
        for wait in self.losses.waits.values() {
            let mut written = wait.written.iter().filter(|(_, (own, _))| own == follow);
            if written.any(|(id, _)| !is_there(id)) {
                wait.lost.notify_one();
            }
        }
    }
}

fn may_not_go(id: &ObjectId) -> bool {
    id.kind != "Job"
}
