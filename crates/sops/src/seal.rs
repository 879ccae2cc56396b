//! Encrypting documents.

use crate::cipher::{Cipher, DataKey, IV_LENGTH};
use crate::edit::{Editing, Nonces};
use crate::error::{Error, ValueProblem};
use crate::key::{Identities, MasterKey, shamir};
use crate::metadata::Metadata;
use crate::sealed::{Mac, Sealed, cipher};
use crate::selection::{Rule, Selection};
use crate::tree::{Comment, Value};
use crate::walk::{Place, Visitor, walk};
use crate::{Format, time};

/// The version of sops whose files these are.
pub(crate) const VERSION: &str = "3.13.2";

/// Fills its argument with random bytes fit for keys.
pub type Random<'r> = &'r mut dyn FnMut(&mut [u8]);

/// For whom and how a document is encrypted.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Groups of keys. Any key of a group opens the group.
    pub groups: Vec<Vec<MasterKey>>,
    /// Groups that must open where there are several; 0 for all of them.
    pub threshold: usize,
    /// Which values are encrypted.
    pub rule: Rule,
    /// Whether the MAC covers encrypted values alone, so that others may be changed without sops.
    pub mac_only_encrypted: bool,
}

impl Sealed {
    /// Encrypts a plain document as `sops encrypt` does, at a time of RFC 3339. Of the identities it takes what wraps keys
    /// that are more than a recipient: OpenPGP's public halves, and the services of networked keys.
    ///
    /// A comment in a list stays a comment. The original makes an entry of it, and then refuses its own file.
    ///
    /// # Errors
    /// A document that is not of its format, is encrypted already or cannot be walked; groups that cannot share a key; a
    /// key that nothing can be wrapped for.
    pub fn encrypt(
        bytes: &[u8],
        format: Format,
        settings: Settings,
        identities: &Identities,
        now: &str,
        random: Random<'_>,
    ) -> Result<Sealed, Error> {
        Editing::begin(bytes, format, settings, identities, random)?.close(now, random)
    }

    /// Seals all values that the rule selects, and the MAC.
    pub(crate) fn seal(
        &mut self,
        data_key: &DataKey,
        now: &str,
        nonces: &mut Nonces,
        random: Random<'_>,
    ) -> Result<(), Error> {
        let cipher = cipher(data_key)?;
        let selection = Selection::new(&self.rule());
        let mac = Mac::new(self.metadata.mac_only_encrypted);
        let mut sealing = Sealing { cipher: &cipher, selection: &selection, mac, nonces, random };
        walk(&mut self.branches, &selection, &mut sealing)?;
        let Sealing { mac, random, .. } = sealing;
        let now = time::parse(now).ok_or_else(|| Error::Metadata {
            field: "lastmodified".to_owned(),
            problem: "the time of encryption is not of RFC 3339".to_owned(),
        })?;
        self.metadata.last_modified = time::to_seconds(&now);
        let mac = cipher.seal(&Value::Str(mac.finish().into()), self.metadata.last_modified.as_bytes(), &iv(random));
        self.metadata.mac = mac.unwrap_or_default();
        Ok(())
    }
}

impl Metadata {
    /// Wraps the data key, or its parts, for all keys.
    pub(crate) fn wrap(
        &mut self,
        data_key: &DataKey,
        identities: &Identities,
        random: Random<'_>,
    ) -> Result<(), Error> {
        let Metadata { groups, threshold, .. } = self;
        if groups.is_empty() || groups.iter().any(Vec::is_empty) {
            return Err(Error::Groups { problem: "a document must be encrypted for at least one key in each group" });
        }
        let parts = if groups.len() == 1 {
            vec![data_key.clone()]
        } else {
            if *threshold == 0 {
                *threshold = groups.len();
            }
            let parts = shamir::split(data_key, groups.len(), *threshold, random);
            parts.map_err(|problem| Error::Groups { problem })?
        };
        for (group, part) in groups.iter_mut().zip(&parts) {
            for master in group {
                identities.wrap(master, part)?;
            }
        }
        Ok(())
    }
}

/// The three numbers of a version; none of a text that is no version.
pub(crate) fn number_of(version: &str) -> Option<[u64; 3]> {
    let core = version.split(['-', '+']).next()?;
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let numbers: Option<Vec<u64>> = core.split('.').map(|part| Some(part).filter(is_number)?.parse().ok()).collect();
    numbers?.try_into().ok()
}

fn iv(random: Random<'_>) -> [u8; IV_LENGTH] {
    let mut iv = [0; IV_LENGTH];
    random(&mut iv);
    iv
}

struct Sealing<'s, 'r> {
    cipher: &'s Cipher,
    selection: &'s Selection,
    mac: Mac,
    nonces: &'s mut Nonces,
    random: Random<'r>,
}

impl Visitor for Sealing<'_, '_> {
    fn visit(&mut self, value: &mut Value, place: &Place<'_>) -> Result<(), ValueProblem> {
        self.mac.add(value, place);
        if !place.is_selected {
            return Ok(());
        }
        let nonce = self.nonces.take(value, place).unwrap_or_else(|| iv(self.random));
        let sealed = self.cipher.seal(value, place.path, &nonce);
        let sealed = sealed.ok_or(ValueProblem::Unsupported { found: value.type_name() })?;
        *value = match value {
            Value::Comment(_) if self.selection.mistakes(&sealed) => return Err(ValueProblem::Mistaken),
            Value::Comment(comment) => Value::Comment(Comment { text: sealed, inline: comment.inline }),
            _ => Value::Str(sealed),
        };
        Ok(())
    }
}
