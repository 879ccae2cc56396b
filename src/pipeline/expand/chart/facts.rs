//! What the cluster knows of a HelmRelease and its release.

use std::collections::HashMap;
use std::sync::Arc;

use apply::cluster::Scope;
use apply::desired::Hook;
use apply::{Cluster, Reference, Selection};
use helm::record::{self, History};
use manifest::{Gvk, Object};

use super::{Problem, Stage, Turn, Work, dependencies};
use crate::api::condition::{READY, reason};
use crate::api::helm::{HelmRelease, HelmReleaseStatus};
use crate::api::{FORCE_AT, Kind as _, REQUESTED_AT, RESET_AT};
use crate::pipeline::expand::Known;
use crate::pipeline::object_version;
use crate::pipeline::ready::{self, Unknown};
use crate::unit::Thing;

/// What the HelmRelease in the cluster says about this turn.
#[derive(Default)]
pub(super) struct Live {
    /// Somebody asks for an upgrade although nothing has changed.
    pub(super) is_forced: bool,
    /// What was asked for by hand.
    pub(super) requests: Requests,
    /// `commonMetadata` is not what the deployed revision was given.
    pub(super) has_other_metadata: bool,
    /// Records and objects of the release that it had under another name or in another namespace.
    pub(super) left_behind: Vec<Object>,
}

/// Objects of the candidate by place.
pub(super) fn known_by(known: &Known) -> impl Fn(&Reference) -> Option<Object> + Send + Sync + '_ {
    |at| known.get(&at.id()).cloned()
}

impl Work<'_> {
    /// A release is written as its unit's user; another user for one release is not supported yet.
    pub(super) fn check_user(&self, turn: &Turn<'_>) -> Result<(), Problem> {
        let Some(account) = turn.spec.service_account_name.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(());
        };
        let wanted = format!("system:serviceaccount:{}:{account}", turn.object.namespace());
        if self.user.as_deref() == Some(wanted.as_str()) {
            return Ok(());
        }
        let message = "not supported yet: spec.serviceAccountName (only that of the Kustomization that declares it)";
        Err(Problem { why: Some(reason::UNSUPPORTED), ..Problem::about(Stage::Render, turn.object, message) })
    }

    /// The records of the release.
    pub(super) async fn history(&self, turn: &Turn<'_>) -> Result<History, Problem> {
        let secrets = self.records(&turn.target.storage, &turn.target.name).await?;
        let releases = secrets.iter().map(|secret| {
            record::decode(secret).map_err(|error| {
                let message = format!("the record '{}/{}': {error}", secret.namespace(), secret.name());
                Problem::about(Stage::Render, turn.object, message)
            })
        });
        releases.collect::<Result<Vec<_>, _>>().map(History::new)
    }

    async fn records(&self, namespace: &str, release: &str) -> Result<Vec<Object>, Problem> {
        let selection = Selection::all("v1", "Secret").within(namespace).labelled(&record::selector(release));
        let secrets = self.cluster.list(&selection).await;
        let mut secrets = secrets.map_err(|error| Problem::cluster(Stage::Render, &error))?;
        secrets.retain(|secret| secret.text("/type") == Some(record::SECRET_TYPE));
        Ok(secrets)
    }

    /// Whether the HelmReleases of other units that this one depends on are ready. Those of its own unit come before it.
    pub(super) async fn dependencies_ready(&mut self, turn: &Turn<'_>) -> Result<(), Problem> {
        let expressions = turn.spec.depends_on.iter().map(|dependency| dependency.ready_expr.as_deref());
        let all = dependencies(turn.object).into_iter().zip(expressions);
        for (id, expression) in all.filter(|(id, _)| !self.known.contains_key(id)) {
            let at = Reference::new(HelmRelease::API_VERSION, HelmRelease::KIND, &id.namespace, &id.name);
            let found = self.world.cluster.get(&at).await;
            let found = found.map_err(|error| Problem::cluster(Stage::Render, &error))?;
            self.read_set.note(Thing::object(&at), object_version(found.as_ref()));
            let name = format!("{}/{}", id.namespace, id.name);
            let message = match found {
                None => format!("unable to get '{name}' dependency: not found"),
                Some(dependency) => match self.unready(turn, &dependency, &name, expression) {
                    Ok(None) => continue,
                    Ok(Some(message)) | Err(Unknown { message, is_terminal: false }) => message,
                    Err(Unknown { message, is_terminal: true }) => {
                        let problem = Problem::about(Stage::Render, turn.object, message);
                        return Err(Problem { why: Some(reason::INVALID_CEL_EXPRESSION), ..problem });
                    }
                },
            };
            let problem = Problem::about(Stage::Render, turn.object, message);
            return Err(Problem { transient: true, why: Some(reason::DEPENDENCY_NOT_READY), ..problem });
        }
        Ok(())
    }

    /// Why a dependency is not ready; nothing when it is.
    fn unready(
        &self,
        turn: &Turn<'_>,
        dependency: &Object,
        name: &str,
        expression: Option<&str>,
    ) -> Result<Option<String>, Unknown> {
        if let Some(expression) = expression.filter(|expression| !expression.is_empty()) {
            if !ready::holds(expression, turn.object, dependency)? {
                return Ok(Some(format!("dependency '{name}' is not ready according to readyExpr eval")));
            }
            if !self.world.settings.additive_dependency_check {
                return Ok(None);
            }
        }
        Ok((!is_ready(dependency)).then(|| format!("dependency '{name}' is not ready")))
    }

    /// What the HelmRelease in the cluster says.
    pub(super) async fn live_status(&self, turn: &Turn<'_>) -> Result<Live, Problem> {
        let read = self.world.cluster.get(&Reference::of(turn.object)).await;
        let live = read.map_err(|error| Problem::cluster(Stage::Render, &error))?;
        let Some(live) = live else {
            return Ok(Live::default());
        };
        let status = HelmRelease::status(&live).unwrap_or_default();
        let has_history = !status.history.is_empty();
        let requests = Requests::of(&live);
        Ok(Live {
            is_forced: requests.asks_for(&requests.force, status.last_handled_force_at.as_deref()),
            requests,
            has_other_metadata: has_history && common_digest(turn) != status.observed_common_metadata_digest,
            left_behind: self.left_behind(turn, &status).await?,
        })
    }

    /// Records of a release that the spec has moved away from.
    async fn left_behind(&self, turn: &Turn<'_>, status: &HelmReleaseStatus) -> Result<Vec<Object>, Problem> {
        let (Some(storage), Some(last)) = (&status.storage_namespace, status.history.first()) else {
            return Ok(Vec::new());
        };
        if (storage, &last.name) == (&turn.target.storage, &turn.target.name) {
            return Ok(Vec::new());
        }
        self.records(storage, &last.name).await
    }

    /// Gives objects that have no namespace, and need one, that of the release.
    pub(super) async fn placed(&self, objects: Vec<Object>, namespace: &str) -> Vec<Object> {
        let defined = |gvk: &Gvk| self.known.values().find_map(|object| defined_scope(object, gvk));
        placed_by(objects, namespace, &self.cluster, &defined).await
    }

    /// The same for the objects of hooks.
    pub(super) async fn placed_hooks(&self, hooks: Vec<Hook>, namespace: &str) -> Vec<Hook> {
        let objects = self.placed(hooks.iter().map(|hook| hook.object.clone()).collect(), namespace).await;
        hooks.into_iter().zip(objects).map(|(hook, object)| Hook { object, ..hook }).collect()
    }
}

/// Gives objects that have no namespace, and need one, `namespace`; what the cluster does not know needs one.
pub async fn placed(objects: Vec<Object>, namespace: &str, cluster: &Arc<dyn Cluster>) -> Vec<Object> {
    placed_by(objects, namespace, cluster, &|_| None).await
}

async fn placed_by(
    mut objects: Vec<Object>,
    namespace: &str,
    cluster: &Arc<dyn Cluster>,
    defined: &(dyn Fn(&Gvk) -> Option<Scope> + Sync),
) -> Vec<Object> {
    let mut scopes: HashMap<Gvk, Option<Scope>> = HashMap::new();
    for object in &mut objects {
        let gvk = object.gvk();
        let scope = match scopes.get(&gvk) {
            Some(scope) => *scope,
            None => cluster.scope(&gvk).await.ok().flatten().or_else(|| defined(&gvk)),
        };
        scopes.insert(gvk, scope);
        match scope {
            Some(Scope::Cluster) => drop(object.metadata().remove("namespace")),
            _ if object.namespace().is_empty() => object.set_namespace(namespace),
            _ => {}
        }
    }
    objects
}

fn defined_scope(object: &Object, gvk: &Gvk) -> Option<Scope> {
    let is_meant = object.kind() == "CustomResourceDefinition"
        && object.text("/spec/group") == Some(&gvk.group)
        && object.text("/spec/names/kind") == Some(&gvk.kind);
    is_meant.then(|| if object.text("/spec/scope") == Some("Cluster") { Scope::Cluster } else { Scope::Namespaced })
}

fn is_ready(object: &Object) -> bool {
    let status = HelmRelease::status(object).unwrap_or_default();
    status.observed_generation == object.generation() && status.conditions.is_true(READY)
}

/// What a HelmRelease's annotations ask for by hand; empty ones ask for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// For an upgrade although nothing has changed.
    pub force: Option<String>,
    /// To forget failures.
    pub reset: Option<String>,
    /// For a reconciliation.
    at: Option<String>,
}

impl Requests {
    /// Those of a HelmRelease as it is.
    pub fn of(live: &Object) -> Self {
        let given = |name: &str| live.annotation(name).filter(|value| !value.is_empty()).map(str::to_owned);
        Self { force: given(FORCE_AT), reset: given(RESET_AT), at: given(REQUESTED_AT) }
    }

    /// Whether one of them is to be met: once, together with a request to reconcile of the same value.
    pub fn asks_for(&self, one: &Option<String>, handled: Option<&str>) -> bool {
        one.is_some() && *one == self.at && one.as_deref() != handled
    }
}

/// As a read-set notes them, handled or not: what has failed is tried again when one changes.
impl std::fmt::Display for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, value) in [(FORCE_AT, &self.force), (RESET_AT, &self.reset)] {
            value.iter().try_for_each(|value| write!(f, " {name}={value}"))?;
        }
        Ok(())
    }
}

/// Digest of `commonMetadata` as Flux writes it into status.
fn common_digest(turn: &Turn<'_>) -> Option<String> {
    crate::render::target::common_digest(turn.spec.common_metadata.as_ref())
}
