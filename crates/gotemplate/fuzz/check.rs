//! What must hold for any bytes, for the fuzzer and for the replay of its seeds.

use std::sync::LazyLock;

use gotemplate::go::semver::{Constraint, Version};
use gotemplate::go::time::{RFC3339, Time, Zone};
use gotemplate::go::{base64, duration, fmt, json, number, path, quote, regex::Regex, time, url};
use gotemplate::{Entries, Functions, Limits, MissingKey, Session, Still, Templates, Value};

/// What a template may cost here: enough to reach everything, too little to take long.
const LIMITS: Limits = Limits { steps: 20_000, bytes: 1 << 20, depth: 40 };

/// Executes the bytes as a template and reads them by Go's rules.
///
/// # Panics
/// If anything in the crate does, or if a value does not survive being printed.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    check_template(bytes);
    template(&text, MissingKey::Error, ("<", ">"));
    texts(bytes, &text);
    keys(&text);
    versions(&text);
    times(&text);
}

/// Executes the bytes as a template. Nothing else is done: many more are tried for that.
///
/// # Panics
/// As [`check`].
pub fn check_template(bytes: &[u8]) {
    template(&String::from_utf8_lossy(bytes), MissingKey::Zero, ("", ""));
}

fn template(text: &str, missing: MissingKey, (left, right): (&str, &str)) {
    static FUNCTIONS: LazyLock<Functions> = LazyLock::new(Functions::sprig);
    let mut templates = Templates::new("t", FUNCTIONS.clone()).missing_key(missing).delimiters(left, right);
    if templates.parse("t", text).is_err() {
        return;
    }
    let data = json::parse(r#"{"a": {"b": [1, 2.5, "x", null, true]}, "s": "text é", "n": -3, "m": {}}"#.as_bytes());
    let world = Still { now: 1_795_253_640_000_000_000 };
    let mut session = Session::new(&world, LIMITS);
    if let Ok(out) = templates.execute("t", &data.unwrap_or(Value::Nil), &mut session) {
        assert!(out.len() as u64 <= LIMITS.bytes, "the limit of bytes holds");
    }
}

fn texts(bytes: &[u8], text: &str) {
    assert_eq!(quote::unquote(&quote::quote(text.as_bytes())).as_deref(), Some(text.as_bytes()), "quotes come off");
    assert_eq!(base64::decode(base64::encode(bytes).as_bytes()).ok().as_deref(), Some(bytes), "base64 is undone");
    assert_eq!(base64::decode32(base64::encode32(bytes).as_bytes()).ok().as_deref(), Some(bytes), "base32 is undone");
    let _ = (base64::decode(bytes), base64::decode32(bytes), quote::unquote(text), quote::quote_to_ascii(bytes));
    let _ = (url::parse(text), json::parse(bytes), number::parse_float(text), number::parse_int(text, 0));
    let clean = path::clean(text);
    assert_eq!(path::clean(&clean), clean, "a clean path is clean");
    let (first, second) = halves(text);
    let _ = path::matches(first, second);
    let read = json::parse(b"{\"k\": [1, 2.5]}").unwrap_or(Value::Nil);
    let _ = fmt::sprintf(bytes, &[Value::int(-7), text.into(), Value::Nil, read]);
    // A search may cost the product of both lengths; templates pay for it.
    if let (true, Ok(expression)) = (text.len() < 1000, Regex::new(first)) {
        let _ = (expression.is_match(second), expression.replace_all(second, first), expression.split(second, -1));
        let _ = (expression.find_all(second, 5), expression.groups(second));
    }
}

/// The bytes as keys, certificates and ciphertexts.
fn keys(text: &str) {
    static FUNCTIONS: LazyLock<Functions> = LazyLock::new(Functions::sprig);
    let data = Value::from(Entries::from([("t".into(), text.into())]));
    for call in [
        "genSelfSignedCertWithKey .t nil (list .t) 1 .t",
        "buildCustomCert (b64enc .t) (b64enc .t)",
        "decryptAES .t .t",
        "decryptAES .t (b64enc .t)",
    ] {
        let mut templates = Templates::new("t", FUNCTIONS.clone());
        let _ = templates.parse("t", format!("{{{{ {call} }}}}"));
        let world = Still { now: 1_795_253_640_000_000_000 };
        let _ = templates.execute("t", &data, &mut Session::new(&world, LIMITS));
    }
}

fn versions(text: &str) {
    let (first, second) = halves(text);
    let _ = (Version::parse_strict(text), Constraint::parse(text));
    if let (Ok(constraint), Ok(version)) = (Constraint::parse(first), Version::parse(second)) {
        assert_eq!(constraint.matches(&version), constraint.validate(&version).is_ok(), "a version fits for a reason");
    }
}

fn times(text: &str) {
    let (layout, value) = halves(text);
    let _ = (time::parse(layout, value, &Zone::Utc), time::parse(RFC3339, text, &Zone::Utc));
    let _ = Time::from_nanoseconds(1_795_253_640_000_000_000).format(text);
    if let Ok(nanoseconds) = duration::parse(text) {
        let printed = duration::to_string(nanoseconds);
        assert_eq!(duration::parse(&printed).ok(), Some(nanoseconds), "{printed} is read again");
    }
}

/// What stands before and after the first line break.
fn halves(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, text))
}
