//! Mutations of a fuzzer's seeds, the same each time, for replays on the toolchain at hand. Included by path into the
//! tests of the crates that have a fuzzer.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "each test binary uses a part of it, and what fails here stops the test"
)]

use std::path::{Path, PathBuf};

/// Numbers that look random and are the same each time (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits fit") % bound.max(1)
    }
}

/// All files below a folder of the package, by path.
pub fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// The contents of files.
pub fn contents(files: &[PathBuf]) -> Vec<Vec<u8>> {
    files.iter().map(|path| std::fs::read(path).expect("a seed can be read")).collect()
}

/// Checks the seeds, then `rounds` mutations of them; `pieces` is what means something to the parser.
pub fn replay(seeds: &[Vec<u8>], pieces: &[&str], rounds: usize, check: fn(&[u8])) {
    seeds.iter().for_each(|seed| check(seed));
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for _ in 0..rounds {
        let mut bytes = seeds[dice.below(seeds.len())].clone();
        let other = &seeds[dice.below(seeds.len())];
        for _ in 0..=dice.below(4) {
            mutate(&mut bytes, other, pieces, &mut dice);
        }
        check(&bytes);
    }
}

fn mutate(bytes: &mut Vec<u8>, other: &[u8], pieces: &[&str], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let end = (at + dice.below(8)).min(bytes.len());
    match dice.below(6) {
        0 => drop(bytes.drain(at..end)),
        1 => {
            let copy = bytes[at..end].to_vec();
            let to = dice.below(bytes.len() + 1);
            bytes.splice(to..to, copy);
        }
        2 if at < bytes.len() => bytes[at] = u8::try_from(dice.below(256)).expect("a byte"),
        3 => {
            let from = dice.below(other.len() + 1);
            let until = (from + dice.below(40)).min(other.len());
            bytes.splice(at..at, other[from..until].iter().copied());
        }
        _ => drop(bytes.splice(at..at, pieces[dice.below(pieces.len())].bytes())),
    }
}
