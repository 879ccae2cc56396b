//! What a wait follows: its targets by kind and namespace, and the pods of those that are judged by their pods.

use std::collections::BTreeMap;
use std::time::Duration;

use apply::{ClusterError, Reference, Selection, WatchEvent};
use jiff::Timestamp;
use manifest::{Gvk, Object};
use serde_json::Value;

use super::{Health, Reading, Rules, rules};

/// The targets of a wait, with what is known of them.
pub(super) struct Followed<'a> {
    rules: &'a Rules,
    groups: Vec<Group>,
    /// Targets that may be judged anew without an event of their own.
    held: BTreeMap<Reference, Object>,
    /// Namespace -> pod -> what counts of it, where StatefulSets or ReplicaSets wait.
    pods: BTreeMap<String, BTreeMap<String, Pod>>,
}

/// The targets of one kind in one namespace: one watch.
struct Group {
    gvk: Gvk,
    namespace: String,
    targets: BTreeMap<String, Reference>,
    /// All pods of the namespace count.
    all_pods: bool,
}

struct Pod {
    labels: Value,
    failed: bool,
}

/// States that an event brought.
type Seen = Vec<(Reference, Health)>;

impl<'a> Followed<'a> {
    pub(super) fn new<'b>(targets: impl Iterator<Item = &'b Reference>, rules: &'a Rules) -> Self {
        let mut groups: BTreeMap<(Gvk, String), Group> = BTreeMap::new();
        for at in targets {
            let mut group = |gvk: &Gvk| {
                let key = (gvk.clone(), at.namespace.clone());
                let (gvk, namespace) = key.clone();
                groups.entry(key).or_insert(Group { gvk, namespace, targets: BTreeMap::new(), all_pods: false });
            };
            group(&at.gvk);
            let pods = Gvk::new("v1", "Pod");
            if is_judged_by_pods(at) && rules.reading != Reading::HelmHooks {
                group(&pods);
                if let Some(group) = groups.get_mut(&(pods, at.namespace.clone())) {
                    group.all_pods = true;
                }
            }
            if let Some(group) = groups.get_mut(&(at.gvk.clone(), at.namespace.clone())) {
                group.targets.insert(at.name.clone(), at.clone());
            }
        }
        Self { rules, groups: groups.into_values().collect(), held: BTreeMap::new(), pods: BTreeMap::new() }
    }

    /// What to watch, in the order of the groups.
    pub(super) fn selections(&self) -> Vec<Selection> {
        self.groups.iter().map(Group::selection).collect()
    }

    /// Takes an event of one group.
    pub(super) fn take(&mut self, index: usize, event: Result<WatchEvent, ClusterError>, now: Timestamp) -> Seen {
        let Some(group) = self.groups.get(index) else { return Vec::new() };
        let all: Vec<Reference> = group.targets.values().cloned().collect();
        let (namespace, all_pods) = (group.namespace.clone(), group.all_pods);
        let mut seen = Vec::new();
        match event {
            Ok(WatchEvent::Reset(objects)) => {
                self.pods
                    .remove(&namespace)
                    .filter(|_| !all_pods)
                    .map(|pods| self.pods.insert(namespace.clone(), pods));
                let gone = all.iter().filter(|at| objects.iter().all(|object| object.name() != at.name));
                seen.extend(gone.map(|at| (at.clone(), Health::NotFound)));
                for object in objects {
                    self.applied(index, object, now, &mut seen);
                }
            }
            Ok(WatchEvent::Applied(object)) => self.applied(index, object, now, &mut seen),
            Ok(WatchEvent::Deleted(object)) => {
                self.pods.entry(namespace.clone()).or_default().remove(object.name());
                let gone = all.into_iter().find(|at| at.name == object.name());
                seen.extend(gone.map(|at| (at, Health::NotFound)));
            }
            Err(error) => {
                let unknown = Health::Unknown { message: error.to_string() };
                seen.extend(all.into_iter().map(|at| (at, unknown.clone())));
            }
        }
        for (at, _) in seen.iter().filter(|(_, health)| *health == Health::NotFound) {
            self.held.remove(at);
        }
        if all_pods {
            seen.extend(self.judge_controllers(&namespace, now));
        }
        seen
    }

    fn applied(&mut self, index: usize, object: Object, now: Timestamp, seen: &mut Seen) {
        let Some(group) = self.groups.get(index) else { return };
        if group.all_pods {
            let labels = object.value().pointer("/metadata/labels").cloned().unwrap_or_default();
            let failed = rules::has_failed_for_good(&object, now);
            let pods = self.pods.entry(group.namespace.clone()).or_default();
            pods.insert(object.name().into(), Pod { labels, failed });
        }
        if let Some(at) = group.targets.get(object.name()).cloned() {
            seen.push((at.clone(), self.judge(&object, now)));
            if is_judged_by_pods(&at) || at.gvk.kind == "Pod" {
                self.held.insert(at, object);
            }
        }
    }

    /// Judges what may have changed by time alone.
    pub(super) fn judge_all(&self, now: Timestamp) -> Seen {
        self.held.iter().map(|(at, object)| (at.clone(), self.judge(object, now))).collect()
    }

    fn judge_controllers(&self, namespace: &str, now: Timestamp) -> Seen {
        let held = self.held.iter().filter(|(at, _)| at.namespace == namespace && is_judged_by_pods(at));
        held.map(|(at, object)| (at.clone(), self.judge(object, now))).collect()
    }

    /// Judges an object; a controller of pods in progress has failed when one of its pods has.
    fn judge(&self, object: &Object, now: Timestamp) -> Health {
        let health = self.rules.judge(object, now);
        let at = Reference::of(object);
        if !matches!(health, Health::InProgress { .. }) || !is_judged_by_pods(&at) {
            return health;
        }
        let selector = object.value().pointer("/spec/selector").unwrap_or(&Value::Null);
        let pods = self.pods.get(&at.namespace).into_iter().flat_map(BTreeMap::values);
        match pods.filter(|pod| pod.failed && selects(selector, &pod.labels)).count() {
            0 => health,
            count => Health::Failed { message: format!("{count} pods have failed") },
        }
    }

    /// When a pod that waits for a node counts as failed.
    pub(super) fn next_change(&self, now: Timestamp) -> Option<Duration> {
        let changes = self.held.values().filter_map(rules::unschedulable_at);
        let next = changes.filter(|at| *at > now).min()?;
        Duration::try_from(next.duration_since(now)).ok()
    }
}

impl Group {
    /// A single target is watched alone, so that its siblings need not be told. Of workloads many units wait at once: they
    /// share a watch.
    fn selection(&self) -> Selection {
        let only = self.targets.values().next().filter(|_| self.targets.len() == 1 && !self.all_pods);
        let selection = match only {
            Some(only) => Selection::one(only),
            None if self.namespace.is_empty() => Selection::all(&self.gvk.api_version(), &self.gvk.kind),
            None => Selection::all(&self.gvk.api_version(), &self.gvk.kind).within(&self.namespace),
        };
        if is_workload(&self.gvk) { selection.shared() } else { selection }
    }
}

fn is_workload(gvk: &Gvk) -> bool {
    matches!(gvk.group.as_str(), "apps" | "batch") || (gvk.group.is_empty() && gvk.kind == "Pod")
}

/// kstatus' pod controllers.
fn is_judged_by_pods(at: &Reference) -> bool {
    at.gvk.group == "apps" && matches!(at.gvk.kind.as_str(), "StatefulSet" | "ReplicaSet")
}

/// Whether a `LabelSelector` fits labels. One that is not there fits nothing.
fn selects(selector: &Value, labels: &Value) -> bool {
    let has = |key: &str| labels.get(key).and_then(Value::as_str);
    let wanted = selector.get("matchLabels").and_then(Value::as_object);
    let rules = selector.get("matchExpressions").and_then(Value::as_array);
    let by_label = wanted.into_iter().flatten().all(|(key, value)| has(key) == value.as_str());
    let by_rule = rules.into_iter().flatten().all(|rule| {
        let found = rule.get("key").and_then(Value::as_str).and_then(has);
        let values = rule.get("values").and_then(Value::as_array);
        let among = found.is_some_and(|found| values.into_iter().flatten().any(|value| value == found));
        match rule.get("operator").and_then(Value::as_str) {
            Some("In") => among,
            Some("NotIn") => !among,
            Some("Exists") => found.is_some(),
            Some("DoesNotExist") => found.is_none(),
            _ => false,
        }
    });
    (wanted.is_some() || rules.is_some()) && by_label && by_rule
}
