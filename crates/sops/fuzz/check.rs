//! What must hold for any bytes, for the fuzzer and for the replay of its seeds.

use std::sync::LazyLock;

use sops::{
    Format, Identities, Indents, MacState, MasterKey, Opened, Rule, RuleKind, Sealed, Settings, Step, decrypt_object,
    detect, is_encrypted, is_encrypted_object,
};

const FORMATS: [Format; 5] = [Format::Yaml, Format::Json, Format::Dotenv, Format::Ini, Format::Binary];
/// A published key, which the seeds are encrypted for.
const KEY: &str = include_str!("../../../keys-example/age/x25519.agekey");

static IDENTITIES: LazyLock<Identities> = LazyLock::new(|| {
    let mut identities = Identities::default();
    let _ = identities.add_age("example", KEY);
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
