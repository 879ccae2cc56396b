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
//! # Differences that stay
//! Each is a named case of a test, with the number of cases of the corpus that it has.
//!
//! | what | Helm and Go | here, and why |
//! |---|---|---|
//! | a schema that lies elsewhere (`http`, 4) | is fetched | takes everything: [`values::schema`] |
//! | a malformed schema (4) | what its metaschema says of it | its first malformed keyword: no draft is carried along |
//! | a map and a value that is none for one key | a warning | the same values without it: a render has no log |
//! | order of `keys`, `values`, `Files` | differs from run to run | sorted |
//! | maps whose keys are no strings (6) | can be given by a Go program | no chart holds any |
//! | fields that a Go struct hides (10) | reflection shows some | a host object shows what it chooses |
//! | templates that include themselves (1), steps, size | end at 1,000, or not at all | end at [`RenderOptions::limits`], which no template can pass over |
//! | times in some zones before 1970 (4) | the whole database of zones | that which is compiled in begins in 1970 |
//! | `getHostByName` with `--enable-dns` | asks the network | refused: a render asks nobody |
//! | `helm lint` of a chart of another form | looks on | stops: what it would say is of no chart that it reads |
//!
//! The command line fetches nothing, asks no cluster and runs no program; `src/cli/helm/original.rs` has its table.
//! External Secrets' templates differ in five cases, named in `tests/resolve.rs`: functions that came or went since the
//! version of the table, and words of its YAML reader.

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
