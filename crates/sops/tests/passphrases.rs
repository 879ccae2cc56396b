//! Identities that a passphrase protects, as ssh-keygen, GnuPG and age write them. Those of `locked/` have `hunter2`.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what fails here stops the test")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sops::{Config, Format, Identities, Indents, Prompt, Sealed};
use zeroize::Zeroizing;

/// Answers with one passphrase, and keeps whose was asked for.
struct Answer {
    passphrase: Option<&'static str>,
    asked: Mutex<Vec<String>>,
    refused: AtomicUsize,
}

impl Answer {
    fn new(passphrase: Option<&'static str>) -> Arc<Self> {
        Arc::new(Self { passphrase, asked: Mutex::default(), refused: AtomicUsize::default() })
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Prompt for Answer {
    fn passphrase(&self, file: &str) -> Option<Zeroizing<String>> {
        self.asked.lock().unwrap().push(file.to_owned());
        self.passphrase.map(|text| Zeroizing::new(text.to_owned()))
    }

    fn refused(&self, _: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "a test reads its own files")]
fn locked(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/locked").join(name);
    std::fs::read_to_string(path).expect("it is there")
}

fn identities(prompt: &Arc<Answer>) -> Identities {
    let mut identities = Identities::default();
    identities.set_prompt(prompt.clone());
    identities
}

/// A document for what a creation rule names.
fn sealed(keys: &str, identities: &Identities) -> Vec<u8> {
    let config = Config::parse(&format!("creation_rules: [{{{keys}}}]")).unwrap();
    let settings = config.settings_for("a.yaml", "2026-01-02T03:04:05Z").unwrap().unwrap();
    let mut random = |bytes: &mut [u8]| bytes.fill(7);
    let sealed =
        Sealed::encrypt(b"a: 1\n", Format::Yaml, settings, identities, "2026-01-02T03:04:05Z", &mut random).unwrap();
    sealed.emit(Format::Yaml, Indents::default()).unwrap()
}

fn opens(file: &[u8], identities: &Identities) -> bool {
    Sealed::load(file, Format::Yaml).unwrap().open(identities, &|_| {}).is_ok()
}

#[test]
fn an_ssh_key_is_unlocked_when_a_file_is_for_it_and_once() {
    for name in ["id_ed25519", "id_rsa"] {
        let public = locked(&format!("{name}.pub"));
        let file = sealed(&format!("age: '{}'", public.trim()), &Identities::default());
        let other = sealed(&format!("age: '{}'", sops::generate().1), &Identities::default());
        let prompt = Answer::new(Some("hunter2"));
        let mut ours = identities(&prompt);
        ours.add_ssh(name, &locked(name)).unwrap();
        assert!(public.starts_with(ours.recipients()[0]), "{:?}", ours.names());
        assert!(!opens(&other, &ours));
        assert_eq!(prompt.asked(), [""; 0], "it is for somebody else");
        assert!(opens(&file, &ours) && opens(&file, &ours));
        assert_eq!(prompt.asked(), [name]);

        let prompt = Answer::new(Some("hunter3"));
        let mut ours = identities(&prompt);
        ours.add_ssh(name, &locked(name)).unwrap();
        assert!(!opens(&file, &ours) && !opens(&file, &ours));
        assert_eq!((prompt.asked().len(), prompt.refused.load(Ordering::Relaxed)), (1, 1));
    }
}

#[test]
fn an_ssh_key_that_is_locked_in_another_way_says_so() {
    let mut ours = identities(&Answer::new(Some("hunter2")));
    ours.add_ssh("id_other", &locked("id_other")).unwrap();
    assert!(ours.names()[0].contains("an SSH key that a passphrase protects, which is not asked for"));
}

#[cfg(feature = "pgp")]
#[test]
fn a_pgp_key_is_unlocked_when_a_file_is_for_it_and_once() {
    let fingerprint = "C9D6AEE34C9C135A16FC769B33379D15D7A30EBB";
    let prompt = Answer::new(Some("hunter2"));
    let mut ours = identities(&prompt);
    ours.add_pgp("pgp.asc", &locked("pgp.asc")).unwrap();
    let file = sealed(&format!("pgp: {fingerprint}"), &ours);
    assert_eq!(prompt.asked(), [""; 0], "who encrypts needs no private key");
    assert!(opens(&file, &ours) && opens(&file, &ours));
    assert_eq!(prompt.asked(), [format!("{fingerprint} of pgp.asc")]);
    for answer in [Some("hunter3"), None] {
        let prompt = Answer::new(answer);
        let mut ours = identities(&prompt);
        ours.add_pgp("pgp.asc", &locked("pgp.asc")).unwrap();
        assert!(!opens(&file, &ours) && !opens(&file, &ours));
        assert_eq!((prompt.asked().len(), prompt.refused.load(Ordering::Relaxed)), (1, answer.iter().count()));
    }
}

#[test]
fn a_file_of_identities_is_unlocked_when_nothing_else_opens_a_document() {
    let ((first, its), (second, theirs), (third, others)) = (sops::generate(), sops::generate(), sops::generate());
    let passphrase = || age::secrecy::SecretString::from("hunter2".to_owned());
    let mut recipient = age::scrypt::Recipient::new(passphrase());
    recipient.set_work_factor(2);
    let text = format!("# mine\n{}\n{}\n", *first, *second);
    let armored = age::encrypt_and_armor(&recipient, text.as_bytes()).unwrap().into_bytes();
    let binary = age::encrypt(&recipient, text.as_bytes()).unwrap();
    for file in [armored, binary] {
        let prompt = Answer::new(Some("hunter2"));
        let mut ours = identities(&prompt);
        ours.add_age_file("keys.txt", &file).unwrap();
        ours.add_age("plain.txt", &third).unwrap();
        assert_eq!(ours.recipients(), [others.as_str()], "nobody knows what the file holds");
        assert!(opens(&sealed(&format!("age: {others}"), &Identities::default()), &ours));
        assert_eq!(prompt.asked(), [""; 0], "another one opens it");
        for recipient in [&its, &theirs] {
            assert!(opens(&sealed(&format!("age: {recipient}"), &Identities::default()), &ours));
        }
        assert_eq!(prompt.asked(), ["keys.txt"]);
    }
    let damaged = age::encrypt_and_armor(&recipient, b"hunter2").unwrap();
    let prompt = Answer::new(Some("hunter2"));
    let mut ours = identities(&prompt);
    ours.add_age_file("keys.txt", damaged.as_bytes()).unwrap();
    assert!(!opens(&sealed(&format!("age: {its}"), &Identities::default()), &ours));
    assert_eq!(prompt.refused.load(Ordering::Relaxed), 1);
}
