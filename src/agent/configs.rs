//! ConfigMaps and Secrets that ask to be watched: units that have read one look as soon as somebody changes it, not with
//! their next interval. Which ask is told by a label, `reconcile.fluxcd.io/watch: Enabled` unless a flag says otherwise, as
//! in Flux.

use std::collections::BTreeMap;
use std::sync::Arc;

use apply::imprint::Imprint;
use apply::{Reference, Selection, WatchEvent};
use futures::StreamExt as _;
use tokio::sync::oneshot;

use crate::reconcile::{Shared, triggers};

/// Kinds that are watched so.
pub(super) const KINDS: [&str; 2] = ["ConfigMap", "Secret"];

/// Namespace and name.
type Name = (String, String);

/// Calls those who read what changes. Tells once when all have been listed, or cannot be: whoever looks for the first time after
/// that has seen what was there before.
pub(super) async fn follow(shared: Arc<Shared>, kind: &'static str, labels: String, tell: oneshot::Sender<()>) {
    let mut selection = Selection::all("v1", kind);
    (selection.labels, selection.namespace) = (Some(labels), shared.world.settings.only.clone());
    let mut events = shared.world.cluster.watch_imprints(selection);
    let (mut known, mut tell) = (None::<BTreeMap<Name, u64>>, Some(tell));
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                for (namespace, name) in changed(&mut known, event) {
                    triggers::config_changed(&shared, &Reference::new("v1", kind, &namespace, &name));
                }
            }
            Err(error) => {
                tracing::warn!(kind, %error, "what asks to be watched is looked at with each interval: the watch has failed");
                // Whoever begins without it hears of everything once it lists.
                known.get_or_insert_default();
            }
        }
        // Nobody listens any more when the agent is being stopped.
        let _ = tell.take().map(|tell| tell.send(()));
    }
}

/// What an event changes of what was `known`, by resourceVersion. The first list changes nothing.
fn changed(known: &mut Option<BTreeMap<Name, u64>>, event: WatchEvent<Imprint>) -> Vec<Name> {
    let name = |imprint: &Imprint| (imprint.namespace.clone(), imprint.name.clone());
    match event {
        WatchEvent::Reset(all) => {
            let now: BTreeMap<Name, u64> = all.iter().map(|imprint| (name(imprint), imprint.version)).collect();
            let Some(before) = known.replace(now.clone()) else { return Vec::new() };
            let gone = before.keys().filter(|name| !now.contains_key(name)).cloned();
            let other = now.iter().filter(|(name, version)| before.get(name) != Some(version)).map(|(name, _)| name);
            gone.chain(other.cloned()).collect()
        }
        WatchEvent::Applied(one) => {
            let before = known.get_or_insert_default().insert(name(&one), one.version);
            (before != Some(one.version)).then(|| name(&one)).into_iter().collect()
        }
        WatchEvent::Deleted(one) => {
            known.get_or_insert_default().remove(&name(&one));
            vec![name(&one)]
        }
    }
}

#[cfg(test)]
mod tests {
    use manifest::Object;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_has_another_version_is_changed() {
        let imprint = |name: &str, version: u64| {
            let metadata = json!({"namespace": "apps", "name": name, "resourceVersion": version.to_string()});
            Imprint::of(&Object::unchecked(json!({"metadata": metadata})))
        };
        let mut known = None;
        let mut told = |event| changed(&mut known, event).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert!(told(WatchEvent::Reset(vec![imprint("a", 1), imprint("b", 2)])).is_empty(), "nobody has read before");
        assert!(told(WatchEvent::Applied(imprint("a", 1))).is_empty());
        assert_eq!(told(WatchEvent::Applied(imprint("a", 3))), ["a"]);
        assert_eq!(told(WatchEvent::Applied(imprint("c", 4))), ["c"]);
        assert_eq!(told(WatchEvent::Deleted(imprint("c", 5))), ["c"]);
        assert_eq!(told(WatchEvent::Reset(vec![imprint("a", 6), imprint("d", 7)])), ["b", "a", "d"]);
    }
}
