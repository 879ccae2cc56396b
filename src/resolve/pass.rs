//! One look at all stores: each store is opened once, each item read once, however many ExternalSecrets ask.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::join_all;
use manifest::Object;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::lookup::Lookup;
use super::open::{Opened, StoreId, Verdict, judge, open, pattern};
use super::remote::Dialect;
use super::store::{Cause, Data, Deletion, Item, Listed, Remote};
use super::target::{self, Wanted};
use super::template::Templater;
use super::{Missing, Outcome, Place, Problem, ResolveError, Resolved, Resolver, demand, hash, keys, rewrite};
use crate::api::secret::{
    CreationPolicy, Data as DataEntry, DataFrom, ExternalSecretSpec, Find, RemoteReference, SourceOverride,
    TargetDeletion,
};
use crate::api::store::StoreReference;
use crate::unit::{ReadSet, Thing};

type Once<T> = Arc<OnceCell<Result<T, Cause>>>;
type OnceMap<K, T> = Mutex<HashMap<K, Once<T>>>;
/// Which store, by its place in memory; two names of one vault are one store.
type Address = usize;

/// One look at all stores.
pub struct Pass {
    resolver: Arc<Resolver>,
    lookup: Lookup,
    /// Since when it is wanted.
    since: Instant,
    stores: OnceMap<StoreId, Option<Arc<Opened>>>,
    items: OnceMap<(Address, Item), Arc<Remote>>,
    lists: OnceMap<Address, Arc<Vec<Listed>>>,
    gates: Mutex<HashMap<Address, Arc<Gate>>>,
    /// When the oldest read began that counts here.
    oldest: Mutex<Option<Instant>>,
}

/// Letters of the shortest digest that stands for a version where a store has none.
const DIGEST: usize = 56;

/// What was asked of a store, as a read-set keeps it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Request {
    Item(Item),
    Find(Selection),
}

/// Which items of a list are meant.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Selection {
    name: Option<String>,
    tags: std::collections::BTreeMap<String, String>,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all items")?;
        if let Some(name) = &self.name {
            write!(f, " named like {name}")?;
        }
        self.tags.iter().try_for_each(|(tag, value)| write!(f, " tagged {tag}={value}"))
    }
}

/// What one entry of an ExternalSecret gave.
#[derive(Default)]
struct Piece {
    data: Data,
    read: Vec<(Thing, String)>,
    missing: Vec<Missing>,
}

impl Pass {
    pub(super) fn new(resolver: Arc<Resolver>, lookup: Lookup, since: Instant) -> Self {
        let (stores, items, lists, gates, oldest) = Default::default();
        Self { resolver, lookup, since, stores, items, lists, gates, oldest }
    }

    /// As of when everything that was read until now is known.
    pub fn as_of(&self) -> Instant {
        self.oldest.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(Instant::now)
    }

    /// Resolves one ExternalSecret; `live` is its target as the cluster has it.
    ///
    /// # Errors
    /// Everything that stands in the way, at once.
    pub async fn resolve(&self, external: &Object, live: Option<&Object>) -> Result<Resolved, ResolveError> {
        self.resolve_keeping(external, live, Map::new()).await
    }

    /// The same; the Secret has the `kept` entries, too, encoded as in a Secret's `data`, where nothing else comes for them.
    ///
    /// # Errors
    /// Everything that stands in the way, at once.
    pub async fn resolve_keeping(
        &self,
        external: &Object,
        live: Option<&Object>,
        kept: Map<String, Value>,
    ) -> Result<Resolved, ResolveError> {
        let spec = demand::read(external).map_err(|problems| ResolveError { problems })?;
        if self.is_foreign(&spec, external.namespace()).await {
            return Ok(Resolved {
                outcome: Outcome::Foreign,
                read: Vec::new(),
                missing: Vec::new(),
                random: Vec::new(),
            });
        }
        let piece = self.gather(&spec, external.namespace()).await?;
        let wanted = Wanted { object: external, spec: &spec };
        let mut resolved =
            Resolved { outcome: Outcome::NotWanted, read: piece.read, missing: piece.missing, random: Vec::new() };
        resolved.outcome = match without_secret(&spec, piece.data.is_empty(), live.is_some())? {
            Some(outcome) => outcome,
            None => self.secret(&wanted, &piece.data, live, kept, &mut resolved).await?,
        };
        Ok(resolved)
    }

    /// Judges a SecretStore or ClusterSecretStore as External Secrets does.
    pub async fn judge(&self, store: &Object) -> Verdict {
        judge(store, &self.resolver.class, &self.resolver.azure, &self.lookup).await
    }

    /// The version that a thing of a read-set has now.
    ///
    /// # Errors
    /// When the thing is no [`Thing::Remote`] of this module, or its store does not answer.
    pub async fn version(&self, thing: &Thing) -> Result<String, Cause> {
        let unknown = || Cause::Spec { message: "the read-set names something that no store was asked for".into() };
        let Thing::Remote { store, request } = thing else { return Err(unknown()) };
        let store: StoreId = StoreId::parse(store).ok_or_else(unknown)?;
        let opened = self.open(&store).await?;
        match serde_json::from_str(request).map_err(|_| unknown())? {
            Request::Item(item) => self.read(&opened, item).await.map(|remote| remote.mark()),
            Request::Find(selection) => self.select(&opened, &selection).await.map(|listed| mark(&listed)),
        }
    }

    /// Whether the store has a record of a missing item's deletion: the second of the two proofs that let a deletion
    /// policy act.
    pub async fn deletion(&self, missing: &Missing) -> Deletion {
        match (&missing.item, self.open(&missing.store).await) {
            (Some(item), Ok(opened)) => opened.store.deletion(item.clone()).await,
            _ => Deletion::Unknown,
        }
    }

    /// Templates, then the Secret.
    async fn secret(
        &self,
        wanted: &Wanted<'_>,
        provided: &Data,
        live: Option<&Object>,
        kept: Map<String, Value>,
        resolved: &mut Resolved,
    ) -> Result<Outcome, ResolveError> {
        let mut templater = Templater::new(provided);
        let content = wanted.content(provided);
        let namespace = wanted.object.namespace();
        let mut content = match &wanted.spec.target.template {
            Some(template) => templater.apply(template, content, namespace, &self.lookup).await?,
            None => content,
        };
        for (key, value) in target::data_of(&Object::unchecked(json!({ "data": kept }))) {
            content.data.entry(key).or_insert(value);
        }
        content.data.values().for_each(|value| (self.resolver.witness)(value));
        resolved.read.append(&mut templater.read);
        resolved.random = templater.random;
        let desired = wanted.secret(content, live);
        let desired = desired.map_err(|cause| ResolveError { problems: vec![Problem::new(Place::Target, cause)] })?;
        Ok(Outcome::Secret(Box::new(desired)))
    }

    /// Whether any store that is there belongs to another controller.
    async fn is_foreign(&self, spec: &ExternalSecretSpec, namespace: &str) -> bool {
        let named = |source: &Option<SourceOverride>| source.as_ref().and_then(|source| source.store_ref.clone());
        let overrides = spec.data.iter().map(|data| named(&data.source_ref));
        let overrides = overrides.chain(spec.data_from.iter().map(|from| named(&from.source_ref))).flatten();
        let stores = std::iter::once(spec.secret_store_ref.clone()).chain(overrides);
        let ids = stores.filter(|store| store.name.is_some()).filter_map(|store| StoreId::of(&store, namespace).ok());
        let opened = join_all(ids.map(|id| async move { self.try_open(&id).await })).await;
        opened.iter().any(|opened| matches!(opened, Ok(None)))
    }

    /// Everything that the stores have for an ExternalSecret: `dataFrom` in order, then `data`.
    async fn gather(&self, spec: &ExternalSecretSpec, namespace: &str) -> Result<Piece, ResolveError> {
        let from = spec.data_from.iter().enumerate().map(|(index, from)| self.from(spec, index, from, namespace));
        let data = spec.data.iter().enumerate().map(|(index, data)| self.entry(spec, index, data, namespace));
        let (from, data) = futures::join!(join_all(from), join_all(data));
        let (mut all, mut problems) = (Piece::default(), Vec::new());
        for piece in from.into_iter().chain(data) {
            match piece {
                Ok(piece) => {
                    all.data.extend(piece.data);
                    all.read.extend(piece.read);
                    all.missing.extend(piece.missing);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(all) } else { Err(ResolveError { problems }) }
    }

    /// One entry of `data`.
    async fn entry(
        &self,
        spec: &ExternalSecretSpec,
        index: usize,
        entry: &DataEntry,
        namespace: &str,
    ) -> Result<Piece, Problem> {
        let source = Source { pass: self, spec, place: Place::Data(index), override_: entry.source_ref.as_ref() };
        let (key, reference) = (entry.secret_key.as_str(), &entry.remote_ref);
        source
            .item(namespace, reference, |dialect, remote, item| {
                let value = keys::decode(&reference.decoding_strategy, dialect.value(remote, item, reference)?)?;
                keys::check_bytes(&reference.null_byte_policy, key, &value)?;
                Ok(Data::from([(key.to_owned(), value)]))
            })
            .await
    }

    /// One entry of `dataFrom`.
    async fn from(
        &self,
        spec: &ExternalSecretSpec,
        index: usize,
        from: &DataFrom,
        namespace: &str,
    ) -> Result<Piece, Problem> {
        let source = Source { pass: self, spec, place: Place::DataFrom(index), override_: from.source_ref.as_ref() };
        if let Some(find) = &from.find {
            return source.find(namespace, from, find).await;
        }
        let Some(reference) = &from.extract else { return Ok(Piece::default()) };
        source
            .item(namespace, reference, |dialect, remote, item| {
                let data = dialect.map(remote, item, reference)?;
                let data = match from.rewrite.as_slice() {
                    [] => keys::convert(&reference.conversion_strategy, data)?,
                    rewrites => rewrite::apply(rewrites, data)?,
                };
                let data = keys::decode_all(&reference.decoding_strategy, keys::check(data)?)?;
                data.iter().try_for_each(|(key, value)| keys::check_bytes(&reference.null_byte_policy, key, value))?;
                Ok(data)
            })
            .await
    }

    /// Opens a store, once; a foreign one is an error.
    async fn open(&self, id: &StoreId) -> Result<Arc<Opened>, Cause> {
        let unmanaged = || Cause::Spec { message: "can not reference unmanaged store".into() };
        self.try_open(id).await?.ok_or_else(unmanaged)
    }

    async fn try_open(&self, id: &StoreId) -> Result<Option<Arc<Opened>>, Cause> {
        let Resolver { class, azure, .. } = self.resolver.as_ref();
        once(&self.stores, id.clone(), async { open(id, class, azure, &self.lookup).await.map(|o| o.map(Arc::new)) })
            .await
    }

    /// Reads an item, once.
    async fn read(&self, opened: &Opened, item: Item) -> Result<Arc<Remote>, Cause> {
        let address = address(opened);
        let read = async {
            let remote = self.ask(opened, opened.store.read(item.clone())).await?;
            (self.resolver.witness)(&remote.value);
            Ok(remote)
        };
        // The values of such a store stand in its own spec.
        if opened.dialect == Dialect::Fake {
            return once(&self.items, (address, item.clone()), read).await;
        }
        let (answer, began) = self.resolver.recent.get(&opened.store, item.clone(), self.since, read).await;
        let mut oldest = self.oldest.lock().unwrap_or_else(PoisonError::into_inner);
        *oldest = Some(oldest.map_or(began, |oldest| oldest.min(began)));
        answer
    }

    /// The listed items that a selection means, by name; those that are disabled are none.
    async fn select(&self, opened: &Opened, selection: &Selection) -> Result<Vec<Listed>, Cause> {
        let name = selection.name.as_deref().map(pattern).transpose()?;
        let address = address(opened);
        let list = once(&self.lists, address, self.ask(opened, opened.store.list())).await?;
        let tagged = |item: &Listed| selection.tags.iter().all(|(key, value)| item.tags.get(key) == Some(value));
        let named = |item: &Listed| name.as_ref().is_none_or(|name| name.is_match(&item.name));
        Ok(list.iter().filter(|item| item.enabled && tagged(item) && named(item)).cloned().collect())
    }

    /// Asks a store, unless it wants to be left alone: whoever asks then is told so.
    async fn ask<T>(&self, opened: &Opened, request: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
        let recent = &self.resolver.recent;
        if let Some(left) = recent.paused(&opened.store) {
            return Err(Cause::Throttled { retry_after: Some(left) });
        }
        // Of what is not asked, because another request was told so, nobody says how long.
        let asked = async {
            let answer = request.await;
            if let Err(Cause::Throttled { retry_after: Some(wait) }) = &answer {
                recent.pause(&opened.store, *wait);
            }
            answer
        };
        self.ask_in_turn(address(opened), asked).await
    }

    /// Asks a store unless it has already shown that it cannot answer in this pass.
    ///
    /// The first request to a store goes alone: it finds out whether the store can be asked at all, and meets a vault's
    /// question for a token, for all the others.
    async fn ask_in_turn<T>(
        &self,
        address: Address,
        request: impl Future<Output = Result<T, Cause>>,
    ) -> Result<T, Cause> {
        let gate = Arc::clone(self.gates.lock().unwrap_or_else(PoisonError::into_inner).entry(address).or_default());
        let (mut request, mut answer) = (Some(request), None);
        let first = gate.proved.get_or_try_init(|| async {
            let request = request.take().filter(|_| gate.closed().is_none()).ok_or(())?;
            let outcome = answer.insert(gate.watch(request.await));
            if outcome.as_ref().is_err_and(Cause::concerns_store) { Err(()) } else { Ok(()) }
        });
        let _ = first.await;
        if let Some(answer) = answer {
            return answer;
        }
        // Never closed: a permit that is refused would only mean one request more at a time.
        let _permit = self.resolver.requests.acquire().await;
        match (gate.closed(), request) {
            (Some(cause), _) => Err(cause),
            (None, Some(request)) => gate.watch(request.await),
            (None, None) => Err(Cause::Unavailable { message: "the request was lost".into() }),
        }
    }
}

/// What a pass has found out about a store.
#[derive(Default)]
struct Gate {
    /// Set once a request has been answered.
    proved: OnceCell<()>,
    /// Why the store cannot be asked any more in this pass.
    closed: Mutex<Option<Cause>>,
}

impl Gate {
    fn closed(&self) -> Option<Cause> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes when an answer says that all others would be the same.
    fn watch<T>(&self, answer: Result<T, Cause>) -> Result<T, Cause> {
        if let Err(cause) = &answer
            && cause.concerns_store()
        {
            *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause.clone());
        }
        answer
    }
}

/// Does the work for a key once, however many ask for it at a time.
async fn once<K: Eq + Hash, T: Clone>(
    map: &OnceMap<K, T>,
    key: K,
    work: impl Future<Output = Result<T, Cause>>,
) -> Result<T, Cause> {
    let cell = Arc::clone(map.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
    cell.get_or_init(|| work).await.clone()
}

fn address(opened: &Opened) -> Address {
    Arc::as_ptr(&opened.store).cast::<()>().addr()
}

/// What a selection of a list amounts to, as a version.
fn mark(listed: &[Listed]) -> String {
    let lines: Vec<_> = listed.iter().map(|item| format!("{} {} {}", item.name, item.version, item.mark)).collect();
    hash::text(&lines.join("\n"))
}

/// What an ExternalSecret amounts to when no Secret is to be written.
fn without_secret(spec: &ExternalSecretSpec, empty: bool, live: bool) -> Result<Option<Outcome>, ResolveError> {
    let (creation, deletion) = (&spec.target.creation_policy, &spec.target.deletion_policy);
    Ok(match (deletion, creation) {
        (TargetDeletion::Delete, CreationPolicy::Owner) if empty => Some(Outcome::Gone),
        (TargetDeletion::Delete, creation) if empty => {
            let message = format!("unable to delete the secret: creationPolicy={} is not Owner", creation.as_str());
            let problems = vec![Problem::new(Place::Target, Cause::Spec { message })];
            return Err(ResolveError { problems });
        }
        (TargetDeletion::Retain, _) if empty => Some(Outcome::Retained),
        (_, CreationPolicy::None) => Some(Outcome::NotWanted),
        (_, CreationPolicy::Merge) if !live => Some(Outcome::NoTarget),
        _ => None,
    })
}

/// One entry of an ExternalSecret and the store that it reads.
struct Source<'a> {
    pass: &'a Pass,
    spec: &'a ExternalSecretSpec,
    place: Place,
    override_: Option<&'a SourceOverride>,
}

impl Source<'_> {
    fn store(&self, namespace: &str) -> Result<StoreId, Cause> {
        let own = self.override_.and_then(|source| source.store_ref.as_ref());
        let reference: &StoreReference = own.unwrap_or(&self.spec.secret_store_ref);
        StoreId::of(reference, namespace)
    }

    /// Reads one item and takes from it what `take` does.
    async fn item(
        &self,
        namespace: &str,
        reference: &RemoteReference,
        take: impl Fn(Dialect, &Remote, &Item) -> Result<Data, Cause>,
    ) -> Result<Piece, Problem> {
        let named = |subject: &str, cause| Problem { place: self.place, subject: Some(subject.into()), cause };
        let store = self.store(namespace).map_err(|cause| named(&reference.key, cause))?;
        let subject = format!("{} in {store}", reference.key);
        let opened = self.pass.open(&store).await.map_err(|cause| named(&subject, cause))?;
        let subject = format!("{} in {}", reference.key, opened.place);
        let item = opened.dialect.item(reference).map_err(|cause| named(&subject, cause))?;
        let remote = match self.pass.read(&opened, item.clone()).await {
            Ok(remote) => remote,
            Err(cause) if self.tolerates(&cause) => return Ok(self.absent(store, item)),
            Err(cause) => return Err(named(&subject, cause)),
        };
        let data = take(opened.dialect, &remote, &item).map_err(|cause| named(&subject, cause))?;
        data.values().for_each(|value| (self.pass.resolver.witness)(value));
        let thing = thing(&store, &Request::Item(item));
        let read = vec![(thing.clone(), remote.mark())];
        // An item that has nothing in it any more is as good as none.
        let is_empty = data.is_empty() && self.spec.target.deletion_policy != TargetDeletion::Retain;
        let missing = is_empty.then_some(Missing { place: self.place, store, item: None, thing });
        Ok(Piece { data, read, missing: missing.into_iter().collect() })
    }

    /// Whether the deletion policy lets an item be missing.
    fn tolerates(&self, cause: &Cause) -> bool {
        cause.is_gone() && self.spec.target.deletion_policy != TargetDeletion::Retain
    }

    fn absent(&self, store: StoreId, item: Item) -> Piece {
        let thing = thing(&store, &Request::Item(item.clone()));
        let read = vec![(thing.clone(), crate::unit::MISSING.to_owned())];
        Piece { data: Data::new(), read, missing: vec![Missing { place: self.place, store, item: Some(item), thing }] }
    }

    /// Lists, selects and reads.
    async fn find(&self, namespace: &str, from: &DataFrom, find: &Find) -> Result<Piece, Problem> {
        let named = |subject: String, cause| Problem { place: self.place, subject: Some(subject), cause };
        let store = self.store(namespace).map_err(|cause| named("find".into(), cause))?;
        let opened = self.pass.open(&store).await.map_err(|cause| named(format!("find in {store}"), cause))?;
        let selection = selection(find, opened.dialect);
        let failed = |cause| named(format!("find in {}", opened.place), cause);
        let listed = self.pass.select(&opened, &selection).await.map_err(failed)?;
        let reads = listed.iter().map(|listed| async {
            let item = Item { version: listed.version.clone(), ..Item::secret(&listed.name) };
            let remote = self.pass.read(&opened, item.clone()).await;
            let remote = remote.map_err(|cause| named(format!("{} in {}", listed.name, opened.place), cause))?;
            Ok((listed.name.clone(), item, remote))
        });
        let mut piece = Piece::default();
        let list = thing(&store, &Request::Find(selection));
        piece.read.push((list.clone(), mark(&listed)));
        let mut data = Data::new();
        for found in join_all(reads).await {
            let (name, item, remote) = found?;
            data.insert(name, remote.value.clone());
            piece.read.push((thing(&store, &Request::Item(item)), remote.mark()));
        }
        if data.is_empty() {
            piece.missing.push(Missing { place: self.place, store, item: None, thing: list });
        }
        piece.data = finish(data, from, find, opened.dialect).map_err(failed)?;
        piece.data.values().for_each(|value| (self.pass.resolver.witness)(value));
        Ok(piece)
    }
}

fn selection(find: &Find, dialect: Dialect) -> Selection {
    let name = find.name.as_ref().map(|name| name.regexp.clone().unwrap_or_default());
    match dialect {
        Dialect::Azure { .. } => Selection { name: name.filter(|name| !name.is_empty()), tags: find.tags.clone() },
        Dialect::Fake => Selection { name, ..Selection::default() },
    }
}

/// Keys and values of what `find` found.
fn finish(data: Data, from: &DataFrom, find: &Find, dialect: Dialect) -> Result<Data, Cause> {
    if dialect == Dialect::Fake && find.name.is_none() {
        return Err(Cause::Spec { message: "unsupported find operator: only name".into() });
    }
    // The original's fake converts keys itself, before any rewrite.
    let convert_first = dialect == Dialect::Fake || from.rewrite.is_empty();
    let data = if convert_first { keys::convert(&find.conversion_strategy, data)? } else { data };
    let data = keys::check(rewrite::apply(&from.rewrite, data)?)?;
    let data = keys::decode_all(&find.decoding_strategy, data)?;
    data.iter().try_for_each(|(key, value)| keys::check_bytes(&find.null_byte_policy, key, value))?;
    Ok(data)
}

/// For people: at which versions secrets were read before, of those that were read at others since.
pub fn versions_before(before: &ReadSet, since: &ReadSet) -> Option<String> {
    let changed = since.iter().filter_map(|(thing, now)| {
        let Thing::Remote { request, .. } = thing else { return None };
        let Ok(Request::Item(item)) = serde_json::from_str(request) else { return None };
        Some((item.name, named_version(before.version(thing).filter(|known| *known != now)?)))
    });
    let changed: Vec<(String, Option<&str>)> = changed.collect();
    match changed.as_slice() {
        [] => None,
        [(_, Some(version))] => Some(format!("kv version {version}")),
        many => {
            let each = many.iter().map(|(name, version)| format!("{name} {}", version.unwrap_or("as it was")));
            Some(format!("kv versions {}", each.collect::<Vec<_>>().join(", ")))
        }
    }
}

/// For people: what was asked of a store, of which store, and the version that it had; that is empty where the store names
/// none.
pub fn shown(store: &str, request: &str, mark: &str) -> (String, String) {
    let store = store.replacen('/', " ", 1);
    let (what, version) = match serde_json::from_str(request) {
        Ok(Request::Item(item)) => (item.to_string(), named_version(mark)),
        Ok(Request::Find(selection)) => (selection.to_string(), None),
        Err(_) => ("something".to_owned(), None),
    };
    (format!("{what} of {store}"), version.unwrap_or_default().to_owned())
}

/// The version that a store names. A digest of what was read, where it names none, would give weak secrets away.
fn named_version(mark: &str) -> Option<&str> {
    let version = mark.split('@').next().unwrap_or_default();
    let is_digest = version.len() >= DIGEST && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    (!is_digest && !version.is_empty()).then_some(version)
}

fn thing(store: &StoreId, request: &Request) -> Thing {
    // Only a map whose keys are no text could not be written.
    Thing::Remote { store: store.key(), request: serde_json::to_string(request).unwrap_or_default() }
}
