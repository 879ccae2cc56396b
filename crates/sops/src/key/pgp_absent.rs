//! In place of OpenPGP, where its feature is off: keys are named as what cannot be used.

use std::sync::Arc;

use crate::cipher::DataKey;
use crate::error::KeyProblem;
use crate::key::IdentityError;
use crate::key::identities::{Origin, Prompt};

/// No keys.
#[derive(Default)]
pub(super) struct Ring;

#[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "it stands in for one that has keys")]
impl Ring {
    pub(super) fn add(
        &mut self,
        source: &str,
        _: &str,
        _: Option<&Arc<dyn Prompt>>,
    ) -> Result<Vec<String>, IdentityError> {
        Ok(vec![format!("the PGP keys of {source}: this build has no PGP")])
    }

    pub(super) fn is_empty(&self) -> bool {
        true
    }

    pub(super) fn origins(&self) -> impl Iterator<Item = &Origin> {
        std::iter::empty()
    }

    pub(super) fn unwrap(&self, _: &str) -> Result<DataKey, KeyProblem> {
        Err(KeyProblem::Unsupported)
    }

    pub(super) fn wrap(&self, _: &str, _: &[u8]) -> Result<String, &'static str> {
        Err("this build has no PGP")
    }
}
