//! Encrypted documents, and how they are opened.

use sha2::{Digest as _, Sha256, Sha512};

use crate::cipher::{Cipher, DataKey};
use crate::edit::Nonces;
use crate::error::{DataKeyFailure, Error, GroupOutcome, KeyFailure, MacState, ValueProblem};
use crate::key::{Identities, MasterKey, shamir};
use crate::metadata::{self, Metadata};
use crate::opened::Opened;
use crate::seal::number_of;
use crate::selection::{Rule, Selection};
use crate::tree::{Branch, Comment, Value};
use crate::walk::{Place, Visitor, walk};
use crate::{Format, Indents, store};

/// What the hash begins with when it covers encrypted values alone: the SHA-256 of `sops`.
const MAC_ONLY_ENCRYPTED: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b, 0x0b, 0x97, 0x5b,
    0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];

/// An encrypted document.
pub struct Sealed {
    pub(crate) branches: Vec<Branch>,
    pub(crate) metadata: Metadata,
}

impl Sealed {
    /// Reads an encrypted document.
    ///
    /// # Errors
    /// A document that is not of its format, has no metadata or invalid ones, or is too large or too deep.
    pub fn load(bytes: &[u8], format: Format) -> Result<Self, Error> {
        Self::from_branches(store::load_sealed(bytes, format)?, format)
    }

    pub(crate) fn from_branches(mut branches: Vec<Branch>, format: Format) -> Result<Self, Error> {
        let metadata = metadata::extract(&mut branches, format)?;
        Ok(Sealed { branches, metadata })
    }

    /// Prints the document with its metadata.
    ///
    /// # Errors
    /// When the format cannot hold it.
    pub fn emit(&self, format: Format, indents: Indents) -> Result<Vec<u8>, Error> {
        let mut branches = self.branches.clone();
        metadata::embed(&mut branches, &self.metadata, format);
        store::emit_sealed(&branches, format, indents)
    }

    /// Prints the document without its metadata, each ciphertext as its type and a short digest: enough to see which values
    /// differ from those of another version.
    ///
    /// # Errors
    /// When the format cannot hold it.
    pub fn outline(&self, format: Format, indents: Indents) -> Result<Vec<u8>, Error> {
        let mut branches = self.branches.clone();
        walk(&mut branches, &Selection::new(&self.rule()), &mut Outlining)?;
        store::emit_plain(&branches, format, indents)
    }

    /// The groups of keys that the document is encrypted for; one group, unless its data key is shared.
    #[must_use]
    pub fn groups(&self) -> &[Vec<MasterKey>] {
        &self.metadata.groups
    }

    /// How many groups must open; 0 where there is one alone.
    #[must_use]
    pub fn threshold(&self) -> usize {
        self.metadata.threshold
    }

    /// What `sops filestatus` goes by.
    #[must_use]
    pub fn has_mac_and_version(&self) -> bool {
        !self.metadata.mac.is_empty() && !self.metadata.version.is_empty()
    }

    /// When it was last encrypted, as RFC 3339.
    #[must_use]
    pub fn last_modified(&self) -> &str {
        &self.metadata.last_modified
    }

    /// Which of its values are encrypted.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.metadata.rule.clone().unwrap_or_default()
    }

    /// What the sops command demands of a document before it looks at anything else; Flux does not.
    ///
    /// # Errors
    /// A version that is not of three numbers.
    pub fn check_version(&self) -> Result<(), Error> {
        if number_of(&self.metadata.version).is_some() {
            return Ok(());
        }
        Err(Error::Metadata { field: "version".to_owned(), problem: "is not a version such as 3.13.2".to_owned() })
    }

    /// Opens the document. Each value that was encrypted is shown to `on_plaintext`, for whoever keeps secrets out of
    /// texts.
    ///
    /// Whether the MAC fits is for the caller to ask: [`Opened::mac`].
    ///
    /// # Errors
    /// When the identities do not open the data key, or a value does not open.
    pub fn open(self, identities: &Identities, on_plaintext: &dyn Fn(&[u8])) -> Result<Opened, Error> {
        let data_key = self.data_key(identities)?;
        self.open_with(&data_key, on_plaintext, None)
    }

    /// Opens the document with its data key, and keeps the nonces of its values for whoever will seal it again.
    pub(crate) fn open_with(
        self,
        data_key: &DataKey,
        on_plaintext: &dyn Fn(&[u8]),
        nonces: Option<&mut Nonces>,
    ) -> Result<Opened, Error> {
        let Sealed { mut branches, metadata } = self;
        let cipher = cipher(data_key)?;
        let mac = Mac::new(metadata.mac_only_encrypted);
        let mut opening = Opening { cipher: &cipher, mac, on_plaintext, nonces, unsealed_comments: 0 };
        walk(&mut branches, &Selection::new(&metadata.rule.clone().unwrap_or_default()), &mut opening)?;
        let (computed, unsealed_comments) = (opening.mac.finish(), opening.unsealed_comments);
        let mac = match cipher.open(metadata.mac.bytes(), metadata.last_modified.as_bytes()) {
            _ if metadata.mac.is_empty() => MacState::Missing,
            Ok(Value::Str(found)) if found.is(&computed) => MacState::Valid,
            Ok(_) => MacState::Stale,
            Err(_) => MacState::Unreadable,
        };
        Ok(Opened { branches, mac, unsealed_comments })
    }

    /// Recovers the data key from as many groups as it takes.
    pub(crate) fn data_key(&self, identities: &Identities) -> Result<DataKey, Error> {
        let groups = &self.metadata.groups;
        let (mut parts, mut outcomes) = (Vec::new(), Vec::new());
        for group in groups {
            let (part, failures) = open_group(group, identities);
            outcomes.push(GroupOutcome { opened: part.is_some(), failures });
            parts.extend(part);
        }
        let needed = if groups.len() > 1 { self.metadata.threshold } else { 1 };
        let failure = |combine| DataKeyFailure { needed, groups: outcomes, identities: identities.names(), combine };
        if parts.len() < needed {
            return Err(Box::new(failure(None)).into());
        }
        match parts.pop() {
            Some(key) if groups.len() == 1 => Ok(key),
            last => {
                parts.extend(last);
                shamir::combine(&parts).map_err(|problem| Box::new(failure(Some(problem))).into())
            }
        }
    }
}

/// A data key of another length belongs to no document.
pub(crate) fn cipher(data_key: &DataKey) -> Result<Cipher, Error> {
    Cipher::new(data_key).ok_or_else(|| {
        let failure = DataKeyFailure {
            needed: 1,
            groups: Vec::new(),
            identities: Vec::new(),
            combine: Some("the data key is not 32 bytes long"),
        };
        Box::new(failure).into()
    })
}

/// Tries the keys of a group.
fn open_group(group: &[MasterKey], identities: &Identities) -> (Option<DataKey>, Vec<KeyFailure>) {
    let mut failures = Vec::new();
    for master in identities.in_order(group) {
        match identities.unwrap(master) {
            Ok(part) => return (Some(part), failures),
            Err(problem) => failures.push(KeyFailure { kind: master.kind, name: master.name(), problem }),
        }
    }
    (None, failures)
}

/// The hash over the values of a document, in the order of the file.
pub(crate) struct Mac {
    hash: Sha512,
    only_encrypted: bool,
}

impl Mac {
    pub(crate) fn new(only_encrypted: bool) -> Self {
        let mut hash = Sha512::new();
        if only_encrypted {
            hash.update(MAC_ONLY_ENCRYPTED);
        }
        Mac { hash, only_encrypted }
    }

    /// Comments do not count.
    pub(crate) fn add(&mut self, value: &Value, place: &Place<'_>) {
        if !place.is_comment && (place.is_selected || !self.only_encrypted) {
            self.hash.update(value.to_bytes());
        }
    }

    pub(crate) fn finish(self) -> String {
        self.hash.finalize().iter().map(|byte| format!("{byte:02X}")).collect()
    }
}

struct Outlining;

impl Visitor for Outlining {
    fn visit(&mut self, value: &mut Value, _: &Place<'_>) -> Result<(), ValueProblem> {
        if let Value::Str(text) | Value::Comment(Comment { text, .. }) = value
            && let Some(kind) = Cipher::kind(text.bytes())
        {
            let digest: String =
                Sha256::digest(text.bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            *text = format!("ENC[{kind} {digest}]").into();
        }
        Ok(())
    }
}

struct Opening<'o> {
    cipher: &'o Cipher,
    mac: Mac,
    on_plaintext: &'o dyn Fn(&[u8]),
    nonces: Option<&'o mut Nonces>,
    unsealed_comments: usize,
}

impl Visitor for Opening<'_> {
    fn visit(&mut self, value: &mut Value, place: &Place<'_>) -> Result<(), ValueProblem> {
        if place.is_selected {
            self.open(value, place)?;
        }
        self.mac.add(value, place);
        Ok(())
    }
}

impl Opening<'_> {
    fn open(&mut self, value: &mut Value, place: &Place<'_>) -> Result<(), ValueProblem> {
        let opened = match value {
            Value::Str(text) | Value::Bytes(text) => self.cipher.open(text.bytes(), place.path)?,
            Value::Comment(comment) => match self.cipher.open(comment.text.bytes(), place.path) {
                Ok(opened) => opened,
                // Versions before 3.0 left comments as they are.
                Err(_) => {
                    self.unsealed_comments += 1;
                    return Ok(());
                }
            },
            other => return Err(ValueProblem::NotText { found: other.type_name() }),
        };
        let sealed = std::mem::replace(value, opened);
        (self.on_plaintext)(&value.to_bytes());
        if let Some(nonces) = &mut self.nonces {
            nonces.keep(value, place, &sealed.to_bytes());
            // Who decrypts gets a line for each comment, as from sops; who edits finds it where it was.
            if let (Value::Comment(opened), Value::Comment(sealed)) = (value, &sealed) {
                opened.inline = sealed.inline;
            }
        }
        Ok(())
    }
}
