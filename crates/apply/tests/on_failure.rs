//! `on-failure: continue`: what failed stays out, with all that needs it; the rest is written.

#![expect(clippy::expect_used, reason = "what fails here fails the test")]

#[path = "support/stage.rs"]
mod stage;

use apply::fault::{self, Fault};
use apply::{Behaviour, Call, ClusterError, OnFailure, Outcome, Verdict};
use futures::executor::block_on;
use serde_json::Value;
use stage::{Revision, Stage};

/// Revision 2 over revision 1, with an error at each write of the Secret after its trial.
fn landed_without_its_secret(error: &ClusterError) -> (Stage, Outcome) {
    let stage = Stage::new(3);
    let behaviour = Behaviour { on_failure: OnFailure::Continue, ..Behaviour::default() };
    block_on(stage.land(&Revision::new(1, behaviour.clone()))).expect("lands");
    let error = error.clone();
    stage.cluster.restart(Box::new(move |attempt| {
        let is_secret =
            matches!(attempt.call, Call::Apply { object, dry_run: false, .. } if object.is_secret() && object.name() == "db");
        is_secret.then(|| Fault::Before(error.clone()))
    }));
    let outcome = block_on(stage.land(&Revision::new(2, behaviour))).expect("an outcome");
    (stage, outcome)
}

/// Of the ConfigMap, and of the workload that reads the Secret.
fn revisions(stage: &Stage) -> [Value; 2] {
    let picture = stage.picture();
    let workload = &picture["Deployment web"]["spec"]["template"]["metadata"]["annotations"]["revision"];
    [picture["ConfigMap settings"]["data"]["revision"].clone(), workload.clone()]
}

#[test]
fn a_workload_is_not_written_when_its_secret_is_refused_at_its_write() {
    let refused = ClusterError::Refused { id: None, message: "a policy refuses it".into(), fields: Vec::new() };
    let (stage, outcome) = landed_without_its_secret(&refused);
    assert_eq!(revisions(&stage), ["2", "1"]);
    let told: Vec<String> = outcome.failures.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("a policy refuses it"), "{told:?}");
    assert!(
        told[1].contains("Deployment/app/web: not written: Secret/app/db could not be, which it needs"),
        "{told:?}"
    );
    stage.assert_no_consumer_was_newer_than_its_secret("continue");
}

#[test]
fn it_is_written_once_its_secret_can_be() {
    let busy = ClusterError::Unavailable { id: None, message: "busy".into(), retry_after: None };
    let (stage, outcome) = landed_without_its_secret(&busy);
    assert_eq!(outcome.verdict, Verdict::Held, "what may pass is tried again");
    assert_eq!(revisions(&stage), ["2", "1"]);
    stage.cluster.restart(fault::none());
    block_on(stage.resume()).expect("resumes");
    assert_eq!(revisions(&stage), ["2", "2"]);
    stage.assert_no_consumer_was_newer_than_its_secret("continue");
}
