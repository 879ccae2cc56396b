//! What the demo plays on: a cluster in this process, the agent on it, and a repository that the agent follows.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use apply::cluster::PatchKind;
use apply::memory::Simulation;
use apply::{Call, Cluster, Reference, Selection, WatchEvent};
use futures::StreamExt as _;
use jiff::Timestamp;
use manifest::{Object, ObjectId};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::record::{Log, Recorded};
use super::repository::Repository;
use crate::agent::Agent;
use crate::api::schema;
use crate::cluster::journal::Keys;
use crate::cluster::local::Local;
use crate::pipeline::{Parts, Settings, World};
use crate::redact::Redactor;
use crate::resolve::azure::PodIdentity;

/// The agent's namespace.
const SYSTEM: &str = "lockstep-system";
/// The namespace of Flux's objects.
pub(super) const FLUX: &str = "flux-system";
/// The namespace of the applications.
pub(super) const SHOP: &str = "shop";
/// The address that the repository's GitRepository names.
const URL: &str = "https://git.example.com/shop/fleet";
/// The key to the repository's encrypted files.
const AGE_KEY: &str = include_str!("../../../keys-example/age/x25519.agekey");
/// Field manager of what a person does.
const PERSON: &str = "kubectl-edit";
/// How long anything may take: on a machine that does other things as well, too.
const PATIENCE: Duration = Duration::from_secs(30);
/// Objects that the agent works on side by side.
const WORKERS: usize = 8;

/// Told what is waited for, and when that is over.
pub(super) type Waiting = Box<dyn Fn(Option<&str>)>;

/// The whole stage.
pub(super) struct Stage {
    pub(super) repository: Repository,
    /// What every text must pass.
    pub(super) redactor: Redactor,
    local: Local,
    cluster: Arc<dyn Cluster>,
    log: Log,
    waiting: Waiting,
    playing: Playing,
}

/// What runs beside the demo.
struct Playing {
    stop: oneshot::Sender<()>,
    agent: JoinHandle<()>,
    time: JoinHandle<()>,
}

impl Stage {
    /// A cluster and a repository in `folder`; the cluster is kept there only when `keeps`.
    pub(super) async fn open(folder: &Path, keeps: bool, waiting: Waiting) -> anyhow::Result<Self> {
        let repository = Repository::new(&folder.join("repository.git"))?;
        let kept = keeps.then(|| folder.join("cluster"));
        let local = Local::open(kept.as_deref(), Simulation { steps: 1 })?;
        let (cluster, redactor, log): (Arc<dyn Cluster>, _, _) =
            (Arc::new(local.clone()), Redactor::default(), Log::default());
        prepare(&cluster).await?;
        let settings = Settings {
            namespace: SYSTEM.into(),
            cache: folder.join("cache"),
            mirrors: vec![format!("{URL}={}", repository.url()).parse()?],
            // Nobody waits so long: whoever depends on another is told when it is ready.
            requeue_dependency: Duration::from_secs(3600),
            ..Settings::default()
        };
        let world = World::new(Parts {
            cluster: Arc::new(Recorded::new(cluster.clone(), log.clone())),
            keys: Keys::load(&cluster, SYSTEM).await?,
            epoch: 0,
            redactor: redactor.clone(),
            pod: PodIdentity::default(),
            settings,
        })?;
        let playing = Playing::start(Agent::new(world, WORKERS), local.clone());
        Ok(Self { repository, redactor, local, cluster, log, waiting, playing })
    }

    /// Ends the agent, and keeps the cluster where it is kept.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let Playing { stop, agent, time } = self.playing;
        drop(stop);
        agent.await.context("the agent")?;
        time.abort();
        Ok(self.local.save()?)
    }

    /// Applies an object, as an administrator does.
    pub(super) async fn apply(&self, object: Object) -> anyhow::Result<()> {
        apply(&self.cluster, object).await
    }

    /// Changes an object, as a person does.
    pub(super) async fn patch(&self, at: &Reference, patch: Value) -> anyhow::Result<()> {
        let (at, kind, manager) = (at.clone(), PatchKind::Merge, PERSON.to_owned());
        self.cluster.write(Call::Patch { at, kind, patch, manager, dry_run: false, subresource: None }).await?;
        Ok(())
    }

    /// Asks for a look at the repository, as `flux reconcile source git` does and a webhook would.
    pub(super) async fn request(&self) -> anyhow::Result<()> {
        let at = Reference::new("source.toolkit.fluxcd.io/v1", "GitRepository", FLUX, FLUX);
        let annotation = json!({"reconcile.fluxcd.io/requestedAt": Timestamp::now().to_string()});
        self.patch(&at, json!({"metadata": {"annotations": annotation}})).await
    }

    /// One object.
    pub(super) async fn get(&self, at: &Reference) -> anyhow::Result<Object> {
        self.cluster.get(at).await?.with_context(|| format!("{} is not there", at.id()))
    }

    /// Every object of a kind.
    pub(super) async fn list(&self, api_version: &str, kind: &str) -> anyhow::Result<Vec<Object>> {
        Ok(self.cluster.list(&Selection::all(api_version, kind)).await?)
    }

    /// Waits until an object is as wanted, event by event.
    pub(super) async fn until(&self, at: &Reference, wanted: impl Fn(&Object) -> bool) -> anyhow::Result<Object> {
        let name = at.id().to_string();
        (self.waiting)(Some(&name));
        let mut last = None;
        let found = tokio::time::timeout(PATIENCE, self.follow(at, &wanted, &mut last)).await;
        (self.waiting)(None);
        let state = || match last.as_ref().and_then(ready) {
            Some((status, reason, message)) => format!("Ready is {status}, {reason}: {message}"),
            None => "it says nothing".into(),
        };
        found.map_err(|_| anyhow!("{name} is not as expected after {} s: {}", PATIENCE.as_secs(), state()))?
    }

    async fn follow(
        &self,
        at: &Reference,
        wanted: impl Fn(&Object) -> bool,
        last: &mut Option<Object>,
    ) -> anyhow::Result<Object> {
        let mut events = self.cluster.watch(Selection::one(at));
        while let Some(event) = events.next().await {
            let objects = match event {
                Ok(WatchEvent::Reset(objects)) => objects,
                Ok(WatchEvent::Applied(object)) => vec![object],
                // The kind may not be there yet; the watch goes on.
                Ok(WatchEvent::Deleted(_)) | Err(_) => continue,
            };
            for object in objects {
                if wanted(&object) {
                    return Ok(object);
                }
                *last = Some(object);
            }
        }
        Err(anyhow!("the watch of {} has ended", at.id()))
    }

    /// How many objects the agent has written until now.
    pub(super) fn mark(&self) -> usize {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What the agent has written of the applications since, in order.
    pub(super) fn written_since(&self, mark: usize) -> Vec<ObjectId> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().skip(mark).filter(|id| id.namespace == SHOP).cloned().collect()
    }
}

impl Playing {
    fn start(agent: Agent, local: Local) -> Self {
        let (stop, stopped) = oneshot::channel();
        let agent = tokio::spawn(async move { agent.run(async { drop(stopped.await) }).await });
        // What cannot be kept is said when the demo ends.
        let time = tokio::spawn(async move { drop(local.run().await) });
        Self { stop, agent, time }
    }
}

/// What an administrator does before there is an agent: kinds, namespaces, the key.
async fn prepare(cluster: &Arc<dyn Cluster>) -> anyhow::Result<()> {
    for schema in schema::ALL {
        apply(cluster, Object::new(yaml::from_str(schema.text)?)?).await?;
    }
    for name in [SYSTEM, FLUX] {
        let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        apply(cluster, Object::new(value)?).await?;
    }
    let key = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sops-age", "namespace": FLUX},
        "stringData": {"age.agekey": AGE_KEY}});
    apply(cluster, Object::new(key)?).await
}

async fn apply(cluster: &Arc<dyn Cluster>, object: Object) -> anyhow::Result<()> {
    let manager = "kubectl".to_owned();
    cluster.write(Call::Apply { object, manager, force: true, dry_run: false, subresource: None }).await?;
    Ok(())
}

/// Status, reason and message of an object's condition `Ready`.
pub(super) fn ready(object: &Object) -> Option<(&str, &str, &str)> {
    let conditions = object.value().pointer("/status/conditions")?.as_array()?;
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    let text = |field: &str| ready[field].as_str().unwrap_or_default();
    Some((text("status"), text("reason"), text("message")))
}
