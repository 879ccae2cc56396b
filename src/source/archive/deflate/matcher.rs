//! Which repetitions are found: Go's level 6, with lazy evaluation and hash chains.

use std::io::{self, Write};

use super::Token;
use super::block::BlockWriter;

/// How far back a repetition may lie. The buffer holds two windows; its second half moves to the first when it is used up.
const WINDOW: usize = 1 << 15;

const MIN_MATCH: usize = 4;
const MAX_MATCH: usize = 258;

/// What must lie ahead, or the end be near, before a position is decided.
const AHEAD: usize = MIN_MATCH + MAX_MATCH;

const HASH_BITS: u32 = 17;

/// Tokens of a full block.
const BLOCK: usize = 1 << 14;

/// Level 6: after a match of at least `LAZY` none better is looked for; one of `NICE` ends the search, as do `TRIES`
/// steps along a chain; one of four bytes is worth a distance of at most `NEAR`.
const LAZY: usize = 16;
const NICE: usize = 128;
const TRIES: usize = 128;
const NEAR: usize = 4096;

/// A repetition; one shorter than [`MIN_MATCH`] is none.
#[derive(Clone, Copy)]
struct Match {
    length: usize,
    distance: usize,
}

const NONE: Match = Match { length: MIN_MATCH - 1, distance: 0 };

/// The state between pieces of input.
pub(super) struct Matcher {
    buffer: Box<[u8]>,
    /// Bytes in the buffer, and how many of them are decided.
    end: usize,
    index: usize,
    /// Where the current block's bytes begin; `None` once they have left the buffer.
    block: Option<usize>,
    /// By hash, the last position with it, plus one.
    heads: Box<[u32]>,
    /// By position within the window, the position before with the same hash, plus one.
    chain: Box<[u32]>,
    found: Match,
    /// The byte before `index` was put off, in case a longer match begins at `index`.
    is_pending: bool,
    tokens: Vec<Token>,
}

impl Matcher {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; 2 * WINDOW].into(),
            end: 0,
            index: 0,
            block: Some(0),
            heads: vec![0; 1 << HASH_BITS].into(),
            chain: vec![0; WINDOW].into(),
            found: NONE,
            is_pending: false,
            tokens: Vec::with_capacity(BLOCK),
        }
    }

    /// Takes as much of `piece` as there is room for, and says how much.
    pub(super) fn fill(&mut self, piece: &[u8]) -> usize {
        if self.index >= 2 * WINDOW - AHEAD {
            self.slide();
        }
        let count = piece.len().min(self.buffer.len() - self.end);
        self.buffer[self.end..self.end + count].copy_from_slice(&piece[..count]);
        self.end += count;
        count
    }

    fn slide(&mut self) {
        self.buffer.copy_within(WINDOW.., 0);
        self.index -= WINDOW;
        self.end -= WINDOW;
        self.block = self.block.and_then(|start| start.checked_sub(WINDOW));
        for position in self.heads.iter_mut().chain(self.chain.iter_mut()) {
            *position = position.saturating_sub(WINDOW as u32);
        }
    }

    /// Decides all positions that have enough ahead of them, or all when the input has ended.
    pub(super) fn advance<W: Write>(&mut self, blocks: &mut BlockWriter<W>, is_end: bool) -> io::Result<()> {
        while self.end - self.index >= AHEAD || (is_end && self.index < self.end) {
            let before = std::mem::replace(&mut self.found, NONE);
            let head = self.insert(self.index);
            if before.length < LAZY
                && let Some(start) = head
            {
                self.search(start);
            }
            if before.length >= MIN_MATCH && self.found.length <= before.length {
                self.take(before);
                self.push(Token::repetition(before.length, before.distance), self.index, blocks)?;
            } else {
                if self.is_pending {
                    self.push(Token::literal(self.buffer[self.index - 1]), self.index, blocks)?;
                }
                self.index += 1;
                self.is_pending = true;
            }
        }
        if is_end { self.flush(blocks) } else { Ok(()) }
    }

    /// Steps over a match that began one byte before, and forgets what was found within.
    fn take(&mut self, before: Match) {
        let next = self.index + before.length - 1;
        for position in self.index + 1..next {
            self.insert(position);
        }
        self.index = next;
        self.found = NONE;
        self.is_pending = false;
    }

    fn push<W: Write>(&mut self, token: Token, end: usize, blocks: &mut BlockWriter<W>) -> io::Result<()> {
        self.tokens.push(token);
        if self.tokens.len() == BLOCK { self.end_block(end, blocks) } else { Ok(()) }
    }

    fn end_block<W: Write>(&mut self, end: usize, blocks: &mut BlockWriter<W>) -> io::Result<()> {
        let input = self.block.map(|start| &self.buffer[start..end]);
        blocks.write(&self.tokens, input)?;
        self.tokens.clear();
        self.block = Some(end);
        Ok(())
    }

    fn flush<W: Write>(&mut self, blocks: &mut BlockWriter<W>) -> io::Result<()> {
        if std::mem::take(&mut self.is_pending) {
            self.tokens.push(Token::literal(self.buffer[self.index - 1]));
        }
        if self.tokens.is_empty() { Ok(()) } else { self.end_block(self.index, blocks) }
    }

    /// Enters a position, and gives the one before with the same hash. The last three bytes have none.
    fn insert(&mut self, position: usize) -> Option<usize> {
        let bytes = self.buffer[..self.end].get(position..)?.first_chunk::<MIN_MATCH>()?;
        let hash = u32::from_be_bytes(*bytes).wrapping_mul(0x1e35_a7bd) >> (32 - HASH_BITS);
        let before = std::mem::replace(&mut self.heads[hash as usize], position as u32 + 1);
        self.chain[position % WINDOW] = before;
        (before as usize).checked_sub(1)
    }

    /// Looks along the chain from `start` for the longest match of what stands at `index`.
    fn search(&mut self, start: usize) {
        let at = self.index;
        let oldest = at.saturating_sub(WINDOW);
        let most = (self.end - at).min(MAX_MATCH);
        let (nice, wanted) = (most.min(NICE), &self.buffer[at..at + most]);
        let mut position = start;
        for _ in 0..TRIES {
            if position < oldest {
                return;
            }
            let there = &self.buffer[position..position + most];
            // The byte that would make it longer tells most candidates apart at once.
            if there[self.found.length] == wanted[self.found.length] {
                let (length, distance) = (common(there, wanted), at - position);
                if length > self.found.length && (length > MIN_MATCH || distance <= NEAR) {
                    self.found = Match { length, distance };
                    if length >= nice {
                        return;
                    }
                }
            }
            // At the far end of the window the entry is already that of a later position.
            match (self.chain[position % WINDOW] as usize).checked_sub(1) {
                Some(next) if position + WINDOW != at => position = next,
                _ => return,
            }
        }
    }
}

/// How many bytes two slices of the same length have in common at their start.
fn common(one: &[u8], other: &[u8]) -> usize {
    let words = one.chunks_exact(8).zip(other.chunks_exact(8));
    let differing = words.map(|(one, other)| difference(one, other)).enumerate().find(|(_, bits)| *bits != 0);
    if let Some((word, bits)) = differing {
        return word * 8 + bits.trailing_zeros() as usize / 8;
    }
    let same = one.len() / 8 * 8;
    same + one[same..].iter().zip(&other[same..]).take_while(|(one, other)| one == other).count()
}

fn difference(one: &[u8], other: &[u8]) -> u64 {
    let word = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    word(one) ^ word(other)
}
