//! `lockstep kustomize build`: many folders in one call, and the original's flags.

use std::path::{Path, PathBuf};

use super::testbed::Testbed;
use super::{Lockstep, here, lockstep};

/// Every file below a folder, by its path from there.
fn files(folder: &Path) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(below) = open.pop() {
        for entry in std::fs::read_dir(folder.join(&below)).expect("the folder is there").flatten() {
            let path = below.join(entry.file_name());
            if entry.path().is_dir() { open.push(path) } else { found.push(path.display().to_string()) }
        }
    }
    found.sort();
    found
}

const ANY_FILE: [&str; 2] = ["--load-restrictor", "LoadRestrictionsNone"];

fn build(arguments: &[&str]) -> super::Ran {
    lockstep(&[&["kustomize", "build"], arguments, &ANY_FILE[..]].concat())
}

#[test]
fn many_folders_are_one_stream_in_which_each_is_named() {
    let (base, overlay) = (build(&["base"]).succeeds(), build(&["overlay"]).succeeds());
    let both = build(&["overlay", "./base"]).succeeds();
    assert_eq!(both, format!("# Source: overlay\n{overlay}---\n# Source: ./base\n{base}"));
}

#[test]
fn many_folders_have_a_folder_of_files_each() {
    let out = tempfile::tempdir().unwrap();
    let base = here().join("base");
    build(&["overlay", base.to_str().unwrap(), "-o", out.path().join("new").to_str().unwrap()]).succeeds();
    let found = files(&out.path().join("new"));
    assert!(found.contains(&"base/v1_namespace_shop.yaml".to_owned()), "{found:?}");
    assert!(found.iter().any(|file| file.starts_with("overlay/")), "{found:?}");
    let elsewhere = out.path().to_str().unwrap();
    let error = build(&["base", elsewhere, "-o", elsewhere]).fails(1);
    assert!(error.contains("outside of the current folder"), "{error}");
}

#[test]
fn what_fails_is_told_of_every_folder_and_nothing_is_written() {
    let out = tempfile::tempdir().unwrap();
    let folders = ["nope", "base", "overlay/kustomization.yaml", "charted"];
    for output in [&[][..], &["-o", out.path().to_str().unwrap()]] {
        let error = build(&[&folders[..], output].concat()).fails(1);
        let told: Vec<&str> = error.lines().filter_map(|line| line.strip_prefix("Error: ")).collect();
        assert_eq!(told.len(), 3, "{error}");
        assert!(told[0].starts_with("nope: must build at directory: "), "{error}");
        assert!(told[1].ends_with("file is not directory"), "{error}");
        assert!(told[2].starts_with("charted: ") && told[2].contains("must specify --enable-helm"), "{error}");
    }
    assert_eq!(files(out.path()), Vec::<String>::new());
}

#[test]
fn flags_that_are_about_containers_change_nothing_and_those_that_allow_programs_are_refused() {
    let plain = build(&["base"]).succeeds();
    let containers = ["-e", "A=b", "--env", "C", "--as-current-user", "--mount", "type=bind", "--network"];
    let more = ["--network-name", "host", "--stack-trace", "--helm-debug", "--helm-command", "/usr/bin/helm"];
    assert_eq!(build(&[&["base"], &containers[..], &more[..]].concat()).succeeds(), plain);
    for (flags, words) in [
        (&["--enable-exec"][..], "--enable-exec: functions that are programs are not run"),
        (&["--enable-alpha-plugins"], "--enable-alpha-plugins: plugins that are programs are not run"),
        (&["--helm-command", "helm3"], "--helm-command helm3: no program is run"),
        (&["--load-restrictor", "any"], "--load-restrictor"),
        (&["--unknown"], "--unknown"),
    ] {
        let error = lockstep(&[&["kustomize", "build", "base"], flags].concat()).fails(1);
        assert!(error.contains(words), "{flags:?}: {error}");
    }
}

#[test]
fn a_chart_has_values_and_further_ones_lie_where_a_kustomization_may_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("outer.yaml", "a: outer\n");
    write("app/inner.yaml", "a: inner\n");
    write("app/charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n");
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: map}\ndata: {a: '{{ .Values.a }}'}\n";
    write("app/charts/web/templates/map.yaml", template);
    let build = |chart: &str| {
        write("app/kustomization.yaml", &format!("helmCharts:\n- name: web\n  releaseName: r\n{chart}"));
        Lockstep::new(folder.path()).run(&["kustomize", "build", "app", "--enable-helm"])
    };
    for chart in ["", "  valuesInline: {a: b}\n", "  valuesFile: nope.yaml\n"] {
        let error = build(chart).fails(1);
        assert!(error.contains("no such file or directory"), "{chart}: {error}");
    }
    assert!(build("  valuesInline: {a: b}\n  valuesMerge: replace\n").succeeds().contains("a: b"));
    assert!(build("  valuesFile: inner.yaml\n").succeeds().contains("a: inner"));
    write("app/charts/web/values.yaml", "a: chart\n");
    assert!(build("  additionalValuesFiles: [inner.yaml]\n").succeeds().contains("a: inner"));
    let error = build("  additionalValuesFiles: [../outer.yaml]\n").fails(1);
    assert!(error.contains("security; file 'outer.yaml' is not in or below 'app'"), "{error}");
}

#[test]
#[ignore = "needs the testbed: make test"]
fn the_original_prints_and_writes_the_same() {
    let out = tempfile::tempdir().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let mut command = match program {
            "lockstep" => Lockstep::new(&here()).0,
            tool => Testbed::shared().tool(tool),
        };
        let arguments = match program {
            "lockstep" => [&["kustomize"], arguments].concat(),
            _ => arguments.to_vec(),
        };
        let output = command.current_dir(here()).args(arguments).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let folder = |name: &str| {
        let folder = out.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder.to_str().unwrap().to_owned()
    };
    for flags in [
        &["build", "base"][..],
        &["build", "overlay"],
        &["build", "overlay", "--load-restrictor", "LoadRestrictionsNone"],
        &["build", "overlay", "--load-restrictor", "LoadRestrictionsNone", "--reorder", "none"],
        &["build", "overlay", "--load-restrictor", "nothing"],
        &["build", "base", "--as-current-user", "--network", "-e", "A=b", "--mount", "a", "--network-name", "b"],
        &["build", "charted"],
        &["build", "nope"],
        &["build", "base/kustomization.yaml"],
        &["build", "base", "--unknown"],
        &["build", "base", "-o", "/nonexistent/a/b"],
    ] {
        assert_eq!(run("lockstep", flags), run("kustomize", flags), "{flags:?}");
    }
    let (ours, theirs) = (folder("ours"), folder("theirs"));
    let build = ["build", "overlay", "--load-restrictor", "LoadRestrictionsNone", "-o"];
    assert_eq!(run("lockstep", &[&build[..], &[&ours]].concat()), run("kustomize", &[&build[..], &[&theirs]].concat()));
    assert!(!files(Path::new(&ours)).is_empty());
    assert_eq!(files(Path::new(&ours)), files(Path::new(&theirs)));
    for file in files(Path::new(&ours)) {
        let read = |folder: &str| std::fs::read_to_string(Path::new(folder).join(&file)).unwrap();
        assert_eq!(read(&ours), read(&theirs), "{file}");
    }
}
