//! `lockstep keys list`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use sops::MasterKey;

use super::Outcome;
use super::repository::{Repository, Shown};
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

/// Where a key is named: the places of rules, and how many files.
#[derive(Default)]
struct Named {
    kind: String,
    rules: Vec<usize>,
    files: usize,
}

impl List {
    pub(super) fn run(self) -> Outcome {
        let repository = Repository::find(&self.path)?;
        let (keys, all) = (named(&repository)?, repository.rules());
        let user = Keys::of_environment();
        let own = user.identities.recipients();
        // A recipient of SSH may have a comment behind it.
        let is_own =
            |name: &str| own.iter().any(|recipient| name == *recipient || name.starts_with(&format!("{recipient} ")));
        if let Some(document) = self.output {
            let rule = |rule: &Shown| json!({"pathRegex": rule.path_regex, "line": rule.line});
            let entry = |(name, key): (&String, &Named)| {
                let rules: Vec<Value> = key.rules.iter().filter_map(|place| all.get(*place)).map(rule).collect();
                json!({"recipient": name, "kind": key.kind, "rules": rules, "files": key.files, "own": is_own(name)})
            };
            return print(document.text(&keys.iter().map(entry).collect()).as_bytes());
        }
        let mut rows = vec![["KIND", "FILES", "YOURS", "RECIPIENT", "RULES"].map(str::to_owned).to_vec()];
        for (name, key) in &keys {
            let rules: Vec<String> =
                key.rules.iter().filter_map(|place| all.get(*place)).map(Shown::to_string).collect();
            let rules = if rules.is_empty() { "-".to_owned() } else { rules.join(", ") };
            let own = if is_own(name) { "yes" } else { "no" };
            // A post-quantum recipient has two thousand letters.
            let shown = if name.len() > 80 { format!("{}...", name.get(..77).unwrap_or(name)) } else { name.clone() };
            rows.push(vec![key.kind.clone(), key.files.to_string(), own.to_owned(), shown, rules]);
        }
        print(aligned(&rows).as_bytes())
    }
}

fn named(repository: &Repository) -> anyhow::Result<BTreeMap<String, Named>> {
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
