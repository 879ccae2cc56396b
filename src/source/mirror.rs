//! `--mirror FROM=TO`: sources fetched from elsewhere, without a change to the repository that names them.

/// One rule: what stands under `from` is fetched from under `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    from: String,
    to: String,
}

/// A mirror rule that is not `FROM=TO`.
#[derive(Debug, thiserror::Error)]
#[error("a mirror is FROM=TO, both not empty")]
pub struct MirrorError;

impl std::str::FromStr for Mirror {
    type Err = MirrorError;

    fn from_str(text: &str) -> Result<Self, MirrorError> {
        match text.split_once('=') {
            Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok(Self { from: from.into(), to: to.into() }),
            _ => Err(MirrorError),
        }
    }
}

impl Mirror {
    /// What follows `from` in `url`, when `url` lies under it. A prefix ends where an element of the path ends, so that
    /// a rule for `https://host/team` says nothing about `https://host/team-secret`; a repository's name may or may not
    /// end in `.git`.
    fn rest<'a>(&self, url: &'a str) -> Option<&'a str> {
        let rest = url.strip_prefix(&self.from)?;
        let rest = if rest == ".git" { "" } else { rest };
        let at_end = rest.is_empty() || self.from.ends_with('/') || rest.starts_with(['/', '?']);
        at_end.then_some(rest)
    }
}

/// Where `url` is fetched from: the rule with the longest `from` decides; without one it is `url` itself.
pub fn mirrored(url: &str, mirrors: &[Mirror]) -> String {
    let fitting = mirrors.iter().filter_map(|mirror| Some((mirror, mirror.rest(url)?)));
    match fitting.max_by_key(|(mirror, _)| mirror.from.len()) {
        Some((mirror, rest)) => format!("{}{rest}", mirror.to),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(url: &str) -> String {
        let rules = ["https://github.com/=https://git.local/", "https://github.com/org/app=file:///srv/app"];
        mirrored(url, &rules.map(|rule| rule.parse().unwrap()))
    }

    #[test]
    fn the_longest_prefix_decides() {
        assert_eq!(fetched("https://github.com/org/other"), "https://git.local/org/other");
        assert_eq!(fetched("https://github.com/org/app"), "file:///srv/app");
        assert_eq!(fetched("https://github.com/org/app.git"), "file:///srv/app");
    }

    #[test]
    fn a_prefix_ends_where_a_path_element_ends() {
        assert_eq!(fetched("https://github.com/org/app2"), "https://git.local/org/app2");
        assert_eq!(fetched("https://gitlab.com/org/app"), "https://gitlab.com/org/app");
        let host = "https://github.com=https://git.local".parse::<Mirror>().unwrap();
        assert_eq!(host.rest("https://github.com.example/x"), None);
    }

    #[test]
    fn a_rule_needs_both_sides() {
        assert!("https://x".parse::<Mirror>().is_err());
        assert!("=y".parse::<Mirror>().is_err());
        assert_eq!("a=b=c".parse::<Mirror>().unwrap(), Mirror { from: "a".into(), to: "b=c".into() });
    }
}
