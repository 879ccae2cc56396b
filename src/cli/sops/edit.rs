//! `lockstep sops edit`.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use gotemplate::Environment as _;
use sops::{Action, Editing, Format};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::encrypt::How;
use super::exec::shell;
use super::private::Private;
use super::{Desk, Failure, Outcome, Types, close, code, failure, load, write};
use crate::cli::fail;
use crate::system::System;

/// What an editor begins with where there is no file yet.
const EXAMPLE: &str = "hello: Welcome to SOPS! Edit this file as you please!\nexample_key: example_value\n\
                       # Example comment\nexample_array:\n    - example_value1\n    - example_value2\n\
                       example_number: 1234.56789\nexample_booleans:\n    - true\n    - false\n";

/// Change an encrypted file in an editor; values that stay the same keep their ciphertext.
///
/// The editor is that of SOPS_EDITOR or EDITOR, else vim, nano or vi. It sees the plaintext in a folder of yours alone, in
/// memory where the system has such a place, which is wiped afterwards. A text that cannot be encrypted is opened
/// again. A file that is not there is made, for the keys that .sops.yaml names for it or that are given.
#[derive(Args)]
pub(super) struct Edit {
    /// The encrypted file.
    pub(super) file: PathBuf,
    /// Open a file all the same that is not as it was when it was encrypted.
    #[arg(long)]
    ignore_mac: bool,
    #[command(flatten)]
    types: Types,
    #[command(flatten)]
    how: How,
}

impl Edit {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        let (input, output) = (self.types.input(&self.file), self.types.output(&self.file));
        let editing = if self.file.exists() {
            desk.keys().open(load(&self.file, input)?, self.ignore_mac)?
        } else {
            self.example(desk, input)?
        };
        let plain = editing.opened().emit(output, desk.indents);
        let plain = plain.map_err(|error| failure(error, Action::Encrypt))?;
        let folder = Private::new()?;
        let name = self.file.file_name().map_or_else(|| "file".into(), |name| name.to_string_lossy());
        let path = folder.write(&name, plain.bytes())?;
        let edited = interruptible(move || until_it_can_be_read(&path, plain.bytes(), input, editing));
        drop(folder);
        write(&self.file, &close(edited?, output, desk.indents)?)
    }

    /// A document to begin with, for a file that is to be made.
    fn example(&self, desk: &Desk, format: Format) -> Result<Editing, Failure> {
        let settings = self.how.settings(desk, &self.file, format)?;
        let text = match format {
            Format::Yaml => EXAMPLE.as_bytes().to_vec(),
            Format::Json => b"{\n\t\"hello\": \"Welcome to SOPS! Edit this file as you please!\"\n}\n".to_vec(),
            Format::Dotenv => {
                b"# This is an example file.\nhello=Welcome to SOPS! Edit this file as you please!\n".to_vec()
            }
            Format::Ini => b"[Welcome!]\nhello = Welcome to SOPS! Edit this file as you please!\n".to_vec(),
            Format::Binary => b"Welcome to SOPS! Edit this file as you please!".to_vec(),
        };
        let identities = &desk.keys().identities;
        let begun = Editing::begin(&text, format, settings, identities, &mut |bytes| System.fill(bytes));
        begun.map_err(|error| failure(error, Action::Encrypt))
    }
}

/// Runs the editor until it leaves a document that can be encrypted.
fn until_it_can_be_read(path: &Path, before: &[u8], format: Format, mut editing: Editing) -> Result<Editing, Failure> {
    loop {
        run(path)?;
        let edited = std::fs::read(path).map(Zeroizing::new).with_context(|| path.display().to_string())?;
        if edited.as_slice() == before {
            return Err(Failure::new(code::NOT_CHANGED, anyhow!("the file has not changed")));
        }
        match editing.replace(&edited, format) {
            Ok(()) => return Ok(editing),
            Err(error) => fail(&format!("{error}. Press enter to return to the editor, or Ctrl+C to exit.")),
        }
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line).context("standard input")? == 0 {
            return Err(Failure::new(code::UNREADABLE, anyhow!("the text cannot be encrypted, and nobody mends it")));
        }
    }
}

/// As Git runs its editor: the shell takes its words apart.
fn run(path: &Path) -> Outcome {
    let named =
        ["SOPS_EDITOR", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()));
    let editor = named.or_else(|| ["vim", "nano", "vi"].into_iter().find(|name| is_there(name)).map(str::to_owned));
    let editor = editor.ok_or_else(|| {
        Failure::new(
            code::EDITOR,
            anyhow!("no editor: neither SOPS_EDITOR nor EDITOR is set, nor is there vim, nano or vi"),
        )
    })?;
    match shell(&format!("{editor} \"$@\"")).arg(&editor).arg(path).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(code::EDITOR, anyhow!("could not run editor {editor}: {status}"))),
        Err(error) => Err(Failure::new(code::EDITOR, anyhow!("could not run editor {editor}: {error}"))),
    }
}

fn is_there(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|paths| std::env::split_paths(&paths).any(|folder| folder.join(program).is_file()))
}

/// Does some work that Ctrl+C, a request to end and a closed terminal stop, so that what it left can be cleaned up. Its thread is not waited for
/// then: it ends with the process.
pub(super) fn interruptible<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("signals")?;
    let guard = runtime.enter();
    let (mut interrupted, mut ended) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut closed = signal(SignalKind::hangup())?;
    drop(guard);
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Nobody waits any more after a signal.
        let _ = send.send(work());
    });
    runtime.block_on(async {
        tokio::select! {
            done = receive => done.unwrap_or_else(|_| Err(anyhow!("the editor's thread ended").into())),
            _ = interrupted.recv() => Err(Failure::new(code::INTERRUPTED, anyhow!("user canceled operation"))),
            _ = closed.recv() => Err(Failure::new(code::INTERRUPTED, anyhow!("the terminal was closed"))),
            _ = ended.recv() => Err(Failure::new(code::INTERRUPTED, anyhow!("asked to end"))),
        }
    })
}
