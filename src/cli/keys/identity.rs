//! Files of age identities, as age-keygen writes them.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use sops::Identities;
use zeroize::Zeroizing;

/// A new identity.
pub(super) struct Made {
    text: Zeroizing<String>,
    pub(super) recipient: String,
}

/// Makes one, which nobody has yet.
pub(super) fn generate(post_quantum: bool) -> anyhow::Result<Made> {
    let (secret, recipient) = if post_quantum {
        sops::generate_post_quantum().context("the system has no randomness")?
    } else {
        sops::generate()
    };
    let created = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let text = Zeroizing::new(format!("# created: {created}\n# public key: {recipient}\n{}\n", *secret));
    Ok(Made { text, recipient })
}

impl Made {
    /// Writes it to a file that is not there yet.
    pub(super) fn write_to(&self, file: &Path) -> anyhow::Result<()> {
        self.write(file, OpenOptions::new().write(true).create_new(true))
    }

    /// Writes it behind what a file has.
    pub(super) fn append_to(&self, file: &Path) -> anyhow::Result<()> {
        self.write(file, OpenOptions::new().append(true).create(true))
    }

    fn write(&self, file: &Path, options: &mut OpenOptions) -> anyhow::Result<()> {
        let opened = options.mode(0o600).open(file);
        opened.and_then(|mut file| file.write_all(self.text.as_bytes())).with_context(|| file.display().to_string())
    }
}

/// The recipients of a file's identities.
pub(super) fn recipients(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file).map(Zeroizing::new).with_context(|| file.display().to_string())?;
    let mut identities = Identities::default();
    identities.add_age(&file.display().to_string(), &text)?;
    Ok(identities.recipients().into_iter().map(str::to_owned).collect())
}
