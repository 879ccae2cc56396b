//! `lockstep crds`.

use clap::Args;

use super::{Outcome, print};
use crate::api::schema;

/// Print the CustomResourceDefinitions of Flux and External Secrets.
///
/// All that the agent serves, structurally equal to what the two projects publish, as one stream of documents. A cluster
/// that has them from their projects needs none of these.
#[derive(Args)]
#[command(after_help = "Example: prepare a cluster\n  lockstep crds | kubectl apply --server-side -f -")]
pub(super) struct Arguments {}

impl Arguments {
    pub(super) fn run(self) -> Outcome {
        print(schema::stream().as_bytes())
    }
}
