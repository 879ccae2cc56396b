//! Private keys: made, read, written, and what they sign.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::super::{Result, give};
use super::number;
use crate::go::der::{
    INTEGER, NULL, OCTET_STRING, OID, Reader, SEQUENCE, bit_string, context, element, members, unsigned,
};
use crate::go::pem::{self, Block};
use crate::go::x509::{CURVES, Curve, EC, ED25519, RSA, X25519, pkcs8, rsa_algorithm};
use crate::{Call, Failure};

/// What the search for the primes of a key may take, in steps.
const STEPS_OF_2048_BITS: u64 = 250_000;
const STEPS_OF_4096_BITS: u64 = 1_500_000;
const STEPS_OF_A_POINT: u64 = 1_000;

type Bytes = Zeroizing<Vec<u8>>;

/// A private key.
pub(super) enum Key {
    /// RSA; its own form is PKCS#1.
    Rsa { pkcs1: Bytes, pair: RsaKeyPair },
    /// On an elliptic curve, as a number.
    Ecdsa { curve: &'static Curve, secret: Bytes, pair: EcdsaKeyPair },
    /// Ed25519, as its seed.
    Ed25519 { seed: Bytes, pair: Ed25519KeyPair },
    /// RSA below 2048 bits.
    SmallRsa { pkcs1: Bytes, key: Box<number::Rsa> },
    /// On P-224.
    P224 { secret: Bytes, public: Vec<u8> },
    /// Of a kind that signs no certificate: DSA, X25519.
    Mute,
}

/// `genPrivateKey`. An error is a text, as in sprig.
pub(super) fn generate(c: &mut Call<'_, '_, '_>) -> Result {
    let kind = c.str(0).into_owned();
    let key = match kind.as_str() {
        "" | "rsa" => Key::rsa(c, 4096)?,
        "ecdsa" => Key::ecdsa(c)?,
        "ed25519" => Key::ed25519(c)?,
        "dsa" => return give(dsa(c)?),
        _ => return give(format!("Unknown type {kind}")),
    };
    give(key.encode())
}

/// A key of a kind that FIPS 186-5 retired, in the form that sprig gives it.
fn dsa(c: &mut Call<'_, '_, '_>) -> std::result::Result<String, Failure> {
    c.spend(STEPS_OF_4096_BITS)?;
    let environment = c.environment();
    let numbers = number::dsa(&mut |bytes| environment.fill(bytes)).ok_or_else(no_dice)?;
    let parts: Vec<u8> = numbers.iter().flat_map(|number| unsigned(number)).collect();
    Ok(Block::new("DSA PRIVATE KEY", members(SEQUENCE, &[&unsigned(&[0]), &parts])).encode())
}

fn no_dice() -> Failure {
    "failed to generate private key: there is no source of randomness".into()
}

fn curve_algorithm(curve: &Curve) -> &'static EcdsaSigningAlgorithm {
    match curve.size {
        32 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        48 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        _ => &ECDSA_P521_SHA512_ASN1_SIGNING,
    }
}

impl Key {
    /// A new RSA key.
    pub(super) fn rsa(c: &mut Call<'_, '_, '_>, bits: usize) -> std::result::Result<Self, Failure> {
        c.spend(if bits > 2048 { STEPS_OF_4096_BITS } else { STEPS_OF_2048_BITS })?;
        let made = c.environment().rsa_key(bits).map(Zeroizing::new).ok_or_else(no_dice)?;
        Self::from_pkcs8(&made)
    }

    fn ecdsa(c: &mut Call<'_, '_, '_>) -> std::result::Result<Self, Failure> {
        c.spend(STEPS_OF_A_POINT)?;
        // Of numbers of 256 bits, one in four billions is none of the curve.
        for _ in 0..4 {
            let mut secret = Zeroizing::new(vec![0; 32]);
            c.environment().fill(&mut secret);
            if let Ok(key) = Self::on_curve(&CURVES[0], secret) {
                return Ok(key);
            }
        }
        Err(no_dice())
    }

    fn ed25519(c: &mut Call<'_, '_, '_>) -> std::result::Result<Self, Failure> {
        c.spend(STEPS_OF_A_POINT)?;
        let mut seed = Zeroizing::new(vec![0; 32]);
        c.environment().fill(&mut seed);
        Self::of_seed(seed)
    }

    /// Reads the first block of PEM.
    pub(super) fn parse(text: &str) -> std::result::Result<Self, Failure> {
        let (block, _) = pem::next(text).ok_or_else(|| Failure::new("no PEM data in input"))?;
        let bytes = Zeroizing::new(block.bytes);
        let Some(kind) = block.kind.strip_suffix("PRIVATE KEY") else {
            return Err(format!("no private key data in PEM block of type {}", block.kind).into());
        };
        match kind {
            "" => Self::from_pkcs8(&bytes).map_err(|error| error.wrap("decoding PEM as PKCS#8")),
            "RSA " => Self::from_pkcs1(&bytes).map_err(|error| error.wrap("parsing RSA private key from PEM")),
            "EC " => Self::from_sec1(&bytes, None).map_err(|error| error.wrap("parsing EC private key from PEM")),
            "DSA " => {
                let numbers = Reader::new(&bytes).enter(SEQUENCE).into_iter().flatten();
                let is_whole = numbers.filter(|part| part.tag == INTEGER).count() == 6;
                let malformed = || Failure::new("parsing DSA private key from PEM: asn1: structure error");
                is_whole.then_some(Self::Mute).ok_or_else(malformed)
            }
            _ if kind.ends_with(' ') => Err(format!("invalid private key type {}", block.kind).into()),
            _ => Err(format!("no private key data in PEM block of type {}", block.kind).into()),
        }
    }

    fn from_pkcs8(bytes: &[u8]) -> std::result::Result<Self, Failure> {
        let malformed = || Failure::new("x509: failed to parse private key: asn1: structure error");
        let mut parts = Reader::new(bytes).enter(SEQUENCE).ok_or_else(malformed)?;
        parts.expect(INTEGER).ok_or_else(malformed)?;
        let mut algorithm = parts.enter(SEQUENCE).ok_or_else(malformed)?;
        let key = parts.expect(OCTET_STRING).ok_or_else(malformed)?.body;
        let inside = |kind: &str, error: Failure| {
            error.wrap(format!("x509: failed to parse {kind} private key embedded in PKCS#8"))
        };
        match algorithm.expect(OID).ok_or_else(malformed)?.body {
            RSA => Self::from_pkcs1(key).map_err(|error| inside("RSA", error)),
            EC => {
                let curve = algorithm.expect(OID).map(|id| id.body);
                Self::from_sec1(key, curve).map_err(|error| inside("EC", error))
            }
            ED25519 => {
                let seed = Reader::new(key).expect(OCTET_STRING).map(|seed| seed.body);
                let seed = seed.ok_or_else(|| Failure::new("x509: invalid Ed25519 private key"))?;
                if seed.len() != 32 {
                    return Err(format!("x509: invalid Ed25519 private key length: {}", seed.len()).into());
                }
                Self::of_seed(Zeroizing::new(seed.to_vec()))
            }
            X25519 => Ok(Self::Mute),
            _ => Err("x509: PKCS#8 wrapping contained private key with unknown algorithm".into()),
        }
    }

    fn from_pkcs1(bytes: &[u8]) -> std::result::Result<Self, Failure> {
        let pkcs1 = Zeroizing::new(bytes.to_vec());
        if let Ok(pair) = RsaKeyPair::from_der(bytes) {
            return Ok(Self::Rsa { pkcs1, pair });
        }
        let key = Self::rsa_numbers(bytes).and_then(|[_, rest @ ..]| number::Rsa::new(rest));
        let key = key.filter(|key| key.bits() < 2048);
        let key = key.ok_or_else(|| Failure::new("x509: no RSA private key of at most 8192 bits"))?;
        Ok(Self::SmallRsa { pkcs1, key: Box::new(key) })
    }

    /// Version, modulus, exponents and primes.
    fn rsa_numbers(pkcs1: &[u8]) -> Option<[&[u8]; 6]> {
        let mut parts = Reader::new(pkcs1).enter(SEQUENCE)?;
        let mut next = || parts.expect(INTEGER).map(|part| part.body);
        Some([next()?, next()?, next()?, next()?, next()?, next()?])
    }

    /// Reads the form of RFC 5915; the curve may stand outside.
    fn from_sec1(bytes: &[u8], curve: Option<&[u8]>) -> std::result::Result<Self, Failure> {
        let malformed = || Failure::new("x509: failed to parse EC private key: asn1: structure error");
        let mut parts = Reader::new(bytes).enter(SEQUENCE).ok_or_else(malformed)?;
        let version = parts.expect(INTEGER).ok_or_else(malformed)?.body;
        if version != [1] {
            return Err("x509: unknown EC private key version".into());
        }
        let secret = parts.expect(OCTET_STRING).ok_or_else(malformed)?.body;
        let inner = parts.optional(context(0)).and_then(|id| Reader::new(id.body).expect(OID));
        let id = curve.or(inner.map(|id| id.body)).unwrap_or_default();
        let curve = CURVES.iter().chain([&P224]).find(|curve| curve.id == id);
        let curve = curve.ok_or_else(|| Failure::new("x509: unknown elliptic curve"))?;
        // Some write more zeros in front than there should be, some fewer.
        let start = secret.iter().position(|byte| *byte != 0).unwrap_or(secret.len());
        let digits = &secret[start..];
        let missing = curve.size.checked_sub(digits.len());
        let missing = missing.ok_or_else(|| Failure::new("x509: invalid private key length"))?;
        Self::on_curve(curve, Zeroizing::new([&vec![0; missing], digits].concat()))
    }

    fn on_curve(curve: &'static Curve, secret: Bytes) -> std::result::Result<Self, Failure> {
        if curve.size == P224.size {
            let public = number::p224_public(&secret);
            let public = public.ok_or_else(|| Failure::new("x509: invalid elliptic curve private key value"))?;
            return Ok(Self::P224 { secret, public });
        }
        let sec1 = Zeroizing::new(sec1(curve, &secret, None));
        let pair = EcdsaKeyPair::from_private_key_der(curve_algorithm(curve), &sec1);
        let pair = pair.map_err(|_| Failure::new("ecdsa: private key is no number of its curve"))?;
        Ok(Self::Ecdsa { curve, secret, pair })
    }

    fn of_seed(seed: Bytes) -> std::result::Result<Self, Failure> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        let pair = pair.map_err(|_| Failure::new("x509: invalid Ed25519 private key"))?;
        Ok(Self::Ed25519 { seed, pair })
    }

    /// As PEM, in the form that Go gives its kind.
    pub(super) fn encode(&self) -> String {
        let (kind, bytes) = match self {
            Self::Rsa { pkcs1, .. } | Self::SmallRsa { pkcs1, .. } => ("RSA PRIVATE KEY", pkcs1.to_vec()),
            Self::P224 { secret, public } => ("EC PRIVATE KEY", sec1(&P224, secret, Some(public))),
            Self::Ecdsa { curve, secret, pair } => {
                ("EC PRIVATE KEY", sec1(curve, secret, Some(pair.public_key().as_ref())))
            }
            Self::Ed25519 { seed, .. } => {
                let algorithm = members(SEQUENCE, &[&element(OID, ED25519)]);
                ("PRIVATE KEY", pkcs8(&algorithm, &element(OCTET_STRING, seed)))
            }
            Self::Mute => return String::new(),
        };
        Block::new(kind, bytes).encode()
    }

    /// The name of its algorithm, as an element, and the public key.
    pub(super) fn public(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        match self {
            Self::Rsa { pair, .. } => Some((rsa_algorithm(), pair.public_key().as_ref().to_vec())),
            Self::SmallRsa { pkcs1, .. } => {
                let [_, modulus, exponent, ..] = Self::rsa_numbers(pkcs1)?;
                Some((rsa_algorithm(), members(SEQUENCE, &[&unsigned(modulus), &unsigned(exponent)])))
            }
            Self::Ecdsa { curve, pair, .. } => Some((ec_algorithm(curve), pair.public_key().as_ref().to_vec())),
            Self::P224 { public, .. } => Some((ec_algorithm(&P224), public.clone())),
            Self::Ed25519 { pair, .. } => {
                Some((members(SEQUENCE, &[&element(OID, ED25519)]), pair.public_key().as_ref().to_vec()))
            }
            Self::Mute => None,
        }
    }

    /// The name of the algorithm by which it signs, as an element.
    pub(super) fn signature_algorithm(&self) -> Option<Vec<u8>> {
        Some(match self {
            Self::Rsa { .. } | Self::SmallRsa { .. } => {
                members(SEQUENCE, &[&element(OID, RSA_SHA256), &element(NULL, &[])])
            }
            Self::P224 { .. } => members(SEQUENCE, &[&element(OID, &[ECDSA_SHA2, &[2]].concat())]),
            Self::Ecdsa { curve, .. } => {
                let digest = match curve.size {
                    32 => 2,
                    48 => 3,
                    _ => 4,
                };
                members(SEQUENCE, &[&element(OID, &[ECDSA_SHA2, &[digest]].concat())])
            }
            Self::Ed25519 { .. } => members(SEQUENCE, &[&element(OID, ED25519)]),
            Self::Mute => return None,
        })
    }

    /// Why it must not sign, in Go's words.
    pub(super) fn is_insecure(&self) -> Option<String> {
        let Self::SmallRsa { key, .. } = self else { return None };
        let bits = key.bits();
        let about = "https://go.dev/pkg/crypto/rsa#hdr-Minimum_key_size";
        (bits < 1024).then(|| format!("crypto/rsa: {bits}-bit keys are insecure (see {about})"))
    }

    /// Signs a message.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let dice = SystemRandom::new();
        match self {
            Self::Rsa { pair, .. } => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &dice, message, &mut signature).ok()?;
                Some(signature)
            }
            Self::SmallRsa { key, .. } => {
                let algorithm = members(SEQUENCE, &[&element(OID, SHA256), &element(NULL, &[])]);
                key.sign(&members(SEQUENCE, &[&algorithm, &element(OCTET_STRING, &Sha256::digest(message))]))
            }
            Self::Ecdsa { pair, .. } => Some(pair.sign(&dice, message).ok()?.as_ref().to_vec()),
            Self::P224 { secret, .. } => {
                let mut roll = |bytes: &mut [u8]| dice.fill(bytes).unwrap_or_default();
                let [r, s] = number::p224_sign(secret, &Sha256::digest(message), &mut roll)?;
                Some(members(SEQUENCE, &[&unsigned(&r), &unsigned(&s)]))
            }
            Self::Ed25519 { pair, .. } => Some(pair.sign(message).as_ref().to_vec()),
            Self::Mute => None,
        }
    }
}

fn ec_algorithm(curve: &Curve) -> Vec<u8> {
    members(SEQUENCE, &[&element(OID, EC), &element(OID, curve.id)])
}

/// The form of RFC 5915.
fn sec1(curve: &Curve, secret: &[u8], public: Option<&[u8]>) -> Vec<u8> {
    let public = public.map(|public| element(context(1), &bit_string(public))).unwrap_or_default();
    let (secret, curve) = (element(OCTET_STRING, secret), element(context(0), &element(OID, curve.id)));
    members(SEQUENCE, &[&unsigned(&[1]), &secret, &curve, &public])
}

/// The curve that none but Go still takes.
static P224: Curve = Curve { name: "P-224", id: &[0x2b, 0x81, 0x04, 0x00, 0x21], size: number::P224 };
/// The identifier of SHA-256.
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// `sha256WithRSAEncryption`.
const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
/// What `ecdsa-with-SHA256` and its sisters begin with.
const ECDSA_SHA2: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
