//! The landing engine: brings a set of objects to a cluster whole, or not at all.
//!
//! It knows objects and a [`Cluster`], nothing else: no Kubernetes client, no engine, no runtime, no clock.

pub mod cluster;

pub use cluster::{Answer, Call, Cluster, ClusterError, Reference, Scope, Selection, WatchEvent};
