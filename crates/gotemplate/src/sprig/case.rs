//! Letter case, and words in the manner of programming languages (`xstrings`).

use std::sync::LazyLock;

use super::give;
use crate::function::Entry;

pub(super) const TABLE: &[Entry] = &[
    Entry("camelcase", "func(string) string", |c| give(pascal(&c.str(0)))),
    Entry("kebabcase", "func(string) string", |c| give(connected(&c.str(0), '-'))),
    Entry("lower", "func(string) string", |c| give(c.str(0).chars().map(lower).collect::<String>())),
    Entry("snakecase", "func(string) string", |c| give(connected(&c.str(0), '_'))),
    Entry("swapcase", "func(string) string", |c| give(swapped(&c.str(0)))),
    Entry("title", "func(string) string", |c| give(titled(&c.str(0)))),
    Entry("untitle", "func(string) string", |c| give(untitled(&c.str(0)))),
    Entry("upper", "func(string) string", |c| give(c.str(0).chars().map(upper).collect::<String>())),
];

/// Go maps one character to one.
fn upper(character: char) -> char {
    let mut mapped = character.to_uppercase();
    if mapped.len() == 1 { mapped.next().unwrap_or(character) } else { character }
}

fn lower(character: char) -> char {
    let mut mapped = character.to_lowercase();
    match mapped.len() {
        1 => mapped.next().unwrap_or(character),
        // The only character whose lower case is two, and the one that Go gives for it.
        _ => 'i',
    }
}

fn swapped(text: &str) -> String {
    let swap = |c: char| if c.is_uppercase() { lower(c) } else { upper(c) };
    text.chars().map(swap).collect()
}

/// `strings.Title`: the first letter of every word; letters, digits and underscores make words.
fn titled(text: &str) -> String {
    let mut previous = ' ';
    let is_separator = |c: char| {
        if c.is_ascii() { !(c.is_ascii_alphanumeric() || c == '_') } else { !c.is_alphanumeric() && c.is_whitespace() }
    };
    let title = |character: char| {
        let starts = is_separator(previous);
        previous = character;
        if starts { upper(character) } else { character }
    };
    text.chars().map(title).collect()
}

fn untitled(text: &str) -> String {
    let mut starts = true;
    let untitle = |character: char| {
        if character.is_whitespace() {
            starts = true;
            return character;
        }
        if std::mem::take(&mut starts) { lower(character) } else { character }
    };
    text.chars().map(untitle).collect()
}

fn is_connector(character: char) -> bool {
    character == '-' || character == '_' || character.is_whitespace()
}

/// `ToPascalCase`: connectors vanish, what follows them is upper case. Connectors at the start stay.
fn pascal(text: &str) -> String {
    let mut out: String = text.chars().take_while(|c| is_connector(*c)).collect();
    let mut rest = text[out.len()..].chars();
    let Some(first) = rest.next() else { return out };
    let mut after_upper = first.is_uppercase();
    let mut previous = upper(first);
    for next in rest {
        let mut current = next;
        match (is_connector(previous), is_connector(next)) {
            (true, true) => out.push(previous),
            (true, false) => {
                after_upper = next.is_uppercase();
                current = upper(next);
            }
            (false, _) => {
                if after_upper && next.is_uppercase() {
                    current = lower(next);
                } else {
                    after_upper = false;
                }
                out.push(previous);
            }
        }
        previous = current;
    }
    out.push(previous);
    out
}

/// What a run of characters is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    None,
    Number,
    Upper,
    Letters,
    Connector,
    Punctuation,
    Other,
}

#[expect(clippy::unwrap_used, reason = "the pattern is a constant")]
static PUNCTUATION: LazyLock<regex::Regex> = LazyLock::new(|| regex::Regex::new(r"^\p{P}$").unwrap());

fn is_punctuation(character: char) -> bool {
    match character {
        '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => false,
        _ if character.is_ascii() => character.is_ascii_punctuation(),
        _ => PUNCTUATION.is_match(character.encode_utf8(&mut [0; 4])),
    }
}

/// Letters of scripts that have words between spaces.
fn is_letter(character: char) -> bool {
    let is_ideograph =
        matches!(character, '\u{4e00}'..='\u{9fcc}' | '\u{3400}'..='\u{4d85}' | '\u{20000}'..='\u{2b81d}');
    character.is_alphabetic() && !is_ideograph
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// The next word of a text, and what follows it.
fn next_word(text: &str) -> (Word, &str, &str) {
    let Some(first) = text.chars().next() else { return (Word::None, "", "") };
    let is_small = |c: char| is_letter(c) && !c.is_uppercase();
    let (word, length) = if is_connector(first) {
        (Word::Connector, run(text, is_connector))
    } else if is_punctuation(first) {
        (Word::Punctuation, run(text, is_punctuation))
    } else if first.is_uppercase() {
        (Word::Upper, upper_word(text, first))
    } else if is_letter(first) {
        (Word::Letters, run(text, is_small))
    } else if first.is_numeric() {
        (Word::Number, run(text, char::is_numeric))
    } else {
        let is_other = |c: char| !(is_connector(c) || is_letter(c) || c.is_numeric() || is_punctuation(c));
        (Word::Other, run(text, is_other))
    };
    let (taken, rest) = text.split_at(length);
    (word, taken, rest)
}

/// `HTTPStatus` is `HTTP` and `Status`; `Status` is one word.
fn upper_word(text: &str, first: char) -> usize {
    let capitals = run(text, char::is_uppercase);
    let next = text[capitals..].chars().next();
    if capitals == first.len_utf8() {
        return capitals + run(&text[capitals..], |c| is_letter(c) && !c.is_uppercase());
    }
    match next {
        Some(next) if is_letter(next) => text[..capitals].char_indices().next_back().map_or(capitals, |(at, _)| at),
        _ => capitals,
    }
}

/// Words in lower case with a connector between them (`ToSnakeCase`, `ToKebabCase`).
struct Connected<'t> {
    out: String,
    connector: char,
    kind: Word,
    word: &'t str,
    rest: &'t str,
}

fn connected(text: &str, connector: char) -> String {
    let mut words = Connected { out: String::new(), connector, kind: Word::None, word: "", rest: text };
    words.advance();
    while !words.rest.is_empty() {
        words.step();
    }
    words.push(words.kind, words.word);
    words.out
}

impl<'t> Connected<'t> {
    fn advance(&mut self) {
        (self.kind, self.word, self.rest) = next_word(self.rest);
    }

    fn push(&mut self, kind: Word, word: &str) {
        if !matches!(kind, Word::Upper | Word::Connector) {
            self.out.push_str(word);
            return;
        }
        let connector = self.connector;
        self.out.extend(word.chars().map(|c| if is_connector(c) { connector } else { lower(c) }));
    }

    fn step(&mut self) {
        if self.kind != Word::Connector {
            self.push(self.kind, self.word);
        }
        let (previous, last) = (self.kind, self.word);
        self.advance();
        match previous {
            Word::Number => {
                self.swallow();
                self.connect_unless(&[Word::None, Word::Punctuation, Word::Connector]);
            }
            Word::Connector => self.push(previous, last),
            Word::Punctuation => {}
            _ if self.kind != Word::Number => self.connect_unless(&[Word::Connector, Word::Punctuation]),
            _ if self.rest.is_empty() => {}
            _ => self.number(),
        }
    }

    fn connect_unless(&mut self, kinds: &[Word]) {
        if !kinds.contains(&self.kind) {
            self.out.push(self.connector);
        }
    }

    fn swallow(&mut self) {
        while matches!(self.kind, Word::Letters | Word::Number) {
            self.push(self.kind, self.word);
            self.advance();
        }
    }

    /// A number belongs to the word before it, unless small letters follow: `bld4_floor`, but `http_2xx`.
    fn number(&mut self) {
        let number: &'t str = self.word;
        self.advance();
        if self.kind != Word::Letters {
            self.push(Word::Number, number);
            return self.connect_unless(&[Word::Connector, Word::Punctuation]);
        }
        self.out.push(self.connector);
        self.push(Word::Number, number);
        self.swallow();
        self.connect_unless(&[Word::None, Word::Connector, Word::Punctuation]);
    }
}
