//! The kustomization file: what it may say, and the errors of what it says.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::FieldSpec;
use crate::decode::{Leniency, decode, record};
use crate::error::Problem;

/// Names that a kustomization file may have, in the order in which the original looks for them.
pub(crate) const FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Labels or annotations.
pub(crate) type Pairs = BTreeMap<String, String>;

record!(
    /// A kustomization file or a component.
    Kustomization {
        kind: String = "kind",
        api_version: String = "apiVersion",
        metadata: Value = "metadata",
        openapi: Pairs = "openapi",
        name_prefix: String = "namePrefix",
        name_suffix: String = "nameSuffix",
        namespace: String = "namespace",
        common_labels: Option<Pairs> = "commonLabels",
        labels: Vec<Label> = "labels",
        common_annotations: Pairs = "commonAnnotations",
        patches_strategic_merge: Vec<String> = "patchesStrategicMerge",
        patches_json6902: Vec<Patch> = "patchesJson6902",
        patches: Vec<Patch> = "patches",
        images: Vec<Image> = "images",
        image_tags: Vec<Image> = "imageTags",
        replacements: Vec<Replacement> = "replacements",
        replicas: Vec<Replica> = "replicas",
        vars: Vec<Variable> = "vars",
        sort_options: Option<SortOptions> = "sortOptions",
        resources: Vec<String> = "resources",
        components: Vec<String> = "components",
        crds: Vec<String> = "crds",
        bases: Vec<String> = "bases",
        config_map_generator: Vec<GeneratorArgs> = "configMapGenerator",
        secret_generator: Vec<GeneratorArgs> = "secretGenerator",
        helm_globals: Option<HelmGlobals> = "helmGlobals",
        helm_charts: Vec<HelmChart> = "helmCharts",
        helm_chart_inflation_generator: Vec<HelmChartArgs> = "helmChartInflationGenerator",
        generator_options: Option<GeneratorOptions> = "generatorOptions",
        configurations: Vec<String> = "configurations",
        generators: Vec<String> = "generators",
        transformers: Vec<String> = "transformers",
        validators: Vec<String> = "validators",
        build_metadata: Vec<String> = "buildMetadata",
    }
);

record!(
    /// An entry of `labels`.
    Label {
        pairs: Pairs = "pairs",
        include_selectors: bool = "includeSelectors",
        include_templates: bool = "includeTemplates",
        fields: Vec<FieldSpec> = "fields",
    }
);

record!(
    /// Which objects are meant; each part is a regular expression, the selectors are those of Kubernetes.
    Selector {
        group: String = "group",
        version: String = "version",
        kind: String = "kind",
        name: String = "name",
        namespace: String = "namespace",
        annotation_selector: String = "annotationSelector",
        label_selector: String = "labelSelector",
    }
);

record!(
    /// A patch, inline or by path. `json_op` is what a transformer's own file calls an inline JSON patch.
    Patch {
        path: String = "path",
        patch: String = "patch",
        json_op: String = "jsonOp",
        target: Option<Selector> = "target",
        options: Option<PatchOptions> = "options",
    }
);

record!(
    /// What a strategic-merge patch may change of an object's identity.
    PatchOptions {
        allow_name_change: bool = "allowNameChange",
        allow_kind_change: bool = "allowKindChange",
    }
);

record!(
    /// An entry of `images`.
    Image {
        name: String = "name",
        new_name: String = "newName",
        tag_suffix: String = "tagSuffix",
        new_tag: String = "newTag",
        digest: String = "digest",
    }
);

record!(
    /// An entry of `replicas`.
    Replica {
        name: String = "name",
        count: i64 = "count",
    }
);

record!(
    /// An entry of `replacements`: a copy of one field into others, or a file with such.
    Replacement {
        path: String = "path",
        source: Option<ReplacementSource> = "source",
        source_value: Option<String> = "sourceValue",
        targets: Option<Vec<ReplacementTarget>> = "targets",
    }
);

record!(
    /// The field that is copied.
    ReplacementSource {
        group: String = "group",
        version: String = "version",
        kind: String = "kind",
        name: String = "name",
        namespace: String = "namespace",
        field_path: String = "fieldPath",
        options: Option<FieldOptions> = "options",
    }
);

record!(
    /// The fields that are written.
    ReplacementTarget {
        select: Option<Selector> = "select",
        reject: Vec<Selector> = "reject",
        field_paths: Vec<String> = "fieldPaths",
        options: Option<FieldOptions> = "options",
    }
);

record!(
    /// Which part of a field is meant.
    FieldOptions {
        delimiter: String = "delimiter",
        index: i64 = "index",
        encoding: String = "encoding",
        create: bool = "create",
    }
);

record!(
    /// An entry of `vars`.
    Variable {
        name: String = "name",
        objref: VariableObject = "objref",
        fieldref: VariableField = "fieldref",
    }
);

record!(
    /// The object that a variable reads.
    VariableObject {
        api_version: String = "apiVersion",
        group: String = "group",
        version: String = "version",
        kind: String = "kind",
        name: String = "name",
        namespace: String = "namespace",
    }
);

record!(
    /// The field that a variable reads.
    VariableField {
        field_path: String = "fieldPath",
    }
);

record!(
    /// The order of the output.
    SortOptions {
        order: String = "order",
        legacy: Option<LegacySortOptions> = "legacySortOptions",
    }
);

record!(
    /// Kinds that come first and last.
    LegacySortOptions {
        order_first: Vec<String> = "orderFirst",
        order_last: Vec<String> = "orderLast",
    }
);

record!(
    /// What a ConfigMap or Secret is made of.
    GeneratorArgs {
        namespace: String = "namespace",
        name: String = "name",
        behavior: String = "behavior",
        literals: Vec<String> = "literals",
        files: Vec<String> = "files",
        envs: Vec<String> = "envs",
        env: String = "env",
        options: Option<GeneratorOptions> = "options",
        secret_type: String = "type",
    }
);

record!(
    /// What a generated object carries besides its data.
    GeneratorOptions {
        labels: Pairs = "labels",
        annotations: Pairs = "annotations",
        disable_name_suffix_hash: bool = "disableNameSuffixHash",
        immutable: bool = "immutable",
    }
);

record!(
    /// Where charts lie.
    HelmGlobals {
        chart_home: String = "chartHome",
        config_home: String = "configHome",
    }
);

record!(
    /// An entry of `helmCharts`.
    HelmChart {
        name: String = "name",
        version: String = "version",
        repo: String = "repo",
        release_name: String = "releaseName",
        namespace: String = "namespace",
        additional_values_files: Vec<String> = "additionalValuesFiles",
        values_file: String = "valuesFile",
        values_inline: Value = "valuesInline",
        values_merge: String = "valuesMerge",
        include_crds: bool = "includeCRDs",
        skip_hooks: bool = "skipHooks",
        api_versions: Vec<String> = "apiVersions",
        kube_version: String = "kubeVersion",
        name_template: String = "nameTemplate",
        skip_tests: bool = "skipTests",
        debug: bool = "debug",
        devel: bool = "devel",
    }
);

record!(
    /// An entry of the old `helmChartInflationGenerator`.
    HelmChartArgs {
        chart_name: String = "chartName",
        chart_version: String = "chartVersion",
        chart_repo_url: String = "chartRepoUrl",
        chart_home: String = "chartHome",
        chart_repo_name: String = "chartRepoName",
        helm_bin: String = "helmBin",
        helm_home: String = "helmHome",
        values: String = "values",
        values_local: Value = "valuesLocal",
        values_merge: String = "valuesMerge",
        release_name: String = "releaseName",
        release_namespace: String = "releaseNamespace",
        extra_args: Vec<String> = "extraArgs",
    }
);

/// Whether a file describes a kustomization or a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// `kind: Kustomization`
    Kustomization,
    /// `kind: Component`
    Component,
}

impl Kustomization {
    /// Reads a file, moves deprecated fields to their successors and checks the rest.
    pub(crate) fn read(text: &str) -> Result<Self, Vec<Problem>> {
        let value = yaml::from_str(text).map_err(|error| vec![Problem::Yaml(error)])?;
        if says_nothing(&value) {
            return Err(vec![Problem::Empty]);
        }
        decode::<Self>(value, Leniency::Strict)?.settled()
    }

    /// As Flux reads a file: what does not exist is passed over. Not checked yet; see [`Kustomization::settled`].
    pub(crate) fn leniently(value: Value) -> Result<Self, Vec<Problem>> {
        decode(value, Leniency::Lenient)
    }

    /// Moves deprecated fields to their successors and checks the rest.
    pub(crate) fn settled(mut self) -> Result<Self, Vec<Problem>> {
        self.settle();
        let problems = self.wrong_type();
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }

    /// What the file is, once [`Kustomization::read`] has let it pass.
    pub(crate) fn role(&self) -> Role {
        if self.kind == "Component" { Role::Component } else { Role::Kustomization }
    }

    /// Moves deprecated fields to their successors.
    fn settle(&mut self) {
        self.resources.append(&mut self.bases);
        self.images.append(&mut self.image_tags);
        for args in self.config_map_generator.iter_mut().chain(&mut self.secret_generator) {
            if !args.env.is_empty() {
                args.envs.push(std::mem::take(&mut args.env));
            }
        }
        self.settle_charts();
    }

    fn settle_charts(&mut self) {
        let mut globals = HelmGlobals::default();
        for old in std::mem::take(&mut self.helm_chart_inflation_generator) {
            if !old.helm_home.is_empty() {
                globals.config_home = old.helm_home;
            }
            if !old.chart_home.is_empty() {
                globals.chart_home = old.chart_home;
            }
            self.helm_charts.push(HelmChart {
                name: old.chart_name,
                version: old.chart_version,
                repo: old.chart_repo_url,
                values_file: old.values,
                values_inline: old.values_local,
                values_merge: old.values_merge,
                release_name: old.release_name,
                ..HelmChart::default()
            });
        }
        let told = !globals.chart_home.is_empty() || !globals.config_home.is_empty();
        if self.helm_globals.is_none() && told {
            self.helm_globals = Some(globals);
        }
    }

    fn wrong_type(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let kind = if self.kind.is_empty() { "Kustomization" } else { &self.kind };
        if kind != "Kustomization" && kind != "Component" {
            problems.push(Problem::WrongKind);
        }
        let required = match kind {
            "Component" => "kustomize.config.k8s.io/v1alpha1",
            _ => "kustomize.config.k8s.io/v1beta1",
        };
        if !self.api_version.is_empty() && self.api_version != required {
            problems.push(Problem::WrongApiVersion { kind: kind.into(), required });
        }
        problems
    }
}

/// Whether no field but the type says anything. Go compares with an empty struct, to which an empty list is something.
fn says_nothing(value: &Value) -> bool {
    let Value::Object(fields) = value else { return value.is_null() };
    fields.iter().all(|(key, value)| match key.to_ascii_lowercase().as_str() {
        "kind" | "apiversion" => true,
        "bases" | "imagetags" | "helmchartinflationgenerator" => value.as_array().is_none_or(Vec::is_empty),
        _ => value.is_null() || value.as_str() == Some(""),
    })
}
