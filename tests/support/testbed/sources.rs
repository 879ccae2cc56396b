//! Git repositories, Helm repositories and the OCI registry. All are reached as user `flux` with password `secret`.

use std::path::{Path, PathBuf};

use super::{Testbed, command, run, unique};

/// User of Git, of private charts and of the OCI registry.
pub const USER: &str = "flux";
/// Password of [`USER`].
pub const PASSWORD: &str = "secret";

/// A Git repository of the test's own, with the branch `main`.
pub struct Git<'a> {
    testbed: &'a Testbed,
    /// `owner/name`.
    pub path: String,
    work: PathBuf,
}

/// A Helm repository of the test's own.
pub struct Charts<'a> {
    testbed: &'a Testbed,
    name: String,
}

impl Testbed {
    /// Creates an empty repository.
    pub fn git(&self, name: &str) -> Git<'_> {
        let path = format!("{}/{name}", unique("org"));
        let (bare, work) = (self.data.join("repos").join(&path), self.data.join("work").join(&path));
        run(self.tool("git").args(["init", "-q", "--bare", "-b", "main"]).arg(&bare));
        run(self.tool("git").arg("-C").arg(&bare).args(["config", "http.receivepack", "true"]));
        run(self.tool("git").arg("-C").arg(&bare).args(["config", "uploadpack.allowFilter", "true"]));
        run(self.tool("git").args(["init", "-q", "-b", "main"]).arg(&work));
        Git { testbed: self, path, work }
    }

    /// A Helm repository without charts.
    pub fn charts(&self) -> Charts<'_> {
        let charts = Charts { testbed: self, name: unique("charts") };
        std::fs::create_dir_all(charts.folder()).expect("the data folder can be written");
        charts.index();
        charts
    }

    /// Packages a chart's folder, and gives its archive.
    pub fn package(&self, chart: &Path) -> PathBuf {
        self.package_with(chart, &[])
    }

    /// As [`Testbed::package`], with flags of `helm package`.
    pub fn package_with(&self, chart: &Path, flags: &[&str]) -> PathBuf {
        let folder = self.data.join("work").join(unique("chart"));
        let said = run(self.tool("helm").arg("package").arg(chart).arg("-d").arg(folder).args(flags));
        PathBuf::from(said.rsplit(": ").next().expect("helm says where"))
    }

    /// Pushes a chart's archive to `oci://<registry>/<repository>/<chart>:<version>`, and gives its digest.
    pub fn push_chart(&self, archive: &Path, repository: &str) -> String {
        let mut helm = self.tool("helm");
        helm.args(["push", "--username", USER, "--password", PASSWORD, "--ca-file"]).arg(self.ca()).arg(archive);
        // Where a command writes its digest is helm's own choice, and changes.
        helm.arg(format!("oci://{}/{repository}", self.value("TESTBED_REGISTRY")));
        let done = helm.output().expect("helm is built");
        let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(done.status.success(), "helm push failed:\n{said}");
        let digest = said.lines().find_map(|l| l.strip_prefix("Digest: "));
        digest.unwrap_or_else(|| panic!("helm push names no digest:\n{said}")).to_owned()
    }

    /// Pushes a folder as Flux's OCI artifact to `<registry>/<repository>:<tag>`, and gives its digest.
    pub fn push_artifact(&self, folder: &Path, repository: &str, tag: &str) -> String {
        let mut flux = self.tool("flux");
        flux.args(["push", "artifact", "--source=test", "--output=json", "--revision=main@sha1:0"]);
        flux.arg(format!("--creds={USER}:{PASSWORD}")).arg("--path").arg(folder);
        let said = run(flux.arg(format!("oci://{}/{repository}:{tag}", self.value("TESTBED_REGISTRY"))));
        let answer: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{said}: {e}"));
        answer["digest"].as_str().expect("a push has a digest").to_owned()
    }
}

impl Git<'_> {
    /// Its URL on loopback.
    pub fn url(&self) -> String {
        format!("{}/{}", self.testbed.value("TESTBED_GIT"), self.path)
    }

    /// Its URL as on GitHub, which resolves through the proxy of [`Testbed::environment`].
    pub fn github_url(&self) -> String {
        format!("https://github.com/{}", self.path)
    }

    /// Its URL over ssh on loopback; the key is `ssh/client` below [`Testbed::data`], beside `ssh/known_hosts`.
    pub fn ssh_url(&self) -> String {
        format!("{}{}", self.testbed.value("TESTBED_SSH"), self.testbed.data.join("repos").join(&self.path).display())
    }

    /// The work tree that [`Git::push`] commits, to edit at will.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Makes the work tree equal to a folder.
    pub fn take_over(&self, folder: &Path) {
        run(command("find".as_ref())
            .arg(&self.work)
            .args("-mindepth 1 -maxdepth 1 ! -name .git -exec rm -rf {} +".split(' ')));
        run(command("cp".as_ref()).arg("-a").arg(folder.join(".")).arg(&self.work));
    }

    /// Writes a file of the work tree.
    pub fn write(&self, path: &str, content: &str) {
        let file = self.work.join(path);
        std::fs::create_dir_all(file.parent().expect("it lies in the work tree"))
            .expect("the data folder can be written");
        std::fs::write(file, content).expect("the data folder can be written");
    }

    /// Commits the work tree as it is, pushes it to `main` over https, and gives the commit's id.
    pub fn push(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        let with_user = self.url().replacen("://", &format!("://{USER}:{PASSWORD}@"), 1);
        self.git(&["push", "-q", "-f", &with_user, "HEAD:main"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git in the work tree.
    pub fn git(&self, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
        run(self.testbed.tool("git").arg("-C").arg(&self.work).args(identity).args(arguments))
    }

    /// Has each push send a GitHub push event to `url`, signed with `secret`.
    pub fn notify(&self, url: &str, secret: &str) {
        let bare = self.testbed.data.join("repos").join(&self.path);
        for (name, value) in [("hook.url", url), ("hook.secret", secret)] {
            run(self.testbed.tool("git").arg("-C").arg(&bare).args(["config", name, value]));
        }
        std::os::unix::fs::symlink(super::scripts().join("git/post-receive"), bare.join("hooks/post-receive"))
            .expect("it is not there yet");
    }
}

impl Charts<'_> {
    /// Its URL on loopback.
    pub fn url(&self) -> String {
        format!("{}/charts/{}", self.testbed.value("TESTBED_GIT"), self.name)
    }

    /// Its URL on loopback where it wants [`USER`] and [`PASSWORD`].
    pub fn private_url(&self) -> String {
        format!("{}/private-charts/{}", self.testbed.value("TESTBED_GIT"), self.name)
    }

    /// Its URL under a real name, which resolves through the proxy of [`Testbed::environment`].
    pub fn real_url(&self) -> String {
        format!("https://charts.example.com/charts/{}", self.name)
    }

    /// Adds a chart's archive.
    pub fn publish(&self, archive: &Path) {
        let name = archive.file_name().expect("an archive is a file");
        std::fs::copy(archive, self.folder().join(name)).expect("the data folder can be written");
        self.index();
    }

    fn index(&self) {
        run(self.testbed.tool("helm").args(["repo", "index"]).arg(self.folder()));
    }

    fn folder(&self) -> PathBuf {
        self.testbed.data.join("charts").join(&self.name)
    }
}
