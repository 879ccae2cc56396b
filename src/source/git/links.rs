//! Symbolic links of a commit, followed within its tree.

use std::borrow::Cow;
use std::collections::HashMap;

/// As many as Linux follows on the way to one file.
const MOST_HOPS: usize = 40;

/// Links by path, with what they hold.
#[derive(Default)]
pub(super) struct Links(HashMap<String, String>);

impl Links {
    pub(super) fn insert(&mut self, path: String, target: String) {
        self.0.insert(path, target);
    }

    /// The same path without links; `None` when they lead out of the tree or in circles.
    pub(super) fn resolve<'p>(&self, path: &'p str) -> Option<Cow<'p, str>> {
        if self.0.is_empty() {
            return Some(Cow::Borrowed(path));
        }
        let (mut real, mut hops): (Vec<String>, usize) = (Vec::new(), 0);
        let mut open: Vec<String> = path.rsplit('/').map(String::from).collect();
        while let Some(name) = open.pop() {
            match &*name {
                "" | "." => continue,
                ".." => {
                    real.pop()?;
                    continue;
                }
                _ => real.push(name),
            }
            if let Some(target) = self.0.get(&real.join("/")) {
                hops += 1;
                if hops > MOST_HOPS || target.is_empty() || target.starts_with('/') {
                    return None;
                }
                real.pop();
                open.extend(target.rsplit('/').map(String::from));
            }
        }
        Some(Cow::Owned(real.join("/")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_within_the_tree_alone() {
        let mut links = Links::default();
        assert_eq!(links.resolve("a/../b").as_deref(), Some("a/../b"));
        let known = [("a/file", "../b/real"), ("b/up", "../../x"), ("root", "/etc"), ("one", "two"), ("two", "one")];
        for (path, target) in known.into_iter().chain([("folder", "a"), ("deep", "folder/./file")]) {
            links.insert(path.into(), target.into());
        }
        for (path, real) in [
            ("a/file", Some("b/real")),
            ("folder/file", Some("b/real")),
            ("deep", Some("b/real")),
            ("a/other", Some("a/other")),
            ("", Some("")),
            ("b/up", None),
            ("root/passwd", None),
            ("one", None),
        ] {
            assert_eq!(links.resolve(path).as_deref(), real, "{path}");
        }
    }
}
