//! Data keys wrapped by age.

mod hybrid;
mod locked;
mod ssh;
#[cfg(test)]
mod tests;

use std::io::{Read, Write as _};

use age::armor::{ArmoredReader, ArmoredWriter, Format as Armor};
use age::secrecy::ExposeSecret as _;
use age::{DecryptError, Decryptor, Encryptor, Identity, Recipient, x25519};
use rand_core::{OsRng, RngCore as _};
use zeroize::Zeroizing;

use crate::cipher::DataKey;
use crate::error::KeyProblem;
use crate::key::Identities;
use crate::key::identities::Origin;
use crate::text::Plain;
use hybrid::{HybridIdentity, HybridRecipient};
use locked::{LockedFile, LockedKey};
use ssh::{Refusal, SshIdentity, SshRecipient};

/// Bytes that a wrapped data key may have; one of 32 bytes is shared in parts of 33.
const LONGEST: usize = 64 << 10;
/// Bytes that any other file of age may have.
const LARGEST: usize = 32 << 20;
/// Characters of a full line of a stanza.
const FULL_LINE: usize = 64;
const ARMOR: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const BINARY: &str = "age-encryption.org/";
const LOCKED: &str = "a file of identities that a passphrase protects, which is not asked for";

/// An identity, its recipient and where it came from.
pub(super) struct Named {
    identity: Box<dyn Identity + Send + Sync>,
    pub(super) origin: Origin,
    /// Whether nobody knows whom it is for before a passphrase is given.
    pub(super) is_sealed: bool,
}

impl Named {
    fn new(identity: impl Identity + Send + Sync + 'static, origin: Origin) -> Self {
        Self { identity: Box::new(identity), origin, is_sealed: false }
    }
}

/// A text that holds no identities, or one that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{source_name}, line {line}: {problem}")]
pub struct IdentityError {
    /// Where the text came from, such as the key of a Secret.
    pub source_name: String,
    /// From 1.
    pub line: usize,
    /// What is wrong; never the line itself.
    pub problem: &'static str,
}

impl Identities {
    /// Adds the identities of a text, one a line; empty lines and comments (`#`) are passed over. `source` is named in
    /// errors: a file, the key of a Secret.
    ///
    /// An identity of a kind that cannot be used (age plugins are programs, which are not run) is an error only when a
    /// document needs it: [`crate::DataKeyFailure`] names it.
    ///
    /// # Errors
    /// A line that is no identity. Nothing is added then.
    pub fn add_age(&mut self, source: &str, text: &str) -> Result<(), IdentityError> {
        let (mut found, mut unusable) = parse_lines(source, text)?;
        self.age.append(&mut found);
        self.unusable.append(&mut unusable);
        Ok(())
    }

    /// Adds the identities of a file, which may be encrypted for a passphrase.
    ///
    /// # Errors
    /// As [`Identities::add_age`], and where nobody is asked for passphrases.
    pub fn add_age_file(&mut self, source: &str, file: &[u8]) -> Result<(), IdentityError> {
        let error = |problem| IdentityError { source_name: source.to_owned(), line: 1, problem };
        if !file.starts_with(ARMOR.as_bytes()) && !file.starts_with(BINARY.as_bytes()) {
            return self.add_age(source, std::str::from_utf8(file).map_err(|_| error("not a text"))?);
        }
        let prompt = self.prompt.clone().ok_or(error(LOCKED))?;
        let locked =
            LockedFile::new(file, prompt, source).ok_or(error("an encrypted file that no passphrase opens"))?;
        self.age.push(Named { identity: Box::new(locked), origin: Origin::new("identities", source), is_sealed: true });
        Ok(())
    }

    /// Adds an SSH private key, Ed25519 or RSA, as files such as `~/.ssh/id_ed25519` hold it. One that a passphrase
    /// protects is an error only when a document needs it.
    ///
    /// # Errors
    /// A text that is no such key.
    pub fn add_ssh(&mut self, source: &str, text: &str) -> Result<(), IdentityError> {
        match SshIdentity::parse(text) {
            Ok(identity) => {
                let origin = Origin::new(identity.recipient(), source);
                self.age.push(Named::new(identity, origin));
            }
            Err(Refusal::Locked(key)) if self.prompt.is_some() => {
                let origin = Origin::new(key.recipient(), source);
                self.age
                    .extend(self.prompt.clone().map(|prompt| Named::new(LockedKey::new(key, prompt, source), origin)));
            }
            Err(Refusal::Passphrase | Refusal::Locked(_)) => {
                self.unusable.push(format!("{source}, an SSH key that a passphrase protects, which is not asked for"));
            }
            Err(Refusal::Malformed(problem)) => {
                return Err(IdentityError { source_name: source.to_owned(), line: 1, problem });
            }
        }
        Ok(())
    }
}

/// The identities of a text, and what it holds of no use.
fn parse_lines(source: &str, text: &str) -> Result<(Vec<Named>, Vec<String>), IdentityError> {
    if text.starts_with(ARMOR) || text.starts_with(BINARY) {
        return Err(IdentityError { source_name: source.to_owned(), line: 1, problem: LOCKED });
    }
    let (mut found, mut unusable) = (Vec::new(), Vec::new());
    for (place, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with("AGE-PLUGIN-") {
            let why = "an identity of an age plugin: plugins are programs, and not run";
            unusable.push(format!("line {} of {source}, which is {why}", place + 1));
            continue;
        }
        let error = |problem| IdentityError { source_name: source.to_owned(), line: place + 1, problem };
        found.push(parse(line, source).map_err(error)?);
    }
    Ok((found, unusable))
}

fn parse(line: &str, source: &str) -> Result<Named, &'static str> {
    let damaged = "a damaged age identity";
    if line.starts_with("AGE-SECRET-KEY-PQ-1") {
        let identity = HybridIdentity::parse(line).ok_or(damaged)?;
        let origin = Origin::new(identity.recipient(), source);
        return Ok(Named::new(identity, origin));
    }
    if !line.starts_with("AGE-SECRET-KEY-1") {
        return Err("not an age identity, which begins with AGE-SECRET-KEY-1 or AGE-SECRET-KEY-PQ-1");
    }
    let identity: x25519::Identity = line.parse().map_err(|_| damaged)?;
    let origin = Origin::new(identity.to_public(), source);
    Ok(Named::new(identity, origin))
}

/// Opens a file of age, armored or not, for one of the identities.
///
/// # Errors
/// Whose it is not, and what is wrong with it.
pub fn open_age(file: &[u8], identities: &Identities) -> Result<Plain, KeyProblem> {
    let mut opened = open(file, &identities.age, LARGEST)?;
    Ok(Plain::new(std::mem::take(&mut *opened)))
}

/// Opens what [`wrap`] made for one of the identities.
pub(super) fn unwrap(wrapped: &str, identities: &[Named]) -> Result<DataKey, KeyProblem> {
    if identities.is_empty() {
        return Err(KeyProblem::NoIdentity);
    }
    if !wrapped.trim_ascii_start().starts_with(ARMOR) {
        return Err(KeyProblem::Damaged);
    }
    open(wrapped.as_bytes(), identities, LONGEST)
}

fn open(file: &[u8], identities: &[Named], longest: usize) -> Result<DataKey, KeyProblem> {
    let binary = read_binary(file, longest).ok_or(KeyProblem::Damaged)?;
    let decryptor = Decryptor::new_buffered(binary.as_slice()).map_err(|error| problem(&error))?;
    if !has_whole_stanzas(&binary) {
        return Err(KeyProblem::Damaged);
    }
    if decryptor.is_scrypt() {
        return Err(KeyProblem::Passphrase);
    }
    // Somebody is asked for a passphrase where nothing else opens the file.
    let known = |is_sealed| identities.iter().filter(move |named| named.is_sealed == is_sealed);
    let all = known(false).chain(known(true)).map(|named| &*named.identity as &dyn Identity);
    let reader = decryptor.decrypt(all).map_err(|error| problem(&error))?;
    read_opened(reader, binary.len()).map_err(|_| KeyProblem::Damaged)
}

/// A file without its armor, up to a size.
fn read_binary(file: &[u8], longest: usize) -> Option<Vec<u8>> {
    let limit = u64::try_from(longest).unwrap_or(u64::MAX);
    let mut binary = Vec::new();
    ArmoredReader::new(bare(file)).take(limit).read_to_end(&mut binary).ok()?;
    Some(binary)
}

/// What an encrypted file of a size holds.
fn read_opened(mut reader: impl std::io::Read, size: usize) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // A buffer that grows leaves what it held behind: this one holds all from the start.
    let mut opened = Zeroizing::new(Vec::with_capacity(size));
    reader.read_to_end(&mut opened)?;
    Ok(opened)
}

/// An armored file without the white lines around it, which age passes over.
fn bare(file: &[u8]) -> &[u8] {
    let text = file.trim_ascii_start();
    if !text.starts_with(ARMOR.as_bytes()) {
        return file;
    }
    let end = text.trim_ascii_end().len();
    let is_line_end = text[end..].starts_with(b"\n") || text[end..].starts_with(b"\r\n");
    if is_line_end { &text[..end] } else { text }
}

/// Whether each stanza ends with a line that is not full. The crate takes those that do not, for the sake of files that
/// its first versions wrote.
fn has_whole_stanzas(file: &[u8]) -> bool {
    let mut is_ended = true;
    for line in file.split(|byte| *byte == b'\n') {
        let is_head = line.starts_with(b"-> ");
        if (is_head || line.starts_with(b"---")) && !is_ended {
            return false;
        }
        if line.starts_with(b"---") {
            break;
        }
        is_ended = !is_head && line.len() < FULL_LINE;
    }
    true
}

fn problem(error: &DecryptError) -> KeyProblem {
    match error {
        DecryptError::NoMatchingKeys => KeyProblem::NoMatch,
        _ => KeyProblem::Damaged,
    }
}

/// Wraps a data key, or a part of one, for a recipient. The file key and nonces of age come from the operating system.
pub(super) fn wrap(key: &[u8], recipient: &str) -> Result<String, &'static str> {
    let recipient = parse_recipient(recipient)?;
    let encryptor = Encryptor::with_recipients(std::iter::once(&*recipient));
    let encryptor = encryptor.map_err(|_| "age refused the recipient")?;
    let armored = || -> std::io::Result<Vec<u8>> {
        let armor = ArmoredWriter::wrap_output(Vec::new(), Armor::AsciiArmor)?;
        let mut writer = encryptor.wrap_output(armor)?;
        writer.write_all(key)?;
        writer.finish()?.finish()
    };
    let armored = armored().map_err(|_| "age could not write")?;
    String::from_utf8(armored).map_err(|_| "age could not write")
}

/// Says what is wrong with an age recipient that data keys are to be wrapped for.
///
/// # Errors
/// Why it is none.
pub fn check_recipient(text: &str) -> Result<(), &'static str> {
    parse_recipient(text).map(drop)
}

fn parse_recipient(text: &str) -> Result<Box<dyn Recipient>, &'static str> {
    let damaged = "a damaged age recipient";
    if text.starts_with("age1pq1") {
        return Ok(Box::new(HybridRecipient::parse(text).ok_or(damaged)?));
    }
    if text.starts_with("ssh-") {
        let refused = "a damaged SSH key, or one of a kind that age has not: it has ssh-ed25519 and ssh-rsa";
        return Ok(Box::new(SshRecipient::parse(text).ok_or(refused)?));
    }
    match text.strip_prefix("age1") {
        None => Err("not an age recipient, which begins with age1 or ssh-"),
        Some(plugin) if plugin.contains('1') => {
            Err("a recipient of an age plugin, which is a program; plugins are not run")
        }
        Some(_) => Ok(Box::new(text.parse::<x25519::Recipient>().map_err(|_| damaged)?)),
    }
}

/// Bytes of the operating system.
fn random() -> std::io::Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    OsRng.try_fill_bytes(&mut *bytes).map_err(|_| std::io::Error::other("the system has no randomness"))?;
    Ok(bytes)
}

/// A new identity, as the line of a key file, and its recipient. Its randomness comes from the operating system.
#[must_use]
pub fn generate() -> (Zeroizing<String>, String) {
    let identity = x25519::Identity::generate();
    (Zeroizing::new(identity.to_string().expose_secret().to_owned()), identity.to_public().to_string())
}

/// A new post-quantum identity, as the line of a key file, and its recipient; `None` where the system has no randomness.
#[must_use]
pub fn generate_post_quantum() -> Option<(Zeroizing<String>, String)> {
    hybrid::generate()
}
