//! `lockstep version`.

use clap::Args;
use serde_json::{Value, json};

use super::document::Document;
use super::{Outcome, print};

/// What each part behaves as.
const ORIGINALS: [(&str, &str); 5] =
    [("flux", "2.9"), ("external-secrets", "2.9"), ("kustomize", "5.8.1"), ("helm", "4.2"), ("sops", "3.13")];

/// Print the version, and those of the tools that it takes the place of.
#[derive(Args)]
#[command(after_help = "Example: in a script\n  lockstep version -o json | jq -r .version")]
pub(super) struct Arguments {
    /// As text, when nothing is said.
    #[arg(short, long, value_enum)]
    output: Option<Document>,
}

impl Arguments {
    pub(super) fn run(self) -> Outcome {
        let version = env!("CARGO_PKG_VERSION");
        let originals = ORIGINALS.map(|(name, version)| (name.to_owned(), Value::from(version)));
        let value = json!({"version": version, "originals": Value::from_iter(originals)});
        let text = match self.output {
            Some(document) => document.text(&value),
            None => {
                let originals = ORIGINALS.map(|(name, version)| format!("{name} {version}"));
                format!("lockstep {version} (as {})\n", originals.join(", "))
            }
        };
        print(text.as_bytes())
    }
}
