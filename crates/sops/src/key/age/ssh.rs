//! SSH keys as age uses them: `ssh-ed25519` and `ssh-rsa` stanzas, and the files that hold such keys.

use std::collections::HashSet;

use age::secrecy::ExposeSecret as _;
use age::{DecryptError, EncryptError, Identity, Recipient};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::primitives::{aead_decrypt, aead_encrypt, hkdf};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use curve25519_dalek::edwards::CompressedEdwardsY;
use sha2::{Digest as _, Sha256, Sha512};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::Zeroizing;

use super::random;
use crate::key::rsa::{self, RsaPrivate, RsaPublic};

const ED25519: &str = "ssh-ed25519";
const RSA: &str = "ssh-rsa";
const ED25519_LABEL: &[u8] = b"age-encryption.org/v1/ssh-ed25519";
/// What begins the PKCS#8 form of an Ed25519 key; its 32 bytes follow.
pub(super) const ED25519_PKCS8: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// A public key that data keys are wrapped for.
pub(super) struct SshRecipient {
    /// As the wire has it, which is what stanzas are marked with.
    wire: Vec<u8>,
    key: Public,
}

enum Public {
    /// The point on the Montgomery curve.
    Ed25519([u8; 32]),
    Rsa(RsaPublic),
}

/// A private key that opens them.
pub(super) struct SshIdentity {
    recipient: SshRecipient,
    key: Private,
}

enum Private {
    /// The scalar of X25519.
    Ed25519(Zeroizing<[u8; 32]>),
    Rsa(RsaPrivate),
}

/// Why a file holds no key that can be used.
pub(super) enum Refusal {
    /// A passphrase protects it, of which the file tells nothing that could be asked for.
    Passphrase,
    /// A passphrase protects it.
    Locked(LockedSsh),
    /// It is of no form or kind that age has.
    Malformed(&'static str),
}

/// Of the derivation of a key from a passphrase; OpenSSH writes 16 or 24.
const MOST_ROUNDS: u32 = 1024;

const DAMAGED: Refusal = Refusal::Malformed("a damaged SSH private key");

impl SshRecipient {
    /// A line of `authorized_keys`: kind, key and comment.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (kind, key) = (words.next()?, words.next()?);
        let wire = STANDARD.decode(key).ok()?;
        let recipient = Self::from_wire(wire)?;
        (recipient.kind() == kind).then_some(recipient)
    }

    fn from_wire(bytes: Vec<u8>) -> Option<Self> {
        let mut wire = Wire(&bytes);
        let key = match wire.text()? {
            b"ssh-ed25519" => {
                let point = CompressedEdwardsY::from_slice(wire.text()?).ok()?.decompress()?;
                Public::Ed25519(point.to_montgomery().to_bytes())
            }
            b"ssh-rsa" => {
                let (exponent, modulus) = (wire.text()?, wire.text()?);
                Public::Rsa(RsaPublic::new(modulus, exponent)?)
            }
            _ => return None,
        };
        let is_whole = wire.0.is_empty();
        is_whole.then_some(SshRecipient { wire: bytes, key })
    }

    fn kind(&self) -> &'static str {
        match self.key {
            Public::Ed25519(_) => ED25519,
            Public::Rsa(_) => RSA,
        }
    }

    /// Four bytes of its hash: enough to pass over stanzas for others.
    fn mark(&self) -> String {
        STANDARD_NO_PAD.encode(&Sha256::digest(&self.wire)[..4])
    }
}

impl std::fmt::Display for SshRecipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind(), STANDARD.encode(&self.wire))
    }
}

impl Recipient for SshRecipient {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let file_key = file_key.expose_secret();
        let (args, body) = match &self.key {
            Public::Rsa(key) => {
                let failed = || EncryptError::Io(std::io::Error::other("RSA refused the key"));
                (vec![self.mark()], key.encrypt(file_key).ok_or_else(failed)?)
            }
            Public::Ed25519(point) => {
                let ephemeral = random()?;
                let share = x25519(*ephemeral, X25519_BASEPOINT_BYTES);
                let key = wrapping_key(&Zeroizing::new(x25519(*ephemeral, *point)), &share, point, &self.wire);
                (vec![self.mark(), STANDARD_NO_PAD.encode(share)], aead_encrypt(&key, file_key))
            }
        };
        Ok((vec![Stanza { tag: self.kind().to_owned(), args, body }], HashSet::new()))
    }
}

impl SshIdentity {
    /// A private key file: OpenSSH's own form, PKCS#1 or PKCS#8.
    pub(super) fn parse(pem: &str) -> Result<Self, Refusal> {
        let (kind, body) = armored(pem).ok_or(Refusal::Malformed("not an SSH private key"))?;
        let has_passphrase = kind == "ENCRYPTED PRIVATE KEY" || pem.contains("Proc-Type: 4,ENCRYPTED");
        if has_passphrase {
            return Err(Refusal::Passphrase);
        }
        let der: String = body.split_whitespace().collect();
        let der = Zeroizing::new(STANDARD.decode(&*Zeroizing::new(der)).map_err(|_| DAMAGED)?);
        match kind {
            "OPENSSH PRIVATE KEY" => openssh(&der),
            "RSA PRIVATE KEY" => Self::rsa(RsaPrivate::from_pkcs1(&der)),
            "PRIVATE KEY" => match der.strip_prefix(ED25519_PKCS8) {
                Some(seed) => Self::ed25519(seed).ok_or(DAMAGED),
                None => Self::rsa(RsaPrivate::from_pkcs8(&der)),
            },
            _ => Err(Refusal::Malformed("an SSH key of a kind that age has not; it has Ed25519 and RSA")),
        }
    }

    fn rsa(key: Option<RsaPrivate>) -> Result<Self, Refusal> {
        let key = key.ok_or(Refusal::Malformed("a damaged RSA key, or one of less than 2,048 bits"))?;
        let wire = [RSA.as_bytes(), key.exponent(), key.modulus()].map(prefixed).concat();
        let recipient = SshRecipient::from_wire(wire).ok_or(DAMAGED)?;
        Ok(SshIdentity { recipient, key: Private::Rsa(key) })
    }

    fn ed25519(seed: &[u8]) -> Option<Self> {
        let seed: &[u8; 32] = seed.try_into().ok()?;
        let hash = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(seed)));
        let scalar = Zeroizing::new(<[u8; 32]>::try_from(&hash[..32]).ok()?);
        let clamped = curve25519_dalek::edwards::EdwardsPoint::mul_base_clamped(*scalar);
        let wire = [ED25519.as_bytes(), clamped.compress().as_bytes()].map(prefixed).concat();
        Some(SshIdentity { recipient: SshRecipient::from_wire(wire)?, key: Private::Ed25519(scalar) })
    }

    pub(super) fn recipient(&self) -> &SshRecipient {
        &self.recipient
    }

    /// `None` when it is for somebody else.
    fn open(&self, stanza: &Stanza) -> Result<Option<FileKey>, DecryptError> {
        let mark = stanza.args.first().ok_or(DecryptError::InvalidHeader)?;
        let is_ours = *mark == self.recipient.mark();
        let opened = match (&self.key, &self.recipient.key, &stanza.args[1..]) {
            (Private::Rsa(key), _, []) if is_ours => key.decrypt(&stanza.body),
            (Private::Rsa(_), _, []) => return Ok(None),
            (Private::Ed25519(scalar), Public::Ed25519(point), [share]) => {
                let share = STANDARD_NO_PAD.decode(share).ok().and_then(|share| <[u8; 32]>::try_from(share).ok());
                let share = share.ok_or(DecryptError::InvalidHeader)?;
                if !is_ours {
                    return Ok(None);
                }
                let agreed = Zeroizing::new(x25519(**scalar, share));
                if *agreed == [0; 32] {
                    return Err(DecryptError::InvalidHeader);
                }
                let key = wrapping_key(&agreed, &share, point, &self.recipient.wire);
                aead_decrypt(&key, FILE_KEY_BYTES, &stanza.body).ok().map(Zeroizing::new)
            }
            _ => return Err(DecryptError::InvalidHeader),
        };
        let opened = opened.filter(|key| key.len() == FILE_KEY_BYTES).ok_or(DecryptError::DecryptionFailed)?;
        Ok(Some(FileKey::init_with_mut(|key| key.copy_from_slice(&opened))))
    }
}

impl Identity for SshIdentity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag == self.recipient.kind() { self.open(stanza).transpose() } else { None }
    }
}

/// The exchange, tied to the SSH key by a scalar that is made of it.
fn wrapping_key(agreed: &[u8; 32], share: &[u8; 32], point: &[u8; 32], wire: &[u8]) -> Zeroizing<[u8; 32]> {
    let tweak = hkdf(wire, ED25519_LABEL, &[]);
    let tied = Zeroizing::new(x25519(tweak, *agreed));
    Zeroizing::new(hkdf(&[*share, *point].concat(), ED25519_LABEL, &*tied))
}

/// The kind of a PEM text and what stands between its first and its last line.
fn armored(pem: &str) -> Option<(&str, &str)> {
    let (_, rest) = pem.split_once("-----BEGIN ")?;
    let (kind, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    Some((kind, body))
}

/// OpenSSH's own form: how it is locked, the public key, and the private one.
fn openssh(der: &[u8]) -> Result<SshIdentity, Refusal> {
    let mut outer = Wire(der.strip_prefix(b"openssh-key-v1\0").ok_or(DAMAGED)?);
    let mut text = || outer.text().ok_or(DAMAGED);
    let (cipher, derivation, options) = (text()?, text()?, text()?);
    if outer.number() != Some(1) {
        return Err(Refusal::Malformed("a file of several SSH keys"));
    }
    let (public, private) = (outer.text().ok_or(DAMAGED)?, outer.text().ok_or(DAMAGED)?);
    if cipher == b"none" {
        return private_part(private);
    }
    let (mut options, is_usual) = (Wire(options), cipher == b"aes256-ctr" && derivation == b"bcrypt");
    let (Some(salt), Some(rounds), true) = (options.text(), options.number(), is_usual) else {
        return Err(Refusal::Passphrase);
    };
    let unknown = Refusal::Malformed("an SSH key of a kind that age has not; it has Ed25519 and RSA");
    let recipient = SshRecipient::from_wire(public.to_vec()).ok_or(unknown)?;
    if rounds > MOST_ROUNDS {
        return Err(Refusal::Passphrase);
    }
    let (salt, private) = (salt.to_vec(), Zeroizing::new(private.to_vec()));
    Err(Refusal::Locked(LockedSsh { recipient, salt, rounds, private }))
}

fn private_part(bytes: &[u8]) -> Result<SshIdentity, Refusal> {
    let mut inner = Wire(bytes);
    let (left, right) = (inner.number(), inner.number());
    if left.is_none() || left != right {
        return Err(DAMAGED);
    }
    match inner.text() {
        Some(b"ssh-ed25519") => {
            let pair = inner.text().and_then(|_| inner.text()).filter(|pair| pair.len() == 64).ok_or(DAMAGED)?;
            SshIdentity::ed25519(&pair[..32]).ok_or(DAMAGED)
        }
        Some(b"ssh-rsa") => {
            let mut number = || inner.text().ok_or(DAMAGED);
            let [modulus, exponent, private, coefficient, p, q] =
                [number()?, number()?, number()?, number()?, number()?, number()?];
            SshIdentity::rsa(RsaPrivate::from_parts(&rsa::Parts { modulus, exponent, private, coefficient, p, q }))
        }
        Some(_) => Err(Refusal::Malformed("an SSH key of a kind that age has not; it has Ed25519 and RSA")),
        None => Err(DAMAGED),
    }
}

/// An SSH key that a passphrase protects. Its file tells the public key in the clear.
pub(super) struct LockedSsh {
    recipient: SshRecipient,
    salt: Vec<u8>,
    rounds: u32,
    private: Zeroizing<Vec<u8>>,
}

impl LockedSsh {
    pub(super) fn recipient(&self) -> &SshRecipient {
        &self.recipient
    }

    /// Whether a stanza is for this key.
    pub(super) fn is_for(&self, stanza: &Stanza) -> bool {
        stanza.tag == self.recipient.kind() && stanza.args.first().is_some_and(|mark| *mark == self.recipient.mark())
    }

    /// The key, if that is its passphrase: the cipher and the derivation that OpenSSH uses by itself.
    pub(super) fn unlock(&self, passphrase: &str) -> Option<SshIdentity> {
        use aes::cipher::{KeyIvInit as _, StreamCipher as _};
        let mut derived = Zeroizing::new([0; 48]);
        bcrypt_pbkdf::bcrypt_pbkdf(passphrase, &self.salt, self.rounds, &mut *derived).ok()?;
        let (key, nonce) = derived.split_at(32);
        let mut private = self.private.clone();
        ctr::Ctr128BE::<aes::Aes256>::new_from_slices(key, nonce).ok()?.apply_keystream(&mut private);
        private_part(&private).ok()
    }
}

pub(super) fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// SSH's texts and numbers, one after another.
struct Wire<'w>(&'w [u8]);

impl<'w> Wire<'w> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn text(&mut self) -> Option<&'w [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}
