//! What an ExternalSecret asks for: read, and checked as External Secrets' webhook checks it.

use std::collections::BTreeSet;

use manifest::Object;

use super::store::Cause;
use super::{Place, Problem};
use crate::api::Kind as _;
use crate::api::secret::{CreationPolicy, DataFrom, ExternalSecret, ExternalSecretSpec, TargetDeletion, Template};

/// Reads the spec.
pub(super) fn read(object: &Object) -> Result<ExternalSecretSpec, Vec<Problem>> {
    let spec = ExternalSecret::spec(object);
    let spec = spec.map_err(|error| vec![Problem::new(Place::Spec, Cause::Spec { message: error.to_string() })])?;
    let mut faults = Faults(Vec::new());
    faults.policies(&spec);
    if spec.data.is_empty() && spec.data_from.is_empty() {
        faults.add(Place::Spec, "either data or dataFrom should be specified");
    }
    if let Some(template) = &spec.target.template {
        faults.template(template);
    }
    for (index, from) in spec.data_from.iter().enumerate() {
        faults.data_from(index, from);
    }
    faults.duplicates(&spec);
    faults.unsupported(&spec);
    if faults.0.is_empty() { Ok(spec) } else { Err(faults.0) }
}

struct Faults(Vec<Problem>);

impl Faults {
    fn add(&mut self, place: Place, message: impl Into<String>) {
        self.0.push(Problem::new(place, Cause::Spec { message: message.into() }));
    }

    fn policies(&mut self, spec: &ExternalSecretSpec) {
        use CreationPolicy::{CreateOrMerge, Merge, None};
        let creation = &spec.target.creation_policy;
        let not_owner = "deletionPolicy=Delete must not be used when the controller doesn't own the secret. Please set \
                         creationPolicy=Owner";
        match spec.target.deletion_policy {
            TargetDeletion::Delete if matches!(creation, Merge | None | CreateOrMerge) => {
                self.add(Place::Target, not_owner);
            }
            TargetDeletion::Merge if *creation == None => self.add(
                Place::Target,
                "deletionPolicy=Merge must not be used with creationPolicy=None. There is no Secret to merge with",
            ),
            _ => {}
        }
    }

    /// Templates that would make tokens beyond the rights of who writes them, or write other fields of the Secret.
    fn template(&mut self, template: &Template) {
        const TOKEN: &str = "kubernetes.io/service-account-token";
        const BOOTSTRAP: &str = "bootstrap.kubernetes.io/token";
        const NAME: &str = "kubernetes.io/service-account.name";
        let annotates =
            |target: &Option<String>| target.as_deref().is_some_and(|t| t.eq_ignore_ascii_case("Annotations"));
        match template.kind.as_deref() {
            Some(BOOTSTRAP) => self.add(Place::Template, format!("template.type={BOOTSTRAP:?} is not allowed")),
            Some(TOKEN) if template.metadata.as_ref().is_some_and(|m| m.annotations.contains_key(NAME)) => {
                let message = format!("template.type={TOKEN:?} with annotation {NAME:?} is not allowed");
                self.add(Place::Template, message);
            }
            Some(TOKEN) if template.template_from.iter().any(|from| annotates(&from.target)) => {
                let message =
                    format!("template.type={TOKEN:?} with templateFrom target=\"Annotations\" is not allowed");
                self.add(Place::Template, message);
            }
            _ => {}
        }
        for (index, from) in template.template_from.iter().enumerate() {
            let target = from.target.as_deref().unwrap_or("Data");
            if !["Data", "Annotations", "Labels"].iter().any(|known| known.eq_ignore_ascii_case(target)) {
                let message = format!(
                    "templateFrom target={target:?} is not allowed when targeting a Secret, must be one of \"Data\", \
                     \"Annotations\" or \"Labels\""
                );
                self.add(Place::TemplateFrom(index), message);
            }
        }
    }

    fn data_from(&mut self, index: usize, from: &DataFrom) {
        let place = Place::DataFrom(index);
        let generator = from.source_ref.as_ref().is_some_and(|source| source.generator_ref.is_some());
        let store = from.source_ref.as_ref().is_some_and(|source| source.store_ref.is_some());
        let sources = usize::from(from.extract.is_some()) + usize::from(from.find.is_some()) + usize::from(generator);
        if sources > 1 {
            self.add(place, "extract, find, or generatorRef cannot be set at the same time");
        } else if from.source_ref.is_some() && !generator && !store {
            self.add(place, "generatorRef or storeRef must be set when using sourceRef in dataFrom");
        } else if sources == 0 && from.source_ref.is_none() {
            self.add(place, "either extract, find, or sourceRef must be set to dataFrom");
        }
    }

    fn duplicates(&mut self, spec: &ExternalSecretSpec) {
        if spec.target.deletion_policy != TargetDeletion::Retain {
            return;
        }
        let mut seen = BTreeSet::new();
        for (index, data) in spec.data.iter().enumerate() {
            if !seen.insert(&data.secret_key) {
                self.add(Place::Data(index), format!("duplicate secretKey found: {}", data.secret_key));
            }
        }
    }

    /// Fields that would change the result and are not acted on.
    fn unsupported(&mut self, spec: &ExternalSecretSpec) {
        let mut add = |place, what: &str| self.0.push(Problem::new(place, Cause::Unsupported { what: what.into() }));
        for (index, data) in spec.data.iter().enumerate() {
            if data.source_ref.as_ref().is_some_and(|source| source.generator_ref.is_some()) {
                add(Place::Data(index), "sourceRef.generatorRef");
            }
        }
        for (index, from) in spec.data_from.iter().enumerate() {
            if from.source_ref.as_ref().is_some_and(|source| source.generator_ref.is_some()) {
                add(Place::DataFrom(index), "sourceRef.generatorRef");
            }
        }
        if spec.target.manifest.is_some() {
            add(Place::Target, "target.manifest");
        }
        let engine = spec.target.template.as_ref().and_then(|template| template.engine_version.as_deref());
        if let Some(engine) = engine.filter(|engine| *engine != "v2") {
            add(Place::Template, &format!("engineVersion {engine}"));
        }
    }
}
