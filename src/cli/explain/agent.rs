//! Whether an agent is alive: what a unit waits for is moved by nobody else.

use std::sync::Arc;

use apply::{Cluster, Selection};
use jiff::Timestamp;
use manifest::Object;
use serde_json::Value;

use super::account::ago;
use crate::agent::lease;

/// The flag without which an agent keeps a Lease; it takes a value.
const FLAG: &str = "--enable-leader-election";

/// That no agent is alive in a namespace, in words; `None` where one is, or where nobody can say.
pub(super) async fn absent(cluster: &Arc<dyn Cluster>, namespace: &str) -> Option<String> {
    let at = lease::place(namespace);
    let shown = format!("{}/{}", at.namespace, at.name);
    let said = match cluster.get(&at).await.ok()? {
        None => {
            format!("there is no lease {shown}: unless an agent runs without leader election, none has ever run there")
        }
        Some(found) => {
            let renewed = ago(lease::idle_since(&found, Timestamp::now())?)?;
            format!("none holds the lease {shown} (last renewed {renewed} ago): nothing below moves until one runs")
        }
    };
    (!runs_without(cluster, namespace).await).then_some(said)
}

/// Whether pods of the namespace are told to lead without a Lease. Where they cannot be listed, one may be.
async fn runs_without(cluster: &Arc<dyn Cluster>, namespace: &str) -> bool {
    let pods = cluster.list(&Selection::all("v1", "Pod").within(namespace)).await;
    pods.map_or(true, |pods| pods.iter().any(is_without))
}

fn is_without(pod: &Object) -> bool {
    let words = |container: &Value| {
        let lists = ["command", "args"].into_iter().filter_map(|field| container[field].as_array());
        lists.flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let containers = pod.value().pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    containers.map(words).any(|words| {
        let is_off = |(index, word): (usize, &String)| match word.strip_prefix(FLAG) {
            Some("") => words.get(index + 1).is_some_and(|next| next == "false"),
            rest => rest == Some("=false"),
        };
        words.iter().enumerate().any(is_off)
    })
}
