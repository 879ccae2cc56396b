//! The command line: one file per verb.
//!
//! # Flow
//! Flags are read once, into the verb's own arguments; a verb prints to standard output and returns, or fails with words
//! for standard error and the exit code that its original has for such a failure.
//!
//! # Caveats
//! What prints secrets was asked to: `sops decrypt`. Nothing else here knows any.

mod build;
mod completion;
mod crds;
mod demo;
mod disk;
mod document;
mod envsubst;
mod explain;
mod folder;
mod helm;
mod keys;
mod kustomize;
mod network;
mod plan;
mod run;
mod sops;
mod table;
mod target;
mod version;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

/// Runs an unmodified Flux and External Secrets repository; lands secrets and workloads together.
///
/// Its engines stand behind the verbs of the tools that they take the place of: what `lockstep kustomize build`,
/// `lockstep helm template` and `lockstep sops decrypt` print is, byte for byte, what the originals print.
#[derive(Parser)]
#[command(name = "lockstep", version, disable_help_subcommand = true)]
#[command(
    after_help = "Example: see what Flux would build from a folder\n  lockstep kustomize build ./clusters/production"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Demo(demo::Arguments),
    Plan(plan::Arguments),
    Explain(explain::Arguments),
    Run(run::Arguments),
    Kustomize(kustomize::Arguments),
    Build(build::Arguments),
    Envsubst(envsubst::Arguments),
    Helm(helm::Arguments),
    Sops(Box<sops::Arguments>),
    Keys(keys::Arguments),
    Crds(crds::Arguments),
    Completion(completion::Arguments),
    Version(version::Arguments),
}

/// Does what the command line asks for.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse_from(sops::with_verb(std::env::args_os().collect())) {
        Ok(arguments) => arguments,
        Err(error) if std::env::args().nth(1).as_deref() == Some("helm") && told_as_by_helm(&error) => {
            return ExitCode::FAILURE;
        }
        Err(error) => {
            // Nobody is left to be told when this fails.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match arguments.verb.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, error }) => {
            if let Some(error) = error {
                fail(&format!("{error:#}"));
            }
            ExitCode::from(code)
        }
    }
}

/// Tells of a flag that is unknown to `helm`, whose users may read what it says; whether it is that.
fn told_as_by_helm(error: &clap::Error) -> bool {
    let is_unknown = error.kind() == ErrorKind::UnknownArgument;
    let flag = error.get(ContextKind::InvalidArg).filter(|_| is_unknown);
    let Some(ContextValue::String(flag)) = flag.filter(|flag| flag.to_string().starts_with('-')) else { return false };
    fail(&helm::original::unknown_flag(flag));
    true
}

impl Verb {
    fn run(self) -> Outcome {
        match self {
            Verb::Demo(arguments) => arguments.run(),
            Verb::Plan(arguments) => arguments.run(),
            Verb::Explain(arguments) => arguments.run(),
            Verb::Run(arguments) => arguments.run(),
            Verb::Kustomize(arguments) => arguments.run(),
            Verb::Build(arguments) => arguments.run(),
            Verb::Envsubst(arguments) => arguments.run(),
            Verb::Helm(arguments) => arguments.run(),
            Verb::Sops(arguments) => arguments.run(),
            Verb::Keys(arguments) => arguments.run(),
            Verb::Crds(arguments) => arguments.run(),
            Verb::Completion(arguments) => arguments.run(),
            Verb::Version(arguments) => arguments.run(),
        }
    }
}

/// How a verb ended.
type Outcome = Result<(), Failure>;

/// Why a verb failed.
struct Failure {
    /// The exit code; 1 where the original has no other.
    code: u8,
    /// What is still to be said.
    error: Option<anyhow::Error>,
}

impl Failure {
    fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: Some(error.into()) }
    }

    /// Everything is said already.
    fn silent(code: u8) -> Self {
        Self { code, error: None }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(1, error)
    }
}

/// Prints to standard output. Whoever reads it may stop early (`| head`): that is no failure.
fn print(bytes: &[u8]) -> Outcome {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("standard output").into())
        }
        _ => Ok(()),
    }
}

/// Prints to standard output with its colours, as far as whoever reads sees any.
fn print_styled(text: &str) -> Outcome {
    match write!(anstream::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("standard output").into())
        }
        _ => Ok(()),
    }
}

/// Says what failed.
fn fail(message: &str) {
    tell("Error", AnsiColor::Red, message);
}

/// Says something odd that stops nothing.
fn warn(message: &str) {
    tell("Warning", AnsiColor::Yellow, message);
}

/// Tells something on standard error, in colour on a terminal.
fn tell(kind: &str, colour: AnsiColor, message: &str) {
    let style = Style::new().bold().fg_color(Some(colour.into()));
    // Nobody is left to be told when this fails.
    let _ = writeln!(anstream::stderr(), "{style}{kind}:{style:#} {message}");
}
