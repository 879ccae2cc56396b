//! Whole numbers for the keys that AWS-LC makes and takes no more and Go does: DSA, RSA below 2048 bits, the curve P-224.
//! They are what a chart asks for by name, or brings along; the time that a key takes tells of it.

use crypto_bigint::modular::runtime_mod::{DynResidue, DynResidueParams};
use crypto_bigint::{Encoding as _, Limb, NonZero, U256, U2048};

type Residue = DynResidue<{ U2048::LIMBS }>;

/// Bytes of the largest number.
const LARGEST: usize = 256;
/// Candidates for a prime: of numbers this large one in 700 is one.
const CANDIDATES: usize = 20_000;
/// Bases by which a prime is tested.
const BASES: usize = 40;

/// Fills bytes by dice; gives nothing where there are none.
pub(super) type Dice<'d> = &'d mut dyn FnMut(&mut [u8]);

/// A number of at most 2048 bits.
fn number(bytes: &[u8]) -> Option<U2048> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let digits = &bytes[start..];
    let mut whole = [0; LARGEST];
    whole[LARGEST.checked_sub(digits.len())?..].copy_from_slice(digits);
    Some(U2048::from_be_slice(&whole))
}

fn power(base: &U2048, exponent: &U2048, modulus: &U2048) -> U2048 {
    let residue: Residue = DynResidue::new(base, DynResidueParams::new(modulus));
    residue.pow_bounded_exp(exponent, exponent.bits_vartime()).retrieve()
}

/// A remainder; of nothing by nothing.
fn remainder(number: &U2048, modulus: &U2048) -> U2048 {
    Option::from(NonZero::new(*modulus)).map_or(U2048::ZERO, |modulus| number.rem(&modulus))
}

fn rolled(dice: Dice<'_>, bytes: usize) -> Option<U2048> {
    let mut rolled = vec![0; bytes];
    dice(&mut rolled);
    rolled.iter().any(|byte| *byte != 0).then(|| number(&rolled))?
}

/// Whether an odd number of more than 32 bits is a prime, as far as Miller and Rabin tell.
fn is_prime(number: &U2048, dice: Dice<'_>) -> bool {
    let divides = |small: u64| {
        let small = Option::<NonZero<Limb>>::from(NonZero::new(Limb(small)));
        small.is_some_and(|small| number.div_rem_limb(small).1 == Limb::ZERO)
    };
    if (3..2000).step_by(2).any(divides) {
        return false;
    }
    let before = number.wrapping_sub(&U2048::ONE);
    let twos = before.trailing_zeros_vartime();
    let odd = before.shr_vartime(twos);
    let mut passes = |_| {
        let base = rolled(dice, LARGEST).map(|base| remainder(&base, number));
        let base = base.filter(|base| *base > U2048::ONE).unwrap_or(U2048::from_u8(2));
        let mut found = power(&base, &odd, number);
        if found == U2048::ONE || found == before {
            return true;
        }
        (1..twos).any(|_| {
            found = power(&found, &U2048::from_u8(2), number);
            found == before
        })
    };
    (0..BASES).all(&mut passes)
}

/// The first prime from a number on, step by step.
fn prime_from(start: U2048, step: &U2048, dice: Dice<'_>) -> Option<U2048> {
    let mut candidate = start;
    for _ in 0..CANDIDATES {
        if is_prime(&candidate, dice) {
            return Some(candidate);
        }
        candidate = candidate.wrapping_add(step);
    }
    None
}

/// A new DSA key of 2048 and 256 bits: p, q, g, y, x.
pub(super) fn dsa(dice: Dice<'_>) -> Option<[Vec<u8>; 5]> {
    let one = U2048::ONE;
    let top = |bits: usize| one.shl_vartime(bits - 1);
    let q = prime_from(rolled(dice, 32)? | top(256) | one, &U2048::from_u8(2), dice)?;
    let twice = q.shl_vartime(1);
    let start = rolled(dice, LARGEST)? | top(2048);
    let p = prime_from(start.wrapping_sub(&remainder(&start, &twice)).wrapping_add(&one), &twice, dice)?;
    let cofactor = p.wrapping_sub(&one).div_rem(&Option::from(NonZero::new(q))?).0;
    let g = (2..100).map(|base| power(&U2048::from_u8(base), &cofactor, &p)).find(|g| *g != one)?;
    let x = remainder(&rolled(dice, 40)?, &q.wrapping_sub(&one)).wrapping_add(&one);
    let y = power(&g, &x, &p);
    Some([p, q, g, y, x].map(|number| number.to_be_bytes().to_vec()))
}

/// An RSA key of less than 2048 bits.
pub(super) struct Rsa {
    modulus: U2048,
    exponent: U2048,
}

impl Rsa {
    /// Takes modulus, public and private exponent, and the two primes, if they belong together.
    pub(super) fn new([modulus, public, private, p, q]: [&[u8]; 5]) -> Option<Self> {
        let [modulus, public, exponent, p, q] =
            [number(modulus)?, number(public)?, number(private)?, number(p)?, number(q)?];
        let two = U2048::from_u8(2);
        let is_odd = modulus.bit_vartime(0) && modulus.bits_vartime() > 32;
        let belongs = is_odd && p.bits_vartime() + q.bits_vartime() <= 2048 && p.wrapping_mul(&q) == modulus;
        (belongs && power(&power(&two, &public, &modulus), &exponent, &modulus) == two)
            .then_some(Self { modulus, exponent })
    }

    /// How many bits the modulus has.
    pub(super) fn bits(&self) -> usize {
        self.modulus.bits_vartime()
    }

    /// Signs what PKCS#1 1.5 has of a digest; nothing when the key is too small for it.
    pub(super) fn sign(&self, digest: &[u8]) -> Option<Vec<u8>> {
        let size = self.bits().div_ceil(8);
        let padding = size.checked_sub(digest.len() + 3).filter(|padding| *padding >= 8)?;
        let padded = [&[0, 1], vec![0xff; padding].as_slice(), &[0], digest].concat();
        let signature = power(&number(&padded)?, &self.exponent, &self.modulus);
        Some(signature.to_be_bytes()[LARGEST - size..].to_vec())
    }
}

/// Numbers of the curve: below its prime, or below its order.
type Coordinate = DynResidue<{ U256::LIMBS }>;
/// A point; none at infinity.
type Point = Option<(Coordinate, Coordinate)>;

const PRIME: &str = "00000000ffffffffffffffffffffffffffffffff000000000000000000000001";
const ORDER: &str = "00000000ffffffffffffffffffffffffffff16a2e0b8f03e13dd29455c5c2a3d";
const BASE: [&str; 2] = [
    "00000000b70e0cbd6bb4bf7f321390b94a03c1d356c21122343280d6115c1d21",
    "00000000bd376388b5f723fb4c22dfe6cd4375a05a07476444d5819985007e34",
];
/// Bytes of a coordinate of P-224.
pub(super) const P224: usize = 28;

fn coordinate(bytes: &U256) -> Coordinate {
    DynResidue::new(bytes, DynResidueParams::new(&U256::from_be_hex(PRIME)))
}

fn of_order(number: &U256) -> Coordinate {
    DynResidue::new(number, DynResidueParams::new(&U256::from_be_hex(ORDER)))
}

fn added(left: Point, right: Point) -> Point {
    let (Some((x1, y1)), Some((x2, y2))) = (left, right) else { return left.or(right) };
    let (rise, run) = match x1 == x2 {
        // On this curve the tangent's rise is three times the square, less three.
        true if y1 == y2 => ((x1.square() - coordinate(&U256::ONE)) * coordinate(&U256::from_u8(3)), y1 + y1),
        true => return None,
        false => (y2 - y1, x2 - x1),
    };
    let slope = rise * run.invert().0;
    let x = slope.square() - x1 - x2;
    Some((x, slope * (x1 - x) - y1))
}

/// The base point so many times.
fn times(count: &U256) -> Point {
    let mut doubled = Some((coordinate(&U256::from_be_hex(BASE[0])), coordinate(&U256::from_be_hex(BASE[1]))));
    let mut sum = None;
    for bit in 0..count.bits_vartime() {
        if count.bit_vartime(bit) {
            sum = added(sum, doubled);
        }
        doubled = added(doubled, doubled);
    }
    sum
}

fn small(bytes: &[u8]) -> Option<U256> {
    let mut whole = [0; 32];
    whole[32_usize.checked_sub(bytes.len())?..].copy_from_slice(bytes);
    Some(U256::from_be_slice(&whole))
}

fn is_of_order(number: &U256) -> bool {
    *number != U256::ZERO && *number < U256::from_be_hex(ORDER)
}

/// The public point of a key on P-224, not compressed; nothing when the key is no number of the curve.
pub(super) fn p224_public(secret: &[u8]) -> Option<Vec<u8>> {
    let (x, y) = times(&small(secret).filter(is_of_order)?)?;
    let [x, y] = [x, y].map(|number| number.retrieve().to_be_bytes());
    Some([&[4], &x[32 - P224..], &y[32 - P224..]].concat())
}

/// The two numbers of a signature by a key on P-224.
pub(super) fn p224_sign(secret: &[u8], digest: &[u8], dice: Dice<'_>) -> Option<[Vec<u8>; 2]> {
    let (secret, digest) = (of_order(&small(secret)?), of_order(&small(digest.get(..P224)?)?));
    for _ in 0..100 {
        let mut rolled = [0; P224];
        dice(&mut rolled);
        let Some(count) = small(&rolled).filter(is_of_order) else { continue };
        let Some((x, _)) = times(&count) else { continue };
        let r = of_order(&x.retrieve());
        let s = of_order(&count).invert().0 * (digest + r * secret);
        let both = [r, s].map(|number| number.retrieve());
        if both.iter().all(|number| *number != U256::ZERO) {
            return Some(both.map(|number| number.to_be_bytes().to_vec()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn hexadecimal(text: &str) -> Vec<u8> {
        let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digits).collect()
    }

    #[test]
    fn p224_signs_as_in_rfc_6979() {
        let secret = hexadecimal("f220266e1105bfe3083e03ec7a3a654651f45e37167e88600bf257c1");
        let public = "0400cf08da5ad719e42707fa431292dea11244d64fc51610d94b130d6ceeab6f3debe455e3dbf85416f7030cbd94f34f2d6f232c69f3c1385a";
        assert_eq!(p224_public(&secret), Some(hexadecimal(public)));
        let count = hexadecimal("ad3029e0278f80643de33917ce6908c70a8ff50a411f06e41dedfcdc");
        let signed = p224_sign(&secret, &Sha256::digest("sample"), &mut |bytes| bytes.copy_from_slice(&count)).unwrap();
        let wanted = [
            "61aa3da010e8e8406c656bc477a7a7189895e7e840cdfe8ff42307ba",
            "bc814050dab5d23770879494f9e0a680dc1af7161991bde692b10101",
        ];
        assert_eq!(signed.map(|number| number[4..].to_vec()), wanted.map(hexadecimal));
        assert!(p224_public(&[0; 28]).is_none() && p224_public(&[0xff; 28]).is_none());
    }

    #[test]
    fn numbers_of_a_dsa_key_belong_together() {
        let mut rolls = 0_u64;
        let mut dice = |bytes: &mut [u8]| {
            for part in bytes.chunks_mut(32) {
                rolls += 1;
                part.copy_from_slice(&Sha256::digest(rolls.to_be_bytes())[..part.len()]);
            }
        };
        let [p, q, g, y, x] = dsa(&mut dice).unwrap().map(|bytes| number(&bytes).unwrap());
        assert_eq!((p.bits_vartime(), q.bits_vartime()), (2048, 256));
        assert_eq!(remainder(&p.wrapping_sub(&U2048::ONE), &q), U2048::ZERO);
        assert_eq!((power(&g, &q, &p), power(&g, &x, &p)), (U2048::ONE, y));
        assert!(g > U2048::ONE && x < q && is_prime(&p, &mut dice) && is_prime(&q, &mut dice));
        assert!(!is_prime(&q.wrapping_mul(&q), &mut dice));
    }
}
