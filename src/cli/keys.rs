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

use anyhow::anyhow;
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

/// How files name an age key: an SSH key without the comment that its file has.
///
/// # Errors
/// For a private key, which is not told.
fn named(recipient: &str) -> anyhow::Result<String> {
    let recipient = recipient.trim();
    let is_private = |mark: &str| recipient.to_ascii_uppercase().contains(mark);
    if is_private("AGE-SECRET-KEY-") || is_private("PRIVATE KEY-----") {
        let ways = "`age-keygen -y FILE` and `ssh-keygen -y -f FILE` print it";
        return Err(anyhow!("that is a private key: give its public one; {ways}"));
    }
    let words: Vec<&str> = recipient.split_whitespace().take(2).collect();
    Ok(if recipient.starts_with("ssh-") { words.join(" ") } else { recipient.to_owned() })
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
