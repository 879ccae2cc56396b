//! `lockstep helm show`.

use clap::{Args, Subcommand};
use helm::{Chart, File};

use super::{Outcome, files, original, print};

/// Print what a chart says of itself.
#[derive(Subcommand)]
#[command(disable_help_subcommand = true)]
pub(super) enum Show {
    /// Print Chart.yaml, values.yaml, the readme and the definitions of crds/.
    All(Place),
    /// Print what Chart.yaml says.
    Chart(Place),
    /// Print values.yaml as it is written.
    Values(Place),
    /// Print the readme.
    Readme(Place),
    /// Print the definitions of crds/, those of dependencies too.
    Crds(Place),
}

#[derive(Args)]
pub(super) struct Place {
    /// The chart's folder or archive.
    chart: String,
    #[command(flatten)]
    _of_charts: original::OfCharts,
    #[command(flatten)]
    _of_values: original::OfValues,
}

impl Show {
    pub(super) fn run(self) -> Outcome {
        let (Self::All(place) | Self::Chart(place) | Self::Values(place) | Self::Readme(place) | Self::Crds(place)) =
            &self;
        let files = files(&place.chart)?;
        let chart = Chart::from_files(files.clone())?;
        let text = match self {
            Self::Chart(_) => definition(&chart),
            Self::Values(_) => values(&files).unwrap_or_default(),
            Self::Readme(_) => readme(&chart).unwrap_or_default(),
            Self::Crds(_) => crds(&chart),
            Self::All(_) => {
                let marked = |text: Option<String>| text.map(|text| format!("---\n{text}")).unwrap_or_default();
                [definition(&chart), marked(values(&files)), marked(readme(&chart)), crds(&chart)].concat()
            }
        };
        print(text.as_bytes())
    }
}

fn text(file: &File) -> String {
    format!("{}\n", String::from_utf8_lossy(&file.data))
}

fn definition(chart: &Chart) -> String {
    format!("{}\n", yaml::emit::to_yaml(&chart.metadata.to_json()))
}

fn values(files: &[File]) -> Option<String> {
    files.iter().find(|file| file.name == "values.yaml").map(text)
}

fn readme(chart: &Chart) -> Option<String> {
    let is_readme = |file: &&File| ["readme.md", "readme.txt", "readme"].contains(&file.name.to_lowercase().as_str());
    chart.files.iter().find(is_readme).map(text)
}

fn crds(chart: &Chart) -> String {
    let marked = |crd: File| {
        let mark = if crd.data.starts_with(b"---") { "" } else { "---\n" };
        format!("{mark}{}", text(&crd))
    };
    chart.crds().into_iter().map(marked).collect()
}
