//! Generators, transformers and validators that a kustomization names by file: kustomize's own plugins.

use manifest::Purpose;
use serde_json::Value;
use yaml::{Kind, Node};

use crate::config::FieldSpec;
use crate::decode::{Decode, Leniency, decode, record};
use crate::error::{Error, Errors, Problem};
use crate::facts::Facts;
use crate::generate::{Generator, Makes};
use crate::growth;
use crate::image::ImageChange;
use crate::kustomization::{
    GeneratorArgs, HelmChart, HelmGlobals, Image, Pairs, Patch, Replacement, Replica, Selector,
};
use crate::loader::Folder;
use crate::namespace::{NamespaceChange, Subjects};
use crate::patch;
use crate::replacement::Replacements;
use crate::resource::Resource;
use crate::resources::Resources;
use crate::selector::Matcher;
use crate::transform::Transformer;
use crate::{output, tree};

record!(
    /// The fields that plugins have, each some of them.
    PluginConfig {
        metadata: PluginMetadata = "metadata",
        field_specs: Option<Vec<FieldSpec>> = "fieldSpecs",
        unset_only: bool = "unsetOnly",
        subjects: String = "setRoleBindingSubjects",
        prefix: String = "prefix",
        suffix: String = "suffix",
        labels: Pairs = "labels",
        annotations: Pairs = "annotations",
        replica: Replica = "replica",
        image_tag: Image = "imageTag",
        replacements: Vec<Replacement> = "replacements",
        paths: Vec<String> = "paths",
        patches: Value = "patches",
        value: String = "value",
        targets: Vec<ValueTarget> = "targets",
        target_file_path: String = "targetFilePath",
        cloud: String = "cloud",
        kubernetes_service: PluginMetadata = "kubernetesService",
        service_account: CloudAccount = "serviceAccount",
    }
);

record!(PluginMetadata {
    name: String = "name",
    namespace: String = "namespace",
    labels: Pairs = "labels",
    annotations: Pairs = "annotations",
});

record!(
    /// An account of the cloud.
    CloudAccount {
        name: String = "name",
        project_id: String = "projectId",
    }
);

record!(
    /// Where a value is added.
    ValueTarget {
        selector: Option<Selector> = "selector",
        field_path: String = "fieldPath",
        position: i64 = "filePathPosition",
    }
);

record!(ValueTargets { targets: Vec<ValueTarget> = "targets", });

fn bad(reason: impl Into<String>) -> Problem {
    Problem::BadPlugin { reason: reason.into() }
}

/// A plugin's configuration: an object, and whose it is.
pub(crate) struct Plugin<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) folder: &'a Folder<'a>,
}

impl Plugin<'_> {
    fn file(&self) -> &str {
        &self.resource.origin.file
    }

    fn read<T: Decode>(&self) -> Result<T, Errors> {
        let value = output::value(&self.resource.node).map_err(|problem| Errors::one(self.file(), problem))?;
        decode(value, Leniency::Lenient).map_err(|problems| Errors::many(self.file(), problems))
    }

    /// The kind of the plugin, if it is one of kustomize's own.
    fn kind(&self) -> Result<&str, Errors> {
        let kind = self.resource.text("kind");
        match self.resource.text("apiVersion") {
            "builtin" => Ok(kind),
            _ => Err(self.fail(Problem::ExternalPlugin { kind: kind.into() })),
        }
    }

    fn fail(&self, problem: Problem) -> Errors {
        let error = Error::of_object(&self.resource.origin, format!("plugin {}", self.resource.text("kind")), problem);
        Errors(vec![error])
    }

    /// What a generator makes.
    pub(crate) fn generate(&self) -> Result<Vec<Resource>, Errors> {
        match self.kind()? {
            "ConfigMapGenerator" => self.generate_data(Makes::ConfigMap).map(|made| vec![made]),
            "SecretGenerator" => self.generate_data(Makes::Secret).map(|made| vec![made]),
            "HelmChartInflationGenerator" => {
                let (globals, chart): (HelmGlobals, HelmChart) = (self.read()?, self.read()?);
                crate::chart::inflate(&globals, &chart, self.folder, self.file())
            }
            "IAMPolicyGenerator" => self.generate_account().map(|made| vec![made]),
            kind if is_transformer(kind) => Err(self.fail(bad(format!("plugin {kind} not a generator")))),
            kind => Err(self.fail(bad(format!("unable to load builtin {kind}.builtin.[noGrp]")))),
        }
    }

    fn generate_data(&self, makes: Makes) -> Result<Resource, Errors> {
        let (config, mut args): (PluginConfig, GeneratorArgs) = (self.read()?, self.read()?);
        if args.name.is_empty() {
            args.name = config.metadata.name;
        }
        if args.namespace.is_empty() {
            args.namespace = config.metadata.namespace;
        }
        Generator::new(makes, &args, None).run(self.folder, self.file())
    }

    fn generate_account(&self) -> Result<Resource, Errors> {
        let config: PluginConfig = self.read()?;
        if config.cloud != "gke" {
            return Err(self.fail(bad(format!("cloud provider {} not supported yet", config.cloud))));
        }
        let account =
            format!("{}@{}.iam.gserviceaccount.com", config.service_account.name, config.service_account.project_id);
        let mut node = Node::mapping(vec![
            tree::key("apiVersion"),
            Node::string("v1"),
            tree::key("kind"),
            Node::string("ServiceAccount"),
        ]);
        let mut put = |path: &[&str], value: &str| tree::set_path(&mut node, path, tree::untagged(value));
        put(&["metadata", "annotations", "iam.gke.io/gcp-service-account"], &account)
            .map_err(|problem| self.fail(problem))?;
        put(&["metadata", "name"], &config.kubernetes_service.name).map_err(|problem| self.fail(problem))?;
        if !config.kubernetes_service.namespace.is_empty() {
            put(&["metadata", "namespace"], &config.kubernetes_service.namespace)
                .map_err(|problem| self.fail(problem))?;
        }
        Ok(Resource::new(node, manifest::Origin { file: self.file().into(), line: 0 }))
    }

    /// What a transformer does.
    pub(crate) fn transformer(&self) -> Result<Transformer, Errors> {
        let kind = self.kind()?;
        if !is_transformer(kind) {
            let is_generator = kind.ends_with("Generator");
            let reason = if is_generator {
                format!("plugin {kind} not a transformer")
            } else {
                format!("unable to load builtin {kind}.builtin.[noGrp]")
            };
            return Err(self.fail(bad(reason)));
        }
        let fail = |problem| self.fail(problem);
        match kind {
            "PatchTransformer" => {
                let patch: Patch = self.read()?;
                let ready = patch::read(&patch, self.folder, self.file())?;
                Ok(ready.map_or(Transformer::Nothing, Transformer::Patch))
            }
            "PatchJson6902Transformer" => {
                patch::read_json(&self.read()?, self.folder, self.file()).map(Transformer::Patch)
            }
            "PatchStrategicMergeTransformer" => {
                let config: PluginConfig = self.read()?;
                let inline = config.patches.as_str().unwrap_or_default();
                patch::read_strategic(&config.paths, inline, self.folder, self.file()).map(Transformer::StrategicMerge)
            }
            "ReplacementTransformer" => {
                let config: PluginConfig = self.read()?;
                Replacements::read(&config.replacements, self.folder, self.file()).map(Transformer::Replacements)
            }
            "ValueAddTransformer" => self.value_add().map(Transformer::ValueAdd),
            _ => self
                .simple(kind)
                .map_err(fail)?
                .ok_or_else(|| fail(bad(format!("unable to load builtin {kind}.builtin.[noGrp]")))),
        }
    }

    fn simple(&self, kind: &str) -> Result<Option<Transformer>, Problem> {
        let config: PluginConfig = self.read().map_err(|errors| bad(errors.to_string()))?;
        let specs = config.field_specs.clone().unwrap_or_default();
        let needed = || config.field_specs.clone().ok_or_else(|| bad("fieldSpecs is not expected to be nil"));
        let prefix = || needed().map(|specs| Transformer::Prefix(config.prefix.clone(), specs));
        let suffix = || needed().map(|specs| Transformer::Suffix(config.suffix.clone(), specs));
        Ok(Some(match kind {
            "AnnotationsTransformer" => Transformer::Pairs(config.annotations, specs),
            "LabelTransformer" => Transformer::Pairs(config.labels, specs),
            "PrefixTransformer" => prefix()?,
            "SuffixTransformer" => suffix()?,
            "PrefixSuffixTransformer" => Transformer::All(vec![prefix()?, suffix()?]),
            "ReplicaCountTransformer" => Transformer::Replicas(config.replica, specs),
            "ImageTagTransformer" => Transformer::Image(ImageChange::new(config.image_tag)?, specs),
            "HashTransformer" => Transformer::Hash,
            "NamespaceTransformer" => Transformer::Namespace(NamespaceChange {
                namespace: config.metadata.namespace,
                specs,
                unset_only: config.unset_only,
                subjects: Subjects::read(&config.subjects)?,
            }),
            _ => return Ok(None),
        }))
    }

    fn value_add(&self) -> Result<ValueAdd, Errors> {
        let config: PluginConfig = self.read()?;
        let mut targets = config.targets;
        if !config.target_file_path.is_empty() {
            let text = self.folder.text(&config.target_file_path, Purpose::Recipe)?;
            let place = self.folder.path_of(&config.target_file_path);
            let value = yaml::from_str(&text).map_err(|error| Errors::one(&place, error))?;
            let more: ValueTargets =
                decode(value, Leniency::Lenient).map_err(|problems| Errors::many(&place, problems))?;
            targets.extend(more.targets);
        }
        if targets.is_empty() {
            return Err(self.fail(bad("must specify at least one target")));
        }
        let value = match config.value.trim() {
            "" => self.folder.path.rsplit('/').next().unwrap_or_default(),
            value => value,
        };
        let targets = targets.into_iter().map(|target| AddTo::new(target).map_err(|problem| self.fail(problem)));
        Ok(ValueAdd { value: value.into(), targets: targets.collect::<Result<_, _>>()? })
    }
}

fn is_transformer(kind: &str) -> bool {
    const KINDS: [&str; 14] = [
        "AnnotationsTransformer",
        "HashTransformer",
        "ImageTagTransformer",
        "LabelTransformer",
        "NamespaceTransformer",
        "PatchJson6902Transformer",
        "PatchStrategicMergeTransformer",
        "PatchTransformer",
        "PrefixSuffixTransformer",
        "PrefixTransformer",
        "SuffixTransformer",
        "ReplacementTransformer",
        "ReplicaCountTransformer",
        "ValueAddTransformer",
    ];
    KINDS.contains(&kind)
}

/// Adds a value to fields, whole or as a part of a path.
pub(crate) struct ValueAdd {
    value: String,
    targets: Vec<AddTo>,
}

struct AddTo {
    matcher: Option<Matcher>,
    path: String,
    parts: Vec<String>,
    position: usize,
}

impl AddTo {
    fn new(target: ValueTarget) -> Result<Self, Problem> {
        if target.field_path.is_empty() {
            return Err(bad("fieldPath cannot be empty"));
        }
        let position = usize::try_from(target.position)
            .map_err(|_| bad(format!("value of FilePathPosition ({}) cannot be negative", target.position)))?;
        let matcher = target.selector.as_ref().map(Matcher::new).transpose()?;
        let mut parts: Vec<String> = Vec::new();
        for piece in target.field_path.split('/') {
            match parts.last_mut().filter(|last| last.ends_with('\\')) {
                Some(last) => {
                    last.pop();
                    last.push('/');
                    last.push_str(piece);
                }
                None => parts.push(piece.into()),
            }
        }
        Ok(Self { matcher, path: target.field_path, parts, position })
    }
}

impl ValueAdd {
    /// Adds the value to all targets.
    pub(crate) fn run(&self, resources: &mut Resources, facts: &Facts) -> Vec<Error> {
        let mut errors = Vec::new();
        for target in &self.targets {
            let places: Vec<usize> = match &target.matcher {
                Some(matcher) => patch::selected(matcher, resources, facts),
                None => (0..resources.list().len()).collect(),
            };
            for at in places {
                let (list, growth) = resources.list_and_growth();
                let Some(resource) = list.get_mut(at) else { continue };
                let cluster = resource.id(facts).cluster;
                let paid = growth.text(self.value.len());
                let result = paid.and_then(|()| self.add(&mut resource.node, target, cluster));
                errors.extend(result.err().map(|problem| resource.error(facts, problem)));
            }
        }
        errors
    }

    fn add(&self, object: &mut Node, target: &AddTo, cluster: bool) -> Result<(), Problem> {
        if target.path == "metadata/namespace" {
            let (namespace, specs) = (self.value.clone(), Vec::new());
            let change = NamespaceChange { namespace, specs, unset_only: false, subjects: Subjects::NamedDefault };
            return change.change(object, cluster);
        }
        let field = make(object, &target.parts)?;
        tree::expect_kind(field, Kind::Scalar)?;
        let value = match target.position {
            0 => self.value.clone(),
            position => insert_part(&field.value, position - 1, &self.value),
        };
        tree::set_scalar(field, tree::untagged(&value))
    }
}

/// The field at a path, made when missing.
fn make<'a>(node: &'a mut Node, path: &[String]) -> Result<&'a mut Node, Problem> {
    growth::check_depth(path.len())?;
    match path.split_first() {
        None => Ok(node),
        Some((name, [])) => tree::get_or_add(node, name, Kind::Scalar),
        Some((name, rest)) => make(tree::get_or_add(node, name, Kind::Mapping)?, rest),
    }
}

/// Puts `part` into a path, before the part that is at `position`.
fn insert_part(path: &str, position: usize, part: &str) -> String {
    let leading = if path.starts_with('/') { "/" } else { "" };
    let mut parts: Vec<&str> = path.split('/').filter(|piece| !piece.is_empty() && *piece != ".").collect();
    parts.insert(position.min(parts.len()), part);
    format!("{leading}{}", parts.join("/"))
}
