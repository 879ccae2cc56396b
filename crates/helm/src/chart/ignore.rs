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
    form: Form,
}

/// What a pattern asks for, as far as it can be said more simply.
enum Form {
    /// Nothing in it stands for something else.
    Plain,
    /// It begins with a star, behind which it is plain.
    Ending,
    Pattern,
}

impl Form {
    fn of(pattern: &str) -> Self {
        let is_plain = |text: &str| !text.contains(['*', '?', '[', '\\']);
        match pattern.strip_prefix('*') {
            _ if is_plain(pattern) => Self::Plain,
            Some(ending) if is_plain(ending) => Self::Ending,
            _ => Self::Pattern,
        }
    }
}

impl Rule {
    fn fits(&self, path: &str) -> bool {
        let name = if self.is_path { path } else { base(path) };
        match self.form {
            Form::Plain => self.pattern == name,
            // A star stands for no slash.
            Form::Ending => name.strip_suffix(&self.pattern[1..]).is_some_and(|start| !start.contains('/')),
            Form::Pattern => matches(&self.pattern, name).unwrap_or(false),
        }
    }
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
        let form = Form::of(pattern);
        self.rules.push(Rule { pattern: pattern.to_owned(), is_negated, is_for_folders, is_path, form });
        Ok(())
    }

    /// Whether a file or folder is left out. A negated rule leaves out all that it does not match.
    pub(super) fn ignores(&self, path: &str, is_folder: bool) -> bool {
        for rule in &self.rules {
            if rule.is_for_folders && !is_folder && !rule.is_negated {
                continue;
            }
            let fits = rule.fits(path);
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
        let rules = Rules::parse("/*.md\n*/x\na/*b\n").unwrap();
        let ignored = |path| rules.ignores(path, false);
        assert!(ignored("R.md") && ignored("a/x") && ignored("a/b") && ignored("a/cb"));
        assert!(!ignored("a/R.md") && !ignored("a/b/x") && !ignored("a/c/b") && !ignored("b"));
    }
}
