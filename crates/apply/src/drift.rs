//! One object of a landing that stands, which somebody may have changed: looked at with one dry run, and put back.
//!
//! **Guarantees.** What is put back is what landed last, as far as it differs; fields of others stay theirs. An object that
//! its annotations take out of our hands is left alone. Nothing is journaled: the journal's last landing is the intent, and
//! whoever comes after a crash finds the same drift again.
//!
//! **Assumption.** No landing of the unit is under way.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};

use crate::cluster::Cluster;
use crate::commit;
use crate::context::Context;
use crate::desired::{Behaviour, Candidate, Desired};
use crate::diff::Diff;
use crate::plan::{Action, Base};
use crate::prepare::{self, Prepared};
use crate::report::Failure;
use crate::share::Claims;

/// An object that is not as it landed, or is gone; tried on the server, not yet written.
pub struct Drifted {
    prepared: Prepared,
}

impl Drifted {
    /// How it differs; secret bytes only as changed.
    pub fn diff(&self) -> Option<&Diff> {
        let change = self.prepared.landing().changes().next()?;
        self.prepared.diff(&change.desired.reference())
    }

    /// What putting it back will do.
    pub fn action(&self) -> Action {
        self.prepared.landing().changes().next().map_or(Action::Unchanged, |change| change.action)
    }
}

/// Compares an object that landed with the live one; `None` when nothing is to be put back.
///
/// # Errors
/// Why the server refuses what landed once, or gave no answer.
pub fn look<'a>(
    desired: Desired,
    behaviour: &'a Behaviour,
    others: Claims,
    cluster: &'a Arc<dyn Cluster>,
) -> BoxFuture<'a, Result<Option<Drifted>, Vec<Failure>>> {
    looked(desired, behaviour, others, cluster).boxed()
}

async fn looked(
    desired: Desired,
    behaviour: &Behaviour,
    others: Claims,
    cluster: &Arc<dyn Cluster>,
) -> Result<Option<Drifted>, Vec<Failure>> {
    // It is known to be there: it is read, not presumed absent.
    let base = Base { inventory: vec![desired.reference()], others, ..Base::default() };
    let candidate = Candidate { objects: vec![desired], is_landed: true, ..Candidate::default() };
    let Behaviour { cleanup, owner_labels, sharer, .. } = behaviour.clone();
    let behaviour = Behaviour { rollout: false, cleanup, owner_labels, sharer, ..Behaviour::default() };
    let nothing = |_: &[u8]| String::new();
    let prepared = prepare::propose(candidate, behaviour, &base, cluster, &nothing).await?;
    Ok((!prepared.landing().is_empty()).then_some(Drifted { prepared }))
}

/// Puts the object back.
///
/// # Errors
/// When it could not be written within `timeout`.
pub fn put_back<'a>(
    drifted: &'a Drifted,
    ctx: &'a Context<'_>,
    timeout: Duration,
) -> BoxFuture<'a, Result<(), Failure>> {
    written(drifted, ctx, timeout).boxed()
}

async fn written(drifted: &Drifted, ctx: &Context<'_>, timeout: Duration) -> Result<(), Failure> {
    let landing = drifted.prepared.landing();
    for change in landing.changes().filter(|change| change.is_written()) {
        commit::apply_one(change, &[], &landing.behaviour.cleanup, ctx, ctx.clock.now() + timeout).await?;
    }
    Ok(())
}
