//! The main job, as a person who has a Flux repository does it: install, give the keys, apply `gotk-sync.yaml`, and look.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/scene.rs"]
mod scene;
#[path = "support/secrecy.rs"]
mod secrecy;
#[path = "support/testbed.rs"]
mod testbed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agent::Agent;
use scene::Recording;
use secrecy::{CANARY, end_without_a_leak};
use serde_json::Value;
use testbed::azure::Vault;
use testbed::sources::{Charts, Git, PASSWORD, USER};
use testbed::{Testbed, run};

/// The repository of the story, in the layout of Flux's examples.
const FLEET: &str = "tests/story/fleet";
/// The address that it names itself by.
const URL: &str = "https://github.com/example/fleet";
/// Each chart of the story: where it is published in the world, and as which version.
const CHARTS: [(&str, &str, &str); 2] = [
    ("cert-manager", "https://charts.jetstack.io", "v1.20.2"),
    ("ingress-nginx", "https://kubernetes.github.io/ingress-nginx", "4.15.1"),
];
/// Its Kustomizations, in the order of their dependencies.
const UNITS: [&str; 4] = ["flux-system", "infra-controllers", "infra-configs", "apps"];

#[test]
#[ignore = "needs the testbed: make test"]
fn requirement_18_a_flux_repository_lands_without_a_hand_on_it() {
    let testbed = Testbed::own();
    let (git, vault) = (testbed.git("fleet"), testbed.vault());
    vault.put("payment-token", &format!("{CANARY}/payment"));
    fill(&testbed, &git, &vault);
    git.push("the fleet");
    let repositories = CHARTS.map(|(chart, url, version)| (publish(&testbed, chart, version), url));
    let mut mirrors: Vec<String> =
        repositories.iter().map(|(charts, url)| format!("--mirror={url}={}", charts.real_url())).collect();
    mirrors.push(format!("--mirror={URL}={}", git.github_url()));

    install(&testbed);
    testbed.kubectl(&["create", "namespace", "shop"]); // so that it can be watched from its beginning
    let history = Recording::start(&testbed, "shop", &["secrets", "deployments"]);
    let mut agent = Agent::installed(&testbed, &mirrors);
    let sync = git.work().join("clusters/production/flux-system/gotk-sync.yaml");
    testbed.kubectl(&["apply", "-f", sync.to_str().expect("text")]);

    for unit in UNITS {
        agent.ready(&format!("kustomization/flux-system/{unit}"), "True", "ReconciliationSucceeded");
    }
    for (name, ..) in CHARTS {
        agent.ready(&format!("helmrelease/{name}/{name}"), "True", "InstallSucceeded");
        agent.ready(&format!("helmrepository/{name}/{name}"), "True", "Succeeded");
    }
    let shop = agent.until("deployment/shop/shop", |shop| shop["status"]["availableReplicas"] == 2);
    assert_eq!(shop["spec"]["template"]["spec"]["containers"][0]["image"], "registry.example.com/shop:1.4.2");
    let before = |secret: &str, history: &scene::History| {
        let first = |kind, name| history.first(kind, name).unwrap_or_else(|| panic!("{kind} {name} was not seen"));
        assert!(first("Secret", secret) < first("Deployment", "shop"), "the pods' template came before {secret}");
    };
    let history = history.end();
    ["payment", "session"].iter().for_each(|secret| before(secret, &history));

    // What a person sees, with the tools that they have.
    let row = testbed.kubectl(&["get", "externalsecret", "-n", "shop"]);
    let cells: Vec<Vec<&str>> = row.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[1][..6], ["payment", "SecretStore", "vault", "1h", "SecretSynced", "True"], "{row}");
    let flux = run(testbed.tool("flux").args(["get", "all", "-A", "--no-header"]));
    let lines: Vec<&str> = flux.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(lines.len(), 9, "a source, two repositories of charts, two releases, four units: {flux}");
    assert!(lines.iter().all(|line| line.contains("True")), "{flux}");
    let releases: Value =
        serde_json::from_str(&run(testbed.tool("helm").args(["list", "-A", "-o", "json"]))).expect("JSON");
    let statuses: Vec<&str> =
        releases.as_array().expect("a list").iter().filter_map(|release| release["status"].as_str()).collect();
    assert_eq!(statuses, ["deployed", "deployed"]);

    nothing_moves_at_rest(&testbed, &agent);
    let namespaces = ["shop", "flux-system", "cert-manager", "ingress-nginx"];
    end_without_a_leak(&testbed, &mut agent, &[CANARY], &namespaces);
}

/// The work tree with the values of this run in it, and the secret encrypted as the README says.
fn fill(testbed: &Testbed, git: &Git<'_>, vault: &Vault<'_>) {
    git.take_over(&Path::new(env!("CARGO_MANIFEST_DIR")).join(FLEET));
    let key = testbed.data().join("age.agekey");
    run(testbed.tool("age-keygen").arg("-o").arg(&key));
    let recipient = run(testbed.tool("age-keygen").arg("-y").arg(&key));
    let identity = testbed.identity("shop", "vault", &[vault]);
    let annotations: BTreeMap<_, _> = identity.annotations().into();
    let annotation = |name: &str| annotations[&*format!("azure.workload.identity/{name}")].to_owned();
    let session = format!("{CANARY}/session").replace('"', "\\\"");
    for (path, placeholder, value) in [
        (".sops.yaml", "AGE_RECIPIENT", recipient),
        ("clusters/production/cluster-settings.yaml", "VAULT_URL", vault.url()),
        ("clusters/production/cluster-settings.yaml", "CLIENT_ID", annotation("client-id")),
        ("clusters/production/cluster-settings.yaml", "TENANT_ID", annotation("tenant-id")),
        ("apps/production/session.sops.yaml", "SESSION_KEY", format!("\"{session}\"")),
    ] {
        let text = std::fs::read_to_string(git.work().join(path)).expect("the fleet has it");
        assert!(text.contains(placeholder), "{path} has no {placeholder}");
        git.write(path, &text.replace(placeholder, &value));
    }
    run(testbed.tool("sops").current_dir(git.work()).args(["encrypt", "-i", "apps/production/session.sops.yaml"]));
}

/// A chart of the corpus in a Helm repository of its own; without the corpus, an own one of the name.
fn publish<'t>(testbed: &'t Testbed, name: &str, version: &str) -> Charts<'t> {
    let charts = testbed.charts();
    let folder = corpus::corpus("helm/charts").map_or_else(|| own_chart(testbed, name), |all| all.join(name));
    charts.publish(&testbed.package_with(&folder, &["--version", version]));
    charts
}

fn own_chart(testbed: &Testbed, name: &str) -> PathBuf {
    let folder = testbed.data().join("work").join(name);
    std::fs::create_dir_all(folder.join("templates")).expect("the data folder can be written");
    let chart = format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n");
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: '{{ .Release.Name }}'}\n";
    for (file, text) in [("Chart.yaml", chart.as_str()), ("templates/account.yaml", account)] {
        std::fs::write(folder.join(file), text).expect("the data folder can be written");
    }
    folder
}

/// As the README says: schemas, agent, keys.
fn install(testbed: &Testbed) {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = |name: &str| checkout.join(name).to_str().expect("text").to_owned();
    testbed.kubectl(&["apply", "--server-side", "-f", &path("crds")]);
    testbed.kubectl(&["apply", "-k", &path("deploy")]);
    testbed.kubectl(&["create", "namespace", "flux-system"]);
    let key = format!("--from-file=age.agekey={}", testbed.data().join("age.agekey").display());
    testbed.kubectl(&["create", "secret", "generic", "sops-age", "-n", "flux-system", &key]);
    let (user, password) = (format!("--from-literal=username={USER}"), format!("--from-literal=password={PASSWORD}"));
    testbed.kubectl(&["create", "secret", "generic", "flux-system", "-n", "flux-system", &user, &password]);
}

/// A reconciliation of everything that is asked for by hand answers the request, and writes nothing else.
fn nothing_moves_at_rest(testbed: &Testbed, agent: &Agent<'_>) {
    let landed = || {
        let kinds = "secrets,configmaps,deployments,services,serviceaccounts,customresourcedefinitions,clusterroles";
        let columns =
            "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name,AT:.metadata.generation";
        let columns = columns.replace("metadata.generation", "metadata.resourceVersion");
        let all = testbed.kubectl(&["get", kinds, "-A", "--no-headers", "-o", &columns]);
        let ours = all.lines().filter(|line| !line.contains("lockstep-system") && !line.contains("kube-"));
        ours.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = landed();
    assert!(before.len() > 20, "{before:?}");
    for unit in UNITS {
        let now = jiff::Timestamp::now().to_string();
        let request = format!("reconcile.fluxcd.io/requestedAt={now}");
        testbed.kubectl(&["annotate", "--overwrite", "kustomization", unit, "-n", "flux-system", &request]);
        agent.until(&format!("kustomization/flux-system/{unit}"), |unit| {
            unit["status"]["lastHandledReconcileAt"] == now.as_str()
        });
    }
    assert_eq!(before, landed());
}
