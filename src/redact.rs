//! Knows every live secret value, and takes it out of every text that leaves the process.
//!
//! # Flow
//! Whoever opens a secret registers its values and keeps the [`Live`] handle as long as the values may still reach a
//! text; whoever emits a text (log, event, status, error, page, panic) sends it through [`Redactor::redact`].
//!
//! # Guarantees
//! - A value is found as it stands, JSON-escaped, URL-escaped, and inside base64 at every alignment, in both alphabets.
//!   Of a value of several lines each line is found, too.
//! - What overlaps is taken out as one.
//! - Handles are cheap to clone and safe to share; a value goes with its last handle, but not before so many others came
//!   ([`RECENT`]) that what was written of its failure has been told.
//!
//! # Caveats
//! - Values below [`SHORTEST`] bytes are not known: they are words such as `true`, `prod` or `5432`, which stand in every
//!   second text, and masking them would tell which words are secrets. Nor is the word
//!   `secret`, which every second message has.
//! - A value cut in two by a writer, or written in another encoding, is not found.
//! - The search structures hold values in plain memory until they are next rebuilt without them.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::io::Write as _;
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use manifest::Object;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// An object whose secret values were taken out, to be shown. Nothing that writes to a cluster takes it:
///
/// ```compile_fail
/// # fn call(masked: lockstep::redact::Masked) -> apply::Call {
/// apply::Call::Create { object: masked, manager: String::new(), dry_run: false, subresource: None }
/// # }
/// ```
///
/// It takes what was not masked:
///
/// ```
/// # fn call(object: manifest::Object) -> apply::Call {
/// apply::Call::Create { object, manager: String::new(), dry_run: false, subresource: None }
/// # }
/// ```
pub struct Masked(Object);

impl Masked {
    /// Vouches that no secret value is left in `object`.
    pub fn new(object: Object) -> Self {
        Self(object)
    }

    /// The object, where it is of a kind of which nothing is ever masked.
    pub fn unmasked(&self) -> Option<&Object> {
        (!self.0.is_secret()).then_some(&self.0)
    }

    /// Its metadata, to which more may be added.
    pub fn metadata(&mut self) -> &mut Map<String, Value> {
        self.0.metadata()
    }

    /// As a text.
    pub fn show(&self, print: impl FnOnce(&Object) -> String) -> String {
        print(&self.0)
    }
}

/// Shorter values, in bytes, are not taken out.
pub const SHORTEST: usize = 6;
/// Values that are not taken out either.
const WORDS: [&str; 2] = ["secret", "secrets"];
/// What stands in place of a value.
pub const MASK: &str = "***";

/// Values that [`Redactor::remember`] keeps, by their digest, oldest first.
const REMEMBERED: usize = 10_000;
/// Registrations that stay known when nobody holds their handles any more: a build that failed has dropped its handles
/// before its error is told.
const RECENT: usize = 256;

/// Takes live secret values out of texts. A clone is a handle to the same knowledge.
#[derive(Clone, Default)]
pub struct Redactor {
    state: Arc<Mutex<State>>,
    remembered: Arc<Mutex<Remembered>>,
}

/// Digests of values with the handles that keep them known, oldest first.
type Remembered = VecDeque<([u8; 32], Live)>;

#[derive(Default)]
struct State {
    /// What was registered since a search structure was built last.
    fresh: Vec<Weak<Forms>>,
    recent: VecDeque<Arc<Forms>>,
    /// What finds the others. Each is at least twice as large as the next one, so that a value is built into few of them.
    searches: Vec<Arc<Search>>,
}

struct Search {
    entries: Vec<Weak<Forms>>,
    /// None when there is nothing to find.
    automaton: Option<AhoCorasick>,
}

/// Keeps registered values known. They are forgotten when the last clone is dropped.
#[derive(Clone)]
pub struct Live {
    _forms: Arc<Forms>,
}

struct Forms(Vec<Zeroizing<Vec<u8>>>);

impl Redactor {
    /// Makes values known for as long as the handle lives, and a little longer.
    #[must_use = "the values are forgotten with the handle"]
    pub fn register<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) -> Live {
        let forms = Arc::new(Forms(values.into_iter().flat_map(forms).collect()));
        if !forms.0.is_empty() {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.fresh.push(Arc::downgrade(&forms));
            state.recent.push_back(Arc::clone(&forms));
            if state.recent.len() > RECENT {
                state.recent.pop_front();
            }
        }
        Live { _forms: forms }
    }

    /// Makes a value known that nobody keeps a handle to, such as what a store answered before anything became of it:
    /// until so many others were remembered since that a landing, which has handles of its own, must have followed.
    pub fn remember(&self, value: &[u8]) {
        let digest: [u8; 32] = Sha256::digest(value).into();
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.iter().any(|(known, _)| *known == digest) {
            return;
        }
        if remembered.len() == REMEMBERED {
            remembered.pop_front();
        }
        remembered.push_back((digest, self.register([value])));
    }

    /// The text without any live value.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let searches = self.searches();
        let automata = searches.iter().filter_map(|search| search.automaton.as_ref());
        let found = automata.flat_map(|automaton| automaton.find_overlapping_iter(text));
        let spans = merged(found.map(|found| (found.start(), found.end())));
        if spans.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut kept = 0;
        for (start, end) in spans {
            out.push_str(text.get(kept..start).unwrap_or_default());
            out.push_str(MASK);
            kept = end;
        }
        out.push_str(text.get(kept..).unwrap_or_default());
        Cow::Owned(out)
    }

    /// The texts of all `message`s in a value, however deep, without any live value.
    pub fn redact_messages(&self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_messages(item)),
            Value::Object(fields) => fields.iter_mut().for_each(|(name, field)| match field {
                Value::String(text) if name == "message" => *text = self.redact(text).into_owned(),
                field => self.redact_messages(field),
            }),
            _ => {}
        }
    }

    /// The current search structures. What is fresh makes a new one, which takes in those that are not much larger.
    fn searches(&self) -> Vec<Arc<Search>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.fresh.is_empty() {
            return state.searches.clone();
        }
        let mut entries = std::mem::take(&mut state.fresh);
        while let Some(last) = state.searches.pop_if(|last| last.entries.len() < 2 * entries.len()) {
            entries.extend(last.entries.iter().cloned());
        }
        state.searches.push(Arc::new(Search::build(entries)));
        state.searches.clone()
    }
}

impl Search {
    fn build(entries: Vec<Weak<Forms>>) -> Self {
        let live: Vec<Arc<Forms>> = entries.iter().filter_map(Weak::upgrade).collect();
        let patterns: BTreeSet<&[u8]> =
            live.iter().flat_map(|forms| forms.0.iter().map(|form| form.as_slice())).collect();
        let build = || AhoCorasick::builder().match_kind(MatchKind::Standard).build(&patterns);
        // Building fails beyond four thousand million states only; then a text is better lost than leaked.
        let automaton = if patterns.is_empty() { None } else { build().or_else(|_| AhoCorasick::new([""])).ok() };
        Self { entries: live.iter().map(Arc::downgrade).collect(), automaton }
    }
}

/// Joins spans that touch or overlap.
fn merged(spans: impl Iterator<Item = (usize, usize)>) -> Vec<(usize, usize)> {
    let mut spans: Vec<_> = spans.collect();
    spans.sort_unstable();
    let mut joined: Vec<(usize, usize)> = Vec::with_capacity(spans.len());
    for (start, end) in spans {
        match joined.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// All that a value may look like in a text.
fn forms(value: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms = Vec::new();
    let trimmed = value.trim_ascii();
    if trimmed.len() < SHORTEST || WORDS.iter().any(|word| word.as_bytes() == trimmed) {
        return forms;
    }
    written(trimmed, &mut forms);
    if trimmed.len() < value.len() {
        forms.extend(base64_forms(value));
    }
    let lines: Vec<&[u8]> = trimmed.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).collect();
    if lines.len() > 1 {
        // The first and last lines of PEM are the same in every certificate.
        for line in lines.iter().filter(|line| line.len() >= SHORTEST && !line.starts_with(b"-----")) {
            written(line, &mut forms);
        }
    }
    forms
}

fn written(value: &[u8], forms: &mut Vec<Zeroizing<Vec<u8>>>) {
    if let Ok(text) = std::str::from_utf8(value) {
        forms.push(Zeroizing::new(value.to_vec()));
        let (json, html) = (escaped(text, false), escaped(text, true));
        // An error that quotes JSON, in a log line that is JSON.
        let twice = [escaped(&json, false), escaped(&html, false)];
        forms.extend([json, html, url(text, "%20"), url(text, "+")].into_iter().chain(twice).map(into_bytes));
        if !text.is_ascii() {
            let bytes = byte_escaped(text);
            forms.extend([escaped(&bytes, false), bytes].map(into_bytes));
        }
    }
    forms.extend(base64_forms(value));
}

fn into_bytes(text: String) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.into_bytes())
}

/// JSON's escapes; Go escapes for HTML as well.
fn escaped(text: &str, html: bool) -> String {
    let mut escaped = serde_json::to_string(text).unwrap_or_default();
    if html {
        for (plain, code) in
            [("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u{2028}", "\\u2028"), ("\u{2029}", "\\u2029")]
        {
            escaped = escaped.replace(plain, code);
        }
    }
    escaped.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// As Go's `time` quotes what it cannot parse: each byte beyond ASCII by its number.
fn byte_escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len() * 2), |mut out, byte| {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
        out
    })
}

fn url(text: &str, space: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len() * 3), |mut out, byte| {
        match byte {
            b' ' => out.push_str(space),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// Base64 of the value alone, and the characters that it decides when it stands anywhere within something encoded.
fn base64_forms(value: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms = Vec::new();
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        forms.push(into_bytes(engine.encode(value)));
        for (offset, undecided) in [(0, 0), (1, 2), (2, 3)] {
            let shifted = Zeroizing::new([&vec![0; offset], value].concat());
            let encoded = Zeroizing::new(engine.encode(&*shifted));
            let decided = encoded.len() - usize::from(!shifted.len().is_multiple_of(3));
            forms.push(Zeroizing::new(encoded.as_bytes()[undecided..decided].to_vec()));
        }
    }
    forms
}

/// Makes a panic say where it happened and, without any live value, why.
pub fn install_panic_hook(redactor: Redactor) {
    std::panic::set_hook(Box::new(move |panic| {
        let line = panic_line(&redactor, panic);
        // Nobody is left to tell if the standard error is closed.
        let _ = writeln!(std::io::stderr(), "{line}");
    }));
}

fn panic_line(redactor: &Redactor, panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let reason = panic.payload_as_str().unwrap_or("no message");
    format!("panic at {place}: {}", redactor.redact(reason))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const VALUE: &str = "p@ss w<ö>rd\"1";

    fn check(text: &str, expected: &str) {
        let redactor = Redactor::default();
        let _live = redactor.register([VALUE.as_bytes()]);
        assert_eq!(redactor.redact(text), expected);
    }

    #[test]
    fn a_value_is_found_in_every_form() {
        check(&format!("a {VALUE} b {VALUE}"), "a *** b ***");
        check(&serde_json::json!({"k": VALUE}).to_string(), r#"{"k":"***"}"#);
        check(
            &serde_json::json!({"msg": serde_json::json!({"k": VALUE}).to_string()}).to_string(),
            r#"{"msg":"{\"k\":\"***\"}"}"#,
        );
        check(r#"p@ss w\u003cö\u003erd\"1"#, "***");
        check("?k=p%40ss%20w%3C%C3%B6%3Erd%221&x", "?k=***&x");
        check("k=p%40ss+w%3C%C3%B6%3Erd%221", "k=***");
        check(r#""p@ss w<\xc3\xb6>rd\"1""#, r#""***""#);
        check("nothing here", "nothing here");
    }

    #[test]
    fn a_value_is_found_inside_of_base64() {
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "z", "yz", "xyz"] {
                let redactor = Redactor::default();
                let _live = redactor.register([VALUE.as_bytes()]);
                let encoded = STANDARD.encode(format!("{before}{VALUE}{after}"));
                let redacted = redactor.redact(&encoded).into_owned();
                assert!(redacted.contains(MASK) && redacted.len() <= MASK.len() + 16, "{encoded} became {redacted}");
            }
        }
    }

    #[test]
    fn the_lines_of_a_value_are_found() {
        let redactor = Redactor::default();
        let pem = "-----BEGIN KEY-----\nMIIabc\nMIIdef\n-----END KEY-----\n";
        let _live = redactor.register([pem.as_bytes()]);
        assert_eq!(redactor.redact("line 1: MIIabc, -----BEGIN KEY-----"), "line 1: ***, -----BEGIN KEY-----");
        assert_eq!(redactor.redact(pem), "***\n");
    }

    #[test]
    fn what_overlaps_goes_as_one() {
        let redactor = Redactor::default();
        let _live = redactor.register(["abcdefgh".as_bytes(), "efghijkl".as_bytes()]);
        assert_eq!(redactor.redact("-abcdefghijkl-"), "-***-");
    }

    #[test]
    fn a_value_is_forgotten_after_its_last_handle_when_enough_others_have_come() {
        let redactor = Redactor::default();
        let first = redactor.register([VALUE.as_bytes()]);
        let second = first.clone();
        let others =
            |count: usize| (0..count).map(|n| redactor.register([format!("another {n}").as_bytes()])).collect();
        drop(first);
        let _some: Vec<Live> = others(RECENT);
        assert_eq!(redactor.redact(VALUE), MASK);
        drop(second);
        assert_eq!(redactor.redact(VALUE), MASK, "what was told of it may still be on its way");
        let _more: Vec<Live> = others(RECENT);
        assert_eq!(redactor.redact(VALUE), VALUE);
    }

    #[test]
    fn values_are_found_whenever_they_came() {
        let redactor = Redactor::default();
        let mut handles = Vec::new();
        for n in 0..300 {
            handles.push(redactor.register([format!("value-{n}.").as_bytes()]));
            let text = (0..=n).map(|n| format!("value-{n}.")).collect::<Vec<_>>().join(" ");
            let text = redactor.redact(&text).into_owned();
            assert!(!text.contains("value"), "{n}: {text}");
        }
        let sizes: Vec<usize> = redactor.searches().iter().map(|search| search.entries.len()).collect();
        assert!(sizes.windows(2).all(|pair| pair[0] >= 2 * pair[1]), "{sizes:?}");
    }

    #[test]
    fn of_a_status_only_messages_are_texts() {
        let redactor = Redactor::default();
        let _live = redactor.register([b"default".as_slice(), b"secret"]);
        let mut status = serde_json::json!({"conditions": [{"message": "in default"}, {"message": "secret synced"}],
            "inventory": {"id": "default_a"}});
        redactor.redact_messages(&mut status);
        let expected = serde_json::json!({"conditions": [{"message": "in ***"}, {"message": "secret synced"}],
            "inventory": {"id": "default_a"}});
        assert_eq!(status, expected);
    }

    #[test]
    fn short_and_binary_values_do_no_harm() {
        let redactor = Redactor::default();
        let _live = redactor.register(["".as_bytes(), b"true", b"     ", b"\xff\xfe\xfd\xfc\xfb\xfa"]);
        assert_eq!(redactor.redact("true     false"), "true     false");
        assert_eq!(redactor.redact("data: //79/Pv6"), "data: ***");
    }

    #[test]
    fn a_panic_tells_its_place_and_no_value() {
        let redactor = Redactor::default();
        let _live = redactor.register([VALUE.as_bytes()]);
        let told = Arc::new(Mutex::new(String::new()));
        let (sink, before) = (Arc::clone(&told), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |panic| {
            *sink.lock().expect("not poisoned") = panic_line(&redactor, panic);
        }));
        let result = std::panic::catch_unwind(|| panic!("cannot use {VALUE}"));
        std::panic::set_hook(before);
        assert!(result.is_err());
        let told = told.lock().expect("not poisoned");
        assert!(told.starts_with("panic at src/redact.rs:") && told.ends_with(": cannot use ***"), "{told}");
    }
}
