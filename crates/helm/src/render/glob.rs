//! Patterns of `.Files.Glob`, as the `gobwas/glob` package reads them with `/` as separator.

use regex::Regex;

/// A pattern as an expression; `None` when it is none.
pub(super) fn compile(pattern: &str) -> Option<Regex> {
    let mut reader = Reader { rest: pattern, out: String::from("^(?s:"), depth: 0 };
    while let Some(character) = reader.next() {
        reader.step(character)?;
    }
    // What is not closed closes at the end.
    reader.out.push_str(&")".repeat(reader.depth));
    reader.out.push_str(")$");
    Regex::new(&reader.out).ok()
}

struct Reader<'p> {
    rest: &'p str,
    out: String,
    depth: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.rest = &self.rest[character.len_utf8()..];
        Some(character)
    }

    fn literal(&mut self, character: char) {
        self.out.push_str(&regex::escape(character.encode_utf8(&mut [0; 4])));
    }

    fn step(&mut self, character: char) -> Option<()> {
        match character {
            '*' => match self.rest.strip_prefix('*') {
                Some(rest) => {
                    self.rest = rest;
                    self.out.push_str(".*");
                }
                None => self.out.push_str("[^/]*"),
            },
            '?' => self.out.push_str("[^/]"),
            '[' => return self.class(),
            '{' => {
                self.depth += 1;
                self.out.push_str("(?:");
            }
            ',' if self.depth > 0 => self.out.push('|'),
            '}' if self.depth > 0 => {
                self.depth -= 1;
                self.out.push(')');
            }
            '\\' => {
                let character = self.next()?;
                self.literal(character);
            }
            character => self.literal(character),
        }
        Some(())
    }

    /// `[abc]`, `[a-z]`, and both after `!`.
    fn class(&mut self) -> Option<()> {
        self.out.push('[');
        if let Some(rest) = self.rest.strip_prefix('!') {
            self.rest = rest;
            self.out.push('^');
        }
        let (inner, rest) = self.rest.split_once(']')?;
        self.rest = rest;
        let characters: Vec<char> = inner.chars().collect();
        match characters[..] {
            [low, '-', high] if low <= high => {
                self.literal(low);
                self.out.push('-');
                self.literal(high);
            }
            [] | [_, '-', ..] => return None,
            _ => characters.into_iter().filter(|character| *character != '\\').for_each(|c| self.literal(c)),
        }
        self.out.push(']');
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn patterns_match_as_in_helm() {
        for (pattern, path, fits) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "sub/a.txt", false),
            ("**.txt", "sub/a.txt", true),
            ("sub/**", "sub/a/b", true),
            ("{a,b}/?.y", "b/c.y", true),
            ("[!a]", "b", true),
            ("[a-c].x", "b.x", true),
        ] {
            assert_eq!(compile(pattern).is_some_and(|regex| regex.is_match(path)), fits, "{pattern} {path}");
        }
        assert!(compile("[").is_none());
    }
}
