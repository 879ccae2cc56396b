//! The testbed itself: each of its parts does what tests rely on, and others' tools judge our stand-ins.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what fails here stops the test")]

#[path = "support/testbed.rs"]
mod testbed;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use testbed::azure::{Cut, Fault, Identity, TENANT, TOKEN_AUDIENCE, Vault};
use testbed::{Part, Testbed, attempt, command, run};

const TOKEN_URL: &str = "https://login.microsoftonline.com/11111111-1111-1111-1111-111111111111/oauth2/v2.0/token";

/// A namespace with the ServiceAccount `agent`, a vault, and an identity for the one to use the other.
fn workload(testbed: &Testbed) -> (String, Vault<'_>, Identity<'_>) {
    let namespace = testbed.namespace("azure");
    testbed.service_account(&namespace, "agent");
    let vault = testbed.vault();
    let identity = testbed.identity(&namespace, "agent", &[&vault]);
    (namespace, vault, identity)
}

/// The token endpoint's answer to a ServiceAccount's token.
fn exchange(testbed: &Testbed, identity: &Identity<'_>, assertion: &str) -> serde_json::Value {
    let mut curl = testbed.tool("curl");
    curl.args(["-s", TOKEN_URL, "-d", "grant_type=client_credentials", "-d", "scope=https://vault.azure.net/.default"]);
    curl.arg("-d")
        .arg(format!("client_id={}", identity.client_id))
        .arg("-d")
        .arg(format!("client_assertion={assertion}"));
    serde_json::from_str(&run(&mut curl)).expect("it answers in JSON")
}

/// A secret's value by HTTP with a bearer token, or what was answered instead.
fn read(testbed: &Testbed, vault: &Vault<'_>, name: &str, token: &str) -> Result<String, String> {
    let mut curl = testbed.tool("curl");
    curl.args(["-sS", "--fail-with-body", "-H", &format!("Authorization: Bearer {token}")]);
    let answer = attempt(curl.arg(format!("{}/secrets/{name}?api-version=7.6", vault.url())))?;
    let secret: serde_json::Value = serde_json::from_str(&answer).map_err(|e| e.to_string())?;
    Ok(secret["value"].as_str().unwrap_or_default().to_owned())
}

fn chart(testbed: &Testbed, name: &str) -> PathBuf {
    let folder = testbed.data().join("work").join(testbed::unique(name)).join(name);
    std::fs::create_dir_all(folder.join("templates")).unwrap();
    std::fs::write(folder.join("Chart.yaml"), format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n")).unwrap();
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n";
    std::fs::write(folder.join("templates/map.yaml"), template).unwrap();
    testbed.package(&folder)
}

#[test]
#[ignore = "needs the testbed: make test"]
fn a_deployment_becomes_available_and_one_that_fails_does_not() {
    let testbed = Testbed::shared();
    let namespace = testbed.namespace("pods");
    for (name, label) in [("good", "testbed/ok"), ("bad", "testbed/fail")] {
        testbed.apply(&format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
             selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}, {label}: 'true'}}}}\n    \
             spec: {{containers: [{{name: c, image: i}}]}}\n"
        ));
    }
    testbed.kubectl(&["-n", &namespace, "rollout", "status", "deployment/good", "--timeout=60s"]);
    let waiting = "jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff";
    testbed.kubectl(&["-n", &namespace, "wait", "pod", "-l", "app=bad", "--for=create", "--timeout=60s"]);
    testbed.kubectl(&["-n", &namespace, "wait", "pod", "-l", "app=bad", &format!("--for={waiting}"), "--timeout=60s"]);
}

#[test]
#[ignore = "needs the testbed: make test"]
fn a_service_account_may_do_what_it_was_granted_alone() {
    let testbed = Testbed::shared();
    let namespace = testbed.namespace("rbac");
    testbed.service_account(&namespace, "agent");
    testbed.kubectl(&[
        "-n",
        &namespace,
        "create",
        "rolebinding",
        "edit",
        "--clusterrole=edit",
        &format!("--serviceaccount={namespace}:agent"),
    ]);
    let kubeconfig = testbed.kubeconfig_for(&namespace, "agent");
    let mut allowed = testbed.tool("kubectl");
    run(allowed.env("KUBECONFIG", &kubeconfig).args(["create", "configmap", "mine"]));
    let mut refused = testbed.tool("kubectl");
    let said = attempt(refused.env("KUBECONFIG", &kubeconfig).args(["-n", "default", "get", "secrets"])).unwrap_err();
    assert!(
        said.contains(&format!("User \"system:serviceaccount:{namespace}:agent\" cannot list resource \"secrets\"")),
        "{said}"
    );
}

#[test]
#[ignore = "needs the testbed: make test"]
fn a_service_account_reads_its_vault_alone_and_the_request_log_tells() {
    let testbed = Testbed::shared();
    let (namespace, vault, identity) = workload(testbed);
    let first = vault.put("db", "one");
    let second = vault.put("db", "two");
    assert_ne!(first, second);
    let answer = exchange(testbed, &identity, &testbed.token(&namespace, "agent", Some(TOKEN_AUDIENCE)));
    let token = answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(read(testbed, &vault, "db", token), Ok("two".into()));
    assert_eq!(read(testbed, &vault, &format!("db/{first}"), token), Ok("one".into()));
    let seen: Vec<_> = vault.requests().into_iter().map(|r| (r.method, r.path, r.status)).collect();
    assert_eq!(seen[0], ("GET".into(), "/secrets/db?api-version=7.6".into(), 200.into()));
    assert_eq!(seen.len(), 2);
    assert_eq!(identity.requests().len(), 1);
    let other = testbed.vault();
    other.put("db", "theirs");
    assert!(read(testbed, &other, "db", token).unwrap_err().contains("403"));
    vault.delete("db");
    assert!(read(testbed, &vault, "db", token).unwrap_err().contains("404"));
    vault.recover("db");
    vault.enable("db", &second, false);
    assert!(read(testbed, &vault, "db", token).unwrap_err().contains("403"));
}

#[test]
#[ignore = "needs the testbed: make test"]
fn the_token_endpoint_refuses_what_entra_refuses() {
    let testbed = Testbed::shared();
    let (namespace, _, identity) = workload(testbed);
    testbed.service_account(&namespace, "stranger");
    let refusal = |account: &str, audience: Option<&str>, spoil: bool| {
        let mut token = testbed.token(&namespace, account, audience);
        if spoil {
            // Not the last character: its bits beyond the signature mean nothing.
            let at = token.len() - 9;
            token.replace_range(at..=at, if token.as_bytes()[at] == b'A' { "B" } else { "A" });
        }
        exchange(testbed, &identity, &token)["error_codes"][0].clone()
    };
    assert_eq!(refusal("stranger", Some(TOKEN_AUDIENCE), false), 700213);
    assert_eq!(refusal("agent", None, false), 700212);
    assert_eq!(refusal("agent", Some(TOKEN_AUDIENCE), true), 5002730);
}

#[test]
#[ignore = "needs the testbed: make test"]
fn faults_hit_one_vault_as_often_as_they_say() {
    let testbed = Testbed::shared();
    let (namespace, vault, identity) = workload(testbed);
    vault.put("db", "one");
    let answer = exchange(testbed, &identity, &testbed.token(&namespace, "agent", Some(TOKEN_AUDIENCE)));
    let token = answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}"));
    vault.set_faults(&[
        Fault { status: Some(429), retry_after: Some(1), times: Some(1), ..Fault::default() },
        Fault { cut: Some(Cut::Before), times: Some(1), ..Fault::default() },
        Fault { cut: Some(Cut::Inside), times: Some(1), ..Fault::default() },
        Fault { path: Some("^/secrets/other".into()), status: Some(503), ..Fault::default() },
    ]);
    for expected in ["429", "Empty reply", "bytes"] {
        let said = read(testbed, &vault, "db", token).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(read(testbed, &vault, "db", token), Ok("one".into()));
    identity.set_faults(&[Fault { status: Some(503), ..Fault::default() }]);
    assert_eq!(exchange(testbed, &identity, "any")["error"], "temporarily_unavailable");
}

#[test]
#[ignore = "needs the testbed: make test"]
fn names_that_are_not_ours_lead_nowhere() {
    let said = attempt(Testbed::shared().tool("curl").args(["-sS", "https://example.org"])).unwrap_err();
    assert!(said.contains("403"), "{said}");
}

#[test]
#[ignore = "needs the testbed: make test"]
fn git_takes_pushes_and_gives_clones_over_https_and_ssh() {
    let testbed = Testbed::shared();
    let git = testbed.git("fleet");
    git.write("apps/kustomization.yaml", "resources: []\n");
    let commit = git.push("first");
    let head = format!("{commit}\tHEAD");
    let github = git.github_url().replacen("://", "://flux:secret@", 1);
    assert!(run(testbed.tool("git").args(["ls-remote", &github])).starts_with(&head));
    let wrong = git.github_url().replacen("://", "://flux:wrong@", 1);
    assert!(attempt(testbed.tool("git").args(["-c", "core.askPass=true", "ls-remote", &wrong])).is_err());
    let ssh = testbed.data().join("ssh");
    let command = format!("ssh -i {0}/client -o UserKnownHostsFile={0}/known_hosts", ssh.display());
    assert!(
        run(testbed.tool("git").env("GIT_SSH_COMMAND", command).args(["ls-remote", &git.ssh_url()])).starts_with(&head)
    );
}

#[test]
#[ignore = "needs the testbed: make test"]
fn a_push_sends_an_event_that_its_secret_signs() {
    let testbed = Testbed::shared();
    let receiver = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let git = testbed.git("fleet");
    git.notify(&format!("http://{}/hook", receiver.local_addr().unwrap()), "sesame");
    // The push waits for its hook, so the hook's call is answered beside it.
    let event = std::thread::spawn(move || {
        let mut call = BufReader::new(receiver.accept().unwrap().0);
        let head: Vec<String> = (&mut call).lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
        let header =
            |name: &str| head.iter().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
        let mut body = vec![0; header("Content-Length:").parse().unwrap()];
        call.read_exact(&mut body).unwrap();
        call.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        (header("X-GitHub-Event:"), header("X-Hub-Signature-256:"), body)
    });
    let commit = git.push("first");
    let (kind, signature, body) = event.join().unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"sesame").unwrap();
    mac.update(&body);
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((kind.as_str(), signature), ("push", format!("sha256={expected}")));
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((body["ref"].as_str(), body["after"].as_str()), (Some("refs/heads/main"), Some(commit.as_str())));
}

#[test]
#[ignore = "needs the testbed: make test"]
fn helm_finds_charts_in_the_repository_and_the_registry() {
    let testbed = Testbed::shared();
    let archive = chart(testbed, "judged");
    let charts = testbed.charts();
    charts.publish(&archive);
    let home = testbed.data().join("work").join(testbed::unique("helm"));
    let helm = |arguments: &[&str]| {
        run(testbed.tool("helm").env("HELM_CONFIG_HOME", &home).env("HELM_CACHE_HOME", &home).args(arguments))
    };
    let rendered = helm(&["template", "one", "judged", "--repo", &charts.real_url()]);
    assert!(rendered.contains("name: one"), "{rendered}");
    let user = ["--username", "flux", "--password", "secret"];
    helm(&[&["show", "chart", "judged", "--repo", &charts.private_url()], user.as_slice()].concat());
    assert!(attempt(testbed.tool("helm").args(["show", "chart", "judged", "--repo", &charts.private_url()])).is_err());
    let digest = testbed.push_chart(&archive, "charts");
    let shown = helm(
        &[
            &["pull", "oci://ghcr.io/charts/judged", "--version", "1.0.0", "-d", home.to_str().unwrap()],
            user.as_slice(),
        ]
        .concat(),
    );
    assert!(shown.contains(&digest), "{shown} does not name {digest}");
}

#[test]
#[ignore = "needs the testbed: make test"]
fn flux_pulls_from_the_registry_what_it_pushed() {
    let testbed = Testbed::shared();
    let (from, into) = (
        testbed.data().join("work").join(testbed::unique("from")),
        testbed.data().join("work").join(testbed::unique("into")),
    );
    std::fs::create_dir_all(&from).unwrap();
    std::fs::create_dir_all(&into).unwrap();
    std::fs::write(from.join("a.yaml"), "kind: A\n").unwrap();
    let digest = testbed.push_artifact(&from, "manifests/app", "v1");
    let mut pull = testbed.tool("flux");
    pull.args(["pull", "artifact", "oci://ghcr.io/manifests/app:v1", "--creds=flux:secret", "--output"]).arg(&into);
    let said = attempt(&mut pull);
    assert_eq!(std::fs::read_to_string(into.join("a.yaml")).ok().as_deref(), Some("kind: A\n"), "{digest}: {said:?}");
}

#[test]
#[ignore = "needs the testbed: make test"]
fn flux_source_controller_fetches_from_every_server() {
    // Its own testbed, because a controller would take up the objects of other tests.
    let testbed = Testbed::own();
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/peers");
    for script in ["crds.sh", "start.sh"] {
        run(command(&peers.join(script)).arg(testbed.data()).arg("source-controller"));
    }
    let git = testbed.git("fleet");
    git.write("a.yaml", "kind: A\n");
    let commit = git.push("first");
    let archive = chart(&testbed, "judged");
    let charts = testbed.charts();
    charts.publish(&archive);
    testbed.push_chart(&archive, "charts");
    let artifact = testbed.push_artifact(git.work(), "manifests/app", "v1");
    let ca = std::fs::read_to_string(testbed.ca()).unwrap().replace('\n', "\n    ");
    let registry = r#"{"auths": {"ghcr.io": {"username": "flux", "password": "secret"}}}"#;
    testbed.apply(&format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: user, namespace: flux-system}}\n\
         stringData:\n  username: flux\n  password: secret\n  ca.crt: |\n    {ca}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: registry, namespace: flux-system}}\n\
         type: kubernetes.io/dockerconfigjson\nstringData: {{.dockerconfigjson: '{registry}'}}\n"
    ));
    let source = |kind: &str, name: &str, spec: &str| {
        testbed.apply(&format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: flux-system}}\n\
             spec: {{interval: 1h, {spec}}}\n"
        ));
    };
    let by_user = "secretRef: {name: user}, certSecretRef: {name: user}";
    source(
        "GitRepository",
        "fleet",
        &format!("url: '{}', ref: {{branch: main}}, secretRef: {{name: user}}", git.github_url()),
    );
    source("HelmRepository", "charts", &format!("url: '{}', {by_user}", charts.private_url()));
    source("HelmChart", "judged", "chart: judged, sourceRef: {kind: HelmRepository, name: charts}");
    let oci =
        "url: 'oci://ghcr.io/manifests/app', ref: {tag: v1}, secretRef: {name: registry}, certSecretRef: {name: user}";
    source("OCIRepository", "app", oci);
    let revision = |of: &str| {
        testbed.kubectl(&["-n", "flux-system", "wait", of, "--for=condition=Ready", "--timeout=60s"]);
        testbed.kubectl(&["-n", "flux-system", "get", of, "-o", "jsonpath={.status.artifact.revision}"])
    };
    assert_eq!(revision("gitrepository/fleet"), format!("main@sha1:{commit}"));
    assert_eq!(revision("helmchart/judged"), "1.0.0");
    assert_eq!(revision("ocirepository/app"), format!("v1@{artifact}"));
}

#[test]
#[ignore = "needs the testbed: make test"]
fn microsofts_clients_accept_the_vault() {
    run(&mut Testbed::shared().tool("keyvault-clients"));
}

#[test]
#[ignore = "needs the testbed: make test"]
fn sops_encrypts_and_decrypts_with_a_key_of_the_vault_by_workload_identity() {
    let testbed = Testbed::shared();
    let (namespace, vault, identity) = workload(testbed);
    let key: serde_json::Value =
        vault.request("POST", "keys/sops/create", Some(&serde_json::json!({"kty": "RSA", "key_size": 2048})));
    let work = testbed.data().join("work").join(testbed::unique("sops"));
    std::fs::create_dir_all(&work).unwrap();
    std::fs::write(work.join("token"), testbed.token(&namespace, "agent", Some(TOKEN_AUDIENCE))).unwrap();
    std::fs::write(work.join("plain.yaml"), "password: hunter2\n").unwrap();
    let sops = |arguments: &[&str]| {
        let mut sops = testbed.tool("sops");
        sops.current_dir(&work).env("AZURE_CLIENT_ID", &identity.client_id).env("AZURE_TENANT_ID", TENANT);
        sops.env("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/")
            .env("AZURE_FEDERATED_TOKEN_FILE", work.join("token"));
        run(sops.args(arguments))
    };
    let sealed = sops(&["encrypt", "--azure-kv", key["key"]["kid"].as_str().unwrap(), "plain.yaml"]);
    assert!(!sealed.contains("hunter2"));
    std::fs::write(work.join("sealed.yaml"), sealed).unwrap();
    assert_eq!(sops(&["decrypt", "sealed.yaml"]), "password: hunter2");
}

#[test]
#[ignore = "needs the testbed: make test"]
fn each_part_answers_again_after_it_was_killed() {
    let testbed = Testbed::own();
    let (namespace, vault, identity) = workload(&testbed);
    vault.put("db", "one");
    let git = testbed.git("fleet");
    git.push("first");
    for part in [
        Part::Etcd,
        Part::ApiServer,
        Part::ControllerManager,
        Part::Scheduler,
        Part::Kwok,
        Part::Vault,
        Part::Entra,
        Part::Names,
        Part::Git,
        Part::Ssh,
        Part::Registry,
    ] {
        testbed.kill(part);
        testbed.start(part);
    }
    // Tokens of the earlier life still count: neither Kubernetes' nor Entra's key changed.
    let answer = exchange(&testbed, &identity, &testbed.token(&namespace, "agent", Some(TOKEN_AUDIENCE)));
    let token = answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}"));
    testbed.kill(Part::Entra);
    testbed.start(Part::Entra);
    assert_eq!(read(&testbed, &vault, "db", token), Ok("one".into()));
    git.push("second");
}

/// The test starts itself again in the role of the owner, and kills that.
#[test]
#[ignore = "needs the testbed: make test"]
fn nothing_is_left_when_the_owner_of_a_testbed_is_killed() {
    const ROLE: &str = "LOCKSTEP_TESTBED_OWNER";
    if std::env::var_os(ROLE).is_some() {
        let testbed = Testbed::own();
        println!("owns {}", testbed.data().display());
        std::thread::park();
    }
    let mut owner = command(&std::env::current_exe().unwrap());
    owner.args(["--ignored", "--exact", "--nocapture", "nothing_is_left_when_the_owner_of_a_testbed_is_killed"]);
    let mut owner = owner.env(ROLE, "1").stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines().map_while(Result::ok);
    let data = lines.filter_map(|l| l.split_once("owns ").map(|(_, data)| PathBuf::from(data))).next().unwrap();
    let parts = processes_of(&data);
    assert!(parts.len() >= 12, "{parts:?}");
    owner.kill().unwrap();
    owner.wait().unwrap();
    for _ in 0..600 {
        if !data.exists() && processes_of(&data).is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("still there after a minute: {:?}", processes_of(&data));
}

/// Ids of the processes whose command line names the folder.
fn processes_of(data: &Path) -> Vec<String> {
    let found = attempt(command("pgrep".as_ref()).arg("-f").arg(data)).unwrap_or_default();
    found.lines().map(str::to_owned).collect()
}
