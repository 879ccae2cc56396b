//! Watches over `kube::runtime::watcher`: lists, follows, and starts anew after a gap.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::kube::api::{Api, ApiResource, DynamicObject};
use ::kube::client::Client;
use ::kube::core::GroupVersionKind;
use ::kube::runtime::WatchStreamExt as _;
use ::kube::runtime::watcher::{self, Event, watcher};
use apply::{ClusterError, Selection, WatchEvent};
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use manifest::Object;
use serde_json::json;

use super::discovery::{Catalogue, Resource};

/// First pause before a kind that is not served is looked for again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

type Events = Pin<Box<dyn Stream<Item = watcher::Result<Event<DynamicObject>>> + Send>>;

struct Watch {
    client: Client,
    catalogue: Arc<Catalogue>,
    selection: Selection,
    /// How long to wait before the kind is looked for.
    pause: Duration,
    following: Option<(Events, Arc<Resource>)>,
    /// What a list has brought so far.
    listed: Vec<Object>,
}

/// Follows a selection until the stream is dropped.
pub(super) fn follow(
    client: Client,
    catalogue: Arc<Catalogue>,
    selection: Selection,
) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
    let watch = Watch { client, catalogue, selection, pause: Duration::ZERO, following: None, listed: Vec::new() };
    stream::unfold(watch, |mut watch| async move { Some((watch.next().await, watch)) }).boxed()
}

impl Watch {
    async fn next(&mut self) -> Result<WatchEvent, ClusterError> {
        loop {
            let Some((events, resource)) = &mut self.following else {
                self.start().await?;
                continue;
            };
            let Some(event) = events.next().await else {
                self.following = None;
                continue;
            };
            match event {
                Ok(Event::Init) => self.listed.clear(),
                Ok(Event::InitApply(object)) => self.listed.extend(plain(object, resource)),
                Ok(Event::InitDone) => return Ok(WatchEvent::Reset(std::mem::take(&mut self.listed))),
                Ok(Event::Apply(object)) => {
                    if let Some(object) = plain(object, resource) {
                        return Ok(WatchEvent::Applied(object));
                    }
                }
                Ok(Event::Delete(object)) => {
                    if let Some(object) = plain(object, resource) {
                        return Ok(WatchEvent::Deleted(object));
                    }
                }
                Err(error) => return Err(self.told(&error)),
            }
        }
    }

    /// Looks for the kind, and begins to follow it.
    async fn start(&mut self) -> Result<(), ClusterError> {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        let resource = self.catalogue.resolve(&self.selection.gvk).await?;
        self.pause = Duration::ZERO;
        let gvk = &resource.gvk;
        let kind = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(&gvk.group, &gvk.version, &gvk.kind),
            &resource.plural,
        );
        let api: Api<DynamicObject> = match &self.selection.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind),
            None => Api::all_with(self.client.clone(), &kind),
        };
        let mut config = watcher::Config::default();
        if let Some(labels) = &self.selection.labels {
            config = config.labels(labels);
        }
        if let Some(name) = &self.selection.name {
            config = config.fields(&format!("metadata.name={name}"));
        }
        self.following = Some((Box::pin(watcher(api, config).default_backoff()), resource));
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
                self.pause = FIRST_PAUSE;
                ClusterError::NoKind { gvk: self.selection.gvk.clone() }
            }
            401 | 403 => ClusterError::Forbidden { id: None, message },
            _ => ClusterError::Unavailable { id: None, message, retry_after: None },
        }
    }
}

fn plain(object: DynamicObject, resource: &Resource) -> Option<Object> {
    let mut value = serde_json::to_value(object).ok()?;
    value["apiVersion"] = json!(resource.gvk.api_version());
    value["kind"] = json!(resource.gvk.kind);
    Object::new(value).ok()
}
