//! A fetched revision, and its verification.
//!
//! Flow: a source makes an [`Artifact`]; [`Artifact::verify`] makes it [`Verified`]; only that may be built. Who takes a
//! `Verified` cannot be handed what nobody looked at.

use std::sync::{Arc, OnceLock};

use manifest::{Files, FilesError};

/// What Flux's status says of an artifact's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// `sha256:<hex>` of the archive that Flux's source-controller would store.
    pub digest: String,
    /// Its size, in bytes.
    pub size: u64,
}

/// Makes the archive and measures it.
pub type Measurer = Box<dyn Fn() -> Result<Measure, FilesError> + Send + Sync>;

/// One revision of a source.
pub struct Artifact {
    /// Revision as Flux writes it: `main@sha1:…`, `sha1:…`, `sha256:…`.
    pub revision: String,
    /// The first line of the commit's message, at most 50 characters of it; for events.
    pub subject: Option<String>,
    /// The files, without those that are ignored.
    pub files: Arc<dyn Files>,
    measurer: Measurer,
    measure: OnceLock<Measure>,
}

impl Artifact {
    /// An artifact whose archive is measured when somebody asks, once.
    pub fn new(revision: String, subject: Option<String>, files: Arc<dyn Files>, measurer: Measurer) -> Self {
        Self { revision, subject, files, measurer, measure: OnceLock::new() }
    }

    /// Digest and size of the archive. The first call reads and packs every file: not for an async thread.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn measure(&self) -> Result<&Measure, FilesError> {
        if let Some(measure) = self.measure.get() {
            return Ok(measure);
        }
        let measure = (self.measurer)()?;
        Ok(self.measure.get_or_init(|| measure))
    }

    /// Holds the artifact against what its source demands.
    ///
    /// # Errors
    /// When it does not fulfil it.
    pub fn verify(self: Arc<Self>, trust: &Trust) -> Result<Verified, VerifyError> {
        match trust {
            Trust::None => Ok(Verified { artifact: self }),
        }
    }
}

/// Whose signature an artifact must bear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// Nobody's: the source was reached as its URL and certificates say, and that is enough.
    #[default]
    None,
}

/// Why an artifact was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {}

/// An artifact that its source's rules admit.
#[derive(Clone)]
pub struct Verified {
    artifact: Arc<Artifact>,
}

impl Verified {
    /// The artifact.
    pub fn artifact(&self) -> &Arc<Artifact> {
        &self.artifact
    }

    /// Its files.
    pub fn files(&self) -> &Arc<dyn Files> {
        &self.artifact.files
    }
}
