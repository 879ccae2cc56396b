//! Go's expressions into the `regex` crate's.

use crate::RegexError;
use crate::class::{Escape, class, escape, push_literal};

/// The same expression for the other engine, and the names of its groups, which it need not know.
pub(crate) struct Translated {
    pub(crate) pattern: String,
    pub(crate) names: Vec<String>,
}

/// The largest count of a repetition.
const MAX_REPEAT: u32 = 1000;
/// How deep groups may nest. Go stops at 1,000.
const MAX_DEPTH: usize = 200;

pub(crate) fn fail<T>(problem: &'static str, part: &str) -> Result<T, RegexError> {
    Err(RegexError { problem, part: part.to_owned() })
}

/// Translates an expression.
pub(crate) fn translate(expression: &str) -> Result<Translated, RegexError> {
    let mut translator = Translator {
        whole: expression,
        out: String::with_capacity(expression.len() + 16),
        names: vec![String::new()],
        depth: 0,
        last: Last::Nothing,
    };
    let mut rest = expression;
    while let Some(character) = rest.chars().next() {
        rest = translator.step(rest, character)?;
    }
    if translator.depth > 0 {
        return fail("missing closing )", expression);
    }
    Ok(Translated { pattern: translator.out, names: translator.names })
}

/// What a repetition would apply to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Something,
    /// A repetition, by its bytes from the end of the expression.
    Repetition(usize),
}

struct Translator<'e> {
    whole: &'e str,
    out: String,
    names: Vec<String>,
    depth: usize,
    last: Last,
}

impl<'e> Translator<'e> {
    fn step(&mut self, rest: &'e str, character: char) -> Result<&'e str, RegexError> {
        let after = &rest[character.len_utf8()..];
        match character {
            '(' => return self.group(rest),
            ')' if self.depth == 0 => return fail("unexpected )", self.whole),
            ')' => {
                self.depth -= 1;
                self.out.push(')');
                self.last = Last::Something;
            }
            '|' => {
                self.out.push('|');
                self.last = Last::Nothing;
            }
            '^' | '$' | '.' => {
                self.out.push(character);
                self.last = Last::Something;
            }
            '[' => {
                let after = class(rest, &mut self.out)?;
                self.last = Last::Something;
                return Ok(after);
            }
            '*' | '+' | '?' => return self.repetition(rest, after, &character.to_string()),
            '{' => {
                if let Some((count, after)) = count(rest) {
                    check_count(&count, &rest[..rest.len() - after.len()])?;
                    return self.repetition(rest, after, &count);
                }
                self.literal('{');
            }
            '\\' => return self.escaped(rest),
            _ => self.literal(character),
        }
        Ok(after)
    }

    fn literal(&mut self, character: char) {
        push_literal(&mut self.out, character);
        self.last = Last::Something;
    }

    fn repetition(&mut self, rest: &'e str, after: &'e str, count: &str) -> Result<&'e str, RegexError> {
        let is_lazy = after.starts_with('?');
        let after = if is_lazy { &after[1..] } else { after };
        match self.last {
            Last::Nothing => return fail("missing argument to repetition operator", &rest[..rest.len() - after.len()]),
            Last::Repetition(from_end) => {
                let before = &self.whole[self.whole.len() - from_end..];
                return fail("invalid nested repetition operator", &before[..before.len() - after.len()]);
            }
            Last::Something => {}
        }
        self.out.push_str(count);
        self.out.push_str(if is_lazy { "?" } else { "" });
        self.last = Last::Repetition(rest.len());
        Ok(after)
    }

    fn escaped(&mut self, rest: &'e str) -> Result<&'e str, RegexError> {
        self.last = Last::Something;
        let second = rest.chars().nth(1);
        let after = rest.get(2..).unwrap_or_default();
        match second {
            Some('A') => self.out.push_str("\\A"),
            Some('z') => self.out.push_str("\\z"),
            Some('b') => self.out.push_str("(?-u:\\b)"),
            // The ASCII form may match inside of a character, which the engine refuses.
            Some('B') => self.out.push_str("\\B"),
            Some('Q') => {
                let (literal, after) = after.split_once("\\E").unwrap_or((after, ""));
                literal.chars().for_each(|character| push_literal(&mut self.out, character));
                return Ok(after);
            }
            _ => {
                let (what, after) = escape(rest)?;
                match what {
                    Escape::Character(character) => push_literal(&mut self.out, character),
                    Escape::Set(set) => self.out.push_str(&format!("[{set}]")),
                }
                return Ok(after);
            }
        }
        Ok(after)
    }

    fn group(&mut self, rest: &'e str) -> Result<&'e str, RegexError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return fail("expression nests too deeply", self.whole);
        }
        self.last = Last::Nothing;
        if !rest.starts_with("(?") {
            self.names.push(String::new());
            self.out.push('(');
            return Ok(&rest[1..]);
        }
        let named = rest.strip_prefix("(?P<").or_else(|| rest.strip_prefix("(?<"));
        match named {
            Some(inner) => self.named_group(rest, inner),
            None => self.flags(rest),
        }
    }

    fn named_group(&mut self, rest: &'e str, inner: &'e str) -> Result<&'e str, RegexError> {
        let Some((name, after)) = inner.split_once('>') else {
            return fail("invalid named capture", rest);
        };
        let is_good = !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
        if !is_good {
            return fail("invalid named capture", &rest[..rest.len() - after.len()]);
        }
        self.names.push(name.to_owned());
        self.out.push('(');
        Ok(after)
    }

    /// `(?i)` and `(?i:`.
    fn flags(&mut self, rest: &'e str) -> Result<&'e str, RegexError> {
        let inner = &rest[2..];
        let length = inner.find(|c| !matches!(c, 'i' | 'm' | 's' | 'U' | '-')).unwrap_or(inner.len());
        let (flags, after) = inner.split_at(length);
        let Some(end) = after.chars().next() else { return fail("missing closing )", self.whole) };
        let after = &after[end.len_utf8()..];
        let shown = &rest[..rest.len() - after.len()];
        let is_bad = !matches!(end, ')' | ':') || flags.matches('-').count() > 1 || flags.ends_with('-');
        if is_bad || (flags.is_empty() && end == ')') {
            return fail("invalid or unsupported Perl syntax", shown);
        }
        if end == ')' {
            self.depth -= 1;
        }
        self.out.push_str(shown);
        Ok(after)
    }
}

/// `{2}`, `{2,}`, `{2,3}` in the target's words, and what follows; `None` when it is no count but text.
fn count(text: &str) -> Option<(String, &str)> {
    let end = text[1..].find(|character: char| !character.is_ascii_digit() && character != ',')? + 1;
    let (inner, rest) = (&text[1..end], text[end..].strip_prefix('}')?);
    let (low, high) = inner.split_once(',').map_or((inner, None), |(low, high)| (low, Some(high)));
    let is_number = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
    };
    if !is_number(low) || !high.is_none_or(|high| high.is_empty() || is_number(high)) {
        return None;
    }
    Some((format!("{{{inner}}}"), rest))
}

fn check_count(count: &str, shown: &str) -> Result<(), RegexError> {
    let numbers: Vec<u32> = count
        .trim_matches(['{', '}'])
        .split(',')
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().unwrap_or(u32::MAX))
        .collect();
    let is_ordered = numbers.windows(2).all(|pair| pair[0] <= pair[1]);
    if is_ordered && numbers.iter().all(|number| *number <= MAX_REPEAT) {
        return Ok(());
    }
    fail("invalid repeat count", shown)
}
