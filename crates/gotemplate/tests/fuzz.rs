//! Replays the seeds of the fuzzer, and many mutations of them, with the toolchain at hand.

#[path = "../fuzz/check.rs"]
#[expect(unreachable_pub, reason = "the fuzzer includes the file too")]
mod check;
#[path = "../../../tests/support/mutations.rs"]
mod mutations;

/// Mutations of all seeds together.
const ROUNDS: usize = 2_000;

/// What is put into a seed: everything that means something to one of the parsers, and numbers that are too large.
const PIECES: [&str; 96] = [
    "{{",
    "}}",
    "{{-",
    "-}}",
    "{{ end }}",
    "{{ else }}",
    "{{ else if . }}",
    "{{ if . }}",
    "{{ with . }}",
    "{{ range . }}",
    "{{ range $i, $e := .a }}",
    "{{ range 1000000000 }}",
    "{{ define \"t\" }}",
    "{{ template \"t\" . }}",
    "{{ block \"x\" . }}",
    "{{ break }}",
    "{{ continue }}",
    "{{/*",
    "*/}}",
    " | ",
    " (",
    ") ",
    " := ",
    " = ",
    ", ",
    "$",
    "$x",
    ".",
    ".a.b",
    " nil ",
    " true ",
    " 0 ",
    " -1 ",
    " 9223372036854775807 ",
    " -9223372036854775808 ",
    " 18446744073709551616 ",
    " 1e309 ",
    " 2147483648 ",
    " 0x1p-2 ",
    " 1i ",
    "'",
    "\"",
    "`",
    "\\",
    "\\x",
    "\\u00e9",
    "\n",
    "\r\n",
    "\t",
    "%",
    "%!",
    "%[1]",
    "%*d",
    "%1000000d",
    "%.999999f",
    "%#x",
    "%+v",
    "repeat ",
    "indent ",
    "until ",
    "untilStep ",
    "seq ",
    "printf ",
    "index ",
    "slice ",
    "substr ",
    "trunc ",
    "abbrev ",
    "wrap ",
    "randAlpha ",
    "dict ",
    "set ",
    "merge ",
    "list ",
    "chunk ",
    "regexFind ",
    "regexReplaceAll ",
    "toDate ",
    "dateModify ",
    "duration ",
    "fromJson ",
    "toJson ",
    "round ",
    "div ",
    "mod ",
    "(a{1000}){1000}",
    "[^",
    "(?i",
    "\\p{Greek}",
    ">=",
    "||",
    "-0",
    ".x",
    "é",
    "\u{1F600}",
    "\0",
];

#[test]
fn no_seed_and_no_mutation_of_one_panics() {
    mutations::replay(&mutations::contents(&mutations::files("fuzz/seeds")), &PIECES, ROUNDS, check::check);
}

#[test]
fn depth_is_refused_and_not_followed() {
    for (open, close) in
        [("{{ (", ") }}"), ("{{ if . }}", "{{ end }}"), ("{{ not (", ""), ("(", ")"), ("[", "]"), ("{\"a\":", "}")]
    {
        for times in [100, 300, 20_000] {
            check::check(open.repeat(times).as_bytes());
            check::check(format!("{}{}", open.repeat(times), close.repeat(times)).as_bytes());
        }
    }
    check::check(b"{{ define \"t\" }}{{ template \"t\" . }}{{ end }}{{ template \"t\" . }}");
    check::check(b"{{ $l := list }}{{ range until 10000 }}{{ $l = list $l }}{{ end }}{{ toJson $l }}{{ $l }}");
    check::check(b"{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ toJson $d }}{{ $d }}{{ deepCopy $d }}{{ eq $d $d }}");
}
