//! Length-limited Huffman codes: of the optimal ones, the one that Go's construction finds.

/// A code, its bits in the order in which they are written.
#[derive(Clone, Copy, Default)]
pub(super) struct Code {
    pub(super) bits: u16,
    pub(super) length: u8,
}

/// The code of each symbol; symbols that do not occur have length 0.
pub(super) fn codes<const N: usize>(frequencies: &[u32; N], limit: usize) -> [Code; N] {
    let mut used: Vec<(u32, usize)> = (0..N).map(|symbol| (frequencies[symbol], symbol)).collect();
    used.retain(|(frequency, _)| *frequency > 0);
    let mut lengths = [0; N];
    if used.len() <= 2 {
        used.iter().for_each(|(_, symbol)| lengths[*symbol] = 1);
        return canonical(&lengths);
    }
    used.sort_unstable();
    let weights: Vec<u32> = used.iter().map(|(frequency, _)| *frequency).collect();
    for count in leaves(&weights, limit.min(weights.len() - 1)) {
        used[..count].iter().for_each(|(_, symbol)| lengths[*symbol] += 1);
    }
    canonical(&lengths)
}

/// Package-merge. A level's row holds the leaves and the pairs of the row below, by weight; where a pair and a leaf weigh
/// the same, the pair comes first, and this is what makes the choice among optimal codes. Gives how many leaves, from
/// the lightest, take part at each level: a symbol's code is as long as the number of levels it takes part in.
fn leaves(weights: &[u32], levels: usize) -> Vec<usize> {
    let mut rows: Vec<Vec<(u32, bool)>> = Vec::with_capacity(levels);
    for level in 0..levels {
        let pairs: Vec<u32> = match level {
            0 => Vec::new(),
            _ => rows[level - 1].chunks_exact(2).map(|pair| pair[0].0 + pair[1].0).collect(),
        };
        rows.push(merge(weights, &pairs));
    }
    let mut wanted = 2 * weights.len() - 2;
    let take = |row: &Vec<(u32, bool)>| {
        let taken = &row[..wanted];
        let count = taken.iter().filter(|(_, is_leaf)| *is_leaf).count();
        wanted = 2 * (wanted - count);
        count
    };
    rows.iter().rev().map(take).collect()
}

fn merge(weights: &[u32], pairs: &[u32]) -> Vec<(u32, bool)> {
    let mut row = Vec::with_capacity(weights.len() + pairs.len());
    let mut pairs = pairs.iter().peekable();
    for weight in weights {
        while let Some(pair) = pairs.next_if(|pair| *pair <= weight) {
            row.push((*pair, false));
        }
        row.push((*weight, true));
    }
    row.extend(pairs.map(|pair| (*pair, false)));
    row
}

/// RFC 1951, 3.2.2: codes in the order of length, then symbol.
pub(super) fn canonical<const N: usize>(lengths: &[u8; N]) -> [Code; N] {
    let mut codes = [Code::default(); N];
    let mut next = 0_u16;
    for length in 1..=15 {
        next <<= 1;
        for symbol in (0..N).filter(|symbol| lengths[*symbol] == length) {
            codes[symbol] = Code { bits: next.reverse_bits() >> (16 - length), length };
            next += 1;
        }
    }
    codes
}
