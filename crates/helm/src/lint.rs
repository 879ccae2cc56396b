//! What `helm lint` finds in a chart.

mod address;
mod definition;
mod manifest;
mod name;

use std::sync::Arc;

use ::manifest::{EntryKind, Files, FilesError, Purpose};
use gotemplate::Environment;

use crate::chart::{Chart, ChartError};
use crate::render::{self, RenderError};
use crate::values::{self, Values, schema};
use crate::{NoCluster, RenderOptions};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// To know.
    Info,
    /// Not what it should be, and it works.
    Warning,
    /// It will hardly work.
    Error,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: a file of the chart, or the chart's folder.
    pub path: String,
    /// What is wrong.
    pub words: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let severity = match self.severity {
            Severity::Info => "INFO",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
        };
        write!(f, "[{severity}] {}: {}", self.path, self.words)
    }
}

/// Examines the chart in a folder with these values over its own. `shown` is how the folder is told. The release's name
/// and action are Helm's for this.
///
/// # Errors
/// When the files cannot be read, or there is no `Chart.yaml`.
pub fn lint(
    files: &dyn Files,
    folder: &str,
    shown: &str,
    values: &Values,
    options: RenderOptions,
    environment: &dyn Environment,
) -> Result<Vec<Finding>, FilesError> {
    let place = Place { files, folder };
    let mut linter = Linter { findings: Vec::new() };
    if let Some(text) = place.text("Chart.yaml")? {
        definition::check(&mut linter, &text);
    }
    own_values(&mut linter, &place, values, options.skips_schema)?;
    let chart = Chart::load(files, folder);
    // Helm looks into a chart of another form as if it were its own; here `Chart.yaml` comes first.
    if matches!(chart, Err(ChartError::OtherForm { .. })) {
        return Ok(linter.findings);
    }
    let chart = chart.map_err(|error| error.to_string());
    let options = RenderOptions { name: "test-release".into(), revision: 0, ..options };
    if place.is_there("templates", &mut linter, Severity::Warning)? {
        templates(&mut linter, &chart, values, &options, environment);
    }
    match &chart {
        Ok(chart) => dependencies(&mut linter, chart, shown),
        Err(problem) => linter.add(Severity::Error, "", format!("unable to load chart\n\t{problem}")),
    }
    if place.kind("crds")?.is_some() && place.is_there("crds", &mut linter, Severity::Error)? {
        match &chart {
            Ok(chart) => definitions(&mut linter, chart),
            Err(problem) => linter.add(Severity::Error, "crds/", problem.clone()),
        }
    }
    Ok(linter.findings)
}

struct Linter {
    findings: Vec<Finding>,
}

impl Linter {
    fn add(&mut self, severity: Severity, path: &str, words: impl Into<String>) {
        self.findings.push(Finding { severity, path: path.to_owned(), words: words.into() });
    }
}

/// The chart's folder.
struct Place<'f> {
    files: &'f dyn Files,
    folder: &'f str,
}

impl Place<'_> {
    fn path(&self, name: &str) -> String {
        if self.folder.is_empty() { name.to_owned() } else { format!("{}/{name}", self.folder) }
    }

    fn kind(&self, name: &str) -> Result<Option<EntryKind>, FilesError> {
        self.files.kind(&self.path(name))
    }

    /// The text of a file; nothing when there is none.
    fn text(&self, name: &str) -> Result<Option<String>, FilesError> {
        if self.kind(name)? != Some(EntryKind::File) {
            return Ok(None);
        }
        let content = self.files.read(&self.path(name), Purpose::Recipe)?;
        Ok(Some(String::from_utf8_lossy(content.bytes()).into_owned()))
    }

    /// Whether a folder is there; tells that it is not.
    fn is_there(&self, name: &str, linter: &mut Linter, absent: Severity) -> Result<bool, FilesError> {
        let kind = self.kind(name)?;
        let shown = format!("{name}/");
        match kind {
            None => linter.add(absent, &shown, "directory does not exist"),
            Some(EntryKind::File) => linter.add(Severity::Error, &shown, "not a directory"),
            Some(EntryKind::Folder) => {}
        }
        Ok(kind == Some(EntryKind::Folder))
    }
}

/// `values.yaml` against the chart's own schema.
fn own_values(linter: &mut Linter, place: &Place<'_>, given: &Values, skips: bool) -> Result<(), FilesError> {
    const FILE: &str = "values.yaml";
    let Some(text) = place.text(FILE)? else {
        linter.add(Severity::Info, FILE, "file does not exist");
        return Ok(());
    };
    let own = match values::from_yaml(&text) {
        Ok(own) => own,
        Err(error) => {
            let words = error.in_helms_words();
            let words = words.trim_start_matches("cannot unmarshal yaml document: ");
            let words = words.replace("map[string]interface {}", "common.Values");
            linter.add(Severity::Error, FILE, format!("unable to parse YAML: {words}"));
            return Ok(());
        }
    };
    let Some(schema) = place.text("values.schema.json")?.filter(|schema| !schema.is_empty() && !skips) else {
        return Ok(());
    };
    let values = values::coalesce_tables(given.clone(), own);
    if let Err(lines) = schema::check_one(&values, schema.as_bytes()) {
        linter.add(Severity::Error, FILE, ended(lines.join("\n")));
    }
    Ok(())
}

/// Violations end with a line break, other words do not.
fn ended(mut words: String) -> String {
    let last = words.lines().next_back().unwrap_or_default();
    if last.trim_start().starts_with("- ") {
        words.push('\n');
    }
    words
}

fn templates(
    linter: &mut Linter,
    chart: &Result<Chart, String>,
    given: &Values,
    options: &RenderOptions,
    environment: &dyn Environment,
) {
    const FOLDER: &str = "templates/";
    let chart = match chart {
        Ok(chart) => chart,
        Err(problem) => return linter.add(Severity::Error, FOLDER, problem.clone()),
    };
    // What stands in the way of values is not told here.
    let Ok(chart) = chart.with_dependencies(given) else { return };
    let Ok(values) = values::coalesce(&chart, given.clone()) else { return };
    if !options.skips_schema
        && let Err(error) = schema::check(&chart, &values)
    {
        return linter.add(Severity::Error, FOLDER, ended(RenderError::Schema(error).to_string()));
    }
    let texts =
        match render::texts(render::lenient_functions(Arc::new(NoCluster)), &chart, &values, options, environment) {
            Ok((texts, _)) => texts,
            Err(error) => return linter.add(Severity::Error, FOLDER, error.to_string()),
        };
    for template in &chart.templates {
        let extension = gotemplate::go::path::ext(&template.name);
        if ![".yaml", ".yml", ".tpl", ".txt"].contains(&extension) {
            let words =
                format!("file extension '{extension}' not valid. Valid extensions are .yaml, .yml, .tpl, or .txt");
            linter.add(Severity::Error, &template.name, words);
        }
        if !matches!(extension.to_ascii_lowercase().as_str(), ".yaml" | ".yml") {
            continue;
        }
        let text = texts.get(&format!("{}/{}", chart.name(), template.name)).map_or("", String::as_str);
        let version = &options.capabilities.kube_version;
        if !manifest::check(linter, &template.name, text, version) {
            return;
        }
    }
}

fn dependencies(linter: &mut Linter, chart: &Chart, shown: &str) {
    let declared: Vec<_> = chart.metadata.dependencies.iter().flatten().collect();
    let lacks = |names: Vec<&str>| names.join(",");
    let undeclared: Vec<&str> = chart.dependencies.iter().map(Chart::name).collect();
    let undeclared: Vec<&str> =
        undeclared.into_iter().filter(|name| !declared.iter().any(|dependency| dependency.name == *name)).collect();
    if !undeclared.is_empty() {
        let words = format!("chart metadata is missing these dependencies: {}", lacks(undeclared));
        linter.add(Severity::Error, shown, words);
    }
    let key = |index: usize| match declared[index].alias.as_str() {
        "" => declared[index].name.as_str(),
        alias => alias,
    };
    let twice: Vec<&str> =
        (0..declared.len()).filter(|at| (0..*at).any(|before| key(before) == key(*at))).map(key).collect();
    if !twice.is_empty() {
        let words = format!("multiple dependencies with name or alias: {}", lacks(twice));
        linter.add(Severity::Error, shown, words);
    }
    let is_missing = |name: &&str| !chart.dependencies.iter().any(|chart| chart.name() == *name);
    let missing: Vec<&str> = declared.iter().map(|dependency| dependency.name.as_str()).filter(is_missing).collect();
    if !missing.is_empty() {
        let words = format!("chart directory is missing these dependencies: {}", lacks(missing));
        linter.add(Severity::Warning, shown, words);
    }
}

/// The definitions of `crds/`: they are no templates, and nothing else.
fn definitions(linter: &mut Linter, chart: &Chart) {
    for crd in chart.crds() {
        // The path begins with the chart, which Helm leaves out.
        let name = crd.name.split_once('/').map_or(crd.name.as_str(), |(_, name)| name);
        let text = String::from_utf8_lossy(&crd.data);
        for document in manifest::documents(&text) {
            let head = match manifest::Head::read(&document) {
                Ok(head) => head,
                Err(problem) => return linter.add(Severity::Error, name, format!("unable to parse YAML: {problem}")),
            };
            let Some(head) = head else { continue };
            if !head.api_version.starts_with("apiextensions.k8s.io") {
                linter.add(Severity::Error, name, "apiVersion is not in 'apiextensions.k8s.io'");
            }
            if head.kind != "CustomResourceDefinition" {
                linter.add(Severity::Error, name, "object kind is not 'CustomResourceDefinition'");
            }
        }
    }
}
