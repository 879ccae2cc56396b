//! `lockstep completion`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Outcome, print};

/// Print the completions of a shell.
#[derive(Args)]
#[command(after_help = "Example: completions in the running bash\n  source <(lockstep completion bash)")]
pub(super) struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Arguments {
    pub(super) fn run(self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Arguments::command(), "lockstep", &mut script);
        print(&script)
    }
}
