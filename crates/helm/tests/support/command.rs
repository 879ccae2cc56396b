//! Command lines of `helm template`, run by the engine.

use std::sync::Arc;

use helm::values::{self, Values, strvals};
use helm::{Action, Chart, Event, KubeVersion, NoCluster, RenderOptions, Rendered, render};
use manifest::{Files, Purpose};

use crate::world::World;

/// What a command line asks for.
pub(crate) struct Command {
    options: RenderOptions,
    pub(crate) values: Values,
    with_crds: bool,
    without_hooks: bool,
    without_tests: bool,
}

/// A file's text by the name that a command line gives it.
type Read<'r> = &'r dyn Fn(&str) -> Result<String, String>;

impl Command {
    /// Reads the flags; files are named as they lie in `files`, after `root`.
    pub(crate) fn parse<'a>(
        release: &str,
        namespace: &str,
        mut arguments: impl Iterator<Item = &'a str>,
        files: &dyn Files,
        root: &str,
    ) -> Result<Self, String> {
        let read = |name: &str| {
            let content = files.read(name.strip_prefix(root).unwrap_or(name), Purpose::Recipe);
            let content = content.map(|content| content.text().unwrap().to_owned());
            content.map_err(|_| format!("open {name}: no such file or directory"))
        };
        let mut command = Self {
            options: RenderOptions::new(release, namespace),
            values: Values::new(),
            with_crds: false,
            without_hooks: false,
            without_tests: false,
        };
        let mut sets: Vec<(&str, &str)> = Vec::new();
        while let Some(flag) = arguments.next() {
            if command.switch(flag) {
                continue;
            }
            let value = arguments.next().unwrap();
            if !command.option(flag, value, &read)? {
                sets.push((flag, value));
            }
        }
        for kind in ["--set-json", "--set", "--set-string", "--set-file", "--set-literal"] {
            for (_, value) in sets.iter().filter(|(flag, _)| *flag == kind) {
                command.set(kind, value, &read)?;
            }
        }
        Ok(command)
    }

    /// What `helm template` prints.
    pub(crate) fn run(&self, chart: &Chart) -> Result<String, String> {
        let mut rendered = self.render(chart)?;
        if self.without_hooks {
            rendered.hooks.clear();
        }
        if self.without_tests {
            rendered.hooks.retain(|hook| !hook.events.contains(&Event::Test));
        }
        Ok(rendered.template_output(self.with_crds))
    }

    fn switch(&mut self, flag: &str) -> bool {
        match flag {
            "--include-crds" => self.with_crds = true,
            "--skip-crds" => self.with_crds = false,
            "--skip-schema-validation" => self.options.skips_schema = true,
            "--render-subchart-notes" => self.options.with_dependency_notes = true,
            "--is-upgrade" => self.options.action = Action::Upgrade,
            "--no-hooks" => self.without_hooks = true,
            "--skip-tests" => self.without_tests = true,
            "--debug" => {}
            _ => return false,
        }
        true
    }

    fn option(&mut self, flag: &str, value: &str, read: Read<'_>) -> Result<bool, String> {
        match flag {
            "--kube-version" => {
                let version = KubeVersion::parse(value);
                self.options.capabilities.kube_version =
                    version.map_err(|error| format!("invalid kube version '{value}': {error}"))?;
            }
            "--api-versions" => {
                self.options.capabilities.api_versions.extend(value.split(',').map(str::to_owned));
            }
            "-f" => {
                let given = values::from_yaml(&read(value)?)
                    .map_err(|error| format!("failed to parse {value}: {}", error.in_helms_words()))?;
                self.values = values::merge_maps(std::mem::take(&mut self.values), given);
            }
            // Selects among what was rendered.
            "-s" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set(&mut self, flag: &str, value: &str, read: Read<'_>) -> Result<(), String> {
        let mode = match flag {
            "--set-json" => strvals::Mode::Json,
            "--set" => strvals::Mode::Typed,
            "--set-string" => strvals::Mode::Text,
            "--set-file" => strvals::Mode::File(read),
            _ => strvals::Mode::Literal,
        };
        if flag == "--set-json" && value.trim().starts_with('{') {
            let map: Values = serde_json::from_str(value).unwrap();
            self.values = values::merge_maps(std::mem::take(&mut self.values), values::from_json(map));
            return Ok(());
        }
        strvals::parse(value, mode, &mut self.values).map_err(|error| format!("failed parsing {flag} data: {error}"))
    }

    fn render(&self, chart: &Chart) -> Result<Rendered, String> {
        chart.check_installable().map_err(|error| error.to_string()).map_err(|error| {
            if error.starts_with("found in") {
                return format!(
                    "an error occurred while checking for chart dependencies. You may need to run 'helm dependency \
                     build' to fetch missing dependencies: {error}"
                );
            }
            error
        })?;
        let rendered = render(chart, &self.values, &self.options, Arc::new(NoCluster), &World);
        rendered.map_err(|error| error.to_string())
    }
}
