//! ExternalSecrets become Secrets and HelmReleases become their charts' objects, in the order of what they read, so that
//! all of it lands with the objects that declare it.
//!
//! **Doubt.** A store that does not answer holds nobody: while an ExternalSecret is as it was when it last landed, its
//! landed Secret counts as resolved, and only its own status says what is wrong. A new or changed one must resolve.

use std::collections::BTreeMap;
use std::sync::Arc;

use apply::cluster::Capabilities;
use apply::desired::{Declarer, Desired, Release, Removal};
use apply::{Cluster, Landing};
use futures::future::{FutureExt as _, join_all};
use manifest::{Object, ObjectId};

use super::sources::SourceName;
use super::{Problem, Stage, World};
use crate::api::Kind as _;
use crate::api::secret::ExternalSecret;
use crate::decrypt::Identities;
use crate::redact::Live;
use crate::resolve::{self, Outcome, Pass, ResolveError, Resolved, refresh, target};
use crate::unit::looks::Looked;
use tokio::time::Instant;

use crate::unit::{ReadSet, Thing, digest};
use doubt::{CHANGED_IN_DOUBT, Standing, is_recorded};
pub use doubt::{MISSED, MISSED_ONCE, has_news};
use merge::Addition;
pub use merge::merges;

mod chart;
mod doubt;
mod merge;

pub use chart::{Attempt, Look, Rendered, Requests, config_digest, look, no_release, placed, records};

/// What is expanded.
pub struct Input<'a> {
    /// Objects of the unit: those that declare something, and those that these may read.
    pub objects: &'a [Object],
    /// What landed last.
    pub landed: Option<&'a Landing>,
    /// The user as whom the unit's objects are written; `None` for the agent itself.
    pub user: Option<String>,
    /// Since when the work is wanted: what was read of a vault after that is not read again.
    pub since: Instant,
    /// The artifact that the unit is built from; charts that lie in it are looked at there.
    pub own: Own<'a>,
    /// What opens values files of charts that are encrypted.
    pub identities: Option<Arc<Identities>>,
    /// Whether the Secrets of ExternalSecrets are presumed to be absent, and not read: the caller looks whether its plan
    /// creates them.
    pub presumes: bool,
}

/// A source and its files.
pub type Own<'a> = Option<(&'a SourceName, &'a Arc<Looked>)>;

/// What became of an ExternalSecret.
#[derive(Clone, Debug)]
pub struct External {
    /// Which one.
    pub id: ObjectId,
    /// What its status is to say.
    pub told: ExternalTold,
    /// As of when its store is known.
    pub as_of: Instant,
}

/// What an ExternalSecret's status is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalTold {
    /// Its Secret is as the store has it.
    Synced,
    /// The store has none of it, and the Secret stays.
    Retained,
    /// The store has none of it, and the Secret goes.
    Deleted,
    /// There is no Secret to merge into.
    NoTarget,
    /// It could not be resolved; what landed last stays.
    Failed(String),
    /// Another controller's.
    Foreign,
}

/// What the declarations of a unit come to, besides its objects themselves.
#[derive(Default)]
pub struct Expanded {
    /// The Secrets of ExternalSecrets, and what comes with releases before anything of them.
    pub objects: Vec<Desired>,
    /// What comes to Secrets that something else of the unit may declare; [`Expanded::merge`] brings it there.
    additions: Vec<Addition>,
    /// What happens to each HelmRelease that changes, in order.
    pub releases: Vec<Release>,
    /// Secrets whose deletion is confirmed.
    pub removals: Vec<Removal>,
    /// What became of each ExternalSecret.
    pub externals: Vec<External>,
    /// What became of each HelmRelease.
    pub rendered: Vec<Rendered>,
    /// Every ExternalSecret that must resolve and does not, every HelmRelease that does not render.
    pub problems: Vec<Problem>,
    /// Keeps the values that were read known to the redactor.
    pub secrets: Vec<Live>,
}

/// Expands until nothing is left to expand: a chart may hold ExternalSecrets.
pub async fn expand(input: Input<'_>, world: &World, read_set: &mut ReadSet) -> Expanded {
    let Input { objects, landed, user, since, own, identities, presumes } = input;
    let mut work = Work::new(world, landed, user, index(objects), read_set);
    (work.since, work.own, work.identities, work.presumes) = (since, own, identities, presumes);
    let mut expanded = Expanded::default();
    work.resolve_all(objects, &mut expanded).await;
    work.render_all(objects, &mut expanded).await;
    Expanded { secrets: work.secrets, problems: work.problems, ..expanded }
}

/// Resolves alone: charts stay as they were rendered.
pub async fn resolve(input: Input<'_>, world: &World, read_set: &mut ReadSet) -> Expanded {
    let Input { objects, landed, user, since, own, presumes, .. } = input;
    let mut work = Work::new(world, landed, user, index(objects), read_set);
    (work.since, work.own, work.presumes) = (since, own, presumes);
    let mut expanded = Expanded::default();
    work.resolve_all(objects, &mut expanded).await;
    Expanded { secrets: work.secrets, problems: work.problems, ..expanded }
}

/// Objects of the candidate by identity: they count before the cluster's.
type Known = BTreeMap<ObjectId, Object>;

fn index<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Known {
    objects.into_iter().map(|object| (object.id(), object.clone())).collect()
}

struct Work<'a> {
    world: &'a World,
    landed: Option<&'a Landing>,
    user: Option<String>,
    /// Since when the work is wanted.
    since: Instant,
    own: Own<'a>,
    identities: Option<Arc<Identities>>,
    presumes: bool,
    /// The cluster as that user.
    cluster: Arc<dyn Cluster>,
    known: Known,
    read_set: &'a mut ReadSet,
    /// What the cluster can do, once a chart has asked.
    capabilities: Option<Capabilities>,
    secrets: Vec<Live>,
    problems: Vec<Problem>,
    /// What stores were found not to have, and nobody acts on.
    missed: Vec<Thing>,
}

impl<'a> Work<'a> {
    fn new(
        world: &'a World,
        landed: Option<&'a Landing>,
        user: Option<String>,
        known: Known,
        read_set: &'a mut ReadSet,
    ) -> Self {
        let cluster = user.as_deref().map_or_else(|| world.cluster.clone(), |user| world.cluster.impersonate(user));
        let (secrets, problems, missed) = Default::default();
        Self {
            world,
            landed,
            user,
            since: Instant::now(),
            own: None,
            identities: None,
            presumes: false,
            cluster,
            known,
            read_set,
            capabilities: None,
            secrets,
            problems,
            missed,
        }
    }
}

impl Work<'_> {
    async fn resolve_all(&mut self, objects: &[Object], expanded: &mut Expanded) {
        let externals: Vec<&Object> = objects.iter().filter(|object| is_external_secret(object)).collect();
        if externals.is_empty() {
            return;
        }
        let known = Arc::new(self.known.clone());
        let candidate: resolve::Candidate = Arc::new(move |id| known.get(id).cloned());
        let pass = self.world.resolver.pass_since(Some(candidate), self.since);
        let reads: Vec<_> = externals.iter().map(|external| self.resolve(&pass, external).boxed()).collect();
        let results = join_all(reads).await;
        for (external, (live, result)) in externals.into_iter().zip(results) {
            self.read_set.note(spec_of(external), spec_digest(external));
            let at = Standing { external, live };
            match result {
                Ok(resolved) => self.take(&pass, &at, resolved, expanded).await,
                Err(error) => self.keep(&at, &error, expanded),
            }
        }
        // Another one may have seen for long what one of these misses for the first time.
        self.missed.iter().for_each(|thing| self.read_set.note(thing.clone(), MISSED));
    }

    async fn resolve(&self, pass: &Pass, external: &Object) -> (Option<Object>, Result<Resolved, ResolveError>) {
        let live = self.live(external).await;
        let resolved = pass.resolve(external, live.as_ref()).await;
        (live, resolved)
    }

    /// The Secret of an ExternalSecret as it is, or as the unit declares it.
    async fn live(&self, external: &Object) -> Option<Object> {
        match self.declared_live(external) {
            Some(declared) => Some(declared),
            None if self.presumes => None,
            None => self.world.cluster.get(&target::reference(external)).await.ok().flatten(),
        }
    }

    /// Takes what a store answered.
    async fn take(&mut self, pass: &Pass, at: &Standing<'_>, resolved: Resolved, expanded: &mut Expanded) {
        let (external, id) = (at.external, at.external.id());
        for (thing, version) in resolved.read {
            self.read_set.note(thing, version);
        }
        let missing = resolved.missing;
        let patience = refresh::patience(&ExternalSecret::spec(external).unwrap_or_default());
        let is_old = self.world.sightings.are_old(&id, missing.iter().map(|missing| &missing.thing), patience);
        let told = match resolved.outcome {
            Outcome::Gone | Outcome::Retained if self.is_new(external) => {
                return self.is_held(external, "the store has none of it, and nothing of it has landed");
            }
            Outcome::Gone if missing.is_empty() || !is_old && !is_recorded(pass, &missing).await => {
                self.stay(at, expanded);
                self.doubt(&missing)
            }
            Outcome::Secret(secret)
                if !is_old && self.loses(at, &secret, &missing) && !is_recorded(pass, &missing).await =>
            {
                match self.without_loss(pass, at, &secret, expanded).await {
                    Ok(true) => self.doubt(&missing),
                    Ok(false) => return self.is_held(external, CHANGED_IN_DOUBT),
                    Err(error) => return self.keep(at, &error, expanded),
                }
            }
            Outcome::Secret(secret) => {
                self.place(external, *secret, expanded);
                ExternalTold::Synced
            }
            Outcome::Gone => {
                let declarer = Declarer::ExternalSecret(id.clone());
                expanded.removals.push(Removal { reference: target::reference(external), declarer });
                ExternalTold::Deleted
            }
            Outcome::Retained => {
                self.stay(at, expanded);
                ExternalTold::Retained
            }
            Outcome::NoTarget => ExternalTold::NoTarget,
            Outcome::NotWanted => ExternalTold::Synced,
            Outcome::Foreign => ExternalTold::Foreign,
        };
        expanded.externals.push(External { id, told, as_of: pass.as_of() });
    }

    /// An ExternalSecret that must resolve does not, until its store has something else.
    fn is_held(&mut self, external: &Object, why: &str) {
        self.problems.push(Problem { transient: true, ..Problem::about(Stage::Resolve, external, why) });
    }

    /// Brings a Secret to where it belongs: among the unit's objects, or into the one that the unit declares.
    fn place(&mut self, external: &Object, secret: resolve::Desired, expanded: &mut Expanded) {
        let secret = wanted(external, secret);
        if merges(external) {
            expanded.additions.push(Addition::resolved(secret));
            return;
        }
        self.known.insert(secret.object.id(), secret.object.clone());
        expanded.removals.extend(self.orphans(&secret));
        expanded.objects.push(secret);
    }

    /// A store that does not answer, or refuses: what landed stays, if the ExternalSecret is the one that landed.
    fn keep(&mut self, at: &Standing<'_>, error: &ResolveError, expanded: &mut Expanded) {
        let external = at.external;
        let landed_as_it_is = self.landed.filter(|landed| landed_with(landed, external));
        let Some(landed) = landed_as_it_is else {
            // Nobody tells when a store has something new: it must be asked again.
            let transient = true;
            let problems = error.problems.iter();
            self.problems.extend(
                problems.map(|problem| Problem {
                    transient,
                    ..Problem::about(Stage::Resolve, external, problem.to_string())
                }),
            );
            return;
        };
        let before = ReadSet::from_value(&landed.read_set);
        for (thing, version) in before.iter().filter(|(thing, _)| matches!(thing, Thing::Remote { .. })) {
            if self.read_set.version(thing).is_none() {
                self.read_set.note(thing.clone(), version);
            }
        }
        self.stay(at, expanded);
        let told = ExternalTold::Failed(error.to_string());
        expanded.externals.push(External { id: external.id(), told, as_of: Instant::now() });
    }

    /// Whether a unit's ExternalSecret has not landed as it is now: those who read its Secret would start without it. What stands
    /// alone is made, as External Secrets does it, when the store has something.
    fn is_new(&self, external: &Object) -> bool {
        self.own.is_some() && !self.landed.is_some_and(|landed| landed_with(landed, external))
    }

    /// What landed under other names of an ExternalSecret that owns its Secret: that goes, as External Secrets deletes it. Those
    /// that own nothing leave it where it is.
    fn orphans(&self, secret: &Desired) -> Vec<Removal> {
        let landed = self.landed.filter(|_| secret.owner.is_some());
        let before = landed.into_iter().flat_map(Landing::changes).map(|change| &change.desired);
        let is_other = |before: &&Desired| {
            before.declarer == secret.declarer && !before.keep && before.reference() != secret.reference()
        };
        let removal = |before: &Desired| Removal { reference: before.reference(), declarer: before.declarer.clone() };
        before.filter(is_other).map(removal).collect()
    }
}

/// Whether an ExternalSecret landed last as it is now. What a landing has read of one that it held says nothing.
fn landed_with(landed: &Landing, external: &Object) -> bool {
    let id = external.id();
    match landed.changes().find(|change| change.desired.object.id() == id) {
        Some(change) => spec_digest(&change.desired.object) == spec_digest(external),
        None => {
            let before = ReadSet::from_value(&landed.read_set);
            !landed.holds(&id) && before.version(&spec_of(external)) == Some(spec_digest(external).as_str())
        }
    }
}

/// A resolved Secret as the landing engine wants it.
pub fn wanted(external: &Object, secret: resolve::Desired) -> Desired {
    let resolve::Desired { object, owner, manager, .. } = secret;
    let object = match external.origin() {
        Some(origin) => object.at(origin.clone()),
        None => object,
    };
    let (keep, declarer) = (owner.is_none(), Declarer::ExternalSecret(external.id()));
    Desired { owner, declarer, keep, ..Desired::new(object, &manager) }
}

/// Whether an object's status is told from what became of landings and looks at stores: nothing waits for it, or a store
/// that does not answer would hold what has nothing new to ask it.
pub fn is_told(object: &Object) -> bool {
    let gvk = object.gvk();
    matches!(
        (gvk.group.as_str(), gvk.kind.as_str()),
        ("external-secrets.io", "ExternalSecret" | "SecretStore" | "ClusterSecretStore")
            | ("helm.toolkit.fluxcd.io", "HelmRelease")
    )
}

/// Whether an object is an ExternalSecret.
pub fn is_external_secret(object: &Object) -> bool {
    object.kind() == "ExternalSecret" && object.api_version() == "external-secrets.io/v1"
}

fn spec_of(external: &Object) -> Thing {
    Thing::Declared { id: external.id().inventory() }
}

fn spec_digest(external: &Object) -> String {
    digest(external.value().get("spec").map(ToString::to_string).unwrap_or_default().as_bytes())
}
