//! The key of a message, opened by the parts of a private key.
//!
//! RSA is opened by aws-lc, which does it in a fifth of the time of the crate's own; the crate does it for keys of less
//! than 2,048 bits, which aws-lc refuses. What RSA opens is read here in both cases: the crate takes it that something
//! was wrapped, and panics over an empty text.

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use pgp::composed::{PlainSessionKey, SignedSecretKey};
use pgp::crypto::Decryptor as _;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::PublicKeyEncryptedSessionKey;
use pgp::ser::Serialize as _;
use pgp::types::{
    EskType, KeyDetails, Password, PkeskBytes, PkeskVersion, PlainSecretParams, PublicParams, SecretParams,
};
use zeroize::Zeroizing;

use crate::key::rsa::{Parts, RsaPkcs1};

/// A private key.
pub(super) struct Secret {
    key: SignedSecretKey,
    /// Of the primary key and each subkey: made of it when it first opens something, for that takes as long as opening.
    rsa: Vec<OnceLock<Option<RsaPkcs1>>>,
}

impl Secret {
    /// A key as it was read.
    pub(super) fn new(key: SignedSecretKey) -> Self {
        let rsa = (0..=key.secret_subkeys.len()).map(|_| OnceLock::new()).collect();
        Self { key, rsa }
    }

    /// Whether a passphrase protects all of its parts that decrypt. A primary key may be missing, or protected by itself.
    pub(super) fn is_protected(&self) -> bool {
        let subkeys = &self.key.secret_subkeys;
        let mut subkeys = subkeys.iter().filter(|subkey| subkey.key.algorithm().can_encrypt()).peekable();
        if subkeys.peek().is_none() {
            return self.key.primary_key.secret_params().is_encrypted();
        }
        subkeys.all(|subkey| subkey.key.secret_params().is_encrypted())
    }

    /// The key with the parts open that this passphrase protects; `None` when all that decrypt stay protected.
    pub(super) fn unlocked(&self, passphrase: &str) -> Option<Self> {
        let (mut key, password) = (self.key.clone(), Password::from(passphrase));
        // A part that has another one, or is elsewhere, stays as it is.
        let _ = key.primary_key.remove_password(&password);
        for subkey in &mut key.secret_subkeys {
            let _ = subkey.key.remove_password(&password);
        }
        Some(Self::new(key)).filter(|key| !key.is_protected())
    }

    /// The key itself, open where its passphrase is the empty one.
    pub(super) fn without_empty(self) -> Self {
        if self.is_protected() { self.unlocked("").unwrap_or(self) } else { self }
    }

    /// Whether a message is for a part of it, or does not say whom it is for. A part that has a passphrase where others
    /// have none is nobody's: it would not be asked for.
    pub(super) fn is_meant(&self, wrapped: &PublicKeyEncryptedSessionKey) -> bool {
        let (primary, is_protected) = (&self.key.primary_key, self.is_protected());
        let is_ours = |secret: &SecretParams| is_protected || !secret.is_encrypted();
        let mut subkeys = self.key.secret_subkeys.iter().map(|subkey| &subkey.key);
        (is_ours(primary.secret_params()) && wrapped.match_identity(primary.public_key()))
            || subkeys.any(|key| is_ours(key.secret_params()) && wrapped.match_identity(key.public_key()))
    }

    /// What a part that is not protected opens.
    pub(super) fn open(&self, wrapped: &PublicKeyEncryptedSessionKey) -> Option<PlainSessionKey> {
        let (rsa_of_primary, rsa_of_subkeys) = self.rsa.split_first()?;
        let (primary, subkeys) = (&self.key.primary_key, self.key.secret_subkeys.iter().map(|subkey| &subkey.key));
        let by_primary = open(primary.public_key(), primary.secret_params(), rsa_of_primary, wrapped);
        by_primary.or_else(|| {
            let mut subkeys = subkeys.zip(rsa_of_subkeys);
            subkeys.find_map(|(key, rsa)| open(key.public_key(), key.secret_params(), rsa, wrapped))
        })
    }
}

/// What one part opens, if the message is for it.
fn open(
    public: &impl KeyDetails,
    secret: &SecretParams,
    rsa: &OnceLock<Option<RsaPkcs1>>,
    wrapped: &PublicKeyEncryptedSessionKey,
) -> Option<PlainSessionKey> {
    let SecretParams::Plain(secret) = secret else { return None };
    let values = wrapped.values().ok().filter(|_| wrapped.match_identity(public))?;
    let kind = if wrapped.version() == PkeskVersion::V6 { EskType::V6 } else { EskType::V3_4 };
    match (secret, values) {
        (PlainSecretParams::RSA(slow), PkeskBytes::Rsa { mpi }) => {
            let opened = match rsa.get_or_init(|| by_aws_lc(public.public_params(), secret)) {
                Some(key) => key.decrypt(mpi.as_ref())?,
                None => slow.decrypt(mpi).ok()?,
            };
            session_key(&opened, kind)
        }
        _ => secret.decrypt(public.public_params(), values, kind, public).ok(),
    }
}

/// The key that RSA has opened, with its algorithm in front and a sum of its bytes behind (RFC 9580, 5.1.3).
fn session_key(opened: &[u8], kind: EskType) -> Option<PlainSessionKey> {
    let (rest, sum) = opened.split_last_chunk::<2>()?;
    let (algorithm, key) = match kind {
        EskType::V3_4 => rest.split_first().map(|(algorithm, key)| (Some(*algorithm), key))?,
        EskType::V6 => (None, rest),
    };
    let is_whole = key.iter().fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte))) == u16::from_be_bytes(*sum);
    let session = match algorithm.map(SymmetricKeyAlgorithm::from) {
        // No text and no algorithm have a key of no bytes.
        Some(sym_alg) if key.is_empty() || sym_alg.key_size() != key.len() => return None,
        Some(sym_alg) => PlainSessionKey::V3_4 { sym_alg, key: key.into() },
        None => PlainSessionKey::V6 { key: key.into() },
    };
    is_whole.then_some(session)
}

fn by_aws_lc(public: &PublicParams, secret: &PlainSecretParams) -> Option<RsaPkcs1> {
    let (PublicParams::RSA(public), PlainSecretParams::RSA(secret)) = (public, secret) else { return None };
    let public = public.to_bytes().ok()?;
    let (modulus, rest) = number(&public)?;
    let (exponent, _) = number(rest)?;
    let (private, p, q, inverse_of_p) = secret.to_bytes();
    let [private, p, q, inverse_of_p] = [private, p, q, inverse_of_p].map(Zeroizing::new);
    // OpenPGP inverts the first prime where SSH inverts the second.
    RsaPkcs1::from_parts(&Parts { modulus, exponent, private: &private, coefficient: &inverse_of_p, p: &q, q: &p })
}

/// A number of OpenPGP, with its length in bits in front, and what is behind it.
fn number(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (bits, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*bits)).div_ceil(8))
}
