//! `keys-example/`: every tool that its files were made for reads them, and its keys say what they are.

use std::path::Path;

use super::testbed::{Testbed, run};
use super::{build, checkout, files, text};

const REPOSITORY: &str = "keys-example/repository";
/// The folders that kustomize builds, and the objects that each has.
const FOLDERS: [(&str, usize); 4] =
    [("clusters/demo/flux-system", 3), ("infrastructure", 2), ("apps/base", 3), ("apps/demo", 4)];

#[test]
fn every_key_says_in_its_first_line_that_it_must_not_be_used() {
    let keys = files(&checkout("keys-example/age"));
    assert!(!keys.is_empty());
    for (name, path) in keys {
        let text = text(&path);
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("# EXAMPLE, NOT A SECRET") && first.contains("Never encrypt"), "{name}: {first}");
    }
}

#[test]
fn every_folder_builds() {
    for (folder, objects) in FOLDERS {
        assert_eq!(build(REPOSITORY, folder).len(), objects, "{folder}");
    }
}

#[test]
#[ignore = "needs the testbed: make test"]
fn kustomize_builds_the_same_bytes() {
    let testbed = Testbed::shared();
    for (folder, _) in FOLDERS {
        let theirs = run(testbed.tool("kustomize").arg("build").arg(checkout(REPOSITORY).join(folder)));
        assert_eq!(kustomize::print(&build(REPOSITORY, folder)).trim(), theirs, "{folder}");
    }
}

#[test]
#[ignore = "needs the testbed: make test"]
fn sops_opens_the_password_with_the_example_key_and_encrypts_to_it() {
    let testbed = Testbed::shared();
    let sops = |arguments: &[&str], file: &Path| {
        let mut sops = testbed.tool("sops");
        sops.current_dir(checkout(REPOSITORY)).env("SOPS_AGE_KEY_FILE", checkout("keys-example/age/x25519.agekey"));
        run(sops.args(arguments).arg(file))
    };
    let secret = Path::new("apps/demo/database.sops.yaml");
    assert_eq!(sops(&["decrypt", "--extract", r#"["stringData"]["password"]"#], secret), "example-password-1");
    // The rules of `.sops.yaml` hold for a new file, too.
    let folder = tempfile::tempdir().expect("a folder");
    let plain = folder.path().join("new.sops.yaml");
    std::fs::write(&plain, "kind: Secret\nstringData: {password: example}\n").expect("it can be written");
    let sealed = sops(&["--config", ".sops.yaml", "encrypt"], &plain);
    assert!(sealed.contains("kind: Secret") && !sealed.contains("example"), "{sealed}");
}

#[test]
#[ignore = "needs the testbed: make test"]
fn helm_renders_the_chart_and_the_cluster_takes_everything() {
    let testbed = Testbed::shared();
    run(testbed.tool("kubectl").args(["apply", "--server-side", "-f"]).arg(checkout("crds")));
    let chart = checkout(REPOSITORY).join("charts/web");
    let rendered =
        run(testbed.tool("helm").args(["template", "web"]).arg(&chart).args(["--set", "existingSecret=payment"]));
    let plain = run(testbed.tool("helm").args(["template", "web"]).arg(&chart));
    assert_eq!((rendered.contains("name: payment"), plain.contains("env:")), (true, false), "{rendered}\n{plain}");
    run(testbed.tool("helm").args(["lint", "--strict"]).arg(&chart));
    // Namespaces must be there for a dry run.
    let (system, shop) = (testbed.namespace("flux"), testbed.namespace("shop"));
    let clusters = ["clusters/demo/infrastructure.yaml", "clusters/demo/apps.yaml"];
    let declared = clusters.map(|file| text(&checkout(REPOSITORY).join(file)));
    let built = ["clusters/demo/flux-system", "infrastructure", "apps/demo"]
        .map(|folder| kustomize::print(&build(REPOSITORY, folder)));
    let all = [&built[..], &declared[..], &[rendered]].concat().join("\n---\n");
    let all = all.replace("flux-system", &system).replace("shop", &shop);
    // SOPS' own field has no place in a Secret: what is applied is decrypted first.
    let open: Vec<_> = all.split("\n---\n").filter(|document| !document.contains("\nsops:")).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("all.yaml");
    std::fs::write(&file, open.join("\n---\n")).expect("it can be written");
    // Nothing of it stays: agents of other tests may watch the whole cluster.
    run(testbed.tool("kubectl").args(["apply", "--server-side", "--dry-run=server", "-f"]).arg(&file));
}
