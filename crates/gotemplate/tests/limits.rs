//! Short templates that would make, or read, more than any machine can: each is refused, and soon.

use gotemplate::{Functions, Limits, Session, Still, Templates, Value};

const LIMITS: Limits = Limits { steps: 1_000_000, bytes: 4 << 20, depth: 40 };

fn run(text: &str) -> Result<String, String> {
    let mut templates = Templates::new("t", Functions::sprig());
    templates.parse("t", text).map_err(|error| error.to_string())?;
    let world = Still::default();
    let mut session = Session::new(&world, LIMITS);
    let out = templates.execute("t", &Value::Nil, &mut session).map_err(|failed| failed.error.to_string())?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn is_refused(text: &str, limit: &str) {
    let error = run(text).err().unwrap_or_default();
    assert_eq!(error, format!("template: {limit} limit exceeded"), "{text}");
}

#[test]
fn what_is_shared_many_times_is_not_walked() {
    // As many leaves as there are grains on the last square of a chessboard.
    const SHARED: &str = "{{ $v := list 1 }}{{ range until 64 }}{{ $v = list $v $v }}{{ end }}";
    const SHARED_IN_MAPS: &str = "{{ $v := dict }}{{ range until 64 }}{{ $v = dict \"a\" $v \"b\" $v }}{{ end }}";
    for walk in [
        "{{ $v }}",
        "{{ print $v }}",
        "{{ printf \"%v\" $v }}",
        "{{ println 1 $v }}",
        "{{ html $v }}",
        "{{ js $v }}",
        "{{ urlquery $v }}",
        "{{ toString $v }}",
        "{{ toStrings $v }}",
        "{{ quote $v }}",
        "{{ squote $v }}",
        "{{ cat $v 1 }}",
        "{{ join \",\" $v }}",
        "{{ sortAlpha $v }}",
        "{{ toJson $v }}",
        "{{ toRawJson $v }}",
        "{{ mustToPrettyJson $v }}",
        "{{ deepCopy $v | len }}",
        "{{ deepEqual $v (deepCopy $v) }}",
        "{{ dict $v 1 | len }}",
        "{{ has $v (list $v) }}",
        "{{ uniq (list $v $v) | len }}",
        "{{ without (list $v) $v | len }}",
    ] {
        is_refused(&format!("{SHARED}{walk}"), "size");
        is_refused(&format!("{SHARED_IN_MAPS}{walk}"), "size");
    }
    for look in ["len $v", "kindOf $v | len", "default 1 $v | len", "list $v | len", "first (list $v) | len"] {
        assert!(run(&format!("{SHARED}{{{{ {look} }}}}")).is_ok(), "{look} looks from outside only");
    }
    assert!(run(&format!("{SHARED}{{{{ eq $v $v }}}}")).is_err_and(|error| error.len() < 200), "the error is short");
}

#[test]
fn what_grows_is_paid_for_before_it_is_made() {
    for text in [
        "{{ $v := list 1 }}{{ range until 64 }}{{ $v = concat $v $v }}{{ end }}",
        "{{ $v := \"a\" }}{{ range until 64 }}{{ $v = printf \"%s%s\" $v $v }}{{ end }}",
        "{{ repeat 1000000000000 \"a\" }}",
        "{{ indent 1000000000000 \"a\" }}",
        "{{ join (repeat 1000000 \"b\") (until 10000) }}",
        "{{ replace \"\" (repeat 1000000 \"b\") (repeat 10000 \"a\") }}",
        "{{ replace \"a\" (repeat 1000000 \"b\") (repeat 10000 \"a\") }}",
        "{{ regexReplaceAll \"\" (repeat 10000 \"a\") (repeat 1000000 \"b\") }}",
        "{{ regexReplaceAll \".*\" (repeat 10000 \"a\") (repeat 100000 \"$0\") }}",
        "{{ regexReplaceAllLiteral \"a\" (repeat 10000 \"a\") (repeat 1000000 \"b\") }}",
        "{{ wrapWith 1 (repeat 1000000 \"b\") (repeat 10000 \"a\") }}",
        "{{ printf (repeat 10000 \"%1000000[1]d\") 1 }}",
        "{{ randAlpha 1000000000000 }}",
        "{{ until 1000000000000 }}",
        "{{ seq 1 1000000000000 }}",
    ] {
        is_refused(text, "size");
    }
}

#[test]
fn work_is_paid_for_that_leaves_nothing_behind() {
    for text in [
        "{{ $s := repeat 1000000 \"a\" }}{{ range 1000000000 }}{{ if contains \"b\" $s }}{{ end }}{{ end }}",
        "{{ $s := repeat 1000000 \"a\" }}{{ range 1000000000 }}{{ if regexMatch \"(a|b)*c\" $s }}{{ end }}{{ end }}",
        "{{ range $i, $e := until 10000 }}{{ if regexMatch (printf \"\\\\pL{%d}\" $i) \"x\" }}{{ end }}{{ end }}",
        "{{ $s := repeat 100000 \"a\" }}{{ regexMatch \"(a{100}){50}b\" $s }}",
        "{{ $v := until 1000 }}{{ range 1000000000 }}{{ if deepEqual $v (list) }}{{ end }}{{ end }}",
        "{{ $v := until 1000 }}{{ range 1000000000 }}{{ if not (first $v) }}{{ end }}{{ end }}",
    ] {
        is_refused(text, "step");
    }
}

#[test]
fn widths_and_precisions_go_as_far_as_in_go() -> Result<(), String> {
    let zeros = |count: usize| "0".repeat(count);
    for (format, value, printed) in [
        ("%.100000f", "1.5", format!("1.5{}", zeros(99_999))),
        ("%.70000e", "1.5", format!("1.5{}e+00", zeros(69_999))),
        ("%.70000g", "1.5", "1.5".into()),
        ("%.70000x", "1.5", format!("0x1.8{}p+00", zeros(69_999))),
        ("%070000d", "-3", format!("-{}3", zeros(69_998))),
        ("%.70000b", "5", format!("{}101", zeros(69_997))),
        ("%70000s", "\"a\"", format!("{}a", " ".repeat(69_999))),
        ("%.70000U", "65", format!("U+{}41", zeros(69_998))),
        ("%10000010d", "1", "%!(NOVERB)%!(EXTRA int=1)".into()),
    ] {
        let got = run(&format!("{{{{ printf \"{format}\" {value} }}}}"))?;
        assert!(got == printed, "{format} gives {} bytes for {}", got.len(), printed.len());
    }
    Ok(())
}

#[test]
fn work_that_is_slow_on_purpose_is_paid_for() {
    is_refused("{{ range until 100 }}{{ bcrypt \"x\" }}{{ end }}", "step");
    is_refused("{{ genPrivateKey \"rsa\" }}", "step");
}
