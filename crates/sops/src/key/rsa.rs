//! RSA by aws-lc, and the forms that it wants keys in: OAEP as age uses it, PKCS#1 v1.5 as OpenPGP does.

use aws_lc_rs::encoding::AsDer as _;
#[cfg(feature = "pgp")]
use aws_lc_rs::rsa::Pkcs1PrivateDecryptingKey;
use aws_lc_rs::rsa::{
    KeyPair, KeyPairComponents, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey, PublicKeyComponents,
};
use aws_lc_rs::signature::KeyPair as _;
use zeroize::Zeroizing;

const LABEL: &[u8] = b"age-encryption.org/v1/ssh-rsa";
/// The algorithm of an RSA public key, in front of it: `rsaEncryption`, without parameters.
const ALGORITHM: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;

/// A public key.
pub(in crate::key) struct RsaPublic(OaepPublicEncryptingKey);

/// A private key, and the numbers of its public half.
pub(in crate::key) struct RsaPrivate {
    key: OaepPrivateDecryptingKey,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// A private key of OpenPGP.
#[cfg(feature = "pgp")]
pub(in crate::key) struct RsaPkcs1(Pkcs1PrivateDecryptingKey);

/// The numbers of a private key, as SSH writes them down; `coefficient` is what `q` is inverted to by `p`.
pub(in crate::key) struct Parts<'p> {
    pub(in crate::key) modulus: &'p [u8],
    pub(in crate::key) exponent: &'p [u8],
    pub(in crate::key) private: &'p [u8],
    pub(in crate::key) coefficient: &'p [u8],
    pub(in crate::key) p: &'p [u8],
    pub(in crate::key) q: &'p [u8],
}

impl RsaPublic {
    /// `None` for less than 2,048 bits, as in age, and for more than 8,192.
    pub(in crate::key) fn new(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let numbers = element(SEQUENCE, &[element(INTEGER, modulus), element(INTEGER, exponent)].concat());
        let bits = element(BITS, &[&[0], numbers.as_slice()].concat());
        let key = PublicEncryptingKey::from_der(&element(SEQUENCE, &[ALGORITHM, &bits].concat())).ok()?;
        OaepPublicEncryptingKey::new(key).ok().map(RsaPublic)
    }

    pub(in crate::key) fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = vec![0; self.0.ciphertext_size()];
        let length = self.0.encrypt(&OAEP_SHA256_MGF1SHA256, plain, &mut sealed, Some(LABEL)).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

impl RsaPrivate {
    pub(in crate::key) fn from_pkcs1(der: &[u8]) -> Option<Self> {
        Self::new(&KeyPair::from_der(der).ok()?)
    }

    pub(in crate::key) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        Self::new(&KeyPair::from_pkcs8(der).ok()?)
    }

    pub(in crate::key) fn from_parts(parts: &Parts<'_>) -> Option<Self> {
        Self::new(&parts.pair()?)
    }

    fn new(pair: &KeyPair) -> Option<Self> {
        let numbers = Element::read(pair.public_key().as_ref(), SEQUENCE)?.content;
        let modulus = Element::read(numbers, INTEGER)?;
        let exponent = Element::read(modulus.rest, INTEGER)?;
        let key = OaepPrivateDecryptingKey::new(decrypting(pair)?).ok()?;
        Some(RsaPrivate { key, modulus: modulus.content.to_vec(), exponent: exponent.content.to_vec() })
    }

    pub(in crate::key) fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    pub(in crate::key) fn exponent(&self) -> &[u8] {
        &self.exponent
    }

    pub(in crate::key) fn decrypt(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut plain = Zeroizing::new(vec![0; self.key.min_output_size()]);
        let length = self.key.decrypt(&OAEP_SHA256_MGF1SHA256, sealed, &mut plain, Some(LABEL)).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

#[cfg(feature = "pgp")]
impl RsaPkcs1 {
    /// `None` for less than 2,048 bits, and for more than 8,192.
    pub(in crate::key) fn from_parts(parts: &Parts<'_>) -> Option<Self> {
        Pkcs1PrivateDecryptingKey::new(decrypting(&parts.pair()?)?).ok().map(RsaPkcs1)
    }

    /// `None` for what is padded otherwise; how it is padded is told to nobody.
    pub(in crate::key) fn decrypt(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        // OpenPGP writes numbers, without zeros in front.
        let missing = self.0.key_size_bytes().checked_sub(sealed.len())?;
        let sealed = [&vec![0; missing], sealed].concat();
        let mut plain = Zeroizing::new(vec![0; self.0.min_output_size()]);
        let length = self.0.decrypt(&sealed, &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

impl Parts<'_> {
    fn pair(&self) -> Option<KeyPair> {
        let exponent_of = |prime: &[u8]| remainder(self.private, prime);
        let components = KeyPairComponents {
            public_key: PublicKeyComponents { n: number(self.modulus), e: number(self.exponent) },
            d: self.private,
            p: self.p,
            q: self.q,
            dP: &exponent_of(self.p)?,
            dQ: &exponent_of(self.q)?,
            qInv: self.coefficient,
        };
        KeyPair::from_components(&components).ok()
    }
}

fn decrypting(pair: &KeyPair) -> Option<PrivateDecryptingKey> {
    PrivateDecryptingKey::from_pkcs8(pair.as_der().ok()?.as_ref()).ok()
}

/// A number without zeros in front.
fn number(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// What is left of a private exponent by a prime less one: OpenSSH does not write it down, and aws-lc demands it. By
/// doubling and taking away, bit by bit: a key is read once. `None` for what is no prime, or larger than any key's.
fn remainder(exponent: &[u8], prime: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    const LARGEST: usize = 1024;
    let mut modulus = Zeroizing::new(number(prime).to_vec());
    *modulus.last_mut().filter(|last| **last % 2 == 1)? -= 1;
    if modulus.len() > LARGEST || exponent.len() > LARGEST || modulus.iter().all(|byte| *byte == 0) {
        return None;
    }
    // One byte more, which takes what doubling carries.
    modulus.insert(0, 0);
    let mut left = Zeroizing::new(vec![0_u8; modulus.len()]);
    for bit in exponent.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)) {
        let mut carry = bit;
        for byte in left.iter_mut().rev() {
            (*byte, carry) = (*byte << 1 | carry, *byte >> 7);
        }
        if *left >= *modulus {
            let mut borrow = 0;
            for (byte, less) in left.iter_mut().rev().zip(modulus.iter().rev()) {
                let (difference, first) = byte.overflowing_sub(*less);
                let (difference, second) = difference.overflowing_sub(borrow);
                (*byte, borrow) = (difference, u8::from(first || second));
            }
        }
    }
    Some(left)
}

/// An element of DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = number(&length);
    match content.len() {
        short @ 0..128 => [&[tag, u8::try_from(short).unwrap_or_default()], content].concat(),
        _ => [&[tag, 0x80 | u8::try_from(length.len()).unwrap_or_default()], length, content].concat(),
    }
}

/// What an element of DER holds, and what is behind it.
pub(in crate::key) struct Element<'e> {
    pub(in crate::key) content: &'e [u8],
    pub(in crate::key) rest: &'e [u8],
}

impl<'e> Element<'e> {
    pub(in crate::key) fn read(bytes: &'e [u8], tag: u8) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<2>()?;
        let (length, rest) = match head[1] {
            short @ 0..0x80 => (usize::from(short), rest),
            long => {
                let (length, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
                (length.iter().try_fold(0_usize, |sum, byte| Some(sum.checked_mul(256)? + usize::from(*byte)))?, rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length)?;
        (head[0] == tag).then_some(Element { content, rest })
    }
}
