//! Sharing a secret among groups, so that a number of them recovers it (Shamir; GF(2^8) as in AES).
//!
//! A part is one byte longer than the secret: its last byte is where the polynomials were evaluated. All arithmetic takes
//! the same time for all values.

use std::collections::HashSet;

use zeroize::Zeroizing;

/// Splits a secret into `parts`, of which `threshold` recover it. `random` fills its argument with random bytes.
pub(crate) fn split(
    secret: &[u8],
    parts: usize,
    threshold: usize,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<Vec<Zeroizing<Vec<u8>>>, &'static str> {
    if parts < threshold {
        return Err("the threshold of key groups cannot be above their number");
    }
    let Ok(count) = u8::try_from(parts) else { return Err("there cannot be more than 255 key groups") };
    if threshold < 2 {
        return Err("the threshold of key groups must be at least 2");
    }
    let mut shares: Vec<_> = (0..parts).map(|_| Zeroizing::new(Vec::with_capacity(secret.len() + 1))).collect();
    let mut polynomial = Zeroizing::new(vec![0; threshold]);
    for byte in secret {
        random(&mut polynomial);
        if let Some(first) = polynomial.first_mut() {
            *first = *byte;
        }
        for (x, share) in (1..=count).zip(&mut shares) {
            // Horner's rule, from the highest coefficient.
            share.push(polynomial.iter().rev().fold(0, |sum, coefficient| multiply(sum, x) ^ coefficient));
        }
    }
    for (x, share) in (1..=count).zip(&mut shares) {
        share.push(x);
    }
    Ok(shares)
}

/// Recovers the secret. Too few parts give another secret, which nothing here can tell.
pub(crate) fn combine(parts: &[Zeroizing<Vec<u8>>]) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    if parts.len() < 2 {
        return Err("one part alone recovers nothing");
    }
    let parts: Option<Vec<(&u8, &[u8])>> = parts.iter().map(|part| part.split_last()).collect();
    let parts = parts.ok_or("a part is empty")?;
    let length = parts.first().map_or(0, |(_, part)| part.len());
    if length == 0 || parts.iter().any(|(_, part)| part.len() != length) {
        return Err("parts differ in length");
    }
    let mut seen = HashSet::new();
    if !parts.iter().all(|(x, _)| seen.insert(**x)) {
        return Err("a part is there twice");
    }
    let mut secret = Zeroizing::new(vec![0; length]);
    for (x, part) in &parts {
        // Lagrange: the weight of this part where the polynomials meet the secret, at 0.
        let others = parts.iter().map(|(other, _)| **other).filter(|other| other != *x);
        let weight = others.fold(1, |weight, other| multiply(weight, divide(other, other ^ **x)));
        for (sum, y) in secret.iter_mut().zip(*part) {
            *sum ^= multiply(weight, *y);
        }
    }
    Ok(secret)
}

fn divide(a: u8, b: u8) -> u8 {
    // b^254 is the inverse of b.
    let inverse = (0..7).fold((1, b), |(product, power), _| {
        let square = multiply(power, power);
        (multiply(product, square), square)
    });
    multiply(a, inverse.0)
}

/// Modulo x^8 + x^4 + x^3 + x + 1, without branches.
fn multiply(a: u8, b: u8) -> u8 {
    (0..8).rev().fold(0, |product: u8, bit| {
        let reduced = (product << 1) ^ (0x1b & (product >> 7).wrapping_neg());
        reduced ^ (a & ((b >> bit) & 1).wrapping_neg())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_that_of_aes() {
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        for a in 1..=255 {
            assert_eq!(divide(a, a), 1);
            assert_eq!(multiply(divide(7, a), a), 7);
        }
    }

    #[test]
    fn any_two_of_three_parts_recover_the_secret() {
        let mut seed = 1_u8;
        let mut random = |bytes: &mut [u8]| {
            for byte in bytes {
                seed = seed.wrapping_mul(73).wrapping_add(41);
                *byte = seed;
            }
        };
        let secret = b"a data key of thirty-two bytes!!";
        let parts = split(secret, 3, 2, &mut random).unwrap();
        for left_out in 0..3 {
            let mut some = parts.clone();
            some.remove(left_out);
            assert_eq!(combine(&some).unwrap().as_slice(), secret);
        }
        assert_eq!(combine(&parts).unwrap().as_slice(), secret);
        assert_ne!(split(secret, 3, 3, &mut random).and_then(|parts| combine(&parts[..2])).unwrap().as_slice(), secret);
    }

    #[test]
    fn parts_that_cannot_belong_together_are_refused() {
        let part = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        for parts in [
            vec![part(&[1, 1])],
            vec![part(&[1, 1]), part(&[2, 1])],
            vec![part(&[1]), part(&[2])],
            vec![part(&[]), part(&[])],
        ] {
            assert!(combine(&parts).is_err());
        }
        assert!(split(b"x", 2, 3, &mut |_| {}).is_err());
        assert!(split(b"x", 2, 1, &mut |_| {}).is_err());
        assert!(split(b"x", 256, 2, &mut |_| {}).is_err());
    }
}
