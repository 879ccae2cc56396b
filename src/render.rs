//! HelmRelease + chart -> what Helm installs, and its records.
//!
//! # Flow
//! ```text
//! valuesFrom, values -> values::compose -> render -> Product (manifests with Flux's labels, hooks, crds)
//! Product + History -> storage::records -> what the records of the release become
//! ```
//!
//! # Guarantees
//! A render knows no clock, dice or cluster but those that its caller gives.

mod objects;
pub mod storage;
pub mod target;
pub mod values;

use std::sync::Arc;

use gotemplate::Environment;
use helm::{Action, Capabilities, Chart, Lookup, RenderOptions};
use manifest::Object;

use crate::api::reference::CommonMetadata;
pub use objects::owned;
use target::Target;

/// Field manager of what HelmReleases apply.
pub const MANAGER: &str = "helm-controller";

/// What is rendered.
pub struct Request<'a> {
    /// The chart.
    pub chart: Chart,
    /// Values as their user gave them.
    pub values: helm::values::Values,
    /// Names of the release.
    pub target: Target,
    /// Revision that the release gets.
    pub revision: i64,
    /// Installation or upgrade.
    pub action: Action,
    /// What the cluster can do.
    pub capabilities: Capabilities,
    /// Labels and annotations for every object.
    pub common: Option<&'a CommonMetadata>,
    /// Answers of the cluster to `lookup`.
    pub lookup: Arc<dyn Lookup>,
    /// Clock and dice.
    pub environment: &'a dyn Environment,
}

/// A rendered release.
pub struct Product {
    /// Helm's view of it: what the record holds.
    pub rendered: helm::Rendered,
    /// Values as their user gave them.
    pub config: helm::values::Values,
    /// Its objects in the order of installation, without default namespaces.
    pub objects: Vec<Object>,
    /// Custom resource definitions of `crds/`.
    pub crds: Vec<Object>,
    /// Objects of `crds/` that are no definitions: Flux leaves them out and says so.
    pub strays: Vec<String>,
}

/// Why a release was not rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The chart cannot be installed.
    #[error(transparent)]
    Chart(#[from] helm::ChartError),
    /// Values or templates.
    #[error(transparent)]
    Render(#[from] helm::RenderError),
    /// A text that is no object.
    #[error("{source_file}: {problem}")]
    Object {
        /// Template or file, by full path.
        source_file: String,
        /// What is wrong, without a value of it.
        problem: String,
    },
}

/// Renders a release. Not for an async thread.
///
/// # Errors
/// The first thing that fails.
pub fn render(request: Request<'_>) -> Result<Product, Error> {
    request.chart.check_installable()?;
    let target = &request.target;
    let options = RenderOptions {
        revision: request.revision,
        action: request.action,
        capabilities: request.capabilities,
        ..RenderOptions::new(&target.name, &target.namespace)
    };
    let mut rendered = helm::render(&request.chart, &request.values, &options, request.lookup, request.environment)?;
    let objects = objects::after_rendering(&mut rendered, target, request.common)?;
    let (crds, strays) = objects::definitions(&rendered.crds, target)?;
    Ok(Product { rendered, config: request.values, objects, crds, strays })
}

/// The objects of a release that landed before, by its record, and the definitions that came with them.
///
/// # Errors
/// When the record cannot be read.
pub fn recorded(release: &helm::record::Release, target: &Target) -> Result<(Vec<Object>, Vec<Object>), Error> {
    let (crds, _) = objects::definitions(&release.chart.crds(), target)?;
    Ok((objects::of_stream(&release.manifest, target)?, crds))
}
