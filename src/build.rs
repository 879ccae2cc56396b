//! Files -> the objects of a Flux Kustomization, as kustomize-controller builds them.
//!
//! The engine does the work; this step gives its failures the form that all steps share.

use kustomize::{Options, Problem, Remote, flux};
use manifest::{Files, Object, Origin};
use serde_json::Value;

/// One failure of a build.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// File and line, where known.
    pub origin: Option<Origin>,
    /// What failed; names the object where it is about one.
    pub message: String,
    /// The Kustomization's own path is not there: Flux counts that to the artifact.
    pub is_path: bool,
    /// Something could not be fetched that may be there later.
    pub is_transient: bool,
}

/// Builds the folder `path` for the Kustomization with this `spec`. Without somebody who fetches them, remote bases are
/// refused.
///
/// # Errors
/// All failures that could be found in one pass.
pub fn objects(
    files: &dyn Files,
    path: &str,
    spec: &Value,
    remote: Option<&dyn Remote>,
) -> Result<Vec<Object>, Vec<Error>> {
    let built = flux::build(files, path, spec, &Options { remote, ..Options::default() });
    built.map_err(|errors| errors.0.into_iter().map(from_engine).collect())
}

fn from_engine(error: kustomize::Error) -> Error {
    let kustomize::Error { origin, object, problem } = error;
    let told = match &problem {
        // The tree of files says only which file; why is behind it.
        Problem::Files(error) => with_causes(error),
        problem => problem.to_string(),
    };
    let message = object.map_or_else(|| told.clone(), |object| format!("{object}: {told}"));
    let is_path = matches!(problem, Problem::NoPath { .. });
    let is_transient = matches!(problem, Problem::RemoteFailed { cause, .. } if cause.transient);
    let is_named = origin.line == 0 && message.starts_with(&format!("{}: ", origin.file));
    let origin = Some(origin).filter(|origin| !is_path && !is_named && !origin.file.is_empty());
    Error { origin, message, is_path, is_transient }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |message, cause| format!("{message}: {cause}"))
}
