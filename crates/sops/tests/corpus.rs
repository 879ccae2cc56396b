//! The corpus: what the sops command made of each document.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "a test reads its cases")]

#[path = "../../../tests/support/corpus.rs"]
mod corpus;

use std::io::Read as _;

use base64::Engine as _;
use corpus::{corpus, report};
use serde_json::Value;
use sops::{
    Action, Error, Format, Identities, Indents, KeyKind, MacState, MasterKey, Opened, Plain, Rule, RuleKind, Sealed,
    Settings, Step,
};

fn rows(part: &str) -> Option<Vec<Value>> {
    let bytes = std::fs::read(corpus(part)?).expect("the suite can be read");
    let text = if part.ends_with(".gz") {
        let mut text = String::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("the suite is compressed text");
        text
    } else {
        String::from_utf8(bytes).expect("the suite is text")
    };
    let rows = text.split('\n').filter(|line| !line.is_empty());
    Some(rows.map(|line| serde_json::from_str(line).expect("a row is JSON")).collect())
}

fn text<'r>(row: &'r Value, field: &str) -> &'r str {
    row[field].as_str().unwrap_or_default()
}

fn identities(names: &[&str]) -> Identities {
    let mut identities = Identities::default();
    for name in names {
        let path = corpus("sops").expect("the corpus is there").join(name);
        let text = std::fs::read_to_string(path).expect("the identity can be read");
        let added =
            if name.ends_with(".asc") { identities.add_pgp(name, &text) } else { identities.add_age(name, &text) };
        added.expect("the identity is valid");
    }
    identities
}

fn made(names: &[&str]) -> Identities {
    let names: Vec<String> = names.iter().map(|name| format!("made/keys/{name}")).collect();
    identities(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The identities that the corpus calls `all`, and what it calls by name.
fn named(name: &str) -> Identities {
    match name {
        "all" => made(&["age-a.txt", "age-b.txt", "age-c.txt", "age-d.txt", "age-pq.txt", "age-pq2.txt", "pgp.asc"]),
        "none" => Identities::default(),
        "two.txt" => made(&["age-a.txt", "age-c.txt"]),
        name => made(&[name]),
    }
}

fn open(document: &[u8], format: Format, identities: &Identities, ignore_mac: bool) -> Result<Opened, Error> {
    let sealed = Sealed::load(document, format)?;
    sealed.check_version()?;
    let opened = sealed.open(identities, &|_| {})?;
    match opened.mac() {
        MacState::Valid => Ok(opened),
        _ if ignore_mac => Ok(opened),
        state => Err(Error::Mac(state)),
    }
}

fn shown(plain: &Plain) -> String {
    String::from_utf8_lossy(plain.bytes()).into_owned()
}

fn is(plain: &Plain, expected: &Value) -> bool {
    match expected["b64"].as_str() {
        Some(encoded) => {
            base64::engine::general_purpose::STANDARD.decode(encoded).is_ok_and(|out| out == plain.bytes())
        }
        None => expected.as_str().is_some_and(|out| out.as_bytes() == plain.bytes()),
    }
}

/// What differs, if anything does.
fn compare(what: &str, ours: Result<Plain, Error>, theirs: &Value) -> Option<String> {
    match ours {
        Ok(plain) if is(&plain, theirs) => None,
        Ok(plain) => Some(format!("{what}: ours\n{}\ntheirs\n{theirs:#}", shown(&plain))),
        Err(_) if theirs["crash"] == true => None,
        Err(error) if theirs["exit"].as_u64() == Some(error.exit_code(Action::Decrypt).into()) => None,
        Err(error) => Some(format!("{what}: {error}; theirs {theirs:#}")),
    }
}

#[test]
fn documents_open_as_sops_opens_them() {
    let Some(rows) = rows("sops/made/made.jsonl.gz") else { return };
    let rows: Vec<_> = rows.iter().filter(|row| row["encrypted"].is_string()).collect();
    let identities = named("all");
    let failed =
        rows.iter().filter_map(|row| opened(row, &identities).map(|why| format!("{}: {why}", text(row, "id"))));
    report("sops/made", rows.len(), &failed.collect::<Vec<_>>());
}

fn opened(row: &Value, identities: &Identities) -> Option<String> {
    let format = Format::from_path(text(row, "file"));
    let opened = match open(text(row, "encrypted").as_bytes(), format, identities, false) {
        Ok(opened) => opened,
        Err(error) if row["exit"].as_u64() == Some(error.exit_code(Action::Decrypt).into()) => return None,
        Err(error) => return Some(error.to_string()),
    };
    if row["exit"].is_u64() {
        return Some("theirs failed".to_owned());
    }
    if let Some(why) = compare("decrypted", opened.emit(format, Indents::default()), &row["decrypted"]) {
        return Some(why);
    }
    for (output, expected) in row["as"].as_object().into_iter().flatten() {
        let format = Format::from_name(output).expect("an output type");
        if let Some(why) = compare(output, opened.emit(format, Indents::default()), expected) {
            return Some(why);
        }
    }
    None
}

#[test]
fn edited_documents_are_refused_as_sops_refuses_them() {
    let Some(rows) = rows("sops/made/bad.jsonl") else { return };
    let is_ours = |row: &&Value| {
        // The syntax of a path is for the command to read.
        row["args"][0] == "decrypt" && text(row, "id") != "extract-syntax"
    };
    let rows: Vec<_> = rows.iter().filter(is_ours).collect();
    let failed: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            compare("decrypt", edited(row), &outcome(row)).map(|why| format!("{}: {why}", text(row, "id")))
        })
        .collect();
    report("sops/bad", rows.len(), &failed);
}

fn outcome(row: &Value) -> Value {
    if row["exit"] == 0 { row["out"].clone() } else { row.clone() }
}

fn edited(row: &Value) -> Result<Plain, Error> {
    let arguments: Vec<&str> = row["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| *argument == name)?;
        arguments.get(at + 1).copied()
    };
    let output = Format::from_path(text(row, "file"));
    let input = option("--input-type").and_then(Format::from_name).unwrap_or(output);
    let ignore_mac = arguments.contains(&"--ignore-mac");
    // The original had an empty keyring there.
    let identities = if text(row, "id") == "pgp-no-key" { "none" } else { text(row, "identities") };
    let opened = open(text(row, "text").as_bytes(), input, &named(identities), ignore_mac)?;
    match option("--extract") {
        Some(path) => opened.extract(&steps(path), output, Indents::default()),
        None => opened.emit(output, Indents::default()),
    }
}

/// `["key"][0]`
fn steps(path: &str) -> Vec<Step> {
    let parts = path.split(['[', ']']).filter(|part| !part.is_empty());
    parts
        .map(|part| part.parse().map_or_else(|_| Step::Key(part.trim_matches(['"', '\'']).into()), Step::Index))
        .collect()
}

#[test]
fn upstream_samples_open() {
    let Some(rows) = rows("sops/upstream.jsonl") else { return };
    let names = ["age.txt", "age-global.txt", "age-pq.txt", "pgp.asc"];
    let names = names.map(|name| format!("kustomize-controller/keys/{name}"));
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.push("functional/pgp/sops_functional_tests_key.asc");
    let identities = identities(&names);
    let mut failed = Vec::new();
    for row in &rows {
        let path = corpus("sops").expect("the corpus is there").join(text(row, "file"));
        let document = std::fs::read(path).expect("the sample can be read");
        let format = Format::from_path(text(row, "file"));
        // There the samples have a `.sops.yaml` that says so.
        let has_settings = text(row, "file").starts_with("kustomize-controller");
        let indents = if has_settings { Indents { yaml: 2, json: Some(2) } } else { Indents::default() };
        let plain = open(&document, format, &identities, false).and_then(|opened| opened.emit(format, indents));
        let theirs = if row["exit"] == 0 { &row["decrypted"] } else { row };
        failed.extend(compare(text(row, "file"), plain, theirs));
    }
    report("sops/upstream", rows.len(), &failed);
}

/// Bytes that differ from run to run, so that the tests can be told apart when they fail.
fn random(bytes: &mut [u8]) {
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::try_from(place % 251).unwrap_or(0);
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    match value["b64"].as_str() {
        Some(encoded) => base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64"),
        None => value.as_str().unwrap_or_default().into(),
    }
}

/// When the documents are encrypted.
const MODIFIED: &str = "2026-11-21T08:31:22Z";

fn settings(row: &Value, recipients: &Value) -> Settings {
    let key = |name: &str| MasterKey::age(text(recipients, name));
    let pgp = MasterKey::parse(KeyKind::Pgp, text(recipients, "pgp"), MODIFIED).expect("a fingerprint");
    let (groups, threshold) = match text(row, "keys") {
        "three" => (vec![vec![key("a"), key("b"), key("c")]], 0),
        "pq" => (vec![vec![key("pq")]], 0),
        "pgp" => (vec![vec![pgp]], 0),
        "mixed" => (vec![vec![pgp, key("a")]], 0),
        "groups2" => (vec![vec![key("a")], vec![key("b"), key("c")], vec![key("d")]], 2),
        _ => (vec![vec![key("a")]], 0),
    };
    let kinds = [
        RuleKind::UnencryptedSuffix,
        RuleKind::EncryptedSuffix,
        RuleKind::UnencryptedRegex,
        RuleKind::EncryptedRegex,
        RuleKind::UnencryptedCommentRegex,
        RuleKind::EncryptedCommentRegex,
    ];
    let rule = kinds
        .into_iter()
        .find_map(|kind| row["rule"][kind.field()].as_str().map(|text| Rule { kind, text: text.to_owned() }));
    let mac_only_encrypted = row["rule"]["mac_only_encrypted"] == true;
    Settings { groups, threshold, rule: rule.unwrap_or_default(), mac_only_encrypted }
}

/// Ciphertext without what is random: lengths stay.
fn mask(document: &str) -> String {
    let value = regex::Regex::new(r"data:([^,]*),iv:[^,]*,tag:[^,]*,").expect("an expression");
    let masked = value.replace_all(document, |found: &regex::Captures<'_>| format!("data:{},", found[1].len()));
    let wrapped = r"(?s)(-----BEGIN (?:AGE ENCRYPTED FILE|PGP MESSAGE)-----).*?(-----END)";
    let wrapped = regex::Regex::new(wrapped).expect("an expression");
    wrapped.replace_all(&masked, "$1 $2").into_owned()
}

#[test]
fn documents_are_encrypted_as_sops_encrypts_them() {
    let Some(rows) = rows("sops/made/made.jsonl.gz") else { return };
    let path = corpus("sops/made/keys/recipients.json").expect("the corpus is there");
    let recipients = std::fs::read(path).expect("the recipients can be read");
    let recipients: Value = serde_json::from_slice(&recipients).expect("the recipients are JSON");
    let identities = named("all");
    let mut failed = Vec::new();
    for row in &rows {
        failed.extend(encrypted(row, &recipients, &identities).map(|why| format!("{}: {why}", text(row, "id"))));
    }
    report("sops/encrypt", rows.len(), &failed);
}

fn encrypted(row: &Value, recipients: &Value, identities: &Identities) -> Option<String> {
    let format = Format::from_path(text(row, "file"));
    let (plain, settings) = (bytes(&row["plain"]), settings(row, recipients));
    let sealed = Sealed::encrypt(&plain, format, settings, identities, MODIFIED, &mut random);
    let sealed = match sealed {
        Ok(sealed) => sealed,
        Err(error) if row["encrypt_exit"].as_u64() == Some(error.exit_code(Action::Encrypt).into()) => return None,
        Err(error) => return Some(error.to_string()),
    };
    let ours = sealed.emit(format, Indents::default()).expect("a sealed document can be printed");
    let opened = open(&ours, format, identities, false).and_then(|opened| opened.emit(format, Indents::default()));
    // Where the original refuses its own file, ours opens.
    if row["decrypted"] != Value::Null
        && let Some(why) = compare("reopened", opened, &row["decrypted"])
    {
        return Some(why);
    }
    if LISTS_WITH_COMMENTS.contains(&id_stem(row)) {
        return None;
    }
    let ours = mask(&String::from_utf8_lossy(&ours));
    let time = regex::Regex::new(r"2026-11-21T\d\d:\d\d:\d\dZ").expect("an expression");
    let theirs = time.replace_all(&mask(text(row, "encrypted")), MODIFIED).into_owned();
    (ours != theirs).then(|| format!("encrypted: ours\n{ours}\ntheirs\n{theirs}"))
}

/// Documents with a comment in a list, which becomes an entry in the original: a deliberate difference.
const LISTS_WITH_COMMENTS: [&str; 1] = ["yaml-comments"];

fn id_stem(row: &Value) -> &str {
    let id = text(row, "id");
    id.rsplitn(3, '-').last().unwrap_or(id)
}
