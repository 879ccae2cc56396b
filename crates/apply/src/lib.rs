//! The landing engine: brings a set of objects to a cluster whole, or not at all.
//!
//! # Flow
//! [`plan()`] compares what is wanted with what landed before and with what is live; [`prepare()`] tries all of it on the
//! server; [`land`] journals, writes, awaits health, prunes and concludes, or undoes. [`resume`] does what a crash left
//! undone. `Plan -> Prepared -> land` is typestate: the wrong order does not compile. [`create`] lands what is one creation.
//!
//! # Guarantees
//! - Refused in prepare: nothing has changed. Failed later: undone from the journal. Crashed: finished or undone.
//! - At any moment a workload's template is no newer than the bytes of the Secrets that it reads.
//! - Nothing of others is deleted, and nothing is deleted before its successors are healthy, unless [`Order::Flux`] asks
//!   for it and undoing can make it anew.
//!
//! # Assumptions
//! One writer per unit (the caller's lease); a [`Cluster`] that answers as its documentation says; a journal store that
//! encrypts.
//!
//! What is awaited here comes boxed: so it is compiled once, and not anew in each program and test that awaits it.
//!
//! It knows objects and a [`Cluster`], nothing else: no Kubernetes client, no engine, no runtime, no clock.

mod change;
pub mod cleanup;
pub mod cluster;
mod codec;
pub mod commit;
pub mod context;
mod creation;
mod definitions;
pub mod desired;
pub mod diff;
pub mod drift;
pub mod fault;
mod gate;
pub mod guest;
pub mod imprint;
pub mod journal;
pub mod landing;
pub mod memory;
pub mod order;
pub mod parcels;
pub mod plan;
pub mod prepare;
mod prune;
pub mod reads;
pub mod report;
mod rival;
mod rollback;
mod schema;
mod set;
pub mod share;
pub mod stamp;
pub mod versions;

pub use cleanup::Cleanup;
pub use cluster::{Answer, Call, Cluster, ClusterError, Reference, Scope, Selection, WatchEvent};
pub use context::{Clock, Context, Health, Progress, Waited};
pub use creation::create;
pub use desired::{Behaviour, Candidate, Declarer, Desired, HealthScope, LandingScope, OnFailure, Order, Reading};
pub use diff::{Diff, FieldChange};
pub use guest::Guest;
pub use journal::{Journal, Phase, Store, StoreError};
pub use landing::{Outcome, Verdict, land, resume, retreat};
pub use parcels::{Parcel, Parcels};
pub use plan::{Action, Base, Landing, Plan, Proof, plan};
pub use prepare::{Prepared, prepare, propose};
pub use prune::{Outlook, outlook};
pub use report::Failure;
pub use share::{Alone, Claims, Others, Ruling};
