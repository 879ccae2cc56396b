//! `lockstep build kustomization` of a Kustomization in a cluster, beside Flux's own command line on the same API server.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::testbed::Testbed;

const VARIABLES: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain, namespace: NS}\ndata: {A: plain, B: plain}\n---\n\
    apiVersion: v1\nkind: Secret\nmetadata: {name: secret, namespace: NS}\nstringData: {B: secret, C: \"1\\n2\", D: '007'}\n";

/// A Kustomization, its spec behind what each has.
fn kustomization(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  interval: 1m\n  prune: true\n  suspend: true\n  sourceRef: {{kind: GitRepository, name: r}}\n{spec}"
    )
}

const LIVE: &[(&str, &str)] = &[
    ("bare", "  path: ./app\n"),
    (
        "full",
        "  path: ./elsewhere\n  targetNamespace: there\n  namePrefix: p-\n  nameSuffix: -s\n\
         \x20 commonMetadata: {labels: {team: a}, annotations: {note: \"1\"}}\n  images: [{name: app, newTag: \"2\"}]\n\
         \x20 patches: [{patch: '[{\"op\": \"add\", \"path\": \"/data/patched\", \"value\": \"yes\"}]', target: {kind: ConfigMap}}]\n\
         \x20 postBuild: {substitute: {E: own, A: ''}, substituteFrom: [{kind: ConfigMap, name: plain}, {kind: Secret, name: secret},\n\
         \x20   {kind: ConfigMap, name: nowhere, optional: true}]}\n",
    ),
    ("missing", "  postBuild: {substituteFrom: [{kind: Secret, name: nowhere}]}\n"),
    (
        "always",
        "  postBuild: {substituteStrategy: Always, substituteFrom: [{kind: Secret, name: nowhere, optional: true}]}\n",
    ),
    ("other", "  namePrefix: live-\n  path: ./other\n"),
];

const APP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n\
    data: {a: '${A}', b: '${B}', c: '${C}', d: '${D}', e: '${E:=none}', x: '[${X}]'}\n---\n\
    apiVersion: v1\nkind: Pod\nmetadata: {name: pod}\nspec: {containers: [{name: c, image: 'app:1'}]}\n";

/// Arguments behind `build kustomization`, and whether it is built.
const BUILDS: &[(&[&str], bool)] = &[
    (&["bare", "--path", "app"], true),
    (&["full", "--path", "app"], true),
    (&["full", "--path", "app", "--strict-substitute"], false),
    (&["missing", "--path", "app"], false),
    (&["always", "--path", "app"], true),
    (&["nowhere", "--path", "app"], false),
    (&["bare", "--path", "app", "--kustomization-file", "file.yaml"], true),
    (&["fresh", "--path", "app", "--kustomization-file", "file.yaml"], false),
    (&["bare", "--path", "root", "-r", "--local-sources", "GitRepository/NS/r=."], true),
];

fn outcome(mut command: Command, folder: &Path, arguments: &[String]) -> Output {
    command.current_dir(folder).args(["build", "kustomization"]).args(arguments).stdin(Stdio::null());
    command.output().expect("it runs")
}

#[test]
#[ignore = "needs the testbed: make test"]
fn a_kustomization_of_a_cluster_and_its_variables_are_built_as_flux_builds_them() {
    let (testbed, folder) = (Testbed::shared(), tempfile::tempdir().expect("a folder"));
    testbed.kubectl(&["apply", "--server-side", "-f", concat!(env!("CARGO_MANIFEST_DIR"), "/crds")]);
    let namespace = testbed.namespace("build");
    testbed.apply(&VARIABLES.replace("NS", &namespace));
    let live: String = LIVE.iter().map(|(name, spec)| kustomization(&namespace, name, spec)).collect();
    testbed.apply(&live);
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("can be written");
        std::fs::write(path, text).expect("can be written");
    };
    write("app/all.yaml", APP);
    write("other/all.yaml", APP);
    // As declared it has another prefix than in the cluster, and the second one is not in the cluster.
    let other = kustomization(&namespace, "other", "  namePrefix: declared-\n  path: ./other\n");
    write("root/all.yaml", &(other + &kustomization(&namespace, "new", "  namePrefix: new-\n  path: ./other\n")));
    let variables = "  postBuild: {substituteFrom: [{kind: Secret, name: secret}]}\n";
    write("file.yaml", &["bare", "fresh"].map(|name| kustomization(&namespace, name, variables)).concat());
    for (arguments, is_built) in BUILDS {
        let arguments: Vec<String> = arguments.iter().map(|argument| argument.replace("NS", &namespace)).collect();
        let target =
            ["-n", &namespace, "--kubeconfig", testbed.kubeconfig().to_str().expect("UTF-8")].map(String::from);
        let arguments = [&arguments[..], &target].concat();
        let mut lockstep = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        lockstep.env_clear().env("HOME", "/nonexistent");
        let ours = outcome(lockstep, folder.path(), &arguments);
        let theirs =
            outcome(testbed.tool("flux"), folder.path(), &[&arguments[..], &["--in-memory-build".into()]].concat());
        let texts = |output: &Output| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        let (ours, theirs) = (texts(&ours), texts(&theirs));
        assert_eq!(theirs.0, Some(i32::from(!is_built)), "{arguments:?}: {}", theirs.2);
        assert_eq!((ours.0, &ours.1), (theirs.0, &theirs.1), "{arguments:?}: {} {}", ours.2, theirs.2);
    }
}
