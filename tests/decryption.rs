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
use zeroize::Zeroizing;

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
    sops.env("GOOGLE_OAUTH_ACCESS_TOKEN", "testbed").env("SOPS_GCP_KMS_CLIENT_TYPE", "rest");
    sops.env("AWS_ACCESS_KEY_ID", "AKIATESTBED").env("AWS_SECRET_ACCESS_KEY", "testbed");
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

/// The key of Google's service account that the testbed knows.
fn service_account(scene: &Scene) -> String {
    let key = std::fs::read_to_string(scene.testbed.data().join("pki/google.key")).expect("the testbed has one");
    let email = "sops@testbed.iam.gserviceaccount.com";
    json!({"type": "service_account", "client_email": email, "private_key_id": "1", "private_key": key}).to_string()
}

/// A Secret of the scene's namespace.
fn give(scene: &Scene, name: &str, entries: &[(&str, &str)]) {
    let data: serde_json::Map<_, _> = entries.iter().map(|(key, text)| ((*key).to_owned(), json!(text))).collect();
    let metadata = json!({"name": name, "namespace": scene.agent.namespace});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
    scene.testbed.apply(&secret.to_string());
}

/// Who the ServiceAccount `app` is towards Amazon and Google, and where it logs in to Vault.
fn introduce(scene: &Scene) {
    let namespace = &scene.agent.namespace;
    for annotation in [
        "eks.amazonaws.com/role-arn=arn:aws:iam::1:role/app",
        "gcp.auth.fluxcd.io/workload-identity-provider=projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "iam.gke.io/gcp-service-account=app@p.iam.gserviceaccount.com",
    ] {
        scene.testbed.kubectl(&["annotate", "serviceaccount", "app", "-n", namespace, annotation]);
    }
    let server = scene.testbed.value("TESTBED_TRANSIT");
    let config = format!("instances:\n- {{address: '{server}', loginPath: auth/kubernetes/login}}\n");
    let config = format!("--from-literal=config.yaml={config}");
    scene.testbed.kubectl(&["create", "configmap", "vaults", "-n", namespace, &config]);
}

/// Private keys of age, in the order that they are asked for.
struct Age {
    classic: (Zeroizing<String>, String),
    post_quantum: (Zeroizing<String>, String),
    global: (Zeroizing<String>, String),
}

/// The Secret with every entry that Flux reads, and the global one.
fn hand_over(scene: &Scene, age: &Age) {
    let azure =
        json!({"tenantId": TENANT, "clientId": scene.identity.client_id, "clientSecret": scene.identity.secret});
    let entries = [
        ("classic.agekey", format!("# mine\n{}\n", *age.classic.0)),
        ("post-quantum.agekey", age.post_quantum.0.to_string()),
        ("key.asc", PGP.to_owned()),
        ("sops.azure-kv", azure.to_string()),
        ("sops.vault-token", "testbed\n".to_owned()),
        ("sops.aws-kms", "aws_access_key_id: AKIATESTBED\naws_secret_access_key: testbed\n".to_owned()),
        ("sops.gcp-kms", service_account(scene)),
    ];
    give(scene, "keys", &entries.each_ref().map(|(key, text)| (*key, text.as_str())));
    give(scene, "global", &[("age.agekey", &age.global.0)]);
}

/// A file for every kind of key, below the folder of the Kustomization that opens it; their names.
fn seal_all(scene: &Scene, age: &Age) -> [&'static str; 12] {
    let namespace = &scene.agent.namespace;
    let created: Value = scene.vault.request("POST", "keys/sops/create", Some(&json!({"kty": "RSA"})));
    let azure = created["key"]["kid"].as_str().expect("a key has an id");
    let transit = format!("{}/v1/{namespace}/keys/sops", scene.testbed.value("TESTBED_TRANSIT"));
    let google = format!("projects/p/locations/global/keyRings/{namespace}/cryptoKeys/k");
    let amazon = format!("arn:aws:kms:eu-west-1:123456789012:key/{namespace}");
    let files = [
        ("account", "by-account", "--azure-kv", azure),
        ("account", "by-account-transit", "--hc-vault-transit", &transit),
        ("account", "by-account-google", "--gcp-kms", &google),
        ("account", "by-account-amazon", "--kms", &amazon),
        ("entries", "by-azure", "--azure-kv", azure),
        ("entries", "by-transit", "--hc-vault-transit", &transit),
        ("entries", "by-google", "--gcp-kms", &google),
        ("entries", "by-amazon", "--kms", &amazon),
        ("entries", "by-age", "--age", &age.classic.1),
        ("entries", "by-post-quantum", "--age", &age.post_quantum.1),
        ("global", "by-global", "--age", &age.global.1),
    ];
    for (folder, name, flag, key) in files {
        sealed(scene, &format!("{folder}/{name}.yaml"), name, &[flag, key]);
    }
    scene.git.write("entries/by-pgp.yaml", &sealed_by_pgp(scene, "by-pgp"));
    let mut names = ["by-pgp"; 12];
    names[..11].copy_from_slice(&files.map(|(_, name, ..)| name));
    names
}

#[test]
#[ignore = "needs the testbed: make test"]
fn every_entry_of_the_decryption_secret_opens_and_so_does_a_service_account() {
    let mut scene = Scene::new("decryption");
    let namespace = scene.agent.namespace.clone();
    let post_quantum = sops::generate_post_quantum().expect("randomness");
    let age = Age { classic: sops::generate(), post_quantum, global: sops::generate() };
    let names = seal_all(&scene, &age);
    introduce(&scene);
    hand_over(&scene, &age);
    scene.agent.restart_with("--sops-vault-configmap=vaults");
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
    for name in names {
        assert_eq!(scene.secret(name), scene.canary(name));
    }
    scene.finish();
}
