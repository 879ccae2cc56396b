//! Builds what `kustomize build` builds, v5.8.1, byte for byte: as Flux calls it and as its command line does.
//!
//! # Flow
//! ```text
//! Files -> load -> accumulate -> generate -> transform     for each layer, from the deepest up
//!       -> name suffixes -> references -> variables -> order -> Objects
//! ```
//!
//! The algorithm stands in `target.rs`: `build` is all of it, `accumulate` one layer. What a layer makes and what changes it are the
//! two modules below; each transformer has a file of its own; which fields it is about is data (`defaults.rs`), and may be added to.
//!
//! # Guarantees
//! - Reads through [`manifest::Files`] alone, each file for its purpose: what a `configMapGenerator` reads stays sealed.
//! - Remote bases and charts are fetched and rendered by the caller, or refused; plugins that are programs are refused.
//! - All failures that do not depend on one another are found in one pass, each with file, line and object.
//! - No input panics or hangs: layers, folders, aliases, strange lists, depth, and what is read and added are bounded.
//!   Work is linear in the number of objects.
//!
//! # Caveats
//! Comments that carry an OpenAPI schema (`# {"$ref": …}`) are not read by patches, as upstream's are. An env file's line
//! above 64 KiB is read, where upstream silently drops it and all that follows.
//!
//! # Errors
//! [`Errors`]: their texts hold the original's key phrases and no value.

mod chart;
mod config;
mod crds;
mod decode;
mod defaults;
mod documents;
mod error;
mod facts;
mod fieldspec;
pub mod flux;
mod generate;
mod growth;
mod hash;
mod id;
mod image;
mod json_patch;
mod kustomization;
mod labels;
mod lists;
mod loader;
mod names;
mod namespace;
mod order;
mod output;
mod patch;
mod plugin;
mod provenance;
mod references;
mod remote;
mod replacement;
mod replicas;
mod resource;
mod resources;
mod selector;
mod strategic;
mod target;
mod transform;
mod tree;
mod variables;

use manifest::{EntryKind, Files, Object};

pub use chart::{Chart, Charts};
pub use error::{Error, Errors, Problem};
pub use remote::{Address, Remote, RemoteError};

use config::FieldSpec;
use id::Gvk;
use kustomization::{Kustomization, SortOptions};
use loader::{Folder, Spent};
use target::Built;
use transform::Transformer;

/// The order of the objects, where the kustomization says none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they were built: Flux.
    #[default]
    AsBuilt,
    /// By kind, then by name: the command line's default.
    Legacy,
}

/// Which files a kustomization may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restriction {
    /// Any of the tree: Flux.
    #[default]
    None,
    /// Those in and below its own folder: the command line's default. Bases may lie anywhere all the same.
    RootOnly,
}

/// Whether a path is left out.
pub type Ignored<'a> = dyn Fn(&str, EntryKind) -> bool + Send + Sync + 'a;

/// How a folder is built. The default is what Flux does, without remote bases.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// The order of the objects.
    pub order: Order,
    /// Which files may be read.
    pub restriction: Restriction,
    /// Who fetches remote files and bases; without, they are errors.
    pub remote: Option<&'a dyn Remote>,
    /// Who renders charts; without, they are errors.
    pub charts: Option<&'a dyn Charts>,
    /// What Flux's command line leaves out of the folder that it builds, by paths from there: entries of its own
    /// kustomization, and files of one that is made.
    pub ignored: Option<&'a Ignored<'a>>,
    /// Whether what kustomize knows of Kubernetes' kinds stays known beside a kustomization's own OpenAPI document: so
    /// under Flux, not on the command line.
    pub keeps_builtin_schema: bool,
}

/// Builds the kustomization of a folder. As the original, it lets objects pass that Kubernetes would not take: see
/// [`Object::check`].
///
/// # Errors
/// All failures that were found; there is at least one.
pub fn build(files: &dyn Files, folder: &str, options: &Options<'_>) -> Result<Vec<Object>, Errors> {
    let spent = Spent::default();
    let root = Folder::root(files, folder, options, &spent).map_err(|problem| Errors::one(folder, problem))?;
    finish(target::build(root, None)?, options)
}

/// As [`build`], of the folder of a repository that an address names; `None` when `address` is the path of a folder.
///
/// # Errors
/// As [`build`].
pub fn build_remote(address: &str, options: &Options<'_>) -> Option<Result<Vec<Object>, Errors>> {
    let parsed = Address::read(address)?;
    let spent = Spent::default();
    let root = Folder::remote_root(address, &parsed, options, &spent);
    let root = root.map_err(|problem| Errors::one(&remote::without_query(address), problem));
    Some(root.and_then(|root| target::build(root, None)).and_then(|built| finish(built, options)))
}

/// Orders the objects and takes off what only the build needed.
fn finish(built: Built, options: &Options<'_>) -> Result<Vec<Object>, Errors> {
    let Built { mut resources, kustomization, facts, file } = built;
    sort(&mut resources, &kustomization, options.order, &facts).map_err(|problem| Errors::one(&file, problem))?;
    let has = |option: &str| kustomization.build_metadata.iter().any(|word| word == option);
    if has("managedByLabel") {
        let pairs = [("app.kubernetes.io/managed-by".to_owned(), "kustomize-v5.8.1".to_owned())].into();
        let specs = vec![FieldSpec::new(Gvk::default(), "metadata/labels", true)];
        Transformer::Pairs(pairs, specs).run(&mut resources, &facts, &file).map_err(Errors)?;
    }
    let mut keep = Vec::new();
    keep.extend(has("originAnnotations").then_some(resource::ORIGIN));
    keep.extend(has("transformerAnnotations").then_some(resource::TRANSFORMATIONS));
    let mut errors = Vec::new();
    let mut objects = Vec::new();
    for mut resource in resources.into_list() {
        let value = resource.finish(&keep).and_then(|()| output::value(&resource.node));
        match value.and_then(|value| output::check_printable(&value).map(|()| value)) {
            Ok(value) => objects.push(Object::unchecked(value).at(resource.origin)),
            Err(problem) => errors.push(resource.error(&facts, problem)),
        }
    }
    Errors::unless_any(errors, objects)
}

fn sort(
    resources: &mut resources::Resources,
    kustomization: &Kustomization,
    order: Order,
    facts: &facts::Facts,
) -> Result<(), Problem> {
    let (first, last) = match (&kustomization.sort_options, order) {
        (None, Order::AsBuilt) => return Ok(()),
        (None, Order::Legacy) => (order::FIRST.map(String::from).to_vec(), order::LAST.map(String::from).to_vec()),
        (Some(SortOptions { order, legacy }), _) => match (order.as_str(), legacy) {
            ("fifo", None) => return Ok(()),
            ("fifo", Some(_)) => {
                let reason = "the field 'sortOptions.legacySortOptions' is set but the selected sort order is 'fifo', not 'legacy'";
                return Err(Problem::BadOrder { reason });
            }
            ("legacy", None) => (order::FIRST.map(String::from).to_vec(), order::LAST.map(String::from).to_vec()),
            ("legacy", Some(legacy)) => (legacy.order_first.clone(), legacy.order_last.clone()),
            _ => {
                return Err(Problem::BadOrder {
                    reason: "the field 'sortOptions.order' must be one of [fifo, legacy]",
                });
            }
        },
    };
    resources.list_mut().sort_by_cached_key(|resource| order::legacy(&resource.id(facts), &first, &last));
    Ok(())
}

/// Prints an object as `kustomize build` prints it.
#[must_use]
pub fn to_yaml(object: &Object) -> String {
    yaml::emit::to_yaml(object.value())
}

/// Prints objects as `kustomize build` prints them: with `---` between them.
#[must_use]
pub fn print(objects: &[Object]) -> String {
    let mut text = String::new();
    for (at, object) in objects.iter().enumerate() {
        text.push_str(if at > 0 { "---\n" } else { "" });
        text.push_str(&to_yaml(object));
    }
    text
}
