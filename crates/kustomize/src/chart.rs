//! Helm charts, rendered by whoever the caller names.

use manifest::{EntryKind, Files, FilesError, Purpose};
use serde_json::{Map, Value};

use crate::documents::{self, Wording};
use crate::error::{Errors, Problem};
use crate::kustomization::{HelmChart, HelmGlobals};
use crate::loader::Folder;
use crate::resource::Resource;
use crate::strategic::Outcome;
use crate::{facts, output, patch, strategic, tree};

/// Renders charts for a build.
pub trait Charts: Send + Sync {
    /// The text that `helm template` prints. A chart with a folder lies in `files`.
    ///
    /// # Errors
    /// When the chart cannot be had or rendered; the text must show no value.
    fn render(&self, chart: &Chart, files: &dyn Files) -> Result<String, Box<dyn std::error::Error + Send + Sync>>;

    /// A file of a chart that does not lie in the tree, by its path below the chart's folder; `None` where it has none.
    ///
    /// # Errors
    /// When the chart cannot be had.
    fn file(&self, chart: &Chart, path: &str) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>>;
}

/// A chart that a kustomization names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// Folder of the chart within the tree, when it lies there.
    pub folder: Option<String>,
    /// Name of the chart.
    pub name: String,
    /// Version; empty for the newest.
    pub version: String,
    /// Repository: an `https` or `oci` address; empty for a chart of the tree.
    pub repository: String,
    /// Release name; empty when helm is to make one up.
    pub release: String,
    /// Namespace; empty for the default one.
    pub namespace: String,
    /// Values, merged as the kustomization says.
    pub values: Value,
    /// Paths and texts of further values files, in order.
    pub values_files: Vec<(String, String)>,
    /// `--include-crds`
    pub include_crds: bool,
    /// `--no-hooks`
    pub skip_hooks: bool,
    /// `--skip-tests`
    pub skip_tests: bool,
    /// `--api-versions`
    pub api_versions: Vec<String>,
    /// `--kube-version`
    pub kube_version: String,
    /// `--name-template`
    pub name_template: String,
    /// `--devel`
    pub devel: bool,
}

/// Renders a chart into objects.
pub(crate) fn inflate(
    globals: &HelmGlobals,
    chart: &HelmChart,
    folder: &Folder<'_>,
    file: &str,
) -> Result<Vec<Resource>, Errors> {
    let Some(charts) = folder.options().charts else { return Err(Errors::one(file, Problem::ChartsForbidden)) };
    let fail = |reason: String| Errors::one(file, Problem::Chart { chart: chart.name.clone(), reason });
    if chart.name.is_empty() {
        return Err(fail("chart name cannot be empty".into()));
    }
    if !["", "merge", "override", "replace"].contains(&chart.values_merge.as_str()) {
        return Err(fail("valuesMerge must be one of [merge override replace]".into()));
    }
    let (mut request, local) = request(globals, chart, folder, file)?;
    request.values = values(chart, file, || {
        let entry = match chart.values_file.as_str() {
            "" => format!("{local}/values.yaml"),
            told => told.to_owned(),
        };
        let text = match (&request.folder, below(&local, &entry, folder)) {
            (None, Some(path)) => {
                let bytes = charts.file(&request, &path).map_err(|error| fail(error.to_string()))?;
                let missing = || FilesError::NotFound { path: folder.path_of(&entry) };
                let bytes = bytes.ok_or_else(|| Errors::one(file, missing()))?;
                String::from_utf8(bytes).map_err(|_| Errors::one(&entry, Problem::NotText))?
            }
            _ => folder.text(&entry, Purpose::Recipe)?,
        };
        yaml::from_str(&text).map_err(|error| Errors::one(&folder.path_of(&entry), error))
    })?;
    let text = charts.render(&request, folder.files()).map_err(|error| fail(error.to_string()))?;
    let reads = documents::objects(&text).map_err(|problems| Errors(patch::at_lines(file, problems).collect()))?;
    let made = reads.into_iter().map(|read| {
        let mut resource = Resource::new(read.node, manifest::Origin { file: file.into(), line: 0 });
        resource.from_chart = true;
        resource
    });
    Ok(made.collect())
}

/// What is asked for, without its values, and where the chart would lie.
fn request(
    globals: &HelmGlobals,
    chart: &HelmChart,
    folder: &Folder<'_>,
    file: &str,
) -> Result<(Chart, String), Errors> {
    let home = if globals.chart_home.is_empty() { "charts" } else { &globals.chart_home };
    let versioned = !chart.version.is_empty() && !chart.repo.is_empty();
    let home = if versioned { format!("{home}/{}-{}", chart.name, chart.version) } else { home.into() };
    let local = format!("{home}/{}", chart.name);
    let is_local = matches!(folder.kind(&local), Ok(Some(EntryKind::Folder)));
    if !is_local && chart.repo.is_empty() {
        let reason = format!("no repo specified for pull, no chart found at '{local}'");
        return Err(Errors::one(file, Problem::Chart { chart: chart.name.clone(), reason }));
    }
    let mut values_files = Vec::new();
    for entry in &chart.additional_values_files {
        values_files.push((folder.path_of(entry), folder.text(entry, Purpose::Recipe)?));
    }
    let request = Chart {
        folder: is_local.then(|| folder.path_of(&local)),
        name: chart.name.clone(),
        version: chart.version.clone(),
        repository: chart.repo.clone(),
        release: chart.release_name.clone(),
        namespace: chart.namespace.clone(),
        values: Value::Null,
        values_files,
        include_crds: chart.include_crds,
        skip_hooks: chart.skip_hooks,
        skip_tests: chart.skip_tests,
        api_versions: chart.api_versions.clone(),
        kube_version: chart.kube_version.clone(),
        name_template: chart.name_template.clone(),
        devel: chart.devel,
    };
    Ok((request, local))
}

/// The path of an entry below where a chart lies, or would lie once it is fetched.
fn below(local: &str, entry: &str, folder: &Folder<'_>) -> Option<String> {
    let path = |entry: &str| manifest::normalize(&folder.path, entry).ok();
    let (chart, path) = (path(local)?, path(entry)?);
    path.strip_prefix(&chart)?.strip_prefix('/').map(str::to_owned)
}

/// The chart's values and those of the kustomization, merged as it says.
fn values(chart: &HelmChart, file: &str, of_chart: impl FnOnce() -> Result<Value, Errors>) -> Result<Value, Errors> {
    let inline = chart.values_inline.as_object().filter(|values| !values.is_empty());
    if let (Some(inline), "replace") = (inline, chart.values_merge.as_str()) {
        return Ok(Value::Object(inline.clone()));
    }
    let of_chart = of_chart()?;
    let Some(inline) = inline else { return Ok(of_chart) };
    let inline = documents::from_value(&Value::Object(inline.clone()), Wording::Yaml);
    let of_chart = documents::from_value(&of_chart, Wording::Yaml);
    let (base, mut over) = if chart.values_merge == "merge" { (inline, of_chart) } else { (of_chart, inline) };
    let mut base = if tree::is_empty(&base) { yaml::Node::mapping(Vec::new()) } else { base };
    let merged = match strategic::apply(&mut base, &mut over, &facts::Facts::default()) {
        Ok(Outcome::Object) => output::value(&base).map(Some),
        Ok(Outcome::Patch) => output::value(&over).map(Some),
        Ok(Outcome::Gone) => Ok(None),
        Err(problem) => Err(problem),
    };
    let merged = merged.map_err(|problem| Errors::one(file, problem))?;
    Ok(merged.unwrap_or_else(|| Value::Object(Map::new())))
}
