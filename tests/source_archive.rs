//! Digests of artifacts, as Flux's own storage makes them from the same files; `cases/source/origin` tells how.

#[path = "support/repository.rs"]
mod repository;

use std::time::Duration;

use gix::objs::tree::EntryKind as Mode;
use lockstep::source::git::{self, Reference, Request, Selection};
use lockstep::source::http::{Credentials, Options, client};
use repository::Repository;

#[derive(serde::Deserialize)]
struct Case {
    files: Vec<File>,
    digest: String,
    size: u64,
}

#[derive(serde::Deserialize)]
struct File {
    path: String,
    #[serde(default)]
    program: bool,
    #[serde(default)]
    link: String,
    #[serde(default)]
    folder: bool,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    seed: u32,
    #[serde(default)]
    size: usize,
}

/// The generator that the Go program has too.
struct Source(u32);

impl Source {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

fn content(kind: &str, seed: u32, size: usize) -> Vec<u8> {
    let mut source = Source(seed);
    let mut out = Vec::new();
    while out.len() < size {
        more(kind, &mut source, size, &mut out);
    }
    out.truncate(size);
    out
}

fn more(kind: &str, source: &mut Source, size: usize, out: &mut Vec<u8>) {
    match kind {
        "random" => out.push((source.next() >> 24) as u8),
        "nibbles" => out.push(b'a' + (source.next() >> 28) as u8),
        "skewed" => out.push(source.next().trailing_ones() as u8),
        "words" => {
            out.extend(format!("word{} ", source.next() >> 26).bytes());
            if source.next() >> 29 == 0 {
                out.push(b'\n');
            }
        }
        "yaml" => {
            let indent = "  ".repeat((source.next() >> 30) as usize);
            let (key, value) = (source.next() >> 24, source.next() >> 22);
            out.extend(format!("{indent}key{key}: value-{value}\n").bytes());
        }
        "runs" => {
            let byte = (source.next() >> 24) as u8;
            let count = (source.next() >> 23) + 1;
            out.extend(std::iter::repeat_n(byte, count as usize));
        }
        "far" => {
            let period = 32_500 + (source.next() >> 23) as usize;
            if out.len() > period && source.next() >> 31 == 1 {
                (0..3 + (source.next() >> 24)).for_each(|_| out.push(out[out.len() - period]));
            } else {
                (0..source.next() >> 26).for_each(|_| out.push((source.next() >> 24) as u8));
            }
        }
        "mixed" => {
            let kinds = ["random", "words", "runs", "nibbles", "zeros", "skewed"];
            let kind = kinds[source.next() as usize % 6];
            let (seed, size) = (source.next(), (source.next() >> 15) as usize);
            out.extend(content(kind, seed, size));
        }
        // Zeros.
        _ => out.resize(size, 0),
    }
}

impl File {
    fn mode_and_content(&self) -> (Mode, Vec<u8>) {
        match self {
            // The only folder of Git's that may be empty.
            Self { folder: true, .. } => (Mode::Commit, "0123456789".repeat(4).into_bytes()),
            Self { link, .. } if !link.is_empty() => (Mode::Link, link.clone().into_bytes()),
            Self { program, kind, seed, size, .. } => {
                (if *program { Mode::BlobExecutable } else { Mode::Blob }, content(kind, *seed, *size))
            }
        }
    }
}

#[tokio::test]
async fn an_artifact_has_the_digest_that_flux_gives_it() {
    let client = client(&Options::default()).unwrap();
    let (mut wrong, mut ran) = (Vec::new(), 0);
    for line in include_str!("cases/source/archive.jsonl").lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let repository = Repository::new();
        let made: Vec<_> = case.files.iter().map(|file| (&*file.path, file.mode_and_content())).collect();
        let entries: Vec<_> = made.iter().map(|(path, (mode, content))| (*path, *mode, &content[..])).collect();
        repository.commit_entries("master", "first", &entries);
        let request = Request {
            url: repository.url(),
            reference: Reference::default(),
            credentials: Credentials::Anonymous,
            selection: Selection::default(),
            timeout: Duration::from_secs(60),
            largest: git::LARGEST,
            observed: None,
        };
        let artifact = git::fetch(&client, request, "/nowhere".as_ref()).await.unwrap().unwrap();
        let measure = artifact.measure().unwrap();
        ran += 1;
        if (&measure.digest, measure.size) != (&case.digest, case.size) {
            wrong.push(format!("{} instead of {} bytes: {}", measure.size, case.size, &line[..line.len().min(100)]));
        }
    }
    assert!(wrong.is_empty(), "{} of {ran} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
