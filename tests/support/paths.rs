//! Reads which paths of its own crate a Rust file names, by `crate::` and by `super::`.

/// A path into the crate, as seen from its root.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// Line of its first word.
    pub(crate) line: usize,
    /// Its names from the root down, such as `["api", "Kind"]`; `*` for a glob.
    pub(crate) names: Vec<String>,
}

/// The paths that the text of the module `module` (names from the root down) holds. Comments and literals do not count.
pub(crate) fn imports(module: &[&str], text: &str) -> Vec<Import> {
    let tokens = tokens(text);
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
        module: module.iter().map(|&name| name.to_owned()).collect(),
        inline: vec![],
        depth: 0,
    };
    let mut found = Vec::new();
    while reader.at < tokens.len() {
        reader.step(&mut found);
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Name(String),
    /// `::`
    Path,
    Other(char),
}

struct Token {
    line: usize,
    word: Word,
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    module: Vec<String>,
    /// Depth of braces at which each inline module began.
    inline: Vec<usize>,
    depth: usize,
}

impl Reader<'_> {
    fn word(&self, ahead: usize) -> Option<&Word> {
        self.tokens.get(self.at + ahead).map(|token| &token.word)
    }

    fn name(&self, ahead: usize) -> Option<&str> {
        if let Some(Word::Name(name)) = self.word(ahead) { Some(name) } else { None }
    }

    fn step(&mut self, found: &mut Vec<Import>) {
        let path_follows = self.word(1) == Some(&Word::Path);
        match (self.word(0), self.name(0)) {
            (_, Some("crate")) if path_follows => return self.path(vec![], found),
            (_, Some("super")) if path_follows => return self.path(self.above(&self.module), found),
            (_, Some("mod")) if self.word(2) == Some(&Word::Other('{')) => {
                self.module.extend(self.name(1).map(str::to_owned));
                self.inline.push(self.depth);
            }
            (Some(Word::Other('{')), _) => self.depth += 1,
            (Some(Word::Other('}')), _) => {
                self.depth = self.depth.saturating_sub(1);
                if self.inline.last() == Some(&self.depth) {
                    self.inline.pop();
                    self.module.pop();
                }
            }
            _ => {}
        }
        self.at += 1;
    }

    fn above(&self, module: &[String]) -> Vec<String> {
        module.split_last().map(|(_, above)| above.to_vec()).unwrap_or_default()
    }

    /// Reads what follows a `crate` or `super`, which leads to `names`.
    fn path(&mut self, mut names: Vec<String>, found: &mut Vec<Import>) {
        let line = self.tokens[self.at].line;
        self.at += 1;
        while self.word(0) == Some(&Word::Path) {
            self.at += 1;
            match self.tokens.get(self.at).map(|token| &token.word) {
                Some(Word::Name(name)) if name == "super" => names = self.above(&names),
                Some(Word::Name(name)) if name != "self" => names.push(name.clone()),
                Some(Word::Other('{')) => return self.group(line, &names, found),
                Some(Word::Other('*')) => names.push("*".into()),
                _ => {}
            }
            self.at += 1;
        }
        found.push(Import { line, names });
    }

    /// Reads `{a::b, c}` after a path.
    fn group(&mut self, line: usize, before: &[String], found: &mut Vec<Import>) {
        while self.at < self.tokens.len() && self.word(0) != Some(&Word::Other('}')) {
            // Stands on `{` or `,`: the branch is read as if a path led to it.
            let mut names = before.to_vec();
            match self.word(1) {
                Some(Word::Name(name)) => {
                    names.extend((name != "self").then(|| name.clone()));
                    self.at += 1;
                    self.path(names, found);
                }
                Some(Word::Other('*')) => {
                    names.push("*".into());
                    found.push(Import { line, names });
                    self.at += 2;
                }
                _ => self.at += 1,
            }
            // A name given by `as` belongs to nothing else.
            while self.name(0).is_some() {
                self.at += 1;
            }
        }
        self.at += 1;
    }
}

/// The words of a text outside comments and literals.
fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let length = literal_or_comment(rest).unwrap_or_else(|| {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (word, length) = match first {
                _ if length > 0 => (Some(Word::Name(rest[..length].into())), length),
                _ if rest.starts_with("::") => (Some(Word::Path), 2),
                _ => ((!first.is_whitespace()).then_some(Word::Other(first)), first.len_utf8()),
            };
            found.extend(word.map(|word| Token { line, word }));
            length
        });
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// Length of the comment or literal that `text` begins with.
fn literal_or_comment(text: &str) -> Option<usize> {
    let until = |from: usize, end: &str| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(until(2, "*/"));
    }
    let raw = text
        .strip_prefix("br")
        .or_else(|| text.strip_prefix('r'))
        .filter(|rest| rest.trim_start_matches('#').starts_with('"'));
    if let Some(rest) = raw {
        let hashes = "#".repeat(rest.len() - rest.trim_start_matches('#').len());
        return Some(until(text.len() - rest.len() + hashes.len() + 1, &format!("\"{hashes}")));
    }
    if text.starts_with('"') {
        return Some(quoted(text, '"'));
    }
    // A lifetime has no second quote right after its first letter.
    let is_char = text.starts_with("'\\") || text.starts_with('\'') && text.chars().nth(2) == Some('\'');
    is_char.then(|| quoted(text, '\''))
}

/// Length of a literal between two quotes, with escapes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}
