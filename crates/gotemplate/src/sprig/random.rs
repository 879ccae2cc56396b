//! Dice: whatever differs from run to run.

use super::{Result, give};
use crate::function::Entry;
use crate::{Call, Failure, Value};

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &[u8] = b"0123456789";
const LETTERS_AND_DIGITS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

pub(super) const TABLE: &[Entry] = &[
    Entry("randAlpha", "func(int) string", |c| characters(c, LETTERS)),
    Entry("randAlphaNum", "func(int) string", |c| characters(c, LETTERS_AND_DIGITS)),
    Entry("randAscii", "func(int) string", |c| characters(c, &(b' '..=b'~').collect::<Vec<_>>())),
    Entry("randBytes", "func(int) (string, error)", |c| {
        let mut bytes = vec![0; count(c)?];
        c.environment().fill(&mut bytes);
        give(crate::go::base64::encode(&bytes))
    }),
    Entry("randInt", "func(int, int) int", rand_int),
    Entry("randNumeric", "func(int) string", |c| characters(c, DIGITS)),
    Entry("shuffle", "func(string) string", shuffle),
    Entry("uuidv4", "func() string", uuid),
];

fn count(c: &mut Call<'_, '_, '_>) -> std::result::Result<usize, Failure> {
    let count = usize::try_from(c.int(0)).unwrap_or(0);
    c.charge(count)?;
    Ok(count)
}

/// A number below `limit`, each as likely; the limit is not 0.
fn below(c: &mut Call<'_, '_, '_>, limit: u64) -> u64 {
    let unbiased = u64::MAX - u64::MAX % limit;
    // A source that always says the same must not hold us for ever.
    for _ in 0..64 {
        let mut bytes = [0; 8];
        c.environment().fill(&mut bytes);
        let number = u64::from_le_bytes(bytes);
        if number < unbiased {
            return number % limit;
        }
    }
    0
}

fn characters(c: &mut Call<'_, '_, '_>, alphabet: &[u8]) -> Result {
    let count = count(c)?;
    let mut out = Vec::with_capacity(count);
    for _ in 0..count {
        let index = usize::try_from(below(c, alphabet.len() as u64)).unwrap_or(0);
        out.push(alphabet.get(index).copied().unwrap_or(b'?'));
    }
    give(out)
}

fn rand_int(c: &mut Call<'_, '_, '_>) -> Result {
    let (low, high) = (c.int(0), c.int(1));
    let range = high.checked_sub(low).and_then(|range| u64::try_from(range).ok()).filter(|range| *range > 0);
    let range = range.ok_or("invalid argument to Intn")?;
    Ok(Value::int(low.saturating_add_unsigned(below(c, range))))
}

fn shuffle(c: &mut Call<'_, '_, '_>) -> Result {
    let mut characters: Vec<char> = c.str(0).chars().collect();
    for last in (1..characters.len()).rev() {
        let other = usize::try_from(below(c, last as u64 + 1)).unwrap_or(0);
        characters.swap(last, other);
    }
    give(characters.into_iter().collect::<String>())
}

fn uuid(c: &mut Call<'_, '_, '_>) -> Result {
    let mut bytes = [0u8; 16];
    c.environment().fill(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    give(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}
