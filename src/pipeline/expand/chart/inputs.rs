//! What a render reads: values, capabilities, and what templates look up.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use apply::cluster::Capabilities;
use apply::{Cluster, Reference, Selection};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helm::record::History;
use helm::values::Values;
use helm::{Action, KubeVersion, Lookup};
use manifest::{Gvk, Object};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use super::locate::Opener;
use super::{Located, Problem, Stage, Turn, Work};
use crate::api::condition::reason;
use crate::api::helm::ValuesSource;
use crate::pipeline::compile::values_of;
use crate::pipeline::expand::Known;
use crate::pipeline::object_version;
use crate::redact::{Live, Redactor};
use crate::render::values::{self, Content, Part};
use crate::render::{self, Product};
use crate::system::System;
use crate::unit::Thing;

/// Reason of a HelmRelease whose values cannot be had.
const VALUES_ERROR: &str = "ValuesError";

impl Work<'_> {
    /// The values of a release.
    pub(super) async fn values(&mut self, turn: &Turn<'_>) -> Result<Values, Problem> {
        let mut parts = Vec::new();
        for source in &turn.spec.values_from {
            let content = self.content(turn, source).await?;
            if let Content::Found(bytes) = &content
                && sops::detect(bytes).is_some()
            {
                return Err(sealed(turn, source));
            }
            parts.push(Part { source, content });
        }
        let inline = turn.spec.values.as_ref().map(|values| values.expose());
        values::compose(turn.object.namespace(), inline, &parts)
            .map_err(|error| Problem { why: Some(VALUES_ERROR), ..turn.problem(&error) })
    }

    /// What one reference leads to: in the candidate, else in the cluster.
    async fn content(&mut self, turn: &Turn<'_>, source: &ValuesSource) -> Result<Content, Problem> {
        let at = Reference::new("v1", values::kind_of(source), turn.object.namespace(), &source.name);
        let found = match self.known.get(&at.id()) {
            Some(known) => Some(known.clone()),
            None => {
                let read = self.world.cluster.get(&at).await;
                let read = read.map_err(|error| Problem::cluster(Stage::Render, &error))?;
                self.read_set.note(Thing::object(&at), object_version(read.as_ref()));
                read
            }
        };
        let Some(object) = found else { return Ok(Content::NoObject) };
        let key = values::key_of(source);
        if object.is_secret() {
            let found = values_of(&object).into_iter().find(|(name, _)| name == key);
            let Some((_, bytes)) = found else { return Ok(Content::NoKey) };
            self.secrets.push(witness(&bytes, &self.world.redactor));
            return Ok(Content::Found(bytes));
        }
        let text = object.value().get("data").and_then(|data| data.get(key)).and_then(Value::as_str);
        Ok(text.map_or(Content::NoKey, |text| Content::Found(text.as_bytes().to_vec())))
    }

    /// Renders a release.
    pub(super) async fn render(
        &mut self,
        turn: &Turn<'_>,
        history: &History,
        located: Located,
        values: Values,
        action: Action,
    ) -> Result<Product, Problem> {
        let opener = Opener::new(self.identities.clone(), self.world.redactor.clone());
        let (loaded, mut seen) = located.load(opener).await;
        self.secrets.append(&mut seen);
        let chart = loaded.map_err(|(message, transient)| Problem {
            transient,
            why: Some(reason::ARTIFACT_FAILED),
            ..Problem::about(Stage::Render, turn.object, message)
        })?;
        let (why, word) = match action {
            Action::Install => (reason::INSTALL_FAILED, "install"),
            Action::Upgrade => (reason::UPGRADE_FAILED, "upgrade"),
        };
        let (name, version) = (chart.name().to_owned(), chart.metadata.version.clone());
        let told = format!(
            "Helm {word} failed for release {}/{} with chart {name}@{version}",
            turn.target.namespace, turn.target.name
        );
        let capabilities = self.capabilities().await?;
        let lookup = Arc::new(ClusterLookup {
            runtime: Handle::current(),
            cluster: self.cluster.clone(),
            known: self.known.clone(),
            redactor: self.world.redactor.clone(),
            seen: Mutex::default(),
        });
        let (target, common) = (turn.target.clone(), turn.spec.common_metadata.clone());
        let (revision, answers) = (history.next_revision(), lookup.clone());
        let rendered = tokio::task::spawn_blocking(move || {
            render::render(render::Request {
                chart,
                values,
                target,
                revision,
                action,
                capabilities,
                common: common.as_ref(),
                lookup: answers,
                environment: &System,
            })
        })
        .await;
        self.secrets.append(&mut lookup.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let rendered =
            rendered.map_err(|_| Problem::about(Stage::Render, turn.object, "the render ended unexpectedly"))?;
        rendered.map_err(|error| {
            let problem = turn.problem(&error);
            Problem { why: Some(why), message: format!("{told}: {}", problem.message), ..problem }
        })
    }

    /// What the cluster can do, with what the unit's own definitions add.
    async fn capabilities(&mut self) -> Result<helm::Capabilities, Problem> {
        if self.capabilities.is_none() {
            let asked = self.world.cluster.capabilities().await;
            self.capabilities = Some(asked.map_err(|error| Problem::cluster(Stage::Render, &error))?);
        }
        let Some(Capabilities { version, kinds }) = &self.capabilities else {
            return Ok(helm::Capabilities::default());
        };
        let mut versions = BTreeSet::new();
        for gvk in kinds.iter().cloned().chain(self.known.values().flat_map(defined_kinds)) {
            versions.insert(gvk.api_version());
            versions.insert(format!("{}/{}", gvk.api_version(), gvk.kind));
        }
        let plain = helm::Capabilities::default();
        let kube_version = KubeVersion::parse(version).unwrap_or(plain.kube_version);
        Ok(helm::Capabilities { kube_version, api_versions: versions.into_iter().collect(), ..plain })
    }
}

/// Makes a document of values known to the redactor: as a whole, and each of its texts.
/// Values that nobody has opened. Flux hands the ciphertext to templates.
fn sealed(turn: &Turn<'_>, source: &ValuesSource) -> Problem {
    let place = format!("{} '{}/{}'", values::kind_of(source), turn.object.namespace(), source.name);
    let message = format!("values of {place} are SOPS encrypted: key '{}'", values::key_of(source));
    Problem { why: Some(VALUES_ERROR), ..Problem::about(Stage::Render, turn.object, message) }
}

fn witness(document: &[u8], redactor: &Redactor) -> Live {
    let mut texts = vec![document.to_vec()];
    if let Ok(value) = yaml::from_str(&String::from_utf8_lossy(document)) {
        collect(&value, &mut texts);
    }
    redactor.register(texts.iter().map(Vec::as_slice))
}

fn collect(value: &Value, texts: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => texts.push(text.as_bytes().to_vec()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(map) => map.values().for_each(|value| collect(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The kinds that a definition makes known.
fn defined_kinds(object: &Object) -> Vec<Gvk> {
    let (Some(group), Some(kind)) = (object.text("/spec/group"), object.text("/spec/names/kind")) else {
        return Vec::new();
    };
    if object.kind() != "CustomResourceDefinition" {
        return Vec::new();
    }
    let versions = object.value().pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    let served = versions.filter(|version| version.get("served") == Some(&Value::Bool(true)));
    let names = served.filter_map(|version| version.get("name")?.as_str());
    names.map(|version| Gvk { group: group.into(), version: version.into(), kind: kind.into() }).collect()
}

/// Answers `lookup` as the release's user: an object of the candidate before the cluster's. Nothing of it is an input of
/// the landing: Flux does not render anew either when what was looked up changes.
struct ClusterLookup {
    runtime: Handle,
    cluster: Arc<dyn Cluster>,
    known: Known,
    redactor: Redactor,
    /// Keeps the values of Secrets that were seen known to the redactor.
    seen: Mutex<Vec<Live>>,
}

impl Lookup for ClusterLookup {
    fn lookup(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Value, String> {
        let nothing = || Value::Object(Map::new());
        if name.is_empty() {
            let selection = Selection::all(api_version, kind);
            let selection = if namespace.is_empty() { selection } else { selection.within(namespace) };
            let objects = self.runtime.block_on(self.cluster.list(&selection)).map_err(|error| error.to_string())?;
            let items: Vec<Value> = objects.iter().map(|object| self.shown(object)).collect();
            return Ok(
                json!({"apiVersion": api_version, "kind": format!("{kind}List"), "metadata": {}, "items": items}),
            );
        }
        let at = Reference::new(api_version, kind, namespace, name);
        if let Some(known) = self.known.get(&at.id()) {
            return Ok(self.shown(known));
        }
        let found = self.runtime.block_on(self.cluster.get(&at)).map_err(|error| error.to_string())?;
        Ok(found.map_or_else(nothing, |object| self.shown(&object)))
    }
}

impl ClusterLookup {
    /// The object as a server shows it: the texts of a Secret are encoded.
    fn shown(&self, object: &Object) -> Value {
        let mut value = object.value().clone();
        if !object.is_secret() {
            return value;
        }
        let values = values_of(object);
        let live = self.redactor.register(values.iter().map(|(_, bytes)| bytes.as_slice()));
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(live);
        let data: Map<String, Value> =
            values.into_iter().map(|(key, bytes)| (key, STANDARD.encode(bytes).into())).collect();
        if let Some(map) = value.as_object_mut() {
            map.remove("stringData");
            map.insert("data".into(), Value::Object(data));
        }
        value
    }
}
