//! Flags of the original that are about programs, none of which is ever run here.

use std::path::Path;

use anyhow::ensure;
use clap::Args;

/// What containers of functions would be given is taken without a word: a kustomization that has such functions is
/// refused by their name. What would allow programs is refused itself, since whoever sets it counts on them.
#[derive(Args)]
pub(super) struct Unused {
    /// The program that renders charts: none is run, so only helm itself is taken, whose place the engine takes.
    #[arg(long, value_name = "PROGRAM", default_value = "helm", hide = true)]
    helm_command: String,
    /// More words of helm, none of which reach what is printed.
    #[arg(long, hide = true)]
    helm_debug: bool,
    #[arg(long, hide = true)]
    enable_alpha_plugins: bool,
    #[arg(long, hide = true)]
    enable_exec: bool,
    #[arg(short, long, value_name = "NAME=VALUE", hide = true)]
    env: Vec<String>,
    #[arg(long, hide = true)]
    as_current_user: bool,
    #[arg(long, value_name = "OPTIONS", hide = true)]
    mount: Vec<String>,
    #[arg(long, hide = true)]
    network: bool,
    #[arg(long, value_name = "NAME", hide = true)]
    network_name: Option<String>,
    #[arg(long, hide = true)]
    stack_trace: bool,
}

impl Unused {
    /// Refuses what asks for programs.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let command = Path::new(&self.helm_command).file_name().unwrap_or_default();
        ensure!(
            command == "helm",
            "--helm-command {}: no program is run; charts are rendered as helm 4.2 does",
            self.helm_command
        );
        ensure!(!self.enable_exec, "--enable-exec: functions that are programs are not run");
        ensure!(!self.enable_alpha_plugins, "--enable-alpha-plugins: plugins that are programs are not run");
        Ok(())
    }
}
