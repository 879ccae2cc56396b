//! `lockstep sops encrypt`, and for whom a new file is encrypted.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use gotemplate::Environment as _;
use sops::{Action, Format, Rule, RuleKind, Sealed, Settings};

use super::recipients::Recipients;
use super::{Desk, Failure, Outcome, Target, Types, code, failure, input, now, printed, warn};
use crate::system::System;

/// Encrypt a file, for the keys that .sops.yaml names for it or that are given.
///
/// The first creation rule of .sops.yaml whose path_regex fits the file's path tells the keys and which values are
/// encrypted. Keys that are given here take the place of the rule's.
#[derive(Args)]
#[command(after_help = "Example: a secret for one person\n  lockstep sops encrypt -i --age age1... secret.yaml")]
pub(super) struct Encrypt {
    /// The file; standard input when none is named.
    pub(super) file: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    types: Types,
    #[command(flatten)]
    how: How,
    /// Name that tells the formats and the rule, instead of the file's.
    #[arg(long, value_name = "FILE")]
    filename_override: Option<PathBuf>,
}

/// For whom and how a file is encrypted.
#[derive(Args)]
pub(super) struct How {
    #[command(flatten)]
    recipients: Recipients,
    /// Leave what stands below keys with this suffix.
    #[arg(long, value_name = "SUFFIX")]
    unencrypted_suffix: Option<String>,
    /// Encrypt only what stands below keys with this suffix.
    #[arg(long, value_name = "SUFFIX")]
    encrypted_suffix: Option<String>,
    /// Leave what stands below keys that match.
    #[arg(long, value_name = "REGEX")]
    unencrypted_regex: Option<String>,
    /// Encrypt only what stands below keys that match.
    #[arg(long, value_name = "REGEX")]
    encrypted_regex: Option<String>,
    /// Leave what stands behind comments that match.
    #[arg(long, value_name = "REGEX")]
    unencrypted_comment_regex: Option<String>,
    /// Encrypt only what stands behind comments that match.
    #[arg(long, value_name = "REGEX")]
    encrypted_comment_regex: Option<String>,
    /// Cover only encrypted values by the MAC.
    #[arg(long, env = "SOPS_MAC_ONLY_ENCRYPTED")]
    mac_only_encrypted: bool,
    /// Key groups that it takes to open the file.
    #[arg(long, value_name = "NUMBER")]
    shamir_secret_sharing_threshold: Option<usize>,
}

impl How {
    /// The settings for a file: those of its rule, unless something else is said.
    pub(super) fn settings(&self, desk: &Desk, name: &Path, format: Format) -> Result<Settings, Failure> {
        let now = now();
        let rule = match &desk.config {
            Some(config) => config.settings_for(name, &now)?,
            None => None,
        };
        let given = self.recipients.keys(&now)?;
        let mut settings = match (rule, given.is_empty()) {
            (Some(settings), true) => settings,
            (rule, false) => Settings { groups: vec![given], ..rule.unwrap_or_default() },
            (None, true) => {
                let problem = "config file not found, or has no creation rules, and no keys provided through command \
                               line options";
                return Err(anyhow!(problem).into());
            }
        };
        if let Some(rule) = self.rule(&settings.rule)? {
            settings.rule = rule;
        }
        settings.mac_only_encrypted |= self.mac_only_encrypted;
        if let Some(threshold) = self.shamir_secret_sharing_threshold.filter(|threshold| *threshold != 0) {
            settings.threshold = threshold;
        }
        if format == Format::Binary {
            if settings.rule != Rule::default() {
                let field = settings.rule.kind.field();
                warn(&format!("{field} does not make sense for a binary file, whose one value is always encrypted"));
            }
            (settings.rule, settings.mac_only_encrypted) = (Rule::default(), false);
        }
        Ok(settings)
    }

    /// The rule that is given. It cannot stand beside another one of the configuration.
    fn rule(&self, configured: &Rule) -> Result<Option<Rule>, Failure> {
        let given = [
            (RuleKind::UnencryptedSuffix, &self.unencrypted_suffix),
            (RuleKind::EncryptedSuffix, &self.encrypted_suffix),
            (RuleKind::UnencryptedRegex, &self.unencrypted_regex),
            (RuleKind::EncryptedRegex, &self.encrypted_regex),
            (RuleKind::UnencryptedCommentRegex, &self.unencrypted_comment_regex),
            (RuleKind::EncryptedCommentRegex, &self.encrypted_comment_regex),
        ];
        let mut rules = given.into_iter().filter_map(|(kind, text)| {
            let text = text.clone().filter(|text| !text.is_empty())?;
            Some(Rule { kind, text })
        });
        let (first, second) = (rules.next(), rules.next());
        let clashes = |rule: &Rule| *configured != Rule::default() && configured.kind != rule.kind;
        if second.is_some() || first.as_ref().is_some_and(clashes) {
            let problem = "cannot use more than one of encrypted_suffix, unencrypted_suffix, encrypted_regex, \
                           unencrypted_regex, encrypted_comment_regex, or unencrypted_comment_regex in the same file";
            return Err(Failure::new(code::CONFLICT, anyhow!(problem)));
        }
        Ok(first)
    }
}

impl Encrypt {
    /// Refuses what cannot be done, before anything is read.
    fn check(&self) -> Outcome {
        let conflict = |problem: &'static str| Err(Failure::new(code::CONFLICT, anyhow!(problem)));
        match &self.file {
            None if self.target.in_place => conflict("cannot use --in-place when reading from standard input"),
            None if self.filename_override.is_none() => {
                conflict("must specify --filename-override when reading from standard input")
            }
            Some(file) if !input::exists(file) => {
                let error = anyhow!("cannot operate on non-existent file \"{}\"", file.display());
                Err(Failure::new(code::NO_FILE, error))
            }
            _ => self.target.check(),
        }
    }

    pub(super) fn run(self, desk: &Desk) -> Outcome {
        self.check()?;
        let name = self.filename_override.clone().or(self.file.clone()).unwrap_or_default();
        let format = self.types.input(&name);
        let settings = self.how.settings(desk, &name, format)?;
        let bytes = input::read(self.file.as_deref()).map_err(|error| Failure::new(code::UNREADABLE, error))?;
        let identities = &desk.keys().identities;
        let sealed = Sealed::encrypt(&bytes, format, settings, identities, &now(), &mut |bytes| System.fill(bytes));
        let sealed = sealed.map_err(|error| failure(error, Action::Encrypt))?;
        self.target.write(self.file.as_deref(), &printed(&sealed, self.types.output(&name), desk.indents)?)
    }
}
