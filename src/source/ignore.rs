//! Which paths of a source are left out of its artifact: `.sourceignore` files and `spec.ignore`.
//!
//! The syntax is .gitignore's as Flux's library reads it, which departs from Git's: a pattern is tried on every folder
//! above a path too, so that an excluded folder's file can be included again; `**` stands for folders only as a whole
//! element; a pattern that is malformed matches nothing.
//!
//! Patterns of version control apply always; Flux's other defaults only as long as nobody gives a pattern.

use gotemplate::go::path;

/// Name of the files that hold rules for their folder and what is below it.
pub const IGNORE_FILE: &str = ".sourceignore";

/// What belongs to Git itself.
const VERSION_CONTROL: &[&str] = &[".git/", ".gitignore", ".gitmodules", ".gitattributes"];

/// What else is left out where nobody gives a pattern.
const DEFAULTS: &[&str] = &[
    "*.jpg",
    "*.jpeg",
    "*.gif",
    "*.png",
    "*.wmv",
    "*.flv",
    "*.tar.gz",
    "*.zip",
    ".github/",
    ".circleci/",
    ".travis.yml",
    ".gitlab-ci.yml",
    "appveyor.yml",
    ".drone.yml",
    "cloudbuild.yaml",
    "codeship-services.yml",
    "codeship-steps.yml",
    "**/.goreleaser.yml",
    "**/.sops.yaml",
    "**/.flux.yaml",
];

/// Go's scanner stops at a line of this length, and so does Flux, without a word.
const MAX_LINE: usize = 64 * 1024;

/// The rules of one source, ready to be asked.
pub struct Rules {
    /// The last one that matches decides.
    patterns: Vec<Pattern>,
}

impl Rules {
    /// Rules from `.sourceignore` files, as (folder, text), parents before children, and `spec.ignore`, which is
    /// stronger than all of them.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>, spec: Option<&str>) -> Self {
        let given = given(files, spec.unwrap_or_default());
        let defaults = if given.is_empty() { DEFAULTS } else { &[] };
        Self::of(defaults, given)
    }

    /// Rules as Flux's command line has them, where the defaults count beside whatever is given.
    pub fn beside_defaults<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>, further: &str) -> Self {
        Self::of(DEFAULTS, given(files, further))
    }

    fn of(defaults: &[&str], given: Vec<Pattern>) -> Self {
        let builtin = VERSION_CONTROL.iter().chain(defaults).map(|line| Pattern::new(line, ""));
        Self { patterns: builtin.chain(given).collect() }
    }

    /// Whether `path`, relative to the root, is left out.
    pub fn exclude(&self, path: &str, is_folder: bool) -> bool {
        let path: Vec<&str> = path.split('/').collect();
        let decided = self.patterns.iter().rev().find(|pattern| pattern.matches(&path, is_folder));
        decided.is_some_and(|pattern| !pattern.includes)
    }
}

/// Patterns of ignore files, and of one text that is stronger than all of them.
fn given<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>, spec: &str) -> Vec<Pattern> {
    let of_files = files.into_iter().flat_map(|(folder, text)| read(text, folder));
    of_files.chain(read(spec, "")).collect()
}

fn read(text: &str, folder: &str) -> Vec<Pattern> {
    text.split('\n')
        .take_while(|line| line.len() < MAX_LINE)
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| Pattern::new(line, folder))
        .collect()
}

struct Pattern {
    /// The folder that the pattern stands in: it says nothing about others.
    domain: Vec<String>,
    elements: Vec<Element>,
    includes: bool,
    folders_only: bool,
    /// Tried from the domain on, element by element; otherwise on each name of a path alone.
    is_path: bool,
}

enum Element {
    /// Before a leading slash, and between doubled ones.
    Empty,
    /// `**`: any number of folders.
    Folders,
    /// `**` inside a name, which Flux's library does not take.
    Never,
    Name(String),
}

impl Pattern {
    fn new(line: &str, folder: &str) -> Self {
        let (includes, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let line = if line.ends_with("\\ ") { line } else { line.trim_end_matches(' ') };
        let (folders_only, line) = line.strip_suffix('/').map_or((false, line), |rest| (true, rest));
        let is_path = line.contains('/');
        let elements = line.split('/').map(|text| Element::new(text, is_path)).collect();
        let domain = folder.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Self { domain, elements, includes, folders_only, is_path }
    }

    fn matches(&self, path: &[&str], is_folder: bool) -> bool {
        let inside =
            path.len() > self.domain.len() && self.domain.iter().zip(path).all(|(folder, name)| folder == name);
        let Some(path) = path.get(self.domain.len()..).filter(|_| inside) else {
            return false;
        };
        if self.is_path { self.matches_path(path, is_folder) } else { self.matches_name(path, is_folder) }
    }

    fn matches_name(&self, path: &[&str], is_folder: bool) -> bool {
        let [Element::Name(pattern)] = &self.elements[..] else {
            return false;
        };
        let found = path.iter().position(|name| fits(pattern, name));
        found.is_some_and(|at| !self.folders_only || is_folder || at + 1 < path.len())
    }

    fn matches_path(&self, mut path: &[&str], is_folder: bool) -> bool {
        let mut matched = false;
        let mut may_descend = false;
        for (at, element) in self.elements.iter().enumerate() {
            match element {
                Element::Empty => may_descend = false,
                Element::Folders if at + 1 == self.elements.len() => break,
                Element::Folders => may_descend = true,
                Element::Never => return false,
                Element::Name(_) if path.is_empty() => return false,
                Element::Name(pattern) if may_descend => {
                    may_descend = false;
                    let found = path.iter().position(|name| fits(pattern, name));
                    matched = found.is_some();
                    path = found.map_or(&[], |at| &path[at + 1..]);
                }
                Element::Name(pattern) if fits(pattern, path[0]) => {
                    matched = true;
                    path = &path[1..];
                }
                Element::Name(_) => return false,
            }
        }
        matched && !(self.folders_only && !is_folder && path.is_empty())
    }
}

impl Element {
    fn new(text: &str, in_path: bool) -> Self {
        match text {
            "" if in_path => Self::Empty,
            "**" if in_path => Self::Folders,
            text if in_path && text.contains("**") => Self::Never,
            text => Self::Name(text.to_owned()),
        }
    }
}

/// A malformed pattern fits nothing.
fn fits(pattern: &str, name: &str) -> bool {
    path::matches(pattern, name).unwrap_or(false)
}
