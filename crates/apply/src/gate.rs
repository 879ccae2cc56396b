//! Barriers of webhooks: what a webhook judges that a workload of the same landing serves is written only when that
//! workload is ready, and after the webhook's own configuration. Undoing keeps to the same: first the workload goes back,
//! and what it judges follows when it is ready again.
//!
//! Barriers of APIs: the objects of an APIService of the landing are written when the workloads that serve it are ready and it
//! is available. Nobody knows their kinds before that, so that they are tried then. Undoing keeps to the same; but what
//! came with its API goes before it.

use std::collections::{BTreeMap, BTreeSet};

use manifest::{Object, ObjectId};

use crate::change::{Landing, Prior, Step};
use crate::desired::{Declarer, Desired};
use crate::order::Stage;
use crate::parcels::{edges, relations, webhooks};
use crate::reads;

/// What waits for the same workloads.
#[derive(Default)]
pub(crate) struct Gate {
    /// Workloads that serve the webhooks.
    pub(crate) servers: BTreeSet<ObjectId>,
    /// Configurations of the webhooks, and definitions of kinds that are converted by one.
    pub(crate) askers: BTreeSet<ObjectId>,
    /// API services among them: they have to be available, too.
    pub(crate) apis: BTreeSet<ObjectId>,
    /// What is judged, or of such an API.
    pub(crate) judged: BTreeSet<ObjectId>,
    /// The latter alone.
    served: BTreeSet<ObjectId>,
    /// What the server's messages call the webhooks.
    pub(crate) names: BTreeSet<String>,
}

impl Gate {
    /// Whether the landing brings other pods of a workload that serves: then nobody knows yet how it will judge.
    fn changes(&self, landing: &Landing) -> bool {
        let servers = landing.changes().filter(|change| self.servers.contains(&change.desired.object.id()));
        let template = |object: &Object| {
            let at = reads::pod_template(object)?;
            object.value().pointer(at).cloned()
        };
        let serves_anew = servers.into_iter().any(|change| match &change.prior {
            Prior::Landed(landed) => template(&landed.object) != template(&change.desired.object),
            Prior::Absent | Prior::Adopted(_) => true,
        });
        let spec = |object: &Object| object.value().get("spec").cloned();
        let mut apis = landing.changes().filter(|change| self.apis.contains(&change.desired.object.id()));
        serves_anew
            || apis.any(|change| match &change.prior {
                Prior::Landed(landed) => spec(&landed.object) != spec(&change.desired.object),
                Prior::Absent | Prior::Adopted(_) => true,
            })
    }

    /// Whether an object comes behind it.
    pub(crate) fn holds(&self, id: &ObjectId) -> bool {
        self.judged.contains(id) || self.askers.contains(id)
    }
}

/// All barriers of a landing, in order.
#[derive(Default)]
pub(crate) struct Gates {
    pub(crate) all: Vec<Gate>,
    /// What the servers need in order to become ready.
    needed: BTreeSet<ObjectId>,
}

impl Gates {
    /// Those among objects that land together.
    pub(crate) fn of<'a>(objects: impl Iterator<Item = &'a Object> + Clone) -> Self {
        let by_id: BTreeMap<ObjectId, &Object> = objects
            .clone()
            .filter(|object| edges::is_api(object) || names(object).next().is_some())
            .map(|object| (object.id(), object))
            .collect();
        if by_id.is_empty() {
            return Self::default();
        }
        let exists: BTreeSet<ObjectId> = objects.clone().map(Object::id).collect();
        let mut leads: BTreeMap<ObjectId, BTreeSet<ObjectId>> = BTreeMap::new();
        for (from, _, to) in relations(objects.clone(), |id| exists.contains(id)) {
            leads.entry(from).or_default().insert(to);
        }
        let mut gates: BTreeMap<BTreeSet<ObjectId>, Gate> = BTreeMap::new();
        for (asker, object) in &by_id {
            let services = led(&leads, asker).filter(|id| id.kind == "Service");
            let servers: BTreeSet<ObjectId> =
                services.flat_map(|id| led(&leads, id)).filter(is_workload).cloned().collect();
            let is_api = edges::is_api(object);
            if is_api || !servers.is_empty() {
                let gate = gates.entry(servers).or_default();
                gate.askers.insert(asker.clone());
                gate.apis.extend(is_api.then(|| asker.clone()));
                gate.names.extend(names(object));
            }
        }
        let needed = reached(&leads, gates.values().flat_map(|gate| gate.servers.iter().chain(&gate.askers)));
        for (servers, gate) in &mut gates {
            gate.servers.clone_from(servers);
            let is_judged =
                |id: &&ObjectId| !needed.contains(*id) && led(&leads, id).any(|to| gate.askers.contains(to));
            gate.judged = exists.iter().filter(is_judged).filter(|id| !is_workload(id)).cloned().collect();
            let is_served = |id: &&ObjectId| led(&leads, id).any(|to| gate.apis.contains(to));
            gate.served = gate.judged.iter().filter(is_served).cloned().collect();
        }
        let all = gates.into_values().filter(|gate| !gate.judged.is_empty()).collect();
        Self { all: in_order(all, objects), needed }
    }

    /// Whether an object is judged.
    pub(crate) fn judge(&self, id: &ObjectId) -> bool {
        self.all.iter().any(|gate| gate.judged.contains(id))
    }

    /// Those of a landing.
    pub(crate) fn of_landing(landing: &Landing) -> Self {
        Self::of(landing.changes().map(|change| &change.desired.object))
    }

    /// What the server's messages call webhooks whose workload the landing changes, for each object that they judge.
    pub(crate) fn changing(&self, landing: &Landing) -> BTreeMap<ObjectId, BTreeSet<String>> {
        let mut names: BTreeMap<ObjectId, BTreeSet<String>> = BTreeMap::new();
        for gate in self.all.iter().filter(|gate| gate.changes(landing)) {
            for id in &gate.judged {
                names.entry(id.clone()).or_default().extend(gate.names.iter().cloned());
            }
        }
        names
    }

    /// Objects whose kind nobody may know before the landing is written, since it changes what serves them.
    pub(crate) fn unserved(&self, landing: &Landing) -> BTreeSet<ObjectId> {
        let changing = self.all.iter().filter(|gate| gate.changes(landing));
        changing.flat_map(|gate| gate.served.iter().cloned()).collect()
    }

    /// Objects whose API the steps have made: it goes with them.
    pub(crate) fn come_with_their_api(&self, steps: &[&Step]) -> BTreeSet<ObjectId> {
        let is_new = |id: &ObjectId| {
            let mut changes = steps.iter().filter_map(|step| step.change());
            changes.any(|change| matches!(change.prior, Prior::Absent) && change.desired.object.id() == *id)
        };
        let gates = self.all.iter().filter(|gate| gate.apis.iter().any(is_new));
        gates.flat_map(|gate| gate.served.iter().cloned()).collect()
    }

    /// Whether an object comes behind a barrier: what is judged, and what asks for it.
    pub(crate) fn delay(&self, id: &ObjectId, stage: Stage) -> bool {
        self.all.iter().any(|gate| gate.judged.contains(id) || (stage == Stage::Admission && gate.askers.contains(id)))
    }

    /// The steps of an undoing in their order: whatever a webhook judges follows its workload and what that one needs, and
    /// comes before the values that it reads itself. What goes with its API, `first`, goes before that.
    pub(crate) fn undone<'s>(&self, mut steps: Vec<&'s Step>, first: &BTreeSet<ObjectId>) -> Vec<&'s Step> {
        let turn = |step: &Step| match step.id() {
            Some(id) if first.contains(&id) => 0,
            Some(id) if self.judge(&id) => 2,
            Some(id) if step.place().0 < Stage::Workloads && !self.needed.contains(&id) => 3,
            _ => 1,
        };
        if !self.all.is_empty() {
            steps.sort_by_key(|step| turn(step));
        }
        steps
    }
}

/// A gate that makes what the servers of another one read, such as their certificate, comes before it.
fn in_order<'a>(mut rest: Vec<Gate>, objects: impl Iterator<Item = &'a Object> + Clone) -> Vec<Gate> {
    let secrets = |ids: &BTreeSet<ObjectId>, of: fn(&Object) -> BTreeSet<(String, String)>| -> BTreeSet<_> {
        objects.clone().filter(|object| ids.contains(&object.id())).flat_map(of).collect()
    };
    let read = |object: &Object| {
        let names = reads::secrets(object).into_keys();
        names.map(|name| (object.namespace().to_owned(), name)).collect()
    };
    let mut sorted = Vec::new();
    while !rest.is_empty() {
        let waits_for = |gate: &Gate, other: &Gate| {
            gate.servers != other.servers
                && !secrets(&gate.servers, read).is_disjoint(&secrets(&other.judged, edges::named_secrets))
        };
        let first = rest.iter().position(|gate| !rest.iter().any(|other| waits_for(gate, other))).unwrap_or(0);
        sorted.push(rest.remove(first));
    }
    sorted
}

/// Whether an object is of an API that the landing brings. What a chart brings is Helm's: it cannot install that either.
pub(crate) fn is_of_api(apis: &BTreeSet<String>, desired: &Desired) -> bool {
    !apis.is_empty() && desired.declarer == Declarer::Unit && apis.contains(&edges::api_of(&desired.object.gvk()))
}

/// What messages call the webhooks that an object brings; none for one that brings none which must answer.
fn names(object: &Object) -> impl Iterator<Item = String> {
    let gvk = object.gvk();
    let is_configuration = webhooks::is_configuration(&gvk);
    let webhooks = reads::items(object.value(), "webhooks").filter(move |_| is_configuration);
    let named = webhooks.filter_map(|webhook| Some(format!("webhook \"{}\"", webhook.get("name")?.as_str()?)));
    let converts =
        gvk.kind == "CustomResourceDefinition" && object.text("/spec/conversion/strategy") == Some("Webhook");
    let group = object.text("/spec/group").filter(|_| converts).map(|group| format!("conversion webhook for {group}/"));
    named.chain(group)
}

fn led<'a>(
    leads: &'a BTreeMap<ObjectId, BTreeSet<ObjectId>>,
    from: &ObjectId,
) -> impl Iterator<Item = &'a ObjectId> + use<'a> {
    leads.get(from).into_iter().flatten()
}

fn is_workload(id: &&ObjectId) -> bool {
    matches!((id.group.as_str(), id.kind.as_str()), ("apps", "Deployment" | "StatefulSet" | "DaemonSet"))
}

/// These, and all that they lead to.
fn reached<'a>(
    leads: &BTreeMap<ObjectId, BTreeSet<ObjectId>>,
    start: impl Iterator<Item = &'a ObjectId>,
) -> BTreeSet<ObjectId> {
    let mut open: Vec<ObjectId> = start.cloned().collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if found.insert(id.clone()) {
            open.extend(led(leads, &id).cloned());
        }
    }
    found
}
