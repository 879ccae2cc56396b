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
    let found = find(&digest);
    let head = match found {
        Some(head) => head,
        None => read()?,
    };
    keep(digest, head.clone());
    Ok(head)
}

fn find(digest: &[u8; 32]) -> Option<Head> {
    let heads = HEADS.lock().unwrap_or_else(PoisonError::into_inner);
    heads.iter().find_map(|heads| heads.get(digest)).cloned()
}

fn keep(digest: [u8; 32], head: Head) {
    let mut heads = HEADS.lock().unwrap_or_else(PoisonError::into_inner);
    if heads[0].len() >= MOST {
        heads[1] = std::mem::take(&mut heads[0]);
    }
    heads[0].insert(digest, head);
}
