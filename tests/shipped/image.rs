//! `deploy/image.sh`: what it builds is reproducible, goes through registries unchanged, and runs on nothing.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::testbed::sources::{PASSWORD, USER};
use super::testbed::{Testbed, attempt, run, unique};
use super::{checkout, files, text};

/// The image of a debug build: linking the static binary is all that it costs, seconds, since `cargo test` has built the rest.
fn image(testbed: &Testbed, folder: &Path) -> String {
    run(script(testbed).env("PROFILE", "dev").arg("build").arg(folder))
}

fn script(testbed: &Testbed) -> Command {
    let mut script = testbed.tool("bash");
    script.arg(checkout("deploy/image.sh")).env("REGISTRY_USER", USER).env("REGISTRY_PASSWORD", PASSWORD);
    script
}

/// go-containerregistry's tool, which knows the registry's password.
fn crane(testbed: &Testbed, folder: &Path, host: &str, arguments: &[&str]) -> String {
    let login = format!(r#"{{"auths": {{"{host}": {{"username": "{USER}", "password": "{PASSWORD}"}}}}}}"#);
    std::fs::write(folder.join("config.json"), login).expect("the folder can be written");
    run(testbed.tool("crane").env("DOCKER_CONFIG", folder).args(arguments))
}

fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |(name, path): (String, PathBuf)| (name, std::fs::read(path).expect("it can be read"));
    let mut content: Vec<_> = files(folder).into_iter().map(read).collect();
    content.sort();
    content
}

/// Pushes, pulls, and has crane judge: what comes back is what was built.
fn check_registry(testbed: &Testbed, host: &str, scheme: &str) {
    let room = TempDir::new().expect("a folder");
    let (built, pulled) = (room.path().join("built"), room.path().join("pulled"));
    let digest = image(testbed, &built);
    let repository = format!("{host}/{}/lockstep", unique("org"));
    let tag = concat!("v", env!("CARGO_PKG_VERSION"));
    let reference = run(script(testbed).arg("push").arg(&built).arg(format!("{scheme}{repository}")));
    assert_eq!(reference, format!("{repository}:{tag}@{digest}"));
    run(script(testbed).arg("pull").arg(format!("{scheme}{reference}")).arg(&pulled));
    assert!(content(&built) == content(&pulled), "what is pulled differs from what was pushed");
    let tagged = format!("{repository}:{tag}");
    assert_eq!(crane(testbed, room.path(), host, &["digest", &tagged]), digest);
    crane(testbed, room.path(), host, &["validate", "--remote", &tagged]);
    let exported = room.path().join("exported.tar");
    crane(testbed, room.path(), host, &["export", &tagged, &exported.to_string_lossy()]);
    check_runs_alone(testbed, &exported);
    let denied = attempt(
        script(testbed)
            .env("REGISTRY_PASSWORD", "wrong")
            .arg("push")
            .arg(&built)
            .arg(format!("{scheme}{repository}:denied")),
    );
    let said = denied.expect_err("a wrong password is refused");
    assert!(said.contains("401") && !said.contains("wrong"), "{said}");
}

/// Runs the image's binary as its user, on its files and nothing else.
fn check_runs_alone(testbed: &Testbed, exported: &Path) {
    let root = TempDir::new().expect("a folder");
    run(testbed.tool("tar").arg("-xpf").arg(exported).arg("-C").arg(root.path()));
    let mut names: Vec<_> = files(root.path()).into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(names, ["etc/ssl/certs/ca-certificates.crt", "lockstep"]);
    assert!(text(&root.path().join("etc/ssl/certs/ca-certificates.crt")).contains("BEGIN CERTIFICATE"));
    run(testbed.tool("chmod").arg("755").arg(root.path()));
    let mut chroot = testbed.tool("chroot");
    let answer = run(chroot.arg("--userspec=65532:65532").arg(root.path()).args(["/lockstep", "version"]));
    assert!(answer.contains(env!("CARGO_PKG_VERSION")), "{answer}");
}

/// A registry of the test's own that wants tokens, over plain HTTP on loopback.
struct Tokens {
    process: Child,
    host: String,
}

impl Tokens {
    fn start(testbed: &Testbed) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let host = format!("127.0.0.1:{port}");
        let mut oci = testbed.tool("oci");
        oci.args(["-listen", &host, "-user", &format!("{USER}:{PASSWORD}"), "-token"]).stderr(Stdio::null());
        let process = oci.spawn().expect("it is built");
        let patience = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(&host).is_err() {
            assert!(Instant::now() < patience, "the registry does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, host }
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.process.kill().expect("it is our child");
        self.process.wait().expect("it is our child");
    }
}

#[test]
#[ignore = "needs the testbed: make test"]
fn the_image_goes_through_registries_unchanged_and_runs_alone() {
    let testbed = Testbed::shared();
    check_registry(testbed, testbed.value("TESTBED_REGISTRY"), "");
    let tokens = Tokens::start(testbed);
    check_registry(testbed, &tokens.host, "http://");
}

#[test]
#[ignore = "needs the testbed: make test"]
fn a_password_never_travels_over_plain_http() {
    let testbed = Testbed::shared();
    let folder = TempDir::new().expect("a folder");
    let said = attempt(script(testbed).args(["push"]).arg(folder.path()).arg("http://registry.example.com/lockstep"));
    assert!(said.expect_err("it is refused").contains("loopback"));
}
