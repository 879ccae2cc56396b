//! Building a folder as Flux's kustomize-controller does: with a kustomization made from the files that lie there when
//! there is none, and with what the Flux Kustomization adds (fluxcd/pkg/kustomize v1.39.0).

use manifest::{EntryKind, Files, Object, Purpose, normalize};
use serde_json::Value;

use crate::documents;
use crate::error::{Error, Errors, Problem};
use crate::kustomization::{FILE_NAMES, Image, Kustomization, Patch};
use crate::loader::{Folder, Spent};
use crate::{Options, decode, patch, remote, target};

decode::record!(
    /// What a Flux Kustomization's `spec` says about the build.
    Spec {
        target_namespace: Option<String> = "targetNamespace",
        name_prefix: Option<String> = "namePrefix",
        name_suffix: Option<String> = "nameSuffix",
        patches: Vec<Patch> = "patches",
        patches_strategic_merge: Vec<Value> = "patchesStrategicMerge",
        patches_json6902: Vec<JsonPatch> = "patchesJson6902",
        components: Vec<String> = "components",
        ignore_missing_components: bool = "ignoreMissingComponents",
        images: Vec<Image> = "images",
        build_metadata: Vec<String> = "buildMetadata",
    }
);

decode::record!(
    /// The old form of a JSON patch: its operations as a list.
    JsonPatch {
        patch: Value = "patch",
        target: Option<crate::kustomization::Selector> = "target",
    }
);

/// Builds the folder `path` of a source for the Flux Kustomization with this `spec`. Every object is one of Kubernetes.
///
/// Unlike `kustomize build`, Flux passes over fields of the kustomization that do not exist, and reads numbers as texts.
///
/// # Errors
/// All failures that were found; there is at least one.
pub fn build(files: &dyn Files, path: &str, spec: &Value, options: &Options<'_>) -> Result<Vec<Object>, Errors> {
    let options = Options { keeps_builtin_schema: true, ..*options };
    let spec: Spec =
        decode::decode(spec.clone(), decode::Leniency::Lenient).map_err(|problems| Errors::many("", problems))?;
    let spent = Spent::default();
    let folder =
        Folder::root(files, path, &options, &spent).map_err(|problem| Errors::one(path, not_found(path, problem)))?;
    let (name, mut kustomization) = existing_or_made(files, &folder)?;
    leave_out(&mut kustomization, &folder);
    add(&mut kustomization, spec, &folder)?;
    let kustomization = kustomization.settled().map_err(|problems| Errors::many(&folder.path_of(name), problems))?;
    let objects = crate::finish(target::build(folder, Some((name, kustomization)))?, &options)?;
    let mut errors = Vec::new();
    for object in &objects {
        if let (Err(error), Some(origin)) = (object.check(), object.origin()) {
            errors.push(Error::of_object(origin, object.id().to_string(), Problem::NoKubernetesObject(error)));
        }
    }
    Errors::unless_any(errors, objects)
}

fn not_found(path: &str, problem: Problem) -> Problem {
    match problem {
        Problem::NotFound { .. } => Problem::NoPath { path: path.into() },
        other => other,
    }
}

/// The folder's kustomization, or one that names the files and kustomizations below it.
fn existing_or_made(files: &dyn Files, folder: &Folder<'_>) -> Result<(&'static str, Kustomization), Errors> {
    let is_file = |name: &&&str| matches!(folder.kind(name), Ok(Some(EntryKind::File)));
    if !FILE_NAMES.iter().any(|name| is_file(&name)) {
        return make(files, folder).map(|kustomization| (FILE_NAMES[0], kustomization));
    }
    let (name, text) = folder.kustomization()?;
    let place = folder.path_of(name);
    let value = yaml::from_str(&text).map_err(|error| Errors::one(&place, error))?;
    let mut kustomization = Kustomization::leniently(value).map_err(|problems| Errors::many(&place, problems))?;
    if kustomization.resources.is_empty() {
        kustomization.build_metadata = vec!["originAnnotations".into()];
    }
    Ok((name, kustomization))
}

/// How deep folders may lie in one another.
const DEEPEST: usize = 100;

fn make(files: &dyn Files, folder: &Folder<'_>) -> Result<Kustomization, Errors> {
    let mut found = Found { files, folder, resources: Vec::new(), errors: Vec::new() };
    found.walk(&folder.path, 0);
    let mut kustomization = Kustomization { resources: found.resources, ..Kustomization::default() };
    if kustomization.resources.is_empty() {
        kustomization.namespace = "_placeholder".into();
    }
    Errors::unless_any(found.errors, kustomization)
}

/// Takes entries out that whoever calls leaves out.
fn leave_out(kustomization: &mut Kustomization, folder: &Folder<'_>) {
    let is_left_out = |entry: &String| {
        let kind = folder.kind(entry).ok().flatten();
        !remote::is_remote(entry) && kind.is_some_and(|kind| is_ignored(folder, &folder.path_of(entry), kind))
    };
    for entries in [&mut kustomization.resources, &mut kustomization.components, &mut kustomization.crds] {
        entries.retain(|entry| !is_left_out(entry));
    }
}

/// Whether a path of the tree is left out. What does not lie below the folder never is.
fn is_ignored(folder: &Folder<'_>, path: &str, kind: EntryKind) -> bool {
    let Some(ignored) = folder.options().ignored else { return false };
    let below = if folder.path.is_empty() { Some(path) } else { path.strip_prefix(&folder.path) };
    let below = below.and_then(|below| below.strip_prefix('/').or(folder.path.is_empty().then_some(below)));
    below.is_some_and(|below| ignored(below, kind))
}

struct Found<'a> {
    files: &'a dyn Files,
    folder: &'a Folder<'a>,
    resources: Vec<String>,
    errors: Vec<Error>,
}

impl Found<'_> {
    fn walk(&mut self, folder: &str, depth: usize) {
        if depth > DEEPEST {
            return self
                .errors
                .push(Error::in_file(folder, Problem::TooMuch { what: "folders in one another", limit: DEEPEST }));
        }
        let entries = match self.files.list(folder) {
            Ok(entries) => entries,
            Err(error) => return self.errors.push(Error::in_file(folder, error)),
        };
        for entry in entries {
            let path = if folder.is_empty() { entry.name } else { format!("{folder}/{}", entry.name) };
            match entry.kind {
                EntryKind::Folder if self.has_kustomization(&path) => self.add(&path),
                EntryKind::Folder => self.walk(&path, depth + 1),
                EntryKind::File if is_manifest(&path) && !is_ignored(self.folder, &path, EntryKind::File) => {
                    self.add_file(&path);
                }
                EntryKind::File => {}
            }
        }
    }

    fn has_kustomization(&self, folder: &str) -> bool {
        let is_file = |name: &&str| matches!(self.files.kind(&format!("{folder}/{name}")), Ok(Some(EntryKind::File)));
        FILE_NAMES.iter().any(is_file)
    }

    /// Every file must hold objects.
    fn add_file(&mut self, path: &str) {
        let text = match self.files.read(path, Purpose::Resource) {
            Ok(content) => content.text().map(String::from).ok_or(Problem::NotText),
            Err(error) => Err(error.into()),
        };
        match text.map(|text| documents::objects(&text)) {
            Ok(Ok(_)) => self.add(path),
            Ok(Err(problems)) => self.errors.extend(patch::at_lines(path, problems)),
            Err(problem) => self.errors.push(Error::in_file(path, problem)),
        }
    }

    fn add(&mut self, path: &str) {
        let below = path.strip_prefix(&*self.folder.path).unwrap_or(path).trim_start_matches('/');
        self.resources.push(format!("./{below}"));
    }
}

fn is_manifest(path: &str) -> bool {
    path.ends_with(".yaml") || path.ends_with(".yml")
}

/// Adds what the Flux Kustomization says.
fn add(kustomization: &mut Kustomization, spec: Spec, folder: &Folder<'_>) -> Result<(), Errors> {
    if let Some(namespace) = spec.target_namespace {
        kustomization.namespace = namespace;
    }
    if let Some(prefix) = spec.name_prefix {
        kustomization.name_prefix = prefix;
    }
    if let Some(suffix) = spec.name_suffix {
        kustomization.name_suffix = suffix;
    }
    let inline = |patch: Patch| Patch { patch: patch.patch, target: patch.target, ..Patch::default() };
    kustomization.patches.extend(spec.patches.into_iter().map(inline));
    add_components(kustomization, spec.components, spec.ignore_missing_components, folder)?;
    let strategic = spec.patches_strategic_merge.iter();
    kustomization.patches_strategic_merge.extend(strategic.map(Value::to_string));
    for JsonPatch { patch, target } in spec.patches_json6902 {
        kustomization.patches_json6902.push(Patch { patch: patch.to_string(), target, ..Patch::default() });
    }
    for image in spec.images {
        add_image(&mut kustomization.images, image);
    }
    if !spec.build_metadata.is_empty() {
        kustomization.build_metadata = spec.build_metadata;
    }
    Ok(())
}

fn add_components(
    kustomization: &mut Kustomization,
    components: Vec<String>,
    skip_missing: bool,
    folder: &Folder<'_>,
) -> Result<(), Errors> {
    let mut errors = Vec::new();
    for component in components {
        if component.starts_with('/') || remote::is_remote(&component) {
            errors.push(Error::in_file("", Problem::ComponentNotLocal { path: component }));
            continue;
        }
        let is_there = normalize(&folder.path, &component).is_ok() && matches!(folder.kind(&component), Ok(Some(_)));
        if is_there || !skip_missing {
            kustomization.components.push(component);
        }
    }
    Errors::unless_any(errors, ())
}

/// An image of the same name gets what is said about it; tag and digest are replaced together.
fn add_image(images: &mut Vec<Image>, image: Image) {
    let image = Image { tag_suffix: String::new(), ..image };
    let Some(known) = images.iter_mut().find(|known| known.name == image.name) else { return images.push(image) };
    if !image.new_name.is_empty() {
        known.new_name = image.new_name;
    }
    if !image.new_tag.is_empty() || !image.digest.is_empty() {
        known.new_tag = image.new_tag;
        known.digest = image.digest;
    }
}
