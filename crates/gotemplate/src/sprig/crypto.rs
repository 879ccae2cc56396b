//! Digests, ciphers, password hashes, keys and certificates.

mod certificate;
mod key;
mod number;
mod password;

use aes::Aes256;
use cbc::cipher::{BlockDecryptMut as _, BlockEncryptMut as _, KeyIvInit as _};
use sha1::Digest as _;
use zeroize::Zeroizing;

use super::{Result, give};
use crate::function::Entry;
use crate::{Call, Failure, go};

pub(super) const TABLE: &[Entry] = &[
    Entry("adler32sum", "func(string) string", |c| give(adler32(c.bytes(0)).to_string())),
    Entry("bcrypt", "func(string) string", |c| give(password::bcrypt(c, 0)?)),
    Entry("buildCustomCert", "func(string, string) (sprig.certificate, error)", certificate::custom),
    Entry("decryptAES", "func(string, string) (string, error)", decrypt),
    Entry("derivePassword", "func(uint32, string, string, string, string) string", password::derive),
    Entry("encryptAES", "func(string, string) (string, error)", encrypt),
    Entry("genCA", "func(string, int) (sprig.certificate, error)", certificate::authority),
    Entry("genCAWithKey", "func(string, int, string) (sprig.certificate, error)", certificate::authority),
    Entry("genPrivateKey", "func(string) string", key::generate),
    Entry("genSelfSignedCert", "func(string, []any, []any, int) (sprig.certificate, error)", certificate::self_signed),
    Entry(
        "genSelfSignedCertWithKey",
        "func(string, []any, []any, int, string) (sprig.certificate, error)",
        certificate::self_signed,
    ),
    Entry(
        "genSignedCert",
        "func(string, []any, []any, int, sprig.certificate) (sprig.certificate, error)",
        certificate::signed,
    ),
    Entry(
        "genSignedCertWithKey",
        "func(string, []any, []any, int, sprig.certificate, string) (sprig.certificate, error)",
        certificate::signed,
    ),
    Entry("htpasswd", "func(string, string) string", password::htpasswd),
    Entry("sha1sum", "func(string) string", |c| give(hex(&sha1::Sha1::digest(c.bytes(0))))),
    Entry("sha256sum", "func(string) string", |c| give(hex(&sha2::Sha256::digest(c.bytes(0))))),
    Entry("sha512sum", "func(string) string", |c| give(hex(&sha2::Sha512::digest(c.bytes(0))))),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (mut low, mut high) = (1u32, 0u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % MODULUS;
        high = (high + low) % MODULUS;
    }
    high << 16 | low
}

/// Bytes of a block of AES.
const BLOCK: usize = 16;

/// The first 32 bytes of a password, with zeros behind a shorter one.
fn aes_key(password: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    key.iter_mut().zip(password).for_each(|(to, from)| *to = *from);
    key
}

fn encrypt(c: &mut Call<'_, '_, '_>) -> Result {
    if c.bytes(1).is_empty() {
        return give("");
    }
    let mut iv = [0; BLOCK];
    c.environment().fill(&mut iv);
    let mut blocks = Zeroizing::new(c.bytes(1).to_vec());
    let padding = BLOCK - blocks.len() % BLOCK;
    blocks.extend(std::iter::repeat_n(u8::try_from(padding).unwrap_or_default(), padding));
    let mut cipher = cbc::Encryptor::<Aes256>::new((&*aes_key(c.bytes(0))).into(), (&iv).into());
    blocks.chunks_exact_mut(BLOCK).for_each(|block| cipher.encrypt_block_mut(block.into()));
    give(go::base64::encode(&[&iv, blocks.as_slice()].concat()))
}

/// What Go's slices panic with when a ciphertext is none, its template package gives as errors.
fn decrypt(c: &mut Call<'_, '_, '_>) -> Result {
    let text = c.bytes(1);
    if text.is_empty() {
        return give("");
    }
    let sealed = go::base64::decode(text).map_err(|error| error.to_string())?;
    let capacity = text.len() / 4 * 3;
    if capacity < BLOCK {
        return out_of_range(format!("slice bounds out of range [:{BLOCK}] with capacity {capacity}"));
    }
    let Some((iv, blocks)) = sealed.split_at_checked(BLOCK) else {
        return out_of_range(format!("slice bounds out of range [{BLOCK}:{}]", sealed.len()));
    };
    if blocks.len() % BLOCK != 0 {
        return Err("crypto/cipher: input not full blocks".into());
    }
    let mut blocks = blocks.to_vec();
    let mut cipher = cbc::Decryptor::<Aes256>::new((&*aes_key(c.bytes(0))).into(), iv.into());
    blocks.chunks_exact_mut(BLOCK).for_each(|block| cipher.decrypt_block_mut(block.into()));
    let Some(padding) = blocks.last().copied().map(usize::from) else {
        return out_of_range("index out of range [-1]".into());
    };
    match blocks.len().checked_sub(padding) {
        Some(length) => blocks.truncate(length),
        None => return out_of_range(format!("slice bounds out of range [:-{}]", padding - blocks.len())),
    }
    give(blocks)
}

fn out_of_range(what: String) -> Result {
    Err(Failure::new(format!("runtime error: {what}")))
}
