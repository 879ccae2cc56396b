//! Charts as Helm 4 reads, values, renders, sorts and records them.
//!
//! # Flow
//! ```text
//! files or archive -> Chart -> (values) chart with its dependencies -> values -> render -> Rendered
//! Rendered -> Release -> record -> a Secret that `helm list`, `history`, `get` and `rollback` read
//! ```
//!
//! # Guarantees
//! - A render is Helm's, byte by byte, except where a function rolls dice: those are named in [`Rendered::random`].
//! - Nothing is known of a cluster, the clock or the dice but what [`Lookup`] and `gotemplate::Environment` tell.
//! - No chart panics, hangs or overflows the stack; archives and values are bounded.
//!
//! # Caveats
//! - Values of a key that holds a map and a value that is none: Helm warns and goes on; so do we, without the warning.

mod capabilities;
mod chart;
mod lint;
mod output;
pub mod record;
mod render;
pub mod values;

pub use capabilities::{Capabilities, KubeVersion, NoKubeVersion};
pub use chart::{Chart, ChartError, Dependency, File, Maintainer, Metadata, Schema};
pub use lint::{Finding, Severity, lint};
pub use output::{Event, Hook, Manifest, ManifestError, Order, sort_by_kind};
pub use render::{
    Action, Lookup, NoCluster, RenderError, RenderOptions, Rendered, TemplateError, render, render_texts,
};
