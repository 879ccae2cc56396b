//! Which Kustomizations are planned, in which order, with which files.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use apply::{Call, Cluster, ClusterError, Reference, Selection};
use manifest::{Object, ObjectId};
use serde_json::{Value, json};

use super::checkout::{Checkout, below};
use super::unit::{self, Fate, Planned};
use super::{FLUX, apply};
use crate::pipeline::World;
use crate::pipeline::sources::nothing_known;

/// Plans that are being made.
pub(super) struct Planning {
    world: World,
    /// A cluster in memory, in which what is planned is done, so that what depends on it finds it.
    scratch: Option<Arc<dyn Cluster>>,
    /// Kustomizations whose objects are in that cluster.
    done: BTreeSet<ObjectId>,
    planned: Vec<Planned>,
}

impl Planning {
    pub(super) fn new(world: World, scratch: Option<Arc<dyn Cluster>>) -> Self {
        Self { world, scratch, done: BTreeSet::new(), planned: Vec::new() }
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
        let source = match files {
            Some(files) => {
                let checkout = Checkout::open(files, |root, folder| leads(&object, root, folder))?;
                object.value_mut()["spec"]["path"] = checkout.path().into();
                Ok(checkout.as_source(unit::source_name(&object)))
            }
            None => unit::fetch(&object, &self.world, &nothing_known).await,
        };
        let planned = match source {
            Ok(source) => unit::plan(&object, &source, &self.world).await,
            Err(issue) => Planned::new(&object, "", Fate::Fails(vec![issue])),
        };
        self.planned.push(planned);
        Ok(())
    }

    /// The Kustomization that a folder is for, and all that are declared there, there again, and so on.
    pub(super) async fn folder(&mut self, namespace: &str, folder: &Path) -> anyhow::Result<()> {
        let known = match self.world.cluster.list(&Selection::all(FLUX, "Kustomization").within(namespace)).await {
            Err(ClusterError::NoKind { .. }) => Vec::new(),
            known => known?,
        };
        let for_known = |root: &Path, folder: &Path| known.iter().any(|object| leads(object, root, folder));
        let checkout = Checkout::open(folder, for_known)?;
        let is_known = for_known(&checkout.root, &checkout.folder);
        let checkout = if is_known { checkout } else { checkout.enter()? };
        let own = known.iter().find(|own| leads(own, &checkout.root, &checkout.folder));
        let made = own.is_none();
        let own = own.map_or_else(|| made_for(namespace, &checkout), |own| Ok(own.clone()))?;
        let mut planned = unit::plan(&own, &checkout.as_source(unit::source_name(&own)), &self.world).await;
        let declared = kustomizations(&planned.wanted);
        let checkout = checkout.rooted(&declared.iter().map(path).collect::<Vec<_>>())?;
        // `flux bootstrap` declares the Kustomization of a cluster's folder in that folder.
        let bootstrapped = declared.iter().find(|object| leads(object, &checkout.root, &checkout.folder));
        let own = match bootstrapped.filter(|_| made) {
            Some(declared) => {
                planned = unit::plan(declared, &checkout.as_source(unit::source_name(declared)), &self.world).await;
                declared.clone()
            }
            None if made => {
                planned.warnings.push("no Kustomization has this path: planned as if one had, with defaults".into());
                own
            }
            None => own,
        };
        let is_here = |object: &&Object| below(&checkout.root, path(object)).is_some_and(|path| path.is_dir());
        let first = declared.iter().find(is_here).filter(|_| made && bootstrapped.is_none());
        let local = unit::source_name(first.unwrap_or(&own));
        self.finished(planned).await?;
        self.declared(declared, own.id(), &checkout, &local).await
    }

    /// Kustomizations that others declare, each after those that it depends on. Those of the source `local` have the
    /// files of the checkout.
    async fn declared(
        &mut self,
        mut open: Vec<Object>,
        own: ObjectId,
        checkout: &Checkout,
        local: &(String, String, String),
    ) -> anyhow::Result<()> {
        let mut seen = BTreeSet::from([own]);
        open.retain(|object| seen.insert(object.id()));
        while let Some(object) = next(&mut open) {
            let object = self.live(object).await?;
            let source = match unit::source_name(&object) {
                name if name == *local => Ok(checkout.as_source(name)),
                _ => unit::fetch(&object, &self.world, &|at| self.wanted(at)).await,
            };
            let planned = match (source, self.missing(&object).await?) {
                (Ok(source), Some(dependency)) => unit::wait(&object, &source, &dependency, &self.world).await,
                (Ok(source), None) => unit::plan(&object, &source, &self.world).await,
                (Err(issue), _) => Planned::new(&object, "", Fate::Fails(vec![issue])),
            };
            let more = kustomizations(&planned.wanted);
            open.extend(more.into_iter().filter(|object| seen.insert(object.id())));
            self.finished(planned).await?;
        }
        Ok(())
    }

    /// An object that a plan would write.
    fn wanted(&self, at: &Reference) -> Option<Object> {
        let mut wanted = self.planned.iter().flat_map(|planned| &planned.wanted);
        wanted.find(|object| Reference::of(object) == *at).cloned()
    }

    /// Keeps a plan; does it, in a cluster that only this plan has.
    async fn finished(&mut self, planned: Planned) -> anyhow::Result<()> {
        if let (Some(scratch), Fate::Lands(prepared)) = (&self.scratch, &planned.fate) {
            for change in prepared.landing().changes().filter(|change| change.is_written()) {
                apply(scratch, change.desired.object.clone(), &change.desired.manager).await?;
            }
            scratch.call(Call::Discover).await?;
            self.done.insert(planned.object.clone());
        }
        self.planned.push(planned);
        Ok(())
    }

    /// A declared Kustomization with what the cluster knows of it.
    async fn live(&self, declared: Object) -> anyhow::Result<Object> {
        let Some(mut live) = self.world.cluster.get(&Reference::of(&declared)).await? else { return Ok(declared) };
        live.value_mut()["spec"] = declared.value()["spec"].clone();
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

fn path(object: &Object) -> &str {
    object.text("/spec/path").unwrap_or_default()
}

/// Whether a Kustomization is for `folder`, when its source has the files of `root`.
fn leads(object: &Object, root: &Path, folder: &Path) -> bool {
    below(root, path(object)).is_some_and(|path| path == folder)
}

fn kustomizations(objects: &[Object]) -> Vec<Object> {
    let flux = objects.iter().filter(|object| object.kind() == "Kustomization" && object.api_version() == FLUX);
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
fn next(open: &mut Vec<Object>) -> Option<Object> {
    let is_open = |at: Reference| open.iter().any(|other| Reference::of(other) == at);
    let free = open.iter().position(|object| !dependencies(object).any(is_open));
    (!open.is_empty()).then(|| open.remove(free.unwrap_or(0)))
}
