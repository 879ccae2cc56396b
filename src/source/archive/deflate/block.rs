//! How a block is written: stored, with the fixed codes, or with codes of its own; whatever is shortest by Go's count.

use std::io::{self, Write};

use super::Token;
use super::huffman::{Code, canonical, codes};

/// Symbols for literals, the block's end and lengths; for distances; for code lengths.
const LITERALS: usize = 286;
const DISTANCES: usize = 30;
const LENGTHS: usize = 19;

/// The symbol that ends a block; lengths follow it.
const END: usize = 256;

/// The most bytes of a stored block.
const MAX_STORED: usize = 65_535;

/// The order in which the lengths of the codes for code lengths are written.
const ORDER: [usize; LENGTHS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Bits to a sink.
pub(super) struct BlockWriter<W> {
    sink: W,
    bytes: Vec<u8>,
    bits: u64,
    count: u32,
    fixed: Codes,
}

/// The codes of a block.
#[derive(Clone)]
struct Codes {
    literals: [Code; LITERALS],
    distances: [Code; DISTANCES],
}

/// How often each symbol occurs.
struct Frequencies {
    literals: [u32; LITERALS],
    distances: [u32; DISTANCES],
}

/// The head of a dynamic block: both tables of code lengths, run-length coded.
struct Head {
    literal_count: usize,
    distance_count: usize,
    /// Symbol, and what follows it in extra bits.
    runs: Vec<(usize, u64)>,
    codes: [Code; LENGTHS],
    /// How many of `codes` are written.
    count: usize,
    bits: u64,
}

impl<W: Write> BlockWriter<W> {
    pub(super) fn new(sink: W) -> Self {
        Self { sink, bytes: Vec::with_capacity(1 << 16), bits: 0, count: 0, fixed: Codes::fixed() }
    }

    /// Writes a block. Its `input` is missing when it has left the window; then it is not stored, nor are the extra bits
    /// counted.
    pub(super) fn write(&mut self, tokens: &[Token], input: Option<&[u8]>) -> io::Result<()> {
        let frequencies = Frequencies::of(tokens);
        let storable = input.filter(|input| input.len() <= MAX_STORED);
        let extra = storable.map_or(0, |_| frequencies.extra_bits());
        let own = Codes { literals: codes(&frequencies.literals, 15), distances: codes(&frequencies.distances, 15) };
        let head = Head::new(&frequencies, &own);
        let fixed_bits = 3 + frequencies.bits(&self.fixed) + extra;
        let own_bits = head.bits + frequencies.bits(&own) + extra;
        match storable {
            Some(input) if (input.len() as u64 + 5) * 8 < fixed_bits.min(own_bits) => self.stored(input, false),
            _ if own_bits < fixed_bits => {
                self.head(&head);
                self.tokens(tokens, &own);
            }
            _ => {
                self.put(2, 3);
                let fixed = self.fixed.clone();
                self.tokens(tokens, &fixed);
            }
        }
        self.drain()
    }

    /// Ends the stream.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.stored(&[], true);
        self.drain()?;
        Ok(self.sink)
    }

    fn drain(&mut self) -> io::Result<()> {
        self.sink.write_all(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }

    fn put(&mut self, bits: u64, count: u32) {
        self.bits |= bits << self.count;
        self.count += count;
        if self.count >= 32 {
            self.bytes.extend_from_slice(&(self.bits as u32).to_le_bytes());
            self.bits >>= 32;
            self.count -= 32;
        }
    }

    fn code(&mut self, code: Code) {
        self.put(code.bits.into(), code.length.into());
    }

    fn stored(&mut self, input: &[u8], is_last: bool) {
        self.put(is_last.into(), 3);
        let whole = self.count.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.bits.to_le_bytes()[..whole]);
        (self.bits, self.count) = (0, 0);
        let length = input.len() as u16;
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&(!length).to_le_bytes());
        self.bytes.extend_from_slice(input);
    }

    fn head(&mut self, head: &Head) {
        self.put(4, 3);
        self.put(head.literal_count as u64 - 257, 5);
        self.put(head.distance_count as u64 - 1, 5);
        self.put(head.count as u64 - 4, 4);
        for symbol in &ORDER[..head.count] {
            self.put(head.codes[*symbol].length.into(), 3);
        }
        for (symbol, extra) in &head.runs {
            self.code(head.codes[*symbol]);
            self.put(*extra, run_bits(*symbol));
        }
    }

    fn tokens(&mut self, tokens: &[Token], codes: &Codes) {
        for token in tokens {
            if let Some(literal) = token.as_literal() {
                self.code(codes.literals[usize::from(literal)]);
                continue;
            }
            let (length, distance) = (Symbol::of_length(token.length()), Symbol::of_distance(token.distance()));
            self.code(codes.literals[END + 1 + length.code]);
            self.put(length.extra, length.extra_bits);
            self.code(codes.distances[distance.code]);
            self.put(distance.extra, distance.extra_bits);
        }
        self.code(codes.literals[END]);
    }
}

impl Codes {
    fn fixed() -> Self {
        let mut lengths = [8; LITERALS];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        // The two symbols that are never used have codes too: they keep the others apart.
        let mut literals = [Code::default(); LITERALS];
        let all: [u8; 288] = std::array::from_fn(|symbol| lengths.get(symbol).copied().unwrap_or(8));
        literals.copy_from_slice(&canonical(&all)[..LITERALS]);
        let distances: [Code; 32] = canonical(&[5; 32]);
        Self { literals, distances: std::array::from_fn(|symbol| distances[symbol]) }
    }
}

impl Frequencies {
    fn of(tokens: &[Token]) -> Self {
        let mut all = Self { literals: [0; LITERALS], distances: [0; DISTANCES] };
        for token in tokens {
            if let Some(literal) = token.as_literal() {
                all.literals[usize::from(literal)] += 1;
            } else {
                all.literals[END + 1 + Symbol::of_length(token.length()).code] += 1;
                all.distances[Symbol::of_distance(token.distance()).code] += 1;
            }
        }
        all.literals[END] += 1;
        if all.distances.iter().all(|frequency| *frequency == 0) {
            // A table without any code cannot be written.
            all.distances[0] = 1;
        }
        all
    }

    fn bits(&self, codes: &Codes) -> u64 {
        cost(&self.literals, &codes.literals) + cost(&self.distances, &codes.distances)
    }

    fn extra_bits(&self) -> u64 {
        let length = |(code, frequency): (usize, &u32)| u64::from(*frequency) * u64::from(length_bits(code));
        let distance = |(code, frequency): (usize, &u32)| u64::from(*frequency) * u64::from(distance_bits(code));
        self.literals[END + 1..].iter().enumerate().map(length).sum::<u64>()
            + self.distances.iter().enumerate().map(distance).sum::<u64>()
    }
}

fn cost(frequencies: &[u32], codes: &[Code]) -> u64 {
    frequencies.iter().zip(codes).map(|(frequency, code)| u64::from(*frequency) * u64::from(code.length)).sum()
}

impl Head {
    fn new(frequencies: &Frequencies, own: &Codes) -> Self {
        let used =
            |frequencies: &[u32]| frequencies.iter().rposition(|frequency| *frequency > 0).map_or(1, |at| at + 1);
        let (literal_count, distance_count) = (used(&frequencies.literals), used(&frequencies.distances));
        let lengths = own.literals[..literal_count].iter().chain(&own.distances[..distance_count]);
        let runs = runs(&lengths.map(|code| code.length).collect::<Vec<u8>>());
        let mut counts = [0; LENGTHS];
        runs.iter().for_each(|(symbol, _)| counts[*symbol] += 1);
        let count = ORDER.iter().rposition(|symbol| counts[*symbol] > 0).map_or(4, |at| (at + 1).max(4));
        let codes = codes(&counts, 7);
        let extra: u64 = runs.iter().map(|(symbol, _)| u64::from(run_bits(*symbol))).sum();
        let bits = 3 + 5 + 5 + 4 + 3 * count as u64 + cost(&counts, &codes) + extra;
        Self { literal_count, distance_count, runs, codes, count, bits }
    }
}

/// Run-length coding of code lengths (RFC 1951, 3.2.7), as greedy as Go's: after a length up to six more of it at once,
/// of zeros up to 138, what is too short for that one by one.
fn runs(lengths: &[u8]) -> Vec<(usize, u64)> {
    let mut runs = Vec::with_capacity(lengths.len());
    for run in lengths.chunk_by(|one, other| one == other) {
        let (length, mut left) = (usize::from(run[0]), run.len());
        if length != 0 {
            runs.push((length, 0));
            left -= 1;
            while left >= 3 {
                let taken = left.min(6);
                runs.push((16, taken as u64 - 3));
                left -= taken;
            }
        }
        while length == 0 && left >= 11 {
            let taken = left.min(138);
            runs.push((18, taken as u64 - 11));
            left -= taken;
        }
        if length == 0 && left >= 3 {
            runs.push((17, left as u64 - 3));
            left = 0;
        }
        runs.extend(std::iter::repeat_n((length, 0), left));
    }
    runs
}

/// Extra bits after a symbol of a run.
fn run_bits(symbol: usize) -> u32 {
    match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    }
}

/// The symbol of a length or distance, and the bits that follow it (RFC 1951, 3.2.5).
struct Symbol {
    code: usize,
    extra: u64,
    extra_bits: u32,
}

impl Symbol {
    /// Of a length less 3.
    fn of_length(length: u32) -> Self {
        match length {
            255 => Self { code: 28, extra: 0, extra_bits: 0 },
            _ => Self::of(length, 2),
        }
    }

    /// Of a distance less 1.
    fn of_distance(distance: u32) -> Self {
        Self::of(distance, 1)
    }

    /// Small values have a symbol each; then every power of two has `1 << precision` of them.
    fn of(value: u32, precision: u32) -> Self {
        let extra_bits = (value | 1).ilog2().saturating_sub(precision);
        let code = (extra_bits << precision) + (value >> extra_bits);
        Self { code: code as usize, extra: u64::from(value & ((1 << extra_bits) - 1)), extra_bits }
    }
}

fn length_bits(code: usize) -> u32 {
    if code == 28 { 0 } else { (code as u32 / 4).saturating_sub(1) }
}

fn distance_bits(code: usize) -> u32 {
    (code as u32 / 2).saturating_sub(1)
}
