//! Objects that another unit owns and this one begins to share: told once, when it begins.

use std::collections::BTreeSet;

use apply::{Landing, Outcome, Verdict};
use manifest::ObjectId;

use super::Turn;
use crate::status::{Event, kustomization as tell};

impl Turn<'_> {
    /// What a landing has begun to share; none where it shared that before.
    pub(super) fn begins_to_share(&self, outcome: &Outcome) -> Option<Event> {
        if !matches!(outcome.verdict, Verdict::Landed | Verdict::Partly) {
            return None;
        }
        let unit = self.unit();
        let news = shares(&outcome.landing).into_iter().filter(|id| !self.shares.contains(id));
        let news: Vec<(ObjectId, Vec<String>)> = news
            .map(|id| {
                let others = self.shared.claims.holders(&unit, &id);
                (id, others.iter().map(ToString::to_string).collect())
            })
            .collect();
        (!news.is_empty()).then(|| tell::begins_to_share(&news, &outcome.landing.revision))
    }
}

/// What a landing shares with the units that own it.
pub(super) fn shares(landing: &Landing) -> BTreeSet<ObjectId> {
    landing.changes().filter(|change| change.desired.shared).map(|change| change.desired.object.id()).collect()
}
