//! Replays the seeds of the fuzzer, and many mutations of them, with the toolchain at hand.

#[path = "../fuzz/check.rs"]
#[expect(unreachable_pub, dead_code, reason = "the fuzzer includes the file too, target by target")]
mod check;
#[path = "../../../tests/support/mutations.rs"]
mod mutations;

/// Mutations of all seeds together.
const ROUNDS: usize = 500;

/// What is put into a seed: everything that means something to one of the parsers.
const PIECES: [&str; 66] = [
    "\n",
    "\r\n",
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
    "[0]",
    "[65536]",
    "[99999999999]",
    "{,}",
    ".",
    "\\",
    "\\,",
    "null",
    "true",
    "1e999",
    "-0",
    "0x",
    "9223372036854775808",
    "\"",
    "'",
    "|\n",
    "&a ",
    "*a",
    "---\n",
    "# Source: x\n",
    "!",
    "*",
    "**",
    "?",
    "[a-",
    "/",
    "../",
    "\0",
    "é",
    "\"$ref\": \"#\",",
    "\"type\": \"array\",",
    "\"$id\": \"x\",",
    "\"items\": {},",
    "\"enum\": [],",
    "{{ . }}",
    "{{ include \"n\" . }}",
    "{{ tpl . . }}",
    "{{ toToml . }}",
    "{{ .Files.Get . }}",
    "helm.sh/hook: x",
    "alias: d",
    "import-values: [a]",
    "global: {}",
    "charts/",
    "templates/",
    "\u{feff}",
    "[[a]]\n",
    "a.b = ",
    "\"\"\"",
    "'''",
    "\\u00e9",
    "07:32:00",
    "v1.",
    ">=",
];

#[test]
fn no_seed_and_no_mutation_of_one_panics() {
    mutations::replay(&mutations::contents(&mutations::files("fuzz/seeds")), &PIECES, ROUNDS, check::check);
}

#[test]
fn the_files_of_our_charts_are_read_as_anything() {
    mutations::replay(&mutations::contents(&mutations::files("tests/cases")), &PIECES, 0, check::check);
}

#[test]
fn depth_is_refused_and_not_followed() {
    for open in ["[", "{\"a\":", "a.", "a[0].", "{", "(", "{\"items\":", "{\"not\":", "- ", "{{ (", "!", "[a"] {
        for times in [100, 300, 20_000] {
            check::check(open.repeat(times).as_bytes());
        }
    }
    let nested = format!("{}{}{}", "{\"allOf\":[".repeat(100), "{\"$ref\":\"#\"}", "]}".repeat(100));
    check::check(nested.as_bytes());
}
