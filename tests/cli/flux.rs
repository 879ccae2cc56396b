//! `lockstep envsubst` and `lockstep build kustomization`, against what Flux's own command line printed.
//!
//! `expected.*.yaml` were printed by flux 2.9.4; with the testbed it is asked again.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::testbed::Testbed;
use super::{Lockstep, here};

/// Text, flags, what is printed, and what the error says when there is one.
type Line = (&'static [u8], &'static [&'static str], &'static [u8], &'static str);

const ENVIRONMENT: [(&str, &str); 3] = [("V", "value"), ("E", ""), ("W", "a/b/c")];
const STRICT: &[&str] = &["--strict"];

/// What flux printed.
const ENVSUBST: &[Line] = &[
    (b"", &[], b"", ""),
    (b"a $V ${V} ${X} b", &[], b"a $V value  b\n", ""),
    (b"${X}", STRICT, b"", "variable not set (strict mode): \"X\""),
    (b"${E}", STRICT, b"\n", ""),
    (b"x\n\ny", &[], b"x\n\ny\n", ""),
    (b"x\r\ny\r\n", &[], b"x\ny\n", ""),
    (b"ok\n${V", &[], b"ok\n", "missing closing brace"),
    (b"a\n${X:-d}\n${V", STRICT, b"a\nd\n", "missing closing brace"),
    (b"$${V} ${W//\\//-}", &[], b"${V} a-b-c\n", ""),
    (b"${E:-d} ${E-d}", &[], b"", "missing closing brace"),
    (b"${X:?}", &[], b"\n", ""),
    (b"${V^^} ${V,}", &[], b"VALUE value\n", ""),
    (b"${V#val}\n", &[], b"ue\n", ""),
    (b"${}", &[], b"", "unable to parse variable name"),
    (b"${1}", &[], b"\n", ""),
    (b"${V/}", &[], b"", "bad substitution"),
    (b"${#V}", &[], b"5\n", ""),
    (b"${V:=a}${V:+b}", &[], b"valuevalue\n", ""),
    ("ä${V:0:1}".as_bytes(), &[], b"\xc3\xa4v\n", ""),
    (b"a\0b\nc", &[], b"a\nc\n", ""),
    (b"\xff\n", &[], b"\xff\n", ""),
];

/// Arguments behind the name and the file, and the file that flux printed.
const BUILDS: &[(&[&str], &str)] = &[
    (&["--path", "app"], "app"),
    (&["--path", "gen"], "gen"),
    (&["--path", "texts"], "texts"),
    (&["--path", "gen", "--ignore-paths", "b.yaml,/base/"], "left-out"),
    (&["--path", "app", "-r", "--local-sources", "GitRepository/flux-system/r=."], "recursive"),
];

/// Arguments behind `build kustomization`, and what the error must say.
const REFUSALS: &[(&[&str], &str)] = &[
    (&["nope", "--path", "app", "--kustomization-file", FILE, "--dry-run"], "kustomization with name 'nope'"),
    (&["app", "--path", "nope", "--kustomization-file", FILE, "--dry-run"], "invalid resource path"),
    (&["app", "--path", "app", "--dry-run"], "dry-run mode requires a kustomization file"),
    (&["app", "--path", "app", "--kustomization-file", "nope", "--dry-run"], "invalid kustomization file"),
    (
        &["app", "--path", "app", "--kustomization-file", FILE, "--dry-run", "--strict-substitute"],
        "variable substitution failed: variable not set (strict mode): \"X\"",
    ),
    (
        &["app", "--path", "app", "--kustomization-file", FILE, "--dry-run", "-r"],
        "cannot get local path for GitRepository/flux-system/r of kustomization sub",
    ),
];

const FILE: &str = "kustomizations.yaml";

fn fed(mut command: Command, arguments: &[&str], text: &[u8]) -> Output {
    command.arg("envsubst").args(arguments).envs(ENVIRONMENT);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("it runs");
    // It may end before it has read everything.
    let _ = child.stdin.take().expect("it is piped").write_all(text);
    child.wait_with_output().expect("it ends")
}

#[track_caller]
fn check_line(output: &Output, (text, flags, printed, error): &Line) {
    let case = format!("{:?} {flags:?}", String::from_utf8_lossy(text));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(printed), "{case}");
    assert_eq!(output.status.code(), Some(i32::from(!error.is_empty())), "{case}: {said}");
    assert!(said.contains(error), "{case}: {said}");
}

#[test]
fn variables_are_written_into_a_stream_as_flux_writes_them() {
    for line in ENVSUBST {
        check_line(&fed(Lockstep::new(&here()).0, line.1, line.0), line);
    }
}

#[test]
fn where_flux_ends_early_a_stream_goes_on() {
    let long = [&vec![b'a'; 70_000][..], b"\n${V:1:-1}\n"].concat();
    let output = fed(Lockstep::new(&here()).0, &[], &long);
    assert!(output.stdout.ends_with(b"a\nalu\n"), "{}", String::from_utf8_lossy(&output.stderr));
}

fn build_as(mut command: Command, arguments: &[&str]) -> Output {
    command.current_dir(here().join("flux")).args(["build", "kustomization"]).args(arguments).stdin(Stdio::null());
    command.output().expect("it runs")
}

fn dry(arguments: &[&'static str]) -> Vec<&'static str> {
    [&["app", "--kustomization-file", FILE, "--dry-run"], arguments].concat()
}

fn expected(name: &str) -> String {
    std::fs::read_to_string(here().join(format!("flux/expected.{name}.yaml"))).expect("it is committed")
}

fn printed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_kustomization_of_a_file_is_built_from_a_folder_as_flux_builds_it() {
    for (arguments, name) in BUILDS {
        assert_eq!(printed(&build_as(Lockstep::new(&here()).0, &dry(arguments))), expected(name), "{name}");
    }
}

#[test]
fn a_kustomization_that_cannot_be_built_is_refused_in_the_words_of_flux() {
    for (arguments, error) in REFUSALS {
        let output = build_as(Lockstep::new(&here()).0, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(1), true), "{arguments:?}");
        assert!(said.contains(error), "{arguments:?}: {said}");
    }
}

#[test]
fn a_kustomization_that_declares_itself_through_another_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let declare = |name: &str, other: &str| {
        let text = format!(
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {other}, namespace: apps}}\n\
             spec: {{interval: 1m, prune: true, path: {other}, sourceRef: {{kind: GitRepository, name: r}}}}\n"
        );
        std::fs::create_dir_all(folder.path().join(name)).expect("can be written");
        std::fs::write(folder.path().join(name).join("k.yaml"), text).expect("can be written");
    };
    declare("a", "b");
    declare("b", "a");
    let build =
        ["build", "ks", "a", "-n", "apps", "--path", "a", "--kustomization-file", "b/k.yaml", "--dry-run", "-r"];
    let run = Lockstep::new(folder.path()).run(&[&build[..], &["--local-sources", "GitRepository/apps/r=."]].concat());
    let error = run.fails(1);
    assert!(error.contains("kustomization apps/a declares itself"), "{error}");
}

fn flux(name: impl AsRef<OsStr>) -> Command {
    let mut command = Testbed::shared().tool("flux");
    command.env_clear().env("HOME", name);
    command
}

#[test]
#[ignore = "needs the testbed: make test"]
fn the_expectations_are_those_of_flux_itself() {
    let home = tempfile::tempdir().expect("a folder");
    for line in ENVSUBST {
        check_line(&fed(flux(home.path()), line.1, line.0), line);
    }
    for (arguments, name) in BUILDS {
        // In memory, since it would write into the folder otherwise.
        let arguments = [&dry(arguments)[..], &["--in-memory-build"]].concat();
        assert_eq!(printed(&build_as(flux(home.path()), &arguments)), expected(name), "{name}");
    }
    for (arguments, _) in REFUSALS {
        let output = build_as(flux(home.path()), &[arguments, &["--in-memory-build"][..]].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    }
}
