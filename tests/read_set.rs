//! A new revision: only units that have looked where it differs are compiled, and the others say that they stand at it.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/repository.rs"]
mod repository;
#[path = "../crates/kustomize/tests/support/tree.rs"]
mod tree;

use fleet::{Fleet, Request, condition, config_map, deployment, object};
use lockstep::unit::looks::Looked;
use manifest::{Files, MemoryFiles, Object};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const UNITS: [&str; 3] = ["one", "two", "three"];

/// Three units with a Deployment and a ConfigMap each have landed.
async fn landed() -> (Fleet, String) {
    let fleet = Fleet::new().await;
    for unit in UNITS {
        fleet.write(unit, &[deployment(unit, 2, &[]), config_map(unit, json!({"a": "1"}))]);
    }
    let commit = fleet.commit();
    for unit in UNITS {
        fleet.kustomization(unit, json!({}), json!({})).await;
    }
    for unit in UNITS {
        fleet.answered(unit, &commit, "True").await;
    }
    fleet.calm().await;
    (fleet, commit)
}

/// Its pods wait for a Secret that nobody makes.
fn stuck() -> Value {
    deployment("stuck", 1, &["nowhere"])
}

/// What was asked about a unit and its objects.
fn about(asked: &[Request], unit: &str) -> Vec<Request> {
    asked.iter().filter(|(.., id)| id.ends_with(&format!("/{unit}"))).cloned().collect()
}

#[tokio::test]
async fn requirement_19_one_changed_file_compiles_the_units_that_have_read_it_and_costs_the_others_one_status() {
    let (mut fleet, _) = landed().await;
    fleet.write("two", &[deployment("two", 3, &[]), config_map("two", json!({"a": "1"}))]);
    let commit = fleet.commit();
    for unit in UNITS {
        fleet.answered(unit, &commit, "True").await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let asked = fleet.requests("/apps/");
    for unit in ["one", "three"] {
        assert_eq!(about(&asked, unit), [("patch", false, format!("Kustomization/apps/{unit}"))]);
    }
    assert!(about(&asked, "two").contains(&("apply", false, "Deployment/apps/two".into())), "{asked:?}");
    // Nobody has written down that they stand at the new revision: their status says so, and their files.
    fleet.calm().await;
    fleet.stop().await;
    fleet.start().await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let written: Vec<Request> = fleet.requests("/apps/").into_iter().filter(|(verb, ..)| *verb != "get").collect();
    assert_eq!(written, []);
    fleet.end().await;
}

/// unmet.md 19: of a hundred units, one file compiles the one unit that has read it, with no more dry runs than it has objects;
/// a changed base those that build on it; a path that is not there is an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requirement_19_of_a_hundred_units_a_file_compiles_one_and_a_base_those_that_build_on_it() {
    const ALL: usize = 100;
    const ON_BASE: usize = 5;
    let fleet = Fleet::new().await;
    let names: Vec<String> = (0..ALL).map(|unit| format!("unit-{unit:03}")).collect();
    let objects = |name: &str, replicas| [deployment(name, replicas, &[]), config_map(name, json!({"a": "1"}))];
    let base = |value: &str| yaml::emit::to_yaml(&config_map("base", json!({ "a": value })));
    fleet.put("base/kustomization.yaml", "resources: [map.yaml]\n");
    fleet.put("base/map.yaml", &base("1"));
    for (number, name) in names.iter().enumerate() {
        fleet.write(name, &objects(name, 1));
        if number < ON_BASE {
            let text = format!("namePrefix: {name}-\nresources: [all.yaml, ../base]\n");
            fleet.put(&format!("{name}/kustomization.yaml"), &text);
        }
    }
    let commit = fleet.commit();
    for name in &names {
        fleet.kustomization(name, json!({}), json!({})).await;
    }
    for name in &names {
        fleet.answered(name, &commit, "True").await;
    }
    let compiled = async |commit: &str, most: usize| {
        for name in &names {
            fleet.answered(name, commit, "True").await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let asked = fleet.requests("/apps/");
        let mut compiled = Vec::new();
        for name in &names {
            let own = format!("Kustomization/apps/{name}");
            let about: Vec<_> = asked.iter().filter(|(.., id)| id.contains(name.as_str())).collect();
            let others = about.iter().any(|(verb, _, id)| *verb != "patch" || *id != own);
            if others {
                compiled.push(name.clone());
            } else {
                assert_eq!(about.len(), 1, "one status: {about:?}");
            }
            let dry_runs = about.iter().filter(|(_, is_dry_run, _)| *is_dry_run).count();
            assert!(dry_runs <= most, "{dry_runs} dry runs of {name}: {about:?}");
        }
        compiled
    };
    fleet.calm().await;
    fleet.write(&names[50], &objects(&names[50], 2));
    let commit = fleet.commit();
    assert_eq!(compiled(&commit, 2).await, [names[50].clone()]);
    fleet.calm().await;
    fleet.put("base/map.yaml", &base("2"));
    let commit = fleet.commit();
    assert_eq!(compiled(&commit, 3).await, names[..ON_BASE]);
    fleet.kustomization("nowhere", json!({}), json!({})).await;
    let at = ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "nowhere");
    let is_told = |found: &Object| condition(found, "Ready")["message"].to_string().contains("nowhere");
    fleet
        .until(at, "told", |found| {
            found.is_some_and(|found| condition(found, "Ready")["status"] == "False" && is_told(found))
        })
        .await;
    fleet.end().await;
}

#[tokio::test]
async fn a_file_that_appears_where_one_was_looked_for_compiles_the_unit() {
    let (fleet, _) = landed().await;
    fleet.write("one/more", &[config_map("more", json!({"a": "1"}))]);
    let commit = fleet.commit();
    for unit in UNITS {
        fleet.answered(unit, &commit, "True").await;
    }
    assert!(fleet.get("v1", "ConfigMap", "more").await.is_some());
    fleet.end().await;
}

#[tokio::test]
async fn what_depends_on_a_unit_moves_to_a_new_revision_after_it() {
    let (fleet, first) = landed().await;
    fleet.kustomization("two", json!({}), json!({"dependsOn": [{"name": "one"}]})).await;
    fleet.answered("two", &first, "True").await;
    fleet.write("one", &[deployment("one", 2, &[]), config_map("one", json!({"a": "1"})), stuck()]);
    let commit = fleet.commit();
    fleet.answered("three", &commit, "True").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let two = fleet.get("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "two").await.expect("it is there");
    let stands_at = two.text("/status/lastAppliedRevision").unwrap_or_default();
    assert!(stands_at.ends_with(&first), "what depends on it sees that it has not moved: {stands_at}");
    fleet.end().await;
}

#[tokio::test]
async fn a_commit_that_takes_back_what_waits_for_its_health_undoes_it() {
    let (fleet, _) = landed().await;
    let before = [deployment("one", 2, &[]), config_map("one", json!({"a": "1"}))];
    fleet.write("one", &[&before[..], &[stuck()]].concat());
    fleet.commit();
    let at = ("apps/v1", "Deployment", "stuck");
    fleet.until(at, "made", |found| found.is_some()).await;
    fleet.write("one", &before);
    let commit = fleet.commit();
    fleet.answered("one", &commit, "True").await;
    fleet.until(at, "gone", |found| found.is_none()).await;
    fleet.end().await;
}

/// A ConfigMap or a Secret of somebody else, which asks to be watched or does not.
fn theirs(kind: &str, name: &str, is_watched: bool, value: &str) -> Value {
    let data = if kind == "Secret" { "stringData" } else { "data" };
    let mut theirs = object("v1", kind, name, json!({data: {name: value}}));
    if is_watched {
        theirs["metadata"]["labels"] = json!({"reconcile.fluxcd.io/watch": "Enabled"});
    }
    theirs
}

#[tokio::test]
async fn what_asks_to_be_watched_calls_its_readers_when_somebody_changes_it() {
    let fleet = Fleet::new().await;
    let variables = json!({"a": "${watched} ${unwatched} ${later:=-} ${token}"});
    fleet.write("app", &[config_map("app", variables)]);
    let commit = fleet.commit();
    let wanted = [
        ("ConfigMap", "watched", false),
        ("ConfigMap", "unwatched", false),
        ("ConfigMap", "later", true),
        ("Secret", "token", false),
    ];
    let wanted = wanted.map(|(kind, name, optional)| json!({"kind": kind, "name": name, "optional": optional}));
    let never = json!({"retryInterval": "10m", "postBuild": {"substituteFrom": wanted}});
    for (name, is_watched) in [("watched", true), ("unwatched", false)] {
        fleet.apply(theirs("ConfigMap", name, is_watched, "1")).await;
    }
    fleet.kustomization("app", json!({}), never).await;
    fleet.answered("app", &commit, "False").await;
    let is = |values: &str| {
        let values = values.to_owned();
        move |found: Option<&Object>| found.and_then(|found| found.text("/data/a")) == Some(&values)
    };
    let app = ("v1", "ConfigMap", "app");
    fleet.apply(theirs("Secret", "token", true, "1")).await;
    fleet.until(app, "made once its variables are there", is("1 1 - 1")).await;
    fleet.calm().await;
    fleet.apply(theirs("ConfigMap", "unwatched", false, "2")).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let asked = fleet.requests("/apps/app");
    assert!(asked.is_empty(), "nobody is called for what does not ask for it: {asked:?}");
    fleet.apply(theirs("ConfigMap", "watched", true, "3")).await;
    fleet.until(app, "made with what was changed", is("3 2 - 1")).await;
    fleet.apply(theirs("Secret", "token", true, "4")).await;
    fleet.until(app, "made with the Secret's new bytes", is("3 2 - 4")).await;
    fleet.apply(theirs("ConfigMap", "later", true, "5")).await;
    fleet.until(app, "made with what came later", is("3 2 5 4")).await;
    fleet.delete("v1", "ConfigMap", "later").await;
    fleet.until(app, "made without what is gone", is("3 2 - 4")).await;
    fleet.end().await;
}

#[tokio::test]
async fn variables_that_the_unit_itself_would_make_are_said_to_come_too_late() {
    let fleet = Fleet::new().await;
    let mut made = external("token");
    made["spec"]["target"] = json!({"name": "made"});
    fleet.write("app", &[config_map("app", json!({"a": "${watched}"})), made]);
    let commit = fleet.commit();
    let wanted = [("ConfigMap", "app"), ("Secret", "made"), ("Secret", "nowhere")];
    let wanted = wanted.map(|(kind, name)| json!({"kind": kind, "name": name}));
    fleet.kustomization("app", json!({}), json!({"postBuild": {"substituteFrom": wanted}})).await;
    let told = fleet.answered("app", &commit, "False").await;
    let message = condition(&told, "Ready")["message"].to_string();
    let hint = "This Kustomization makes it itself, and cannot be built before it is there";
    for (id, is_own) in [("ConfigMap/apps/app", true), ("Secret/apps/made", true), ("Secret/apps/nowhere", false)] {
        let expected = format!("substitute from '{id}' error: not found{}", if is_own { ". " } else { "" });
        let (_, after) = message.split_once(&expected).expect(&message);
        assert_eq!(after.starts_with(hint), is_own, "{message}");
    }
    fleet.end().await;
}

/// A repository as paths and contents.
type Tree = BTreeMap<String, Vec<u8>>;

fn files_of(tree: &Tree) -> Arc<MemoryFiles> {
    let mut files = MemoryFiles::default();
    tree.iter().for_each(|(path, bytes)| files.insert(path.clone(), bytes.clone()));
    Arc::new(files)
}

fn read_all(root: &std::path::Path, below: &str, tree: &mut Tree) {
    for entry in std::fs::read_dir(root.join(below)).expect("a folder").map(|entry| entry.expect("an entry")) {
        let name = entry.file_name().into_string().expect("UTF-8");
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            read_all(root, &path, tree);
        } else if kind.is_file() {
            tree.insert(path, std::fs::read(entry.path()).expect("a file"));
        }
    }
}

fn build(files: &dyn Files, line: &Value) -> Result<String, String> {
    let spec = &line["kustomization"]["spec"];
    let built = lockstep::build::objects(files, spec["path"].as_str().unwrap_or_default(), spec, None);
    let said = |errors: Vec<lockstep::build::Error>| errors.iter().map(|e| format!("{:?} {e}", e.origin)).collect();
    built.map(|objects| kustomize::print(&objects)).map_err(said)
}

/// A number below `end` that follows from the seed.
fn draw(seed: &mut u64, end: usize) -> usize {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    usize::try_from(*seed % u64::try_from(end.max(1)).expect("a size")).expect("a size")
}

/// Somebody changes, deletes, adds or moves a file, more often near `near` than anywhere.
fn change(tree: &mut Tree, near: &str, seed: &mut u64) {
    let climbs = draw(seed, 4);
    let folder = (0..climbs).fold(near, |path, _| path.rsplit_once('/').map_or("", |(above, _)| above));
    let paths: Vec<String> = tree.keys().filter(|path| path.starts_with(folder)).cloned().collect();
    let Some(path) = paths.get(draw(seed, paths.len())).cloned() else { return };
    let other = paths.get(draw(seed, paths.len())).and_then(|path| tree.get(path)).cloned().unwrap_or_default();
    let beside = path.rsplit_once('/').map_or(String::new(), |(above, _)| format!("{above}/"));
    const NAMES: [&str; 6] =
        ["kustomization.yaml", "Kustomization", "kustomization.yml", "a.yaml", "x.env", "z/y.yaml"];
    match draw(seed, 5) {
        0 => drop(tree.insert(path, other)),
        1 => drop(tree.remove(&path)),
        2 => drop(tree.insert(format!("{beside}{}", NAMES[draw(seed, NAMES.len())]), other)),
        3 => {
            let bytes = tree.remove(&path).unwrap_or_default();
            tree.insert(format!("{path}/inside.yaml"), bytes);
        }
        _ => tree.entry(path).or_default().extend(b"\n# one more line\n---\nkind: Extra\n"),
    }
}

/// Whatever changes in a real repository: where a unit's looks say that nothing has changed for it, a full build agrees.
#[test]
fn what_a_build_has_looked_at_is_all_that_it_depends_on() {
    let Some(path) = corpus::corpus("flux/repos.jsonl.gz") else { return };
    let Some(repositories) = corpus::corpus("repos") else { return };
    let rounds: u64 = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let (mut trees, mut ran, mut failed) = (BTreeMap::<String, Tree>::new(), 0, Vec::new());
    let (mut alike, mut same) = (0, 0);
    for (number, line) in tree::lines(&path).iter().enumerate() {
        let root = line["root"].as_str().unwrap_or_default();
        let before = trees.entry(root.to_owned()).or_insert_with(|| {
            let mut tree = Tree::new();
            read_all(&repositories.join(root), "", &mut tree);
            tree
        });
        let looked = Looked::new(files_of(before));
        let built = build(&looked, line);
        let (looks, digest) = looked.looks().expect("it answers");
        let near = line["kustomization"]["spec"]["path"].as_str().unwrap_or_default().trim_start_matches("./");
        for round in 0..rounds {
            let mut seed = 0x9E37_79B9_7F4A_7C15 ^ (u64::try_from(number).expect("a number") << 20) ^ round;
            let mut after = before.clone();
            (0..3).for_each(|_| change(&mut after, near, &mut seed));
            let files = files_of(&after);
            ran += 1;
            let is_alike = looks.digest(files.as_ref()) == Some(digest.clone());
            alike += usize::from(is_alike);
            let is_same = is_alike && build(files.as_ref(), line) == built;
            same += usize::from(is_same);
            if is_alike && !is_same {
                failed.push(format!("{} round {round}", line["id"]));
            }
        }
    }
    assert!(alike * 10 > ran, "too few changes elsewhere to tell: {alike} of {ran}, {same} the same");
    corpus::report("read-set", ran, &failed);
}

/// An ExternalSecret that stands alone.
fn external(name: &str) -> Value {
    let spec = json!({"secretStoreRef": {"name": "store"}, "data": [{"secretKey": "a", "remoteRef": {"key": "a"}}]});
    object("external-secrets.io/v1", "ExternalSecret", name, json!({"spec": spec}))
}

#[tokio::test]
async fn external_secrets_that_stand_alone_read_their_store_once_and_nothing_that_is_known() {
    const NAMES: [&str; 3] = ["one", "two", "three"];
    let (version, kind) = ("external-secrets.io/v1", "ExternalSecret");
    let mut fleet = Fleet::new().await;
    fleet.stop().await;
    let provider = json!({"fake": {"data": [{"key": "a", "value": "v"}]}});
    fleet.apply(object(version, "SecretStore", "store", json!({"spec": {"provider": provider}}))).await;
    let owner = fleet.apply(config_map("owner", json!({}))).await;
    let theirs =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid(), "controller": true}]);
    let mut foreign = object("v1", "Secret", "foreign", json!({"data": {"b": "Yg=="}}));
    foreign["metadata"]["ownerReferences"] = theirs;
    fleet.apply(foreign).await;
    for name in NAMES.iter().chain(&["foreign"]) {
        fleet.apply(external(name)).await;
    }
    fleet.start().await;
    let is = |status: &'static str| {
        move |found: Option<&Object>| found.is_some_and(|o| condition(o, "Ready")["status"] == status)
    };
    for name in NAMES {
        let external = fleet.until((version, kind, name), "synced", is("True")).await.expect("it is there");
        let secret = fleet.get("v1", "Secret", name).await.expect("it is made");
        assert_eq!(secret.value()["metadata"]["ownerReferences"][0]["uid"], external.uid());
    }
    fleet.until((version, kind, "foreign"), "refused", is("False")).await;
    let untouched = fleet.get("v1", "Secret", "foreign").await.expect("it stays");
    assert_eq!(untouched.value()["data"], json!({"b": "Yg=="}), "what was presumed is looked at before it is written");
    let asked = fleet.requests("apps");
    let count = |verb: &str, end: &str| asked.iter().filter(|(is, _, id)| *is == verb && id.ends_with(end)).count();
    assert_eq!(count("get", "SecretStore/apps/store"), 1, "{asked:?}");
    let asked: Vec<_> = about(&asked, "one").into_iter().filter(|(.., id)| !id.contains("Event")).collect();
    let verbs: Vec<_> = asked.iter().map(|(verb, is_dry_run, _)| (*verb, *is_dry_run)).collect();
    assert_eq!(verbs, [("apply", false), ("patch", false)], "{asked:?}");
    fleet.end().await;
}
