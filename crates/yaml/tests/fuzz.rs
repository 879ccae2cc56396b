//! Replays the seeds of the fuzzer, and many mutations of them, with the toolchain at hand.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "a test reads its cases")]

#[path = "../fuzz/check.rs"]
#[expect(unreachable_pub, reason = "the fuzzer includes the file too")]
mod check;

use std::path::Path;

/// Mutations of all seeds together.
const ROUNDS: usize = 5_000;

/// What is put into a seed: everything that means something to the scanner.
const PIECES: [&str; 48] = [
    "\n",
    "\r\n",
    " ",
    "  ",
    "\t",
    "- ",
    "? ",
    ": ",
    ":",
    ",",
    "[",
    "]",
    "{",
    "}",
    "|",
    ">",
    "|+\n",
    ">2-\n",
    "'",
    "''",
    "\"",
    "\\",
    "\\u",
    "\\x4",
    "#",
    " # c\n",
    "\n# foot\n\n",
    "&a ",
    "*a",
    "<<: *a\n",
    "!",
    "!!int ",
    "!<x> ",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "%TAG ! x\n",
    "\u{85}",
    "\u{2028}",
    "\u{FEFF}",
    "é",
    "\u{1F600}",
    "\0",
    "0x",
    "1e9",
    ".inf",
    "2001-1-1",
    "~",
];

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

fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = std::fs::read_dir(folder.join("tests/cases")).expect("the cases are there");
    let cases = cases.map(|entry| entry.expect("the folder can be read").path().join("in.yaml"));
    let seeds = std::fs::read_dir(folder.join("fuzz/seeds")).expect("the seeds are there");
    let seeds = seeds.map(|entry| entry.expect("the folder can be read").path());
    let mut paths: Vec<_> = cases.chain(seeds).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a seed can be read")).collect()
}

fn mutate(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
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
        _ => drop(bytes.splice(at..at, PIECES[dice.below(PIECES.len())].bytes())),
    }
}

#[test]
fn no_seed_and_no_mutation_of_one_panics() {
    let seeds = seeds();
    seeds.iter().for_each(|seed| check::check(seed));
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for _ in 0..ROUNDS {
        let mut bytes = seeds[dice.below(seeds.len())].clone();
        let other = &seeds[dice.below(seeds.len())];
        for _ in 0..=dice.below(4) {
            mutate(&mut bytes, other, &mut dice);
        }
        check::check(&bytes);
    }
}

#[test]
fn depth_is_refused_and_not_followed() {
    for open in ["[", "{a: ", "- ", "? ", "[[{b: ", "&a [*a, "] {
        for times in [100, 300, 5_000, 100_000] {
            check::check(open.repeat(times).as_bytes());
        }
    }
    let blocks: String = (0..5_000).map(|depth| format!("{:depth$}a:\n", "")).collect();
    check::check(blocks.as_bytes());
    let chain: String = (1..5_000).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect();
    check::check(format!("a0: &a0 x\n{chain}").as_bytes());
}

#[test]
fn an_alias_bomb_is_refused() {
    let lines = (1..12).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", ")));
    let bomb = format!("a0: &a0 [x, x]\n{}", lines.collect::<String>());
    let error = yaml::from_str(&bomb).expect_err("it is refused");
    assert_eq!(error.in_go_words(), "yaml: document contains excessive aliasing");
    check::check(bomb.as_bytes());
}

#[test]
fn a_text_that_is_too_large_is_refused() {
    let limits = yaml::Limits { bytes: 10, ..yaml::Limits::default() };
    let error = yaml::parse(b"a: 12345678", &limits).expect_err("it is refused");
    assert_eq!(error.to_string(), "yaml: line 0: the size of the text exceeds the limit of 10");
}
