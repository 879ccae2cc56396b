//! Files of age identities, as age-keygen writes them.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use sops::Identities;
use zeroize::Zeroizing;

/// Makes an identity, and gives its recipient: into a new file, or behind what a file has.
pub(super) fn make(file: &Path, post_quantum: bool, appends: bool) -> anyhow::Result<String> {
    let (secret, recipient) = if post_quantum {
        sops::generate_post_quantum().context("the system has no randomness")?
    } else {
        sops::generate()
    };
    let created = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let text = Zeroizing::new(format!("# created: {created}\n# public key: {recipient}\n{}\n", *secret));
    let mut options = OpenOptions::new();
    let file_options = if appends { options.append(true).create(true) } else { options.write(true).create_new(true) };
    let opened = file_options.mode(0o600).open(file);
    opened.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| file.display().to_string())?;
    Ok(recipient)
}

/// The recipients of a file's identities.
pub(super) fn recipients(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file).map(Zeroizing::new).with_context(|| file.display().to_string())?;
    let mut identities = Identities::default();
    identities.add_age(&file.display().to_string(), &text)?;
    Ok(identities.recipients().into_iter().map(str::to_owned).collect())
}
