//! Watches: a reset with all that there is, then the changes from the log.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::Stream;

use super::kinds::Kind;
use super::store::{Filter, State};
use super::stored::Stored;
use super::write::object;
use crate::{ClusterError, Selection, WatchEvent};

/// Follows a selection. It keeps a position in the log and no queue of its own, so that a stream that nobody reads
/// costs nothing; when the log has moved on without it, it starts anew.
pub(super) struct Watch {
    state: Arc<Mutex<State>>,
    selection: Selection,
    filter: Option<Filter>,
    position: Option<u64>,
    /// Said once that the kind is not served.
    told: bool,
}

impl Watch {
    pub(super) fn new(state: Arc<Mutex<State>>, selection: Selection) -> Self {
        let filter = Filter::of(&selection);
        Self { state, selection, filter, position: None, told: false }
    }

    fn next(&mut self, state: &State) -> Option<Result<WatchEvent, ClusterError>> {
        let Some(filter) = &self.filter else {
            let message = "the label selector cannot be read".to_owned();
            let error = ClusterError::Refused { id: None, message, fields: Vec::new() };
            return (!std::mem::replace(&mut self.told, true)).then_some(Err(error));
        };
        let Some(kind) = state.kinds.get(&self.selection.gvk) else {
            self.position = None;
            let error = ClusterError::NoKind { gvk: self.selection.gvk.clone() };
            return (!std::mem::replace(&mut self.told, true)).then_some(Err(error));
        };
        self.told = false;
        let Some(mut position) = self.position else { return Some(Ok(self.reset(state, &kind))) };
        loop {
            let Ok(change) = state.after(position) else { return Some(Ok(self.reset(state, &kind))) };
            let Some(change) = change else {
                self.position = Some(position);
                return None;
            };
            position = change.revision;
            if !change.place.is(&kind.gvk.group, &kind.gvk.kind) {
                continue;
            }
            let covered = |value: &Option<Stored>| {
                value.as_ref().filter(|value| filter.covers(&change.place, value)).map(|value| object(&kind, value))
            };
            let event = match (covered(&change.before), covered(&change.after)) {
                (_, Some(after)) => WatchEvent::Applied(after),
                (Some(before), None) => WatchEvent::Deleted(before),
                (None, None) => continue,
            };
            self.position = Some(position);
            return Some(Ok(event));
        }
    }

    fn reset(&mut self, state: &State, kind: &Kind) -> WatchEvent {
        self.position = Some(state.revision());
        let Some(filter) = &self.filter else { return WatchEvent::Reset(Vec::new()) };
        let all = state.of_kind(&kind.gvk.group, &kind.gvk.kind, filter.namespace());
        let covered = all.filter(|(place, value)| filter.covers(place, value));
        WatchEvent::Reset(covered.map(|(_, value)| object(kind, value)).collect())
    }
}

impl Stream for Watch {
    type Item = Result<WatchEvent, ClusterError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let shared = this.state.clone();
        let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
        match this.next(&state) {
            Some(event) => Poll::Ready(Some(event)),
            None => {
                state.wake_later(context.waker());
                Poll::Pending
            }
        }
    }
}
