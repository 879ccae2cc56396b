//! Values from files and from the command line.

use std::io::{ErrorKind, Read as _};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use helm::values::strvals::{self, Mode};
use helm::values::{self, Values as Map};

/// Where values come from; what comes later wins, and `--set` wins over files.
#[derive(Args)]
#[command(next_help_heading = "Values")]
pub(super) struct Values {
    /// File of values, '-' for standard input; may be repeated.
    #[arg(short = 'f', long = "values", value_name = "FILE", value_delimiter = ',')]
    files: Vec<String>,
    /// Values such as a.b=1,c[0]=x; may be repeated.
    #[arg(long = "set", value_name = "VALUES", allow_hyphen_values = true)]
    typed: Vec<String>,
    /// As --set, and all values are texts; may be repeated.
    #[arg(long = "set-string", value_name = "VALUES", allow_hyphen_values = true)]
    texts: Vec<String>,
    /// As --set, and the value is the content of the file that is named; may be repeated.
    #[arg(long = "set-file", value_name = "VALUES", allow_hyphen_values = true)]
    contents: Vec<String>,
    /// JSON values such as a={"b":1}, or one object; may be repeated.
    #[arg(long = "set-json", value_name = "VALUES", allow_hyphen_values = true)]
    json: Vec<String>,
    /// One value, taken as it stands; may be repeated.
    #[arg(long = "set-literal", value_name = "VALUE", allow_hyphen_values = true)]
    literals: Vec<String>,
}

impl Values {
    /// All values, in Helm's order.
    pub(super) fn merged(&self) -> anyhow::Result<Map> {
        let mut map = Map::new();
        for file in &self.files {
            let given = values::from_yaml(&read(file)?);
            let given = given.map_err(|error| anyhow!("failed to parse {file}: {}", error.in_helms_words()))?;
            map = values::merge_maps(map, given);
        }
        for line in &self.json {
            map = set_json(line, map)?;
        }
        let content = |file: &str| read(file).map_err(|error| format!("{error:#}"));
        let sets: [(&str, &[String], Mode<'_>); 4] = [
            ("--set", &self.typed, Mode::Typed),
            ("--set-string", &self.texts, Mode::Text),
            ("--set-file", &self.contents, Mode::File(&content)),
            ("--set-literal", &self.literals, Mode::Literal),
        ];
        for (flag, lines, mode) in sets {
            for line in lines {
                let parsed = strvals::parse(line, mode, &mut map);
                parsed.map_err(|error| anyhow!("failed parsing {flag} data: {error}"))?;
            }
        }
        Ok(map)
    }
}

/// An object is merged; all else has the form of `--set`.
fn set_json(line: &str, mut map: Map) -> anyhow::Result<Map> {
    if line.trim_start().starts_with('{') {
        let object = serde_json::from_str(line).context("failed parsing --set-json data JSON")?;
        return Ok(values::merge_maps(map, values::from_json(object)));
    }
    strvals::parse(line, Mode::Json, &mut map).map_err(|error| anyhow!("failed parsing --set-json data: {error}"))?;
    Ok(map)
}

/// The text of a file, or of standard input.
fn read(file: &str) -> anyhow::Result<String> {
    if file.trim() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        return Ok(text);
    }
    if file.contains("://") {
        bail!("{file}: nothing is fetched; name a file");
    }
    let bytes = std::fs::read(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow!("open {file}: no such file or directory"),
        _ => anyhow!("open {file}: {error}"),
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
