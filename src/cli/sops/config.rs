//! `stores` of `.sops.yaml`: how plaintext is indented.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::Value;
use sops::Indents;

/// How many folders are looked through, from the current one up.
const MOST_FOLDERS: usize = 100;

/// The indents of a configuration; of the nearest one when none is named, and sops' own without any.
pub(super) fn indents(named: Option<&Path>) -> anyhow::Result<Indents> {
    let Some(path) = named.map(Path::to_owned).or_else(nearest) else { return Ok(Indents::default()) };
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    read(&text).with_context(|| format!("{}: stores", path.display()))
}

fn nearest() -> Option<PathBuf> {
    let current = std::env::current_dir().ok()?;
    let mut folders = current.ancestors().take(MOST_FOLDERS);
    folders.find_map(|folder| Some(folder.join(".sops.yaml")).filter(|path| path.exists()))
}

fn read(text: &str) -> anyhow::Result<Indents> {
    let config = yaml::from_str(text)?;
    let default = Indents::default();
    let indent = |store: &str| config.pointer(&format!("/stores/{store}/indent")).filter(|value| !value.is_null());
    let number = |value: &Value| value.as_i64().context("an indent is no whole number");
    let yaml = match indent("yaml").map(number).transpose()? {
        None | Some(0) => default.yaml,
        Some(spaces) => usize::try_from(spaces).context("the indent of yaml is negative")?,
    };
    let json = match indent("json").map(number).transpose()? {
        None | Some(-1) => default.json,
        Some(spaces @ 0..) => Some(usize::try_from(spaces)?),
        Some(_) => bail!("the indent of json is below -1"),
    };
    Ok(Indents { yaml, json })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_are_those_of_the_stores() {
        for (text, yaml, json) in [
            ("", 4, None),
            ("creation_rules: []\n", 4, None),
            ("stores: {yaml: {indent: 2}, json: {indent: 0}}\n", 2, Some(0)),
            ("stores: {yaml: {indent: 0}, json: {indent: -1}}\n", 4, None),
        ] {
            assert_eq!(read(text).unwrap(), Indents { yaml, json }, "{text}");
        }
    }

    #[test]
    fn an_indent_that_is_none_is_refused() {
        for text in ["stores: {yaml: {indent: -1}}", "stores: {json: {indent: -2}}", "stores: {yaml: {indent: x}}"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
