//! The files of a corpus line as a tree, and what a suite found.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "each test binary uses a part of it, and what fails here stops the test"
)]

use std::io::Read as _;
use std::path::Path;

use manifest::MemoryFiles;
use serde_json::Value;

/// The lines of a `.jsonl` or `.jsonl.gz` file.
pub fn lines(path: &Path) -> Vec<Value> {
    let bytes = std::fs::read(path).expect("the corpus can be read");
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("gzip");
    } else {
        text = String::from_utf8(bytes).expect("UTF-8");
    }
    text.split('\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The files of a corpus line.
pub fn inline_files(line: &Value) -> MemoryFiles {
    use base64::Engine as _;
    let mut files = MemoryFiles::default();
    for (path, text) in line["files"].as_object().into_iter().flatten() {
        files.insert(path, text.as_str().expect("a text"));
    }
    for (path, text) in line["files_b64"].as_object().into_iter().flatten() {
        let text = text.as_str().expect("a text");
        files.insert(path, base64::engine::general_purpose::STANDARD.decode(text).expect("base64"));
    }
    files
}

/// What a suite found: how many cases ran, and the failed ones with why.
pub struct Suite {
    name: &'static str,
    ran: usize,
    failed: Vec<String>,
}

impl Suite {
    /// A suite that has not run yet.
    pub fn new(name: &'static str) -> Self {
        Self { name, ran: 0, failed: Vec::new() }
    }

    /// Notes how a case went.
    pub fn case(&mut self, id: &str, outcome: Result<(), String>) {
        self.ran += 1;
        self.failed.extend(outcome.err().map(|why| format!("{id}: {why}")));
    }

    /// Tells the figures, and fails for any failed case.
    pub fn report(self) {
        crate::corpus::report(self.name, self.ran, &self.failed);
    }
}

/// The first line in which two texts differ.
pub fn difference(expected: &str, actual: &str) -> String {
    if let Ok(folder) = std::env::var("KUSTOMIZE_DIFF") {
        std::fs::write(format!("{folder}/expected.yaml"), expected).expect("can be written");
        std::fs::write(format!("{folder}/actual.yaml"), actual).expect("can be written");
    }
    let mut lines = expected.lines().zip(actual.lines()).enumerate();
    match lines.find(|(_, (a, b))| a != b) {
        Some((at, (a, b))) => format!("line {}: expected {a:?}, got {b:?}", at + 1),
        None => format!("{} lines expected, {} found", expected.lines().count(), actual.lines().count()),
    }
}

/// What the original says around the cause, whatever the cause is.
const FRAMES: [&str; 11] = [
    "accumulating resources",
    "accumulating components",
    "accumulation err=",
    "recursed accumulation of path",
    "recursed merging from path",
    "merging resources from",
    "must build at directory",
    "file is not directory",
    "is a directory",
    "couldn't make target for path",
    "trouble configuring builtin",
];

/// Whether our failure says what the original says is the cause: some clause of it that is no frame, word for word.
pub fn says_the_cause(original: &str, ours: &str) -> bool {
    let (original, ours) = (original.to_lowercase(), ours.to_lowercase());
    let clauses = original.split([':', ';', '\n', '\'', '"', '`', '{', '}', '[']);
    let clauses =
        clauses.map(|clause| clause.trim_end_matches(" in file").trim_end_matches(" in").trim_matches([' ', '.']));
    let says = |clause: &str| clause.len() > 9 && clause.contains(' ') && ours.contains(clause);
    clauses.filter(|clause| !FRAMES.iter().any(|frame| clause.starts_with(frame))).any(says)
}
