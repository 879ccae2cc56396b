//! The clusters that Lockstep talks to, all behind [`apply::Cluster`].
//!
//! - [`kube`]: a real API server. Nothing outside that file knows the client crate.
//! - [`local`]: the cluster in memory, kept in a folder when asked for: the quickstart.
//! - [`journal`]: where a landing's journal is kept.
//! - [`noted`]: a cluster that tells somebody what we write.
//! - [`seen`]: a cluster of which one object is known by a watch.
//! - [`shared`]: a cluster whose watches are shared by all who follow the same.

pub mod fenced;
pub mod journal;
pub mod kube;
pub mod local;
pub mod noted;
pub mod seen;
pub mod shared;
