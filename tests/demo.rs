//! `lockstep demo`: what a person sees first, on a machine with nothing but the binary.

#![expect(clippy::expect_used, reason = "what fails here stops the test")]

use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use serde_json::Value;

/// What the story puts into Secrets: none of it may be told.
const SECRETS: [&str; 5] =
    ["example-password-1", "example-password-2", "example-password-3", "example-token-1", "example-token-2"];

/// The demo with nothing around it: no program can be found, no variable is set.
#[expect(clippy::disallowed_methods, reason = "the binary is run as a person runs it")]
fn demo(arguments: &[&str]) -> Output {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    demo.env_clear().env("PATH", "").arg("demo").args(arguments).output().expect("it is built")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

fn check_secrecy(output: &Output) {
    for secret in SECRETS {
        let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(secret);
        for form in [secret, &encoded] {
            assert!(!text(&output.stdout).contains(form) && !text(&output.stderr).contains(form), "{form} is told");
        }
    }
}

#[test]
fn every_step_holds_what_it_claims() {
    let output = demo(&["-o", "json"]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    check_secrecy(&output);
    let told: Value = serde_json::from_slice(&output.stdout).expect("one document");
    let steps = told["steps"].as_array().expect("steps");
    let names: Vec<&str> = steps.iter().filter_map(|step| step["name"].as_str()).collect();
    assert_eq!(names, ["first-landing", "together", "rotation", "errors", "reverted"]);
    for step in steps {
        let facts = step["facts"].as_array().expect("facts");
        assert!(facts.len() >= 4 && facts.iter().all(|fact| fact["holds"] == true), "{step:#}");
    }
    let message = |step: usize| steps[step]["messages"][0].as_str().unwrap_or_default().to_owned();
    assert!(message(3).starts_with("nothing was written: 3 problems\n- apps/base/payment.yaml:10: "), "{}", message(3));
    let landed = steps[1]["revision"].as_str().expect("a revision");
    assert!(message(4).starts_with(&format!("held at {landed}: ")), "{}", message(4));
    let ready = |kind: &str, name: &str| {
        let objects = told["objects"].as_array().into_iter().flatten();
        objects.into_iter().find(|object| object["kind"] == kind && object["name"] == name).map(|o| o["ready"].clone())
    };
    assert_eq!(ready("ExternalSecret", "payment"), Some("True".into()));
    assert_eq!(ready("HelmRelease", "web"), Some("True".into()));
    assert_eq!(ready("Kustomization", "infrastructure"), Some("True".into()));
    assert_eq!(ready("Kustomization", "apps"), Some("False".into()), "the last release is held");
}

#[test]
fn the_story_is_told_without_colours_where_nobody_sees_them_and_ends_with_the_tables_of_kubectl() {
    let output = demo(&[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    check_secrecy(&output);
    let told = text(&output.stdout);
    assert!(!told.contains('\u{1b}') && !told.contains('✗'), "{told}");
    let header = "NAMESPACE   NAME                                         STORETYPE     STORE   REFRESH INTERVAL   STATUS         READY   LAST SYNC\n";
    assert!(told.contains(header), "{told}");
    assert!(told.contains("kustomization.kustomize.toolkit.fluxcd.io/apps "), "{told}");
}

#[test]
fn what_is_kept_is_a_repository_and_a_cluster_and_a_folder_that_holds_something_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let keep = folder.path().join("demo");
    let keep = keep.to_str().expect("text");
    let output = demo(&["-o", "yaml", "--keep", keep]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("holds: true\n"), "{}", text(&output.stdout));
    for file in ["repository.git/refs/heads/main", "cluster/cluster.json"] {
        assert!(Path::new(keep).join(file).is_file(), "{file}");
    }
    let again = demo(&["--keep", keep]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("the folder is not empty"), "{}", text(&again.stderr));
}
