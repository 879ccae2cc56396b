//! Go's `encoding/base64` and `base32`: what they refuse, and at which byte.

use base64::Engine as _;

/// A byte that cannot stand where it stands, in Go's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("illegal base{base} data at input byte {at}")]
pub struct CorruptInput {
    base: u32,
    at: usize,
}

/// Standard base64 with padding.
pub fn encode(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Standard base64 with padding; line breaks do not count, bits that are left over are not looked at.
///
/// # Errors
/// The first byte that cannot be.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, CorruptInput> {
    let corrupt = |at| CorruptInput { base: 64, at };
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let significant: Vec<(usize, u8)> =
        text.iter().copied().enumerate().filter(|(_, byte)| !matches!(byte, b'\n' | b'\r')).collect();
    let mut rest = significant.as_slice();
    while !rest.is_empty() {
        let mut quantum = [0u8; 4];
        let mut count = 0;
        while count < 4 {
            let Some(((at, byte), after)) = rest.split_first() else {
                // Go points before what it has read of the quantum.
                return Err(corrupt(text.len() - count));
            };
            rest = after;
            match digit64(*byte) {
                Some(digit) => quantum[count] = digit,
                None if *byte == b'=' && count >= 2 => {
                    check_padding(text.len(), *at, count, rest).map_err(corrupt)?;
                    rest = &[];
                    break;
                }
                None => return Err(corrupt(*at)),
            }
            count += 1;
        }
        let [a, b, c, d] = quantum;
        let bytes = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
        out.extend_from_slice(&bytes[..count - 1]);
    }
    Ok(out)
}

/// What may follow the first `=` of a quantum: another one after two digits, then nothing.
fn check_padding(length: usize, at: usize, count: usize, rest: &[(usize, u8)]) -> Result<(), usize> {
    let mut rest = rest;
    if count == 2 {
        match rest.split_first() {
            None => return Err(length),
            Some(((_, b'='), after)) => rest = after,
            Some(((next, _), _)) => return Err(next - 1),
        }
    }
    let _ = at;
    rest.first().map_or(Ok(()), |(next, _)| Err(*next))
}

fn digit64(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

const DIGITS32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Standard base32 with padding.
pub fn encode32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for chunk in bytes.chunks(5) {
        let mut block = [0u8; 8];
        block[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(block);
        let digits = (chunk.len() * 8).div_ceil(5);
        for index in 0..8 {
            let digit = (bits >> (35 - 5 * index)) & 31;
            let shown = usize::try_from(digit).ok().and_then(|digit| DIGITS32.get(digit)).copied().unwrap_or(b'=');
            out.push(if index < digits { char::from(shown) } else { '=' });
        }
    }
    out
}

/// Standard base32 with padding; line breaks do not count.
///
/// # Errors
/// The first byte that cannot be.
pub fn decode32(text: &[u8]) -> Result<Vec<u8>, CorruptInput> {
    let corrupt = |at| CorruptInput { base: 32, at };
    let input: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    let mut out = Vec::with_capacity(input.len() / 8 * 5);
    let mut at = 0;
    while at < input.len() {
        let mut bits = 0u64;
        let mut count = 0;
        let mut is_end = false;
        while count < 8 {
            let Some(byte) = input.get(at).copied() else { return Err(corrupt(input.len() - count)) };
            at += 1;
            let left = &input[at..];
            if byte == b'=' && count >= 2 && left.len() < 8 {
                check_padding32(input.len(), at, count, left).map_err(corrupt)?;
                is_end = true;
                break;
            }
            let Some(digit) = DIGITS32.iter().position(|known| *known == byte) else { return Err(corrupt(at - 1)) };
            bits = bits << 5 | digit as u64;
            count += 1;
        }
        let block = (bits << (64 - 5 * count)).to_be_bytes();
        out.extend_from_slice(&block[..count * 5 / 8]);
        if is_end {
            break;
        }
    }
    Ok(out)
}

fn check_padding32(length: usize, at: usize, count: usize, left: &[u8]) -> Result<(), usize> {
    if left.len() + count < 7 {
        return Err(length);
    }
    for index in 0..7 - count {
        if left.get(index).is_some_and(|byte| *byte != b'=') {
            return Err(at + index - 1);
        }
    }
    if matches!(count, 1 | 3 | 6) { Err(at - 1) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrupt_text_is_named_by_its_byte() {
        assert_eq!(decode(b"aGVs\nbG8=").as_deref(), Ok(&b"hello"[..]));
        assert_eq!(decode(b"!!").map_err(|error| error.to_string()), Err("illegal base64 data at input byte 0".into()));
        assert_eq!(decode(b"aGVsbG8").map_err(|error| error.at), Err(4));
        assert_eq!(decode32(encode32(b"hello!").as_bytes()).as_deref(), Ok(&b"hello!"[..]));
    }
}
