//! Git and encrypted files: `lockstep sops diff`, `merge` and `git-setup`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use gix::diff::blob::InternedInput;
use gix::merge::blob::Resolution;
use gix::merge::blob::builtin_driver::text;
use sops::{Action, Editing, Format, MasterKey, Plain, Sealed};
use zeroize::Zeroizing;

use super::{Desk, Failure, Outcome, close, failure, format, input, load, print, warn, write};

/// Show an encrypted file so that Git's diffs tell which values changed, and not what they are.
///
/// What is encrypted anew with another data key (`rotate`, `keys remove`) differs everywhere there.
///
/// With two files, the places of the values that differ; revealed, also what they were and are. `lockstep sops git-setup` has Git use it.
#[derive(Args)]
pub(super) struct Diff {
    /// The file, or the older one of two.
    file: PathBuf,
    /// The newer one.
    newer: Option<PathBuf>,
    /// Show the values in the clear.
    #[arg(long)]
    reveal: bool,
    /// json, yaml, dotenv, ini or binary; told by the file's name otherwise.
    #[arg(long, value_name = "FORMAT")]
    input_type: Option<String>,
}

/// Merge an encrypted file, as Git's merge driver: the plaintexts are merged, and untouched values keep their ciphertext.
///
/// Where both sides changed the same lines, what they changed is named, and the file stays as ours is. Git calls it as `lockstep sops merge %O %A %B %P`;
/// `lockstep sops git-setup` says so to Git.
#[derive(Args)]
pub(super) struct Merge {
    /// The file as it was before both.
    base: PathBuf,
    /// Ours; the result is written there.
    ours: PathBuf,
    /// Theirs.
    theirs: PathBuf,
    /// The file's path, which tells its format.
    path: Option<PathBuf>,
}

/// Have Git show and merge the encrypted files of this repository.
///
/// Writes .gitattributes, which is to be committed, and the repository's own configuration.
#[derive(Args)]
pub(super) struct GitSetup {
    /// Which files are encrypted, as .gitattributes names them.
    #[arg(default_values = ["*.sops.yaml", "*.sops.yml", "*.sops.json"])]
    patterns: Vec<String>,
}

impl Diff {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        let Some(newer) = &self.newer else { return self.show(desk) };
        let opened = |file: &Path| desk.keys().open(load(file, self.format(file))?, true);
        let (older, newer) = (opened(&self.file)?, opened(newer)?);
        let places = newer.opened().changes(older.opened());
        if !self.reveal {
            return print(places.into_iter().map(|place| place + "\n").collect::<String>().as_bytes());
        }
        let (before, after) = (older.opened().values_at(&places), newer.opened().values_at(&places));
        let mut told = Zeroizing::new(Vec::new());
        for place in &places {
            for (mark, value) in [("-", before.get(place)), ("+", after.get(place))] {
                let Some(value) = value else { continue };
                for part in [mark.as_bytes(), b" ", place.as_bytes(), b": ", value.bytes(), b"\n"] {
                    told.extend_from_slice(part);
                }
            }
        }
        print(&told)
    }

    fn format(&self, file: &Path) -> Format {
        format(self.input_type.as_deref(), file)
    }

    fn show(&self, desk: &Desk) -> Outcome {
        let bytes = input::read(Some(&self.file))?;
        let format = self.known_format(&bytes);
        let sealed = match Sealed::load(&bytes, format) {
            Ok(sealed) => sealed,
            // Git asks for every version of a file, and some may be in the clear.
            Err(_) => return print(&bytes),
        };
        if self.reveal {
            match sealed.edit(&desk.keys().identities) {
                Ok(editing) => return print(plain(&editing, format, desk)?.bytes()),
                Err(error) => {
                    warn(&format!("{error}"));
                    return print(&bytes);
                }
            }
        }
        let outline = sealed.outline(format, desk.indents);
        let mut outline = outline.map_err(|error| failure(error, Action::Decrypt))?;
        for (number, group) in sealed.groups().iter().enumerate() {
            for key in group.iter().map(MasterKey::name) {
                outline.extend_from_slice(format!("# opens it, group {}: {key}\n", number + 1).as_bytes());
            }
        }
        print(&outline)
    }

    /// Git hands over a temporary file, whose name ends with the file's own; where nothing is told, its marks tell.
    fn known_format(&self, bytes: &[u8]) -> Format {
        match self.format(&self.file) {
            Format::Binary if self.input_type.is_none() => sops::detect(bytes).unwrap_or(Format::Binary),
            format => format,
        }
    }
}

fn plain(editing: &Editing, format: Format, desk: &Desk) -> Result<Plain, Failure> {
    let plain = editing.opened().emit(format, desk.indents);
    plain.map_err(|error| failure(error, Action::Decrypt))
}

impl Merge {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        let path = self.path.clone().unwrap_or_else(|| self.ours.clone());
        let format = format(None, &path);
        let refused = |failure: Failure| Failure {
            code: 1,
            error: failure.error.map(|error| anyhow!("{}: {error:#}", path.display())),
        };
        // A value that was changed without sops must not get a MAC that says otherwise.
        let read = |file: &Path| desk.keys().open(load(file, format)?, false).map_err(refused);
        let (base, ours, theirs) = (read(&self.base)?, read(&self.ours)?, read(&self.theirs)?);
        let texts = [plain(&ours, format, desk)?, plain(&base, format, desk)?, plain(&theirs, format, desk)?];
        let mut merged = Zeroizing::new(Vec::new());
        if !merge_texts(&mut merged, &texts) {
            let (left, right) = (ours.opened().changes(base.opened()), theirs.opened().changes(base.opened()));
            let listed = |places: &BTreeSet<String>| places.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let both: BTreeSet<String> = left.intersection(&right).cloned().collect();
            let problem = match both.is_empty() {
                true => format!("we changed {} and they {}, on neighbouring lines", listed(&left), listed(&right)),
                false => format!("both sides changed {}", listed(&both)),
            };
            let path = path.display();
            let way = format!("nothing of theirs is in it (`lockstep sops decrypt MERGE_HEAD:{path}` shows it)");
            return Err(anyhow!("{path}: {problem}; the file is as ours, {way}").into());
        }
        let (mut carrier, other) = carrier(&base, ours, theirs).with_context(|| path.display().to_string())?;
        carrier.adopt(other);
        carrier.adopt(base);
        let replaced = carrier.replace(&merged, format);
        replaced.map_err(|error| failure(error, Action::Encrypt))?;
        write(&self.ours, &close(carrier, format, desk.indents)?)
    }
}

/// Which side's keys the result has: the side that changed them.
fn carrier(base: &Editing, ours: Editing, theirs: Editing) -> anyhow::Result<(Editing, Editing)> {
    if theirs.has_keys_of(base) || theirs.has_keys_of(&ours) {
        Ok((ours, theirs))
    } else if ours.has_keys_of(base) {
        Ok((theirs, ours))
    } else {
        Err(anyhow!("both sides changed who can open the file; the file is as ours"))
    }
}

/// As Git merges lines. Whether there was no conflict.
fn merge_texts(merged: &mut Vec<u8>, [ours, base, theirs]: &[Plain; 3]) -> bool {
    let (mut input, options) = (InternedInput::default(), text::Options::default());
    let labels = text::Labels::default();
    let resolution = gix::merge::blob::builtin_driver::text(
        merged,
        &mut input,
        labels,
        ours.bytes(),
        base.bytes(),
        theirs.bytes(),
        options,
    );
    resolution == Resolution::Complete
}

impl GitSetup {
    pub(super) fn run(self) -> Outcome {
        let git = gix::discover(".").context("the repository")?;
        let top = git.workdir().context("the repository has no work tree")?;
        let attributes = top.join(".gitattributes");
        let text = std::fs::read_to_string(&attributes).unwrap_or_default();
        let lines = self.patterns.iter().map(|pattern| format!("{pattern} diff=sops merge=sops"));
        let new: Vec<String> = lines.filter(|line| !text.lines().any(|found| found == line)).collect();
        if !new.is_empty() {
            let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            write(&attributes, format!("{text}{newline}{}\n", new.join("\n")).as_bytes())?;
        }
        configure(&git.common_dir().join("config"))?;
        print(b".gitattributes: commit it\n.git/config: shows changed values by `git diff`, merges by plaintext\n")
    }
}

/// Names the programs in the repository's own configuration.
fn configure(file: &Path) -> anyhow::Result<()> {
    let place = || file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(place)?;
    let mut config = gix::config::File::from_bytes_no_includes(
        text.as_bytes(),
        gix::config::file::Metadata::from(gix::config::Source::Local),
        gix::config::file::init::Options::default(),
    )?;
    let settings = [
        ("diff.sops.textconv", "lockstep sops diff"),
        ("diff.sops.cachetextconv", "false"),
        ("merge.sops.name", "values of SOPS files"),
        ("merge.sops.driver", "lockstep sops merge %O %A %B %P"),
    ];
    for (key, value) in settings {
        config.set_raw_value(key, value)?;
    }
    let written = write(file, config.to_string().as_bytes());
    written.map_err(|failure| failure.error.unwrap_or_else(|| anyhow!("{}", place())))
}
