//! What is asked of a HelmRelease by annotations, as `flux reconcile helmrelease --force` and `--reset` write them: an upgrade
//! without a change, and another attempt of what has failed. Each acts once, and only with a request to reconcile of its value.

use super::*;

const RELEASE: (&str, &str) = ("helm.toolkit.fluxcd.io/v2", "HelmRelease");

impl Stage {
    /// A release that stands alone is installed.
    async fn alone() -> Self {
        let stage = Self::new().await;
        stage.publish("1.0.0", &[]);
        stage.apply(Self::repository()).await;
        stage.apply(Self::release(json!({}))).await;
        stage.ready("HelmRelease", "web", "True", "InstallSucceeded").await;
        stage
    }

    /// A release of a Kustomization is installed; the commit.
    async fn in_a_kustomization() -> (Self, String) {
        let stage = Self::new().await;
        stage.publish("1.0.0", &[]);
        let commit = stage.commit(&[Self::repository(), Self::release(json!({}))]);
        stage.kustomization().await;
        stage.answered(&commit, "True").await;
        stage.ready("HelmRelease", "web", "True", "InstallSucceeded").await;
        (stage, commit)
    }

    /// There are two revisions more than `before`.
    async fn was_tried_and_taken_back(&self, before: &[(i64, String)]) {
        let (before, after) = (before.last().map(|last| last.0), self.statuses().await);
        assert_eq!(after.last().map(|last| last.0), before.map(|last| last + 2), "{after:?}");
    }

    /// Annotates the release.
    async fn ask(&self, requests: &[(&str, &str)]) {
        let at = Reference::new(RELEASE.0, RELEASE.1, NAMESPACE, "web");
        let requests = requests.iter().map(|(name, value)| (format!("reconcile.fluxcd.io/{name}"), json!(value)));
        let annotations: serde_json::Map<_, _> = requests.collect();
        let patch = json!({"metadata": {"annotations": annotations}});
        let (kind, manager) = (apply::cluster::PatchKind::Merge, "flux".into());
        let call = Call::Patch { at, kind, patch, manager, dry_run: false, subresource: None };
        self.cluster.write(call).await.expect("it is accepted");
    }

    /// Waits until the release's status says that a request was handled.
    async fn handled(&self, field: &str, value: &str) -> Object {
        let at = Reference::new(RELEASE.0, RELEASE.1, NAMESPACE, "web");
        let pointer = format!("/status/{field}");
        let is_so = |found: Option<&Object>| found.is_some_and(|found| found.text(&pointer) == Some(value));
        self.until(&at, &format!("{field} = {value}"), is_so).await.expect("it is there")
    }
}

/// Forces the release, and asks in ways that force nothing.
async fn force(stage: &Stage) {
    assert_eq!(stage.statuses().await, pairs(&[(1, "deployed")]));
    stage.ask(&[("forceAt", "a")]).await;
    stage.ask(&[("requestedAt", "b")]).await;
    stage.handled("lastHandledReconcileAt", "b").await;
    stage.ask(&[("forceAt", "c"), ("requestedAt", "c")]).await;
    stage.handled("lastHandledForceAt", "c").await;
    let forced = pairs(&[(1, "superseded"), (2, "deployed")]);
    assert_eq!(stage.statuses().await, forced, "one upgrade, by the request whose value is that of requestedAt");
    stage.ask(&[("requestedAt", "d")]).await;
    stage.handled("lastHandledReconcileAt", "d").await;
    stage.ask(&[("requestedAt", "c")]).await;
    stage.handled("lastHandledReconcileAt", "c").await;
    assert_eq!(stage.statuses().await, forced, "it acts once");
    stage.ask(&[("forceAt", "e"), ("requestedAt", "e")]).await;
    stage.handled("lastHandledForceAt", "e").await;
    assert_eq!(stage.statuses().await, pairs(&[(1, "superseded"), (2, "superseded"), (3, "deployed")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_stands_alone_is_upgraded_once_when_it_is_forced() {
    let stage = Stage::alone().await;
    force(&stage).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_a_kustomization_is_upgraded_once_when_it_is_forced() {
    let (stage, _) = Stage::in_a_kustomization().await;
    force(&stage).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_has_failed_is_tried_again_when_it_is_reset_and_its_failures_count_anew() {
    let stage = Stage::alone().await;
    stage.apply(Stage::release(json!({"values": {"fail": "true"}}))).await;
    let failed = stage.ready("HelmRelease", "web", "False", "RollbackSucceeded").await;
    assert_eq!(failed.value()["status"]["upgradeFailures"], 1);
    let before = stage.statuses().await;
    stage.ask(&[("resetAt", "a"), ("requestedAt", "a")]).await;
    let again = stage.handled("lastHandledResetAt", "a").await;
    assert_eq!(again.value()["status"]["upgradeFailures"], 1, "it counts anew: {}", again.value()["status"]);
    stage.was_tried_and_taken_back(&before).await;
    stage.end().await;
}

/// A newer chart fails; its Kustomization stands at the older one, and tries again when somebody asks.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_a_kustomization_is_tried_again_when_it_is_reset() {
    let (stage, commit) = Stage::in_a_kustomization().await;
    let values = "tag: one\nfail: 'true'\npassword: plain\n";
    stage.publish("1.1.0", &[("values.yaml", values)]);
    stage.ready("HelmRelease", "web", "False", "RollbackSucceeded").await;
    stage.answered(&commit, "False").await;
    let before = stage.statuses().await;
    stage.ask(&[("resetAt", "a"), ("requestedAt", "a")]).await;
    stage.handled("lastHandledResetAt", "a").await;
    stage.was_tried_and_taken_back(&before).await;
    stage.end().await;
}
