//! What only one workload at a time can have: a port of a node, a volume of one node. A workload that takes the place of
//! another one under a new name may wait for it as long as the other one is there.

use std::collections::BTreeSet;

use manifest::{Object, ObjectId};
use serde_json::Value;

use crate::change::Landing;
use crate::desired::Order;
use crate::reads::{items, pod_template};

/// Why an object cannot become healthy before what the landing deletes afterwards is gone, and what helps; `None` where
/// nothing is known to stand in its way.
pub(crate) fn told(landing: &Landing, id: &ObjectId) -> Option<String> {
    if landing.behaviour.order == Order::Flux {
        return None;
    }
    let wanted = landing.changes().find(|change| change.desired.object.id() == *id)?;
    let mine = held(&wanted.desired.object, landing);
    let stale = landing.stale.iter().filter_map(|stale| stale.landed.as_deref());
    stale.map(|landed| &landed.object).find_map(|rival| {
        let both =
            held(rival, landing).intersection(&mine).map(|(_, what)| what.clone()).collect::<Vec<_>>().join(", ");
        let hint = "lockstep.dev/order: flux deletes it first";
        (!both.is_empty())
            .then(|| format!("{} has {both}, and is deleted only when this is healthy ({hint})", rival.id()))
    })
}

/// Namespace, empty for what is of a node, and name of what a workload's pods hold.
fn held(workload: &Object, landing: &Landing) -> BTreeSet<(String, String)> {
    let template = pod_template(workload).and_then(|at| workload.value().pointer(at));
    let Some(pod) = template.and_then(|template| template.get("spec")) else { return BTreeSet::new() };
    let is_host = pod.get("hostNetwork") == Some(&Value::Bool(true));
    let field = if is_host { "containerPort" } else { "hostPort" };
    let ports = items(pod, "containers").flat_map(|container| items(container, "ports"));
    let ports = ports.filter_map(|port| {
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
        Some((String::new(), format!("host port {}/{protocol}", port.get(field)?.as_u64()?)))
    });
    let names = items(pod, "volumes").filter_map(|volume| volume.pointer("/persistentVolumeClaim/claimName")?.as_str());
    let claims = names.filter(|name| !is_for_many(landing, workload.namespace(), name));
    ports.chain(claims.map(|name| (workload.namespace().to_owned(), format!("the volume of claim {name}")))).collect()
}

/// Whether a claim of the landing may be mounted on several nodes.
fn is_for_many(landing: &Landing, namespace: &str, name: &str) -> bool {
    let claims = landing.changes().map(|change| &change.desired.object).filter(|o| o.kind() == "PersistentVolumeClaim");
    let mut modes = claims
        .filter(|claim| (claim.namespace(), claim.name()) == (namespace, name))
        .flat_map(|claim| claim.value().get("spec").into_iter().flat_map(|spec| items(spec, "accessModes")));
    modes.any(|mode| mode.as_str().is_some_and(|mode| mode.ends_with("Many")))
}
