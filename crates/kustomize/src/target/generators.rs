//! What a layer makes: ConfigMaps, Secrets, the objects of charts and of generators that are given as objects.

use manifest::Origin;

use super::{Accumulator, Target, note};
use crate::chart;
use crate::documents;
use crate::error::{Error, Errors};
use crate::generate::{Generator, Makes};
use crate::plugin::Plugin;
use crate::provenance::Provenance;
use crate::resource::{ORIGIN, Resource};

impl Target<'_> {
    pub(super) fn run_generators(&self, accumulator: &mut Accumulator, errors: &mut Vec<Error>) {
        let options = self.kustomization.generator_options.as_ref();
        for (makes, all) in [
            (Makes::ConfigMap, &self.kustomization.config_map_generator),
            (Makes::Secret, &self.kustomization.secret_generator),
        ] {
            let by = format!("{makes:?}Generator");
            for args in all {
                let made = Generator::new(makes, args, options).run(&self.folder, &self.file);
                note(errors, made.and_then(|made| self.absorb(accumulator, vec![made], self.builtin(&by))));
            }
        }
        note(errors, self.run_charts(accumulator));
        note(errors, self.run_plugins(accumulator));
    }

    fn run_charts(&self, accumulator: &mut Accumulator) -> Result<(), Errors> {
        let globals = self.kustomization.helm_globals.clone().unwrap_or_default();
        for one in &self.kustomization.helm_charts {
            let mut one = one.clone();
            for namespace in [&self.kustomization.namespace, &self.chart_namespace] {
                if one.namespace.is_empty() {
                    one.namespace.clone_from(namespace);
                }
            }
            let made = chart::inflate(&globals, &one, &self.folder, &self.file)?;
            self.absorb(accumulator, made, self.builtin("HelmChartInflationGenerator"))?;
        }
        Ok(())
    }

    fn run_plugins(&self, accumulator: &mut Accumulator) -> Result<(), Errors> {
        for resource in self.plugins(&self.kustomization.generators)? {
            let made = Plugin { resource: &resource, folder: &self.folder }.generate()?;
            let origin = self.provenance.as_ref().and_then(|_| Provenance::of_plugin(&resource));
            self.absorb(accumulator, made, origin)?;
        }
        Ok(())
    }

    /// The objects that configure plugins: each entry is one, inline, or a file or folder with such.
    pub(super) fn plugins(&self, entries: &[String]) -> Result<Vec<Resource>, Errors> {
        let mut accumulator = Accumulator::empty();
        let facts = self.build.facts();
        let mut errors = Vec::new();
        let mut paths = Vec::new();
        for entry in entries {
            let Ok(reads) = documents::objects(entry) else {
                paths.push(entry.clone());
                continue;
            };
            for read in reads {
                let mut resource = Resource::new(read.node, Origin { file: self.file.clone(), line: 0 });
                if let Some(provenance) = &self.provenance {
                    let origin = provenance.append(self.file_name).to_string();
                    note(
                        &mut errors,
                        resource.set_annotation(ORIGIN, &origin).map_err(|problem| Errors::one(&self.file, problem)),
                    );
                }
                errors.extend(accumulator.resources.append(resource, &facts).err());
            }
        }
        self.add_resources(&mut accumulator, &paths, &mut errors);
        Errors::unless_any(errors, accumulator.resources.into_list())
    }

    fn absorb(
        &self,
        accumulator: &mut Accumulator,
        made: Vec<Resource>,
        origin: Option<Provenance>,
    ) -> Result<(), Errors> {
        let facts = self.build.facts();
        let mut errors = Vec::new();
        for mut resource in made {
            if let Some(origin) = origin.as_ref().filter(|_| resource.annotation(ORIGIN).is_none()) {
                let result = resource.set_annotation(ORIGIN, &origin.to_string());
                errors.extend(result.err().map(|problem| resource.error(&facts, problem)));
            }
            errors.extend(accumulator.resources.absorb(resource, &facts).err());
        }
        Errors::unless_any(errors, ())
    }

    /// Where what a builtin plugin makes or changes comes from.
    pub(super) fn builtin(&self, kind: &str) -> Option<Provenance> {
        self.provenance.as_ref().map(|provenance| provenance.builtin(self.file_name, kind))
    }
}
