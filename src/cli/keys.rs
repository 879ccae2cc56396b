//! `lockstep keys`: living with encrypted files, for people who have only an age key.
//!
//! # Flow
//! A change of recipients goes to `.sops.yaml` first, then to the files that its rules are for: what was not reached before an
//! interruption is what the same command does next.

mod audit;
mod history;
mod identity;
mod init;
mod list;
mod recipients;
mod repository;

use clap::{Args, Subcommand};

use super::sops::stay_in_memory;
use super::{Failure, Outcome};

/// Make age keys, and say who can read the encrypted files of a repository.
#[derive(Args)]
#[command(disable_help_subcommand = true)]
#[command(after_help = "Example: from an empty folder to a key for Flux\n  lockstep keys init")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Init(init::Init),
    List(list::List),
    Add(recipients::Add),
    Remove(recipients::Remove),
    Rotate(recipients::Rotate),
    Audit(audit::Audit),
    WhoCanRead(history::WhoCanRead),
}

impl Arguments {
    pub(super) fn run(self) -> Outcome {
        stay_in_memory()?;
        match self.verb {
            Verb::Init(init) => init.run(),
            Verb::List(list) => list.run(),
            Verb::Add(add) => add.run(),
            Verb::Remove(remove) => remove.run(),
            Verb::Rotate(rotate) => rotate.run(),
            Verb::Audit(audit) => audit.run(),
            Verb::WhoCanRead(who) => who.run(),
        }
    }
}
