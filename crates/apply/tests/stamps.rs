//! Stamps from landing to landing: what restarts pods, and what does not.

#![expect(clippy::expect_used, reason = "what fails here fails the test")]

#[path = "support/stage.rs"]
mod stage;

use apply::stamp::ANNOTATION;
use apply::{Behaviour, Verdict};
use futures::executor::block_on;
use serde_json::Value;
use stage::{Revision, Stage};

fn land(stage: &Stage, number: u64, rollout: bool) {
    let behaviour = Behaviour { rollout, ..Behaviour::default() };
    let outcome = block_on(stage.land(&Revision::new(number, behaviour))).expect("lands");
    assert_eq!(outcome.verdict, Verdict::Landed);
}

fn stamp(stage: &Stage) -> Option<String> {
    let annotations = &stage.picture()["Deployment web"]["spec"]["template"]["metadata"]["annotations"];
    annotations.get(ANNOTATION).and_then(Value::as_str).map(str::to_owned)
}

#[test]
fn switching_rollouts_off_and_on_restarts_nothing() {
    let stage = Stage::new(1);
    land(&stage, 1, true);
    assert_eq!(stamp(&stage), None, "adoption stamps nothing");
    land(&stage, 2, true);
    let first = stamp(&stage);
    assert!(first.is_some());
    land(&stage, 3, false);
    assert_eq!(stamp(&stage), first, "the secret changed, and nothing is rolled out");
    land(&stage, 3, true);
    assert_eq!(stamp(&stage), first, "what changed meanwhile is the baseline");
    land(&stage, 4, true);
    assert_ne!(stamp(&stage), first);
}
