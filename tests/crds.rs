//! The schemas of `crds/` are those that Flux and External Secrets publish, our structs know every field of them, and
//! every field is either acted on or reported.
//!
//! `cargo crds` writes `crds/` anew from the corpus. The digests of upstream's sentences, which we never take over, come
//! from a folder of the published definitions with their descriptions:
//! `GOLDEN=write UPSTREAM_CRDS=<folder> cargo test --test crds no_sentence`.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/corpus.rs"]
mod corpus;
#[path = "crds/schema.rs"]
mod schema;
#[path = "support/testbed.rs"]
mod testbed;
#[path = "crds/written.rs"]
mod written;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lockstep::api::Kind;
use lockstep::api::field::Field as _;
use lockstep::api::helm::HelmRelease;
use lockstep::api::kustomization::Kustomization;
use lockstep::api::schema::ALL;
use lockstep::api::secret::ExternalSecret;
use lockstep::api::source::{GitRepository, HelmChart, HelmRepository};
use lockstep::api::store::{ClusterSecretStore, SecretStore};
use lockstep::api::support::Allowed;
use manifest::Object;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Whether expectations are written instead of compared.
fn golden() -> bool {
    std::env::var("GOLDEN").as_deref() == Ok("write")
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("the file can be read");
    yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The published definitions of Flux and External Secrets; the corpus has a few of others.
fn published(folder: &Path) -> Vec<Value> {
    let files = fs::read_dir(folder).expect("the folder can be listed").map(|entry| entry.expect("an entry").path());
    let definitions =
        files.filter(|file| file.extension().is_some_and(|ending| ending == "yaml")).map(|file| read(&file));
    let ours = |group: &str| group.ends_with("fluxcd.io") || group.ends_with("external-secrets.io");
    definitions.filter(|definition| definition["spec"]["group"].as_str().is_some_and(ours)).collect()
}

fn name(definition: &Value) -> &str {
    definition["metadata"]["name"].as_str().expect("a definition has a name")
}

/// The schema of a kind in the version that we read, from `crds/`.
fn root_of(kind: &str, version: &str) -> Value {
    let names_it = format!("\n    kind: {kind}\n");
    let schema = ALL.iter().find(|schema| schema.text.contains(&names_it)).expect("the kind is there");
    let definition = yaml::from_str(schema.text).expect("the schema is YAML");
    let versions = definition["spec"]["versions"].as_array().expect("a definition has versions");
    let version = versions.iter().find(|served| served["name"] == version).expect("the version is there");
    version["schema"]["openAPIV3Schema"].clone()
}

fn root<K: Kind>() -> Value {
    root_of(K::KIND, K::API_VERSION.rsplit('/').next().expect("a version"))
}

#[test]
fn the_schemas_are_current() {
    let Some(corpus) = corpus::corpus("crds") else { return };
    let mut failed = Vec::new();
    let definitions = published(&corpus);
    for definition in &definitions {
        let (ours, lost) = written::definition(definition);
        failed.extend(lost.into_iter().map(|path| format!("{path} is described, but not in the schema")));
        let path = folder("crds").join(format!("{}.yaml", name(definition)));
        if golden() {
            fs::write(&path, written::text(&ours)).expect("crds/ can be written");
        }
        if read(&path) != ours {
            failed.push(format!("{} is stale: cargo crds", path.display()));
        }
    }
    corpus::report("crds/current", definitions.len(), &failed);
}

#[test]
fn the_schemas_are_those_that_are_published() {
    let Some(corpus) = corpus::corpus("crds") else { return };
    let definitions = published(&corpus);
    let differs = |definition: &&Value| {
        let ours = ALL.iter().find(|schema| schema.name == name(definition));
        let ours = ours.map(|schema| yaml::from_str(schema.text).expect("the schema is YAML"));
        ours.is_none_or(|ours| written::published_part(&ours) != written::without_descriptions(definition))
    };
    let failed: Vec<_> = definitions.iter().filter(differs).map(|definition| name(definition).to_owned()).collect();
    corpus::report("crds/structure", definitions.len(), &failed);
    assert_eq!(ALL.len(), definitions.len(), "a schema that nobody publishes");
}

#[test]
fn the_binary_carries_every_file() {
    let files =
        fs::read_dir(folder("crds")).expect("crds/ can be listed").map(|entry| entry.expect("an entry").file_name());
    let files: BTreeSet<_> = files.map(|file| file.into_string().expect("a name")).collect();
    assert_eq!(files, ALL.iter().map(|schema| format!("{}.yaml", schema.name)).collect());
    assert_eq!(ALL.len(), 40);
}

#[test]
fn every_field_of_a_reconciled_kind_is_described_in_a_sentence() {
    for texts in written::descriptions() {
        let root = root_of(texts.kind, texts.version);
        for (path, property) in schema::properties(&root, "").into_iter().filter(|(path, _)| path != "metadata") {
            let foreign = path
                .strip_prefix("spec.provider.")
                .is_some_and(|path| !path.starts_with("azurekv") && path != "fake" && !path.starts_with("fake."));
            if foreign {
                assert_eq!(property.get("description"), None, "{} {path}", texts.kind);
                continue;
            }
            let text =
                property["description"].as_str().unwrap_or_else(|| panic!("{} {path} has no description", texts.kind));
            assert!(text.ends_with('.') && text.len() < 160, "{} {path}: {text}", texts.kind);
        }
    }
}

/// The digests of the sentences of a text. Four words, such as `Name of the Secret`, are nobody's own.
fn sentences(text: &str) -> Vec<String> {
    let words = |sentence: &str| {
        let words = sentence.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect::<Vec<_>>()
    };
    let long = text.split(['.', ';', '\n']).map(words).filter(|words| words.len() > 4);
    long.map(|words| Sha256::digest(words.join(" ")).iter().take(8).map(|byte| format!("{byte:02x}")).collect())
        .collect()
}

fn texts_of(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("description").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(texts_of)).collect()
        }
        Value::Array(items) => items.iter().flat_map(texts_of).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn no_sentence_of_upstream_is_taken_over() {
    let path = folder("tests/crds/upstream-sentences.txt");
    if let Some(upstream) = std::env::var_os("UPSTREAM_CRDS").filter(|_| golden()) {
        let kinds: Vec<_> = written::descriptions().iter().map(|texts| texts.kind).collect();
        let described = |definition: &&Value| kinds.iter().any(|kind| definition["spec"]["names"]["kind"] == *kind);
        let texts: Vec<_> = published(Path::new(&upstream)).iter().filter(described).flat_map(texts_of).collect();
        let digests: BTreeSet<_> = texts.iter().flat_map(|text| sentences(text)).collect();
        fs::write(&path, digests.into_iter().map(|digest| digest + "\n").collect::<String>())
            .expect("the file can be written");
    }
    let upstream = fs::read_to_string(&path).expect("the digests are committed");
    let upstream: BTreeSet<_> = upstream.lines().collect();
    assert!(upstream.len() > 1_000, "the digests are there");
    for texts in written::descriptions() {
        for text in texts.fields.iter().map(|(_, text)| text.as_str()).chain([texts.about]) {
            let taken = sentences(text).iter().any(|digest| upstream.contains(digest.as_str()));
            assert!(!taken, "{}: upstream says the same: {text}", texts.kind);
        }
    }
}

/// Reads and writes an object in which every field of the schema is set.
fn check_round_trip<K: Kind>() {
    let root = root::<K>();
    let mut object = json!({"apiVersion": K::API_VERSION, "kind": K::KIND, "metadata": {"name": "sample"}});
    for part in ["spec", "status"] {
        object[part] = schema::sample(&root["properties"][part], part);
    }
    let sample = Object::new(object).expect("the sample is an object");
    let spec = K::spec(&sample).unwrap_or_else(|error| panic!("{}: {error}", K::KIND));
    let status = K::status(&sample).unwrap_or_else(|error| panic!("{}: {error}", K::KIND));
    assert_eq!(serde_json::to_value(&spec).expect("JSON"), sample.value()["spec"], "{}", K::KIND);
    assert_eq!(serde_json::to_value(&status).expect("JSON"), sample.value()["status"], "{}", K::KIND);
}

#[test]
fn every_field_survives_a_round_trip() {
    check_round_trip::<GitRepository>();
    check_round_trip::<HelmRepository>();
    check_round_trip::<HelmChart>();
    check_round_trip::<Kustomization>();
    check_round_trip::<HelmRelease>();
    check_round_trip::<SecretStore>();
    check_round_trip::<ClusterSecretStore>();
    check_round_trip::<ExternalSecret>();
}

/// A value of the leaf's type that has this text.
fn typed(leaf: &Value, text: &str) -> Value {
    if leaf["type"] == "boolean" { json!(text == "true") } else { json!(text) }
}

/// A value of the leaf's type that is none of these.
fn another(leaf: &Value, texts: &[&str]) -> Value {
    let mut known = leaf["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let unlike = known.find(|value| !texts.contains(value)).unwrap_or("unlike any");
    if leaf["type"] == "boolean" { json!(!texts.contains(&"true")) } else { json!(unlike) }
}

/// Sets each leaf of the schema alone, and sees whether it is reported.
fn check_support<K: Kind>() -> (usize, usize) {
    let spec = &root::<K>()["properties"]["spec"];
    let leaves = schema::leaves(spec);
    let reported = |path: &str, value: Value| K::unsupported(&json!({"spec": schema::nested(path, value)}));
    for (path, leaf) in &leaves {
        let named = |found: &[String]| {
            found.len() == 1
                && format!("spec.{path}").replace("[]", "[0]").starts_with(found[0].split(" (").next().expect("a path"))
        };
        let (good, bad) = match K::SUPPORTED.iter().find(|row| row.path == path).map(|row| row.allowed) {
            None => (vec![], vec![schema::sample(leaf, path)]),
            Some(Allowed::Any) => (vec![schema::sample(leaf, path)], vec![]),
            Some(Allowed::Only(texts)) => {
                (texts.iter().map(|text| typed(leaf, text)).collect(), vec![another(leaf, texts)])
            }
            Some(Allowed::Starts(starts)) => {
                (starts.iter().map(|text| json!(format!("{text}a"))).collect(), vec![json!("oci://a")])
            }
        };
        good.into_iter().for_each(|value| assert_eq!(reported(path, value), [] as [String; 0], "{} {path}", K::KIND));
        bad.into_iter()
            .for_each(|value| assert!(named(&reported(path, value)), "{} {path} is ignored in silence", K::KIND));
    }
    for row in K::SUPPORTED {
        assert!(leaves.iter().any(|(path, _)| path == row.path), "{} has no leaf {}", K::KIND, row.path);
    }
    (K::SUPPORTED.len(), leaves.len())
}

#[test]
fn every_field_is_acted_on_or_reported() {
    let counts = [
        check_support::<GitRepository>(),
        check_support::<HelmRepository>(),
        check_support::<HelmChart>(),
        check_support::<Kustomization>(),
        check_support::<HelmRelease>(),
        check_support::<SecretStore>(),
        check_support::<ClusterSecretStore>(),
        check_support::<ExternalSecret>(),
    ];
    println!("supported leaves of all leaves, by kind: {counts:?}");
}

#[test]
fn an_absent_optional_field_is_not_written() {
    let spec = GitRepository::spec(
        &Object::new(json!({"apiVersion": "v1", "kind": "a", "metadata": {"name": "a"}, "spec": {}}))
            .expect("an object"),
    );
    let spec = serde_json::to_value(spec.expect("a spec")).expect("JSON");
    assert_eq!(spec, json!({"url": "", "interval": "0s", "provider": "generic"}));
    assert!(Vec::<String>::new().is_absent());
}

#[test]
#[ignore = "needs the testbed: make test"]
fn a_real_api_server_accepts_every_schema() {
    let testbed = testbed::Testbed::shared();
    testbed.apply(&lockstep::api::schema::stream());
    let names = ALL.iter().map(|schema| format!("crd/{}", schema.name));
    let names: Vec<_> =
        ["wait", "--for=condition=Established", "--timeout=60s"].map(str::to_owned).into_iter().chain(names).collect();
    let established = testbed.kubectl(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(established.lines().count(), 40, "{established}");
    let conditions = testbed.kubectl(&["get", "crd", "-o", "jsonpath={.items[*].status.conditions[*].type}"]);
    assert!(!conditions.contains("NonStructuralSchema"), "{conditions}");
    let explained =
        testbed.kubectl(&["explain", "kustomization.spec.prune", "--api-version=kustomize.toolkit.fluxcd.io/v1"]);
    assert!(explained.contains("Whether objects that are no longer declared are deleted."), "{explained}");
}
