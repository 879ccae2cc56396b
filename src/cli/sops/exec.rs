//! `lockstep sops exec-env` and `exec-file`: the one place where a program is run, since that is what was asked for.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, anyhow};
use clap::Args;
use sops::{Action, Plain};

use super::account::Account;
use super::decrypt::open;
use super::edit::interruptible;
use super::private::Private;
use super::{Desk, Failure, Outcome, Types, about, code, failure, format, input, warn};

/// Run a command with the values of an encrypted file in its environment.
#[derive(Args)]
#[command(
    after_help = "Example: a shell that knows the database\n  lockstep sops exec-env database.env 'psql \"$URL\"'"
)]
pub(super) struct ExecEnv {
    /// The encrypted file; its values must be single ones.
    file: PathBuf,
    /// The command, for /bin/sh.
    command: String,
    /// Give the command nothing but the values.
    #[arg(long)]
    pristine: bool,
    /// Become the command, instead of waiting for it.
    #[arg(long, conflicts_with = "background")]
    same_process: bool,
    /// Do not wait for the command (deprecated by sops).
    #[arg(long, hide = true)]
    background: bool,
    /// Run the command as this user, which takes the rights of root.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

/// Run a command that reads a decrypted file: {} in the command is its path.
///
/// The file is a pipe that can be read once. Some programs need to read it twice, or its size: --no-fifo makes a file of
/// it, in memory where the system has a place for that.
#[derive(Args)]
pub(super) struct ExecFile {
    /// The encrypted file.
    file: PathBuf,
    /// The command, for /bin/sh.
    command: String,
    /// Make a file instead of a pipe.
    #[arg(long)]
    no_fifo: bool,
    /// The name of the decrypted file.
    #[arg(long, value_name = "NAME", default_value = "tmp-file")]
    filename: String,
    #[arg(long, hide = true)]
    background: bool,
    /// Run the command as this user, which takes the rights of root; the file is that user's.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[command(flatten)]
    types: Types,
}

impl ExecEnv {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        let opened = open(desk.keys(), &read(&self.file)?, format(None, &self.file), false);
        let opened = about(Some(self.file), opened)?;
        let values = opened.environment().map_err(|error| failure(error, Action::Decrypt))?;
        let mut command = shell(&self.command);
        if self.pristine {
            command.env_clear();
        }
        command.envs(enter(self.user.as_deref())?);
        for (name, value) in &values {
            command.env(name, std::ffi::OsStr::from_bytes(value.bytes()));
        }
        if self.same_process {
            return Err(anyhow::Error::new(command.exec()).context("/bin/sh").into());
        }
        if self.background {
            warn("--background is deprecated");
            for stream in [Command::stdin, Command::stdout, Command::stderr] {
                stream(&mut command, Stdio::null());
            }
            return command.spawn().map(drop).context("/bin/sh").map_err(Failure::from);
        }
        finish(&mut command)
    }
}

impl ExecFile {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        if self.background {
            return Err(anyhow!("--background would take the file away before the command has read it").into());
        }
        let mut parts = Path::new(&self.filename).components();
        let is_name = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        if !is_name {
            return Err(anyhow!("the provided filename is not a name: {}", self.filename).into());
        }
        let opened = open(desk.keys(), &read(&self.file)?, self.types.input(&self.file), false);
        let opened = about(Some(self.file.clone()), opened)?;
        let plain = opened.emit(self.types.output(&self.file), desk.indents);
        let plain = plain.map_err(|error| failure(error, Action::Decrypt))?;
        let environment = enter(self.user.as_deref())?;
        let folder = Private::new()?;
        if self.no_fifo {
            let path = folder.write(&self.filename, plain.bytes())?;
            let mut command = shell(&self.placed(&path));
            command.envs(environment);
            // The plaintext goes with us, whoever ends us.
            return interruptible(move || finish(&mut command));
        }
        let path = folder.path().join(&self.filename);
        pipe(&path)?;
        let command = self.placed(&path);
        feed(path, plain);
        finish(shell(&command).envs(environment))
    }

    fn placed(&self, path: &Path) -> String {
        self.command.replace("{}", &path.to_string_lossy())
    }
}

/// Becomes a user, if one is named; what that changes in the environment of commands.
fn enter(user: Option<&str>) -> anyhow::Result<Vec<(&'static str, String)>> {
    let Some(account) = user.map(Account::named).transpose()? else { return Ok(Vec::new()) };
    account.enter()?;
    Ok(account.environment().into())
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    input::read(Some(file)).map_err(|error| Failure::new(code::UNREADABLE, error))
}

/// The one thing that starts programs: the editor, and the commands that were asked for.
#[expect(clippy::disallowed_methods, reason = "to run a program is what these commands are for")]
pub(super) fn shell(command: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]);
    shell
}

/// Waits for the command; its exit code is ours.
fn finish(command: &mut Command) -> Outcome {
    let status = command.status().context("/bin/sh")?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    if code == 0 { Ok(()) } else { Err(Failure::silent(u8::try_from(code).unwrap_or(1))) }
}

fn pipe(path: &Path) -> anyhow::Result<()> {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).with_context(|| path.display().to_string())
}

/// Writes to the pipe once somebody reads it. A command that does not leaves the thread waiting, which ends with the process.
fn feed(path: PathBuf, plain: Plain) {
    std::thread::spawn(move || {
        // Whoever reads may stop early.
        let _ = std::fs::write(path, plain.bytes());
    });
}
