//! age's post-quantum keys: `mlkem768x25519` stanzas, made by HPKE (RFC 9180) over ML-KEM-768 and X25519 together.
//!
//! HPKE's one mode that age uses is a page of HKDF; the crates of it want a key exchange of their own types, which is more.

use std::collections::HashSet;

use age::secrecy::ExposeSecret as _;
use age::{DecryptError, EncryptError, Identity, Recipient};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::primitives::{bech32_decode, bech32_encode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bech32::Hrp;
use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use hkdf::Hkdf;
use ml_kem::kem::Decapsulate as _;
use ml_kem::{B32, Ciphertext, EncapsulateDeterministic as _, EncodedSizeUser as _, KemCore, MlKem768};
use sha2::Sha256;
use sha3::digest::{ExtendableOutput as _, Update as _, XofReader as _};
use sha3::{Digest as _, Sha3_256, Shake256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::random;

const TAG: &str = "mlkem768x25519";
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
const PUBLIC: &str = "age1pq";
const SECRET: &str = "age-secret-key-pq-";
/// The key exchange, HKDF-SHA256 and ChaCha20-Poly1305, as HPKE numbers them.
const SUITE: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x03";
/// What the exchange of X-Wing ends its hash with.
const XWING: &[u8] = br"\.//^\";
const ENCAPSULATION_KEY: usize = 1184;
const CIPHERTEXT: usize = 1088;
const POINT: usize = 32;
const TAG_LENGTH: usize = 16;

type Decapsulation = <MlKem768 as KemCore>::DecapsulationKey;
type Encapsulation = <MlKem768 as KemCore>::EncapsulationKey;

/// A post-quantum identity.
pub(super) struct HybridIdentity {
    lattice: Decapsulation,
    curve: StaticSecret,
}

/// A post-quantum recipient.
pub(super) struct HybridRecipient {
    lattice: Encapsulation,
    curve: PublicKey,
}

impl HybridIdentity {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let seed = decode(line, SECRET)?;
        let seed: &[u8; 32] = seed.as_slice().try_into().ok()?;
        Some(Self::from_seed(seed))
    }

    fn from_seed(seed: &[u8; 32]) -> Self {
        let mut expanded = Shake256::default().chain(seed).finalize_xof();
        let mut next = || {
            let mut bytes = Zeroizing::new([0; 32]);
            expanded.read(&mut *bytes);
            bytes
        };
        let (left, right, curve) = (next(), next(), next());
        let (lattice, _) = MlKem768::generate_deterministic(&B32::from(*left), &B32::from(*right));
        HybridIdentity { lattice, curve: StaticSecret::from(*curve) }
    }

    pub(super) fn recipient(&self) -> HybridRecipient {
        HybridRecipient { lattice: self.lattice.encapsulation_key().clone(), curve: PublicKey::from(&self.curve) }
    }

    /// `None` when it is for somebody else.
    fn open(&self, stanza: &Stanza) -> Result<Option<FileKey>, DecryptError> {
        let [share] = stanza.args.as_slice() else { return Err(DecryptError::InvalidHeader) };
        let share = STANDARD_NO_PAD.decode(share).map_err(|_| DecryptError::InvalidHeader)?;
        if share.len() != CIPHERTEXT + POINT || stanza.body.len() != FILE_KEY_BYTES + TAG_LENGTH {
            return Err(DecryptError::InvalidHeader);
        }
        let (lattice, curve) = share.split_at(CIPHERTEXT);
        let (lattice, curve) = (Ciphertext::<MlKem768>::try_from(lattice), <[u8; POINT]>::try_from(curve));
        let (Ok(lattice), Ok(curve)) = (lattice, curve) else { return Err(DecryptError::InvalidHeader) };
        let agreed = self.curve.diffie_hellman(&PublicKey::from(curve));
        if !agreed.was_contributory() {
            return Err(DecryptError::InvalidHeader);
        }
        let decapsulated = self.lattice.decapsulate(&lattice).map_err(|()| DecryptError::InvalidHeader)?;
        let shared = shared(&decapsulated, agreed.as_bytes(), &curve, PublicKey::from(&self.curve).as_bytes());
        let (cipher, nonce) = schedule(&shared);
        let Ok(opened) = cipher.decrypt(&nonce.into(), stanza.body.as_slice()).map(Zeroizing::new) else {
            return Ok(None);
        };
        Ok(Some(FileKey::init_with_mut(|key| key.copy_from_slice(&opened))))
    }
}

impl Identity for HybridIdentity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag == TAG { self.open(stanza).transpose() } else { None }
    }
}

impl HybridRecipient {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = decode(text, PUBLIC)?;
        let (lattice, curve) = bytes.split_at_checked(ENCAPSULATION_KEY)?;
        let key = Encapsulation::from_bytes(&lattice.try_into().ok()?);
        // Coefficients beyond the modulus are read as others, which would be another key.
        if key.as_bytes().as_slice() != lattice {
            return None;
        }
        Some(HybridRecipient { lattice: key, curve: PublicKey::from(<[u8; POINT]>::try_from(curve).ok()?) })
    }
}

impl std::fmt::Display for HybridRecipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = [self.lattice.as_bytes().as_slice(), self.curve.as_bytes()].concat();
        f.write_str(&bech32_encode(Hrp::parse_unchecked(PUBLIC), &bytes))
    }
}

impl Recipient for HybridRecipient {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let ephemeral = StaticSecret::from(*random()?);
        let share = PublicKey::from(&ephemeral);
        let agreed = ephemeral.diffie_hellman(&self.curve);
        let failed = || EncryptError::Io(std::io::Error::other("the key cannot be encapsulated"));
        let (ciphertext, encapsulated) =
            self.lattice.encapsulate_deterministic(&B32::from(*random()?)).map_err(|_| failed())?;
        let encapsulated = Zeroizing::new(<[u8; 32]>::from(encapsulated));
        let (cipher, nonce) =
            schedule(&shared(&*encapsulated, agreed.as_bytes(), share.as_bytes(), self.curve.as_bytes()));
        let body = cipher.encrypt(&nonce.into(), file_key.expose_secret().as_slice()).map_err(|_| failed())?;
        let share = STANDARD_NO_PAD.encode([ciphertext.as_slice(), share.as_bytes()].concat());
        let labels = HashSet::from(["postquantum".to_owned()]);
        Ok((vec![Stanza { tag: TAG.to_owned(), args: vec![share], body }], labels))
    }
}

/// A new identity, as the line of a key file, and its recipient.
pub(super) fn generate() -> Option<(Zeroizing<String>, String)> {
    let seed = random().ok()?;
    let line = Zeroizing::new(bech32_encode(Hrp::parse_unchecked(SECRET), &*seed));
    Some((Zeroizing::new(line.to_uppercase()), HybridIdentity::from_seed(&seed).recipient().to_string()))
}

fn decode(text: &str, kind: &str) -> Option<Zeroizing<Vec<u8>>> {
    let is_kind = |hrp: Hrp| if hrp == Hrp::parse_unchecked(kind) { Ok(()) } else { Err(()) };
    bech32_decode(text, |_| (), is_kind, |_, bytes| Ok(Zeroizing::new(bytes.collect()))).ok()
}

fn shared(lattice: &[u8], agreed: &[u8], share: &[u8], recipient: &[u8]) -> Zeroizing<[u8; 32]> {
    let hash = Sha3_256::new();
    let hash = [lattice, agreed, share, recipient, XWING].iter().fold(hash, |hash, part| hash.chain_update(part));
    Zeroizing::new(hash.finalize().into())
}

/// The key and the nonce of the one message that is sent with a shared secret: HPKE's base mode, without additional data.
fn schedule(shared: &[u8; 32]) -> (ChaCha20Poly1305, [u8; 12]) {
    let extract = |salt: &[u8], label: &[u8], input: &[u8]| {
        Hkdf::<Sha256>::extract(Some(salt), &[b"HPKE-v1", SUITE, label, input].concat())
    };
    let context = [&[0][..], &extract(b"", b"psk_id_hash", b"").0, &extract(b"", b"info_hash", INFO).0].concat();
    let (_, secret) = extract(shared, b"secret", b"");
    let expand = |label: &[u8], output: &mut [u8]| {
        let length = u16::try_from(output.len()).unwrap_or_default().to_be_bytes();
        let filled = secret.expand_multi_info(&[&length, b"HPKE-v1", SUITE, label, &context], output);
        debug_assert!(filled.is_ok(), "a key is shorter than HKDF's longest output");
    };
    let (mut key, mut nonce) = (Zeroizing::new([0; 32]), [0; 12]);
    expand(b"key", &mut *key);
    expand(b"base_nonce", &mut nonce);
    (ChaCha20Poly1305::new((&*key).into()), nonce)
}
