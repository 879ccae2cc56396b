//! A release, from a chart to its text.

use std::sync::Arc;

use anyhow::{anyhow, ensure};
use gotemplate::{Functions, Limits, Session, Templates};
use helm::values::{self, Values};
use helm::{Chart, ChartError, Event, KubeVersion, NoCluster, RenderError, RenderOptions, Rendered};

use crate::system::System;

/// The longest name of a release. Helm leaves room for what charts append to it.
const LONGEST: usize = 53;

/// What a chart is rendered for, and what of it is printed.
pub(in crate::cli) struct Release {
    pub(in crate::cli) options: RenderOptions,
    pub(in crate::cli) values: Values,
    /// Definitions of `crds/` are printed.
    pub(in crate::cli) with_crds: bool,
    /// No hook is printed.
    pub(in crate::cli) without_hooks: bool,
    /// No test hook is printed.
    pub(in crate::cli) without_tests: bool,
}

impl Release {
    /// A release with Helm's defaults.
    pub(in crate::cli) fn new(name: &str, namespace: &str) -> Self {
        Self {
            options: RenderOptions::new(name, namespace),
            values: Values::new(),
            with_crds: false,
            without_hooks: false,
            without_tests: false,
        }
    }

    pub(in crate::cli) fn set_kube_version(&mut self, version: &str) -> anyhow::Result<()> {
        let parsed = KubeVersion::parse(version);
        self.options.capabilities.kube_version =
            parsed.map_err(|error| anyhow!("invalid kube version '{version}': {error}"))?;
        Ok(())
    }
}

fn check_name(name: &str) -> anyhow::Result<()> {
    ensure!(
        name.len() <= LONGEST && name.split('.').all(is_label),
        "release name check failed: release name \"{name}\": invalid release name, must match regex \
         ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$ and the length must not be longer than {LONGEST}"
    );
    Ok(())
}

/// What a release may cost whose name is a template.
const LIMITS: Limits = Limits { steps: 100_000, bytes: 1 << 20, depth: 20 };

/// Executes the template of a name, with sprig's functions and nothing else.
pub(in crate::cli) fn name_of(template: &str) -> anyhow::Result<String> {
    const NAME: &str = "name-template";
    let mut templates = Templates::new(NAME, Functions::sprig());
    templates.parse(NAME, template).map_err(|error| anyhow!("{error}"))?;
    let executed = templates.execute(NAME, &gotemplate::Value::Nil, &mut Session::new(&System, LIMITS));
    Ok(String::from_utf8_lossy(&executed.map_err(|failed| anyhow!("{}", failed.error))?).into_owned())
}

fn is_label(label: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !label.is_empty() && label.bytes().all(is_good) && !label.starts_with('-') && !label.ends_with('-')
}

/// What `helm template --debug` prints of a render that failed: all files, where one of them is no manifest.
pub(in crate::cli) fn failed_output(chart: &Chart, release: &Release, error: &anyhow::Error) -> String {
    match error.downcast_ref::<RenderError>() {
        Some(RenderError::Manifest(_)) => {}
        Some(RenderError::Template(_) | RenderError::KubeVersion { .. }) => return "\n".to_owned(),
        _ => return String::new(),
    }
    let texts = || -> Result<_, RenderError> {
        let chart = chart.with_dependencies(&release.values)?;
        let values = values::coalesce(&chart, release.values.clone())?;
        helm::render_texts(&chart, &values, &release.options, &System)
    };
    let texts = texts().unwrap_or_default().into_iter();
    let shown = texts.filter(|(path, text)| !path.ends_with("NOTES.txt") && !text.trim().is_empty());
    let printed: String = shown.map(|(path, text)| format!("---\n# Source: {path}\n{text}\n")).collect();
    format!("{}\n", printed.trim())
}

/// Renders a chart as `helm template` does, without the hooks that are not to be seen.
pub(in crate::cli) fn render(chart: &Chart, release: &Release) -> anyhow::Result<Rendered> {
    chart.check_installable().map_err(|error| match error {
        ChartError::MissingDependencies { .. } => anyhow!(
            "an error occurred while checking for chart dependencies. You may need to run 'helm dependency build' to \
             fetch missing dependencies: {error}"
        ),
        other => anyhow!(other),
    })?;
    check_name(&release.options.name)?;
    let mut rendered = helm::render(chart, &release.values, &release.options, Arc::new(NoCluster), &System)?;
    let is_hidden =
        |events: &[Event]| release.without_hooks || (release.without_tests && events.contains(&Event::Test));
    rendered.hooks.retain(|hook| !is_hidden(&hook.events));
    Ok(rendered)
}
