//! What comes next, and what a person can do about it.

use std::collections::BTreeSet;

use apply::journal::{Attempt, Phase};
use apply::report::Step;
use manifest::Object;

use crate::api::condition::reason;

/// What the advice follows from.
pub(super) struct Facts<'a> {
    pub(super) object: &'a Object,
    pub(super) reason: &'a str,
    pub(super) is_ready: bool,
    pub(super) is_stalled: bool,
    pub(super) attempt: Option<&'a Attempt>,
    /// How far the open landing has come.
    pub(super) open: Option<Phase>,
}

impl Facts<'_> {
    /// When the agent looks again, and at what.
    pub(super) fn next(&self) -> String {
        let text = |field: &str| self.object.text(&format!("/spec/{field}"));
        let interval = text("interval").or(text("refreshInterval")).unwrap_or("its interval");
        let retry = text("retryInterval").unwrap_or(interval);
        if self.is_suspended() {
            return "nothing: it is suspended; a landing that is open is finished or undone".into();
        }
        match self.attempt {
            _ if self.open.is_some() => "the open landing ends: finished, or taken back".into(),
            _ if self.is_stalled => "nothing before its spec changes".into(),
            _ if self.reason == reason::DEPENDENCY_NOT_READY => "it goes on as soon as that is there".into(),
            _ if self.is_ready => format!("drift is looked for every {interval}; a changed input lands at once"),
            Some(attempt) if !attempt.transient => {
                "nothing before an input changes: a new revision, another spec, a secret's new version, or a request"
                    .into()
            }
            _ => format!("it is tried again within {retry}, or as soon as an input changes"),
        }
    }

    /// What has become of what failed to become healthy.
    fn stands(&self) -> &'static str {
        match self.open {
            Some(Phase::Held) => {
                "it was left as it stands (on-failure: hold), and a new commit or secret is tried at once"
            }
            Some(Phase::Undo) => "what was written is being taken back",
            Some(Phase::Commit | Phase::Health | Phase::Prune) => {
                "it may still become healthy, and a new commit is tried at once"
            }
            None if self.attempt.is_some() => "what failed was taken back, and its pods are gone",
            None => "what failed stands as it was written",
        }
    }

    /// Where the events of what failed are.
    fn places_of_failure(&self) -> String {
        let failures = self.attempt.iter().flat_map(|attempt| &attempt.failures);
        let words = failures.flat_map(|failure| failure.split_whitespace());
        let namespace = |word: &str| match word.trim_end_matches(':').split('/').collect::<Vec<_>>().as_slice() {
            [kind, namespace, _] if kind.starts_with(char::is_uppercase) => Some((*namespace).to_owned()),
            _ => None,
        };
        let namespaces: BTreeSet<String> = words.filter_map(namespace).collect();
        match namespaces.first() {
            Some(only) if namespaces.len() == 1 => format!("-n {only}"),
            _ => "-A".to_owned(),
        }
    }

    fn is_suspended(&self) -> bool {
        self.object.value().pointer("/spec/suspend").is_some_and(|value| value == true)
    }

    /// What helps.
    pub(super) fn what_to_do(&self) -> Vec<String> {
        let (kind, namespace, name) = (self.object.kind().to_lowercase(), self.object.namespace(), self.object.name());
        if self.is_suspended() {
            return vec![format!("resume it: flux resume {kind} {name} -n {namespace}")];
        }
        if self.is_ready && self.open.is_none() {
            return Vec::new();
        }
        let ask = format!(
            "then, or to try again now: kubectl annotate --overwrite {kind}/{name} -n {namespace} reconcile.fluxcd.io/requestedAt=\"$(date)\""
        );
        let (namespaces, stands) = (self.places_of_failure(), self.stands());
        let events = format!("kubectl get events {namespaces} --field-selector type=Warning");
        let is_undone = self.open.is_none() && self.attempt.is_some();
        let unhealthy = match is_undone {
            true => format!("commit a fix, or mend the secret that it reads: {stands}; what they said: {events}"),
            false => format!("look at the pods of what is not healthy, and at {events}: {stands}"),
        };
        let first = match self.reason {
            reason::ARTIFACT_FAILED | reason::SOURCE_NOT_READY => "mend its source, or wait until it has been fetched",
            reason::BUILD_FAILED => "mend the files that the message names, and push",
            reason::DEPENDENCY_NOT_READY => "explain what it waits for; it goes on by itself",
            reason::HEALTH_CHECK_FAILED => &unhealthy,
            reason::PRUNE_FAILED => "look for finalizers of what does not go; all else has landed",
            reason::INVALID_CEL_EXPRESSION => "mend the expression that the message names",
            reason::ACCESS_DENIED => "name objects of its own namespace, or allow references across namespaces",
            reason::UNSUPPORTED => "leave out the fields that the message names: Lockstep does not act on them yet",
            reason::PROGRESSING | "" => return vec!["wait: it is at work".into()],
            _ if self.attempt.is_some_and(|attempt| attempt.step == Step::Commit) => {
                "mend what the message names, and push: what was written of what failed was taken back"
            }
            _ => "mend what the message names; nothing of what is held was written",
        };
        let is_forbidden =
            self.attempt.is_some_and(|attempt| attempt.failures.iter().any(|cause| cause.contains("forbidden")));
        let mut advice = vec![first.to_owned()];
        if is_forbidden {
            advice.push("grant its ServiceAccount what the message says that it cannot do".into());
        }
        advice.push(ask);
        advice
    }
}
