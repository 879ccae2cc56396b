//! Where commits come from: a server over HTTP, or a repository on this machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use gix::ObjectId;
use gix::protocol::transport::Protocol;
use gix::protocol::transport::client::blocking_io::http::Transport;
use gix::remote::fetch::{Shallow, Tags};

use super::store::{self, Store};
use super::wire::{Line, Wire, locked};
use crate::source::http::chain;
use crate::source::{Error, GitCause, http};

/// References of an origin by full name, each with the object that it stands for, tags peeled.
pub(super) type Tips = BTreeMap<String, ObjectId>;

/// What to have from an origin.
#[derive(Clone, Copy)]
pub(super) enum Depth {
    /// The commits alone.
    One,
    /// Their whole history.
    All,
}

/// One place to fetch from, during one fetch.
pub(super) enum Origin {
    Server(Server),
    /// Read in place: nothing is copied.
    Local {
        url: String,
        repository: gix::Repository,
    },
}

/// A server, and the store that its objects go to.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) line: Arc<Line>,
    pub(super) store: Store,
}

impl Origin {
    pub(super) fn repository(&self) -> &gix::Repository {
        match self {
            Self::Server(server) => &server.store.repository,
            Self::Local { repository, .. } => repository,
        }
    }

    pub(super) fn has(&self, commit: ObjectId) -> bool {
        self.repository().find_header(commit).is_ok()
    }

    /// Lists the references that `specs` name (full names, or a prefix and `*`, or an object id), lets `choose` look at
    /// them, and receives the objects of all of them when it says so.
    pub(super) fn exchange(
        &self,
        specs: &[String],
        depth: Depth,
        choose: &mut dyn FnMut(&Tips) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        match self {
            Self::Server(server) => server.exchange(specs, depth, choose),
            Self::Local { url, repository } => choose(&local_tips(url, repository, specs)?).map(drop),
        }
    }

    /// The repository that now holds what was received.
    pub(super) fn finish(self) -> Result<gix::Repository, Error> {
        match self {
            Self::Server(server) => server.store.publish(),
            Self::Local { repository, .. } => Ok(repository),
        }
    }
}

impl Server {
    fn exchange(
        &self,
        specs: &[String],
        depth: Depth,
        choose: &mut dyn FnMut(&Tips) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mapped = specs.iter().map(|spec| match ObjectId::from_hex(spec.as_bytes()) {
            Ok(_) => format!("+{spec}:refs/lockstep/commit"),
            // The store's own one is no place for that of a server.
            Err(_) if spec == "HEAD" => "+HEAD:refs/lockstep/head".to_owned(),
            Err(_) => format!("+{spec}:{spec}"),
        });
        let mapped: Vec<String> = mapped.collect();
        let repository = &self.store.repository;
        let failed = |error: gix::Error| self.failed(&error);
        let url = gix::url::parse(self.url.as_str()).map_err(failed)?;
        let remote = repository.remote_at_without_url_rewrite(url.clone()).map_err(failed)?;
        let remote = remote.with_fetch_tags(Tags::None);
        let remote = remote.with_refspecs(mapped.iter().map(String::as_str), gix::remote::Direction::Fetch);
        let remote = remote.map_err(failed)?;
        let transport = Transport::new_http(Wire::new(self.line.clone()), url, Protocol::V2, false);
        let connection = remote.to_connection_with_transport(transport);
        // Without this gix would ask its default: the programs that Git's configuration names.
        let connection = connection.with_credentials(|_| Ok(None));
        let prepared = connection
            .with_transport_options(Box::new(()))
            .prepare_fetch(gix::progress::Discard, gix::remote::ref_map::Options::default())
            .map_err(failed)?;
        if !choose(&server_tips(&prepared.ref_map().remote_refs))? {
            return Ok(());
        }
        let shallow = match depth {
            Depth::One => Shallow::DepthAtRemote(std::num::NonZeroU32::MIN),
            Depth::All => Shallow::NoChange,
        };
        prepared.with_shallow(shallow).receive(gix::progress::Discard, &self.line.interrupt).map_err(failed)?;
        Ok(())
    }

    /// What went wrong: the connection knows better than gix.
    fn failed(&self, error: &gix::Error) -> Error {
        if self.line.interrupt.load(std::sync::atomic::Ordering::Relaxed) {
            return Error::Interrupted;
        }
        let source = match locked(&self.line.failure).take() {
            Some(cause) => GitCause::of(cause),
            None => GitCause::Protocol { cause: chain(error).replace(&self.url, &http::shown(&self.url)) },
        };
        Error::Clone { url: http::shown(&self.url), source }
    }
}

fn server_tips(refs: &[gix::protocol::handshake::Ref]) -> Tips {
    let named = refs.iter().filter_map(|reference| {
        let (name, target, peeled) = reference.unpack();
        Some((name.to_string(), peeled.or(target)?.to_owned()))
    });
    named.collect()
}

fn local_tips(url: &str, repository: &gix::Repository, specs: &[String]) -> Result<Tips, Error> {
    let unreadable =
        |error: gix::Error| Error::Clone { url: http::shown(url), source: GitCause::Protocol { cause: chain(&error) } };
    let mut tips = Tips::new();
    for spec in specs {
        if let Some(prefix) = spec.strip_suffix('*') {
            let references = repository.references().map_err(unreadable)?;
            let below = references.prefixed(prefix).map_err(unreadable)?;
            tips.extend(below.flatten().filter_map(local_tip));
        } else if let Ok(Some(reference)) = repository.try_find_reference(spec.as_str()) {
            tips.extend(local_tip(reference).filter(|(name, _)| name == spec));
        }
    }
    Ok(tips)
}

fn local_tip(mut reference: gix::Reference<'_>) -> Option<(String, ObjectId)> {
    // Peeling goes on to what a symbolic one names.
    let name = reference.name().as_bstr().to_string();
    let id = reference.peel_to_id().ok()?.detach();
    Some((name, id))
}

/// Opens a repository of this machine, or says that there is none.
pub(super) fn open_local(url: &str, path: &Path) -> Result<Origin, Error> {
    let missing = |_| Error::Clone { url: http::shown(url), source: GitCause::NotFound };
    let repository = store::open(path).map_err(missing)?;
    Ok(Origin::Local { url: url.to_owned(), repository })
}
