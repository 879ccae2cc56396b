//! `lockstep sops` beside what the original left in the corpus: rules, and commands that change files.

use std::path::Path;

use serde_json::Value as Json;

use super::Lockstep;
use super::cases::{identities, lines, text, words, write};
use super::corpus::{corpus, report};

/// The metadata of an encrypted file without what differs from run to run, as the corpus has it.
fn masked(document: &str, is_json: bool) -> Json {
    let file: Json =
        if is_json { serde_json::from_str(document).ok() } else { yaml::from_str(document).ok() }.unwrap_or_default();
    let mut metadata = file["sops"].clone();
    mask(&mut metadata);
    metadata
}

fn mask(value: &mut Json) {
    match value {
        Json::Object(map) => {
            for (key, value) in map {
                match key.as_str() {
                    "enc" => *value = "<armored>".into(),
                    "lastmodified" => *value = "<lastmodified>".into(),
                    "mac" => *value = "<mac>".into(),
                    "created_at" => *value = "<time>".into(),
                    _ => mask(value),
                }
            }
        }
        Json::Array(list) => list.iter_mut().for_each(mask),
        _ => {}
    }
}

/// A document with its ciphertexts masked, without its metadata.
fn shape(document: &str) -> String {
    let sealed = regex::Regex::new(r"ENC\[AES256_GCM,[^\]]*\]").expect("an expression");
    sealed.replace_all(document, "ENC[..]").into_owned()
}

#[test]
fn files_are_encrypted_for_whom_the_first_rule_names() {
    let (Some(path), Some(keys)) = (corpus("sops/made/rules.jsonl"), corpus("sops/made/keys")) else { return };
    let (mut ran, mut failed) = (0, Vec::new());
    for case in lines(&path) {
        let id = text(&case, "id");
        ran += 1;
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), ".sops.yaml", text(&case, "config").as_bytes());
        write(folder.path(), text(&case, "file"), text(&case, "plain").as_bytes());
        let got = Lockstep::new(folder.path()).env("SOPS_PGP_KEY_FILE", keys.join("pgp.asc")).run(&[
            "sops",
            "encrypt",
            text(&case, "file"),
        ]);
        let wanted = case["exit"].as_i64().unwrap_or_default();
        if wanted != i64::from(got.code()) {
            failed.push(format!("{id}: wanted {wanted}, got {}: {}", got.code(), got.err()));
        } else if wanted == 0 && masked(&got.out(), text(&case, "file").ends_with("json")) != case["metadata"] {
            failed.push(format!("{id}: {}", got.out()));
        } else if wanted == 0 && !shape(&got.out()).starts_with(text(&case, "shape")) {
            failed.push(format!("{id}: {}", shape(&got.out())));
        }
    }
    report("cli/sops/rules", ran, &failed);
}

#[test]
fn commands_change_files_as_with_the_original_command() {
    let (Some(path), Some(keys)) = (corpus("sops/made/commands.jsonl"), corpus("sops/made/keys")) else { return };
    let (mut ran, mut failed) = (0, Vec::new());
    for case in lines(&path) {
        let id = text(&case, "id");
        if NOT_OURS.iter().any(|(name, _)| *name == id) {
            continue;
        }
        ran += 1;
        if let Some(why) = changed(&case, &keys) {
            failed.push(format!("{id}: {why}"));
        }
    }
    report("cli/sops/commands", ran, &failed);
}

/// Commands of the corpus that are not asked of ours, and why.
const NOT_OURS: [(&str, &str); 2] = [
    ("unknown-command", "the original takes an unknown command for a file to edit"),
    ("version", "`lockstep version` is ours"),
];

/// What differs, if anything does.
fn changed(case: &Json, keys: &Path) -> Option<String> {
    let (folder, file) = (tempfile::tempdir().expect("a folder"), text(case, "file"));
    write(folder.path(), file, text(case, "before").as_bytes());
    // The corpus keeps the configuration where it is not the usual one.
    let recipients: Json =
        serde_json::from_slice(&std::fs::read(keys.join("recipients.json")).expect("recipients")).expect("JSON");
    let usual = format!("creation_rules:\n- age: {}\n", recipients["a"].as_str().unwrap_or_default());
    write(folder.path(), ".sops.yaml", case["config"].as_str().unwrap_or(&usual).as_bytes());
    let identity = identities(keys, if text(case, "id").ends_with("no-identity") { "none" } else { "all" });
    let command = [&["sops"], &words(case, "args")[..]].concat();
    let got = Lockstep::new(folder.path()).env("SOPS_AGE_KEY", &identity).run(&command);
    let wanted = case["exit"].as_i64().unwrap_or_default();
    if wanted != i64::from(got.code()) {
        return Some(format!("wanted {wanted}, got {}: {}", got.code(), got.err()));
    }
    if got.out() != text(case, "stdout") {
        return Some(format!("wanted {:?}, got {:?}", text(case, "stdout"), got.out()));
    }
    let after = std::fs::read_to_string(folder.path().join(file)).expect("the file is there");
    let Some(decrypted) = case["after_decrypted"].as_str() else {
        return (after != text(case, "before")).then(|| "the file was changed".to_owned());
    };
    if decrypted.is_empty() {
        return (after != text(case, "after_shape")).then_some(after);
    }
    if masked(&after, file.ends_with("json")) != case["after_metadata"] {
        return Some(format!("metadata: {after}"));
    }
    let plain =
        Lockstep::new(folder.path()).env("SOPS_AGE_KEY", identities(keys, "all")).run(&["sops", "decrypt", file]);
    (plain.out() != decrypted).then(|| format!("{}{}", plain.out(), plain.err()))
}
