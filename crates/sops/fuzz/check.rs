//! What must hold for any bytes, for the fuzzer and for the replay of its seeds.

use std::sync::{Arc, LazyLock};

use serde_json::json;
use sops::{
    Format, Identities, Indents, KeyKind, KeyProblem, MacState, MasterKey, Opened, Prompt, Rule, RuleKind, Sealed,
    Service, Settings, Step, Wrapped, decrypt_object, detect, is_encrypted, is_encrypted_object, open_age,
};
use zeroize::Zeroizing;

const FORMATS: [Format; 5] = [Format::Yaml, Format::Json, Format::Dotenv, Format::Ini, Format::Binary];
/// Published keys, which the seeds are encrypted for.
const KEY: &str = include_str!("../../../keys-example/age/x25519.agekey");
const POST_QUANTUM: &str = include_str!("../../../keys-example/age/post-quantum.agekey");
const SSH: &str = include_str!("keys/example-ssh-ed25519");
const SSH_RSA: &str = include_str!("keys/example-ssh-rsa");
const PGP: &str = include_str!("keys/example.asc");
const SEALED: &[u8] = include_bytes!("key-seeds/ssh.age");
const NOW: &str = "2026-11-21T12:34:00Z";

static IDENTITIES: LazyLock<Identities> = LazyLock::new(|| {
    let mut identities = Identities::default();
    let added = [
        identities.add_age("example", KEY),
        identities.add_age("example", POST_QUANTUM),
        identities.add_ssh("example", SSH),
        identities.add_ssh("example", SSH_RSA),
        identities.add_pgp("example", PGP),
    ];
    assert!(added.iter().all(Result::is_ok) && identities.names().len() == added.len(), "the published keys are read");
    identities
});

/// Reads the bytes as an encrypted and as a plain document of each format, as identities and as an object.
///
/// # Panics
/// If anything in the crate does, or if what is encrypted cannot be opened again.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = (detect(bytes), Identities::default().add_age("fuzz", &text));
    for format in FORMATS {
        let _ = is_encrypted(bytes, format);
        open(bytes, format);
        encrypt(bytes, format);
    }
    if let Ok(object) = serde_json::from_slice(bytes) {
        let _ = (is_encrypted_object(&object), decrypt_object(object, &IDENTITIES, &|_| {}));
    }
}

/// Reads all but the first byte, which picks the format, as an encrypted and as a plain document. Its data key costs
/// nothing, so that many more are tried.
///
/// # Panics
/// If anything in the crate does, or if what is encrypted or printed is not read again as it was.
pub fn check_store(bytes: &[u8]) {
    static UNLOCKED: LazyLock<Identities> = LazyLock::new(|| {
        let mut identities = Identities::default();
        identities.set_service(Arc::new(Unlocked));
        identities
    });
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let format = FORMATS[usize::from(first) % FORMATS.len()];
    // What sops prints as dotenv or INI is not always what it reads: quotes are no part of either.
    let is_whole = !matches!(format, Format::Dotenv | Format::Ini);
    if let Ok(sealed) = Sealed::load(bytes, format).map_err(told) {
        let _ = sealed.outline(format, Indents::default()).map_err(told);
        // A group without keys is read as sops reads it, and is nothing when it is printed.
        let has_keys = sealed.groups().iter().any(|group| !group.is_empty());
        if let Ok(emitted) = sealed.emit(format, Indents::default()).map_err(told) {
            let again = Sealed::load(&emitted, format).map_err(told);
            assert!(
                again.is_ok() || !is_whole || !has_keys,
                "an encrypted document that was printed is read again: {:?}",
                again.err()
            );
        }
        if let Ok(opened) = sealed.open(&UNLOCKED, &|_| {}).map_err(told) {
            print(&opened);
        }
    }
    let Ok(key) = MasterKey::parse(KeyKind::Vault, "https://vault/v1/transit/keys/a", NOW) else { return };
    let Some(opened) = seal(bytes, format, settings(bytes, key.clone()), &UNLOCKED) else { return };
    if let Ok(plain) = opened.emit(format, Indents::default()).map_err(told) {
        let again = seal(plain.bytes(), format, settings(bytes, key), &UNLOCKED);
        let again = again.and_then(|opened| opened.emit(format, Indents::default()).ok());
        let is_same = again.is_some_and(|again| again.bytes() == plain.bytes());
        // Decrypted comments of YAML stand on lines of their own, and may belong elsewhere when they are read again.
        assert!(is_same || !is_whole || format == Format::Yaml, "what is printed is read as it was");
    }
}

/// Opens whatever networked keys wrap, with the one data key of [`seal`].
struct Unlocked;

impl Service for Unlocked {
    fn unwrap(&self, _: &MasterKey) -> Result<Zeroizing<Vec<u8>>, KeyProblem> {
        let mut key = Zeroizing::new(vec![0; 32]);
        counting()(&mut key);
        Ok(key)
    }

    fn wrap(&self, _: &MasterKey, _: &[u8]) -> Result<Wrapped, String> {
        Ok(Wrapped { text: "wrapped".to_owned(), version: None })
    }
}

/// Reads the bytes as a file of age, as identities, as an SSH private key, where passphrases are asked for and where not,
/// and as a recipient.
///
/// # Panics
/// If anything in the crate does, or if what was opened is longer than what was sealed.
pub fn check_age(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(plain) = open_age(bytes, &IDENTITIES).map_err(|problem| problem.to_string()) {
        assert!(plain.bytes().len() < bytes.len(), "a file of age is longer than what it holds");
    }
    for is_asked in [false, true] {
        let mut identities = Identities::default();
        if is_asked {
            identities.set_prompt(Arc::new(Nobody));
        }
        let _ = (
            identities.add_age_file("fuzz", bytes).map_err(|error| error.to_string()),
            identities.add_ssh("fuzz", &text).map_err(|error| error.to_string()),
        );
        let _ = (identities.names(), open_age(SEALED, &identities).map_err(|problem| problem.to_string()));
    }
    if text.starts_with("age1") || text.starts_with("ssh-") {
        let settings = settings(b"", MasterKey::age(&text));
        let _ = Sealed::encrypt(b"a: 1", Format::Yaml, settings, &IDENTITIES, NOW, &mut |_| {}).map_err(told);
    }
}

/// Knows no passphrase.
struct Nobody;

impl Prompt for Nobody {
    fn passphrase(&self, _: &str) -> Option<Zeroizing<String>> {
        None
    }

    fn refused(&self, _: &str) {}
}

/// Reads the bytes as a file of age, as private keys of each kind, as a recipient and as what a key made of a data key.
///
/// # Panics
/// If anything in the crate does.
pub fn check_keys(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = open_age(bytes, &IDENTITIES);
    let mut identities = Identities::default();
    let _ = (
        identities.add_age("fuzz", &text).map_err(|error| error.to_string()),
        identities.add_ssh("fuzz", &text).map_err(|error| error.to_string()),
        identities.add_pgp("fuzz", &text).map_err(|error| error.to_string()),
    );
    let fingerprint = identities.names().iter().find_map(|name| name.split(' ').next().map(str::to_owned));
    let kinds = [KeyKind::AwsKms, KeyKind::AzureKeyVault, KeyKind::GcpKms, KeyKind::HuaweiKms, KeyKind::Vault];
    let _ = kinds.map(|kind| MasterKey::parse(kind, &text, NOW).map(|key| key.name()));
    let keys = [Ok(MasterKey::age(&text)), MasterKey::parse(KeyKind::Pgp, &fingerprint.unwrap_or_default(), NOW)];
    for key in keys.into_iter().flatten() {
        let settings = Settings { groups: vec![vec![key]], ..Settings::default() };
        let _ = Sealed::encrypt(b"a: 1", Format::Yaml, settings, &identities, NOW, &mut |_| {}).map_err(told);
    }
    let sealed = json!({"a": "ENC[AES256_GCM,data:0w==,iv:hfX1KXIs4f/4YX+eXQSOMd9cQ9BeS82c3XO54Va3rag=,tag:N7y7UHQMXzrLi0T+T9IB3Q==,type:int]",
        "sops": {"age": [{"recipient": "fuzz", "enc": text}], "pgp": [{"fp": "fuzz", "created_at": NOW, "enc": text}],
            "lastmodified": NOW, "mac": "ENC[]", "version": "3.13.2"}});
    let _ = decrypt_object(sealed, &IDENTITIES, &|_| {}).map_err(told);
}

fn open(bytes: &[u8], format: Format) {
    let Ok(sealed) = Sealed::load(bytes, format).map_err(told) else { return };
    let _ =
        (sealed.check_version().map_err(told), sealed.rule(), sealed.groups().iter().flatten().map(MasterKey::name));
    for output in FORMATS {
        let _ = sealed.emit(output, Indents::default());
    }
    if let Ok(opened) = sealed.open(&IDENTITIES, &|_| {}).map_err(told) {
        print(&opened);
    }
}

fn print(opened: &Opened) {
    for format in FORMATS {
        let _ = opened.emit(format, Indents { yaml: 2, json: Some(2) }).map_err(told);
        for path in [vec![Step::Key("a".into())], vec![Step::Key("l".into()), Step::Index(0)]] {
            let _ = opened.extract(&path, format, Indents::default()).map_err(told);
        }
    }
}

fn encrypt(bytes: &[u8], format: Format) {
    let recipient = KEY.split_whitespace().find(|word| word.starts_with("age1")).unwrap_or_default();
    seal(bytes, format, settings(bytes, MasterKey::age(recipient)), &IDENTITIES);
}

/// Settings that depend on the document.
fn settings(bytes: &[u8], key: MasterKey) -> Settings {
    let rules = [RuleKind::UnencryptedSuffix, RuleKind::EncryptedRegex, RuleKind::UnencryptedCommentRegex];
    let kind = rules[bytes.len() % rules.len()];
    let text = String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned();
    let rule = if bytes.len().is_multiple_of(2) { Rule::default() } else { Rule { kind, text } };
    Settings { groups: vec![vec![key]], threshold: 0, rule, mac_only_encrypted: bytes.len().is_multiple_of(4) }
}

/// What is encrypted, if it can be, is opened again.
fn seal(bytes: &[u8], format: Format, settings: Settings, identities: &Identities) -> Option<Opened> {
    let sealed = Sealed::encrypt(bytes, format, settings, identities, NOW, &mut counting()).map_err(told).ok()?;
    let opened = sealed.open(identities, &|_| {}).map_err(told);
    assert!(opened.as_ref().is_ok_and(|opened| opened.mac() == MacState::Valid), "what is encrypted is opened again");
    opened.ok()
}

/// The same numbers each time.
fn counting() -> impl FnMut(&mut [u8]) {
    let mut next = 0_u8;
    move |bytes| {
        for byte in bytes {
            next = next.wrapping_mul(5).wrapping_add(1);
            *byte = next;
        }
    }
}

/// An error can be told.
fn told(error: sops::Error) -> String {
    error.to_string()
}
