//! HelmReleases of a unit: chart, values and records in; what is to happen to each release out.
//!
//! A release is rendered when its chart's version or its values differ from those of the revision that is deployed, and
//! only then, as in Flux: what a function made by chance (certificates, passwords) stays as it is otherwise. Objects of
//! a release that does not change are carried along untouched.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use apply::Reading;
use apply::desired::{Declarer, Desired, Policy, Release, Removal};
use helm::Action;
use helm::record::{History, Status};
use manifest::{Object, ObjectId};

use super::{Expanded, Known, Problem, Stage, Work, World, is_external_secret};
use crate::api::Kind as _;
use crate::api::condition::reason;
use crate::api::field::Required;
use crate::api::helm::{CrdsPolicy, HelmRelease, HelmReleaseSpec};
use crate::api::reference::{Inventory, InventoryEntry};
use crate::pipeline::sources;
use crate::render::target::Target;
use crate::render::{self, MANAGER, Product, storage, values};
use crate::unit::{MISSING, ReadSet, Thing};

mod facts;
mod inputs;
mod locate;

pub use facts::{Requests, placed};
use locate::{Located, locate};

/// Flux's default for `spec.timeout`.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Flux's default for `spec.maxHistory`.
const MAX_HISTORY: usize = 5;

/// What became of a HelmRelease.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// Which one.
    pub id: ObjectId,
    /// What is tried; `None` for one that is suspended.
    pub attempt: Option<Attempt>,
}

/// The revision of a release that a HelmRelease asks for.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What brings it to the cluster; `None` when it is there.
    pub action: Option<Action>,
    /// Names of the release.
    pub target: Target,
    /// Number of the revision.
    pub version: i64,
    /// Name of the chart.
    pub chart: String,
    /// Version of the chart.
    pub chart_version: String,
    /// Version of the program in the chart.
    pub app_version: String,
    /// Digest of the values.
    pub config_digest: String,
    /// Its objects, definitions included.
    pub inventory: Inventory,
    /// The revision that is deployed before: its number, and its chart as `name@version`.
    pub previous: Option<(i64, String)>,
    /// What was asked for by hand when it was looked at: what came later, it has not answered.
    pub requests: Requests,
    /// How long it took, once it has ended.
    pub took: Option<Duration>,
}

/// How a HelmRelease and its release stand to one another.
pub struct Look {
    /// The chart that it means now and what was asked for by hand, as a read-set notes it.
    pub chart: String,
    /// The records.
    pub history: History,
    /// The revision that is deployed, when it is the one that is asked for.
    pub current: Option<Attempt>,
    /// Somebody asks for an upgrade although nothing has changed.
    pub is_forced: bool,
}

/// Looks at what a HelmRelease asks for and at what is there. `user` is whom its unit is written as.
///
/// # Errors
/// When its chart, its values or its records cannot be had.
pub async fn look(object: &Object, world: &World, user: Option<String>) -> Result<Look, Problem> {
    let mut read_set = ReadSet::default();
    let mut work = Work::new(world, None, user, Known::new(), &mut read_set);
    let turn = Turn::of(object)?;
    let history = work.history(&turn).await?;
    let located = locate(object, &turn.spec, world, &sources::nothing_known, None).await?;
    let values = work.values(&turn).await?;
    let live = work.live_status(&turn).await?;
    let current = deployed_already(&turn, &history, &located, &values::digest(&values));
    let current = match current {
        Some(attempt) => work.untouched(&turn, &history, Some(attempt)).await?.rendered.attempt,
        None => None,
    };
    let current = current.map(|attempt| Attempt { requests: live.requests.clone(), ..attempt });
    Ok(Look { chart: located.version_key() + &live.requests.to_string(), history, current, is_forced: live.is_forced })
}

/// The records of a HelmRelease's release.
///
/// # Errors
/// When they cannot be read.
pub async fn records(object: &Object, world: &World, user: Option<String>) -> Result<History, Problem> {
    let mut read_set = ReadSet::default();
    let work = Work::new(world, None, user, Known::new(), &mut read_set);
    work.history(&Turn::of(object)?).await
}

/// The revision that is deployed, if it is what the HelmRelease asks for: the same chart, version and values.
fn deployed_already(turn: &Turn<'_>, history: &History, located: &Located, config_digest: &str) -> Option<Attempt> {
    let last = history.last().filter(|last| {
        last.status == Status::Deployed
            && last.chart.metadata.name == located.name
            && last.chart.metadata.version == located.version
            && last.namespace == turn.target.namespace
            && values::digest(&last.config) == config_digest
    })?;
    Some(Attempt::of(&turn.target, last, None, config_digest.to_owned(), None))
}

/// What a HelmRelease comes to.
struct Outcome {
    release: Release,
    /// What comes before all releases: a namespace, definitions.
    first: Vec<Desired>,
    removals: Vec<Removal>,
    rendered: Rendered,
}

impl Work<'_> {
    /// Renders every HelmRelease, those in charts too, and what ExternalSecrets in charts make.
    pub(super) async fn render_all(&mut self, objects: &[Object], expanded: &mut Expanded) {
        let mut open: VecDeque<Object> = self.in_order(objects.iter().filter(|object| is_release(object)));
        while let Some(object) = open.pop_front() {
            let outcome = match self.outcome(&object).await {
                Ok(outcome) => outcome,
                Err(problems) => {
                    self.problems.extend(problems);
                    continue;
                }
            };
            let Outcome { mut release, first, removals, rendered } = outcome;
            for desired in first.iter().chain(&release.objects) {
                self.known.insert(desired.object.id(), desired.object.clone());
            }
            let inner: Vec<Object> = release.objects.iter().map(|desired| desired.object.clone()).collect();
            open.extend(self.in_order(inner.iter().filter(|object| is_release(object))));
            self.resolve_within(&inner, &mut release, expanded).await;
            expanded.objects.extend(first);
            expanded.removals.extend(removals);
            expanded.releases.push(release);
            expanded.rendered.push(rendered);
        }
    }

    /// Resolves the ExternalSecrets of a release: their Secrets come right behind them, before what may read them.
    async fn resolve_within(&mut self, inner: &[Object], release: &mut Release, expanded: &mut Expanded) {
        let externals: Vec<Object> = inner.iter().filter(|object| is_external_secret(object)).cloned().collect();
        if externals.is_empty() {
            return;
        }
        let before = expanded.objects.len();
        self.resolve_all(&externals, expanded).await;
        let secrets = expanded.objects.split_off(before);
        let all = std::mem::take(&mut release.objects);
        let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|desired| is_external_secret(&desired.object));
        release.objects = own.into_iter().chain(secrets).chain(others).collect();
    }

    /// HelmReleases in the order of `dependsOn` among them.
    fn in_order<'o>(&mut self, releases: impl Iterator<Item = &'o Object>) -> VecDeque<Object> {
        let mut waiting: BTreeMap<ObjectId, Object> = releases.map(|object| (object.id(), object.clone())).collect();
        let mut ordered = VecDeque::new();
        while !waiting.is_empty() {
            let is_free = |object: &Object| !dependencies(object).iter().any(|id| waiting.contains_key(id));
            let free: Vec<ObjectId> = waiting.values().filter(|object| is_free(object)).map(Object::id).collect();
            if free.is_empty() {
                let names: Vec<String> = waiting.keys().map(ToString::to_string).collect();
                let message = format!("dependsOn goes round in a circle: {}", names.join(", "));
                self.problems.push(Problem::general(Stage::Render, message));
                break;
            }
            ordered.extend(free.iter().filter_map(|id| waiting.remove(id)));
        }
        ordered
    }

    async fn outcome(&mut self, object: &Object) -> Result<Outcome, Vec<Problem>> {
        let turn = Turn::of(object).map_err(|problem| vec![problem])?;
        self.check_user(&turn).map_err(|problem| vec![problem])?;
        let history = self.history(&turn).await.map_err(|problem| vec![problem])?;
        if turn.spec.suspend {
            return self.untouched(&turn, &history, None).await.map_err(|problem| vec![problem]);
        }
        let mut problems = Vec::new();
        let ready = self.dependencies_ready(&turn).await;
        let located = locate(object, &turn.spec, self.world, &facts::known_by(&self.known), self.own).await;
        if located.is_err() {
            self.note_source(&turn);
        }
        let values = self.values(&turn).await;
        problems.extend(
            [ready.err(), located.as_ref().err().cloned(), values.as_ref().err().cloned()].into_iter().flatten(),
        );
        let (Ok(located), Ok(values), true) = (located, values, problems.is_empty()) else { return Err(problems) };
        self.next(&turn, &history, located, values).await.map_err(|problem| vec![problem])
    }

    /// A source that was not fetched yet is an input that is missing.
    fn note_source(&mut self, turn: &Turn<'_>) {
        let Some(chart) = &turn.spec.chart else { return };
        let reference = &chart.spec.source_ref;
        let namespace = reference.namespace.clone().unwrap_or_else(|| turn.object.namespace().into());
        let name = (reference.kind.clone(), namespace, reference.name.clone());
        if self.world.sources.version(&name).is_none() {
            let (kind, namespace, name) = name;
            self.read_set.note(Thing::Artifact { kind, namespace, name }, MISSING);
        }
    }

    /// The release as it is to be: untouched, installed or upgraded.
    async fn next(
        &mut self,
        turn: &Turn<'_>,
        history: &History,
        located: Located,
        values: helm::values::Values,
    ) -> Result<Outcome, Problem> {
        let live = self.live_status(turn).await?;
        let chart = located.version_key() + &live.requests.to_string();
        self.read_set.note(Thing::Chart { release: release_key(turn.object) }, chart);
        let config_digest = values::digest(&values);
        let current = deployed_already(turn, history, &located, &config_digest);
        if let Some(attempt) = current.filter(|_| !live.is_forced && !live.has_other_metadata) {
            let attempt = Attempt { requests: live.requests, ..attempt };
            return self.untouched(turn, history, Some(attempt)).await;
        }
        let action = if history.current().is_some() { Action::Upgrade } else { Action::Install };
        let product = self.render(turn, history, located, values, action).await?;
        self.landing(turn, history, product, action, config_digest, &live).await
    }

    /// A release that stays: its objects as its record has them, none of them written.
    async fn untouched(
        &self,
        turn: &Turn<'_>,
        history: &History,
        attempt: Option<Attempt>,
    ) -> Result<Outcome, Problem> {
        let (objects, crds) = match history.deployed() {
            Some(deployed) => render::recorded(deployed, &turn.target).map_err(|error| turn.problem(&error))?,
            None => Default::default(),
        };
        let objects = self.placed(objects, &turn.target.namespace).await;
        let inventory = inventory(&objects, &crds);
        let attempt = attempt.map(|attempt| Attempt { inventory, ..attempt });
        let objects = objects.into_iter().map(|object| turn.desired(object, Policy::Untouched)).collect();
        let rendered = Rendered { id: turn.object.id(), attempt };
        let release = Release { objects, ..no_release(turn.object.id()) };
        Ok(Outcome { release, first: Vec::new(), removals: Vec::new(), rendered })
    }

    /// A release that is installed or upgraded.
    async fn landing(
        &self,
        turn: &Turn<'_>,
        history: &History,
        product: Product,
        action: Action,
        config_digest: String,
        live: &facts::Live,
    ) -> Result<Outcome, Problem> {
        let knobs = turn.knobs(action);
        let now = jiff::Timestamp::now().as_nanosecond();
        let Product { rendered, config, objects, crds, strays } = product;
        if !strays.is_empty() {
            tracing::warn!(release = %turn.object.id(), objects = strays.join(", "), "crds/ holds objects that are no definitions: left out");
        }
        let (before, after) = match knobs.hooks {
            true => storage::hooks(&rendered.hooks, action, knobs.timeout).map_err(|error| turn.problem(&error))?,
            false => Default::default(),
        };
        let (name, namespace) = (&turn.target.name, &turn.target.namespace);
        let version = history.next_revision();
        let record = helm::record::Release::new(name, namespace, version, &rendered, config, now);
        let previous = history.deployed().map(|old| (old.version, chart_name(old)));
        let objects = self.placed(objects, namespace).await;
        let attempt = Attempt::of(&turn.target, &record, Some(action), config_digest, previous);
        let requests = live.requests.clone();
        let attempt = Attempt { inventory: inventory(&objects, &crds), requests, ..attempt };
        let records = storage::records(record, action, history, &turn.target, turn.max_history(), now);
        let records = records.map_err(|error| turn.problem(&error))?;
        let declarer = Declarer::Release(turn.object.id());
        let removal = |object: &Object| Removal { reference: apply::Reference::of(object), declarer: declarer.clone() };
        let mut removals: Vec<Removal> = records.excess.iter().map(removal).collect();
        removals.extend(live.left_behind.iter().map(removal));
        let release = Release {
            begin: records.begin,
            before: self.placed_hooks(before, namespace).await,
            objects: objects.into_iter().map(|object| turn.desired(object, Policy::Override)).collect(),
            wait: knobs.wait,
            after: self.placed_hooks(after, namespace).await,
            finish: records.finish,
            ..no_release(turn.object.id())
        };
        let first = self.first(turn, crds, &knobs, action);
        let rendered = Rendered { id: turn.object.id(), attempt: Some(attempt) };
        Ok(Outcome { release, first, removals, rendered })
    }

    /// What must be there before any release: the namespace, if it is to be made, and definitions.
    fn first(&self, turn: &Turn<'_>, crds: Vec<Object>, knobs: &Knobs, action: Action) -> Vec<Desired> {
        let mut first = Vec::new();
        let install = turn.spec.install.as_ref();
        if action == Action::Install && install.is_some_and(|install| install.create_namespace) {
            let name = &turn.target.namespace;
            first.push(turn.kept(
                Object::unchecked(serde_json::json!({
                    "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"name": name}},
                })),
                Policy::IfNotPresent,
            ));
        }
        let policy = match knobs.crds {
            CrdsPolicy::Skip => None,
            CrdsPolicy::CreateReplace => Some(Policy::Override),
            CrdsPolicy::Create | CrdsPolicy::Other(_) => Some(Policy::IfNotPresent),
        };
        first.extend(
            policy
                .into_iter()
                .flat_map(|policy| crds.iter().map(move |crd| (crd.clone(), policy)))
                .map(|(crd, policy)| turn.kept(crd, policy)),
        );
        first.retain(|desired| !self.known.contains_key(&desired.object.id()));
        first
    }
}

/// One HelmRelease at work.
struct Turn<'a> {
    object: &'a Object,
    spec: HelmReleaseSpec,
    target: Target,
}

/// What `install` or `upgrade` says, by the action.
struct Knobs {
    timeout: Duration,
    hooks: bool,
    wait: Option<(Reading, Duration)>,
    crds: CrdsPolicy,
}

impl<'a> Turn<'a> {
    fn of(object: &'a Object) -> Result<Self, Problem> {
        let about = |message: String| Problem::about(Stage::Render, object, message);
        let spec = HelmRelease::spec(object).map_err(|error| about(error.to_string()))?;
        let unsupported = HelmRelease::unsupported(object.value());
        if !unsupported.is_empty() {
            let message = format!("not supported yet: {}", unsupported.join(", "));
            return Err(Problem { why: Some(reason::UNSUPPORTED), ..about(message) });
        }
        Ok(Self { object, target: Target::of(object, &spec), spec })
    }

    fn problem(&self, error: &dyn std::error::Error) -> Problem {
        Problem::about(Stage::Render, self.object, error.to_string())
    }

    fn max_history(&self) -> usize {
        self.spec.max_history.map_or(MAX_HISTORY, |limit| usize::try_from(limit).unwrap_or_default())
    }

    fn knobs(&self, action: Action) -> Knobs {
        let (timeout, hooks, wait, jobs, crds) = match action {
            Action::Install => {
                let install = self.spec.install.clone().unwrap_or_default();
                let crds = if install.skip_crds { Some(CrdsPolicy::Skip) } else { install.crds };
                (install.timeout, install.disable_hooks, install.disable_wait, install.disable_wait_for_jobs, crds)
            }
            Action::Upgrade => {
                let upgrade = self.spec.upgrade.clone().unwrap_or_default();
                let crds = upgrade.crds;
                (upgrade.timeout, upgrade.disable_hooks, upgrade.disable_wait, upgrade.disable_wait_for_jobs, crds)
            }
        };
        let timeout = timeout.as_ref().or(self.spec.timeout.as_ref()).map_or(TIMEOUT, |timeout| timeout.span());
        let reading = if jobs { Reading::Release } else { Reading::ReleaseJobs };
        // The schema says that an upgrade skips definitions when nothing is said; Flux's code creates missing ones.
        let crds = crds.unwrap_or_default();
        Knobs { timeout, hooks: !hooks, wait: (!wait).then_some((reading, timeout)), crds }
    }

    fn desired(&self, object: Object, policy: Policy) -> Desired {
        let keep = object.annotation("helm.sh/resource-policy").is_some_and(|policy| policy.trim() == "keep");
        let object = match self.object.origin() {
            Some(origin) => object.at(origin.clone()),
            None => object,
        };
        let declarer = Declarer::Release(self.object.id());
        Desired { policy, declarer, keep, ..Desired::new(object, MANAGER) }
    }

    fn kept(&self, object: Object, policy: Policy) -> Desired {
        Desired { keep: true, ..self.desired(object, policy) }
    }
}

impl Attempt {
    fn of(
        target: &Target,
        release: &helm::record::Release,
        action: Option<Action>,
        config_digest: String,
        previous: Option<(i64, String)>,
    ) -> Self {
        let metadata = &release.chart.metadata;
        Self {
            action,
            target: target.clone(),
            version: release.version,
            chart: metadata.name.clone(),
            chart_version: metadata.version.clone(),
            app_version: metadata.app_version.clone(),
            config_digest,
            inventory: Inventory::default(),
            previous,
            requests: Requests::default(),
            took: None,
        }
    }
}

fn inventory(objects: &[Object], crds: &[Object]) -> Inventory {
    let entry = |object: &Object| InventoryEntry { id: object.id().inventory(), version: object.gvk().version };
    Inventory { entries: Required(objects.iter().chain(crds).map(entry).collect()) }
}

/// Digest of values as Flux writes it into status.
pub fn config_digest(values: &helm::values::Values) -> String {
    values::digest(values)
}

fn chart_name(release: &helm::record::Release) -> String {
    format!("{}@{}", release.chart.metadata.name, release.chart.metadata.version)
}

/// A release with which nothing happens.
pub fn no_release(id: ObjectId) -> Release {
    Release {
        id,
        begin: Vec::new(),
        before: Vec::new(),
        objects: Vec::new(),
        wait: None,
        after: Vec::new(),
        finish: Vec::new(),
    }
}

/// Whether an object is a HelmRelease.
pub(super) fn is_release(object: &Object) -> bool {
    object.kind() == "HelmRelease" && object.api_version() == HelmRelease::API_VERSION
}

/// The name of a HelmRelease in a read-set.
pub(super) fn release_key(object: &Object) -> String {
    format!("{}/{}", object.namespace(), object.name())
}

fn dependencies(object: &Object) -> Vec<ObjectId> {
    let spec = HelmRelease::spec(object).ok();
    let id = |dependency: &crate::api::reference::Dependency| ObjectId {
        namespace: dependency.namespace.clone().unwrap_or_else(|| object.namespace().into()),
        name: dependency.name.clone(),
        ..object.id()
    };
    spec.iter().flat_map(|spec| &spec.depends_on).map(id).collect()
}
