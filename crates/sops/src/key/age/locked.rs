//! Identities that a passphrase protects: somebody is asked for it when a file may be for them, and once.

use std::sync::Arc;

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Identity};
use age_core::format::{FileKey, Stanza};
use zeroize::Zeroizing;

use super::ssh::{LockedSsh, SshIdentity};
use super::{LARGEST, read_binary, read_opened};
use crate::key::identities::{Lock, Prompt};

/// An SSH key; its file tells for whom it is.
pub(super) struct LockedKey {
    key: LockedSsh,
    lock: Lock<SshIdentity>,
}

impl LockedKey {
    pub(super) fn new(key: LockedSsh, prompt: Arc<dyn Prompt>, source: &str) -> Self {
        Self { key, lock: Lock::new(prompt, source) }
    }
}

impl Identity for LockedKey {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if !self.key.is_for(stanza) {
            return None;
        }
        self.lock.open(|passphrase| self.key.unlock(passphrase))?.unwrap_stanza(stanza)
    }
}

/// A file of identities, as `age -p` encrypts it. Whom they are for is not known before.
pub(super) struct LockedFile {
    binary: Vec<u8>,
    lock: Lock<Vec<Box<dyn Identity + Send + Sync>>>,
}

impl LockedFile {
    /// `None` for a file that no passphrase opens.
    pub(super) fn new(file: &[u8], prompt: Arc<dyn Prompt>, source: &str) -> Option<Self> {
        let binary = read_binary(file, LARGEST)?;
        let is_locked = Decryptor::new_buffered(binary.as_slice()).is_ok_and(|decryptor| decryptor.is_scrypt());
        is_locked.then(|| Self { binary, lock: Lock::new(prompt, source) })
    }

    fn unlock(&self, passphrase: &str) -> Option<Vec<Box<dyn Identity + Send + Sync>>> {
        let mut identity = age::scrypt::Identity::new(SecretString::from(passphrase.to_owned()));
        identity.set_max_work_factor(HARDEST);
        let decryptor = Decryptor::new_buffered(self.binary.as_slice()).ok()?;
        let reader = decryptor.decrypt(std::iter::once(&identity as &dyn Identity)).ok()?;
        let text = read_opened(reader, self.binary.len()).ok()?;
        let text = Zeroizing::new(String::from_utf8(text.to_vec()).ok()?);
        let (found, _) = super::parse_lines(self.lock.source(), &text).ok()?;
        Some(found.into_iter().map(|named| named.identity).collect())
    }
}

/// `age -p` writes 18; each step more doubles the work.
const HARDEST: u8 = 22;

impl Identity for LockedFile {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        let identities = self.lock.open(|passphrase| self.unlock(passphrase))?;
        identities.iter().find_map(|identity| identity.unwrap_stanza(stanza))
    }
}
