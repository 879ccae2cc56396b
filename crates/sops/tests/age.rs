//! age's own test vectors (C2SP), through the path that opens data keys.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "a test reads its cases")]

#[path = "../../../tests/support/corpus.rs"]
mod corpus;

use std::io::Read as _;

use corpus::{corpus, report};
use sha2::{Digest as _, Sha256};
use sops::{Identities, KeyProblem, open_age};

/// A vector: what is expected, and a file of age.
struct Vector {
    fields: Vec<(String, String)>,
    file: Vec<u8>,
}

impl Vector {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(2).position(|two| two == b"\n\n").expect("a vector has a header and a body");
        let header = String::from_utf8(bytes[..end].to_vec()).expect("the header is text");
        let fields: Vec<_> = header.lines().filter_map(|line| line.split_once(": ")).map(owned).collect();
        let mut vector = Vector { fields, file: bytes[end + 2..].to_vec() };
        if vector.field("compressed") == Some("zlib") {
            let mut file = Vec::new();
            flate2::read::ZlibDecoder::new(vector.file.as_slice()).read_to_end(&mut file).expect("zlib");
            vector.file = file;
        }
        vector
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn identities(&self) -> Identities {
        let mut identities = Identities::default();
        for (_, line) in self.fields.iter().filter(|(name, _)| name == "identity") {
            identities.add_age("vector", line).expect("an identity");
        }
        identities
    }

    /// What differs. Passphrases are not asked for: what needs one is refused, and says so.
    fn check(&self) -> Option<String> {
        let opened = open_age(&self.file, &self.identities());
        let expected = self.field("expect").expect("each vector expects something");
        let needs_passphrase = self.field("passphrase").is_some();
        let is_as_expected = match (expected, &opened) {
            ("success" | "no match", Err(KeyProblem::Passphrase)) => needs_passphrase,
            ("success", Ok(plain)) => {
                let hash: String = Sha256::digest(plain.bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
                self.field("payload") == Some(hash.as_str())
            }
            ("no match", Err(problem)) => *problem == KeyProblem::NoMatch,
            ("armor failure" | "header failure" | "HMAC failure" | "payload failure", Err(problem)) => {
                *problem == KeyProblem::Damaged || needs_passphrase
            }
            _ => false,
        };
        (!is_as_expected).then(|| format!("{expected} expected, {:?} found", opened.map(|plain| plain.bytes().len())))
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn age_vectors_hold() {
    let Some(folder) = corpus("age") else { return };
    let (mut ran, mut failed) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).expect("the vectors can be listed") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let vector = Vector::read(&std::fs::read(&path).expect("the vector can be read"));
        ran += 1;
        failed.extend(vector.check().map(|why| format!("{name}: {why}")));
    }
    report("age/vectors", ran, &failed);
}
