//! The project's own cases, each a folder: `in` is built as `origin` says, and gives `expected.yaml` or an error with
//! every line of `expected.error`.

#[path = "../../../tests/support/corpus.rs"]
mod corpus;
#[path = "support/disk.rs"]
mod disk;
#[path = "support/tree.rs"]
mod tree;

use std::path::Path;

use disk::DiskFiles;
use kustomize::{Options, Order, Restriction, build, print};
use manifest::{Files, MemoryFiles, Purpose};
use tree::difference;

fn check(name: &str) -> Result<(), String> {
    let case = DiskFiles(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name));
    let text = |file: &str| case.read(file, Purpose::Recipe).ok().and_then(|content| content.text().map(String::from));
    let origin = text("origin").ok_or("no origin")?;
    let folder =
        origin.trim().rsplit('/').next().filter(|last| *last != "in" && !last.contains(' ')).unwrap_or_default();
    let options = Options {
        order: if origin.contains("--reorder none") { Order::AsBuilt } else { Order::Legacy },
        restriction: if origin.contains("LoadRestrictionsNone") { Restriction::None } else { Restriction::RootOnly },
        ..Options::default()
    };
    let built = build(&DiskFiles(case.0.join("in")), folder, &options);
    match (built, text("expected.yaml"), text("expected.error")) {
        (Ok(objects), Some(expected), _) if print(&objects) == expected => Ok(()),
        (Ok(objects), Some(expected), _) => Err(difference(&expected, &print(&objects))),
        (Err(errors), None, Some(phrases)) => match phrases.lines().find(|phrase| !errors.to_string().contains(phrase))
        {
            Some(phrase) => Err(format!("{phrase:?} is not in: {errors}")),
            None => Ok(()),
        },
        (Ok(_), ..) => Err("must fail".into()),
        (Err(errors), ..) => Err(errors.to_string()),
    }
}

#[test]
fn every_case_gives_what_the_original_gives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let cases = DiskFiles(folder).list("").expect("tests/cases");
    let failed: Vec<String> =
        cases.iter().filter_map(|case| check(&case.name).err().map(|why| format!("{}: {why}", case.name))).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(cases.len() > 30, "only {} cases", cases.len());
}

#[test]
fn a_source_outside_the_tree_is_refused_even_without_restriction() {
    let mut files = MemoryFiles::default();
    files.insert("app/kustomization.yaml", "resources: [../../etc/passwd]\n");
    let errors = build(&files, "app", &Options::default()).expect_err("it leads outside");
    assert!(errors.to_string().contains("outside"), "{errors}");
}

#[test]
fn remote_bases_are_refused_without_someone_to_fetch_them() {
    let mut files = MemoryFiles::default();
    let entries = "resources: ['https://user:token@example.com/a.yaml?sig=x', 'github.com/org/repo//path?ref=v1']\n";
    files.insert("kustomization.yaml", entries);
    let errors = build(&files, "", &Options::default()).expect_err("nothing may be fetched");
    assert_eq!(errors.0.len(), 2, "{errors}");
    assert!(!errors.to_string().contains("token") && !errors.to_string().contains("sig"), "{errors}");
}
