//! `lockstep sops diff` and `merge`, beside what Git makes of the plaintexts.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use sops::{Format, Identities, Indents, MasterKey, Sealed, Settings};

use super::Lockstep;
use super::dice::Dice;

const NOW: &str = "2026-11-22T10:00:00Z";

/// What stands at a key.
#[derive(Clone)]
enum Node {
    Text(String),
    List(Vec<String>),
    Map(Vec<(String, String)>),
}

type Document = Vec<(String, Node)>;

fn text(document: &Document) -> String {
    let mut text = String::new();
    for (key, node) in document {
        match node {
            Node::Text(value) => text.push_str(&format!("{key}: {value}\n")),
            Node::List(list) => {
                text.push_str(&format!("{key}:\n"));
                text.extend(list.iter().map(|entry| format!("    - {entry}\n")));
            }
            Node::Map(map) => {
                text.push_str(&format!("{key}:\n"));
                text.extend(map.iter().map(|(key, value)| format!("    {key}: {value}\n")));
            }
        }
    }
    text
}

/// Words that YAML takes for nothing but texts.
fn word(dice: &mut Dice) -> String {
    format!("w{}x", dice.below(40))
}

fn node(dice: &mut Dice) -> Node {
    match dice.below(4) {
        0 => Node::List((0..=dice.below(3)).map(|_| word(dice)).collect()),
        1 => Node::Map((0..=dice.below(3)).map(|number| (format!("m{number}"), word(dice))).collect()),
        _ => Node::Text(word(dice)),
    }
}

fn change(document: &mut Document, dice: &mut Dice, side: &str) {
    for number in 0..=dice.below(3) {
        let place = usize::try_from(dice.below(document.len() as u64)).unwrap();
        match dice.below(4) {
            0 => document.insert(place, (format!("{side}{number}"), node(dice))),
            1 if document.len() > 2 => {
                document.remove(place);
            }
            _ => match &mut document[place].1 {
                Node::Text(value) => *value = word(dice),
                Node::List(list) => list.push(word(dice)),
                Node::Map(map) => map[0].1 = word(dice),
            },
        }
    }
}

/// Ciphertexts by the line of the plaintext and what stands above it.
fn ciphertexts(sealed: &str, plain: &str) -> HashMap<String, Vec<String>> {
    let mut above = String::new();
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    for (sealed, plain) in sealed.lines().zip(plain.lines()) {
        if !plain.starts_with(' ') {
            above = plain.split(':').next().unwrap_or_default().to_owned();
        }
        if sealed.contains("ENC[") {
            found.entry(format!("{above}/{plain}")).or_default().push(sealed.to_owned());
        }
    }
    found
}

#[test]
fn files_are_merged_as_git_merges_their_plaintexts() {
    let (identity, recipient) = sops::generate();
    let mut identities = Identities::default();
    identities.add_age("test", &identity).unwrap();
    let (mut merged, mut conflicts) = (0, 0);
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let mut base: Document =
            (0..4 + dice.below(12)).map(|number| (format!("k{number}"), node(&mut dice))).collect();
        let (mut ours, mut theirs) = (base.clone(), base.clone());
        change(&mut ours, &mut dice, "o");
        change(&mut theirs, &mut dice, "t");
        base.push(("end".to_owned(), Node::Text("w0x".to_owned())));
        ours.push(("end".to_owned(), Node::Text("w0x".to_owned())));
        theirs.push(("end".to_owned(), Node::Text("w0x".to_owned())));
        let plain = [text(&base), text(&ours), text(&theirs)];

        let mut random =
            |bytes: &mut [u8]| bytes.iter_mut().for_each(|byte| *byte = u8::try_from(dice.below(256)).unwrap());
        let settings = Settings { groups: vec![vec![MasterKey::age(&recipient)]], ..Settings::default() };
        let nobody = Identities::default();
        let sealed = Sealed::encrypt(plain[0].as_bytes(), Format::Yaml, settings, &nobody, NOW, &mut random).unwrap();
        let first = sealed.emit(Format::Yaml, Indents::default()).unwrap();
        let mut version = |plain: &str| {
            let mut editing = Sealed::load(&first, Format::Yaml).unwrap().edit(&identities).unwrap();
            editing.replace(plain.as_bytes(), Format::Yaml).unwrap();
            let sealed = editing.close(NOW, &mut random).unwrap().emit(Format::Yaml, Indents::default()).unwrap();
            String::from_utf8(sealed).unwrap()
        };
        let sealed = [String::from_utf8(first.clone()).unwrap(), version(&plain[1]), version(&plain[2])];

        let folder = tempfile::tempdir().unwrap();
        let (wanted, is_clean) = by_git(folder.path(), &plain);
        for (name, text) in ["base", "ours", "theirs"].into_iter().zip(&sealed) {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let run = |arguments: &[&str]| Lockstep::new(folder.path()).env("SOPS_AGE_KEY", &*identity).run(arguments);
        let got = run(&["sops", "merge", "base", "ours", "theirs", "apps/x.yaml"]);
        let after = std::fs::read_to_string(folder.path().join("ours")).unwrap();
        if !is_clean {
            conflicts += 1;
            let told = got.fails(1);
            assert!(told.contains("apps/x.yaml: ") && told.contains(" changed "), "seed {seed}: {told}");
            assert_eq!(after, sealed[1], "seed {seed}: the file is as ours");
            continue;
        }
        merged += 1;
        assert_eq!(got.succeeds(), "", "seed {seed}");
        let opened = run(&["sops", "decrypt", "--input-type", "yaml", "--output-type", "yaml", "ours"]);
        assert_eq!(opened.succeeds(), wanted, "seed {seed}");
        let (before, others) = (ciphertexts(&sealed[1], &plain[1]), ciphertexts(&sealed[2], &plain[2]));
        for (place, lines) in ciphertexts(&after, &wanted) {
            let sides = [before.get(&place), others.get(&place)];
            let known: Vec<&String> = sides.into_iter().flatten().flatten().collect();
            // A list may have got the same value from both sides.
            let new = lines.iter().filter(|line| !known.contains(line)).count();
            let most = sides.into_iter().flatten().map(Vec::len).max().unwrap_or_default();
            assert!(new <= lines.len().saturating_sub(most), "seed {seed}: {place} has another ciphertext");
        }
    }
    assert!(merged > 60 && conflicts > 20, "{merged} merged, {conflicts} conflicts");
}

/// A merge makes a new MAC: what was changed without sops must not get one.
#[test]
fn a_file_that_was_changed_without_sops_is_not_merged() {
    let folder = tempfile::tempdir().unwrap();
    let (identity, recipient) = sops::generate();
    let run = |arguments: &[&str]| Lockstep::new(folder.path()).env("SOPS_AGE_KEY", &*identity).run(arguments);
    std::fs::write(folder.path().join("a.yaml"), "a_unencrypted: 1\nb: two\n").unwrap();
    run(&["sops", "encrypt", "-i", "--age", &recipient, "a.yaml"]).succeeds();
    let sealed = std::fs::read_to_string(folder.path().join("a.yaml")).unwrap();
    let changed = sealed.replace("a_unencrypted: 1", "a_unencrypted: 2");
    std::fs::write(folder.path().join("theirs"), &changed).unwrap();
    std::fs::write(folder.path().join("base"), &sealed).unwrap();
    let told = run(&["sops", "merge", "base", "a.yaml", "theirs", "a.yaml"]).fails(1);
    assert!(told.contains("a.yaml: the MAC does not match"), "{told}");
    assert_eq!(std::fs::read_to_string(folder.path().join("a.yaml")).unwrap(), sealed);
}

/// What Git makes of the plaintexts, and whether there was no conflict.
fn by_git(folder: &Path, [base, ours, theirs]: &[String; 3]) -> (String, bool) {
    for (name, text) in [("b", base), ("o", ours), ("t", theirs)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let merged = Command::new("git").current_dir(folder).args(["merge-file", "-p", "o", "b", "t"]).output().unwrap();
    (String::from_utf8(merged.stdout).unwrap(), merged.status.success())
}

/// Git itself, with our drivers: a merge of two branches, and a diff.
#[test]
fn git_shows_and_merges_encrypted_files() {
    let folder = tempfile::tempdir().unwrap();
    let (identity, recipient) = sops::generate();
    let binary = Path::new(env!("CARGO_BIN_EXE_lockstep")).parent().unwrap();
    let path = std::env::join_paths([binary, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(folder.path()).env("PATH", &path).env("SOPS_AGE_KEY", &*identity);
        let ran = git.args(["-c", "user.name=a", "-c", "user.email=a@example.com"]).args(arguments).output().unwrap();
        (ran.status.success(), String::from_utf8(ran.stdout).unwrap() + &String::from_utf8_lossy(&ran.stderr))
    };
    let run = |arguments: &[&str]| Lockstep::new(folder.path()).env("SOPS_AGE_KEY", &*identity).run(arguments);
    git(&["init", "-q", "-b", "main", "."]);
    assert!(run(&["sops", "git-setup"]).succeeds().starts_with(".gitattributes: commit it\n"));
    let attributes = std::fs::read_to_string(folder.path().join(".gitattributes")).unwrap();
    run(&["sops", "git-setup"]).succeeds();
    assert_eq!(std::fs::read_to_string(folder.path().join(".gitattributes")).unwrap(), attributes, "twice is once");
    std::fs::write(folder.path().join("a.sops.yaml"), "a: one\nb: two\nc: three\nd: four\ne: five\n").unwrap();
    run(&["sops", "encrypt", "-i", "--age", &recipient, "a.sops.yaml"]).succeeds();
    let commit = || {
        git(&["add", "-A"]);
        assert!(git(&["commit", "-qm", "change"]).0);
    };
    commit();
    git(&["checkout", "-qb", "side"]);
    run(&["sops", "set", "a.sops.yaml", "[\"a\"]", "\"side\""]).succeeds();
    let (_, shown) = git(&["diff"]);
    assert!(shown.contains("-a: ENC[str ") && shown.contains("+a: ENC[str ") && !shown.contains("side\""), "{shown}");
    assert!(!shown.contains("+b: "), "{shown}");
    commit();
    git(&["checkout", "-q", "main"]);
    run(&["sops", "set", "a.sops.yaml", "[\"e\"]", "\"main\""]).succeeds();
    commit();
    let (is_merged, told) = git(&["merge", "-q", "--no-edit", "side"]);
    assert!(is_merged, "{told}");
    assert_eq!(run(&["sops", "decrypt", "a.sops.yaml"]).succeeds(), "a: side\nb: two\nc: three\nd: four\ne: main\n");
    let revealed = run(&["sops", "diff", "--reveal", "a.sops.yaml"]).succeeds();
    assert!(revealed.starts_with("a: side\n"), "{revealed}");
    std::fs::write(folder.path().join("before.sops.yaml"), git(&["show", "HEAD~1:a.sops.yaml"]).1).unwrap();
    assert_eq!(run(&["sops", "diff", "before.sops.yaml", "a.sops.yaml"]).succeeds(), "a\n");
    git(&["checkout", "-q", "side"]);
    run(&["sops", "set", "a.sops.yaml", "[\"e\"]", "\"another\""]).succeeds();
    commit();
    let (is_merged, told) = git(&["merge", "-q", "--no-edit", "main"]);
    assert!(!is_merged && told.contains("a.sops.yaml: both sides changed e; the file is as ours"), "{told}");
}
