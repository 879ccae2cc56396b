//! Changing encrypted documents: what does not change keeps its ciphertext.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "a test reads its cases")]

#[path = "../../../tests/support/corpus.rs"]
mod corpus;

use std::io::Read as _;

use corpus::{corpus, report};
use serde_json::Value;
use sops::{Editing, Error, Format, Identities, Indents, MacState, MasterKey, Sealed, Settings, Step, generate};

const NOW: &str = "2026-11-22T10:00:00Z";

fn random() -> impl FnMut(&mut [u8]) {
    let mut state = 7_u64;
    move |bytes| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = state.to_be_bytes()[0];
        }
    }
}

fn identity() -> (Identities, MasterKey) {
    let (identity, recipient) = generate();
    let mut identities = Identities::default();
    identities.add_age("test", &identity).expect("a new identity");
    (identities, MasterKey::age(&recipient))
}

fn encrypted(plain: &str, key: &MasterKey) -> Sealed {
    let settings = Settings { groups: vec![vec![key.clone()]], ..Settings::default() };
    Sealed::encrypt(plain.as_bytes(), Format::Yaml, settings, &Identities::default(), NOW, &mut random())
        .expect("it can be encrypted")
}

fn emit(sealed: &Sealed, format: Format) -> String {
    String::from_utf8(sealed.emit(format, Indents::default()).expect("it can be printed")).expect("it is UTF-8")
}

/// The lines that hold values, which a change elsewhere leaves alone.
fn values(text: &str) -> Vec<String> {
    let is_value = |line: &&str| line.contains("ENC[") && !line.contains("mac");
    text.lines().filter(is_value).map(|line| line.trim().trim_end_matches(',').to_owned()).collect()
}

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

fn plain(editing: &Editing) -> String {
    let plain = editing.opened().emit(Format::Yaml, Indents::default()).expect("it can be printed");
    String::from_utf8(plain.bytes().to_vec()).expect("it is UTF-8")
}

/// Every document of the corpus that opens, as it was.
#[test]
fn a_document_that_is_closed_unchanged_keeps_every_value() {
    let Some(path) = corpus("sops/made/made.jsonl.gz") else { return };
    let mut text = String::new();
    let bytes = std::fs::read(path).expect("the suite can be read");
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("the suite is compressed text");
    let mut identities = Identities::default();
    for name in ["age-a", "age-b", "age-c", "age-d"] {
        let path = corpus(&format!("sops/made/keys/{name}.txt")).expect("the corpus is there");
        identities.add_age(name, &std::fs::read_to_string(path).expect("a key")).expect("an identity");
    }
    let (mut count, mut failed) = (0, Vec::new());
    for row in text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row is JSON")) {
        let (Some(document), Some(file)) = (row["encrypted"].as_str(), row["file"].as_str()) else { continue };
        let format = Format::from_path(file);
        let Ok(editing) = Sealed::load(document.as_bytes(), format).and_then(|sealed| sealed.edit(&identities)) else {
            continue;
        };
        if editing.mac() != MacState::Valid {
            continue;
        }
        count += 1;
        let closed = editing.close(NOW, &mut random()).expect("it can be closed");
        let opened =
            Sealed::load(emit(&closed, format).as_bytes(), format).and_then(|it| it.open(&identities, &|_| {}));
        if values(&emit(&closed, format)) != values(document) || !opened.is_ok_and(|it| it.mac() == MacState::Valid) {
            failed.push(row["id"].to_string());
        }
    }
    assert!(count > 100, "only {count} documents opened");
    report("sops/made, closed again", count, &failed);
}

#[test]
fn a_changed_value_alone_gets_another_ciphertext() {
    let (identities, recipient) = identity();
    let before = emit(&encrypted("a: 1\nb:\n    - x\n    - x\n    - y\nc: text\n", &recipient), Format::Yaml);
    let mut editing = Sealed::load(before.as_bytes(), Format::Yaml).unwrap().edit(&identities).unwrap();
    assert!(editing.set(&[key("c")], b"\"new\"").unwrap());
    assert!(!editing.set(&[key("a")], b"1").unwrap(), "it was 1 before");
    assert_eq!(plain(&editing), "a: 1\nb:\n    - x\n    - x\n    - \"y\"\nc: new\n");
    let after = emit(&editing.close(NOW, &mut random()).unwrap(), Format::Yaml);
    let (before, after) = (values(&before), values(&after));
    assert_eq!(before[..4], after[..4]);
    assert_ne!(before[4], after[4]);
}

#[test]
fn a_path_is_made_where_there_is_none_and_must_fit_where_there_is_one() {
    let (identities, recipient) = identity();
    let open = || encrypted("a: 1\nb: [x]\n", &recipient).edit(&identities).unwrap();
    for (path, json, wanted) in [
        (vec![key("p"), key("q")], "1.5", "a: 1\nb:\n    - x\np:\n    q: 1.5\n"),
        (
            vec![key("b"), Step::Index(7)],
            "{\"k\": [1, null]}",
            "a: 1\nb:\n    - x\n    - k:\n        - 1\n        - null\n",
        ),
        (vec![key("a"), key("x"), Step::Index(0)], "true", "a:\n    x:\n        - true\nb:\n    - x\n"),
        (vec![key("a")], "12345678", "a: 12345678\nb:\n    - x\n"),
    ] {
        let mut editing = open();
        assert!(editing.set(&path, json.as_bytes()).unwrap());
        assert_eq!(plain(&editing), wanted, "{path:?}");
    }
    for path in [vec![key("b"), key("x")], vec![Step::Index(0)]] {
        assert!(matches!(open().set(&path, b"1"), Err(Error::NoSuchPath { .. })), "{path:?}");
    }
    for json in ["bare", "", "1 2", "{"] {
        assert!(matches!(open().set(&[key("a")], json.as_bytes()), Err(Error::Malformed { .. })), "{json}");
    }
}

#[test]
fn what_is_taken_out_is_gone_and_what_is_not_there_is_named() {
    let (identities, recipient) = identity();
    let mut editing = encrypted("a: 1\nb: [x, {c: 2, d: 3}]\n", &recipient).edit(&identities).unwrap();
    editing.unset(&[key("b"), Step::Index(1), key("c")]).unwrap();
    editing.unset(&[key("b"), Step::Index(0)]).unwrap();
    assert_eq!(plain(&editing), "a: 1\nb:\n    - d: 3\n");
    for path in
        [vec![key("z")], vec![key("b"), Step::Index(1)], vec![key("a"), key("x")], vec![key("b"), key("x")], vec![]]
    {
        assert!(matches!(editing.unset(&path), Err(Error::NoSuchPath { .. })), "{path:?}");
    }
    assert_eq!(plain(&editing), "a: 1\nb:\n    - d: 3\n");
}

#[test]
fn a_rotated_document_shares_nothing_with_the_one_before() {
    let (identities, first) = identity();
    let (others, second) = identity();
    let before = encrypted("a: 1\nb: [x, y]\n", &first);
    let printed = emit(&before, Format::Yaml);
    let mut editing = before.edit(&identities).unwrap();
    editing.groups_mut()[0] = vec![second];
    editing.rotate(&identities, &mut random()).unwrap();
    let after = editing.close(NOW, &mut random()).unwrap();
    assert!(values(&printed).iter().all(|value| !values(&emit(&after, Format::Yaml)).contains(value)));
    assert!(matches!(after.edit(&identities), Err(Error::DataKey(_))), "its first key opens it no more");
    let after = Sealed::load(printed.as_bytes(), Format::Yaml).unwrap();
    assert!(after.edit(&others).is_err());
}

#[test]
fn other_keys_for_the_same_data_key_leave_the_values() {
    let (identities, first) = identity();
    let (others, second) = identity();
    let mut sealed = encrypted("a: 1\nb: [x, y]\n", &first);
    let before = values(&emit(&sealed, Format::Yaml));
    sealed.rewrap(&identities, vec![vec![first], vec![second]], 0, &mut random()).unwrap();
    assert_eq!((sealed.threshold(), values(&emit(&sealed, Format::Yaml))), (2, before));
    assert!(matches!(
        Sealed::load(emit(&sealed, Format::Yaml).as_bytes(), Format::Yaml).unwrap().edit(&others),
        Err(Error::DataKey(_))
    ));
}
