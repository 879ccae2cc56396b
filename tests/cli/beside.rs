//! `lockstep build kustomization` beside Flux's own command line: Kustomizations of real repositories, as they are and with
//! specs that are changed at random. `BUILDS` in the environment says how many of each, `FROM` with which they begin:
//! `BUILDS=443` are all there are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kustomize::{Options, flux};
use manifest::Object;
use serde_json::{Value, json};

use super::dice::Dice;
use super::disk::DiskFiles;
use super::testbed::Testbed;
use super::tree::{Suite, difference, lines};
use super::{corpus, patch};

/// How many are built of each kind, unless `BUILDS` says.
const BUILDS: usize = 20;

fn number(name: &str, unless_said: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(unless_said)
}

/// A Kustomization, and the repository that it is built from.
struct Case {
    id: String,
    root: PathBuf,
    object: Value,
    is_strict: bool,
}

/// Some Kustomizations of the corpus, as far from one another as can be; their repositories are copied.
fn chosen(folder: &Path) -> Option<Vec<Case>> {
    let all = lines(&corpus::corpus("flux/repos.jsonl.gz")?);
    let repositories = corpus::corpus("repos")?;
    let (count, from) = (number("BUILDS", BUILDS).min(all.len()), number("FROM", 0));
    let step = all.len() / count;
    let cases = (0..count).map(|at| {
        let line = &all[(from + at * step) % all.len()];
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        // In memory kustomize takes no name with a plus.
        let root = folder.join(text("root").replace('+', "-"));
        if !root.exists() {
            copy(&repositories.join(text("root")), &root);
        }
        Case { id: text("id").into(), root, object: line["kustomization"].clone(), is_strict: line["strict"] == true }
    });
    Some(cases.collect())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("can be written");
    for entry in std::fs::read_dir(from).expect("the corpus can be read").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            // A link may lead nowhere.
            let _ = std::fs::copy(&from, &to);
        }
    }
}

#[derive(Debug, PartialEq)]
enum Same {
    Built,
    Refused,
    /// A patch or a variable has left an object without its version, kind or name: Flux leaves it out without a word, we
    /// refuse it.
    ButForAName,
}

impl Case {
    fn spec(&mut self) -> &mut Value {
        &mut self.object["spec"]
    }

    fn path(&self) -> &str {
        self.object["spec"]["path"].as_str().unwrap_or("./")
    }

    /// How both agree.
    fn check(&self) -> Result<Same, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), yaml::emit::to_yaml(&self.object)).expect("can be written");
        let metadata = &self.object["metadata"];
        let name = metadata["name"].as_str().unwrap_or_default();
        let namespace = metadata["namespace"].as_str().unwrap_or("flux-system");
        let build = |mut command: Command| {
            command.current_dir(&self.root).env("HOME", "/nonexistent").stdin(Stdio::null());
            command.args(["build", "kustomization", name, "-n", namespace, "--dry-run", "--in-memory-build"]);
            command.args(["--path", self.path().trim_start_matches('/')]).arg("--kustomization-file").arg(file.path());
            let output = command.args(self.is_strict.then_some("--strict-substitute")).output().expect("it runs");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
        };
        let mut lockstep = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        lockstep.env_clear();
        match (build(Testbed::shared().tool("flux")), build(lockstep)) {
            (Ok(theirs), Ok(ours)) if theirs == ours => Ok(Same::Built),
            (Ok(theirs), Ok(ours)) => Err(difference(&theirs, &ours)),
            (Ok(_), Err(error)) if error.contains("is missing or not a string") => Ok(Same::ButForAName),
            (Ok(_), Err(error)) => Err(format!("fails: {error}")),
            (Err(error), Ok(_)) => Err(format!("must fail: {error}")),
            (Err(_), Err(_)) => Ok(Same::Refused),
        }
    }
}

/// Changes of a spec, each with the objects that it builds as it is.
const CHANGES: [fn(&mut Case, &[Object], &mut Dice); 9] =
    [names, namespace, strategic, strategic, operations, images, components, variables, metadata];

fn push(spec: &mut Value, key: &str, entry: Value) {
    match spec.get_mut(key).and_then(Value::as_array_mut) {
        Some(list) => list.push(entry),
        None => spec[key] = json!([entry]),
    }
}

fn one<'a>(objects: &'a [Object], dice: &mut Dice) -> &'a Value {
    objects[dice.below(objects.len() as u64) as usize].value()
}

fn names(case: &mut Case, _: &[Object], dice: &mut Dice) {
    let (key, value) = if dice.hits(50) { ("namePrefix", "first-") } else { ("nameSuffix", "-last") };
    case.spec()[key] = json!(value);
}

fn namespace(case: &mut Case, _: &[Object], dice: &mut Dice) {
    case.spec()["targetNamespace"] = json!(["elsewhere", "default", "123", ""][dice.below(4) as usize]);
}

/// The object that a patch is for; or all of its kind.
fn target(object: &Value, dice: &mut Dice) -> Value {
    match dice.hits(80) {
        true => json!({"kind": object["kind"], "name": object["metadata"]["name"]}),
        false => json!({"kind": object["kind"]}),
    }
}

fn strategic(case: &mut Case, objects: &[Object], dice: &mut Dice) {
    let object = one(objects, dice);
    let mut patch = patch::strategic(object, dice);
    if dice.hits(80) {
        for key in ["apiVersion", "kind", "metadata"] {
            patch[key] = object[key].clone();
        }
    }
    let mut entry = json!({"patch": yaml::emit::to_yaml(&patch)});
    // Without one the names must be those before the namespace is set.
    if dice.hits(80) {
        entry["target"] = target(object, dice);
    }
    push(case.spec(), "patches", entry);
}

fn operations(case: &mut Case, objects: &[Object], dice: &mut Dice) {
    let object = one(objects, dice);
    let patch = patch::operations(object, dice);
    let text = if dice.hits(50) { patch.to_string() } else { yaml::emit::to_yaml(&patch) };
    push(case.spec(), "patches", json!({"patch": text, "target": target(object, dice)}));
}

fn images(case: &mut Case, objects: &[Object], dice: &mut Dice) {
    let text = objects.iter().map(|object| object.value().to_string()).collect::<String>();
    let mut found = text.split("\"image\":\"").skip(1).filter_map(|rest| rest.split(['"', ':', '@']).next());
    let mut entry = json!({"name": found.nth(dice.below(3) as usize).unwrap_or("nginx")});
    let (key, value) = match dice.below(3) {
        0 => ("newTag", json!("0123")),
        1 => ("newName", json!("registry.example.com:5000/other")),
        _ => ("digest", json!(format!("sha256:{}", "a".repeat(64)))),
    };
    entry[key] = value;
    push(case.spec(), "images", entry);
}

/// A component at the top of the repository, or one that is not there.
fn components(case: &mut Case, objects: &[Object], dice: &mut Dice) {
    let up = case.path().split('/').filter(|part| !["", "."].contains(part)).map(|_| "../").collect::<String>();
    let is_there = dice.hits(80);
    let name = if is_there { "added-component" } else { "no-component" };
    if is_there {
        let object = one(objects, dice);
        let patch = yaml::emit::to_yaml(&patch::operations(object, dice));
        let component = json!({"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component",
            "patches": [{"patch": patch, "target": target(object, dice)}], "configMapGenerator": [{"name": "made", "literals": [format!("a={}", patch::value(dice))]}]});
        let folder = case.root.join(name);
        std::fs::create_dir_all(&folder).expect("can be written");
        std::fs::write(folder.join("kustomization.yaml"), yaml::emit::to_yaml(&component)).expect("can be written");
    }
    push(case.spec(), "components", json!(format!("{up}{name}")));
    case.spec()["ignoreMissingComponents"] = json!(dice.hits(50));
}

/// Texts with variables, and what these are to be.
fn variables(case: &mut Case, objects: &[Object], dice: &mut Dice) {
    const TEXTS: [&str; 8] = ["${V}", "a-${V:-d}", "$${V}", "${NONE:=e}", "${V:0:2}", "${V/a/b}", "${NONE}", "${V"];
    const VALUES: [&str; 7] = ["value", "", "007", "true", "two\nlines", "a: b", "'quoted'"];
    let object = one(objects, dice);
    let text = TEXTS[dice.below(TEXTS.len() as u64) as usize];
    let patch = json!([{"op": "add", "path": "/metadata/annotations", "value": {"note": text}}]);
    push(case.spec(), "patches", json!({"patch": patch.to_string(), "target": target(object, dice)}));
    let value = VALUES[dice.below(VALUES.len() as u64) as usize];
    case.spec()["postBuild"]["substitute"]["V"] = json!(value);
    case.is_strict = dice.hits(30);
}

fn metadata(case: &mut Case, _: &[Object], dice: &mut Dice) {
    let common = json!({"labels": {"team": "a", "app.kubernetes.io/name": "all"}, "annotations": {"note": "1"}});
    if dice.hits(50) {
        case.spec()["commonMetadata"] = common;
    } else {
        case.spec()["buildMetadata"] = json!(["originAnnotations"]);
    }
}

#[test]
#[ignore = "needs the testbed: make test"]
fn kustomizations_of_real_repositories_build_as_flux_builds_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(cases) = chosen(folder.path()) else { return };
    let mut suite = Suite::new("flux/cli");
    let mut built = 0;
    for case in cases {
        let outcome = case.check();
        built += usize::from(outcome == Ok(Same::Built));
        suite.case(&case.id, outcome.map(drop));
    }
    println!("{built} are built by both");
    suite.report();
    assert!(built * 2 > number("BUILDS", BUILDS), "hardly anything is built any more");
}

#[test]
#[ignore = "needs the testbed: make test"]
fn specs_changed_at_random_build_as_flux_builds_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(cases) = chosen(folder.path()) else { return };
    let mut suite = Suite::new("flux/changed");
    let (mut built, mut named) = (0, 0);
    for (at, mut case) in cases.into_iter().enumerate() {
        let seed = number("FROM", 0) + at;
        change(&mut case, seed);
        let outcome = case.check();
        built += usize::from(outcome == Ok(Same::Built));
        named += usize::from(outcome == Ok(Same::ButForAName));
        let told = outcome.map(drop).map_err(|why| format!("{why}\n{}", case.object));
        suite.case(&format!("{} changed by {seed}", case.id), told);
    }
    println!("{built} are built by both, {named} differ for a named reason, the others are refused by both");
    suite.report();
    assert!(built * 3 > number("BUILDS", BUILDS), "hardly anything is built any more");
}

/// Changes a spec once or a few times, unless it builds nothing.
fn change(case: &mut Case, seed: usize) {
    let mut dice = Dice(seed as u64);
    for _ in 0..10 {
        dice.below(2);
    }
    let objects = flux::build(&DiskFiles(case.root.clone()), case.path(), &case.object["spec"], &Options::default());
    let Some(objects) = objects.ok().filter(|objects| !objects.is_empty()) else { return };
    for _ in 0..=dice.below(3) {
        CHANGES[dice.below(CHANGES.len() as u64) as usize](case, &objects, &mut dice);
    }
}
