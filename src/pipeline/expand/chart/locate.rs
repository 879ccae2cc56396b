//! Which chart a HelmRelease means: its version, and where to load it from.

use std::sync::{Arc, Mutex, PoisonError};

use apply::Reference;
use helm::values::{Values, merge_maps};
use helm::{Chart, ChartError};
use manifest::{Files, Object, Purpose};
use serde_json::Value;
use sops::Plain;
use zeroize::Zeroizing;

use super::{Problem, Stage};
use crate::api::Kind;
use crate::api::condition::reason;
use crate::api::helm::{ChartTemplateSpec, HelmReleaseSpec};
use crate::api::source::{GitRepository, HelmRepository, ReconcileStrategy};
use crate::artifact::Trust;
use crate::decrypt::{self, Identities};
use crate::pipeline::World;
use crate::pipeline::expand::Own;
use crate::pipeline::sources::{self, Charts, Failure, Fetched, Known, SourceName};
use crate::redact::{Live, Redactor};
use crate::source::helm::{self as repository, ChartVersion};
use crate::unit::digest;

/// A chart that is known by name and version.
pub(super) struct Located {
    /// Name, as its `Chart.yaml` says.
    pub(super) name: String,
    /// Version, with what Flux appends to it.
    pub(super) version: String,
    place: Place,
    values_files: ValuesFiles,
}

enum Place {
    Archive { charts: Charts, chosen: ChartVersion },
    Loaded { chart: Box<Chart>, files: Arc<dyn Files> },
}

#[derive(Clone, Default)]
struct ValuesFiles {
    names: Vec<String>,
    ignore_missing: bool,
}

/// Finds the chart of a HelmRelease.
///
/// # Errors
/// When its source is not there, or has no such chart.
pub(super) async fn locate(
    object: &Object,
    spec: &HelmReleaseSpec,
    world: &World,
    known: Known<'_>,
    own: Own<'_>,
) -> Result<Located, Problem> {
    let finder = Finder { object, world, known, own };
    let Some(chart) = spec.chart.as_ref().map(|template| &template.spec) else {
        return Err(finder.problem(false, "not supported yet: spec.chartRef".into()));
    };
    match chart.source_ref.kind.as_str() {
        "HelmRepository" => finder.in_repository(chart).await,
        _ => finder.in_files(chart).await,
    }
}

struct Finder<'a> {
    object: &'a Object,
    world: &'a World,
    known: Known<'a>,
    own: Own<'a>,
}

impl Finder<'_> {
    fn problem(&self, transient: bool, message: String) -> Problem {
        let problem = Problem::about(Stage::Render, self.object, message);
        Problem { transient, why: Some(reason::ARTIFACT_FAILED), ..problem }
    }

    fn source(&self, chart: &ChartTemplateSpec) -> Result<SourceName, Problem> {
        let own = self.object.namespace();
        let reference = &chart.source_ref;
        let namespace = reference.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(own);
        if namespace != own && self.world.settings.no_cross_namespace_refs {
            let message = format!(
                "can't access '{}/{namespace}/{}', cross-namespace references have been blocked",
                reference.kind, reference.name
            );
            return Err(Problem { why: Some(reason::ACCESS_DENIED), ..self.problem(false, message) });
        }
        Ok((reference.kind.clone(), namespace.to_owned(), reference.name.clone()))
    }

    async fn in_repository(&self, chart: &ChartTemplateSpec) -> Result<Located, Problem> {
        let name = self.source(chart)?;
        let charts = match self.declared::<HelmRepository>(&name).await? {
            Some(declared) => {
                sources::helm::fetch(&declared, self.world, self.known).await.map_err(|f| self.failed(&f))?
            }
            None => self.world.sources.charts(&name).ok_or_else(|| self.waits(&name))?,
        };
        let range = chart.version.as_deref().unwrap_or_default();
        let chosen = charts.index.choose(&chart.chart, range);
        let missing = |problem: String| Problem { why: Some(reason::SOURCE_NOT_READY), ..self.problem(false, problem) };
        let chosen = chosen.map_err(|error| missing(error.to_string()))?.clone();
        let values_files = ValuesFiles::of(chart);
        let version = values_files.marked(&chosen.version);
        Ok(Located { name: chosen.name.clone(), version, place: Place::Archive { charts, chosen }, values_files })
    }

    async fn in_files(&self, chart: &ChartTemplateSpec) -> Result<Located, Problem> {
        let name = self.source(chart)?;
        let fetched = match self.declared::<GitRepository>(&name).await? {
            Some(declared) => self.fetch_files(&name, &declared).await?,
            None => self.world.sources.files(&name).ok_or_else(|| self.waits(&name))?,
        };
        let is_revised = chart.reconcile_strategy == ReconcileStrategy::Revision;
        let files = self.files(&name, &fetched, is_revised);
        let path = manifest::normalize("", &chart.chart).map_err(|error| self.problem(false, error.to_string()))?;
        let (tree, shown) = (files.clone(), path.clone());
        let loaded = tokio::task::spawn_blocking(move || Chart::load(tree.as_ref(), &path)).await;
        let loaded = loaded.map_err(|_| self.problem(true, "reading the chart ended unexpectedly".into()))?;
        let loaded = loaded.map_err(|error| self.problem(false, format!("chart '{shown}': {error}")))?;
        let values_files = ValuesFiles::of(chart);
        let mut version = loaded.metadata.version.clone();
        if is_revised {
            version = appended(&version, &short_revision(&fetched.revision));
        }
        let version = values_files.marked(&version);
        let place = Place::Loaded { chart: Box::new(loaded), files };
        Ok(Located { name: place.name(), version, place, values_files })
    }

    /// The files of a source: those that the unit is built from are looked at as they are by the build.
    fn files(&self, name: &SourceName, fetched: &Fetched, is_revised: bool) -> Arc<dyn Files> {
        let Some((_, looked)) = self.own.filter(|(own, looked)| *own == name && looked.is_of(fetched.verified.files()))
        else {
            return fetched.verified.files().clone();
        };
        if is_revised {
            looked.bind();
        }
        looked.clone()
    }

    /// A source of the candidate that the cluster does not have in this form: fetching it cannot wait for the landing.
    async fn declared<K: Kind>(&self, name: &SourceName) -> Result<Option<Object>, Problem> {
        let at = Reference::new(K::API_VERSION, K::KIND, &name.1, &name.2);
        let Some(declared) = (self.known)(&at) else { return Ok(None) };
        let unsupported = K::unsupported(declared.value());
        if !unsupported.is_empty() {
            let message = format!("{} not supported yet: {}", declared.id(), unsupported.join(", "));
            return Err(Problem { why: Some(reason::UNSUPPORTED), ..self.problem(false, message) });
        }
        let live = self.world.cluster.get(&at).await;
        let live = live.map_err(|error| self.problem(error.is_transient(), error.to_string()))?;
        let is_same = live.is_some_and(|live| covers(live.value().get("spec"), declared.value().get("spec")));
        let is_fetched = self.world.sources.version(name).is_some();
        Ok((!is_same || !is_fetched).then_some(declared))
    }

    async fn fetch_files(&self, name: &SourceName, declared: &Object) -> Result<Fetched, Problem> {
        let fetched = sources::git::fetch(name, declared, None, self.world, self.known).await;
        let revision = fetched.map_err(|failure| self.failed(&failure))?.ok_or_else(|| self.waits(name))?;
        let sources::git::Revision { artifact, digest, secrets, .. } = revision;
        let revision = artifact.revision.clone();
        let Ok(verified) = Arc::new(artifact).verify(&Trust::None);
        Ok(Fetched { name: name.clone(), revision, digest, verified, secrets })
    }

    fn failed(&self, failure: &Failure) -> Problem {
        self.problem(true, failure.message.clone())
    }

    fn waits(&self, name: &SourceName) -> Problem {
        let (kind, namespace, name) = name;
        let message = format!("{kind} '{namespace}/{name}' is not ready: it was not fetched yet");
        Problem { why: Some(reason::SOURCE_NOT_READY), ..self.problem(true, message) }
    }
}

impl Place {
    fn name(&self) -> String {
        match self {
            Self::Archive { chosen, .. } => chosen.name.clone(),
            Self::Loaded { chart, .. } => chart.name().to_owned(),
        }
    }
}

impl Located {
    /// What a read-set notes of it.
    pub(super) fn version_key(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Downloads and reads the chart; beside it, what keeps the values that were decrypted known to the redactor.
    ///
    /// # Errors
    /// In words: what failed, and whether it may pass.
    pub(super) async fn load(self, opener: Opener) -> (Result<Chart, (String, bool)>, Vec<Live>) {
        let archive = match &self.place {
            Place::Loaded { .. } => Ok(None),
            Place::Archive { charts, chosen } => {
                repository::chart(&charts.client, &charts.repository, chosen).await.map(Some)
            }
        };
        let archive = match archive {
            Ok(archive) => archive.map(|archive| archive.bytes),
            Err(error) => return (Err((chain(&error), true)), Vec::new()),
        };
        let read = tokio::task::spawn_blocking(move || {
            let chart = self.read(archive, &opener);
            (chart.map_err(|problem| (problem, false)), opener.seen.into_inner().unwrap_or_default())
        });
        read.await.unwrap_or_else(|_| (Err(("reading the chart ended unexpectedly".to_owned(), true)), Vec::new()))
    }

    /// Reads the chart, on a thread that may block.
    fn read<A: AsRef<[u8]>>(self, archive: Option<A>, opener: &Opener) -> Result<Chart, String> {
        let (mut chart, files) = match (self.place, archive) {
            (Place::Loaded { chart, files }, _) => (*chart, Some(files)),
            (Place::Archive { .. }, archive) => {
                let bytes = archive.ok_or("the chart was not downloaded")?;
                (Chart::from_archive(bytes.as_ref()).map_err(|error: ChartError| error.to_string())?, None)
            }
        };
        chart.metadata.version = self.version;
        self.values_files.apply(&mut chart, files.as_deref(), opener)?;
        Ok(chart)
    }
}

/// Opens values files that are encrypted with SOPS, which Flux hands to templates as they are.
pub(super) struct Opener {
    /// Of the Kustomization that the HelmRelease is an object of.
    identities: Option<Arc<Identities>>,
    redactor: Redactor,
    seen: Mutex<Vec<Live>>,
}

impl Opener {
    pub(super) fn new(identities: Option<Arc<Identities>>, redactor: Redactor) -> Self {
        Self { identities, redactor, seen: Mutex::default() }
    }

    /// The text of a file of a name, opened where it is encrypted.
    fn text(&self, name: &str, bytes: &[u8]) -> Result<Zeroizing<String>, String> {
        let keep = |value: &[u8]| {
            let live = self.redactor.register([value]);
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(live);
        };
        let opened = decrypt::values(name, bytes, self.identities.as_deref(), &keep)?;
        let text = std::str::from_utf8(opened.as_ref().map_or(bytes, Plain::bytes));
        Ok(Zeroizing::new(text.map_err(|_| "not UTF-8")?.to_owned()))
    }
}

impl ValuesFiles {
    fn of(chart: &ChartTemplateSpec) -> Self {
        Self { names: chart.values_files.clone(), ignore_missing: chart.ignore_missing_values_files }
    }

    /// The version with a mark of the files: with other files it is another chart. Flux marks it with the generation of
    /// its HelmChart object, which there is none of here.
    fn marked(&self, version: &str) -> String {
        if self.names.is_empty() {
            return version.to_owned();
        }
        let text = format!("{:?} {}", self.names, self.ignore_missing);
        appended(version, &digest(text.as_bytes())[..12])
    }

    /// Puts the files' values in the place of the chart's own.
    fn apply(&self, chart: &mut Chart, source: Option<&dyn Files>, opener: &Opener) -> Result<(), String> {
        if self.names.is_empty() {
            return refuse_sealed(&chart.values);
        }
        let mut merged = Values::new();
        for name in &self.names {
            match read_values(name, chart, source, opener) {
                Ok(values) => merged = merge_maps(merged, values),
                Err(None) if self.ignore_missing => {}
                Err(None) => return Err(format!("no values file found at path '{name}'")),
                Err(Some(problem)) => return Err(format!("values file '{name}': {problem}")),
            }
        }
        chart.values = merged;
        Ok(())
    }
}

/// A chart's own values are read with the chart, and cannot be opened any more.
fn refuse_sealed(values: &Values) -> Result<(), String> {
    let is_sealed = values.get("sops").is_some_and(|sops| sops.get("mac").is_some());
    if is_sealed {
        return Err("the chart's values.yaml is SOPS encrypted: name it in spec.chart.spec.valuesFiles".to_owned());
    }
    Ok(())
}

/// The values of a file of the source, or of the chart itself; `Err(None)` when there is no such file.
fn read_values(
    name: &str,
    chart: &Chart,
    source: Option<&dyn Files>,
    opener: &Opener,
) -> Result<Values, Option<String>> {
    let text = match source {
        Some(files) => {
            let path = manifest::normalize("", name).map_err(|error| Some(error.to_string()))?;
            if files.kind(&path).map_err(|error| Some(error.to_string()))?.is_none() {
                return Err(None);
            }
            let content = files.read(&path, Purpose::Recipe).map_err(|error| Some(error.to_string()))?;
            opener.text(name, content.bytes())
        }
        None if name == "values.yaml" => {
            return refuse_sealed(&chart.values).map(|()| chart.values.clone()).map_err(Some);
        }
        None => {
            let file = chart.files.iter().find(|file| file.name == name).ok_or(None)?;
            opener.text(name, &file.data)
        }
    };
    helm::values::from_yaml(&text.map_err(Some)?).map_err(|error| Some(error.to_string()))
}

/// A version with more build metadata.
fn appended(version: &str, mark: &str) -> String {
    let separator = if version.contains('+') { '.' } else { '+' };
    format!("{version}{separator}{mark}")
}

/// The first twelve digits of the hash in a revision.
fn short_revision(revision: &str) -> String {
    let hash = revision.rsplit_once(':').map_or(revision, |(_, hash)| hash);
    hash.chars().take(12).collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |message, cause| format!("{message}: {cause}"))
}

/// Whether all that `wanted` says is so in `live`, which may say more: defaults.
fn covers(live: Option<&Value>, wanted: Option<&Value>) -> bool {
    match (live, wanted) {
        (_, None) => true,
        (Some(Value::Object(live)), Some(Value::Object(wanted))) => {
            wanted.iter().all(|(key, wanted)| covers(live.get(key), Some(wanted)))
        }
        (live, wanted) => live == wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn marks_are_appended_to_a_version_as_build_metadata() {
        assert_eq!(appended("1.2.3", &short_revision("main@sha1:0123456789abcdef")), "1.2.3+0123456789ab");
        assert_eq!(appended("1.2.3+a", "b"), "1.2.3+a.b");
    }

    #[test]
    fn a_live_object_covers_a_declared_one_when_it_only_says_more() {
        let declared = json!({"url": "https://a", "secretRef": {"name": "x"}});
        assert!(covers(
            Some(&json!({"url": "https://a", "secretRef": {"name": "x"}, "provider": "generic"})),
            Some(&declared)
        ));
        assert!(!covers(Some(&json!({"url": "https://b", "secretRef": {"name": "x"}})), Some(&declared)));
        assert!(!covers(None, Some(&declared)));
    }
}
