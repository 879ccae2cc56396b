//! What is encrypted with SOPS, on the cluster in memory: values of releases in each place that has values, and files whose MAC
//! does not match.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/repository.rs"]
mod repository;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fleet::{Fleet, condition};
use serde_json::{Value, json};
use sops::{Format, Identities, Indents, MasterKey, Rule, RuleKind, Sealed, Settings};

/// A document for a recipient; `regex` tells what of it is encrypted.
fn sealed(plain: &str, recipient: &str, regex: &str) -> String {
    let rule = Rule { kind: RuleKind::EncryptedRegex, text: regex.into() };
    let settings = Settings { groups: vec![vec![MasterKey::age(recipient)]], rule, ..Settings::default() };
    let mut random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("randomness");
    let now = "2026-01-02T03:04:05Z";
    let sealed = Sealed::encrypt(plain.as_bytes(), Format::Yaml, settings, &Identities::default(), now, &mut random);
    let text = sealed.and_then(|sealed| sealed.emit(Format::Yaml, Indents::default())).expect("it is encrypted");
    String::from_utf8(text).expect("text")
}

const CHART: &str = "apiVersion: v2\nname: app\nversion: 1.0.0\n";
const TEMPLATE: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: app}\nstringData:\n  inline: {{ .Values.inline | quote }}\n  \
                        from: {{ .Values.from | quote }}\n  file: {{ .Values.file | quote }}\n";
const KUSTOMIZATION: &str = "resources: [release.yaml]\nsecretGenerator:\n- name: values\n  namespace: apps\n  files: \
                             [values.yaml]\n  options: {disableNameSuffixHash: true}\n";

fn release() -> Value {
    let chart = json!({"chart": "./charts/app", "valuesFiles": ["./charts/app/values.yaml", "./charts/app/secret.yaml"],
        "sourceRef": {"kind": "GitRepository", "name": "repo"}});
    json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {"name": "app", "namespace": fleet::NAMESPACE},
        "spec": {"interval": "10m", "chart": {"spec": chart}, "values": {"inline": "in the object"},
            "valuesFrom": [{"kind": "Secret", "name": "values"}]}})
}

/// Writes the unit, its encrypted parts for a recipient.
fn write(fleet: &Fleet, recipient: &str) {
    fleet.put("charts/app/Chart.yaml", CHART);
    fleet.put("charts/app/values.yaml", "file: in the clear\n");
    fleet.put("charts/app/secret.yaml", &sealed("file: in the chart\n", recipient, ""));
    fleet.put("charts/app/templates/secret.yaml", TEMPLATE);
    fleet.put("unit/kustomization.yaml", KUSTOMIZATION);
    fleet.put("unit/release.yaml", &sealed(&yaml::emit::to_yaml(&release()), recipient, "^values$"));
    fleet.put("unit/values.yaml", &sealed("from: in a file\n", recipient, ""));
}

/// A Secret with the agent's identity; its recipient.
async fn recipient(fleet: &Fleet) -> String {
    let (identity, recipient) = sops::generate();
    let keys = json!({"data": {"age.agekey": STANDARD.encode(identity.as_bytes())}});
    fleet.apply(fleet::object("v1", "Secret", "sops-age", keys)).await;
    recipient
}

fn decryption() -> Value {
    json!({"decryption": {"provider": "sops", "secretRef": {"name": "sops-age"}}})
}

#[tokio::test]
async fn values_open_in_the_release_in_a_file_that_it_names_and_in_its_charts_files() {
    let fleet = Fleet::new().await;
    write(&fleet, &recipient(&fleet).await);
    let commit = fleet.commit();
    fleet.kustomization("unit", json!({}), decryption()).await;
    fleet.answered("unit", &commit, "True").await;
    let secret = fleet.get("v1", "Secret", "app").await.expect("the chart makes it");
    let value = |key: &str| {
        let text = secret.text(&format!("/data/{key}")).expect("a value");
        String::from_utf8(STANDARD.decode(text).expect("base64")).expect("text")
    };
    assert_eq!(["inline", "from", "file"].map(value), ["in the object", "in a file", "in the chart"]);
    fleet.end().await;
}

/// Flux would hand the ciphertext to templates.
#[tokio::test]
async fn without_decryption_nothing_of_it_is_applied() {
    let fleet = Fleet::new().await;
    let (_, recipient) = sops::generate();
    write(&fleet, &recipient);
    let commit = fleet.commit();
    fleet.kustomization("unit", json!({}), json!({})).await;
    let told = |unit: &manifest::Object| condition(unit, "Ready")["message"].as_str().unwrap_or_default().to_owned();
    let message = told(&fleet.answered("unit", &commit, "False").await);
    assert!(message.contains("HelmRelease/apps/app is SOPS encrypted"), "{message}");
    fleet.put("unit/release.yaml", &yaml::emit::to_yaml(&release()));
    let commit = fleet.commit();
    let message = told(&fleet.answered("unit", &commit, "False").await);
    assert!(message.contains("values of Secret 'apps/values' are SOPS encrypted: key 'values.yaml'"), "{message}");
    fleet.put("unit/values.yaml", "from: in a file\n");
    let commit = fleet.commit();
    let message = told(&fleet.answered("unit", &commit, "False").await);
    let wanted = "values file './charts/app/secret.yaml': is SOPS encrypted, and the HelmRelease is no object of a \
                  Kustomization that decrypts";
    assert!(message.contains(wanted), "{message}");
    assert!(fleet.get("v1", "Secret", "app").await.is_none(), "no ciphertext is applied");
    fleet.end().await;
}

/// Flux checks no MAC: a file that somebody has changed by hand lands, and is warned of in the log. `lockstep.dev/sops-mac: enforce` refuses it.
#[tokio::test]
async fn a_file_whose_mac_does_not_match_lands_unless_the_unit_enforces_it() {
    let fleet = Fleet::new().await;
    let plain = |note: &str| {
        let head = format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\n  namespace: apps\n  annotations: {{note: {note}}}\n"
        );
        head + "stringData: {password: hunter2}\n"
    };
    let sealed = sealed(&plain("first"), &recipient(&fleet).await, "^stringData$");
    let note = async || {
        let secret = fleet.get("v1", "Secret", "db").await;
        secret.and_then(|secret| secret.annotation("note").map(str::to_owned))
    };
    let enforced = json!({"lockstep.dev/sops-mac": "enforce"});
    fleet.put("unit/db.yaml", &sealed);
    let commit = fleet.commit();
    fleet.kustomization("unit", enforced.clone(), decryption()).await;
    fleet.answered("unit", &commit, "True").await;
    assert_eq!(note().await.as_deref(), Some("first"), "what matches passes");

    fleet.put("unit/db.yaml", &sealed.replace("first", "second"));
    let commit = fleet.commit();
    let held = fleet.answered("unit", &commit, "False").await;
    let told = condition(&held, "Ready");
    let message = told["message"].as_str().unwrap_or_default();
    assert_eq!(told["reason"], "BuildFailed");
    assert!(message.contains("unit/db.yaml") && message.contains("MAC"), "{message}");
    assert_eq!(note().await.as_deref(), Some("first"), "nothing of it is written");

    fleet.kustomization("unit", json!({"lockstep.dev/sops-mac": "warn"}), decryption()).await;
    fleet.answered("unit", &commit, "True").await;
    assert_eq!(note().await.as_deref(), Some("second"));
    fleet.end().await;
}
