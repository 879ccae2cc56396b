//! Lockstep runs an unmodified Flux and External Secrets repository, and lands secrets and workloads together.
//!
//! # The map
//! A revision travels downwards through this list; each module may use those above it as `tests/house.rs` tells,
//! never one below.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`api`] | the shapes of Flux's and External Secrets' objects | any step |
//! | [`config`] | flags and environment, read once | any step |
//! | [`telemetry`] | how logs and metrics leave | what is logged |
//! | [`redact`] | every live secret value | where a text goes |
//! | [`system`] | the clock and the dice | who asks them |
//! | [`expression`] | what a CEL expression says of an object | who asks |
//! | [`unit`] | what lands together, and what it read | how it is landed |
//! | [`artifact`] | a fetched revision and its verification | where it came from |
//! | [`source`], [`decrypt`], [`build`], [`substitute`], [`resolve`], [`render`], [`cluster`], [`health`] | one step each | one another |
//! | [`pipeline`] | the steps in order, up to a plan | how a plan lands |
//! | [`landing`] | prepare, journal, commit, health, prune | conditions, events |
//! | [`status`] | how an error reads as condition, event and metric | how to do anything |
//! | [`reconcile`] | the frame of every kind: guard, plan, land, tell | flags, leases |
//! | [`agent`] | the composition: watches, lease, shutdown | |
//! | [`cli`] | one file per verb | |
//!
//! # Invariants
//! - Nothing is written before everything that can fail without writing has passed.
//! - A landing is journaled before its first write and is finished or undone after a crash. What one request makes whole
//!   ([`apply::create`]) is journaled after it, and known as ours by its owner before.
//! - Doubt never deletes a secret: only a deletion that was confirmed twice does.
//! - Plaintext has its own types, without `Debug`, `Display` and `Serialize`; all text leaves through [`redact`].
//! - Only [`status`] turns errors into conditions, events and metrics.
//! - At rest nothing moves: the same inputs and no drift mean no build and no write.

pub mod agent;
pub mod api;
pub mod artifact;
pub mod build;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod decrypt;
pub mod expression;
pub mod health;
pub mod landing;
pub mod pipeline;
pub mod reconcile;
pub mod redact;
pub mod render;
pub mod resolve;
pub mod source;
pub mod status;
pub mod substitute;
pub mod system;
pub mod telemetry;
pub mod unit;
