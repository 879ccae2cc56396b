//! Watches: a reset with all that there is, then the changes from the log. They break, lag and miss changes when they are
//! told to ([`Gap`]), as those of a real server do.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::Stream;
use jiff::{SignedDuration, Timestamp};

use super::kinds::Kind;
use super::store::{Filter, State};
use super::stored::Stored;
use super::write::object;
use crate::{ClusterError, Selection, WatchEvent};

/// What can happen to watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Connections break. Each watch tells an error once, and goes on behind what it was told last.
    Cut,
    /// The same, and the changes so far are forgotten (410 Gone): who was not told all of them starts anew with a reset.
    Lost,
    /// Every watch is told how far it is, so that it need not start anew although nothing has changed that it follows.
    Bookmark,
    /// Nothing is told for so long.
    Silence(SignedDuration),
}

/// What has happened to all watches so far.
#[derive(Default)]
pub(super) struct Gaps {
    cuts: u64,
    /// Up to here changes are forgotten when a connection breaks.
    forgotten: u64,
    /// The revision of the last bookmark.
    bookmark: u64,
    silent_until: Option<Timestamp>,
}

impl State {
    pub(super) fn disturb(&mut self, gap: Gap) {
        let (now, revision) = (self.now(), self.revision());
        match gap {
            Gap::Cut => self.gaps.cuts += 1,
            Gap::Lost => {
                self.gaps.cuts += 1;
                self.gaps.forgotten = revision;
            }
            Gap::Bookmark => self.gaps.bookmark = revision,
            Gap::Silence(time) => self.gaps.silent_until = now.checked_add(time).ok(),
        }
        self.wake();
    }

    pub(super) fn is_silent(&self) -> bool {
        self.gaps.silent_until.is_some_and(|until| self.now() < until)
    }
}

/// Follows a selection. It keeps a position in the log and no queue of its own, so that a stream that nobody reads
/// costs nothing; when the log has moved on without it, it starts anew.
pub(super) struct Watch {
    state: Arc<Mutex<State>>,
    selection: Selection,
    filter: Option<Filter>,
    position: Option<u64>,
    /// The last revision that it was told, by a change or a bookmark: from there it goes on when the connection breaks.
    known: u64,
    /// Breaks that it has noticed.
    cuts: u64,
    /// Said once that the kind is not served.
    told: bool,
}

impl Watch {
    pub(super) fn new(state: Arc<Mutex<State>>, selection: Selection) -> Self {
        let filter = Filter::of(&selection);
        Self { state, selection, filter, position: None, known: 0, cuts: 0, told: false }
    }

    /// Whether the connection has broken since it was begun.
    fn breaks(&mut self, gaps: &Gaps) -> bool {
        let has_broken = std::mem::replace(&mut self.cuts, gaps.cuts) != gaps.cuts && self.position.is_some();
        if has_broken {
            self.position = Some(self.known).filter(|known| *known >= gaps.forgotten);
        }
        has_broken
    }

    fn next(&mut self, state: &State) -> Option<Result<WatchEvent, ClusterError>> {
        if self.breaks(&state.gaps) {
            let message = "the connection has broken".to_owned();
            return Some(Err(ClusterError::Unavailable { id: None, message, retry_after: None }));
        }
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
                self.known = self.known.max(state.gaps.bookmark);
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
            (self.position, self.known) = (Some(position), position);
            return Some(Ok(event));
        }
    }

    fn reset(&mut self, state: &State, kind: &Kind) -> WatchEvent {
        (self.position, self.known) = (Some(state.revision()), state.revision());
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
        let next = if state.is_silent() { None } else { this.next(&state) };
        match next {
            Some(event) => Poll::Ready(Some(event)),
            None => {
                state.wake_later(context.waker());
                Poll::Pending
            }
        }
    }
}
