//! HelmReleases on a real API server, and Helm's own command line on what they leave there.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/chart.rs"]
mod chart;
#[path = "support/testbed.rs"]
mod testbed;

use std::path::PathBuf;

use agent::{Agent, condition};
use serde_json::Value;
use testbed::sources::Charts;
use testbed::{Testbed, run};

struct Scene {
    testbed: &'static Testbed,
    agent: Agent<'static>,
    charts: Charts<'static>,
}

impl Scene {
    fn new(name: &str) -> Self {
        let testbed = Testbed::shared();
        Self { testbed, agent: Agent::of_namespace(testbed, name), charts: testbed.charts() }
    }

    fn publish(&self, version: &str) {
        let folder: PathBuf = self.testbed.data().join("work").join(format!("{}-{version}", self.agent.namespace));
        for (name, text) in chart::chart(version, &[]) {
            let file = folder.join("web").join(name);
            std::fs::create_dir_all(file.parent().expect("it has a folder")).expect("the data folder can be written");
            std::fs::write(file, text).expect("the data folder can be written");
        }
        self.charts.publish(&self.testbed.package(&folder.join("web")));
    }

    fn release(&self, version: &str, more: &str) {
        let (namespace, url) = (&self.agent.namespace, self.charts.url());
        self.testbed.apply(&format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {{name: charts, namespace: {namespace}}}\n\
             spec: {{url: '{url}', interval: 2s}}\n---\n\
             apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: web, namespace: {namespace}}}\n\
             spec:\n  interval: 1h\n  timeout: 30s\n{more}  chart:\n    spec: {{chart: web, version: '{version}', \
             sourceRef: {{kind: HelmRepository, name: charts}}}}\n"
        ));
    }

    fn helm(&self, arguments: &[&str]) -> String {
        run(self.testbed.tool("helm").args(arguments).args(["-n", &self.agent.namespace]))
    }

    /// Revision, status and description of each entry of `helm history`.
    fn history(&self) -> Vec<(i64, String, String)> {
        let said: Value =
            serde_json::from_str(&self.helm(&["history", "web", "-o", "json"])).expect("helm writes JSON");
        let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let entries = said.as_array().expect("a list").iter();
        entries
            .map(|entry| {
                let revision = entry["revision"].as_i64().expect("a number");
                (revision, text(entry, "status"), text(entry, "description"))
            })
            .collect()
    }

    fn statuses(&self) -> Vec<(i64, String)> {
        self.history().into_iter().map(|(revision, status, _)| (revision, status)).collect()
    }
}

fn pairs(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
    expected.iter().map(|(revision, status)| (*revision, (*status).to_owned())).collect()
}

#[test]
#[ignore = "needs the testbed: make test"]
fn helm_reads_what_was_installed_upgraded_and_taken_back_and_rolls_it_back_itself() {
    let scene = Scene::new("helm");
    scene.publish("1.0.0");
    scene.release("*", "  values: {tag: first}\n");
    let installed = scene.agent.ready("helmrelease/web", "True", "InstallSucceeded");
    let namespace = &scene.agent.namespace;
    assert_eq!(
        condition(&installed, "Released")["message"],
        format!("Helm install succeeded for release {namespace}/web.v1 with chart web@1.0.0")
    );
    let list: Value = serde_json::from_str(&scene.helm(&["list", "-o", "json"])).expect("helm writes JSON");
    assert_eq!(
        (&list[0]["name"], &list[0]["status"], &list[0]["chart"]),
        (&"web".into(), &"deployed".into(), &"web-1.0.0".into())
    );
    assert_eq!(scene.helm(&["get", "values", "web", "-o", "json"]), r#"{"tag":"first"}"#);
    let manifest = scene.helm(&["get", "manifest", "web"]);
    assert!(
        manifest.contains("image: web:first") && manifest.contains("helm.toolkit.fluxcd.io/name: web"),
        "{manifest}"
    );
    assert!(scene.helm(&["get", "hooks", "web"]).contains("name: migrate"));
    assert!(scene.agent.get("serviceaccount/migrate").is_none(), "the hook's account is cleared up");

    scene.publish("1.1.0");
    scene.agent.ready("helmrelease/web", "True", "UpgradeSucceeded");
    assert_eq!(scene.statuses(), pairs(&[(1, "superseded"), (2, "deployed")]));

    scene.release("*", "  values: {tag: bad, fail: 'true'}\n");
    let back = scene.agent.ready("helmrelease/web", "False", "RollbackSucceeded");
    let failed = condition(&back, "Released")["message"].as_str().expect("a message").to_owned();
    assert!(failed.contains("CrashLoopBackOff"), "{failed}");
    assert_eq!(scene.statuses(), pairs(&[(1, "superseded"), (2, "superseded"), (3, "failed"), (4, "deployed")]));
    assert_eq!(scene.history()[3].2, "Rollback to 2");
    assert!(scene.helm(&["get", "manifest", "web"]).contains("image: web:first"));

    // Helm's own rollback takes our records; the next look brings back what is declared. The fields belong to Flux's
    // manager, as in Flux: Helm asks whether it may take them.
    scene.release("1.1.0", "  values: {tag: second}\n");
    scene.agent.ready("helmrelease/web", "True", "UpgradeSucceeded");
    scene.helm(&["rollback", "web", "1", "--force-conflicts"]);
    let image =
        |wanted: &'static str| move |web: &Value| web["spec"]["template"]["spec"]["containers"][0]["image"] == wanted;
    scene.agent.until("deployment/web", image("web:first"));
    assert_eq!(scene.statuses().last(), Some(&(6, "deployed".to_owned())));
    scene.agent.request("helmrelease/web");
    scene.agent.until("deployment/web", image("web:second"));
    scene.agent.until("helmrelease/web", |release| release["status"]["history"][0]["version"] == 7);
    assert_eq!(scene.statuses().len(), 5, "no more than maxHistory are kept");

    scene.testbed.kubectl(&["delete", "helmrelease", "web", "-n", namespace, "--timeout=60s"]);
    assert!(scene.agent.get("deployment/web").is_none());
    assert!(scene.agent.get("job/farewell").is_some(), "the hook before the end ran");
    assert_eq!(scene.helm(&["list", "-o", "json"]), "[]");
}
