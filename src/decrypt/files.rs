//! A tree of files that opens what is read.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use manifest::{Content, Entry, EntryKind, FilesError, Purpose};
use sops::{Format, Indents, MacState, Plain, Sealed};

use super::{Identities, Witness};

/// A tree whose encrypted files are open to those who may read them. A file is decrypted once, and its plaintext kept
/// until the tree goes.
pub struct Files<'i> {
    inner: Arc<dyn manifest::Files>,
    /// None without `spec.decryption`: then nothing is opened.
    identities: Option<&'i Identities>,
    enforces_mac: bool,
    witness: Witness<'i>,
    opened: Mutex<HashMap<(String, Format), Content>>,
    warnings: Mutex<Vec<String>>,
}

impl<'i> Files<'i> {
    /// Opens files of `inner`. With `enforces_mac` a file whose MAC does not match is refused.
    pub fn new(
        inner: Arc<dyn manifest::Files>,
        identities: Option<&'i Identities>,
        enforces_mac: bool,
        witness: Witness<'i>,
    ) -> Self {
        Self { inner, identities, enforces_mac, witness, opened: Mutex::default(), warnings: Mutex::default() }
    }

    /// What is odd about files that were read, each with its path.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn open(&self, path: &str, bytes: &[u8], format: Format, identities: &Identities) -> Result<Content, FilesError> {
        let stale = |state| match self.enforces_mac {
            true => Err(sops::Error::Mac(state)),
            false => {
                self.warn(format!("{path}: {state}"));
                Ok(())
            }
        };
        match plain(bytes, format, identities, self.witness, &stale) {
            Ok(plain) => Ok(Content::new(plain.into_bytes())),
            Err(sops::Error::TooLarge { limit }) => {
                Err(FilesError::TooLarge { path: path.into(), limit: u64::try_from(limit).unwrap_or(u64::MAX) })
            }
            Err(error) => {
                let hint = identities.hint(&error);
                Err(FilesError::Sealed { path: path.into(), source: Box::new(Failure { error, hint }) })
            }
        }
    }

    fn warn(&self, warning: String) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }

    fn kept(&self, key: &(String, Format)) -> Option<Content> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.get(key).map(|content| Content::new(content.bytes().to_vec()))
    }

    fn keep(&self, key: (String, Format), content: &Content) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.insert(key, Content::new(content.bytes().to_vec()));
    }
}

/// Opens a file of values for a chart; `None` for one that is not encrypted. Its MAC must match: nothing says that it
/// need not.
///
/// # Errors
/// In words: why it does not open, or that nobody decrypts here.
pub fn values(
    path: &str,
    bytes: &[u8],
    identities: Option<&Identities>,
    witness: Witness<'_>,
) -> Result<Option<Plain>, String> {
    let format = if path.ends_with(".json") { Format::Json } else { Format::Yaml };
    if !sops::is_encrypted(bytes, format) {
        return Ok(None);
    }
    let nobody =
        "is SOPS encrypted, and the HelmRelease is no object of a Kustomization that decrypts (spec.decryption)";
    let identities = identities.ok_or(nobody)?;
    let plain = plain(bytes, format, identities, witness, &|state| Err(sops::Error::Mac(state)));
    plain.map(Some).map_err(|error| format!("{error}{}", identities.hint(&error)))
}

/// The plaintext of a file; `stale` says what becomes of one whose MAC does not match.
fn plain(
    bytes: &[u8],
    format: Format,
    identities: &Identities,
    witness: Witness<'_>,
    stale: &dyn Fn(MacState) -> Result<(), sops::Error>,
) -> Result<Plain, sops::Error> {
    let opened = Sealed::load(bytes, format)?.open(identities.keys(), &|value| witness(value))?;
    match opened.mac() {
        MacState::Valid => {}
        state => stale(state)?,
    }
    opened.emit(format, Indents::default())
}

impl manifest::Files for Files<'_> {
    fn kind(&self, path: &str) -> Result<Option<EntryKind>, FilesError> {
        self.inner.kind(path)
    }

    fn read(&self, path: &str, purpose: Purpose<'_>) -> Result<Content, FilesError> {
        let (Some(identities), Some(format)) = (self.identities, format(path, purpose)) else {
            return self.inner.read(path, purpose);
        };
        let key = (path.to_owned(), format);
        if let Some(content) = self.kept(&key) {
            return Ok(content);
        }
        let content = self.inner.read(path, purpose)?;
        if !sops::is_encrypted(content.bytes(), format) {
            return Ok(content);
        }
        let asks_not_to = purpose == Purpose::Resource && mentions_switch(content.bytes());
        if asks_not_to && !self.enforces_mac {
            return Ok(content);
        }
        match self.open(path, content.bytes(), format, identities) {
            // The MAC was looked at; what cannot be opened here cannot be opened later either.
            Ok(_) if asks_not_to => Ok(content),
            Err(FilesError::Sealed { source, .. }) if asks_not_to && !is_about_mac(&*source) => Ok(content),
            Ok(opened) => {
                self.keep(key, &opened);
                Ok(opened)
            }
            // Documents that were encrypted one by one, and then put into one file, open one by one once they are built.
            Err(FilesError::Sealed { .. }) if purpose == Purpose::Resource && !self.enforces_mac => Ok(content),
            Err(error) => Err(error),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<Entry>, FilesError> {
        self.inner.list(path)
    }

    fn real(&self, path: &str) -> Result<String, FilesError> {
        self.inner.real(path)
    }
}

/// The format that a file is opened in; `None` where it stays sealed. Flux's rules.
fn format(path: &str, purpose: Purpose<'_>) -> Option<Format> {
    match purpose {
        Purpose::SecretFile { key } => Some(format_of_key(key)),
        Purpose::SecretEnvs => Some(match Format::from_path(path) {
            Format::Binary => Format::Dotenv,
            format => format,
        }),
        Purpose::Patch | Purpose::Resource => Some(Format::from_path(path)),
        _ => None,
    }
}

/// The format of a Secret's entry.
pub(super) fn format_of_key(key: &str) -> Format {
    if key.ends_with(".dockerconfigjson") { Format::Json } else { Format::from_path(key) }
}

/// An object can ask not to be opened. Whether it does is seen once the file is objects.
fn mentions_switch(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.contains(super::sealed::SWITCH))
}

fn is_about_mac(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(|failure: &Failure| matches!(failure.error, sops::Error::Mac(_)))
}

/// Why a file could not be opened, and what may have caused it.
#[derive(Debug)]
struct Failure {
    error: sops::Error,
    hint: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.error, self.hint)
    }
}

impl std::error::Error for Failure {}
