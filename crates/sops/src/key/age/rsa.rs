//! RSA-OAEP by aws-lc, and the forms that it wants keys in.

use aws_lc_rs::encoding::AsDer as _;
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
pub(super) struct RsaPublic(OaepPublicEncryptingKey);

/// A private key, and the numbers of its public half.
pub(super) struct RsaPrivate {
    key: OaepPrivateDecryptingKey,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// The numbers of a private key, as SSH writes them down.
pub(super) struct Parts<'p> {
    pub(super) modulus: &'p [u8],
    pub(super) exponent: &'p [u8],
    pub(super) private: &'p [u8],
    pub(super) coefficient: &'p [u8],
    pub(super) p: &'p [u8],
    pub(super) q: &'p [u8],
}

impl RsaPublic {
    /// `None` for less than 2,048 bits, as in age, and for more than 8,192.
    pub(super) fn new(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let numbers = element(SEQUENCE, &[element(INTEGER, modulus), element(INTEGER, exponent)].concat());
        let bits = element(BITS, &[&[0], numbers.as_slice()].concat());
        let key = PublicEncryptingKey::from_der(&element(SEQUENCE, &[ALGORITHM, &bits].concat())).ok()?;
        OaepPublicEncryptingKey::new(key).ok().map(RsaPublic)
    }

    pub(super) fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = vec![0; self.0.ciphertext_size()];
        let length = self.0.encrypt(&OAEP_SHA256_MGF1SHA256, plain, &mut sealed, Some(LABEL)).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

impl RsaPrivate {
    pub(super) fn from_pkcs1(der: &[u8]) -> Option<Self> {
        Self::new(&KeyPair::from_der(der).ok()?)
    }

    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        Self::new(&KeyPair::from_pkcs8(der).ok()?)
    }

    pub(super) fn from_parts(parts: &Parts<'_>) -> Option<Self> {
        let exponent_of = |prime: &[u8]| remainder(parts.private, prime);
        let pair = KeyPair::from_components(&KeyPairComponents {
            public_key: PublicKeyComponents { n: number(parts.modulus), e: number(parts.exponent) },
            d: parts.private,
            p: parts.p,
            q: parts.q,
            dP: &exponent_of(parts.p)?,
            dQ: &exponent_of(parts.q)?,
            qInv: parts.coefficient,
        });
        Self::new(&pair.ok()?)
    }

    fn new(pair: &KeyPair) -> Option<Self> {
        let numbers = Element::read(pair.public_key().as_ref(), SEQUENCE)?.content;
        let modulus = Element::read(numbers, INTEGER)?;
        let exponent = Element::read(modulus.rest, INTEGER)?;
        let private = PrivateDecryptingKey::from_pkcs8(pair.as_der().ok()?.as_ref()).ok()?;
        let key = OaepPrivateDecryptingKey::new(private).ok()?;
        Some(RsaPrivate { key, modulus: modulus.content.to_vec(), exponent: exponent.content.to_vec() })
    }

    pub(super) fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    pub(super) fn exponent(&self) -> &[u8] {
        &self.exponent
    }

    pub(super) fn decrypt(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut plain = Zeroizing::new(vec![0; self.key.min_output_size()]);
        let length = self.key.decrypt(&OAEP_SHA256_MGF1SHA256, sealed, &mut plain, Some(LABEL)).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
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
pub(super) struct Element<'e> {
    pub(super) content: &'e [u8],
    pub(super) rest: &'e [u8],
}

impl<'e> Element<'e> {
    pub(super) fn read(bytes: &'e [u8], tag: u8) -> Option<Self> {
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
