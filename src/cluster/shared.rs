//! A cluster whose shared watches are one: all who follow objects of one kind in one namespace hang on a single request.
//!
//! **Flow.** The first who asks begins to follow; each further one gets what is there as its reset, then its events. When
//! nobody has listened for a while, the watch ends and what it held is dropped.
//!
//! **Caveats.** What a new listener is told first may be older than an answer that it has seen from the server: it compares
//! resourceVersions. Managed fields are not told. Watches that are not asked for as shared pass through.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use apply::imprint::Imprint;
use apply::{Answer, Call, Cluster, ClusterError, Selection, WatchEvent};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt as _};
use manifest::{Gvk, Object, Packed};

/// How long a watch goes on with nobody listening.
const IDLE: Duration = Duration::from_secs(20);

/// User, kind and namespace.
type Place = (String, Gvk, Option<String>);
type Event = Result<WatchEvent, ClusterError>;

/// The wrapper; impersonated forms share with others of the same user.
pub struct Shared {
    inner: Arc<dyn Cluster>,
    user: String,
    feeds: Arc<Mutex<HashMap<Place, Feed>>>,
}

/// One watch with its listeners.
#[derive(Default)]
struct Feed {
    /// By namespace and name; `None` before the first list.
    objects: Option<BTreeMap<(String, String), Packed>>,
    listeners: Vec<Listener>,
    /// Nobody listened at the last look.
    was_idle: bool,
}

struct Listener {
    /// The only object that it is told of.
    name: Option<String>,
    sender: UnboundedSender<Event>,
}

impl Shared {
    /// Shares the watches of `inner`.
    pub fn new(inner: Arc<dyn Cluster>) -> Self {
        Self { inner, user: String::new(), feeds: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Feed>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, selection: Selection) -> UnboundedReceiver<Event> {
        let (sender, receiver) = unbounded();
        let place = (self.user.clone(), selection.gvk.clone(), selection.namespace.clone());
        let mut feeds = self.lock();
        let is_new = !feeds.contains_key(&place);
        let feed = feeds.entry(place.clone()).or_default();
        feed.listen(Listener { name: selection.name.clone(), sender });
        drop(feeds);
        if is_new {
            let whole = Selection { name: None, shared: false, ..selection };
            let upstream = self.inner.watch(whole);
            tokio::spawn(follow(Arc::downgrade(&self.feeds), place, upstream));
        }
        receiver
    }
}

/// Tells the listeners of a feed what its watch tells, until nobody has listened for a while.
async fn follow(feeds: Weak<Mutex<HashMap<Place, Feed>>>, place: Place, mut upstream: BoxStream<'static, Event>) {
    let mut look = tokio::time::interval(IDLE);
    loop {
        let event = tokio::select! {
            event = upstream.next() => event,
            _ = look.tick() => None,
        };
        let Some(feeds) = feeds.upgrade() else { return };
        let mut feeds = feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(feed) = feeds.get_mut(&place) else { return };
        match event {
            Some(event) => feed.take(event),
            None if feed.is_idle() => {
                feeds.remove(&place);
                return;
            }
            None => {}
        }
    }
}

impl Feed {
    /// A further listener, who is told first what is there.
    fn listen(&mut self, listener: Listener) {
        self.was_idle = false;
        if let Some(objects) = &self.objects {
            let meant = objects.iter().filter(|((_, name), _)| listener.is_meant(name));
            listener.reset(meant.filter_map(|(_, object)| object.object()).collect());
        }
        self.listeners.push(listener);
    }

    /// Whether nobody listens, now as at the last look.
    fn is_idle(&mut self) -> bool {
        self.listeners.retain(|listener| !listener.sender.is_closed());
        let is_idle = self.listeners.is_empty();
        std::mem::replace(&mut self.was_idle, is_idle) && is_idle
    }

    fn take(&mut self, event: Event) {
        let event = event.map(|event| match event {
            WatchEvent::Reset(objects) => WatchEvent::Reset(objects.into_iter().map(lean).collect()),
            WatchEvent::Applied(object) => WatchEvent::Applied(lean(object)),
            WatchEvent::Deleted(object) => WatchEvent::Deleted(object),
        });
        self.listeners.retain(|listener| listener.tell(&event));
        match event {
            Ok(WatchEvent::Reset(objects)) => {
                self.objects = Some(objects.iter().map(|object| (name_of(object), Packed::new(object))).collect());
            }
            Ok(WatchEvent::Applied(object)) => {
                self.objects.get_or_insert_default().insert(name_of(&object), Packed::new(&object));
            }
            Ok(WatchEvent::Deleted(object)) => {
                self.objects.get_or_insert_default().remove(&name_of(&object));
            }
            Err(_) => {}
        }
    }
}

impl Listener {
    /// Tells what concerns it; whether it still listens.
    fn tell(&self, event: &Event) -> bool {
        match event {
            // A thousand who wait for one object each copy a thousand, not a million.
            Ok(WatchEvent::Reset(objects)) => {
                self.reset(objects.iter().filter(|object| self.is_meant(object.name())).cloned().collect())
            }
            Ok(WatchEvent::Applied(object) | WatchEvent::Deleted(object)) if !self.is_meant(object.name()) => {
                !self.sender.is_closed()
            }
            other => self.sender.unbounded_send(other.clone()).is_ok(),
        }
    }

    fn reset(&self, meant: Vec<Object>) -> bool {
        self.sender.unbounded_send(Ok(WatchEvent::Reset(meant))).is_ok()
    }

    fn is_meant(&self, name: &str) -> bool {
        self.name.as_deref().is_none_or(|meant| meant == name)
    }
}

fn name_of(object: &Object) -> (String, String) {
    (object.namespace().to_owned(), object.name().to_owned())
}

/// Managed fields are half of many objects, and say nothing to those who wait.
fn lean(mut object: Object) -> Object {
    object.metadata().remove("managedFields");
    object
}

impl Cluster for Shared {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>> {
        self.inner.call(call)
    }

    fn watch(&self, selection: Selection) -> BoxStream<'static, Event> {
        match selection.shared && selection.labels.is_none() {
            true => self.listen(selection).boxed(),
            false => self.inner.watch(selection),
        }
    }

    fn watch_imprints(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent<Imprint>, ClusterError>> {
        self.inner.watch_imprints(selection)
    }

    fn impersonate(&self, user: &str) -> Arc<dyn Cluster> {
        let inner = self.inner.impersonate(user);
        Arc::new(Self { inner, user: user.to_owned(), feeds: self.feeds.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apply::Reference;
    use apply::memory::{MemoryCluster, Settings};
    use serde_json::json;

    async fn make(cluster: &dyn Cluster, name: &str) {
        let metadata = json!({"name": name, "namespace": "default"});
        let object = Object::unchecked(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}));
        cluster.write(Call::Create { object, manager: "m".into(), dry_run: false, subresource: None }).await.unwrap();
    }

    fn told(event: Option<Event>) -> Vec<String> {
        match event.unwrap().unwrap() {
            WatchEvent::Reset(objects) => objects.iter().map(|object| object.name().to_owned()).collect(),
            WatchEvent::Applied(object) | WatchEvent::Deleted(object) => vec![object.name().to_owned()],
        }
    }

    #[tokio::test]
    async fn listeners_of_one_kind_hang_on_one_watch_and_hear_what_concerns_them() {
        let memory: Arc<dyn Cluster> = Arc::new(MemoryCluster::new(Settings::default()));
        let shared = Shared::new(memory.clone());
        make(&*memory, "a").await;
        let one = |name: &str| Selection::one(&Reference::new("v1", "ConfigMap", "default", name)).shared();
        let mut first = shared.watch(one("a"));
        assert_eq!(told(first.next().await), ["a"]);
        let mut second = shared.watch(one("b"));
        assert_eq!(told(second.next().await), [""; 0], "what is there is told at once");
        make(&*memory, "b").await;
        assert_eq!(told(second.next().await), ["b"]);
        assert_eq!(shared.lock().len(), 1);
        let mut late = shared.watch(one("b"));
        assert_eq!(told(late.next().await), ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_to_which_nobody_listens_ends() {
        let shared = Shared::new(Arc::new(MemoryCluster::new(Settings::default())));
        let mut events = shared.watch(Selection::all("v1", "ConfigMap").within("default").shared());
        events.next().await.unwrap().unwrap();
        tokio::time::sleep(IDLE * 3).await;
        assert_eq!(shared.lock().len(), 1);
        drop(events);
        tokio::time::sleep(IDLE * 3).await;
        assert_eq!(shared.lock().len(), 0);
    }
}
