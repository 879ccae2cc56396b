//! Which Kustomizations are planned, in which order, with which files.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use apply::{Call, Cluster, Reference};
use manifest::{Object, ObjectId};
use serde_json::{Value, json};

use super::around::{self, Around};
use super::checkout::{Checkout, below};
use super::unit::{self, Draft, Fate, Issue, Planned};
use super::{FLUX, apply};
use crate::pipeline::World;
use crate::pipeline::sources::{Fetched, SourceName};
use crate::status::source::GROUP;
use crate::unit::Unit;

/// Plans that are being made.
pub(super) struct Planning {
    world: World,
    /// A cluster in memory, in which what is planned is done, so that what depends on it finds it.
    scratch: Option<Arc<dyn Cluster>>,
    /// Kustomizations whose objects are in that cluster.
    done: BTreeSet<ObjectId>,
    /// Those of the cluster.
    known: Vec<Object>,
    /// Those that somebody has suspended there, not in Git.
    suspended: BTreeSet<ObjectId>,
    around: Around,
    /// What has the files of a checkout, and that.
    local: Option<(SourceName, Checkout)>,
    fetched: HashMap<SourceName, Fetched>,
    /// What Kustomizations declare that fetching reads, and themselves.
    declared: BTreeMap<Reference, Object>,
    seen: BTreeSet<ObjectId>,
    planned: Vec<Planned>,
}

impl Planning {
    /// Begins; Kustomizations are looked for in `namespace`, where not all can be listed.
    pub(super) async fn begin(
        world: World,
        scratch: Option<Arc<dyn Cluster>>,
        has_cluster: bool,
        namespace: &str,
    ) -> anyhow::Result<Self> {
        let known = around::all(&world.cluster, namespace).await?;
        let (around, local, planned) = (Around::of(&known, has_cluster), None, Vec::new());
        let (done, seen, fetched, declared) = (BTreeSet::new(), BTreeSet::new(), HashMap::new(), BTreeMap::new());
        let suspended = BTreeSet::new();
        Ok(Self { world, scratch, done, known, suspended, around, local, fetched, declared, seen, planned })
    }

    /// What was planned, in the order of landing.
    pub(super) fn finish(self) -> Vec<Planned> {
        self.planned
    }

    /// One Kustomization of the cluster, with the files of a folder or those of its source.
    pub(super) async fn one(&mut self, namespace: &str, name: &str, files: Option<&Path>) -> anyhow::Result<()> {
        let at = Reference::new(FLUX, "Kustomization", namespace, name);
        let object = self.world.cluster.get(&at).await?;
        let mut object = object.with_context(|| format!("{} not found", at.id()))?;
        if is_suspended(&object) {
            self.suspended.insert(object.id());
        }
        if let Some(files) = files {
            let checkout = Checkout::open(files, |root, folder| leads(&object, root, folder))?;
            object.value_mut()["spec"]["path"] = checkout.path().into();
            self.local = Some((unit::source_name(&object), checkout));
        }
        let draft = self.draft(object).await;
        self.around.looked_at(&draft.unit(), draft.promised());
        let planned = self.plan(&draft).await;
        self.planned.push(planned);
        Ok(())
    }

    /// The Kustomization that a folder is for, and all that are declared there, there again, and so on.
    pub(super) async fn folder(&mut self, namespace: &str, folder: &Path) -> anyhow::Result<()> {
        let known: Vec<Object> = self.known.iter().filter(|own| own.namespace() == namespace).cloned().collect();
        let for_known = |root: &Path, folder: &Path| known.iter().any(|object| leads(object, root, folder));
        let checkout = Checkout::open(folder, for_known)?;
        let is_known = for_known(&checkout.root, &checkout.folder);
        let checkout = if is_known { checkout } else { checkout.enter()? };
        let own = known.iter().find(|own| leads(own, &checkout.root, &checkout.folder));
        let made = own.is_none();
        let own = own.map_or_else(|| made_for(namespace, &checkout), |own| Ok(own.clone()))?;
        let source = checkout.as_source(unit::source_name(&own));
        let mut draft = Draft::of(own, Ok(source), &self.world).await;
        let declared = kustomizations(&draft);
        let checkout = checkout.rooted(&declared.iter().map(path).collect::<Vec<_>>())?;
        // `flux bootstrap` declares the Kustomization of a cluster's folder in that folder.
        let bootstrapped = declared.iter().find(|object| leads(object, &checkout.root, &checkout.folder));
        let bootstrapped = bootstrapped.filter(|_| made);
        if let Some(own) = bootstrapped {
            let source = checkout.as_source(unit::source_name(own));
            draft = Draft::of(own.clone(), Ok(source), &self.world).await;
        }
        let is_here = |object: &&Object| below(&checkout.root, path(object)).is_some_and(|path| path.is_dir());
        let first = declared.iter().find(is_here).filter(|_| made && bootstrapped.is_none());
        let is_made_up = made && bootstrapped.is_none();
        self.local = Some((unit::source_name(first.unwrap_or(&draft.object)), checkout));
        let below = self.below(&draft).await?;
        self.plan_all([draft].into_iter().chain(below).collect()).await?;
        if let Some(own) = self.planned.first_mut().filter(|_| is_made_up) {
            own.warnings.push("no Kustomization has this path: planned as if one had, with defaults".into());
        }
        Ok(())
    }

    /// Plans each after those that it depends on. In a cluster that only this plan has, what waits for others is planned
    /// again when they are there.
    async fn plan_all(&mut self, mut open: Vec<Draft>) -> anyhow::Result<()> {
        loop {
            let (mut later, before) = (Vec::new(), self.planned.len());
            while let Some(mut draft) = next(&mut open) {
                if !self.done.is_empty() {
                    // It may read what those before it have made.
                    let live = self.live(draft.object).await?;
                    draft = self.draft(live).await;
                    open.extend(self.below(&draft).await?);
                }
                let planned = match self.missing(&draft.object).await? {
                    Some(dependency) => self.plan(&draft).await.after(&dependency),
                    None => self.plan(&draft).await,
                };
                if self.scratch.is_some() && planned.waits() {
                    later.push((draft, planned));
                } else {
                    self.finished(&draft.unit(), planned).await?;
                }
            }
            if self.planned.len() == before {
                self.planned.extend(later.into_iter().map(|(_, planned)| planned));
                return Ok(());
            }
            open = later.into_iter().map(|(draft, _)| draft).collect();
        }
    }

    /// Compiles a Kustomization with the newest files of its source, or with those of the checkout.
    async fn draft(&mut self, object: Object) -> Draft {
        let name = unit::source_name(&object);
        let source = match &self.local {
            Some((local, checkout)) if *local == name => Ok(checkout.as_source(name)),
            _ => self.fetch(&object, name).await,
        };
        Draft::of(object, source, &self.world).await
    }

    async fn fetch(&mut self, object: &Object, name: SourceName) -> Result<Fetched, Issue> {
        if let Some(fetched) = self.fetched.get(&name) {
            return Ok(fetched.clone());
        }
        let fetched = unit::fetch(object, &self.world, &|at| self.declared.get(at).cloned()).await?;
        self.fetched.insert(name, fetched.clone());
        Ok(fetched)
    }

    /// All Kustomizations that one declares, that those declare, and so on, as far as they are new.
    async fn below(&mut self, draft: &Draft) -> anyhow::Result<Vec<Draft>> {
        let mut found = Vec::new();
        let mut open = VecDeque::from(self.looked_at(draft));
        while let Some(object) = open.pop_front() {
            let live = self.live(object).await?;
            let draft = self.draft(live).await;
            open.extend(self.looked_at(&draft));
            found.push(draft);
        }
        Ok(found)
    }

    /// What a Kustomization wants is known; the Kustomizations that it declares and that are new.
    fn looked_at(&mut self, draft: &Draft) -> Vec<Object> {
        self.around.looked_at(&draft.unit(), draft.promised());
        self.seen.insert(draft.object.id());
        let is_read = |object: &&Object| object.gvk().group == GROUP || object.api_version() == "v1";
        let read = draft.wanted().filter(is_read).filter(|object| object.kind() != "ConfigMap");
        self.declared.extend(read.map(|object| (Reference::of(object), object.clone())));
        kustomizations(draft).into_iter().filter(|object| self.seen.insert(object.id())).collect()
    }

    /// Plans a Kustomization. Where it matters what others want, those are looked at first: of its own source, then all.
    async fn plan(&mut self, draft: &Draft) -> Planned {
        let mut planned = draft.plan(&self.around, &self.world).await;
        let own = unit::source_name(&draft.object);
        for source in [Some(&own), None] {
            let others = if planned.is_unsure { self.around.take_unknown(source) } else { Vec::new() };
            if others.is_empty() {
                continue;
            }
            for other in others {
                let draft = self.draft(other).await;
                self.around.looked_at(&draft.unit(), draft.promised());
            }
            planned = draft.plan(&self.around, &self.world).await;
        }
        if matches!(planned.fate, Fate::Suspended { .. }) {
            planned.fate = Fate::Suspended { is_in_git: !self.suspended.contains(&planned.object) };
        }
        planned
    }

    /// Keeps a plan; does it, in a cluster that only this plan has.
    async fn finished(&mut self, unit: &Unit, planned: Planned) -> anyhow::Result<()> {
        if let (Some(scratch), Fate::Lands(prepared)) = (&self.scratch, &planned.fate) {
            for change in prepared.landing().changes().filter(|change| change.is_written()) {
                apply(scratch, change.desired.object.clone(), &change.desired.manager).await?;
            }
            scratch.call(Call::Discover).await?;
            self.around.landed(unit, prepared.landing());
            self.done.insert(planned.object.clone());
        }
        self.planned.push(planned);
        Ok(())
    }

    /// A declared Kustomization with what the cluster knows of it.
    async fn live(&mut self, declared: Object) -> anyhow::Result<Object> {
        let Some(mut live) = self.world.cluster.get(&Reference::of(&declared)).await? else { return Ok(declared) };
        // What nobody declares stays as somebody has set it, such as `flux suspend`.
        let stays_suspended = is_suspended(&live) && declared.value().pointer("/spec/suspend").is_none();
        live.value_mut()["spec"] = declared.value()["spec"].clone();
        if stays_suspended {
            live.value_mut()["spec"]["suspend"] = true.into();
            self.suspended.insert(live.id());
        }
        let annotations = declared.value().pointer("/metadata/annotations").and_then(Value::as_object);
        for (key, value) in annotations.into_iter().flatten() {
            live.set_annotation(key, value.as_str().unwrap_or_default());
        }
        Ok(live)
    }

    /// A dependency of which the cluster has nothing yet.
    async fn missing(&self, object: &Object) -> anyhow::Result<Option<ObjectId>> {
        for at in dependencies(object) {
            let live = self.world.cluster.get(&at).await?;
            let has_landed = live.is_some_and(|live| live.text("/status/lastAppliedRevision").is_some());
            if !has_landed && !self.done.contains(&at.id()) {
                return Ok(Some(at.id()));
            }
        }
        Ok(None)
    }
}

/// A Kustomization for a folder that none of the cluster is for, named as the folder is.
fn made_for(namespace: &str, checkout: &Checkout) -> anyhow::Result<Object> {
    let name = checkout.folder.file_name().and_then(|name| name.to_str()).unwrap_or("root");
    let source = json!({"kind": "GitRepository", "name": "flux-system"});
    let spec = json!({"interval": "10m", "path": checkout.path(), "prune": false, "sourceRef": source});
    let metadata = json!({"name": name, "namespace": namespace});
    let object = json!({"apiVersion": FLUX, "kind": "Kustomization", "metadata": metadata, "spec": spec});
    Ok(Object::new(object)?)
}

fn is_suspended(object: &Object) -> bool {
    object.value().pointer("/spec/suspend").is_some_and(|suspend| suspend == true)
}

fn path(object: &Object) -> &str {
    object.text("/spec/path").unwrap_or_default()
}

/// Whether a Kustomization is for `folder`, when its source has the files of `root`.
fn leads(object: &Object, root: &Path, folder: &Path) -> bool {
    below(root, path(object)).is_some_and(|path| path == folder)
}

fn kustomizations(draft: &Draft) -> Vec<Object> {
    let flux = draft.wanted().filter(|object| object.kind() == "Kustomization" && object.api_version() == FLUX);
    flux.cloned().collect()
}

/// What a Kustomization depends on.
fn dependencies(object: &Object) -> impl Iterator<Item = Reference> {
    let list = object.value().pointer("/spec/dependsOn").and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|dependency| {
        let namespace = dependency["namespace"].as_str().unwrap_or(object.namespace());
        Some(Reference::new(FLUX, "Kustomization", namespace, dependency["name"].as_str()?))
    })
}

/// Takes the first that depends on no other; of a circle, the first.
fn next(open: &mut Vec<Draft>) -> Option<Draft> {
    let is_open = |at: Reference| open.iter().any(|other| Reference::of(&other.object) == at);
    let free = open.iter().position(|draft| !dependencies(&draft.object).any(is_open));
    (!open.is_empty()).then(|| open.remove(free.unwrap_or(0)))
}
