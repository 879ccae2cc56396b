//! What must hold for any bytes, for the fuzzer and for the replay of its seeds.

use std::sync::LazyLock;

use serde_json::json;
use sops::{
    Format, Identities, Indents, KeyKind, MacState, MasterKey, Opened, Rule, RuleKind, Sealed, Settings, Step,
    decrypt_object, detect, is_encrypted, is_encrypted_object, open_age,
};

const FORMATS: [Format; 5] = [Format::Yaml, Format::Json, Format::Dotenv, Format::Ini, Format::Binary];
/// Published keys, which the seeds are encrypted for.
const KEY: &str = include_str!("../../../keys-example/age/x25519.agekey");
const POST_QUANTUM: &str = include_str!("../../../keys-example/age/post-quantum.agekey");
const SSH: &str = include_str!("keys/example-ssh-ed25519");
const PGP: &str = include_str!("keys/example.asc");

static IDENTITIES: LazyLock<Identities> = LazyLock::new(|| {
    let mut identities = Identities::default();
    let added = [
        identities.add_age("example", KEY),
        identities.add_age("example", POST_QUANTUM),
        identities.add_ssh("example", SSH),
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
        encrypt(bytes, format, &text);
    }
    if let Ok(object) = serde_json::from_slice(bytes) {
        let _ = (is_encrypted_object(&object), decrypt_object(object, &IDENTITIES, &|_| {}));
    }
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
    let now = "2026-11-21T12:34:00Z";
    let fingerprint = identities.names().iter().find_map(|name| name.split(' ').next().map(str::to_owned));
    let kinds = [KeyKind::AwsKms, KeyKind::AzureKeyVault, KeyKind::GcpKms, KeyKind::HuaweiKms, KeyKind::Vault];
    let _ = kinds.map(|kind| MasterKey::parse(kind, &text, now).map(|key| key.name()));
    let keys = [Ok(MasterKey::age(&text)), MasterKey::parse(KeyKind::Pgp, &fingerprint.unwrap_or_default(), now)];
    for key in keys.into_iter().flatten() {
        let settings = Settings { groups: vec![vec![key]], ..Settings::default() };
        let _ = Sealed::encrypt(b"a: 1", Format::Yaml, settings, &identities, now, &mut |_| {}).map_err(told);
    }
    let sealed = json!({"a": "ENC[AES256_GCM,data:0w==,iv:hfX1KXIs4f/4YX+eXQSOMd9cQ9BeS82c3XO54Va3rag=,tag:N7y7UHQMXzrLi0T+T9IB3Q==,type:int]",
        "sops": {"age": [{"recipient": "fuzz", "enc": text}], "pgp": [{"fp": "fuzz", "created_at": now, "enc": text}],
            "lastmodified": now, "mac": "ENC[]", "version": "3.13.2"}});
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

fn encrypt(bytes: &[u8], format: Format, text: &str) {
    let recipient = KEY.split_whitespace().find(|word| word.starts_with("age1")).unwrap_or_default();
    let rules = [RuleKind::UnencryptedSuffix, RuleKind::EncryptedRegex, RuleKind::UnencryptedCommentRegex];
    let kind = rules[bytes.len() % rules.len()];
    let rule = Rule { kind, text: text.lines().next().unwrap_or_default().to_owned() };
    let rule = if bytes.len().is_multiple_of(2) { Rule::default() } else { rule };
    let groups = vec![vec![MasterKey::age(recipient)]];
    let settings = Settings { groups, threshold: 0, rule, mac_only_encrypted: bytes.len().is_multiple_of(4) };
    let mut next = 0_u8;
    let mut random = |bytes: &mut [u8]| {
        for byte in bytes {
            next = next.wrapping_mul(5).wrapping_add(1);
            *byte = next;
        }
    };
    let sealed =
        Sealed::encrypt(bytes, format, settings, &IDENTITIES, "2026-11-21T12:34:00Z", &mut random).map_err(told);
    let Ok(sealed) = sealed else { return };
    let opened = sealed.open(&IDENTITIES, &|_| {});
    assert!(opened.is_ok_and(|opened| opened.mac() == MacState::Valid), "what is encrypted is opened again");
}

/// An error can be told.
fn told(error: sops::Error) -> String {
    error.to_string()
}
