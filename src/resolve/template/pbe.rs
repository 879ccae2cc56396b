//! Encryption by password, as PKCS#12 files use it: PBES2 with AES, and the older schemes with 3DES and RC2.

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut as _, BlockEncryptMut as _, InnerIvInit as _, KeyInit, KeyIvInit as _};
use gotemplate::Failure;
use hmac::{Hmac, Mac as _};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use gotemplate::go::der::{
    Element, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, element, members, sequence, unsigned,
};

/// A file that asks for more rounds wants to keep us busy.
const MAX_ROUNDS: u32 = 1_000_000;
/// Rounds and salt of what is written.
const ROUNDS: u32 = 2048;
const SALT: usize = 16;

const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
/// `hmacWithSHA1` and its siblings differ in the last byte, as do the older schemes and the AES modes.
const HMAC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];
const PKCS12: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01];
const AES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];

/// A password in the two forms that are asked for.
pub(super) struct Password {
    utf8: Zeroizing<Vec<u8>>,
    /// UTF-16 with a zero at the end; without one for the empty password of some writers.
    utf16: Zeroizing<Vec<u8>>,
}

impl Password {
    /// A password.
    pub(super) fn new(text: &str) -> Result<Self, Failure> {
        if text.chars().any(|c| u32::from(c) > 0xffff) {
            return Err("pkcs12: string contains characters that cannot be encoded in UCS-2".into());
        }
        let units = text.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect();
        Ok(Self { utf8: Zeroizing::new(text.as_bytes().to_vec()), utf16: Zeroizing::new(units) })
    }

    /// The empty password as no bytes at all, if this is the empty one.
    pub(super) fn bare(&self) -> Option<Self> {
        self.utf8.is_empty().then(|| Self { utf8: Zeroizing::default(), utf16: Zeroizing::default() })
    }

    pub(super) fn utf8(&self) -> &[u8] {
        &self.utf8
    }
}

fn unsupported(what: &str) -> Failure {
    Failure::new(format!("pkcs12: {what} is not supported"))
}

fn malformed() -> Failure {
    Failure::new("pkcs12: error reading P12 data: the encryption's parameters are malformed")
}

fn rounds(number: Element<'_>) -> Result<u32, Failure> {
    let bytes = number.body.strip_prefix(&[0]).unwrap_or(number.body);
    let few = (1..=4).contains(&bytes.len()).then(|| bytes.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)));
    few.filter(|rounds| (1..=MAX_ROUNDS).contains(rounds)).ok_or_else(|| unsupported("the number of rounds"))
}

/// Decrypts with the scheme that an algorithm identifier names.
pub(super) fn decrypt(algorithm: &[u8], data: &[u8], password: &Password) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut parts = Reader::new(algorithm);
    let id = parts.expect(OID).ok_or_else(malformed)?.body;
    let mut parameters = parts.enter(SEQUENCE).ok_or_else(malformed)?;
    if id == PBES2 {
        return pbes2(&mut parameters, data, password);
    }
    let salt = parameters.expect(OCTET_STRING).ok_or_else(malformed)?.body;
    let rounds = rounds(parameters.expect(INTEGER).ok_or_else(malformed)?)?;
    let derive = |purpose, size| derive::<Sha1>(64, salt, &password.utf16, rounds, purpose, size);
    let initial = derive(2, 8);
    match id.strip_prefix(PKCS12) {
        Some([3]) => cbc_decrypt::<des::TdesEde3>(&derive(1, 24), &initial, data),
        Some([5]) => cbc_decrypt::<rc2::Rc2>(&derive(1, 16), &initial, data),
        Some([6]) => {
            let key = derive(1, 5);
            let cipher = rc2::Rc2::new_with_eff_key_len(&key, 40);
            let decryptor = cbc::Decryptor::inner_iv_slice_init(cipher, &initial).map_err(|_| malformed())?;
            decryptor.decrypt_padded_vec_mut::<Pkcs7>(data).map(Zeroizing::new).map_err(|_| wrong())
        }
        _ => Err(unsupported("the encryption")),
    }
}

fn wrong() -> Failure {
    Failure::new("pkcs12: decryption error, incorrect padding")
}

fn cbc_decrypt<C>(key: &[u8], initial: &[u8], data: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure>
where
    C: cbc::cipher::BlockCipher + cbc::cipher::BlockDecryptMut + KeyInit,
{
    let decryptor = cbc::Decryptor::<C>::new_from_slices(key, initial).map_err(|_| malformed())?;
    decryptor.decrypt_padded_vec_mut::<Pkcs7>(data).map(Zeroizing::new).map_err(|_| wrong())
}

fn pbes2(parameters: &mut Reader<'_>, data: &[u8], password: &Password) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut derivation = parameters.enter(SEQUENCE).ok_or_else(malformed)?;
    if derivation.expect(OID).is_none_or(|id| id.body != PBKDF2) {
        return Err(unsupported("the derivation of the key"));
    }
    let mut how = derivation.enter(SEQUENCE).ok_or_else(malformed)?;
    let salt = how.expect(OCTET_STRING).ok_or_else(malformed)?.body;
    let rounds = rounds(how.expect(INTEGER).ok_or_else(malformed)?)?;
    how.optional(INTEGER);
    // Without a name it is HMAC with SHA-1.
    let function = how
        .enter(SEQUENCE)
        .and_then(|mut function| function.expect(OID))
        .map_or(&[7][..], |id| id.body.strip_prefix(HMAC).unwrap_or_default());
    let mut scheme = parameters.enter(SEQUENCE).ok_or_else(malformed)?;
    let cipher = scheme.expect(OID).ok_or_else(malformed)?.body.strip_prefix(AES).unwrap_or_default();
    let initial = scheme.expect(OCTET_STRING).ok_or_else(malformed)?.body;
    let size = match cipher {
        [2] => 16,
        [22] => 24,
        [42] => 32,
        _ => return Err(unsupported("the encryption")),
    };
    let mut key = Zeroizing::new(vec![0; size]);
    match function {
        [7] => pbkdf2_hmac::<Sha1>(&password.utf8, salt, rounds, &mut key),
        [9] => pbkdf2_hmac::<Sha256>(&password.utf8, salt, rounds, &mut key),
        [11] => pbkdf2_hmac::<Sha512>(&password.utf8, salt, rounds, &mut key),
        _ => return Err(unsupported("the derivation of the key")),
    }
    match size {
        16 => cbc_decrypt::<Aes128>(&key, initial, data),
        24 => cbc_decrypt::<Aes192>(&key, initial, data),
        _ => cbc_decrypt::<Aes256>(&key, initial, data),
    }
}

/// Encrypts with AES-256 and a key of PBKDF2. Answers the algorithm identifier and the ciphertext.
pub(super) fn encrypt(plain: &[u8], password: &Password, salts: &mut Salts) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let (salt, initial) = (salts.next(), salts.next());
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2_hmac::<Sha256>(&password.utf8, &salt, ROUNDS, &mut *key);
    let encryptor = cbc::Encryptor::<Aes256>::new_from_slices(&*key, &initial).map_err(|_| malformed())?;
    let id = |prefix: &[u8], last: u8| element(OID, &[prefix, &[last]].concat());
    let function = element(SEQUENCE, &id(HMAC, 9));
    let how = members(SEQUENCE, &[&element(OCTET_STRING, &salt), &unsigned(&ROUNDS.to_be_bytes()), &function]);
    let derivation = members(SEQUENCE, &[&element(OID, PBKDF2), &how]);
    let scheme = members(SEQUENCE, &[&id(AES, 42), &element(OCTET_STRING, &initial)]);
    let parameters = members(SEQUENCE, &[&derivation, &scheme]);
    let algorithm = members(SEQUENCE, &[&element(OID, PBES2), &parameters]);
    Ok((algorithm, encryptor.encrypt_padded_vec_mut::<Pkcs7>(plain)))
}

/// Salts that follow from what is written, so that the same certificate gives the same file and nothing moves at rest.
/// The original draws them.
pub(super) struct Salts {
    seed: Zeroizing<[u8; 32]>,
    count: u8,
}

impl Salts {
    /// Salts for one file.
    pub(super) fn new(content: &[u8], password: &Password) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        // As slow as the file's own encryption: a salt must not make the password easier to guess.
        pbkdf2_hmac::<Sha256>(password.utf8(), &Sha256::digest(content), ROUNDS, &mut *seed);
        Self { seed, count: 0 }
    }

    pub(super) fn next(&mut self) -> Vec<u8> {
        self.count = self.count.wrapping_add(1);
        let hash = Sha256::new().chain_update(*self.seed).chain_update([self.count]).finalize();
        hash[..SALT].to_vec()
    }
}

/// Whether the check value in `mac` is that of `message`.
pub(super) fn verify(mac: &[u8], message: &[u8], password: &Password) -> Result<bool, Failure> {
    let mut parts = sequence(mac).ok_or_else(malformed)?;
    let mut digest = parts.enter(SEQUENCE).ok_or_else(malformed)?;
    let id = digest.enter(SEQUENCE).and_then(|mut algorithm| algorithm.expect(OID)).ok_or_else(malformed)?.body;
    let expected = digest.expect(OCTET_STRING).ok_or_else(malformed)?.body;
    let salt = parts.expect(OCTET_STRING).ok_or_else(malformed)?.body;
    let rounds = parts.optional(INTEGER).map_or(Ok(1), rounds)?;
    let password = &password.utf16;
    Ok(match id {
        SHA1 => check::<Hmac<Sha1>>(&derive::<Sha1>(64, salt, password, rounds, 3, 20), message, expected),
        SHA256 => check::<Hmac<Sha256>>(&derive::<Sha256>(64, salt, password, rounds, 3, 32), message, expected),
        SHA512 => check::<Hmac<Sha512>>(&derive::<Sha512>(128, salt, password, rounds, 3, 64), message, expected),
        _ => return Err(unsupported("the check value")),
    })
}

fn check<M: hmac::Mac + KeyInit>(key: &[u8], message: &[u8], expected: &[u8]) -> bool {
    <M as hmac::Mac>::new_from_slice(key).is_ok_and(|mac| mac.chain_update(message).verify_slice(expected).is_ok())
}

/// The check value of a message.
pub(super) fn authenticate(message: &[u8], password: &Password, salts: &mut Salts) -> Result<Vec<u8>, Failure> {
    let salt = salts.next();
    let key = derive::<Sha256>(64, &salt, &password.utf16, ROUNDS, 3, 32);
    let mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(&key).map_err(|_| malformed())?;
    let value = mac.chain_update(message).finalize().into_bytes();
    let algorithm = element(SEQUENCE, &element(OID, SHA256));
    let digest = members(SEQUENCE, &[&algorithm, &element(OCTET_STRING, &value)]);
    Ok(members(SEQUENCE, &[&digest, &element(OCTET_STRING, &salt), &unsigned(&ROUNDS.to_be_bytes())]))
}

/// The derivation of RFC 7292, appendix B.2: `block` is the hash's block size, `purpose` 1 a key, 2 an initial vector,
/// 3 a key for a check value.
fn derive<D: Digest>(
    block: usize,
    salt: &[u8],
    password: &[u8],
    rounds: u32,
    purpose: u8,
    size: usize,
) -> Zeroizing<Vec<u8>> {
    let repeated = |pattern: &[u8]| pattern.len().div_ceil(block) * block;
    let mut input = Zeroizing::new(Vec::with_capacity(repeated(salt) + repeated(password)));
    input.extend(salt.iter().cycle().take(repeated(salt)));
    input.extend(password.iter().cycle().take(repeated(password)));
    let mut out = Zeroizing::new(Vec::with_capacity(size + 64));
    while out.len() < size {
        let mut hash = D::new().chain_update(vec![purpose; block]).chain_update(&*input).finalize();
        for _ in 1..rounds {
            hash = D::digest(&hash);
        }
        out.extend_from_slice(&hash);
        let addend: Vec<u8> = hash.iter().copied().cycle().take(block).collect();
        for part in input.chunks_mut(block) {
            add_one_more(part, &addend);
        }
    }
    out.truncate(size);
    out
}

/// `part + addend + 1`, as large numbers that wrap around.
fn add_one_more(part: &mut [u8], addend: &[u8]) {
    let mut carry = 1_u16;
    for (byte, other) in part.iter_mut().zip(addend).rev() {
        let sum = u16::from(*byte) + u16::from(*other) + carry;
        let [high, low] = sum.to_be_bytes();
        (*byte, carry) = (low, u16::from(high));
    }
}
