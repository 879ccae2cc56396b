//! Label selectors in Kubernetes' text form: `a=b, c!=d, e in (f,g), h notin (i), j, !k`.

use serde_json::Value;

use super::store::find;

/// A parsed selector; the empty one selects everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug)]
struct Term {
    key: String,
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Missing,
}

impl Selector {
    /// `None` when the text is no selector.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let terms = split(text).into_iter().map(str::trim).filter(|term| !term.is_empty());
        Some(Self { terms: terms.map(Term::parse).collect::<Option<_>>()? })
    }

    /// Whether an object's labels fit.
    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = find(object, "/metadata/labels");
        self.terms.iter().all(|term| {
            let found = labels.and_then(|labels| labels.get(&term.key)).and_then(Value::as_str);
            match &term.rule {
                Rule::In(values) => found.is_some_and(|found| values.iter().any(|value| value == found)),
                Rule::NotIn(values) => found.is_none_or(|found| values.iter().all(|value| value != found)),
                Rule::Exists => found.is_some(),
                Rule::Missing => found.is_none(),
            }
        })
    }
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0usize;
    text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

impl Term {
    fn parse(text: &str) -> Option<Self> {
        let term = |key: &str, rule: Rule| {
            let key = key.trim();
            let plain = !key.is_empty() && !key.contains([' ', '(', ')', '=', '!']);
            plain.then(|| Self { key: key.into(), rule })
        };
        if let Some((key, value)) = text.split_once("!=") {
            return term(key, Rule::NotIn(vec![value.trim().into()]));
        }
        if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
            return term(key, Rule::In(vec![value.trim().into()]));
        }
        if let Some((key, values)) = text.split_once(" notin ") {
            return term(key, Rule::NotIn(members(values)?));
        }
        if let Some((key, values)) = text.split_once(" in ") {
            return term(key, Rule::In(members(values)?));
        }
        match text.strip_prefix('!') {
            Some(key) => term(key, Rule::Missing),
            None => term(text, Rule::Exists),
        }
    }
}

fn members(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some(inner.split(',').map(|value| value.trim().to_owned()).collect())
}
