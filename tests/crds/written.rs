//! How a file of `crds/` is made: the published schema without its descriptions, and ours in their place.

use lockstep::api::Kind;
use lockstep::api::helm::HelmRelease;
use lockstep::api::kustomization::Kustomization;
use lockstep::api::secret::ExternalSecret;
use lockstep::api::source::{GitRepository, HelmChart, HelmRepository};
use lockstep::api::store::{ClusterSecretStore, SecretStore};
use serde_json::Value;

/// What stands at the top of every object of ours; `metadata` must have no description.
const TOP: [(&str, &str); 4] = [
    ("apiVersion", "Group and version of the API that the object is written in."),
    ("kind", "Kind of the object."),
    ("spec", "What is asked for."),
    ("status", "What is known; the controller writes it."),
];

/// The texts of one kind.
pub(crate) struct Descriptions {
    pub(crate) kind: &'static str,
    pub(crate) version: &'static str,
    pub(crate) about: &'static str,
    pub(crate) fields: Vec<(String, String)>,
}

/// The texts of every kind that Lockstep reconciles.
pub(crate) fn descriptions() -> Vec<Descriptions> {
    vec![
        of::<GitRepository>(),
        of::<HelmRepository>(),
        of::<HelmChart>(),
        of::<Kustomization>(),
        of::<HelmRelease>(),
        of::<SecretStore>(),
        of::<ClusterSecretStore>(),
        of::<ExternalSecret>(),
    ]
}

fn of<K: Kind>() -> Descriptions {
    let top = TOP.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let (_, version) = K::API_VERSION.split_once('/').expect("every kind has a group");
    Descriptions { kind: K::KIND, version, about: K::ABOUT, fields: top.chain(K::descriptions()).collect() }
}

/// What Flux's installation adds to its schemas, and `flux check` and `flux version` look for.
const LABELS: [(&str, &str); 2] = [("app.kubernetes.io/part-of", "flux"), ("app.kubernetes.io/version", "v2.9.4")];

/// The definition of `crds/` for a published one, and the described paths that it does not have.
pub(crate) fn definition(published: &Value) -> (Value, Vec<String>) {
    let mut definition = without_descriptions(published);
    if origin(published) == "Flux" {
        LABELS.iter().for_each(|(name, value)| definition["metadata"]["labels"][name] = (*value).into());
    }
    let ours = descriptions().into_iter().find(|texts| published["spec"]["names"]["kind"] == texts.kind);
    let lost = ours.map(|texts| describe(&mut definition, &texts)).unwrap_or_default();
    (definition, lost)
}

/// The file of a definition.
pub(crate) fn text(definition: &Value) -> String {
    let head = format!(
        "# Written by `cargo crds`: the schema that {} publishes, with no descriptions but Lockstep's own.\n",
        origin(definition)
    );
    head + &yaml::emit::to_yaml(definition)
}

fn origin(definition: &Value) -> &'static str {
    let group = definition["spec"]["group"].as_str().expect("a definition has a group");
    if group.ends_with("fluxcd.io") { "Flux" } else { "External Secrets" }
}

/// A definition of `crds/` as far as it is published: without descriptions and the labels of an installation.
pub(crate) fn published_part(ours: &Value) -> Value {
    let mut definition = without_descriptions(ours);
    let metadata = definition["metadata"].as_object_mut().expect("a definition has metadata");
    if origin(ours) == "Flux" {
        metadata.remove("labels");
    }
    definition
}

/// The same without any description. A property of that name is a map, and stays.
pub(crate) fn without_descriptions(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, value)| *name != "description" || !value.is_string());
            kept.map(|(name, value)| (name.clone(), without_descriptions(value)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        Value::Array(items) => items.iter().map(without_descriptions).collect(),
        other => other.clone(),
    }
}

fn describe(schema: &mut Value, texts: &Descriptions) -> Vec<String> {
    let versions = schema["spec"]["versions"].as_array_mut().expect("a definition has versions");
    let version = versions.iter_mut().find(|version| version["name"] == texts.version).expect("the version is served");
    let root = &mut version["schema"]["openAPIV3Schema"];
    root["description"] = texts.about.into();
    let mut lost = Vec::new();
    for (path, text) in &texts.fields {
        match property(root, path) {
            Some(property) => property["description"] = text.as_str().into(),
            // Conditions share one struct, and those of External Secrets carry no generation.
            None if path == "status.conditions[].observedGeneration" => {}
            None => lost.push(format!("{} {path}", texts.kind)),
        }
    }
    lost
}

fn property<'a>(root: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.').try_fold(root, |schema, step| match step.strip_suffix("[]") {
        _ if step == "*" => schema.get_mut("additionalProperties"),
        Some(list) => schema.get_mut("properties")?.get_mut(list)?.get_mut("items"),
        None => schema.get_mut("properties")?.get_mut(step),
    })
}
