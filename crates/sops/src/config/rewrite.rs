//! Recipients in the text of `.sops.yaml`: comments, order and layout stay.
//!
//! A change is tried at each place where a recipient of the rule stands, and taken when the text that comes out says for
//! every rule what it should: nothing of YAML's many forms needs to be known here.

use super::{Config, ConfigError};
use crate::key::MasterKey;

/// A recipient that cannot be put into a configuration, or taken out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// The configuration cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A rule with several groups, and none is named.
    #[error("creation_rules[{rule}] has {count} key groups: name one")]
    Groups {
        /// Which rule, from 0.
        rule: usize,
        /// How many groups it has.
        count: usize,
    },
    /// Nobody could open the files of a rule any more.
    #[error("creation_rules[{rule}] would have a group without keys")]
    Last {
        /// Which rule, from 0.
        rule: usize,
    },
    /// The text has a form that is not rewritten.
    #[error("creation_rules[{rule}] cannot be rewritten: put it there by hand")]
    Form {
        /// Which rule, from 0.
        rule: usize,
    },
}

/// The names of the keys of each group of each rule.
type Names = Vec<Vec<Vec<String>>>;

impl Config {
    /// How many creation rules there are.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.rules.as_ref().map_or(0, Vec::len)
    }

    /// What a rule says, by its place.
    ///
    /// # Errors
    /// A rule that cannot be read.
    pub fn settings_of(&self, rule: usize, now: &str) -> Result<Option<crate::Settings>, ConfigError> {
        self.rules.iter().flatten().nth(rule).map(|rule| rule.settings(now)).transpose()
    }

    /// The `path_regex` of a rule, by its place; none for one that is for all files.
    #[must_use]
    pub fn path_regex_of(&self, rule: usize) -> Option<&str> {
        let rule = self.rules.iter().flatten().nth(rule)?;
        rule.fields.get("path_regex")?.as_str().filter(|text| !text.is_empty())
    }

    /// The place of the first rule for a path; none where there are no rules or none fits.
    ///
    /// # Errors
    /// A `path_regex` that is no expression.
    pub fn rule_for(&self, path: &str) -> Result<Option<usize>, ConfigError> {
        for (index, rule) in self.rules.iter().flatten().enumerate() {
            if rule.is_for(path)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn names(&self) -> Result<Names, ConfigError> {
        let groups = |rule| Ok(self.settings_of(rule, "")?.map(|settings| settings.groups).unwrap_or_default());
        let names = |groups: Vec<Vec<MasterKey>>| {
            groups.iter().map(|group| group.iter().map(MasterKey::name).collect()).collect()
        };
        (0..self.rules()).map(|rule| groups(rule).map(names)).collect()
    }
}

/// Adds an age recipient to rules: all, or some by their places. Of a rule with several groups, to the one that is named.
/// A rule that has it already stays.
///
/// # Errors
/// A configuration that cannot be read or has a form that is not rewritten; a rule with several groups of which none is
/// named.
pub fn add_recipient(
    text: &str,
    recipient: &str,
    rules: Option<&[usize]>,
    group: Option<usize>,
) -> Result<String, RewriteError> {
    let mut text = text.to_owned();
    let wanted = |rule: usize| rules.is_none_or(|rules| rules.contains(&rule));
    for rule in (0..Config::parse(&text)?.rules()).filter(|rule| wanted(*rule)) {
        let names = Config::parse(&text)?.names()?;
        let groups = names.get(rule).map(Vec::as_slice).unwrap_or_default();
        if groups.iter().flatten().any(|name| name == recipient) {
            continue;
        }
        let index = match (group, groups.len()) {
            (Some(group), count) if group < count => group,
            (None, 1) => 0,
            (_, count) => return Err(RewriteError::Groups { rule, count }),
        };
        let mut goal = names.clone();
        let target = goal.get_mut(rule).and_then(|groups| groups.get_mut(index));
        let neighbours = target.map(|group| std::mem::replace(group, with(group, recipient))).unwrap_or_default();
        // A list that several rules share by an anchor brings it to all of them.
        let fits = |found: &Names| {
            found.get(rule) == goal.get(rule)
                && found.iter().zip(&names).enumerate().all(|(other, (found, before))| {
                    other == rule || found == before || wanted(other) && *found == gained(before, recipient)
                })
        };
        let tries = neighbours.iter().rev().flat_map(|neighbour| insertions(&text, neighbour, recipient));
        text = first_that(tries, fits).ok_or(RewriteError::Form { rule })?;
    }
    Ok(text)
}

/// Takes a recipient out of all rules.
///
/// # Errors
/// A configuration that cannot be read or has a form that is not rewritten; a group that would have no key.
pub fn remove_recipient(text: &str, recipient: &str) -> Result<String, RewriteError> {
    let mut text = text.to_owned();
    loop {
        let names = Config::parse(&text)?.names()?;
        let has = |groups: &Vec<Vec<String>>| groups.iter().flatten().any(|name| name == recipient);
        let Some(rule) = names.iter().position(has) else { return Ok(text) };
        for (rule, groups) in names.iter().enumerate().filter(|(_, groups)| has(groups)) {
            if groups.iter().any(|group| group.iter().all(|name| name == recipient)) {
                return Err(RewriteError::Last { rule });
            }
        }
        let fits = |found: &Names| {
            let count = |names: &Names| names.iter().flatten().flatten().filter(|name| *name == recipient).count();
            count(found) < count(&names) && without(found, recipient) == without(&names, recipient)
        };
        text = first_that(removals(&text, recipient), fits).ok_or(RewriteError::Form { rule })?;
    }
}

fn first_that(tries: impl IntoIterator<Item = String>, fits: impl Fn(&Names) -> bool) -> Option<String> {
    let names = |text: &String| Config::parse(text).and_then(|config| config.names()).ok();
    tries.into_iter().find(|text| names(text).is_some_and(|found| fits(&found)))
}

/// A group with one more key. age keys come first in a group, so that the place of a new one depends on its form: the
/// same set is enough.
fn with(group: &[String], recipient: &str) -> Vec<String> {
    let last = group.iter().rposition(|name| is_age(name)).map_or(0, |index| index + 1);
    let mut group = group.to_vec();
    group.insert(last, recipient.to_owned());
    group
}

fn is_age(name: &str) -> bool {
    name.starts_with("age1") || name.starts_with("ssh-")
}

fn gained(groups: &[Vec<String>], recipient: &str) -> Vec<Vec<String>> {
    groups.iter().map(|group| with(group, recipient)).collect()
}

fn without(names: &Names, recipient: &str) -> Names {
    let group = |group: &Vec<String>| group.iter().filter(|name| *name != recipient).cloned().collect();
    names.iter().map(|groups| groups.iter().map(group).collect()).collect()
}

/// Texts with a recipient behind each place where its neighbour stands: as a line of its own, or behind a comma.
fn insertions(text: &str, neighbour: &str, recipient: &str) -> Vec<String> {
    let mut texts = Vec::new();
    if !is_age(neighbour) {
        return texts;
    }
    for (start, _) in text.match_indices(neighbour) {
        let end = start + neighbour.len();
        if let Some(line) = item_line(text, start, end) {
            let (before, item, after) =
                (part(text, 0, start), part(text, line.start, start), part(text, line.end, text.len()));
            let rest = part(text, start, line.end);
            let newline = if rest.ends_with('\n') { "" } else { "\n" };
            texts.push(format!("{before}{rest}{newline}{item}{recipient}\n{after}"));
        }
        let separator = if part(text, end, text.len()).starts_with(", ") { ", " } else { "," };
        texts.push(format!("{}{separator}{recipient}{}", part(text, 0, end), part(text, end, text.len())));
    }
    texts
}

/// Texts without a recipient at each place where it stands.
fn removals(text: &str, recipient: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for (start, _) in text.match_indices(recipient) {
        let end = start + recipient.len();
        if let Some(line) = item_line(text, start, end) {
            texts.push(format!("{}{}", part(text, 0, line.start), part(text, line.end, text.len())));
        }
        let (before, after) = (part(text, 0, start), part(text, end, text.len()));
        if let Some(rest) = after.trim_start().strip_prefix(',') {
            texts.push(format!("{before}{}", rest.trim_start()));
        }
        if let Some(rest) = before.trim_end().strip_suffix(',') {
            texts.push(format!("{rest}{after}"));
        }
    }
    texts
}

/// The line of an entry of a block list that is nothing but what stands there.
fn item_line(text: &str, start: usize, end: usize) -> Option<std::ops::Range<usize>> {
    let line_start = part(text, 0, start).rfind('\n').map_or(0, |at| at + 1);
    let line_end = part(text, end, text.len()).find('\n').map_or(text.len(), |at| end + at + 1);
    let before = part(text, line_start, start);
    let after = part(text, end, line_end).trim();
    (before.trim() == "-" && (after.is_empty() || after.starts_with('#'))).then_some(line_start..line_end)
}

fn part(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_comes_to_every_form_of_a_rule_and_goes_again() {
        for (before, after) in [
            ("creation_rules:\n- age: age1a\n", "creation_rules:\n- age: age1a,age1new\n"),
            ("creation_rules:\n- age: age1a, age1b # us\n", "creation_rules:\n- age: age1a, age1b,age1new # us\n"),
            ("creation_rules:\n- age: \"age1a\"\n  pgp: F\n", "creation_rules:\n- age: \"age1a,age1new\"\n  pgp: F\n"),
            (
                "creation_rules:\n- age: >-\n    age1a,\n    age1b\n",
                "creation_rules:\n- age: >-\n    age1a,\n    age1b,age1new\n",
            ),
            (
                "creation_rules:\n- age:\n  - age1a # me\n  - age1b\n",
                "creation_rules:\n- age:\n  - age1a # me\n  - age1b\n  - age1new\n",
            ),
            (
                "keys:\n- &a age1a\ncreation_rules:\n- key_groups:\n  - age: [*a]\n- key_groups: [{age: [*a]}]\n",
                "keys:\n- &a age1a,age1new\ncreation_rules:\n- key_groups:\n  - age: [*a]\n- key_groups: [{age: [*a]}]\n",
            ),
            (
                "creation_rules:\n- path_regex: age1a\n  age: age1a\n- age: age1b\n",
                "creation_rules:\n- path_regex: age1a\n  age: age1a,age1new\n- age: age1b,age1new\n",
            ),
        ] {
            let added = add_recipient(before, "age1new", None, None).unwrap();
            assert_eq!(added, after);
            assert_eq!(add_recipient(&added, "age1new", None, None).unwrap(), after, "a second time changes nothing");
            assert_eq!(remove_recipient(&added, "age1new").unwrap(), before);
        }
    }

    #[test]
    fn rules_and_groups_are_chosen() {
        let text = "creation_rules:\n- age: age1a\n- key_groups:\n  - age:\n    - age1a\n  - age:\n    - age1b\n";
        let first = add_recipient(text, "age1new", Some(&[0]), None).unwrap();
        assert_eq!(first, text.replacen("age1a", "age1a,age1new", 1));
        let second = add_recipient(text, "age1new", Some(&[1]), Some(1)).unwrap();
        assert_eq!(second, format!("{text}    - age1new\n"));
        assert!(matches!(add_recipient(text, "age1new", None, None), Err(RewriteError::Groups { rule: 1, count: 2 })));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let last = remove_recipient("creation_rules:\n- age: age1a\n", "age1a");
        assert!(matches!(last, Err(RewriteError::Last { rule: 0 })));
        let others = add_recipient("creation_rules:\n- pgp: F\n", "age1new", None, None);
        assert!(matches!(others, Err(RewriteError::Form { rule: 0 })));
        assert_eq!(
            remove_recipient("# age1a\ncreation_rules: []\n", "age1a").unwrap(),
            "# age1a\ncreation_rules: []\n"
        );
    }
}
