//! What large documents say of themselves, by digest: a chart's definitions are the same whatever its values, and are
//! most of what is read.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::Head;

/// Bytes from which on a digest costs much less than reading.
const LARGE: usize = 8 << 10;
/// Documents of a generation: when there are as many, those that were not seen since the last time are forgotten.
const MOST: usize = 512;

type Heads = HashMap<[u8; 32], Head>;

/// Those seen of late, and those seen before.
static HEADS: LazyLock<Mutex<[Heads; 2]>> = LazyLock::new(Mutex::default);

/// The head of a document; `read` reads one that is small or not known.
pub(super) fn head<E>(text: &str, read: impl FnOnce() -> Result<Head, E>) -> Result<Head, E> {
    if text.len() < LARGE {
        return read();
    }
    let digest: [u8; 32] = Sha256::digest(text).into();
    if let Some(head) = find(&digest) {
        return Ok(head);
    }
    let head = read()?;
    keep(&mut HEADS.lock().unwrap_or_else(PoisonError::into_inner), digest, head.clone());
    Ok(head)
}

/// What is known; of what was seen before, it is noted that it was seen again.
fn find(digest: &[u8; 32]) -> Option<Head> {
    let mut heads = HEADS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(head) = heads[0].get(digest) {
        return Some(head.clone());
    }
    let head = heads[1].get(digest)?.clone();
    keep(&mut heads, *digest, head.clone());
    Some(head)
}

fn keep(heads: &mut [Heads; 2], digest: [u8; 32], head: Head) {
    if heads[0].len() >= MOST {
        heads[1] = std::mem::take(&mut heads[0]);
    }
    heads[0].insert(digest, head);
}
