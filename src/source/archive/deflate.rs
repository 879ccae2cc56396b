//! DEFLATE (RFC 1951), byte for byte as Go's `compress/flate` of Go 1.26 writes it at its default level.
//!
//! The digest that Flux shows for an artifact is one over compressed bytes; who wants the same digest has to make the
//! same choices: which match to take, where a block ends, how it is coded, which of several optimal codes. Even the
//! sizes of the pieces that arrive count, since they decide when the window moves: hand in what Go's caller would.
//!
//! | module | chooses |
//! |---|---|
//! | [`matcher`] | literals and matches, the ends of blocks |
//! | [`block`] | stored, fixed or dynamic; the bits |
//! | [`huffman`] | the lengths of codes |

mod block;
mod huffman;
mod matcher;

use std::io::{self, Write};

use block::BlockWriter;
use matcher::Matcher;

/// A compressor that writes to `W`.
pub(super) struct Deflater<W> {
    matcher: Matcher,
    blocks: BlockWriter<W>,
}

impl<W: Write> Deflater<W> {
    pub(super) fn new(sink: W) -> Self {
        Self { matcher: Matcher::new(), blocks: BlockWriter::new(sink) }
    }

    /// Takes one piece, of the size that Go's caller would hand in.
    pub(super) fn write(&mut self, mut piece: &[u8]) -> io::Result<()> {
        while !piece.is_empty() {
            self.matcher.advance(&mut self.blocks, false)?;
            piece = &piece[self.matcher.fill(piece)..];
        }
        Ok(())
    }

    /// Writes what is left, and the empty stored block that Go ends with.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.matcher.advance(&mut self.blocks, true)?;
        self.blocks.finish()
    }
}

/// What a block is made of: a byte as it is, or a repetition of earlier bytes.
#[derive(Clone, Copy)]
struct Token(u32);

impl Token {
    /// Set for repetitions, so that a literal's bits are its byte.
    const MATCH: u32 = 1 << 31;

    fn literal(byte: u8) -> Self {
        Self(byte.into())
    }

    /// `length` of 3 to 258 bytes, from `distance` of 1 to 32768 bytes before.
    fn repetition(length: usize, distance: usize) -> Self {
        Self(Self::MATCH | ((length - 3) as u32) << 16 | (distance - 1) as u32)
    }

    fn as_literal(self) -> Option<u8> {
        (self.0 & Self::MATCH == 0).then_some(self.0 as u8)
    }

    /// Length less 3.
    fn length(self) -> u32 {
        self.0 >> 16 & 0xff
    }

    /// Distance less 1.
    fn distance(self) -> u32 {
        self.0 & 0xffff
    }
}
