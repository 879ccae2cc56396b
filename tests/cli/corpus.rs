//! What the originals printed, asked of the binary.

use std::path::Path;

use serde_json::Value as Json;

use super::Lockstep;
use super::corpus::{corpus, report, report_besides};

pub(super) fn text<'a>(case: &'a Json, field: &str) -> &'a str {
    case[field].as_str().unwrap_or_default()
}

pub(super) fn words<'a>(case: &'a Json, field: &str) -> Vec<&'a str> {
    case[field].as_array().into_iter().flatten().filter_map(Json::as_str).collect()
}

pub(super) fn lines(path: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(path).expect("the corpus can be read");
    text.split('\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

pub(super) fn write(folder: &Path, path: &str, bytes: &[u8]) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("can be written");
    std::fs::write(path, bytes).expect("can be written");
}

fn same(wanted: &str, got: &str) -> Result<(), String> {
    if wanted == got { Ok(()) } else { Err(format!("wanted {wanted:?}, got {got:?}")) }
}

#[test]
fn kustomizations_build_as_with_the_original_command() {
    let Some(path) = corpus("kustomize/cases") else { return };
    let (mut ran, mut failed) = (0, Vec::new());
    for entry in std::fs::read_dir(&path).expect("the corpus can be read").flatten() {
        let about = std::fs::read_to_string(entry.path().join("case.json")).expect("case.json");
        let about: Json = serde_json::from_str(&about).expect("JSON");
        // Programs as plugins, and files that upstream's own tests had alone, were never confirmed.
        if about["verified"] == "must-fail" {
            continue;
        }
        ran += 1;
        let name = entry.file_name().to_string_lossy().into_owned();
        let folder = format!("in/{}", text(&about, "build"));
        let got =
            Lockstep::new(&entry.path()).run(&[&["kustomize", "build", &folder], &words(&about, "flags")[..]].concat());
        let wanted = std::fs::read_to_string(entry.path().join("expected.yaml")).unwrap_or_default();
        let outcome = match (about["kind"] == "ok", got.code()) {
            (true, 0) => same(wanted.trim(), got.out().trim()),
            (false, 1) if got.out().is_empty() && !got.err().is_empty() => Ok(()),
            (_, code) => Err(format!("exit {code}: {}", got.err())),
        };
        failed.extend(outcome.err().map(|why| format!("{name}: {why}")));
    }
    report("cli/kustomize", ran, &failed);
}

/// What the engines do not have yet: PGP.
const NOT_YET: [&str; 1] = ["pgp-good"];

/// Runs of `helm template` that end otherwise, and why.
const OTHERWISE: [(&str, &str); 2] = [
    ("schema-invalid#0", "a malformed schema is refused in our words"),
    ("schema-remote-ref#0", "a schema elsewhere takes everything; the original fetches it, here in vain"),
];

/// What the original said, without what it logs and its advice.
fn complaint(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("level=")).collect();
    let said = lines.join("\n").trim_start_matches("Error: ").trim_end().to_owned();
    said.split("\n\nUse --debug").next().unwrap_or_default().to_owned()
}

/// The words in order: the violations of a schema have none in Go.
fn sorted(text: &str) -> Vec<String> {
    let mut words: Vec<String> = text.split_whitespace().map(|word| word.trim_matches(',').to_owned()).collect();
    words.sort_unstable();
    words
}

fn template_run(folder: &Path, case: &Json) -> Result<(), String> {
    let arguments = ["helm", "template", text(case, "release"), "./c", "-n", text(case, "namespace")];
    let got = Lockstep::new(folder).run(&[&arguments, &words(case, "args")[..]].concat());
    if text(case, "status") == "ok" {
        return same(text(case, "stdout"), &got.out()).map_err(|why| format!("{why} {}", got.err()));
    }
    let (wanted, said) = (complaint(text(case, "error")), complaint(&got.err()));
    let is_same = wanted == said || (wanted.starts_with("values don't meet") && sorted(&wanted) == sorted(&said));
    match (got.code(), got.out().as_str(), is_same) {
        (1, out, true) if out == text(case, "stdout") => Ok(()),
        (code, out, _) => Err(format!("exit {code}, wanted {wanted:?}, got {said:?} {out:?}")),
    }
}

#[test]
fn charts_render_as_with_the_original_command() {
    let Some(path) = corpus("helm/made.jsonl") else { return };
    let (mut ran, mut failed) = (0, Vec::new());
    for made in lines(&path) {
        let folder = self::made(&made);
        for (index, case) in made["runs"].as_array().into_iter().flatten().enumerate() {
            let id = format!("{}#{index}", text(&made, "id"));
            if !case["masks"].is_null() {
                continue;
            }
            ran += 1;
            let is_known = OTHERWISE.iter().any(|(known, _)| *known == id);
            match (template_run(folder.path(), case), is_known) {
                (Err(why), false) => failed.push(format!("{id}: {why}")),
                (Ok(()), true) => failed.push(format!("{id}: is no difference any more")),
                _ => {}
            }
        }
    }
    report_besides("cli/helm", ran, &failed, OTHERWISE.len());
}

/// A folder with the chart `c` of a case in it.
pub(super) fn made(case: &Json) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in case["files"].as_object().into_iter().flatten() {
        write(folder.path(), &format!("c/{name}"), &bytes(content));
    }
    folder
}

fn bytes(content: &Json) -> Vec<u8> {
    use base64::Engine as _;
    match content {
        Json::String(text) => text.as_bytes().to_vec(),
        other => base64::engine::general_purpose::STANDARD.decode(text(other, "b64")).expect("base64"),
    }
}

#[test]
fn encrypted_files_open_and_fail_as_with_the_original_command() {
    let (Some(path), Some(keys)) = (corpus("sops/made/bad.jsonl"), corpus("sops/made/keys")) else { return };
    let (mut ran, mut failed) = (0, Vec::new());
    for case in lines(&path) {
        let arguments = words(&case, "args");
        if arguments.first() != Some(&"decrypt") || NOT_YET.contains(&text(&case, "id")) {
            continue;
        }
        ran += 1;
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), text(&case, "file"), text(&case, "text").as_bytes());
        let identities = identities(&keys, text(&case, "identities"));
        let command = [&["sops"], &arguments[..], &[text(&case, "file")]].concat();
        let got = Lockstep::new(folder.path()).env("SOPS_AGE_KEY", identities).run(&command);
        // Where the original crashes, ours fails as for any other path that leads nowhere.
        let exit = if case["crash"] == true { 1 } else { case["exit"].as_i64().unwrap_or_default() };
        let wanted = (exit, text(&case, "out"));
        if wanted != (i64::from(got.code()), got.out().as_str()) {
            failed.push(format!("{}: wanted {wanted:?}, got {}: {}", text(&case, "id"), got.code(), got.err()));
        }
    }
    report("cli/sops", ran, &failed);
}

/// The text of the named identities.
pub(super) fn identities(keys: &Path, names: &str) -> String {
    let files: &[&str] = match names {
        "all" => &["age-a.txt", "age-b.txt", "age-c.txt", "age-d.txt", "age-pq.txt"],
        "two.txt" => &["age-a.txt", "age-c.txt"],
        "none" => &[],
        file => &[file],
    };
    files.iter().map(|file| std::fs::read_to_string(keys.join(file)).expect("the identity can be read")).collect()
}
