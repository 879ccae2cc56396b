//! Replays the seeds of the fuzzer, and many mutations of them, with the toolchain at hand.

#[path = "../fuzz/check.rs"]
#[expect(unreachable_pub, reason = "the fuzzer includes the file too")]
mod check;
#[path = "../../../tests/support/mutations.rs"]
mod mutations;

/// Mutations of all seeds together.
const ROUNDS: usize = 500;

/// What is put into a seed: everything that means something to one of the parsers.
const PIECES: [&str; 60] = [
    "\n",
    "\r\n",
    "\r",
    " ",
    "\t",
    ": ",
    "- ",
    ",",
    "=",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "\"\"\"",
    "`",
    "\\",
    "\\n",
    "\\\n",
    "# c\n",
    "; c\n",
    "[DEFAULT]\n",
    "[sops]\n",
    "sops:\n",
    "sops_",
    "__list_0",
    "__map_",
    "__list_99999999999__map_",
    "|\n",
    "&a ",
    "*a",
    "<<: *a",
    "---\n",
    "!!binary ",
    "!x ",
    "null",
    "true",
    "1e999",
    "-0",
    "0x",
    "9223372036854775808",
    "1.5",
    "2026-11-21T12:35:00Z",
    "_unencrypted",
    "encrypted_regex: ",
    "mac_only_encrypted: true",
    "shamir_threshold: 2",
    "key_groups:\n",
    "type:str",
    "type:int",
    "type:float",
    "type:bool",
    "type:bytes",
    "type:comment",
    "ENC[",
    "iv:",
    "\0",
    "é",
    "\u{feff}",
];

#[test]
fn no_seed_and_no_mutation_of_one_panics() {
    mutations::replay(&mutations::contents(&mutations::files("fuzz/seeds")), &PIECES, ROUNDS, check::check);
}

/// What is put into a key, or into what one made.
const KEY_PIECES: [&str; 24] = [
    "\n",
    "-> ",
    "-> X25519 ",
    "-> mlkem768x25519 ",
    "-> ssh-ed25519 ",
    "-> ssh-rsa ",
    "-> scrypt ",
    "--- ",
    "age-encryption.org/v1\n",
    "-----BEGIN AGE ENCRYPTED FILE-----\n",
    "-----END AGE ENCRYPTED FILE-----\n",
    "-----BEGIN PGP MESSAGE-----\n\n",
    "-----END PGP MESSAGE-----\n",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n",
    "-----BEGIN OPENSSH PRIVATE KEY-----\n",
    "-----BEGIN RSA PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----END RSA PRIVATE KEY-----\n",
    "AGE-SECRET-KEY-1",
    "AGE-SECRET-KEY-PQ-1",
    "AGE-PLUGIN-",
    "age1pq1",
    "AAAA",
    "////",
];

#[test]
fn no_key_and_no_mutation_of_one_panics() {
    let seeds = mutations::contents(&mutations::files("fuzz/key-seeds"));
    mutations::replay(&seeds, &KEY_PIECES, ROUNDS, check::check_keys);
    mutations::replay(&seeds, &KEY_PIECES, ROUNDS, check::check_age);
}

#[test]
fn no_document_of_any_format_panics() {
    mutations::replay(&mutations::contents(&mutations::files("fuzz/store-seeds")), &PIECES, ROUNDS, check::check_store);
}

#[test]
fn depth_is_refused_and_not_followed() {
    for open in ["[", "{\"a\":", "{a: ", "- ", "? ", "a:\n ", "[a]\n", "a__list_0__map_", "(", "# c\n"] {
        for times in [100, 300, 20_000] {
            check::check(open.repeat(times).as_bytes());
        }
    }
    let blocks: String = (0..2_000).map(|depth| format!("{:depth$}a:\n", "")).collect();
    check::check(blocks.as_bytes());
    let bomb: String =
        (1..12).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "))).collect();
    check::check(format!("a0: &a0 [x, x]\n{bomb}").as_bytes());
}
