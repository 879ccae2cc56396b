//! What `lockstep plan` shows of a repository that never landed is what the agent then makes of it, object by object.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/repository.rs"]
mod repository;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use apply::Selection;
use fleet::{Fleet, condition};
use manifest::Object;
use serde_json::{Value, json};
use sops::{Format, Identities, Indents, MasterKey, Rule, RuleKind, Sealed, Settings};

/// Files of a repository.
type Files = Vec<(&'static str, String)>;

const SOURCE: &str = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: repo, namespace: apps}\n\
    spec: {url: 'https://git.example.com/app', interval: 1s, ref: {branch: main}}\n";
const STORE: &str = "apiVersion: external-secrets.io/v1\nkind: SecretStore\nmetadata: {name: store, namespace: apps}\n\
    spec: {provider: {fake: {data: [{key: db, value: hunter2}]}}}\n";
const EXTERNAL: &str = "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: NAME, namespace: apps}\n\
    spec: {secretStoreRef: {name: store}, data: [{secretKey: password, remoteRef: {key: db}}]}\n";
const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: apps}\n\
    spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, \
    image: 'i:1', envFrom: [{secretRef: {name: db}}]}]}}}\n";
const DEFINITION: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: gadgets.example.com}\n\
    spec: {group: example.com, scope: Namespaced, names: {kind: Gadget, plural: gadgets}, versions: [{name: v1, served: true, \
    storage: true, schema: {openAPIV3Schema: {type: object}}}]}\n";

/// Kinds that a fixture may come to.
const KINDS: [(&str, &str); 14] = [
    ("v1", "Namespace"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
    ("batch/v1", "Job"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("example.com/v1", "Gadget"),
    ("source.toolkit.fluxcd.io/v1", "GitRepository"),
    ("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
    ("helm.toolkit.fluxcd.io/v2", "HelmRelease"),
    ("external-secrets.io/v1", "SecretStore"),
    ("external-secrets.io/v1", "ExternalSecret"),
];

fn unit(name: &str, switches: &str, more: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}, namespace: apps, annotations: {{{switches}}}}}\n\
         spec: {{path: ./{name}, interval: 10m, retryInterval: 1s, timeout: 10s, prune: true, wait: true, \
         sourceRef: {{kind: GitRepository, name: repo}}{more}}}\n"
    )
}

fn joined(parts: &[&str]) -> String {
    parts.join("---\n")
}

/// An overlay with a generator and a prefix, and variables of another unit, which comes after it in the files.
fn overlay() -> Files {
    let reads = ", postBuild: {substitute: {colour: blue}, substituteFrom: [{kind: ConfigMap, name: variables}]}";
    vec![
        ("clusters/all.yaml", joined(&[&unit("web", "", reads), &unit("zone", "", "")])),
        (
            "zone/all.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: variables, namespace: apps}\ndata: {zone: z1}\n".into(),
        ),
        (
            "base/map.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: map}\ndata: {c: '${colour}', z: '${zone}'}\n".into(),
        ),
        (
            "base/kustomization.yaml",
            "resources: [map.yaml]\nconfigMapGenerator: [{name: made, literals: [a=b]}]\n".into(),
        ),
        ("web/kustomization.yaml", "namespace: shop\nnamePrefix: blue-\nresources: [../base, namespace.yaml]\n".into()),
        ("web/namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n".into()),
    ]
}

/// A sealed Secret, one of a store, and who reads it.
fn secrets(recipient: &str, switches: &str) -> Files {
    let plain =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: sealed, namespace: apps}\nstringData: {password: hunter3}\n";
    let rule = Rule { kind: RuleKind::EncryptedRegex, text: "^stringData$".into() };
    let settings = Settings { groups: vec![vec![MasterKey::age(recipient)]], rule, ..Settings::default() };
    let mut random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("randomness");
    let (now, nobody) = ("2026-01-02T03:04:05Z", Identities::default());
    let sealed = Sealed::encrypt(plain.as_bytes(), Format::Yaml, settings, &nobody, now, &mut random);
    let sealed = sealed.and_then(|sealed| sealed.emit(Format::Yaml, Indents::default())).expect("it is encrypted");
    let opens = ", decryption: {provider: sops, secretRef: {name: sops-age}}";
    vec![
        ("clusters/all.yaml", unit("web", switches, opens)),
        ("web/sealed.yaml", String::from_utf8(sealed).expect("text")),
        ("web/all.yaml", joined(&[DEPLOYMENT, &EXTERNAL.replace("NAME", "db"), STORE])),
    ]
}

/// A chart with a definition, hooks, and an ExternalSecret of its own; a custom resource beside it.
fn release() -> Files {
    let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web, namespace: apps}\nspec: {interval: 10m, \
        chart: {spec: {chart: ./charts/web, sourceRef: {kind: GitRepository, name: repo}}}, valuesFrom: [{kind: Secret, \
        name: db, valuesKey: password, targetPath: password}]}\n";
    let hook = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, annotations: {helm.sh/hook: pre-install}}\n\
        spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}\n";
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-made'}\ndata: {size: '{{ len .Values.password }}'}\n";
    let job = hook.replace("migrate, annotations: {helm.sh/hook: pre-install}", "once, namespace: apps");
    let gadget = "apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: gadget, namespace: apps}\n";
    vec![
        ("clusters/all.yaml", unit("web", "", "")),
        ("web/all.yaml", joined(&[release, gadget, &job, &EXTERNAL.replace("NAME", "db"), STORE])),
        ("charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n".into()),
        ("charts/web/crds/gadgets.yaml", DEFINITION.into()),
        ("charts/web/templates/all.yaml", joined(&[map, &EXTERNAL.replace("NAME", "inner"), hook])),
    ]
}

/// What is to be made, by the plan.
#[expect(clippy::disallowed_methods, reason = "the binary is run as a person runs it")]
fn planned(files: &Files, with: &[Value]) -> BTreeSet<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |path: &Path, text: &str| {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    let root = folder.path().join("repository");
    files.iter().for_each(|(path, text)| write(&root.join(path), text));
    let beside = folder.path().join("with.yaml");
    write(&beside, &with.iter().map(yaml::emit::to_yaml).collect::<Vec<_>>().join("---\n"));
    let mut plan = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    plan.env_remove("KUBECONFIG").args(["plan", "--embedded", "-o", "json", "--with"]).arg(beside);
    let output = plan.arg(root.join("clusters")).output().expect("it is built");
    let told: Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!((output.status.code(), &told["fails"]), (Some(2), &json!(false)), "{told:#}");
    let units = told["units"].as_array().into_iter().flatten();
    let objects = units.flat_map(|unit| unit["objects"].as_array()).flatten();
    let made = objects.filter(|object| object["action"] == "create" || object["action"] == "run");
    let made = made.map(|object| {
        let id = object["object"].as_str().expect("an object");
        assert_eq!(object["undoable"], !id.starts_with("Job/"), "what a Job does stays: {object}");
        without_digest(id.to_owned())
    });
    made.collect()
}

/// Everything of the kinds, besides the agent's own and the records of releases.
async fn all(fleet: &Fleet) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (version, kind) in KINDS {
        let Ok(objects) = fleet.cluster.list(&Selection::all(version, kind)).await else { continue };
        let is_meant = |object: &&Object| {
            object.namespace() != "system" && object.text("/type") != Some(helm::record::SECRET_TYPE)
        };
        found.extend(objects.iter().filter(is_meant).map(|object| object.id().to_string()));
    }
    found
}

/// Names of immutable versions are digests by a key that each cluster has its own of.
fn without_digest(id: String) -> String {
    match id.rsplit_once('-') {
        Some((name, end)) if end.len() == 16 && end.chars().all(|c| c.is_ascii_hexdigit()) => format!("{name}-DIGEST"),
        _ => id,
    }
}

/// What the agent makes.
async fn landed(files: &Files, with: &[Value]) -> BTreeSet<String> {
    let fleet = Fleet::new().await;
    for value in with {
        fleet.apply(value.clone()).await;
    }
    let before = all(&fleet).await;
    files.iter().for_each(|(path, text)| fleet.put(path, text));
    let commit = fleet.commit();
    fleet.kustomization("clusters", json!({}), json!({})).await;
    fleet.answered("clusters", &commit, "True").await;
    let units = fleet.cluster.list(&Selection::all("kustomize.toolkit.fluxcd.io/v1", "Kustomization")).await;
    for unit in units.expect("a list") {
        fleet.answered(unit.name(), &commit, "True").await;
    }
    for release in
        fleet.cluster.list(&Selection::all("helm.toolkit.fluxcd.io/v2", "HelmRelease")).await.expect("a list")
    {
        let is_ready = |found: &Object| condition(found, "Ready")["status"] == "True";
        let at = ("helm.toolkit.fluxcd.io/v2", "HelmRelease", release.name());
        fleet.until(at, "ready", |found| found.is_some_and(is_ready)).await;
    }
    fleet.calm().await;
    let after = all(&fleet).await;
    fleet.end().await;
    let own = "Kustomization/apps/clusters";
    after.difference(&before).filter(|id| *id != own).cloned().map(without_digest).collect()
}

/// unmet.md 5: on every fixture the objects that `plan` shows are those that are made, of releases and ExternalSecrets, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requirement_5_the_objects_of_a_plan_are_those_that_land() {
    let (identity, recipient) = sops::generate();
    let with = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": fleet::NAMESPACE}}),
        fleet::object("v1", "Secret", "sops-age", json!({"stringData": {"age.agekey": identity.as_str()}})),
        yaml::from_str(SOURCE).expect("an object"),
    ];
    for (name, files) in [
        ("overlay", overlay()),
        ("secrets", secrets(&recipient, "")),
        ("versions", secrets(&recipient, "lockstep.dev/versions: immutable")),
        ("release", release()),
    ] {
        let (planned, landed) = (planned(&files, &with), landed(&files, &with).await);
        assert!(planned.len() > 4, "{name}: {planned:?}");
        assert_eq!(planned, landed, "{name}");
    }
}
