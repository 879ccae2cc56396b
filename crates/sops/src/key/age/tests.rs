//! Keys of each kind open what is wrapped for them, and refuse what is not.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::key::rsa::Element;

fn pem(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

/// A file as `ssh-keygen` writes it.
fn openssh(cipher: &str, kind: &str, public: &[&[u8]], private: &[&[u8]]) -> String {
    let texts = |parts: &[&[u8]]| parts.iter().flat_map(|part| ssh::prefixed(part)).collect::<Vec<u8>>();
    let kind = kind.as_bytes();
    let inner = [&[7; 8][..], &texts(&[kind]), &texts(private), &texts(&[b"me@here"]), &[1, 2, 3]].concat();
    let outer = [
        &b"openssh-key-v1\0"[..],
        &texts(&[cipher.as_bytes(), b"none", b""]),
        &[0, 0, 0, 1],
        &texts(&[&[texts(&[kind]), texts(public)].concat(), &inner]),
    ];
    pem("OPENSSH PRIVATE KEY", &outer.concat())
}

fn ed25519(seed: u8) -> String {
    let public = SshIdentity::parse(&ed25519_pkcs8(seed)).ok().unwrap().recipient().to_string();
    let public = STANDARD.decode(public.split_once(' ').unwrap().1).unwrap().split_off(19);
    openssh("none", "ssh-ed25519", &[&public], &[&public, &[&[seed; 32], public.as_slice()].concat()])
}

fn ed25519_pkcs8(seed: u8) -> String {
    pem("PRIVATE KEY", &[ssh::ED25519_PKCS8, &[seed; 32]].concat())
}

/// The same key in three forms.
fn rsa_forms() -> [String; 3] {
    let pkcs8 = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
    let version = Element::read(Element::read(pkcs8.as_ref(), 0x30).unwrap().content, 2).unwrap();
    let algorithm = Element::read(version.rest, 0x30).unwrap();
    let pkcs1 = Element::read(algorithm.rest, 4).unwrap().content;
    let mut rest = Element::read(pkcs1, 0x30).unwrap().content;
    let numbers: Vec<&[u8]> = std::iter::from_fn(|| {
        let number = Element::read(rest, 2)?;
        rest = number.rest;
        Some(number.content)
    })
    .collect();
    let [_, n, e, d, p, q, _, _, coefficient] = numbers.as_slice() else { panic!("PKCS#1 has nine numbers") };
    let ssh = openssh("none", "ssh-rsa", &[e, n], &[n, e, d, coefficient, p, q]);
    [ssh, pem("RSA PRIVATE KEY", pkcs1), pem("PRIVATE KEY", pkcs8.as_ref())]
}

fn identities(pem: &str) -> Identities {
    let mut identities = Identities::default();
    identities.add_ssh("key", pem).unwrap();
    identities
}

fn recipient(identities: &Identities) -> String {
    identities.names()[0].strip_suffix(" of key").unwrap().to_owned()
}

#[test]
fn ssh_keys_open_what_is_wrapped_for_them() {
    let (ours, theirs) = (identities(&ed25519(1)), identities(&ed25519(2)));
    assert_eq!(recipient(&ours), recipient(&identities(&ed25519_pkcs8(1))));
    let rsa: Vec<_> = rsa_forms().iter().map(|form| identities(form)).collect();
    for (opens, other) in [(&ours, &rsa[0]), (&rsa[0], &theirs), (&rsa[1], &ours), (&rsa[2], &ours), (&ours, &theirs)] {
        let wrapped = wrap(b"data key", &format!("{} me@here", recipient(opens))).unwrap();
        assert_eq!(unwrap(&wrapped, &opens.age).unwrap().as_slice(), b"data key");
        assert_eq!(unwrap(&wrapped, &other.age).err(), Some(KeyProblem::NoMatch));
    }
    assert!(rsa.iter().all(|form| recipient(form) == recipient(&rsa[0])), "one key in three forms");
}

#[test]
fn ssh_keys_that_cannot_be_used_say_why() {
    let refused = |text: &str| Identities::default().add_ssh("key", text).unwrap_err().problem;
    let ed25519 = ed25519(1);
    assert_eq!(refused("hunter2"), "not an SSH private key");
    assert!(refused(&pem("EC PRIVATE KEY", b"x")).starts_with("an SSH key of a kind that age has not"));
    assert!(refused(&openssh("none", "ecdsa-sha2-nistp256", &[], &[])).starts_with("an SSH key of a kind"));
    for length in (0..ed25519.len()).step_by(7) {
        let _ = Identities::default().add_ssh("key", &ed25519[..length]);
    }
    for protected in [openssh("aes256-ctr", "ssh-ed25519", &[], &[]), pem("ENCRYPTED PRIVATE KEY", b"x")] {
        let identities = identities(&protected);
        assert!(identities.is_empty() && identities.names()[0].contains("that a passphrase protects"));
    }
}

#[test]
fn post_quantum_keys_open_what_is_wrapped_for_them() {
    let ((ours, recipient), (theirs, _)) = (generate_post_quantum().unwrap(), generate_post_quantum().unwrap());
    let wrapped = wrap(b"data key", &recipient).unwrap();
    let mut identities = Identities::default();
    identities.add_age("key", &theirs).unwrap();
    assert_eq!(unwrap(&wrapped, &identities.age).err(), Some(KeyProblem::NoMatch));
    identities.add_age("key", &ours).unwrap();
    assert_eq!(unwrap(&wrapped, &identities.age).unwrap().as_slice(), b"data key");
    assert_eq!(identities.names()[1], format!("{recipient} of key"));
}

#[test]
fn recipients_that_cannot_be_used_say_why() {
    let refused = |recipient: &str| wrap(b"data key", recipient).unwrap_err();
    assert!(refused("age1yubikey1qqq").contains("plugin"));
    assert!(refused("ssh-dss AAAA").contains("ssh-ed25519 and ssh-rsa"));
    assert!(refused("hunter2").contains("begins with age1 or ssh-"));
    let (_, recipient) = generate_post_quantum().unwrap();
    for damaged in [&recipient[..recipient.len() - 1], "age1qqq", "age1pq1qqq"] {
        assert_eq!(refused(damaged), "a damaged age recipient");
    }
}

#[test]
fn a_file_that_a_passphrase_protects_is_refused() {
    let passphrase = age::secrecy::SecretString::from("hunter2".to_owned());
    let mut recipient = age::scrypt::Recipient::new(passphrase);
    recipient.set_work_factor(1);
    let armored = age::encrypt_and_armor(&recipient, b"AGE-SECRET-KEY-1").unwrap();
    let (line, _) = generate();
    let mut identities = Identities::default();
    identities.add_age("key", &line).unwrap();
    assert_eq!(unwrap(&armored, &identities.age).err(), Some(KeyProblem::Passphrase));
    let error = identities.add_age("keys.txt", &armored).unwrap_err().to_string();
    assert_eq!(error, "keys.txt, line 1: a file of identities that a passphrase protects, which is not asked for");
}
