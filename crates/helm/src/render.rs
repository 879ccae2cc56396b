//! Templates to texts, texts to manifests.

mod context;
mod error;
mod files;
mod functions;
mod glob;
mod toml;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock};

use gotemplate::{Environment, Functions, Known, Limits, MissingKey, Session, Templates};
use memchr::memmem::Finder;

pub use error::TemplateError;
pub(crate) use functions::lenient_functions;

use crate::chart::{Chart, File};
use crate::output::{self, Hook, Manifest, ManifestError};
use crate::values::{self, TypeMismatch, Values, schema};
use crate::{Capabilities, KubeVersion};

/// What a release is rendered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A first installation.
    Install,
    /// A further revision.
    Upgrade,
}

/// How a chart is rendered.
#[derive(Clone, Debug)]
pub struct RenderOptions {
    /// Name of the release.
    pub name: String,
    /// Namespace of the release.
    pub namespace: String,
    /// Revision of the release, from 1; 0 is a look at the chart alone, neither an installation nor an upgrade.
    pub revision: i64,
    /// Installation or upgrade.
    pub action: Action,
    /// What the cluster can do.
    pub capabilities: Capabilities,
    /// A missing value is an error.
    pub is_strict: bool,
    /// Values are not checked against the charts' schemas.
    pub skips_schema: bool,
    /// Notes of dependencies belong to the notes.
    pub with_dependency_notes: bool,
    /// How much the render may cost.
    pub limits: Limits,
}

impl RenderOptions {
    /// The first installation of a release with Helm's defaults.
    pub fn new(name: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            namespace: namespace.into(),
            revision: 1,
            action: Action::Install,
            capabilities: Capabilities::default(),
            is_strict: false,
            skips_schema: false,
            with_dependency_notes: false,
            limits: Limits { depth: MAX_DEPTH, ..Limits::default() },
        }
    }
}

/// How deep templates may include one another. Helm stops at 1000 of one name.
const MAX_DEPTH: u32 = 1100;
/// Stack for that depth, in bytes; what is not used costs nothing.
const STACK: usize = 512 << 20;

/// Templates of the charts that were rendered last: many releases are of a few charts. Trees take about ten times their
/// text.
static KNOWN: LazyLock<Known> = LazyLock::new(|| Known::new(3 << 20));

/// Answers of a cluster to the function `lookup`.
pub trait Lookup: Send + Sync {
    /// An object, or with an empty name a list of them; an empty map when there is none.
    ///
    /// # Errors
    /// Words for the template's error.
    fn lookup(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<serde_json::Value, String>;
}

/// No cluster: nothing is ever found, as in `helm template`.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCluster;

impl Lookup for NoCluster {
    fn lookup(&self, _: &str, _: &str, _: &str, _: &str) -> Result<serde_json::Value, String> {
        Ok(serde_json::Value::Object(serde_json::Map::new()))
    }
}

/// A rendered release.
#[derive(Clone)]
pub struct Rendered {
    /// Manifests in the order of installation.
    pub manifests: Vec<Manifest>,
    /// Hooks in the order of installation; their weights order them per event.
    pub hooks: Vec<Hook>,
    /// `NOTES.txt`.
    pub notes: String,
    /// Custom resource definitions by full path, in Helm's order; they are no templates.
    pub crds: Vec<File>,
    /// The values that the templates saw, defaults included.
    pub values: Values,
    /// The chart as it was rendered: with its dependencies, without those that are off.
    pub chart: Chart,
    /// Functions that were called whose result differs from run to run.
    pub random: Vec<&'static str>,
}

impl Rendered {
    /// The manifests as one text, as the release record holds it. Helm puts the definitions of `crds/` before them
    /// only where it is asked to (`--include-crds`).
    pub fn manifest(&self, with_crds: bool) -> String {
        let mut out = String::with_capacity(self.size(with_crds));
        for crd in self.crds.iter().filter(|_| with_crds) {
            match std::str::from_utf8(&crd.data) {
                Ok(text) => push(&mut out, &crd.name, text),
                Err(_) => push(&mut out, &crd.name, &String::from_utf8_lossy(&crd.data)),
            }
        }
        self.manifests.iter().for_each(|manifest| push(&mut out, &manifest.source, &manifest.text));
        out
    }

    /// About as many bytes as it prints.
    fn size(&self, with_crds: bool) -> usize {
        const AROUND: usize = 16;
        let crds = self.crds.iter().filter(|_| with_crds).map(|crd| crd.name.len() + crd.data.len() + AROUND);
        let hooks = self.hooks.iter().map(|hook| &hook.manifest);
        let texts = self.manifests.iter().chain(hooks);
        crds.chain(texts.map(|manifest| manifest.source.len() + manifest.text.len() + AROUND)).sum()
    }

    /// What `helm template` prints: manifests, then hooks.
    pub fn template_output(&self, with_crds: bool) -> String {
        let mut out = self.manifest(with_crds);
        // It begins with a mark, if with anything.
        out.truncate(out.trim_end().len());
        out.push('\n');
        self.hooks.iter().for_each(|hook| push(&mut out, &hook.manifest.source, &hook.manifest.text));
        out
    }
}

fn push(out: &mut String, source: &str, text: &str) {
    for part in ["---\n# Source: ", source, "\n", text, "\n"] {
        out.push_str(part);
    }
}

/// Why a chart was not rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The chart is for another Kubernetes.
    #[error(
        "chart requires kubeVersion: {constraint} which is incompatible with Kubernetes {}", version.version
    )]
    KubeVersion {
        /// What the chart asks for.
        constraint: String,
        /// What is there.
        version: KubeVersion,
    },
    /// A value stands where a dependency's values must stand.
    #[error(transparent)]
    Values(#[from] TypeMismatch),
    /// The values do not fit the charts' schemas.
    #[error("values don't meet the specifications of the schema(s) in the following chart(s):\n{0}")]
    Schema(schema::SchemaError),
    /// A template is none, or failed.
    #[error(transparent)]
    Template(#[from] Box<TemplateError>),
    /// A rendered document is no manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The render could not begin for want of memory, or ended in the middle.
    #[error("the render could not run")]
    NotRun,
}

/// Renders a chart for these values.
///
/// # Errors
/// The first thing that fails, with its place.
pub fn render(
    chart: &Chart,
    values: &Values,
    options: &RenderOptions,
    lookup: Arc<dyn Lookup>,
    environment: &dyn Environment,
) -> Result<Rendered, RenderError> {
    let chart = chart.with_dependencies(values)?;
    let values = values::coalesce(&chart, values.clone())?;
    if !options.skips_schema {
        schema::check(&chart, &values).map_err(RenderError::Schema)?;
    }
    let constraint = &chart.metadata.kube_version;
    if !constraint.is_empty() && !options.capabilities.kube_version.fits(constraint) {
        let version = options.capabilities.kube_version.clone();
        return Err(RenderError::KubeVersion { constraint: constraint.clone(), version });
    }
    let (mut files, random) = texts(functions::functions(lookup), &chart, &values, options, environment)?;
    let notes = notes(&mut files, &chart, options.with_dependency_notes);
    let (hooks, manifests) = output::sort(files.iter().map(|(path, text)| (path.as_str(), text.as_str())))?;
    let crds = chart.crds();
    Ok(Rendered { manifests, hooks, notes, crds, values, chart, random })
}

/// Rendered texts by full path.
type Texts = BTreeMap<String, String>;

/// Renders all templates of a chart as they are, without looking at what they say; names the random functions that were
/// called. Runs on a stack that is large enough for templates that include one another.
///
/// # Errors
/// The first template that fails, in Helm's order.
pub(crate) fn texts(
    functions: Functions,
    chart: &Chart,
    values: &Values,
    options: &RenderOptions,
    environment: &dyn Environment,
) -> Result<(Texts, Vec<&'static str>), RenderError> {
    let run = || stacker::grow(STACK, || execute(functions, chart, values, options, environment));
    let rendered = std::panic::catch_unwind(AssertUnwindSafe(run)).map_err(|_| RenderError::NotRun)?;
    rendered.map_err(RenderError::Template)
}

fn execute(
    functions: Functions,
    chart: &Chart,
    values: &Values,
    options: &RenderOptions,
    environment: &dyn Environment,
) -> Result<(Texts, Vec<&'static str>), Box<TemplateError>> {
    let missing = if options.is_strict { MissingKey::Error } else { MissingKey::Zero };
    let mut templates = Templates::new("gotpl", functions).missing_key(missing);
    let mut renderables = context::renderables(chart, values, options);
    // Deeper ones first, so that a chart's own definitions win over those of its dependencies.
    renderables.sort_by(|left, right| order(&right.path).cmp(&order(&left.path)));
    for renderable in &renderables {
        let parsed = templates.parse_known(&renderable.path, &renderable.text, &KNOWN);
        parsed.map_err(|error| Box::new(TemplateError::parse(&renderable.path, &error)))?;
    }
    let mut session = Session::new(environment, options.limits);
    let mut texts = Texts::new();
    for renderable in renderables {
        if gotemplate::go::path::base(&renderable.path).starts_with('_') {
            continue;
        }
        let executed = templates.execute(&renderable.path, &renderable.data(), &mut session);
        let text = executed.map_err(|failed| Box::new(TemplateError::execute(&renderable.path, &failed.error)))?;
        let text = without_no_value(text);
        let text = String::from_utf8(text).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned());
        texts.insert(renderable.path, text);
    }
    Ok((texts, session.random().to_vec()))
}

fn order(path: &str) -> (usize, &str) {
    (path.bytes().filter(|byte| *byte == b'/').count(), path)
}

/// Go prints `<no value>` for what is not there; Helm takes it out, whoever wrote it.
fn without_no_value(text: Vec<u8>) -> Vec<u8> {
    const NO_VALUE: &[u8] = b"<no value>";
    let finder = Finder::new(NO_VALUE);
    if finder.find(&text).is_none() {
        return text;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_slice();
    while let Some(at) = finder.find(rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + NO_VALUE.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Takes the notes out of the rendered files.
fn notes(files: &mut Texts, chart: &Chart, with_dependencies: bool) -> String {
    let own = format!("{}/templates/NOTES.txt", chart.name());
    let mut notes = Vec::new();
    files.retain(|path, text| {
        if !path.ends_with("NOTES.txt") {
            return true;
        }
        if with_dependencies || *path == own {
            notes.push(std::mem::take(text));
        }
        false
    });
    notes.join("\n")
}

/// The text of every template as it is, without looking at what it says: no dependency is turned off, nothing is
/// checked, split or sorted.
///
/// # Errors
/// The first template that fails, in Helm's order.
pub fn render_texts(
    chart: &Chart,
    values: &Values,
    options: &RenderOptions,
    environment: &dyn Environment,
) -> Result<BTreeMap<String, String>, RenderError> {
    texts(functions::functions(Arc::new(NoCluster)), chart, values, options, environment).map(|(texts, _)| texts)
}
