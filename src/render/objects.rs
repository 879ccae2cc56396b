//! Manifests -> objects, with the labels that Flux gives them.

use helm::{File, Manifest, Rendered};
use manifest::Object;
use serde_json::{Map, Value};

use super::Error;
use super::target::Target;
use crate::api::reference::CommonMetadata;

/// Prefix of the labels by which helm-controller knows its objects.
const GROUP: &str = "helm.toolkit.fluxcd.io";

/// Does what Flux does to manifests and hooks after rendering (`commonMetadata`, then its own labels), and reads the
/// manifests as objects.
///
/// # Errors
/// The first text that is no object.
pub(super) fn after_rendering(
    rendered: &mut Rendered,
    target: &Target,
    common: Option<&CommonMetadata>,
) -> Result<Vec<Object>, Error> {
    let mut objects = Vec::new();
    let mut manifests = Vec::new();
    for manifest in std::mem::take(&mut rendered.manifests) {
        let Some((manifest, value)) = labelled(manifest, target, common)? else { continue };
        flatten(value, &manifest.source, &mut |object| objects.push(owned(object, target)))?;
        manifests.push(manifest);
    }
    rendered.manifests = manifests;
    let mut hooks = Vec::new();
    for mut hook in std::mem::take(&mut rendered.hooks) {
        let Some((manifest, _)) = labelled(hook.manifest, target, common)? else { continue };
        hook.manifest = manifest;
        hooks.push(hook);
    }
    rendered.hooks = hooks;
    Ok(objects)
}

/// A manifest with Flux's labels, printed as Flux's post-renderers print it, and its content; `None` for one that is
/// empty.
fn labelled(
    mut manifest: Manifest,
    target: &Target,
    common: Option<&CommonMetadata>,
) -> Result<Option<(Manifest, Value)>, Error> {
    let mut value = read(&manifest.text, &manifest.source)?;
    if value.is_null() {
        return Ok(None);
    }
    if let Some(common) = common {
        common.labels.iter().for_each(|(key, text)| set(&mut value, "labels", key, text));
        common.annotations.iter().for_each(|(key, text)| set(&mut value, "annotations", key, text));
    }
    set(&mut value, "labels", &format!("{GROUP}/name"), &target.owner_name);
    set(&mut value, "labels", &format!("{GROUP}/namespace"), &target.owner_namespace);
    manifest.text = printed(&value);
    Ok(Some((manifest, value)))
}

/// kustomize prints by yaml.v2, and Helm prints what it reads of that by yaml.v3.
fn printed(value: &Value) -> String {
    let first = yaml::emit::to_yaml(value);
    match yaml::parse(first.as_bytes(), &yaml::Limits::default()) {
        Ok(documents) => yaml::emit::documents(&documents, yaml::emit::EmitOptions::KYAML),
        Err(_) => first,
    }
}

fn read(text: &str, file: &str) -> Result<Value, Error> {
    yaml::from_str(text).map_err(|error| problem(file, error.to_string()))
}

fn problem(file: &str, problem: String) -> Error {
    Error::Object { source_file: file.to_owned(), problem }
}

fn set(value: &mut Value, field: &str, key: &str, text: &str) {
    let Some(map) = value.as_object_mut() else { return };
    let metadata = map.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    let Some(metadata) = metadata.as_object_mut() else { return };
    let texts = metadata.entry(field).or_insert(Value::Null);
    if !texts.is_object() {
        *texts = Value::Object(Map::new());
    }
    texts[key] = text.into();
}

/// The objects of a manifest: the items of a list count by themselves.
fn flatten(value: Value, file: &str, take: &mut dyn FnMut(Object)) -> Result<(), Error> {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value {
        Value::Object(mut map) if is_list && map.get("items").is_some_and(Value::is_array) => {
            let items = map.remove("items").unwrap_or_default();
            let Value::Array(items) = items else { return Ok(()) };
            items.into_iter().try_for_each(|item| flatten(item, file, take))
        }
        value => {
            take(Object::new(value).map_err(|error| problem(file, error.to_string()))?);
            Ok(())
        }
    }
}

/// Puts Helm's marks on an object of a release.
pub fn owned(mut object: Object, target: &Target) -> Object {
    object.set_label("app.kubernetes.io/managed-by", "Helm");
    object.set_annotation("meta.helm.sh/release-name", &target.name);
    object.set_annotation("meta.helm.sh/release-namespace", &target.namespace);
    object
}

/// The definitions of a chart's `crds/`, labelled, and what else lies there.
pub(super) fn definitions(files: &[File], target: &Target) -> Result<(Vec<Object>, Vec<String>), Error> {
    let (mut crds, mut strays) = (Vec::new(), Vec::new());
    for file in files {
        let text = String::from_utf8_lossy(&file.data);
        for document in yaml::documents(&text) {
            let value = read(document.text, &file.name)?;
            if value.is_null() {
                continue;
            }
            flatten(value, &file.name, &mut |mut object| {
                if object.kind() == "CustomResourceDefinition" {
                    object.set_label(&format!("{GROUP}/name"), &target.owner_name);
                    object.set_label(&format!("{GROUP}/namespace"), &target.owner_namespace);
                    crds.push(object);
                } else {
                    strays.push(format!("{}/{}", object.kind(), object.name()));
                }
            })?;
        }
    }
    Ok((crds, strays))
}

/// The objects of a record's manifest, as Helm brings them to the cluster.
pub(super) fn of_stream(manifest: &str, target: &Target) -> Result<Vec<Object>, Error> {
    let mut objects = Vec::new();
    for document in yaml::documents(manifest) {
        let file = document.text.lines().find_map(|line| line.strip_prefix("# Source: ")).unwrap_or("manifest");
        let value = read(document.text, file)?;
        if !value.is_null() {
            flatten(value, file, &mut |object| objects.push(owned(object, target)))?;
        }
    }
    Ok(objects)
}

/// The object of a hook.
///
/// # Errors
/// When its text is no object.
pub(super) fn of_hook(hook: &helm::Hook) -> Result<Object, Error> {
    let value = read(&hook.manifest.text, &hook.manifest.source)?;
    Object::new(value).map_err(|error| problem(&hook.manifest.source, error.to_string()))
}
