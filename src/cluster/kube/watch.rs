//! Watches over `kube::runtime::watcher`: lists, follows, and starts anew after a gap.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::kube::api::{Api, ApiResource, DynamicObject};
use ::kube::client::Client;
use ::kube::core::{DynamicResourceScope, GroupVersionKind, PartialObjectMeta};
use ::kube::runtime::WatchStreamExt as _;
use ::kube::runtime::watcher::{self, Event, watcher};
use apply::imprint::Imprint;
use apply::{ClusterError, Scope, Selection, WatchEvent};
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use manifest::Object;
use serde_json::json;

use super::discovery::{Catalogue, Resource};

/// First pause before a kind that is not served is looked for again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What the client tells, in our form; an object that cannot be read is `None`.
type Events<T> = Pin<Box<dyn Stream<Item = watcher::Result<Event<Option<T>>>> + Send>>;
/// Begins to follow.
type Begin<T> = fn(Place, watcher::Config) -> Events<T>;

/// Where objects of a kind are.
struct Place {
    client: Client,
    resource: Arc<Resource>,
    namespace: Option<String>,
}

impl Place {
    fn api<K: ::kube::Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>>(&self) -> Api<K> {
        let gvk = &self.resource.gvk;
        let gvk = GroupVersionKind::gvk(&gvk.group, &gvk.version, &gvk.kind);
        let kind = ApiResource::from_gvk_with_plural(&gvk, &self.resource.plural);
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind),
            None => Api::all_with(self.client.clone(), &kind),
        }
    }
}

struct Watch<T> {
    client: Client,
    catalogue: Arc<Catalogue>,
    selection: Selection,
    begin: Begin<T>,
    /// How long to wait before the kind is looked for; nothing once it has been listed.
    pause: Duration,
    following: Option<Events<T>>,
    /// What a list has brought so far.
    listed: Vec<T>,
}

/// Follows the objects of a selection until the stream is dropped.
pub(super) fn follow(
    client: Client,
    catalogue: Arc<Catalogue>,
    selection: Selection,
) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
    Watch::start(client, catalogue, selection, objects)
}

/// Follows their metadata.
pub(super) fn follow_imprints(
    client: Client,
    catalogue: Arc<Catalogue>,
    selection: Selection,
) -> BoxStream<'static, Result<WatchEvent<Imprint>, ClusterError>> {
    Watch::start(client, catalogue, selection, imprints)
}

fn objects(place: Place, config: watcher::Config) -> Events<Object> {
    let events = watcher(place.api::<DynamicObject>(), config).default_backoff();
    Box::pin(events.map(move |event| Ok(mapped(event?, |found| plain(found, &place.resource)))))
}

fn imprints(place: Place, config: watcher::Config) -> Events<Imprint> {
    let imprint = |found: PartialObjectMeta<DynamicObject>| {
        let metadata = serde_json::to_value(found.metadata).ok()?;
        Some(Imprint::of(&Object::unchecked(json!({ "metadata": metadata }))))
    };
    let events = watcher(place.api::<PartialObjectMeta<DynamicObject>>(), config).default_backoff();
    Box::pin(events.map(move |event| Ok(mapped(event?, imprint))))
}

fn mapped<K, T>(event: Event<K>, make: impl Fn(K) -> Option<T>) -> Event<Option<T>> {
    match event {
        Event::Init => Event::Init,
        Event::InitApply(found) => Event::InitApply(make(found)),
        Event::InitDone => Event::InitDone,
        Event::Apply(found) => Event::Apply(make(found)),
        Event::Delete(found) => Event::Delete(make(found)),
    }
}

impl<T: Send + 'static> Watch<T> {
    fn start(
        client: Client,
        catalogue: Arc<Catalogue>,
        selection: Selection,
        begin: Begin<T>,
    ) -> BoxStream<'static, Result<WatchEvent<T>, ClusterError>> {
        let pause = Duration::ZERO;
        let watch = Self { client, catalogue, selection, begin, pause, following: None, listed: Vec::new() };
        stream::unfold(watch, |mut watch| async move { Some((watch.next().await, watch)) }).boxed()
    }

    async fn next(&mut self) -> Result<WatchEvent<T>, ClusterError> {
        loop {
            let Some(events) = &mut self.following else {
                self.look_for_kind().await?;
                continue;
            };
            let Some(event) = events.next().await else {
                self.following = None;
                continue;
            };
            match event {
                Ok(Event::Init) => self.listed.clear(),
                Ok(Event::InitApply(found)) => self.listed.extend(found),
                Ok(Event::InitDone) => {
                    self.pause = Duration::ZERO;
                    return Ok(WatchEvent::Reset(std::mem::take(&mut self.listed)));
                }
                Ok(Event::Apply(Some(found))) => return Ok(WatchEvent::Applied(found)),
                Ok(Event::Delete(Some(found))) => return Ok(WatchEvent::Deleted(found)),
                Ok(Event::Apply(None) | Event::Delete(None)) => {}
                Err(error) => return Err(self.told(&error)),
            }
        }
    }

    /// Looks for the kind, and begins to follow it.
    async fn look_for_kind(&mut self) -> Result<(), ClusterError> {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        let resource = self.catalogue.resolve(&self.selection.gvk).await?;
        let mut config = watcher::Config::default();
        if let Some(labels) = &self.selection.labels {
            config = config.labels(labels);
        }
        if let Some(name) = &self.selection.name {
            config = config.fields(&format!("metadata.name={name}"));
        }
        // An agent of one namespace follows kinds that are in none as well.
        let namespace = self.selection.namespace.clone().filter(|_| resource.scope == Scope::Namespaced);
        let place = Place { client: self.client.clone(), resource, namespace };
        self.following = Some((self.begin)(place, config));
        Ok(())
    }

    /// What the watch's failure means. A kind that is gone is looked for anew.
    fn told(&mut self, error: &watcher::Error) -> ClusterError {
        let (code, message) = match error {
            watcher::Error::InitialListFailed(::kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(::kube::Error::Api(status))
            | watcher::Error::WatchError(status) => (status.code, status.message.clone()),
            other => (0, other.to_string()),
        };
        match code {
            404 => {
                self.following = None;
                ClusterError::NoKind { gvk: self.selection.gvk.clone() }
            }
            401 | 403 => ClusterError::Forbidden { id: None, message },
            _ => ClusterError::Unavailable { id: None, message, retry_after: None },
        }
    }
}

/// The object without its managed fields: they are half of many objects, and nobody who watches whole objects asks for them.
fn plain(mut object: DynamicObject, resource: &Resource) -> Option<Object> {
    object.metadata.managed_fields = None;
    let mut value = serde_json::to_value(object).ok()?;
    value["apiVersion"] = json!(resource.gvk.api_version());
    value["kind"] = json!(resource.gvk.kind);
    Object::new(value).ok()
}
