//! `lockstep envsubst`.

use std::env;
use std::io::{self, BufRead as _};

use anyhow::{Context as _, anyhow, ensure};
use clap::Args;

use super::{Outcome, print};
use crate::substitute::{Unset, Variables, template};

/// Write environment variables into a text, as Flux writes variables into what a Kustomization builds.
///
/// Reads standard input and prints each line as soon as it is read. What `flux envsubst` prints is printed, except where
/// that ends early: lines of any length are read, and a negative length of a substring counts from its end.
#[derive(Args)]
#[command(after_help = "Example: a build with the variables of a cluster\n  \
                        REGION=eu lockstep kustomize build ./apps | lockstep envsubst --strict")]
pub(super) struct Arguments {
    /// Fail when a variable is not set and has no default.
    #[arg(long)]
    strict: bool,
}

impl Arguments {
    pub(super) fn run(self) -> Outcome {
        let unset = if self.strict { Unset::Error } else { Unset::Empty };
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let variables: Variables = env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        let (mut input, mut line, mut number) = (io::stdin().lock(), Vec::new(), 0);
        while input.read_until(b'\n', &mut line).context("standard input")? > 0 {
            number += 1;
            let mut expanded = expand(bare(&line), &variables, unset).with_context(|| format!("line {number}"))?;
            expanded.push(b'\n');
            print(&expanded)?;
            line.clear();
        }
        Ok(())
    }
}

/// A line without its end.
fn bare(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What is not UTF-8 stays as it is, as long as it asks for no variable.
fn expand(line: &[u8], variables: &Variables, unset: Unset) -> anyhow::Result<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(line) else {
        ensure!(!line.contains(&b'$'), "not valid UTF-8");
        return Ok(line.into());
    };
    template::expand(text, variables, unset).map_err(|error| anyhow!(error))
}
