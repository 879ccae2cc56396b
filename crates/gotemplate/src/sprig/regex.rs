//! Regular expressions.

use std::sync::Arc;

use super::strings::string_list;
use super::{Result, give};
use crate::function::Entry;
use crate::go::quote;
use crate::go::regex::{Regex, RegexError, quote_meta};
use crate::{Call, Failure, Value};

pub(super) const TABLE: &[Entry] = &[
    Entry("mustRegexFind", "func(string, string) (string, error)", |c| find(c, returned)),
    Entry("mustRegexFindAll", "func(string, string, int) ([]string, error)", |c| find_all(c, returned)),
    Entry("mustRegexMatch", "func(string, string) (bool, error)", |c| give(compile(c, returned)?.is_match(&c.str(1)))),
    Entry("mustRegexReplaceAll", "func(string, string, string) (string, error)", |c| replace(c, returned)),
    Entry("mustRegexReplaceAllLiteral", "func(string, string, string) (string, error)", |c| {
        give(compile(c, returned)?.replace_all_literal(&c.str(1), &c.str(2)))
    }),
    Entry("mustRegexSplit", "func(string, string, int) ([]string, error)", |c| split(c, returned)),
    Entry("regexFind", "func(string, string) string", |c| find(c, panicked)),
    Entry("regexFindAll", "func(string, string, int) []string", |c| find_all(c, panicked)),
    Entry("regexMatch", "func(string, string) bool", |c| give(c.regex()?.is_ok_and(|regex| regex.is_match(&c.str(1))))),
    Entry("regexQuoteMeta", "func(string) string", |c| give(quote_meta(&c.str(0)))),
    Entry("regexReplaceAll", "func(string, string, string) string", |c| replace(c, panicked)),
    Entry("regexReplaceAllLiteral", "func(string, string, string) string", |c| {
        give(compile(c, panicked)?.replace_all_literal(&c.str(1), &c.str(2)))
    }),
    Entry("regexSplit", "func(string, string, int) []string", |c| split(c, panicked)),
];

/// How a function tells that its expression is none.
type Tell = fn(&str, RegexError) -> Failure;

/// By an error.
fn returned(_: &str, error: RegexError) -> Failure {
    error.to_string().into()
}

/// By a panic, as `regexp.MustCompile`.
fn panicked(expression: &str, error: RegexError) -> Failure {
    let shown = if quote::can_backquote(expression.as_bytes()) {
        format!("`{expression}`")
    } else {
        quote::quote(expression.as_bytes())
    };
    format!("regexp: Compile({shown}): {error}").into()
}

fn compile(c: &mut Call<'_, '_, '_>, tell: Tell) -> std::result::Result<Arc<Regex>, Failure> {
    c.regex()?.map_err(|error| tell(&c.str(0), error))
}

fn find(c: &mut Call<'_, '_, '_>, tell: Tell) -> Result {
    give(compile(c, tell)?.find(&c.str(1)).unwrap_or_default())
}

fn find_all(c: &mut Call<'_, '_, '_>, tell: Tell) -> Result {
    let regex = compile(c, tell)?;
    let text = c.str(1);
    let found = regex.find_all(&text, c.int(2));
    let found: Vec<_> = found.into_iter().map(|(start, end)| (&text[start..end]).into()).collect();
    Ok(string_list((!found.is_empty()).then_some(found)))
}

fn replace(c: &mut Call<'_, '_, '_>, tell: Tell) -> Result {
    give(compile(c, tell)?.replace_all(&c.str(1), &c.str(2)))
}

fn split(c: &mut Call<'_, '_, '_>, tell: Tell) -> Result {
    let regex = compile(c, tell)?;
    let text = c.str(1);
    let parts = regex.split(&text, c.int(2));
    Ok::<Value, Failure>(string_list(parts.map(|parts| parts.into_iter().map(Into::into).collect())))
}
