//! Documents that are open for changes. What does not change keeps its ciphertext.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest as _, Sha256};

use crate::Format;
use crate::cipher::{Cipher, DataKey, IV_LENGTH, KEY_LENGTH};
use crate::error::{Error, MacState};
use crate::key::{Identities, MasterKey};
use crate::metadata::{self, Metadata};
use crate::opened::{Opened, Step, nothing};
use crate::seal::{Random, Settings, VERSION, number_of};
use crate::sealed::Sealed;
use crate::store;
use crate::text::Text;
use crate::tree::{Branch, Item, Value};
use crate::walk::Place;

/// An open document with all that it takes to close it again.
pub struct Editing {
    opened: Opened,
    metadata: Metadata,
    data_key: DataKey,
    nonces: Nonces,
}

impl Sealed {
    /// Opens the document for changes.
    ///
    /// # Errors
    /// As [`Sealed::open`].
    pub fn edit(self, identities: &Identities) -> Result<Editing, Error> {
        let data_key = self.data_key(identities)?;
        let mut nonces = Nonces::default();
        let metadata = self.metadata.clone();
        let opened = self.open_with(&data_key, &|_| {}, Some(&mut nonces))?;
        Ok(Editing { opened, metadata, data_key, nonces })
    }

    /// Wraps the data key for other keys; the values stay as they are (`sops updatekeys`).
    ///
    /// # Errors
    /// When the identities do not open the data key, and for keys that it cannot be wrapped for.
    pub fn rewrap(
        &mut self,
        identities: &Identities,
        groups: Vec<Vec<MasterKey>>,
        threshold: usize,
        random: Random<'_>,
    ) -> Result<(), Error> {
        let data_key = self.data_key(identities)?;
        (self.metadata.groups, self.metadata.threshold) = (groups, threshold);
        self.metadata.wrap(&data_key, identities, random)
    }
}

impl Editing {
    /// A plain document that is to be encrypted, with a data key of its own.
    ///
    /// # Errors
    /// A document that is not of its format, or is encrypted already; groups that cannot share a key; a key that nothing can
    /// be wrapped for.
    pub fn begin(
        bytes: &[u8],
        format: Format,
        settings: Settings,
        identities: &Identities,
        random: Random<'_>,
    ) -> Result<Self, Error> {
        let Settings { groups, threshold, rule, mac_only_encrypted } = settings;
        let metadata = Metadata {
            groups,
            threshold,
            last_modified: String::new(),
            mac: Text::default(),
            mac_only_encrypted,
            // The one value of a binary file is always encrypted.
            rule: (format != Format::Binary).then_some(rule),
            version: VERSION.to_owned(),
        };
        let opened = Opened { branches: load(bytes, format)?, mac: MacState::Valid, unsealed_comments: 0 };
        let mut editing = Editing { opened, metadata, data_key: DataKey::default(), nonces: Nonces::default() };
        editing.rotate(identities, random)?;
        Ok(editing)
    }

    /// Whether the document was as it had been when it was encrypted.
    #[must_use]
    pub fn mac(&self) -> MacState {
        self.opened.mac()
    }

    /// The document in plaintext.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Puts a value, given as JSON, at a path of the first document, and makes the way to it; an index behind the end of a
    /// list appends. Whether that changed anything.
    ///
    /// Whole numbers stay whole; `sops set` makes floats of them.
    ///
    /// # Errors
    /// A value that is no JSON, and a path that needs an index where it has a key, or the other way round.
    pub fn set(&mut self, path: &[Step], json: &[u8]) -> Result<bool, Error> {
        if path.is_empty() {
            return Err(nothing(path, "a path must name an entry"));
        }
        let value = store::load_value(json)?;
        let Some(branch) = self.opened.branches.first_mut() else { return Err(nothing(path, "the document is empty")) };
        let mut root = Value::Branch(std::mem::take(branch));
        let changed = set(&mut root, path, 0, value);
        if let Value::Branch(changed) = root {
            *branch = changed;
        }
        changed
    }

    /// Whether an encrypted value stands with the same plaintext at the same place in both, whatever their ciphertexts.
    #[must_use]
    pub fn shares_values(&self, other: &Editing) -> bool {
        self.nonces.0.keys().any(|value| other.nonces.0.contains_key(value))
    }

    /// Takes what is at a path out of the first document.
    ///
    /// # Errors
    /// A path that leads to nothing.
    pub fn unset(&mut self, path: &[Step]) -> Result<(), Error> {
        let Some(branch) = self.opened.branches.first_mut() else { return Err(nothing(path, "the document is empty")) };
        let mut root = Value::Branch(std::mem::take(branch));
        let taken = unset(&mut root, path, 0);
        if let Value::Branch(left) = root {
            *branch = left;
        }
        taken
    }

    /// Takes an edited plaintext instead.
    ///
    /// # Errors
    /// A document that is not of its format, is empty, or has entries where the metadata must go.
    pub fn replace(&mut self, bytes: &[u8], format: Format) -> Result<(), Error> {
        self.opened.branches = load(bytes, format)?;
        if number_of(&self.metadata.version) < number_of(VERSION) {
            VERSION.clone_into(&mut self.metadata.version);
        }
        Ok(())
    }

    /// Lets values that come from another version of the document keep its ciphertext, where both have one data key.
    pub fn adopt(&mut self, other: Editing) {
        if self.data_key == other.data_key {
            for (place, nonces) in other.nonces.0 {
                self.nonces.0.entry(place).or_default().extend(nonces);
            }
        }
    }

    /// Whether the keys of two versions of a document are the same: the data key, who can open it, and the rule by which
    /// values are encrypted.
    #[must_use]
    pub fn has_keys_of(&self, other: &Editing) -> bool {
        let names = |editing: &Editing| -> Vec<Vec<String>> {
            editing.metadata.groups.iter().map(|group| group.iter().map(MasterKey::name).collect()).collect()
        };
        let (own, others) = (&self.metadata, &other.metadata);
        self.data_key == other.data_key
            && names(self) == names(other)
            && (&own.rule, own.threshold, own.mac_only_encrypted)
                == (&others.rule, others.threshold, others.mac_only_encrypted)
    }

    /// The groups of keys that the document will be encrypted for. A data key that is not new is wrapped for what is in
    /// them only by [`Editing::rotate`].
    pub fn groups_mut(&mut self) -> &mut Vec<Vec<MasterKey>> {
        &mut self.metadata.groups
    }

    /// Takes a new data key, and wraps it for all keys. Every value is encrypted anew. The identities are those that wrap
    /// keys which are more than a recipient.
    ///
    /// # Errors
    /// Groups that cannot share a key; a key that nothing can be wrapped for.
    pub fn rotate(&mut self, identities: &Identities, random: Random<'_>) -> Result<(), Error> {
        let mut data_key = DataKey::new(vec![0; KEY_LENGTH]);
        random(&mut data_key);
        (self.data_key, self.nonces) = (data_key, Nonces::default());
        self.metadata.wrap(&self.data_key, identities, random)
    }

    /// Encrypts the document again, at a time of RFC 3339.
    ///
    /// # Errors
    /// A document that cannot be walked.
    pub fn close(self, now: &str, random: Random<'_>) -> Result<Sealed, Error> {
        let Editing { opened, metadata, data_key, mut nonces } = self;
        let mut sealed = Sealed { branches: opened.branches, metadata };
        sealed.seal(&data_key, now, &mut nonces, random)?;
        Ok(sealed)
    }
}

/// Reads a plain document that can be encrypted.
pub(crate) fn load(bytes: &[u8], format: Format) -> Result<Vec<Branch>, Error> {
    let branches = store::load_plain(bytes, format)?;
    if branches.is_empty() {
        let problem = "it is empty; there must be at least one document".to_owned();
        // Comments alone are a document that ends too early for the original.
        return Err(if bytes.is_empty() { Error::Empty } else { Error::Malformed { format, line: None, problem } });
    }
    metadata::refuse_entries(&branches, format)?;
    Ok(branches)
}

fn set(at: &mut Value, path: &[Step], depth: usize, value: Value) -> Result<bool, Error> {
    let Some(step) = path.get(depth) else {
        let changed = *at != value;
        *at = value;
        return Ok(changed);
    };
    match (at, step) {
        (Value::Branch(branch), Step::Key(key)) => match branch.iter_mut().find(|item| item.is_named(key)) {
            Some(item) => set(&mut item.value, path, depth + 1, value),
            None => {
                branch.push(Item::new(key.as_str(), way(path, depth + 1, value)));
                Ok(true)
            }
        },
        (Value::List(list), Step::Index(index)) => match list.get_mut(*index) {
            Some(entry) => set(entry, path, depth + 1, value),
            None => {
                list.push(way(path, depth + 1, value));
                Ok(true)
            }
        },
        (Value::Branch(_), Step::Index(_)) => Err(nothing(upto(path, depth), "it is a mapping and needs a key")),
        (Value::List(_), Step::Key(_)) => Err(nothing(upto(path, depth), "it is a list and needs an index")),
        (scalar, _) => {
            *scalar = way(path, depth, value);
            Ok(true)
        }
    }
}

/// The value below what the rest of the path names, which is not there yet.
fn way(path: &[Step], depth: usize, value: Value) -> Value {
    let rest = path.get(depth..).unwrap_or_default();
    rest.iter().rev().fold(value, |value, step| match step {
        Step::Key(key) => Value::Branch(vec![Item::new(key.as_str(), value)]),
        Step::Index(_) => Value::List(vec![value]),
    })
}

fn unset(at: &mut Value, path: &[Step], depth: usize) -> Result<(), Error> {
    let is_last = depth + 1 == path.len();
    let missing = || nothing(upto(path, depth), "there is no such entry");
    match (at, path.get(depth)) {
        (Value::Branch(branch), Some(Step::Key(key))) => {
            let index = branch.iter().position(|item| item.is_named(key)).ok_or_else(missing)?;
            if is_last {
                branch.remove(index);
                return Ok(());
            }
            branch.get_mut(index).map_or_else(|| Err(missing()), |item| unset(&mut item.value, path, depth + 1))
        }
        (Value::List(list), Some(Step::Index(index))) if *index < list.len() => {
            if is_last {
                list.remove(*index);
                return Ok(());
            }
            list.get_mut(*index).map_or_else(|| Err(missing()), |entry| unset(entry, path, depth + 1))
        }
        (_, Some(_)) => Err(missing()),
        (_, None) => Err(nothing(path, "a path must name an entry")),
    }
}

fn upto(path: &[Step], depth: usize) -> &[Step] {
    path.get(..=depth).unwrap_or(path)
}

/// The nonces of a document's values, by place and plaintext: a value that is sealed again with the same data key and nonce
/// keeps its ciphertext. Equal values of one list keep their order.
#[derive(Default)]
pub(crate) struct Nonces(HashMap<[u8; 32], VecDeque<[u8; IV_LENGTH]>>);

impl Nonces {
    /// Keeps the nonce of a value that has just been opened.
    pub(crate) fn keep(&mut self, value: &Value, place: &Place<'_>, sealed: &[u8]) {
        if let Some(nonce) = Cipher::nonce(sealed) {
            self.0.entry(digest(value, place)).or_default().push_back(nonce);
        }
    }

    /// The nonce that a value had at its place; each is given once.
    pub(crate) fn take(&mut self, value: &Value, place: &Place<'_>) -> Option<[u8; IV_LENGTH]> {
        self.0.get_mut(&digest(value, place))?.pop_front()
    }
}

fn digest(value: &Value, place: &Place<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [place.path, value.type_name().as_bytes()] {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.update(value.to_bytes());
    hash.finalize().into()
}
