//! Files to charts.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::manifest::{EntryKind, Files, FilesError, Purpose};

use super::archive::{MAX_FILE, trimmed, unpack};
use super::ignore::Rules;
use super::metadata::Schema;
use super::{Chart, File, Metadata};
use crate::values::{self, Values};

/// How deep charts may lie in charts.
const MAX_DEPTH: usize = 20;

/// Why there is no chart.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChartError {
    /// The tree could not answer.
    #[error("{source}")]
    Files {
        /// Why.
        source: FilesError,
    },
    /// The archive could not be read.
    #[error("the chart's archive cannot be read: {source}")]
    Unreadable {
        /// Why.
        source: std::io::Error,
    },
    /// Helm refuses it: its words.
    #[error("{problem}")]
    Refused {
        /// What is wrong.
        problem: String,
    },
    /// It declares dependencies that are not there.
    #[error("found in Chart.yaml, but missing in charts/ directory: {names}")]
    MissingDependencies {
        /// Which.
        names: String,
    },
    /// It is of a form that this Helm does not know, or knows by another command.
    #[error("{problem}")]
    OtherForm {
        /// Helm's words.
        problem: &'static str,
    },
    /// A file of the chart is wrong.
    #[error("cannot load {file}: {problem}")]
    File {
        /// Which file.
        file: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A dependency is no chart.
    #[error("error unpacking subchart {name} in {parent}: {source}")]
    Dependency {
        /// Folder or archive below `charts/`.
        name: String,
        /// The chart that it lies in.
        parent: String,
        /// Why.
        source: Box<ChartError>,
    },
}

impl From<FilesError> for ChartError {
    fn from(source: FilesError) -> Self {
        Self::Files { source }
    }
}

impl Chart {
    /// Reads the chart at `path`: a folder, or a packed chart.
    ///
    /// # Errors
    /// When there is no chart, or it is one that Helm refuses.
    pub fn load(files: &dyn Files, path: &str) -> Result<Self, ChartError> {
        Self::from_files(Self::files_of(files, path)?)
    }

    /// The files of the chart at `path`, without those that it ignores.
    ///
    /// # Errors
    /// As [`Chart::load`].
    pub fn files_of(files: &dyn Files, path: &str) -> Result<Vec<File>, ChartError> {
        if files.kind(path)? == Some(EntryKind::File) {
            return Self::files_of_archive(files.read(path, Purpose::Recipe)?.bytes());
        }
        let rules = match files.kind(&join(path, ".helmignore"))? {
            Some(EntryKind::File) => {
                let content = files.read(&join(path, ".helmignore"), Purpose::Recipe)?;
                String::from_utf8_lossy(content.bytes()).into_owned()
            }
            _ => String::new(),
        };
        let rules = Rules::parse(&rules).map_err(|problem| ChartError::Refused { problem })?;
        let mut found = Vec::new();
        walk(files, path, "", &rules, &mut found)?;
        Ok(found)
    }

    /// Reads a packed chart (`.tgz`).
    ///
    /// # Errors
    /// As [`Chart::load`].
    pub fn from_archive(bytes: &[u8]) -> Result<Self, ChartError> {
        Self::from_files(Self::files_of_archive(bytes)?)
    }

    /// The files of a packed chart, as `helm pull --untar` writes them.
    ///
    /// # Errors
    /// When it is no such archive, too large, or leads out of itself.
    pub fn files_of_archive(bytes: &[u8]) -> Result<Vec<File>, ChartError> {
        unpack(bytes)
    }

    /// A chart of its files, those of its dependencies among them.
    ///
    /// # Errors
    /// As [`Chart::load`].
    pub fn from_files(files: Vec<File>) -> Result<Self, ChartError> {
        from_files(files, 0)
    }
}

impl Chart {
    /// Whether the chart can be installed: it is no library, and all that it declares is there.
    ///
    /// # Errors
    /// Helm's words.
    pub fn check_installable(&self) -> Result<(), ChartError> {
        let refused = |problem| Err(ChartError::Refused { problem });
        match self.metadata.kind.as_str() {
            "" | "application" => {}
            kind => return refused(format!("{kind} charts are not installable")),
        }
        let is_missing = |name: &&str| !self.dependencies.iter().any(|chart| chart.name() == *name);
        let declared = self.metadata.dependencies.iter().flatten().map(|dependency| dependency.name.as_str());
        let missing: Vec<&str> = declared.filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(ChartError::MissingDependencies { names: missing.join(", ") })
    }
}

fn join(folder: &str, name: &str) -> String {
    match (folder, name) {
        ("", path) | (path, "") => path.to_owned(),
        _ => format!("{folder}/{name}"),
    }
}

fn walk(files: &dyn Files, root: &str, folder: &str, rules: &Rules, found: &mut Vec<File>) -> Result<(), ChartError> {
    for entry in files.list(&join(root, folder))? {
        let name = join(folder, &entry.name);
        let is_folder = entry.kind == EntryKind::Folder;
        if rules.ignores(&name, is_folder) {
            continue;
        }
        if is_folder {
            walk(files, root, &name, rules, found)?;
            continue;
        }
        let content = files.read(&join(root, &name), Purpose::Recipe)?;
        if content.bytes().len() as u64 > MAX_FILE {
            let problem = format!("chart file {name:?} is larger than the maximum file size {MAX_FILE}");
            return Err(ChartError::Refused { problem });
        }
        found.push(File { name, data: trimmed(content.bytes()) });
    }
    Ok(())
}

/// The files of a chart, sorted by what they are.
#[derive(Default)]
struct Sorted {
    metadata: Option<Metadata>,
    values: Values,
    schema: Option<Arc<[u8]>>,
    lock: Option<serde_json::Value>,
    templates: Vec<File>,
    files: Vec<File>,
    dependencies: BTreeMap<String, Vec<File>>,
}

fn from_files(files: Vec<File>, depth: usize) -> Result<Chart, ChartError> {
    if depth > MAX_DEPTH {
        return Err(ChartError::Refused { problem: "charts are nested too deeply".into() });
    }
    let mut sorted = Sorted::default();
    if let Some(file) = files.iter().find(|file| file.name == "Chart.yaml") {
        let metadata = Metadata::read(&text(file));
        sorted.metadata = Some(metadata.map_err(|problem| ChartError::File { file: "Chart.yaml", problem })?);
    }
    for file in files {
        sorted.add(file)?;
    }
    let Some(mut metadata) = sorted.metadata else {
        return Err(ChartError::Refused { problem: "Chart.yaml file is missing".into() });
    };
    match metadata.api_version.as_str() {
        "v1" | "v2" => {}
        "v3" => return Err(ChartError::OtherForm { problem: "invalid chart apiVersion" }),
        _ => return Err(ChartError::OtherForm { problem: "unsupported chart version" }),
    }
    metadata.validate().map_err(|problem| ChartError::Refused { problem })?;
    let dependencies = dependencies(sorted.dependencies, &metadata.name, depth)?;
    let Sorted { values, schema, lock, templates, files, .. } = sorted;
    Ok(Chart { metadata, values, schema, lock, templates, files, dependencies })
}

fn text(file: &File) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&file.data)
}

impl Sorted {
    fn add(&mut self, file: File) -> Result<(), ChartError> {
        match file.name.as_str() {
            "Chart.yaml" => {}
            "Chart.lock" => self.lock = Some(json("Chart.lock", &file)?),
            "values.yaml" => {
                let values = values::from_yaml(&text(&file));
                self.values = values
                    .map_err(|error| ChartError::File { file: "values.yaml", problem: error.in_helms_words() })?;
            }
            "values.schema.json" => self.schema = Some(file.data),
            "requirements.yaml" => {
                let metadata = self.metadata.get_or_insert_default();
                let read = metadata.read_requirements(&text(&file));
                read.map_err(|problem| ChartError::File { file: "requirements.yaml", problem })?;
                self.keep_of_v1(file);
            }
            "requirements.lock" => {
                self.lock = Some(json("requirements.lock", &file)?);
                self.keep_of_v1(file);
            }
            name if name.starts_with("templates/") => self.templates.push(file),
            name if name.starts_with("charts/") && !name.ends_with(".prov") => self.add_dependency_file(file),
            _ => self.files.push(file),
        }
        Ok(())
    }

    fn keep_of_v1(&mut self, file: File) {
        if self.metadata.as_ref().is_some_and(|metadata| metadata.schema() == Schema::V1) {
            self.files.push(file);
        }
    }

    fn add_dependency_file(&mut self, file: File) {
        let name = file.name.trim_start_matches("charts/").to_owned();
        let chart = name.split('/').next().unwrap_or_default().to_owned();
        self.dependencies.entry(chart).or_default().push(File { name, ..file });
    }
}

fn json(name: &'static str, file: &File) -> Result<serde_json::Value, ChartError> {
    yaml::from_str(&text(file)).map_err(|error| ChartError::File { file: name, problem: values::yaml_problem(&error) })
}

fn dependencies(found: BTreeMap<String, Vec<File>>, parent: &str, depth: usize) -> Result<Vec<Chart>, ChartError> {
    let mut charts = Vec::new();
    for (name, files) in found {
        if name.starts_with(['_', '.']) {
            continue;
        }
        let chart = dependency(&name, files, depth).map_err(|source| ChartError::Dependency {
            name,
            parent: parent.to_owned(),
            source: Box::new(source),
        })?;
        charts.push(chart);
    }
    Ok(charts)
}

fn dependency(name: &str, files: Vec<File>, depth: usize) -> Result<Chart, ChartError> {
    if name.ends_with(".tgz") {
        let Some(archive) = files.first().filter(|file| file.name == name) else {
            return Err(ChartError::Refused { problem: format!("expected {name} to be a file") });
        };
        return from_files(unpack(&archive.data)?, depth + 1);
    }
    let inner = files.into_iter().filter_map(|file| {
        let (_, name) = file.name.split_once('/')?;
        Some(File { name: name.to_owned(), data: file.data })
    });
    from_files(inner.collect(), depth + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use manifest::MemoryFiles;

    #[test]
    fn a_chart_lies_in_a_folder_of_a_tree() {
        let mut files = MemoryFiles::default();
        files.insert("charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 0.1.0\n");
        files.insert("charts/web/templates/t.yaml", "{}");
        files.insert("charts/other/Chart.yaml", "");
        let chart = Chart::load(&files, "charts/web").unwrap();
        assert_eq!((chart.name(), chart.templates.len()), ("web", 1));
        assert!(Chart::load(&files, "charts/none").is_err());
    }
}
