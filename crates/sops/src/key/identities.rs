//! What opens and wraps data keys.

use std::fmt;
use std::sync::{Arc, OnceLock};

use zeroize::Zeroizing;

use super::{IdentityError, KeyKind, MasterKey, age, pgp};
use crate::cipher::DataKey;
use crate::error::{Error, KeyProblem};

/// What holds keys that only a network reaches: key vaults. Called as rarely as the order of tries allows: after age and
/// PGP, and not at all once a group is open.
pub trait Service: Send + Sync {
    /// Opens the data key, or the part of one, that a key of such a kind wraps.
    ///
    /// # Errors
    /// Why not; never what was wrapped.
    fn unwrap(&self, key: &MasterKey) -> Result<DataKey, KeyProblem>;

    /// Wraps a data key, or a part of one.
    ///
    /// # Errors
    /// Why not.
    fn wrap(&self, key: &MasterKey, part: &[u8]) -> Result<Wrapped, String>;
}

/// Who is asked for the passphrase of an identity, when a document may be for it.
pub trait Prompt: Send + Sync {
    /// The passphrase of what a file holds; `None` when nobody gives one.
    fn passphrase(&self, file: &str) -> Option<Zeroizing<String>>;

    /// It was not that.
    fn refused(&self, file: &str);
}

/// What opens once somebody has been asked.
pub(super) struct Lock<T> {
    prompt: Arc<dyn Prompt>,
    source: String,
    opened: OnceLock<Option<T>>,
}

impl<T> Lock<T> {
    pub(super) fn new(prompt: Arc<dyn Prompt>, source: &str) -> Self {
        Self { prompt, source: source.to_owned(), opened: OnceLock::new() }
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// What `unlock` makes of the passphrase, which is asked for the first time only.
    pub(super) fn open(&self, unlock: impl FnOnce(&str) -> Option<T>) -> Option<&T> {
        let asked = || {
            let passphrase = self.prompt.passphrase(&self.source)?;
            let opened = unlock(&passphrase);
            if opened.is_none() {
                self.prompt.refused(&self.source);
            }
            opened
        };
        self.opened.get_or_init(asked).as_ref()
    }
}

/// What a service made of a data key.
pub struct Wrapped {
    /// As the metadata hold it.
    pub text: String,
    /// The version of the key, where keys have one and the newest was asked for.
    pub version: Option<String>,
}

/// Whose an identity is, and where it came from.
pub(super) struct Origin {
    pub(super) recipient: String,
    pub(super) source: String,
}

impl Origin {
    pub(super) fn new(recipient: impl fmt::Display, source: &str) -> Self {
        Origin { recipient: recipient.to_string(), source: source.to_owned() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.recipient, self.source)
    }
}

/// What opens documents. Shows recipients and names, never keys.
#[derive(Default)]
pub struct Identities {
    pub(super) age: Vec<age::Named>,
    pgp: pgp::Ring,
    /// Identities that are of no use here, and why.
    pub(super) unusable: Vec<String>,
    service: Option<Arc<dyn Service>>,
    /// Asks for passphrases of what is added from then on.
    pub(super) prompt: Option<Arc<dyn Prompt>>,
    /// Kinds of keys that are tried first.
    order: Option<Vec<KeyKind>>,
}

impl Identities {
    /// Has passphrases asked for, of what is added from then on. Without, what a passphrase protects is of no use.
    pub fn set_prompt(&mut self, prompt: Arc<dyn Prompt>) {
        self.prompt = Some(prompt);
    }

    /// Which kinds of keys are tried before all others, and in which order; age and then PGP, where nobody says so.
    pub fn set_order(&mut self, order: Vec<KeyKind>) {
        self.order = Some(order);
    }

    /// The keys of a group in the order in which they are tried.
    pub(crate) fn in_order<'k>(&self, group: &'k [MasterKey]) -> Vec<&'k MasterKey> {
        let order = self.order.as_deref().unwrap_or(&[KeyKind::Age, KeyKind::Pgp]);
        let mut keys: Vec<&MasterKey> = group.iter().collect();
        keys.sort_by_key(|key| order.iter().position(|kind| *kind == key.kind).unwrap_or(order.len()));
        keys
    }

    /// Gives keys of networked kinds to a service.
    pub fn set_service(&mut self, service: Arc<dyn Service>) {
        self.service = Some(service);
    }

    /// Adds armored OpenPGP keys: private ones open, and both kinds wrap. One that a passphrase protects is an error only
    /// when a document needs it.
    ///
    /// # Errors
    /// A text without a key.
    pub fn add_pgp(&mut self, source: &str, text: &str) -> Result<(), IdentityError> {
        let unusable = self.pgp.add(source, text, self.prompt.as_ref())?;
        self.unusable.extend(unusable);
        Ok(())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.age.is_empty() && self.pgp.is_empty() && self.service.is_none()
    }

    /// Each identity's recipient and where it came from; of those that cannot be used, why.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.origins().map(|origin| origin.to_string()).chain(self.unusable.iter().cloned()).collect()
    }

    /// The recipients, and fingerprints, of what can be used.
    #[must_use]
    pub fn recipients(&self) -> Vec<&str> {
        let age = self.age.iter().filter(|named| !named.is_sealed).map(|named| &named.origin);
        age.chain(self.pgp.origins()).map(|origin| origin.recipient.as_str()).collect()
    }

    fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.age.iter().map(|named| &named.origin).chain(self.pgp.origins())
    }

    /// Opens what a key wraps.
    pub(crate) fn unwrap(&self, key: &MasterKey) -> Result<DataKey, KeyProblem> {
        match (key.kind, &self.service) {
            (KeyKind::Age, _) => age::unwrap(&key.wrapped, &self.age),
            (KeyKind::Pgp, _) => self.pgp.unwrap(&key.wrapped),
            (_, None) => Err(KeyProblem::Unsupported),
            (_, Some(service)) => service.unwrap(key),
        }
    }

    /// Has a key wrap a data key, or a part of one.
    pub(crate) fn wrap(&self, key: &mut MasterKey, part: &[u8]) -> Result<(), Error> {
        let refused = |problem| Error::Recipient { recipient: key.name(), problem };
        let wrapped = match (key.kind, &self.service) {
            (KeyKind::Age, _) => age::wrap(part, key.get("recipient")).map_err(|problem| refused(problem.into()))?,
            (KeyKind::Pgp, _) => self.pgp.wrap(key.get("fp"), part).map_err(|problem| refused(problem.into()))?,
            (_, None) => return Err(refused("keys of this kind are not supported yet".into())),
            (_, Some(service)) => {
                let wrapped = service.wrap(key, part).map_err(|problem| refused(problem.into()))?;
                if let Some(version) = wrapped.version {
                    key.set("version", version);
                }
                wrapped.text
            }
        };
        key.wrapped = wrapped;
        Ok(())
    }
}
