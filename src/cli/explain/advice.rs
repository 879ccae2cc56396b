//! What comes next, and what a person can do about it.

use apply::journal::Attempt;
use manifest::Object;

use crate::api::condition::reason;

/// What the advice follows from.
pub(super) struct Facts<'a> {
    pub(super) object: &'a Object,
    pub(super) reason: &'a str,
    pub(super) is_ready: bool,
    pub(super) is_stalled: bool,
    pub(super) attempt: Option<&'a Attempt>,
    pub(super) is_open: bool,
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
            _ if self.is_open => "the open landing ends: finished, or taken back".into(),
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

    fn is_suspended(&self) -> bool {
        self.object.value().pointer("/spec/suspend").is_some_and(|value| value == true)
    }

    /// What helps.
    pub(super) fn what_to_do(&self) -> Vec<String> {
        let (kind, namespace, name) = (self.object.kind().to_lowercase(), self.object.namespace(), self.object.name());
        if self.is_suspended() {
            return vec![format!("resume it: flux resume {kind} {name} -n {namespace}")];
        }
        if self.is_ready && !self.is_open {
            return Vec::new();
        }
        let ask = format!(
            "then, or to try again now: kubectl annotate --overwrite {kind}/{name} -n {namespace} reconcile.fluxcd.io/requestedAt=\"$(date)\""
        );
        let first = match self.reason {
            reason::ARTIFACT_FAILED | reason::SOURCE_NOT_READY => "mend its source, or wait until it has been fetched",
            reason::BUILD_FAILED => "mend the files that the message names, and push",
            reason::DEPENDENCY_NOT_READY => "explain what it waits for; it goes on by itself",
            reason::HEALTH_CHECK_FAILED => {
                "look at the pods of what failed; what was written is taken back, and a new commit or secret is tried at once"
            }
            reason::PRUNE_FAILED => "look for finalizers of what does not go; all else has landed",
            reason::INVALID_CEL_EXPRESSION => "mend the expression that the message names",
            reason::ACCESS_DENIED => "name objects of its own namespace, or allow references across namespaces",
            reason::UNSUPPORTED => "leave out the fields that the message names: Lockstep does not act on them yet",
            reason::PROGRESSING | "" => return vec!["wait: it is at work".into()],
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
