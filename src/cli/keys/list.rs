//! `lockstep keys list`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use sops::MasterKey;

use super::Outcome;
use super::repository::Repository;
use crate::cli::document::Document;
use crate::cli::print;
use crate::cli::sops::{Keys, now};
use crate::cli::table::aligned;

/// List the keys that .sops.yaml and the encrypted files name, and which of them are yours.
#[derive(Args)]
pub(super) struct List {
    /// A folder of the repository.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Print a document instead of a table.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Document>,
}

/// Where a key is named.
#[derive(Default)]
struct Named {
    kind: String,
    rules: Vec<usize>,
    files: usize,
}

impl List {
    pub(super) fn run(self) -> Outcome {
        let keys = named(&self.path)?;
        let user = Keys::of_environment();
        let own = user.identities.recipients();
        // A recipient of SSH may have a comment behind it.
        let is_own =
            |name: &str| own.iter().any(|recipient| name == *recipient || name.starts_with(&format!("{recipient} ")));
        if let Some(document) = self.output {
            let entry = |(name, key): (&String, &Named)| json!({"recipient": name, "kind": key.kind, "rules": key.rules, "files": key.files, "own": is_own(name)});
            return print(document.text(&keys.iter().map(entry).collect()).as_bytes());
        }
        let mut rows = vec![["KIND", "RULES", "FILES", "YOURS", "RECIPIENT"].map(str::to_owned).to_vec()];
        for (name, key) in &keys {
            let rules: Vec<String> = key.rules.iter().map(usize::to_string).collect();
            let rules = if rules.is_empty() { "-".to_owned() } else { rules.join(",") };
            let own = if is_own(name) { "yes" } else { "no" };
            // A post-quantum recipient has two thousand letters.
            let shown = if name.len() > 80 { format!("{}...", name.get(..77).unwrap_or(name)) } else { name.clone() };
            rows.push(vec![key.kind.clone(), rules, key.files.to_string(), own.to_owned(), shown]);
        }
        print(aligned(&rows).as_bytes())
    }
}

fn named(path: &Path) -> anyhow::Result<BTreeMap<String, Named>> {
    let repository = Repository::find(path)?;
    let mut keys: BTreeMap<String, Named> = BTreeMap::new();
    let mut note = |key: &MasterKey, rule: Option<usize>| {
        let named = keys.entry(key.name()).or_default();
        named.kind = key.kind().to_string();
        match rule {
            Some(rule) if !named.rules.contains(&rule) => named.rules.push(rule),
            Some(_) => {}
            None => named.files += 1,
        }
    };
    for rule in 0..repository.config.rules() {
        let settings = repository.config.settings_of(rule, &now())?;
        for key in settings.iter().flat_map(|settings| settings.groups.iter().flatten()) {
            note(key, Some(rule));
        }
    }
    for file in repository.encrypted()? {
        for key in file.sealed.iter().flat_map(|sealed| sealed.groups().iter().flatten()) {
            note(key, None);
        }
    }
    Ok(keys)
}
