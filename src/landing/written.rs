//! A landing's cluster, which remembers what the server answered to its applies: what has been written last is known
//! without reading it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apply::{Answer, Call, Cluster, ClusterError, Reference, Selection, WatchEvent};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{BoxStream, StreamExt as _};
use manifest::Object;

/// Objects as they were answered.
type Answers = Arc<Mutex<BTreeMap<Reference, Object>>>;

/// The wrapper. It belongs to one landing.
#[derive(Clone)]
pub(super) struct Written {
    inner: Arc<dyn Cluster>,
    answers: Answers,
}

impl Written {
    pub(super) fn new(inner: Arc<dyn Cluster>) -> Self {
        Self { inner, answers: Answers::default() }
    }

    /// An object as it was answered last.
    pub(super) fn answer(&self, at: &Reference) -> Option<Object> {
        lock(&self.answers).get(at).cloned()
    }

    /// All objects as they were answered last.
    pub(super) fn answers(&self) -> Vec<Object> {
        lock(&self.answers).values().cloned().collect()
    }

    async fn send(&self, call: Call) -> Result<Answer, ClusterError> {
        let is_apply = matches!(call, Call::Apply { dry_run: false, subresource: None, .. });
        let answer = self.inner.call(call).await?;
        if let (true, Answer::Object(Some(object))) = (is_apply, &answer) {
            let mut object = object.clone();
            object.metadata().remove("managedFields");
            lock(&self.answers).insert(Reference::of(&object), object);
        }
        Ok(answer)
    }
}

impl Cluster for Written {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>> {
        self.send(call).boxed()
    }

    /// A shared watch may lag behind the answers: then these are told in place of what is older.
    fn watch(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        let is_meant = |at: &Reference| {
            at.gvk == selection.gvk
                && selection.namespace.as_ref().is_none_or(|namespace| *namespace == at.namespace)
                && selection.name.as_ref().is_none_or(|name| *name == at.name)
        };
        if !selection.shared {
            return self.inner.watch(selection);
        }
        let answers: BTreeMap<Reference, Object> =
            lock(&self.answers).iter().filter(|(at, _)| is_meant(at)).map(|(at, o)| (at.clone(), o.clone())).collect();
        let events = self.inner.watch(selection);
        events.filter_map(move |event| futures::future::ready(newest(event, &answers))).boxed()
    }

    fn impersonate(&self, user: &str) -> Arc<dyn Cluster> {
        Arc::new(Self { inner: self.inner.impersonate(user), answers: self.answers.clone() })
    }
}

/// The event without what the answers have overtaken.
fn newest(
    event: Result<WatchEvent, ClusterError>,
    answers: &BTreeMap<Reference, Object>,
) -> Option<Result<WatchEvent, ClusterError>> {
    let is_overtaken = |object: &Object| {
        let answer = answers.get(&Reference::of(object));
        answer.and_then(|answer| Some(version(answer)? > version(object)?)).unwrap_or_default()
    };
    match event {
        Ok(WatchEvent::Reset(mut objects)) => {
            objects.retain(|object| !is_overtaken(object));
            let missing = |at: &&Reference| objects.iter().all(|object| Reference::of(object) != **at);
            let more: Vec<Object> = answers.keys().filter(missing).filter_map(|at| answers.get(at).cloned()).collect();
            objects.extend(more);
            Some(Ok(WatchEvent::Reset(objects)))
        }
        Ok(WatchEvent::Applied(object) | WatchEvent::Deleted(object)) if is_overtaken(&object) => None,
        other => Some(other),
    }
}

fn version(object: &Object) -> Option<u128> {
    object.resource_version().parse().ok()
}

fn lock(answers: &Answers) -> MutexGuard<'_, BTreeMap<Reference, Object>> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str, version: &str) -> Object {
        let metadata = json!({"name": name, "namespace": "n", "resourceVersion": version});
        Object::unchecked(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}))
    }

    fn versions(event: WatchEvent) -> Vec<(String, String)> {
        let answered = object("a", "10");
        let answers = BTreeMap::from([(Reference::of(&answered), answered)]);
        let told = match newest(Ok(event), &answers) {
            Some(Ok(WatchEvent::Reset(objects))) => objects,
            Some(Ok(WatchEvent::Applied(object) | WatchEvent::Deleted(object))) => vec![object],
            _ => Vec::new(),
        };
        told.iter().map(|o| (o.name().to_owned(), o.resource_version().to_owned())).collect()
    }

    #[test]
    fn what_the_server_has_answered_is_not_followed_by_what_is_older() {
        let pair = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        let old = WatchEvent::Reset(vec![object("a", "9"), object("b", "3")]);
        assert_eq!(versions(old), [pair("b", "3"), pair("a", "10")]);
        assert_eq!(versions(WatchEvent::Reset(vec![object("a", "11")])), [pair("a", "11")]);
        assert_eq!(versions(WatchEvent::Reset(Vec::new())), [pair("a", "10")]);
        assert_eq!(versions(WatchEvent::Applied(object("a", "9"))), []);
        assert_eq!(versions(WatchEvent::Deleted(object("a", "12"))), [pair("a", "12")]);
    }
}
