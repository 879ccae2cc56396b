//! Replays the seeds of the fuzzer, and many mutations of them, with the toolchain at hand.

#[path = "../fuzz/check.rs"]
#[expect(unreachable_pub, reason = "the fuzzer includes the file too")]
mod check;
#[path = "../../../tests/support/mutations.rs"]
mod mutations;

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

#[test]
fn no_seed_and_no_mutation_of_one_panics() {
    let cases = mutations::files("tests/cases").into_iter().filter(|path| path.ends_with("in.yaml"));
    let seeds: Vec<_> = cases.chain(mutations::files("fuzz/seeds")).collect();
    mutations::replay(&mutations::contents(&seeds), &PIECES, ROUNDS, check::check);
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
