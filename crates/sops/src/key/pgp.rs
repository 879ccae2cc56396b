//! Data keys wrapped by OpenPGP.
//!
//! # Caveats
//! Dates are not looked at, for the crate has no clock: what was wrapped for a key that has expired since opens, as in
//! GnuPG, and a key that has expired is still wrapped for, which GnuPG refuses. Signatures of messages say nothing here:
//! sops makes none.

mod session;

use std::io::Read as _;
use std::sync::Arc;

use pgp::armor::{BlockType, Dearmor};
use pgp::composed::{
    ArmorOptions, DecryptionOptions, Esk, Message, MessageBuilder, PlainSessionKey, PublicOrSecret, SignedPublicKey,
    SignedPublicSubKey,
};
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::KeyDetails as _;
use rand_core::OsRng;
use session::Secret;
use zeroize::Zeroizing;

use crate::cipher::DataKey;
use crate::error::KeyProblem;
use crate::key::IdentityError;
use crate::key::identities::{Lock, Origin, Prompt};

/// Bytes that a wrapped data key may have; one of 32 bytes is shared in parts of 33.
const LONGEST: u64 = 1024;
/// Bytes of packets around it.
const LARGEST: u64 = 64 << 10;
/// Messages in messages, of which a compressed one is the only one that sops makes.
const DEEPEST: usize = 4;
const BEGIN: &str = "-----BEGIN PGP ";

/// Keys of OpenPGP: private ones open, both kinds wrap.
#[derive(Default)]
pub(super) struct Ring(Vec<Key>);

struct Key {
    public: SignedPublicKey,
    secret: Option<Secret>,
    origin: Origin,
    /// Of one that a passphrase protects, which can be asked for.
    lock: Option<Lock<Secret>>,
}

impl Ring {
    /// Adds the keys of an armored text; what cannot be used, and why, is given back. Keys of kinds that are not known
    /// are passed over as long as there is one that is, as in GnuPG.
    pub(super) fn add(
        &mut self,
        source: &str,
        text: &str,
        prompt: Option<&Arc<dyn Prompt>>,
    ) -> Result<Vec<String>, IdentityError> {
        let (mut found, mut unusable) = (Vec::new(), Vec::new());
        let places: Vec<usize> = text.match_indices(BEGIN).map(|(place, _)| place).collect();
        for (number, place) in places.iter().enumerate() {
            let block = &text[*place..places.get(number + 1).copied().unwrap_or(text.len())];
            let keys = PublicOrSecret::from_armor_many(block.as_bytes()).map(|(keys, _)| keys);
            found.extend(keys.into_iter().flatten().filter_map(Result::ok));
        }
        if found.is_empty() {
            let line = places.first().map_or(1, |place| text[..*place].lines().count() + 1);
            let problem = "not an armored PGP key, or a damaged one";
            return Err(IdentityError { source_name: source.to_owned(), line, problem });
        }
        for key in found {
            let mut key = Key::new(key, source);
            if key.secret.as_ref().is_some_and(Secret::is_protected) {
                key.lock = prompt.map(|prompt| Lock::new(prompt.clone(), &key.origin.to_string()));
            }
            if key.secret.is_some() && !key.opens() {
                unusable.push(format!("{}, which a passphrase protects: none is asked for", key.origin));
            }
            self.0.push(key);
        }
        Ok(unusable)
    }

    /// Whether there is none that opens anything.
    pub(super) fn is_empty(&self) -> bool {
        !self.0.iter().any(Key::opens)
    }

    /// Fingerprint and origin of those that open.
    pub(super) fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.0.iter().filter(|key| key.opens()).map(|key| &key.origin)
    }

    pub(super) fn unwrap(&self, wrapped: &str) -> Result<DataKey, KeyProblem> {
        if self.is_empty() {
            return Err(KeyProblem::NoIdentity);
        }
        let packets = dearmored(wrapped).ok_or(KeyProblem::Damaged)?;
        let Ok(Message::Encrypted { esk, mut edata, .. }) = Message::from_bytes(packets.as_slice()) else {
            return Err(KeyProblem::Damaged);
        };
        let session = self.session_key(&esk)?;
        let options = DecryptionOptions::new().enable_gnupg_aead();
        edata.decrypt_with_options(&session, options).map_err(|_| KeyProblem::Damaged)?;
        let mut plain = Zeroizing::new(Vec::with_capacity(packets.len()));
        edata.read_to_end(&mut plain).map_err(|_| KeyProblem::Damaged)?;
        let plain = Zeroizing::new(whole(&plain).ok_or(KeyProblem::Damaged)?);
        Message::from_bytes(plain.as_slice()).ok().and_then(content).ok_or(KeyProblem::Damaged)
    }

    /// The key of a message, for the first of its recipients that is ours.
    fn session_key(&self, wrapped: &[Esk]) -> Result<PlainSessionKey, KeyProblem> {
        let mut problem = KeyProblem::NoMatch;
        for esk in wrapped {
            let Esk::PublicKeyEncryptedSessionKey(esk) = esk else { continue };
            for key in &self.0 {
                let Some(secret) = key.secret.as_ref().filter(|secret| secret.is_meant(esk)) else { continue };
                match key.opened(secret).map(|secret| secret.open(esk)) {
                    Some(Some(session)) => return Ok(session),
                    Some(None) => problem = KeyProblem::Damaged,
                    None => {}
                }
            }
        }
        Err(problem)
    }

    pub(super) fn wrap(&self, fingerprint: &str, part: &[u8]) -> Result<String, &'static str> {
        let wanted = fingerprint.replace(' ', "").to_uppercase();
        let mut matching = self.0.iter().filter_map(|key| key.encryption(&wanted)).peekable();
        if matching.peek().is_none() {
            return Err("no public key of this fingerprint was given");
        }
        let recipient = matching.flatten().next().ok_or("the key has no part that encrypts and is still valid")?;
        let mut builder = MessageBuilder::from_bytes("", part.to_vec()).seipd_v1(OsRng, SymmetricKeyAlgorithm::AES256);
        let wrapped = match recipient {
            Encryption::Primary(key) => builder.encrypt_to_key(OsRng, &key.primary_key),
            Encryption::Subkey(key) => builder.encrypt_to_key(OsRng, key),
        };
        wrapped.map_err(|_| "PGP refused the key")?;
        // sops keeps GnuPG's output without white space around it.
        let armored = builder.to_armored_string(OsRng, ArmorOptions::default()).map_err(|_| "PGP could not write")?;
        Ok(armored.trim().to_owned())
    }
}

/// The part of a key that is encrypted to.
enum Encryption<'k> {
    Primary(&'k SignedPublicKey),
    Subkey(&'k SignedPublicSubKey),
}

impl Key {
    fn new(key: PublicOrSecret, source: &str) -> Self {
        let (public, secret) = match key {
            PublicOrSecret::Public(public) => (public, None),
            PublicOrSecret::Secret(secret) => (secret.to_public_key(), Some(Secret::new(secret).without_empty())),
        };
        let origin = Origin::new(format_args!("{:X}", public.fingerprint()), source);
        Key { public, secret, origin, lock: None }
    }

    fn opens(&self) -> bool {
        self.secret.as_ref().is_some_and(|secret| !secret.is_protected() || self.lock.is_some())
    }

    /// The private key without a passphrase around it; `None` when there is nobody to ask, or it was another one.
    fn opened<'k>(&'k self, secret: &'k Secret) -> Option<&'k Secret> {
        if secret.is_protected() { self.lock.as_ref()?.open(|text| secret.unlocked(text)) } else { Some(secret) }
    }

    /// The newest part that encrypts, of a key that is called so: by the fingerprint, or the end of one, of any of its
    /// parts; with `!` behind it that part alone. The outer `None` is for other keys, the inner one for those that have
    /// no such part.
    fn encryption(&self, wanted: &str) -> Option<Option<Encryption<'_>>> {
        const SHORTEST: usize = 8;
        let name = wanted.strip_suffix('!').unwrap_or(wanted);
        let is_called = |fingerprint: String| name.len() >= SHORTEST && fingerprint.ends_with(name);
        let is_primary = is_called(format!("{:X}", self.public.fingerprint()));
        let subkeys = &self.public.public_subkeys;
        let named = |subkey: &&SignedPublicSubKey| is_called(format!("{:X}", subkey.key.fingerprint()));
        if !is_primary && !subkeys.iter().any(|subkey| named(&subkey)) {
            return None;
        }
        let is_exact = wanted.ends_with('!');
        let usable = subkeys.iter().filter(|subkey| !is_exact || named(subkey)).filter(|subkey| self.is_usable(subkey));
        let newest = usable.max_by_key(|subkey| subkey.key.created_at()).map(Encryption::Subkey);
        let is_revoked = !self.public.details.revocation_signatures.is_empty();
        let primary = || (is_primary && self.primary_encrypts()).then_some(Encryption::Primary(&self.public));
        Some(newest.or_else(primary).filter(|_| !is_revoked))
    }

    /// Whether the owner made this subkey for encryption, and has not taken it back.
    fn is_usable(&self, subkey: &SignedPublicSubKey) -> bool {
        subkey.key.algorithm().can_encrypt()
            && subkey.verify_bindings(&self.public.primary_key).is_ok()
            && subkey.signatures.iter().any(encrypts)
            && !subkey.signatures.iter().any(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation))
    }

    fn primary_encrypts(&self) -> bool {
        let mut signatures = self.public.details.users.iter().flat_map(|user| &user.signatures);
        self.public.algorithm().can_encrypt()
            && self.public.details.verify_bindings(&self.public.primary_key).is_ok()
            && signatures.any(encrypts)
    }
}

fn encrypts(signature: &Signature) -> bool {
    signature.key_flags().encrypt_comms() || signature.key_flags().encrypt_storage()
}

/// The packets of an armored message.
fn dearmored(wrapped: &str) -> Option<Vec<u8>> {
    let mut binary = Vec::new();
    let mut armor = Dearmor::new(wrapped.as_bytes());
    (&mut armor).take(LARGEST).read_to_end(&mut binary).ok()?;
    if armor.typ == Some(BlockType::Message) { whole(&binary) } else { None }
}

/// Packets, each in one piece. Early versions of sops wrote them in pieces of a byte or two, which the crate refuses and
/// GnuPG takes.
fn whole(mut packets: &[u8]) -> Option<Vec<u8>> {
    const IS_NEW: u8 = 0x40;
    let mut all = Vec::with_capacity(packets.len() + 8);
    while let Some((tag, rest)) = packets.split_first() {
        if tag & IS_NEW == 0 {
            let (length, rest) = match (tag & 3, rest) {
                (0, [length, rest @ ..]) => (usize::from(*length), rest),
                (1, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest),
                (2, [a, b, c, d, rest @ ..]) => (usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?, rest),
                // Up to the end.
                (3, rest) => (rest.len(), rest),
                _ => return None,
            };
            packets = rest.get(length..)?;
            append(&mut all, tag >> 2 & 0xf | 0xc0, rest.get(..length)?);
            continue;
        }
        let mut body = Zeroizing::new(Vec::with_capacity(rest.len()));
        let mut rest = rest;
        loop {
            let (length, is_last, after) = length(rest)?;
            body.extend_from_slice(after.get(..length)?);
            rest = &after[length..];
            if is_last {
                break;
            }
        }
        append(&mut all, *tag, &body);
        packets = rest;
    }
    Some(all)
}

fn append(all: &mut Vec<u8>, tag: u8, body: &[u8]) {
    all.extend([tag, 0xff]);
    all.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    all.extend_from_slice(body);
}

/// The length of a piece of a packet, whether it is the last one, and what follows.
fn length(bytes: &[u8]) -> Option<(usize, bool, &[u8])> {
    match bytes {
        [length @ ..192, rest @ ..] => Some((usize::from(*length), true, rest)),
        [high @ 192..224, low, rest @ ..] => {
            Some((((usize::from(*high) - 192) << 8) + usize::from(*low) + 192, true, rest))
        }
        [power @ 224..=254, rest @ ..] => Some((1 << (power & 0x1f), false, rest)),
        [255, a, b, c, d, rest @ ..] => Some((usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?, true, rest)),
        _ => None,
    }
}

/// What a message says, when it is whole.
fn content(mut message: Message<'_>) -> Option<DataKey> {
    for _ in 0..DEEPEST {
        if !message.is_compressed() {
            let mut key = Zeroizing::new(Vec::with_capacity(usize::try_from(LONGEST).ok()?));
            message.take(LONGEST).read_to_end(&mut key).ok()?;
            return (!key.is_empty()).then_some(key);
        }
        message = message.decompress().ok()?;
    }
    None
}
