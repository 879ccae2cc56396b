//! Data keys wrapped by age.

use std::io::{Read as _, Write as _};

use age::armor::{ArmoredReader, ArmoredWriter, Format as Armor};
use age::secrecy::ExposeSecret as _;
use age::{DecryptError, Decryptor, Encryptor, x25519};
use zeroize::Zeroizing;

use crate::cipher::DataKey;
use crate::error::KeyProblem;
use crate::key::Identities;

/// Bytes that a wrapped data key may hold; one of 32 bytes is shared in parts of 33.
const LONGEST: u64 = 1024;

/// An identity, its recipient and where it came from.
pub(super) struct Named {
    identity: Box<dyn age::Identity + Send + Sync>,
    pub(super) name: String,
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
        let (mut found, mut unusable) = (Vec::new(), Vec::new());
        for (place, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(why) = unusable_identity(line) {
                unusable.push(format!("line {} of {source}, which is {why}", place + 1));
                continue;
            }
            let error = |problem| IdentityError { source_name: source.to_owned(), line: place + 1, problem };
            found.push(parse(line, source).map_err(error)?);
        }
        self.age.append(&mut found);
        self.unusable.append(&mut unusable);
        Ok(())
    }
}

fn unusable_identity(line: &str) -> Option<&'static str> {
    if line.starts_with("AGE-PLUGIN-") {
        Some("an identity of an age plugin: plugins are programs, and not run")
    } else if line.starts_with("AGE-SECRET-KEY-PQ-1") {
        Some("a post-quantum identity, not supported yet")
    } else {
        None
    }
}

fn parse(line: &str, source: &str) -> Result<Named, &'static str> {
    if !line.starts_with("AGE-SECRET-KEY-1") {
        return Err("not an age identity, which begins with AGE-SECRET-KEY-1");
    }
    let identity: x25519::Identity = line.parse().map_err(|_| "a damaged age identity")?;
    let name = format!("{} of {source}", identity.to_public());
    Ok(Named { identity: Box::new(identity), name })
}

/// Opens what [`wrap`] made for one of the identities.
pub(super) fn unwrap(wrapped: &str, identities: &[Named]) -> Result<DataKey, KeyProblem> {
    if identities.is_empty() {
        return Err(KeyProblem::NoIdentity);
    }
    let text = wrapped.trim_start();
    if !text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----") {
        return Err(KeyProblem::Damaged);
    }
    let decryptor = Decryptor::new(ArmoredReader::new(text.as_bytes())).map_err(|error| problem(&error))?;
    let all = identities.iter().map(|named| &*named.identity as &dyn age::Identity);
    let reader = decryptor.decrypt(all).map_err(|error| problem(&error))?;
    let mut key = Zeroizing::new(Vec::with_capacity(64));
    reader.take(LONGEST).read_to_end(&mut key).map_err(|_| KeyProblem::Damaged)?;
    Ok(key)
}

fn problem(error: &DecryptError) -> KeyProblem {
    match error {
        DecryptError::NoMatchingKeys => KeyProblem::NoMatch,
        _ => KeyProblem::Damaged,
    }
}

/// Wraps a data key, or a part of one, for a recipient. The file key and nonces of age come from the operating system.
pub(super) fn wrap(key: &[u8], recipient: &str) -> Result<String, &'static str> {
    let parsed: x25519::Recipient = recipient.parse().map_err(|_| unusable(recipient))?;
    let encryptor = Encryptor::with_recipients(std::iter::once(&parsed as &dyn age::Recipient));
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

fn unusable(recipient: &str) -> &'static str {
    if recipient.starts_with("age1pq1") {
        "post-quantum recipients are not supported yet"
    } else if recipient.starts_with("ssh-") {
        "SSH keys are not supported yet"
    } else if recipient.starts_with("age1") && recipient.matches('1').count() > 1 {
        "a recipient of an age plugin, which is a program; plugins are not run"
    } else {
        "not an age recipient, which begins with age1"
    }
}

/// A new identity, as the line of a key file, and its recipient. Its randomness comes from the operating system.
#[must_use]
pub fn generate() -> (Zeroizing<String>, String) {
    let identity = x25519::Identity::generate();
    (Zeroizing::new(identity.to_string().expose_secret().to_owned()), identity.to_public().to_string())
}
