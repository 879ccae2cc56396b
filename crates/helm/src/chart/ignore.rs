//! `.helmignore`.

use gotemplate::go::path::{base, matches};

/// Rules in order; the first that speaks decides.
#[derive(Default)]
pub(super) struct Rules {
    rules: Vec<Rule>,
}

struct Rule {
    pattern: String,
    is_negated: bool,
    is_for_folders: bool,
    /// Whether the whole path is compared, not only the name.
    is_path: bool,
    /// Whether nothing in it stands for something else.
    is_plain: bool,
}

impl Rules {
    /// Reads rules; what Helm always ignores comes last.
    ///
    /// # Errors
    /// Helm's words for a pattern that is none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Self::default();
        for line in text.trim_start_matches('\u{feff}').lines() {
            rules.add(line)?;
        }
        rules.add("templates/.?*")?;
        Ok(rules)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if line.contains("**") {
            return Err("double-star (**) syntax is not supported".into());
        }
        matches(line, "abc").map_err(|error| error.to_string())?;
        let (is_negated, rest) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let (is_for_folders, rest) = rest.strip_suffix('/').map_or((false, rest), |rest| (true, rest));
        let (is_path, pattern) = match rest.strip_prefix('/') {
            Some(rest) => (true, rest),
            None => (rest.contains('/'), rest),
        };
        let is_plain = !pattern.contains(['*', '?', '[', '\\']);
        self.rules.push(Rule { pattern: pattern.to_owned(), is_negated, is_for_folders, is_path, is_plain });
        Ok(())
    }

    /// Whether a file or folder is left out. A negated rule leaves out all that it does not match.
    pub(super) fn ignores(&self, path: &str, is_folder: bool) -> bool {
        for rule in &self.rules {
            if rule.is_for_folders && !is_folder && !rule.is_negated {
                continue;
            }
            let name = if rule.is_path { path } else { base(path) };
            let fits = if rule.is_plain { rule.pattern == name } else { matches(&rule.pattern, name).unwrap_or(false) };
            if rule.is_negated {
                if (rule.is_for_folders && !is_folder) || !fits {
                    return true;
                }
                continue;
            }
            if fits {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::Rules;

    #[test]
    fn the_first_rule_that_speaks_decides() {
        let rules = Rules::parse("# c\n*.txt\n/ci\ndocs/\n").unwrap();
        let ignored = |path, is_folder| rules.ignores(path, is_folder);
        assert!(ignored("a/b.txt", false) && ignored("ci", true) && ignored("a/docs", true));
        assert!(!ignored("a/ci", true) && !ignored("docs", false) && !ignored("values.yaml", false));
        assert!(ignored("templates/.hidden", false));
    }
}
