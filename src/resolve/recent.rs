//! What was read of stores lately, for all who wanted it before it was read.
//!
//! **Guarantee.** A demand is met by a read that began after the demand arose: nobody sees a value older than what asked
//! for it. At a start, when every ExternalSecret is due, each item is read once however many want it.
//!
//! **Caveat.** Values stay in memory for ten minutes, or until the next read after that.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::store::{Cause, Item, Remote, Store};

/// How long a value is kept: longer than the first look at some thousand ExternalSecrets takes.
const KEPT: Duration = Duration::from_secs(600);
/// Longest time for which a store is left alone without another question.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Least time between the beginnings of two reads: no more than a hundred a second, over all stores.
const PACE: Duration = Duration::from_micros(10_500);

type Answer = Result<Arc<Remote>, Cause>;

/// Reads of all stores.
#[derive(Default)]
pub(super) struct Recent {
    reads: Mutex<HashMap<(usize, Item), Read>>,
    /// When the next read may begin.
    next: Mutex<Option<Instant>>,
    /// Until when stores asked to be left alone, by address.
    paused: Mutex<HashMap<usize, Pause>>,
}

struct Pause {
    until: Instant,
    /// Keeps the store, and with it the address that stands for it.
    _store: Arc<dyn Store>,
}

struct Read {
    began: Instant,
    /// Keeps the store, and with it the address that stands for it.
    _store: Arc<dyn Store>,
    answer: Arc<OnceCell<Answer>>,
}

fn address(store: &Arc<dyn Store>) -> usize {
    Arc::as_ptr(store).cast::<()>().addr()
}

impl Recent {
    /// A store has answered that it wants to be left alone.
    pub(super) fn pause(&self, store: &Arc<dyn Store>, wait: Duration) {
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        paused.retain(|_, pause| pause.until > now);
        let until = now + wait.min(LONGEST_PAUSE);
        let pause = paused.entry(address(store)).or_insert_with(|| Pause { until, _store: store.clone() });
        pause.until = pause.until.max(until);
    }

    /// How long a store still wants to be left alone, by whoever asks.
    pub(super) fn paused(&self, store: &Arc<dyn Store>) -> Option<Duration> {
        let paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        let left = paused.get(&address(store))?.until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// What a read of `item` answered that began after `since`, and when it began; `read` does it where there was none.
    pub(super) async fn get(
        &self,
        store: &Arc<dyn Store>,
        item: Item,
        since: Instant,
        read: impl Future<Output = Answer>,
    ) -> (Answer, Instant) {
        let (answer, began) = self.entry(store, item, since);
        let paced = async {
            tokio::time::sleep_until(self.slot()).await;
            read.await
        };
        (answer.get_or_init(|| paced).await.clone(), began)
    }

    fn entry(&self, store: &Arc<dyn Store>, item: Item, since: Instant) -> (Arc<OnceCell<Answer>>, Instant) {
        let key = (address(store), item);
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = reads.get(&key).filter(|read| read.began >= since) {
            return (read.answer.clone(), read.began);
        }
        reads.retain(|_, read| read.began.elapsed() < KEPT);
        let (began, answer) = (Instant::now(), Arc::<OnceCell<Answer>>::default());
        reads.insert(key, Read { began, _store: store.clone(), answer: answer.clone() });
        (answer, began)
    }

    /// When the caller may begin.
    fn slot(&self) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = next.unwrap_or_else(Instant::now).max(Instant::now());
        *next = Some(slot + PACE);
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::resolve::fake::FakeStore;
    use crate::resolve::refresh;

    #[tokio::test(start_paused = true)]
    async fn a_demand_is_met_by_a_read_that_began_after_it_and_by_no_earlier_one() {
        let (recent, count) = (Recent::default(), AtomicUsize::new(0));
        let spec = serde_json::from_str(r#"{"data": []}"#).unwrap();
        let store: Arc<dyn Store> = Arc::new(FakeStore::new(&spec));
        let read = async |since: Instant| {
            let work = async {
                count.fetch_add(1, Ordering::Relaxed);
                Err(Cause::Unavailable { message: "gone".into() })
            };
            drop(recent.get(&store, Item::secret("a"), since, work).await);
            count.load(Ordering::Relaxed)
        };
        let start = Instant::now();
        assert_eq!((read(start).await, read(start).await), (1, 1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(read(Instant::now()).await, 2, "somebody wants what is there now");
        assert_eq!(read(start).await, 2, "and whoever wanted it before has it, too");
        tokio::time::advance(Duration::from_secs(300)).await;
        assert_eq!(read(start).await, 2, "however long it has waited for its turn");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_a_hundred_reads_begin_in_a_second() {
        let recent = Recent::default();
        let start = Instant::now();
        let last = (0..100).map(|_| recent.slot()).last().unwrap();
        assert!(last - start >= Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_answer_shortens_no_pause() {
        let recent = Recent::default();
        let spec = serde_json::from_str(r#"{"data": []}"#).unwrap();
        let store: Arc<dyn Store> = Arc::new(FakeStore::new(&spec));
        recent.pause(&store, Duration::from_secs(30));
        recent.pause(&store, Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(recent.paused(&store), Some(Duration::from_secs(20)));
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(recent.paused(&store), None);
    }

    const MINUTE: Duration = Duration::from_secs(60);

    /// Looks at one item once a minute, as an ExternalSecret does; when each look was done.
    async fn follow(recent: &Recent, store: &Arc<dyn Store>, item: Item, reads: &Mutex<Vec<Instant>>) -> Vec<Instant> {
        let (mut looks, mut wanted, end) = (Vec::new(), Instant::now(), Instant::now() + MINUTE * 9);
        while wanted < end {
            let read = async {
                reads.lock().unwrap().push(Instant::now());
                tokio::time::sleep(Duration::from_millis(80)).await;
                Err(Cause::Unavailable { message: "gone".into() })
            };
            let (_, as_of) = recent.get(store, item.clone(), refresh::since(wanted, MINUTE), read).await;
            looks.push(Instant::now());
            wanted = Instant::now() + refresh::rest(MINUTE, as_of.elapsed());
            tokio::time::sleep_until(wanted).await;
        }
        looks
    }

    #[tokio::test(start_paused = true)]
    async fn two_thousand_look_once_a_minute_and_five_hundred_secrets_are_read_as_often() {
        let (recent, start) = (Recent::default(), Instant::now());
        let spec = serde_json::from_str(r#"{"data": []}"#).unwrap();
        let store: Arc<dyn Store> = Arc::new(FakeStore::new(&spec));
        let reads = Mutex::default();
        let one = |number: u64| {
            let (item, recent, store, reads) = (Item::secret(&format!("s{}", number % 500)), &recent, &store, &reads);
            async move {
                // Where in the minute each begins is as good as random.
                tokio::time::sleep(Duration::from_millis(number * 7_919 % 60_000)).await;
                follow(recent, store, item, reads).await
            }
        };
        for looks in futures::future::join_all((0..2000).map(one)).await {
            let longest = looks.windows(2).map(|pair| pair[1] - pair[0]).max();
            assert!(longest < Some(MINUTE + Duration::from_secs(6)), "{longest:?}: somebody waits");
        }
        let reads = reads.into_inner().unwrap();
        let mut minutes = [0; 11];
        reads.iter().for_each(|at| minutes[usize::try_from((*at - start).as_secs() / 60).unwrap()] += 1);
        assert!(minutes[2..].iter().all(|count| *count <= 500), "{minutes:?}");
        assert!(reads.windows(101).all(|some| some[100] - some[0] >= Duration::from_secs(1)));
    }
}
