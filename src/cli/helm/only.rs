//! Which manifests are printed, or written where: `--show-only` and `--output-dir`.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use gotemplate::go::path::matches;

/// The manifests of the templates that were asked for, pattern by pattern, in the order of the output.
pub(super) fn only(output: &str, patterns: &[String]) -> anyhow::Result<String> {
    let manifests = split(output);
    let mut shown = String::new();
    for pattern in patterns {
        let fits = |manifest: &&&str| template(manifest).is_some_and(|path| matches(pattern, path).unwrap_or(false));
        let before = shown.len();
        for manifest in manifests.iter().filter(fits) {
            shown.push_str(&format!("---\n{manifest}\n"));
        }
        ensure!(shown.len() > before, "could not find template {pattern} in chart");
    }
    Ok(shown)
}

/// Files that were written by this run; a second manifest of one goes behind the first.
#[derive(Default)]
pub(super) struct Written {
    names: BTreeSet<String>,
    /// What is said of it.
    pub(super) told: String,
}

impl Written {
    pub(super) fn add(&mut self, folder: &Path, source: &str, text: &str) -> anyhow::Result<()> {
        let path = folder.join(source);
        let shown = path.display().to_string();
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        let is_new = self.names.insert(shown.clone());
        let file = if is_new { File::create(&path) } else { OpenOptions::new().append(true).open(&path) };
        let written = file.and_then(|mut file| write!(file, "---\n# Source: {source}\n{text}\n"));
        written.with_context(|| shown.clone())?;
        self.told.push_str(&format!("wrote {shown}\n"));
        Ok(())
    }
}

/// Documents as Helm splits them: at `---` at the beginning of a line, whatever follows it.
fn split(output: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in output.split_inclusive('\n') {
        if line.starts_with("---") {
            documents.push(&output[start..at]);
            start = at + 3;
        }
        at += line.len();
    }
    documents.push(&output[start..]);
    documents.retain(|document| !document.trim().is_empty());
    documents.iter().map(|document| document.trim_start()).collect()
}

/// The template that made a document, within its chart.
fn template(document: &str) -> Option<&str> {
    let (_, source) = document.split_once("# Source: ")?;
    let (_, path) = source.lines().next()?.split_once('/')?;
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "---\n# Source: c/templates/a.yaml\na: 1\n---\n# Source: c/templates/b.yaml\nb: 1\n---\n\
                          # Source: c/templates/a.yaml\na: 2\n";

    #[test]
    fn manifests_are_shown_pattern_by_pattern() {
        let patterns = ["templates/b.yaml".to_owned(), "templates/[ab].yaml".to_owned()];
        let b = "---\n# Source: c/templates/b.yaml\nb: 1\n\n";
        let a = |value: u8| format!("---\n# Source: c/templates/a.yaml\na: {value}\n\n");
        assert_eq!(only(OUTPUT, &patterns).unwrap(), format!("{b}{}{b}{}", a(1), a(2)));
    }

    #[test]
    fn a_template_that_made_nothing_is_named() {
        let error = only(OUTPUT, &["templates/none.yaml".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "could not find template templates/none.yaml in chart");
    }
}
