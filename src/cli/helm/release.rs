//! A release, from a chart to its text.

use std::sync::Arc;

use anyhow::{anyhow, ensure};
use helm::values::Values;
use helm::{Chart, Event, KubeVersion, NoCluster, RenderOptions};

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
    ///
    /// # Errors
    /// A name that no release may have.
    pub(in crate::cli) fn new(name: &str, namespace: &str) -> anyhow::Result<Self> {
        ensure!(
            name.len() <= LONGEST && name.split('.').all(is_label),
            "release name \"{name}\": at most {LONGEST} characters: lower case letters, digits, '-' and '.', with a \
             letter or digit at both ends"
        );
        Ok(Self {
            options: RenderOptions::new(name, namespace),
            values: Values::new(),
            with_crds: false,
            without_hooks: false,
            without_tests: false,
        })
    }

    pub(in crate::cli) fn set_kube_version(&mut self, version: &str) -> anyhow::Result<()> {
        let parsed = KubeVersion::parse(version);
        self.options.capabilities.kube_version =
            parsed.map_err(|error| anyhow!("invalid kube version '{version}': {error}"))?;
        Ok(())
    }
}

fn is_label(label: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !label.is_empty() && label.bytes().all(is_good) && !label.starts_with('-') && !label.ends_with('-')
}

/// Renders a chart to what `helm template` prints.
pub(in crate::cli) fn render(chart: &Chart, release: &Release) -> anyhow::Result<String> {
    chart.check_installable()?;
    let mut rendered = helm::render(chart, &release.values, &release.options, Arc::new(NoCluster), &System)?;
    let is_hidden =
        |events: &[Event]| release.without_hooks || (release.without_tests && events.contains(&Event::Test));
    rendered.hooks.retain(|hook| !is_hidden(&hook.events));
    Ok(rendered.template_output(release.with_crds))
}
