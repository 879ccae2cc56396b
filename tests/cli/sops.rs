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

#[test]
fn a_file_keeps_its_permissions_and_a_new_one_has_the_usual_ones() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let (identity, recipient) = sops::generate();
    let run = |arguments: &[&str]| {
        Lockstep::new(folder.path()).env("SOPS_AGE_KEY", &*identity).run(&[&["sops"], arguments].concat()).succeeds()
    };
    let mode = |name: &str| std::fs::metadata(folder.path().join(name)).expect("the file").permissions().mode() & 0o777;
    write(folder.path(), "a.yaml", b"a: 1\n");
    let usual = mode("a.yaml");
    std::fs::set_permissions(folder.path().join("a.yaml"), std::fs::Permissions::from_mode(0o640))
        .expect("permissions");
    run(&["encrypt", "-i", "--age", &recipient, "a.yaml"]);
    run(&["decrypt", "--output", "b.yaml", "a.yaml"]);
    run(&["decrypt", "-i", "a.yaml"]);
    assert_eq!((mode("a.yaml"), mode("b.yaml")), (0o640, usual));
}

/// Before sops had verbs it was called so, and it still may be; scripts do.
#[test]
fn command_lines_of_before_there_were_verbs_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let (identity, recipient) = sops::generate();
    let run = |arguments: &[&str]| {
        Lockstep::new(folder.path())
            .env("SOPS_AGE_KEY", &*identity)
            .env("PATH", "/usr/bin:/bin")
            .env("EDITOR", "sed -i s/one/two/")
            .run(&[&["sops"], arguments].concat())
    };
    write(folder.path(), "a.yaml", b"a: one\n");
    run(&["-e", "-i", "--age", &recipient, "a.yaml"]).succeeds();
    assert_eq!(run(&["--decrypt", "--output-type", "json", "a.yaml"]).succeeds(), "{\n\t\"a\": \"one\"\n}\n");
    run(&["a.yaml"]).succeeds();
    run(&["--set", r#"["b"] {"c": [1]}"#, "a.yaml"]).succeeds();
    run(&["-r", "-i", "a.yaml"]).succeeds();
    assert_eq!(run(&["-d", "a.yaml"]).succeeds(), "a: two\nb:\n    c:\n        - 1\n");
}

#[test]
fn kinds_of_keys_are_tried_in_the_order_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (identity, recipient) = sops::generate();
    let run = |arguments: &[&str]| {
        Lockstep::new(folder.path()).env("SOPS_AGE_KEY", &*identity).run(&[&["sops"], arguments].concat())
    };
    write(folder.path(), "a.yaml", b"a: one\n");
    run(&["encrypt", "-i", "--age", &recipient, "a.yaml"]).succeeds();
    assert_eq!(run(&["--decryption-order", "kms,age", "decrypt", "a.yaml"]).succeeds(), "a: one\n");
    let twice = run(&["decrypt", "--decryption-order", "age,age", "a.yaml"]).fails(112);
    assert_eq!(twice, "Error: duplicate decryption key type: age\n");
    let refused = run(&["decrypt", "--keyservice", "tcp://localhost:5000", "a.yaml"]).fails(1);
    assert!(refused.contains("key services of sops are not supported"), "{refused}");
}

#[test]
fn a_configuration_of_the_wrong_name_is_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), ".sops.yml", b"creation_rules: []\n");
    write(folder.path(), "a.yaml", b"a: one\n");
    let ran = Lockstep::new(folder.path()).run(&["sops", "filestatus", "a.yaml"]);
    assert_eq!(ran.out(), "{\"encrypted\":false}\n");
    assert!(ran.err().contains(".sops.yml: the config file must be called .sops.yaml"), "{}", ran.err());
}

/// Only root may; whoever else runs the tests is told so.
#[test]
fn commands_run_as_another_user() {
    let folder = tempfile::tempdir().expect("a folder");
    let (identity, recipient) = sops::generate();
    let run = |arguments: &[&str]| {
        let lockstep = Lockstep::new(folder.path()).env("SOPS_AGE_KEY", &*identity).env("PATH", "/usr/bin:/bin");
        lockstep.run(&[&["sops"], arguments].concat())
    };
    write(folder.path(), "a.env", b"A=one\n");
    run(&["encrypt", "-i", "--age", &recipient, "a.env"]).succeeds();
    let unknown = run(&["exec-env", "--user", "nobody-at-all", "a.env", "id"]).fails(1);
    assert_eq!(unknown, "Error: user: unknown user nobody-at-all\n");
    let by_env = run(&["exec-env", "--user", "nobody", "a.env", "id -un; echo $A $USER"]);
    let by_file = run(&["exec-file", "--user", "nobody", "a.env", "id -un; cat {}"]);
    if rustix::process::geteuid().is_root() {
        assert_eq!(
            (by_env.succeeds().as_str(), by_file.succeeds().as_str()),
            ("nobody\none nobody\n", "nobody\nA=one\n")
        );
    } else {
        assert!(by_env.fails(1).contains("cannot become user nobody"));
        assert!(by_file.fails(1).contains("cannot become user nobody"));
    }
}

/// What no command may let out, whatever it does with it.
const CANARY: &str = "canary-4f1d9c";

/// Files below a folder that hold the canary.
fn told(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            found.extend(told(&entry.path()));
        } else if std::fs::read(entry.path()).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(CANARY)) {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

#[test]
fn plaintext_goes_nowhere_but_where_it_was_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (identity, recipient) = sops::generate();
    let (_, second) = sops::generate();
    std::fs::create_dir(folder.path().join("tmp")).expect("a folder");
    write(folder.path(), "key", identity.as_bytes());
    write(folder.path(), ".sops.yaml", format!("creation_rules:\n- age: {recipient}\n").as_bytes());
    let editor =
        "#!/bin/sh\ntr '\\0' '\\n' < /proc/$$/environ > seen; echo \"$@\" >> seen; sed -i 's/b: 1/b: 2/' \"$1\"\n";
    write(folder.path(), "editor", editor.as_bytes());
    let run = |arguments: &[&str]| {
        let ran = Lockstep::new(folder.path())
            .env("SOPS_AGE_KEY_FILE", folder.path().join("key"))
            .env("TMPDIR", folder.path().join("tmp"))
            .env("PATH", "/usr/bin:/bin")
            .env("EDITOR", "sh ./editor")
            .run(&[&["sops"], arguments].concat());
        assert!(!ran.err().contains(CANARY), "{arguments:?}: {}", ran.err());
        ran
    };
    write(folder.path(), "a.yaml", format!("a: {CANARY}\nb: 1\n").as_bytes());
    assert_eq!(run(&["encrypt", "-i", "a.yaml"]).code(), 0);
    let first = std::fs::read(folder.path().join("a.yaml")).expect("the file");
    for (arguments, code) in [
        (&["edit", "a.yaml"][..], 0),
        (&["set", "a.yaml", "[\"c\"]", "[1, 2]"], 0),
        (&["set", "a.yaml", "[\"a\"][\"x\"][0]", "no"], 7),
        (&["unset", "a.yaml", "[\"c\"]"], 0),
        (&["unset", "a.yaml", "[\"a\"][\"x\"]"], 1),
        (&["rotate", "-i", "--add-age", &second, "a.yaml"], 0),
        (&["updatekeys", "-y", "a.yaml"], 0),
        (&["groups", "add", "-f", "a.yaml", "--age", &second], 0),
        (&["filestatus", "a.yaml"], 0),
        (&["diff", "a.yaml"], 0),
        (&["exec-file", "a.yaml", "test -p {}"], 0),
        (&["exec-file", "--no-fifo", "a.yaml", "test -s {}"], 0),
        (&["exec-env", "a.yaml", "false"], 1),
        (&["decrypt", "--extract", "[\"a\"][\"x\"]", "a.yaml"], 1),
        (&["decrypt", "--output-type", "binary", "a.yaml"], 4),
    ] {
        let ran = run(arguments);
        assert_eq!(ran.code(), code, "{arguments:?}: {}", ran.err());
        assert!(!ran.out().contains(CANARY), "{arguments:?}: {}", ran.out());
        assert_eq!(told(folder.path()), [""; 0], "{arguments:?}");
    }
    for name in ["base", "theirs"] {
        std::fs::write(folder.path().join(name), &first).expect("can be written");
    }
    assert_eq!(run(&["merge", "base", "a.yaml", "theirs", "a.yaml"]).code(), 0);
    assert_eq!(told(folder.path()), [""; 0]);
    assert!(
        run(&["decrypt", "a.yaml"]).out().starts_with(&format!("a: {CANARY}\nb: 2\n")),
        "it was there all the time"
    );
    assert!(std::fs::read_dir(folder.path().join("tmp")).expect("a folder").next().is_none(), "nothing is left behind");
}

#[test]
fn rules_are_for_paths_without_detours() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = [sops::generate().1, sops::generate().1];
    let rules = format!("creation_rules:\n- path_regex: ^prod/\n  age: {one}\n- path_regex: ^dev/\n  age: {two}\n");
    write(folder.path(), ".sops.yaml", rules.as_bytes());
    write(folder.path(), "prod/a.yaml", b"a: 1\n");
    write(folder.path(), "dev/b.yaml", b"a: 1\n");
    let absolute = folder.path().join("dev/../prod/a.yaml");
    for path in ["../prod/a.yaml", absolute.to_str().unwrap(), "./../dev/../prod/a.yaml"] {
        let sealed = Lockstep::new(&folder.path().join("dev")).run(&["sops", "encrypt", path]).succeeds();
        assert!(sealed.contains(&one) && !sealed.contains(&two), "{path}: {sealed}");
    }
}

#[test]
fn what_goes_wrong_names_the_file_and_leaves_it() {
    let folder = tempfile::tempdir().unwrap();
    let (identity, recipient) = sops::generate();
    write(folder.path(), ".sops.yaml", format!("creation_rules:\n- age: {recipient}\n").as_bytes());
    write(folder.path(), "a.yaml", b"one: hunter1\ntwo: hunter2\n");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let nobody = || Lockstep::new(folder.path());
    let user = || nobody().env("SOPS_AGE_KEY", &*identity);
    nobody().run(&["sops", "encrypt", "-i", "a.yaml"]).succeeds();
    let sealed = read("a.yaml");
    for (arguments, code) in [
        (&["sops", "decrypt", "a.yaml"][..], 128),
        (&["sops", "rotate", "-i", "a.yaml"], 128),
        (&["sops", "exec-env", "a.yaml", "true"], 128),
    ] {
        let said = nobody().run(arguments).fails(code);
        assert!(said.starts_with("Error: a.yaml: the data key"), "{said}");
    }
    write(folder.path(), "empty.yaml", b"");
    assert!(nobody().run(&["sops", "encrypt", "empty.yaml"]).fails(92).contains("empty.yaml: the file is empty"));
    // Without a path the value would take the place of the whole document.
    let said = user().run(&["sops", "set", "a.yaml", "", "1"]);
    assert!(said.code() != 0 && said.err().contains("a path must name an entry"), "{}", said.err());
    assert_eq!(read("a.yaml"), sealed);
    // Two versions, in the clear only where that is asked for.
    write(folder.path(), "b.yaml", sealed.as_bytes());
    user().run(&["sops", "set", "b.yaml", "[\"two\"]", "\"hunter3\""]).succeeds();
    assert_eq!(user().run(&["sops", "diff", "a.yaml", "b.yaml"]).succeeds(), "two\n");
    let revealed = user().run(&["sops", "diff", "--reveal", "a.yaml", "b.yaml"]).succeeds();
    assert_eq!(revealed, "- two: hunter2\n+ two: hunter3\n");
    // What two sides changed side by side is named, and how to see theirs.
    write(folder.path(), "base", sealed.as_bytes());
    user().run(&["sops", "set", "a.yaml", "[\"one\"]", "\"hunter4\""]).succeeds();
    let said = user().run(&["sops", "merge", "base", "a.yaml", "b.yaml", "a.yaml"]).fails(1);
    assert!(said.contains("we changed one and they two, on neighbouring lines"), "{said}");
    assert!(said.contains("`lockstep sops decrypt MERGE_HEAD:a.yaml`") && !said.contains("hunter"), "{said}");
    // Nobody else looks into the folder of the plaintext.
    let modes = "sh -c 'stat -c %a \"$(dirname \"$0\")\" > modes'";
    user().env("EDITOR", modes).run(&["sops", "edit", "a.yaml"]);
    assert_eq!(read("modes"), "700\n");
}
