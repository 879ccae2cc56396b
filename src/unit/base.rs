//! What a kustomization names outside of its source.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A repository or a file, by an address that may hold a password or a token.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// A commit of a repository.
    Tree {
        /// Address as it is written.
        repository: String,
        /// What `git fetch` takes: a branch, a tag, a commit's id; empty for the default branch.
        reference: String,
    },
    /// What a server answers.
    File {
        /// Address as it is written.
        url: String,
    },
}

impl Base {
    /// A name for it that tells nothing, and nobody else has.
    pub fn key(&self) -> String {
        super::digest(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }

    /// The address as it is written: not to be told.
    pub fn address(&self) -> &str {
        match self {
            Self::Tree { repository, .. } => repository,
            Self::File { url } => url,
        }
    }
}

/// Without the address.
impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key())
    }
}
