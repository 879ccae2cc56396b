//! The agent opens what Flux opens: by every entry of the decryption Secret, by the global one, and key vaults as a
//! ServiceAccount.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/scene.rs"]
mod scene;
#[path = "support/secrecy.rs"]
mod secrecy;
#[path = "support/testbed.rs"]
mod testbed;

use std::path::PathBuf;

use scene::{Scene, kustomization};
use serde_json::{Value, json};
use sops::{Format, Identities, Indents, KeyKind, MasterKey, Rule, RuleKind, Sealed, Settings};
use testbed::azure::TENANT;
use testbed::run;

/// A published PGP key, and its fingerprint.
const PGP: &str = include_str!("../crates/sops/fuzz/keys/example.asc");
const FINGERPRINT: &str = "2AB5E339FECBBA2FA869C5011D61DD849AF432D9";

/// A Secret that the original encrypts as its arguments say.
fn sealed(scene: &Scene, file: &str, name: &str, arguments: &[&str]) {
    let plain = folder(scene).join(format!("{name}.yaml"));
    std::fs::write(&plain, secret(scene, name)).expect("the data folder can be written");
    let mut sops = scene.testbed.tool("sops");
    sops.env("AZURE_TENANT_ID", TENANT).env("AZURE_CLIENT_ID", &scene.identity.client_id);
    sops.env("AZURE_CLIENT_SECRET", &scene.identity.secret).env("VAULT_TOKEN", "testbed");
    sops.args(["encrypt", "--encrypted-regex", "^(data|stringData)$"]).args(arguments).arg(&plain);
    scene.git.write(file, &run(&mut sops));
    std::fs::remove_file(&plain).expect("it was written");
}

fn secret(scene: &Scene, name: &str) -> String {
    let value = scene.canary(name);
    format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\nstringData:\n  password: '{value}'\n")
}

fn folder(scene: &Scene) -> PathBuf {
    let folder = scene.testbed.data().join("keys").join(&scene.agent.namespace);
    std::fs::create_dir_all(&folder).expect("the data folder can be written");
    folder
}

/// A Secret for the published PGP key.
fn sealed_by_pgp(scene: &Scene, name: &str) -> String {
    let mut identities = Identities::default();
    identities.add_pgp("example", PGP).expect("a key");
    let now = "2026-01-02T03:04:05Z";
    let rule = Rule { kind: RuleKind::EncryptedRegex, text: "^(data|stringData)$".into() };
    let settings = Settings {
        groups: vec![vec![MasterKey::parse(KeyKind::Pgp, FINGERPRINT, now).expect("a key")]],
        rule,
        ..Settings::default()
    };
    let mut random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("randomness");
    let plain = secret(scene, name);
    let sealed = Sealed::encrypt(plain.as_bytes(), Format::Yaml, settings, &identities, now, &mut random);
    let text = sealed.and_then(|sealed| sealed.emit(Format::Yaml, Indents::default())).expect("it is encrypted");
    String::from_utf8(text).expect("text")
}

/// A Secret of the scene's namespace.
fn give(scene: &Scene, name: &str, entries: &[(&str, &str)]) {
    let data: serde_json::Map<_, _> = entries.iter().map(|(key, text)| ((*key).to_owned(), json!(text))).collect();
    let metadata = json!({"name": name, "namespace": scene.agent.namespace});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
    scene.testbed.apply(&secret.to_string());
}

#[test]
#[ignore = "needs the testbed: make test"]
fn every_entry_of_the_decryption_secret_opens_and_so_does_a_service_account() {
    let mut scene = Scene::new("decryption");
    let namespace = scene.agent.namespace.clone();
    let created: Value = scene.vault.request("POST", "keys/sops/create", Some(&json!({"kty": "RSA"})));
    let key = created["key"]["kid"].as_str().expect("a key has an id");
    let transit = format!("{}/v1/{namespace}/keys/sops", scene.testbed.value("TESTBED_TRANSIT"));
    let (classic, post_quantum) = (sops::generate(), sops::generate_post_quantum().expect("randomness"));
    let global = sops::generate();
    sealed(&scene, "account/vault.yaml", "by-account", &["--azure-kv", key]);
    sealed(&scene, "entries/vault.yaml", "by-azure", &["--azure-kv", key]);
    sealed(&scene, "entries/transit.yaml", "by-transit", &["--hc-vault-transit", &transit]);
    sealed(&scene, "entries/age.yaml", "by-age", &["--age", &classic.1]);
    sealed(&scene, "entries/post-quantum.yaml", "by-post-quantum", &["--age", &post_quantum.1]);
    sealed(&scene, "global/age.yaml", "by-global", &["--age", &global.1]);
    scene.git.write("entries/pgp.yaml", &sealed_by_pgp(&scene, "by-pgp"));
    let azure =
        json!({"tenantId": TENANT, "clientId": scene.identity.client_id, "clientSecret": scene.identity.secret});
    let entries = [
        ("classic.agekey", format!("# mine\n{}\n", *classic.0)),
        ("post-quantum.agekey", post_quantum.0.to_string()),
        ("key.asc", PGP.to_owned()),
        ("sops.azure-kv", azure.to_string()),
        ("sops.vault-token", "testbed\n".to_owned()),
    ];
    give(&scene, "keys", &entries.each_ref().map(|(key, text)| (*key, text.as_str())));
    give(&scene, "global", &[("age.agekey", &global.0)]);
    scene.push("files for keys of every kind");
    scene.agent.restart_with("--sops-age-secret=global");
    for (unit, more) in [
        ("account", ", decryption: {provider: sops, serviceAccountName: app}"),
        ("entries", ", decryption: {provider: sops, secretRef: {name: keys}}"),
        ("global", ", decryption: {provider: sops}"),
    ] {
        scene.testbed.apply(&kustomization(unit, &namespace, more));
    }
    for unit in ["account", "entries", "global"] {
        scene.agent.ready(&format!("kustomization/{unit}"), "True", "ReconciliationSucceeded");
    }
    for name in ["by-account", "by-azure", "by-transit", "by-age", "by-post-quantum", "by-global", "by-pgp"] {
        assert_eq!(scene.secret(name), scene.canary(name));
    }
    scene.finish();
}
