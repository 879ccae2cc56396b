//! `lockstep helm dependency`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use gotemplate::go::semver::{Constraint, Version};
use helm::{Chart, Dependency as Declared};

use super::{Outcome, entries, load, print};

/// Examine what a chart depends on.
#[derive(Subcommand)]
#[command(disable_help_subcommand = true)]
pub(super) enum Dependency {
    #[command(visible_alias = "ls")]
    List(List),
}

/// Print what a chart depends on, and whether that lies in charts/.
#[derive(Args)]
pub(super) struct List {
    /// The chart's folder or archive.
    #[arg(default_value = ".")]
    chart: String,
    /// Characters that a column has at most.
    #[arg(long, value_name = "COUNT", default_value_t = 80)]
    max_col_width: usize,
}

impl Dependency {
    pub(super) fn run(self) -> Outcome {
        let Self::List(list) = self;
        print(list.told()?.as_bytes())
    }
}

impl List {
    fn told(&self) -> anyhow::Result<String> {
        let chart = load(&self.chart)?;
        let charts = Path::new(&self.chart).components().collect::<PathBuf>().join("charts");
        let Some(declared) = &chart.metadata.dependencies else {
            return Ok(format!("WARNING: no dependencies at {}\n", charts.display()));
        };
        let mut rows = vec![["NAME", "VERSION", "REPOSITORY", "STATUS"].map(str::to_owned)];
        for dependency in declared {
            let Declared { name, version, repository, .. } = dependency;
            let status = status(&charts, dependency, &chart)?;
            rows.push([name.clone(), version.clone(), repository.clone(), status.to_owned()]);
        }
        Ok(format!("{}\n{}", aligned(&rows, self.max_col_width), undeclared(&charts, declared)?))
    }
}

/// Columns of one width, with a tab between them.
fn aligned(rows: &[[String; 4]], longest: usize) -> String {
    let shortened = |cell: &String| match cell.chars().count() > longest {
        true => cell.chars().take(longest.saturating_sub(3)).chain("...".chars()).collect(),
        false => cell.clone(),
    };
    let rows: Vec<[String; 4]> = rows.iter().map(|row| row.each_ref().map(shortened)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let line = |row: &[String; 4]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("\t") + "\n"
    };
    rows.iter().map(line).collect()
}

fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tgz")
}

/// What has become of a dependency: an archive of its name counts before what was loaded.
fn status(charts: &Path, wanted: &Declared, parent: &Chart) -> anyhow::Result<&'static str> {
    let prefix = format!("{}-", wanted.name);
    let version = |path: &Path| Some(path.file_stem()?.to_str()?.strip_prefix(&prefix)?.to_owned());
    let archives: Vec<PathBuf> =
        entries(charts)?.into_iter().filter(|path| is_archive(path) && version(path).is_some()).collect();
    let exact = |path: &&PathBuf| version(path).is_some_and(|version| Version::parse_strict(&version).is_ok());
    let found = match archives.as_slice() {
        [only] => Some(only),
        several => match several.iter().filter(exact).collect::<Vec<_>>().as_slice() {
            [only] => Some(*only),
            [] => None,
            _ => return Ok("too many matches"),
        },
    };
    if let Some(archive) = found {
        let Ok(chart) = load(&archive.display().to_string()) else { return Ok("corrupt") };
        return Ok(if chart.name() == wanted.name { judged(&chart, wanted, "ok") } else { "misnamed" });
    }
    let loaded = parent.dependencies.iter().rfind(|chart| chart.name() == wanted.name);
    Ok(loaded.map_or("missing", |chart| judged(chart, wanted, "unpacked")))
}

/// Whether a chart has the version that is wanted.
fn judged(chart: &Chart, wanted: &Declared, good: &'static str) -> &'static str {
    if chart.metadata.version == wanted.version {
        return good;
    }
    match (Constraint::parse(&wanted.version), Version::parse(&chart.metadata.version)) {
        (Ok(constraint), Ok(version)) if constraint.matches(&version) => good,
        (Ok(_), Ok(_)) => "wrong version",
        _ => "invalid version",
    }
}

/// Warnings about what lies in `charts/` and is not declared.
fn undeclared(charts: &Path, declared: &[Declared]) -> anyhow::Result<String> {
    let mut told = String::new();
    for path in entries(charts)?.iter().filter(|path| path.is_dir() || is_archive(path)) {
        let shown = gotemplate::go::quote::quote(path.display().to_string().as_bytes());
        match load(&path.display().to_string()) {
            Err(_) => told.push_str(&format!("WARNING: {shown} is not a chart.\n")),
            Ok(chart) if declared.iter().any(|dependency| dependency.name == chart.name()) => {}
            Ok(_) => told.push_str(&format!("WARNING: {shown} is not in Chart.yaml.\n")),
        }
    }
    Ok(told)
}
