//! Paths into a document: `["key"][0]`.

use anyhow::{Context as _, ensure};
use sops::Step;

/// Reads a path; empty for the whole document.
pub(super) fn steps(path: &str) -> anyhow::Result<Vec<Step>> {
    path.split('[').filter(|part| !part.is_empty()).map(step).collect()
}

fn step(part: &str) -> anyhow::Result<Step> {
    let inner = part.strip_suffix(']').with_context(|| format!("component {part} doesn't end with ]"))?;
    let Some(quoted) = inner.strip_prefix(['"', '\'']) else {
        let index = inner.parse().with_context(|| format!("component {inner} is neither a quoted key nor an index"))?;
        return Ok(Step::Index(index));
    };
    ensure!(!quoted.is_empty(), "component {part} has a key without an end");
    // As in sops, whatever stands before the bracket ends the key.
    Ok(Step::Key(quoted.chars().take(quoted.chars().count() - 1).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_indexes_are_steps() {
        let wanted = [Step::Key("a b".into()), Step::Index(0), Step::Key("c".into())];
        assert_eq!(steps("[\"a b\"][0]['c']").unwrap(), wanted);
        assert_eq!(steps("").unwrap(), []);
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in ["a", "[a]", "[\"a\"", "[\"]", "[-1]"] {
            assert!(steps(path).is_err(), "{path}");
        }
    }
}
