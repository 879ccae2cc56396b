//! A set of templates that know each other's names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::exec::{self, Run, Scope};
use crate::parse::{Source, Tree, parse};
use crate::{Error, Functions, Session, Value};

/// What a key that a map does not have stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// No value, printed `<no value>`; a further field of it is no value either.
    #[default]
    Default,
    /// The zero value of the map's elements; for `interface {}` that is `nil`, whose fields are an error.
    Zero,
    /// An error.
    Error,
}

/// Trees by template name.
pub(crate) type Trees = HashMap<String, Arc<Tree>>;

/// Templates that were parsed together, and the functions that they may call.
#[derive(Clone)]
pub struct Templates {
    name: String,
    functions: Functions,
    missing_key: MissingKey,
    delimiters: (String, String),
    trees: Trees,
}

/// Templates that were parsed before, for sets that have the same names of functions and the same delimiters. When it
/// has more than it may, it forgets what has not been asked for since it was half full.
#[derive(Debug)]
pub struct Known {
    /// Bytes of text that are kept at most.
    most: usize,
    generations: Mutex<[Generation; 2]>,
}

/// Bytes of a text that is kept. Longer ones are mostly text between few actions: they take much room and little time.
const LARGEST: usize = 64 << 10;

/// What was asked for in some time, by name and length of the text.
#[derive(Debug, Default)]
struct Generation {
    bytes: usize,
    trees: HashMap<(String, usize), Remembered>,
}

#[derive(Clone, Debug)]
struct Remembered {
    source: Arc<Source>,
    trees: Arc<[Arc<Tree>]>,
}

impl Known {
    /// Keeps the trees of so many bytes of text.
    pub fn new(most: usize) -> Self {
        Self { most, generations: Mutex::default() }
    }

    fn find(&self, name: &str, text: &str) -> Option<Arc<[Arc<Tree>]>> {
        let key = (name.to_owned(), text.len());
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |found: &&Remembered| found.source.text == text;
        if let Some(found) = generations[0].trees.get(&key).filter(is_it) {
            return Some(Arc::clone(&found.trees));
        }
        let found = generations[1].trees.get(&key).filter(is_it)?.clone();
        let trees = Arc::clone(&found.trees);
        Self::put(&mut generations, self.most, key, found);
        Some(trees)
    }

    fn keep(&self, source: Arc<Source>, trees: Vec<Arc<Tree>>) -> Arc<[Arc<Tree>]> {
        let trees: Arc<[Arc<Tree>]> = trees.into();
        let key = (source.name.clone(), source.text.len());
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        Self::put(&mut generations, self.most, key, Remembered { source, trees: Arc::clone(&trees) });
        trees
    }

    fn put(generations: &mut [Generation; 2], most: usize, key: (String, usize), found: Remembered) {
        let size = key.1;
        if generations[0].bytes + size > most / 2 {
            generations[1] = std::mem::take(&mut generations[0]);
        }
        generations[0].bytes += size;
        generations[0].trees.insert(key, found);
    }
}

/// A failed execution, with what was written until then, as Go writes it.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub error: Error,
    /// The text before the failure.
    pub partial: Vec<u8>,
}

impl Templates {
    /// An empty set. `name` stands in the error for a template that does not exist, and is the file name of what
    /// [`crate::Call::execute_text`] parses.
    pub fn new(name: impl Into<String>, functions: Functions) -> Self {
        let delimiters = (String::new(), String::new());
        Self { name: name.into(), functions, missing_key: MissingKey::Default, delimiters, trees: Trees::new() }
    }

    /// Sets what a missing key stands for.
    #[must_use]
    pub fn missing_key(mut self, missing_key: MissingKey) -> Self {
        self.missing_key = missing_key;
        self
    }

    /// Sets the marks around actions; an empty one is Go's, `{{` or `}}`.
    #[must_use]
    pub fn delimiters(mut self, left: &str, right: &str) -> Self {
        self.delimiters = (left.to_owned(), right.to_owned());
        self
    }

    /// Parses a text as the template `name`, and those that it defines. A template of the same name gives way, unless
    /// the new one is blank.
    ///
    /// # Errors
    /// [`Error::Parse`].
    pub fn parse(&mut self, name: &str, text: impl Into<String>) -> Result<(), Error> {
        let source = Arc::new(Source { name: name.to_owned(), text: text.into() });
        self.trees_of(&source)?.into_iter().for_each(|tree| add(&mut self.trees, tree));
        Ok(())
    }

    /// The same, unless the text is known by that name.
    ///
    /// # Errors
    /// As [`Templates::parse`].
    pub fn parse_known(&mut self, name: &str, text: &str, known: &Known) -> Result<(), Error> {
        if text.len() > LARGEST {
            return self.parse(name, text);
        }
        let trees = match known.find(name, text) {
            Some(trees) => trees,
            None => {
                let source = Arc::new(Source { name: name.to_owned(), text: text.to_owned() });
                let trees = self.trees_of(&source)?;
                known.keep(source, trees)
            }
        };
        trees.iter().for_each(|tree| add(&mut self.trees, Arc::clone(tree)));
        Ok(())
    }

    fn trees_of(&self, source: &Arc<Source>) -> Result<Vec<Arc<Tree>>, Error> {
        let parsed = parse(source, (&self.delimiters.0, &self.delimiters.1), &self.functions)?;
        Ok(parsed.into_iter().map(Arc::new).collect())
    }

    /// Whether there is a template of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.trees.contains_key(name)
    }

    /// Executes one template and returns its text, which may be a secret.
    ///
    /// # Errors
    /// The first action that failed, or the limit that was exceeded.
    pub fn execute(&self, name: &str, data: &Value, session: &mut Session<'_>) -> Result<Vec<u8>, Box<Failed>> {
        let mut run = Run { templates: self, session };
        let mut text = Vec::new();
        let scope = Scope { trees: &self.trees, parent: None };
        match exec::execute(&mut run, &scope, name, data.clone(), &mut text) {
            Ok(()) => Ok(text),
            Err(error) => Err(Box::new(Failed { error, partial: text })),
        }
    }

    /// The set's own name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The function table.
    pub(crate) fn functions(&self) -> &Functions {
        &self.functions
    }

    /// What a missing key stands for.
    pub(crate) fn missing(&self) -> MissingKey {
        self.missing_key
    }
}

/// Adds a tree; a blank one does not replace another.
pub(crate) fn add(trees: &mut Trees, tree: Arc<Tree>) {
    if !(tree.root.is_blank() && trees.contains_key(&tree.name)) {
        trees.insert(tree.name.clone(), tree);
    }
}

/// The tree that a text is itself, beside those that it defines: the last one of its own name.
pub(crate) fn main_tree<'t>(parsed: &'t [Arc<Tree>], name: &str) -> Option<&'t Arc<Tree>> {
    parsed.iter().find(|tree| tree.name == name)
}
