//! What an agent knows by watches, as `src/reconcile/drift.rs` and `src/health.rs` have it: whether somebody has changed what
//! landed, whether something of it is gone, and how far workloads are. Nothing else is looked at, so that what a watch has
//! missed is missed until a list tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use apply::{Answer, Call, Cluster, ClusterError, Reference, Selection, WatchEvent};
use futures::future::FutureExt as _;
use futures::stream::{BoxStream, StreamExt as _};
use manifest::Object;
use serde_json::Value;

use super::events::content;
use super::repository::{Kind, NAMESPACE, OWNER};

/// Kinds of which drift is told.
const KINDS: [Kind; 13] = [
    Kind::Namespace,
    Kind::Definition,
    Kind::Account,
    Kind::Config,
    Kind::Secret,
    Kind::External,
    Kind::Claim,
    Kind::Service,
    Kind::Deployment,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::CronJob,
    Kind::Widget,
];

type Events = BoxStream<'static, Result<WatchEvent, ClusterError>>;

/// The watches of one process.
#[derive(Clone)]
pub(crate) struct Followed(Arc<Mutex<State>>);

struct State {
    watches: Vec<Watch>,
    /// Of each object that is ours: version and content after our last write, or as it was found to be right.
    good: BTreeMap<Reference, Told>,
    /// What was told last.
    seen: BTreeMap<Reference, Told>,
    /// Objects that were told to be gone.
    losses: u64,
    /// Whether somebody may have changed something since [`Followed::look`].
    is_suspect: bool,
    /// Takes no second list, as an engine would that trusts its watches.
    is_trusting: bool,
}

struct Watch {
    version: String,
    kind: String,
    events: Events,
    /// Told to whoever rested, and not taken in yet.
    pending: Vec<Result<WatchEvent, ClusterError>>,
    has_listed: bool,
}

impl Watch {
    fn new(cluster: &dyn Cluster, version: &str, kind: &str) -> Self {
        let events = cluster.watch(selection(version, kind));
        Self { version: version.into(), kind: kind.into(), events, pending: Vec::new(), has_listed: false }
    }

    /// What was told and not taken in yet; errors are followed by another attempt.
    fn told(&mut self) -> Vec<WatchEvent> {
        let mut told = std::mem::take(&mut self.pending);
        while let Some(Some(event)) = self.events.next().now_or_never() {
            told.push(event);
        }
        told.into_iter().filter_map(Result::ok).collect()
    }

    fn is_of_kind(&self, at: &Reference) -> bool {
        at.gvk.kind == self.kind && at.gvk.api_version() == self.version
    }

    /// Whether an event is a list that an engine does not take which trusts its watches.
    fn is_passed_over(&mut self, event: &WatchEvent, is_trusting: bool) -> bool {
        let is_list = matches!(event, WatchEvent::Reset(_));
        let is_again = is_list && std::mem::replace(&mut self.has_listed, true);
        is_again && is_trusting
    }
}

/// All objects of a kind that a unit may own.
fn selection(version: &str, kind: &str) -> Selection {
    let all = Selection::all(version, kind);
    let is_of_cluster = matches!(kind, "Namespace" | "CustomResourceDefinition");
    if is_of_cluster { all } else { all.within(NAMESPACE) }
}

impl Followed {
    pub(crate) fn new(cluster: &dyn Cluster, is_trusting: bool) -> Self {
        let watches = KINDS.into_iter().map(|kind| {
            let (version, kind) = kind.names();
            Watch::new(cluster, version, kind)
        });
        let (good, seen) = (BTreeMap::new(), BTreeMap::new());
        let state = State { watches: watches.collect(), good, seen, losses: 0, is_suspect: true, is_trusting };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Our own write was answered.
    pub(crate) fn noted(&self, call: &Call, answer: &Result<Answer, ClusterError>) {
        if let (true, Ok(Answer::Object(Some(object)))) = (call.is_write(), answer) {
            let mut state = self.state();
            state.good.insert(Reference::of(object), told(object));
            // That it was gone before is over.
            state.seen.insert(Reference::of(object), told(object));
        }
        if let (Call::Delete { at, .. }, Ok(_)) = (call, answer) {
            self.state().good.remove(at);
        }
    }

    /// Takes in what watches have told by now. How often something of ours was told to be gone so far.
    pub(crate) fn take(&self) -> u64 {
        let mut state = self.state();
        let state = &mut *state;
        for watch in &mut state.watches {
            for event in watch.told() {
                // What happened before the first list is told by nothing but a look.
                state.is_suspect |= !watch.has_listed;
                if watch.is_passed_over(&event, state.is_trusting) {
                    continue;
                }
                let known = state.seen.iter().chain(&state.good).filter(|(_, now)| now.1.is_some()).map(|(at, _)| at);
                for (at, now) in news(watch, event, known.cloned().collect()) {
                    let good = state.good.get(&at);
                    let is_old = good.is_some_and(|good| now.1.is_some() && now.0 < good.0);
                    let is_ours = good.is_some() || now.1.as_ref().is_some_and(is_labelled);
                    if is_ours && !is_old && good.map(|good| &good.1) != Some(&now.1) {
                        state.is_suspect = true;
                        state.losses += u64::from(now.1.is_none());
                    }
                    state.seen.insert(at, now);
                }
            }
        }
        state.losses
    }

    /// Whether somebody may have changed something of ours.
    pub(crate) fn is_suspect(&self) -> bool {
        self.take();
        self.state().is_suspect
    }

    /// It is looked at now: what is told from here on is news.
    pub(crate) fn look(&self) {
        self.take();
        self.state().is_suspect = false;
    }

    /// It was looked at in vain.
    pub(crate) fn doubts(&self) {
        self.state().is_suspect = true;
    }

    /// It was looked at, and is right as it was told.
    pub(crate) fn rests(&self) {
        let mut state = self.state();
        let State { good, seen, .. } = &mut *state;
        for (at, now) in seen.iter() {
            match &now.1 {
                None => drop(good.remove(at)),
                Some(value) => {
                    let is_newer = good.get(at).map_or_else(|| is_labelled(value), |good| good.0 <= now.0);
                    if is_newer {
                        good.insert(at.clone(), now.clone());
                    }
                }
            }
        }
    }

    /// Ends when watches tell something.
    pub(crate) async fn news(&self) {
        futures::future::poll_fn(|context| {
            let mut is_told = false;
            for watch in &mut self.state().watches {
                if let Poll::Ready(Some(event)) = watch.events.poll_next_unpin(context) {
                    watch.pending.push(event);
                    is_told = true;
                }
            }
            if is_told { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn is_labelled(content: &Value) -> bool {
    content["labels"][OWNER.0] == OWNER.1
}

/// Version and content.
fn told(object: &Object) -> Told {
    let version = object.resource_version().parse().unwrap_or_default();
    (version, Some(content(object.value())))
}

/// What is known of an object: version and content; no content where it is gone.
type Told = (u64, Option<Value>);

/// What an event tells, object by object. In a list, what is missing of all that was `known` is gone, also what was
/// written and never told of.
fn news(watch: &Watch, event: WatchEvent, known: BTreeSet<Reference>) -> Vec<(Reference, Told)> {
    let one = |object: &Object| (Reference::of(object), told(object));
    match event {
        WatchEvent::Reset(all) => {
            let there: BTreeMap<_, _> = all.iter().map(one).collect();
            let gone = known.into_iter().filter(|at| watch.is_of_kind(at) && !there.contains_key(at));
            let gone: Vec<_> = gone.map(|at| (at, (0, None))).collect();
            gone.into_iter().chain(there).collect()
        }
        WatchEvent::Applied(object) => vec![one(&object)],
        WatchEvent::Deleted(object) => vec![(Reference::of(&object), (0, None))],
    }
}

/// Objects that are awaited, as watches of their own tell them.
pub(crate) struct Awaited {
    watches: Vec<Watch>,
    seen: BTreeMap<Reference, Object>,
    is_trusting: bool,
}

impl Awaited {
    pub(crate) fn new(cluster: &dyn Cluster, targets: &[Reference], is_trusting: bool) -> Self {
        let kinds: BTreeSet<(String, String)> =
            targets.iter().map(|at| (at.gvk.api_version(), at.gvk.kind.clone())).collect();
        let watches = kinds.iter().map(|(version, kind)| Watch::new(cluster, version, kind)).collect();
        Self { watches, seen: BTreeMap::new(), is_trusting }
    }

    /// What was told of an object last.
    pub(crate) fn get(&mut self, at: &Reference) -> Option<&Object> {
        for watch in &mut self.watches {
            for event in watch.told() {
                if watch.is_passed_over(&event, self.is_trusting) {
                    continue;
                }
                match event {
                    WatchEvent::Reset(all) => {
                        self.seen.retain(|at, _| !watch.is_of_kind(at));
                        self.seen.extend(all.into_iter().map(|object| (Reference::of(&object), object)));
                    }
                    WatchEvent::Applied(object) => drop(self.seen.insert(Reference::of(&object), object)),
                    WatchEvent::Deleted(object) => drop(self.seen.remove(&Reference::of(&object))),
                }
            }
        }
        self.seen.get(at)
    }
}
