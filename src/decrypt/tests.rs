//! Files and objects that were encrypted here, as `crates/sops` shows that sops would.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifest::{Files as _, FilesError, MemoryFiles, Object, Origin, Purpose};
use serde_json::{Value, json};
use sops::{Format, Indents, MasterKey, Rule, RuleKind, Sealed, Settings};

use super::{Files, Identities, Variables, sealed};

const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata:\n    name: db\nstringData:\n    password: hunter2\n";

/// An identity, and documents for it.
struct Keys {
    secret: Object,
    recipient: String,
}

impl Keys {
    fn new() -> Self {
        let (identity, recipient) = sops::generate();
        let data = json!({"our.agekey": STANDARD.encode(identity.as_bytes())});
        Self { secret: secret_of(data), recipient }
    }

    fn identities(&self) -> Identities {
        Identities::from_secret(&self.secret, &Variables::default()).unwrap()
    }

    fn encrypt(&self, plain: &str, format: Format) -> String {
        let rule = match format {
            Format::Yaml => Rule { kind: RuleKind::EncryptedRegex, text: "^(data|stringData)$".into() },
            _ => Rule::default(),
        };
        let groups = vec![vec![MasterKey::age(&self.recipient)]];
        let settings = Settings { groups, rule, ..Settings::default() };
        let mut random = |bytes: &mut [u8]| getrandom::fill(bytes).unwrap();
        let now = "2026-01-02T03:04:05Z";
        let sealed =
            Sealed::encrypt(plain.as_bytes(), format, settings, &sops::Identities::default(), now, &mut random)
                .unwrap();
        String::from_utf8(sealed.emit(format, Indents::default()).unwrap()).unwrap()
    }
}

fn secret_of(data: Value) -> Object {
    let metadata = json!({"name": "sops-age", "namespace": "flux-system"});
    Object::new(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})).unwrap()
}

fn tree(files: &[(&str, &str)]) -> Arc<MemoryFiles> {
    let mut tree = MemoryFiles::default();
    for (path, text) in files {
        tree.insert(*path, *text);
    }
    Arc::new(tree)
}

fn read(files: &Files<'_>, path: &str, purpose: Purpose<'_>) -> Result<String, FilesError> {
    files.read(path, purpose).map(|content| content.text().unwrap_or_default().to_owned())
}

fn ignore(_: &[u8]) {}

/// All causes of an error, as they are told.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[test]
fn a_purpose_decides_what_is_opened() {
    let keys = Keys::new();
    let (yaml, env) = (keys.encrypt(SECRET, Format::Yaml), keys.encrypt("PASSWORD=hunter2\n", Format::Dotenv));
    let binary = keys.encrypt("hunter2", Format::Binary);
    let files = tree(&[("secret.yaml", &yaml), ("a.env", &env), ("vars", &env), ("blob", &binary)]);
    let identities = keys.identities();
    let files = Files::new(files, Some(&identities), false, &ignore);
    assert_eq!(read(&files, "secret.yaml", Purpose::Resource).unwrap(), SECRET);
    assert_eq!(read(&files, "secret.yaml", Purpose::Patch).unwrap(), SECRET);
    assert_eq!(read(&files, "secret.yaml", Purpose::SecretFile { key: "secret.yaml" }).unwrap(), SECRET);
    assert_eq!(read(&files, "a.env", Purpose::SecretEnvs).unwrap(), "PASSWORD=hunter2\n");
    assert_eq!(read(&files, "vars", Purpose::SecretEnvs).unwrap(), "PASSWORD=hunter2\n");
    assert_eq!(read(&files, "blob", Purpose::SecretFile { key: "password" }).unwrap(), "hunter2");
    assert_eq!(read(&files, "secret.yaml", Purpose::ConfigMap).unwrap(), yaml);
    assert_eq!(read(&files, "secret.yaml", Purpose::Recipe).unwrap(), yaml);
    // The key decides the format, and no file of that format has the marker of another.
    assert_eq!(read(&files, "secret.yaml", Purpose::SecretFile { key: "secret" }).unwrap(), yaml);
    assert!(files.warnings().is_empty());
    let sealed = Files::new(tree(&[("secret.yaml", &yaml)]), None, false, &ignore);
    assert_eq!(read(&sealed, "secret.yaml", Purpose::Resource).unwrap(), yaml);
}

#[test]
fn plaintext_is_shown_to_the_witness_once() {
    let keys = Keys::new();
    let yaml = keys.encrypt(SECRET, Format::Yaml);
    let (identities, seen) = (keys.identities(), Mutex::new(Vec::new()));
    let witness = |value: &[u8]| seen.lock().unwrap().push(value.to_vec());
    let files = Files::new(tree(&[("secret.yaml", &yaml)]), Some(&identities), false, &witness);
    for _ in 0..2 {
        read(&files, "secret.yaml", Purpose::Resource).unwrap();
    }
    assert_eq!(*seen.lock().unwrap(), [b"hunter2".to_vec()]);
}

#[test]
fn a_stale_mac_warns_or_is_refused() {
    let keys = Keys::new();
    let stale = keys.encrypt(SECRET, Format::Yaml).replace("name: db", "name: cache");
    let identities = keys.identities();
    let files = Files::new(tree(&[("s.yaml", &stale)]), Some(&identities), false, &ignore);
    assert_eq!(read(&files, "s.yaml", Purpose::Resource).unwrap(), SECRET.replace("db", "cache"));
    assert_eq!(files.warnings(), ["s.yaml: the MAC does not match: values were changed without sops"]);
    let strict = Files::new(tree(&[("s.yaml", &stale)]), Some(&identities), true, &ignore);
    let error = read(&strict, "s.yaml", Purpose::Resource).unwrap_err();
    assert!(told(&error).starts_with("s.yaml: cannot be decrypted: the MAC does not match"), "{}", told(&error));
}

#[test]
fn documents_encrypted_one_by_one_open_as_objects() {
    let keys = Keys::new();
    let other = SECRET.replace("db", "cache");
    let joined = [keys.encrypt(SECRET, Format::Yaml), keys.encrypt(&other, Format::Yaml)].join("---\n");
    let identities = keys.identities();
    let files = Files::new(tree(&[("both.yaml", &joined)]), Some(&identities), false, &ignore);
    let text = read(&files, "both.yaml", Purpose::Resource).unwrap();
    assert_eq!(text, joined);
    let documents = yaml::parse(text.as_bytes(), &yaml::Limits::default()).unwrap();
    let objects = documents.iter().map(|document| {
        let value = yaml::to_value(document, yaml::Resolver::V3, yaml::Strictness::Strict).unwrap();
        Object::new(value).unwrap()
    });
    let mut opened: Vec<Object> = objects.collect();
    sealed(&mut opened, Some(&identities), &ignore).unwrap();
    assert!(opened.iter().all(|object| object.text("/stringData/password") == Some("hunter2")));
    assert!(opened.iter().all(|object| object.value().get("sops").is_none()));
}

#[test]
fn an_object_can_ask_to_stay_sealed() {
    let keys = Keys::new();
    let asking = SECRET.replace(
        "    name: db",
        "    name: db\n    annotations:\n        kustomize.toolkit.fluxcd.io/decrypt: Disabled",
    );
    let yaml = keys.encrypt(&asking, Format::Yaml);
    let identities = keys.identities();
    for enforces_mac in [false, true] {
        let files = Files::new(tree(&[("s.yaml", &yaml)]), Some(&identities), enforces_mac, &ignore);
        assert_eq!(read(&files, "s.yaml", Purpose::Resource).unwrap(), yaml);
    }
    let stale = yaml.replace("name: db", "name: cache");
    let strict = Files::new(tree(&[("s.yaml", &stale)]), Some(&identities), true, &ignore);
    assert!(read(&strict, "s.yaml", Purpose::Resource).is_err());
    let object = Object::new(yaml::from_str(&yaml).unwrap()).unwrap();
    let mut kept = vec![object.clone()];
    sealed(&mut kept, Some(&identities), &ignore).unwrap();
    assert_eq!(kept[0].value(), object.value());
}

#[test]
fn entries_of_a_secret_open_in_the_format_of_their_key() {
    let keys = Keys::new();
    let (json, env) = (keys.encrypt("{\"a\":1}", Format::Json), keys.encrypt("A=1\n", Format::Dotenv));
    let data = json!({
        ".dockerconfigjson": STANDARD.encode(&json),
        "a.yaml": STANDARD.encode(&json),
        "b.env": STANDARD.encode(&env),
        "plain": STANDARD.encode("plain"),
        "broken": "%",
    });
    let mut opened = vec![secret_of(data)];
    sealed(&mut opened, Some(&keys.identities()), &ignore).unwrap();
    let entry = |key: &str| {
        let text = opened[0].value()["data"][key].as_str().unwrap();
        STANDARD.decode(text).map_or_else(|_| text.to_owned(), |bytes| String::from_utf8(bytes).unwrap())
    };
    assert_eq!(entry(".dockerconfigjson"), "{\n\t\"a\": 1\n}\n");
    assert_eq!(entry("a.yaml"), "a: 1\n");
    assert_eq!(entry("b.env"), "A=1\n");
    assert_eq!(entry("plain"), "plain");
    assert_eq!(entry("broken"), "%");
}

#[test]
fn all_objects_that_do_not_open_are_told_with_place_recipient_and_hint() {
    let (keys, strangers) = (Keys::new(), Keys::new());
    let yaml = keys.encrypt(SECRET, Format::Yaml);
    let object = Object::new(yaml::from_str(&yaml).unwrap()).unwrap();
    let object = object.at(Origin { file: "apps/db.yaml".into(), line: 7 });
    let env = STANDARD.encode(keys.encrypt("A=1\n", Format::Dotenv));
    let mut secret = strangers.secret.clone();
    secret.value_mut()["data"]["age.key"] = STANDARD.encode("AGE-SECRET-KEY-1QQQ").into();
    let identities = Identities::from_secret(&secret, &Variables::default()).unwrap();
    let mut objects = vec![object.clone(), secret_of(json!({"b.env": env})), object];
    let errors = sealed(&mut objects, Some(&identities), &ignore).unwrap_err();
    assert_eq!(errors.len(), 3);
    let first = errors[0].to_string();
    assert!(first.starts_with("apps/db.yaml:7: Secret/db: the data key cannot be recovered"), "{first}");
    for part in [keys.recipient.as_str(), &strangers.recipient, "our.agekey", "'age.key' holds an age identity"] {
        assert!(first.contains(part), "{part} in {first}");
    }
    assert!(!first.contains("AGE-SECRET-KEY"), "{first}");
    assert!(errors[1].to_string().contains("Secret/flux-system/sops-age: data.b.env: "), "{}", errors[1]);
}

#[test]
fn a_secret_that_is_still_encrypted_is_refused_in_flux_words() {
    let keys = Keys::new();
    let object = Object::new(yaml::from_str(&keys.encrypt(SECRET, Format::Yaml)).unwrap()).unwrap();
    let errors = sealed(&mut [object], None, &ignore).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "Secret/db is SOPS encrypted, configuring decryption is required for this secret to be reconciled"
    );
}

/// A published PGP key, and its fingerprint.
const PGP: &str = include_str!("../../crates/sops/fuzz/keys/example.asc");
const FINGERPRINT: &str = "2AB5E339FECBBA2FA869C5011D61DD849AF432D9";

#[test]
fn all_keys_of_a_secret_open() {
    let (classic, post_quantum) = (sops::generate(), sops::generate_post_quantum().unwrap());
    let data = json!({
        "a.agekey": STANDARD.encode(format!("# mine\n\n{}\n{}", *sops::generate().0, *classic.0)),
        "b.agekey": STANDARD.encode(post_quantum.0.as_bytes()),
        "c.asc": STANDARD.encode(PGP),
    });
    let identities = Identities::from_secret(&secret_of(data.clone()), &Variables::default()).unwrap();
    let now = "2026-01-02T03:04:05Z";
    let keys = [
        MasterKey::age(&classic.1),
        MasterKey::age(&post_quantum.1),
        MasterKey::parse(sops::KeyKind::Pgp, FINGERPRINT, now).unwrap(),
    ];
    for key in keys {
        let settings = Settings { groups: vec![vec![key.clone()]], ..Settings::default() };
        let mut random = |bytes: &mut [u8]| getrandom::fill(bytes).unwrap();
        let env = Sealed::encrypt(b"A=1\n", Format::Dotenv, settings, identities.keys(), now, &mut random).unwrap();
        let env = String::from_utf8(env.emit(Format::Dotenv, Indents::default()).unwrap()).unwrap();
        let files = Files::new(tree(&[("b.env", &env)]), Some(&identities), true, &ignore);
        assert_eq!(read(&files, "b.env", Purpose::SecretEnvs).unwrap(), "A=1\n");
        let global = Identities::from_age_secret(&secret_of(data.clone()), &Variables::default()).unwrap();
        let files = Files::new(tree(&[("b.env", &env)]), Some(&global), true, &ignore);
        let is_pgp = key.kind() == sops::KeyKind::Pgp;
        assert_eq!(read(&files, "b.env", Purpose::SecretEnvs).is_err(), is_pgp, "the global Secret holds age alone");
    }
}

/// What reading one entry of a Secret says.
fn entry(key: &str, text: impl AsRef<[u8]>) -> Result<Identities, String> {
    let secret = secret_of(json!({key: STANDARD.encode(text)}));
    Identities::from_secret(&secret, &Variables::default()).map_err(|error| error.to_string())
}

#[test]
fn credentials_of_vaults_are_read_as_flux_reads_them() {
    let utf_16: Vec<u8> =
        "\u{feff}tenant: t\nappId: c\npassword: s\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let azure = [
        "tenantId: t\nclientId: c\nclientSecret: s\n".into(),
        r#"{"tenant":"t","appId":"c","password":"s"}"#.into(),
        "clientId: c\n".into(),
        utf_16,
    ];
    for text in azure {
        assert!(entry("sops.azure-kv", text).is_ok());
    }
    assert!(entry("sops.aws-kms", "aws_access_key_id: a\naws_secret_access_key: b\naws_session_token: c\n").is_ok());
    let user = json!({"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"});
    assert!(entry("sops.gcp-kms", user.to_string()).is_ok());
    let file = json!({"type": "external_account", "audience": "a", "subject_token_type": "t",
        "credential_source": {"file": "/token"}});
    assert!(entry("sops.gcp-kms", file.to_string()).is_ok());
    let url = json!({"type": "external_account", "audience": "a", "subject_token_type": "t",
        "credential_source": {"url": "http://hunter2"}});
    let key = json!({"type": "service_account", "client_email": "e", "private_key": "hunter2"});
    let sovereign = json!({"type": "service_account", "universe_domain": "y.z"});
    for (name, text, problem) in [
        (
            "sops.aws-kms",
            "aws_secret_access_key: hunter2\n",
            "it must hold aws_access_key_id and aws_secret_access_key",
        ),
        ("sops.azure-kv", "tenantId: t\nclientId: c\nclientCertificate: hunter2\n", "clientCertificate: only PEM"),
        ("sops.azure-kv", "hunter2", "it must hold clientId"),
        ("sops.azure-kv", "{", "not YAML"),
        ("sops.gcp-kms", "hunter2", "it is no JSON"),
        ("sops.gcp-kms", &url.to_string(), "only a credential_source with a file"),
        ("sops.gcp-kms", &key.to_string(), "it holds no private key in PEM"),
        ("sops.gcp-kms", &sovereign.to_string(), "it is of the universe y.z, and googleapis.com is asked"),
        ("sops.gcp-kms", r#"{"type":"hunter2"}"#, "its type is not supported"),
    ] {
        let error = entry(name, text).err().unwrap();
        assert!(error.contains(problem) && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_key_of_flux_that_holds_something_else_is_refused_without_showing_it() {
    let secret = secret_of(json!({"our.agekey": STANDARD.encode("# mine\n\nhunter2\n")}));
    let error = Identities::from_secret(&secret, &Variables::default()).err().unwrap().to_string();
    assert!(
        error.starts_with("failed to import 'our.agekey' data from sops decryption Secret 'flux-system/sops-age': ")
    );
    assert!(error.contains("line 3") && !error.contains("hunter2"), "{error}");
}
