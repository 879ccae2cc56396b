//! What stands beside the binary: the installation, the image, the example, what is said about them.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "shipped/deploy.rs"]
mod deploy;
#[path = "shipped/example.rs"]
mod example;
#[path = "shipped/image.rs"]
mod image;
#[path = "support/testbed.rs"]
mod testbed;

use std::path::{Path, PathBuf};

use kustomize::{Options, Order, Restriction};
use manifest::{MemoryFiles, Object};

/// A file or folder of the checkout.
fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below a folder, by its path in it.
fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("the folder can be listed").path()) {
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(below, path)| (format!("{name}/{below}"), path)));
        } else {
            found.push((name, path));
        }
    }
    found
}

#[test]
fn what_a_readme_links_to_is_there() {
    for readme in ["README.md", "keys-example/README.md"] {
        let text = text(&checkout(readme));
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let path = checkout(readme).with_file_name(target);
            assert!(path.exists(), "{readme} links to {target}");
        }
    }
}

/// Builds a folder with our own engine, as the command line of kustomize does.
fn build(tree: &str, folder: &str) -> Vec<Object> {
    let mut memory = MemoryFiles::default();
    for (name, path) in files(&checkout(tree)) {
        memory.insert(name, text(&path));
    }
    let options = Options { order: Order::Legacy, restriction: Restriction::RootOnly, ..Options::default() };
    kustomize::build(&memory, folder, &options).unwrap_or_else(|errors| panic!("{tree}/{folder}: {errors}"))
}
