//! Which objects a `target` means: regular expressions over the identity, and Kubernetes' label selectors.

use regexp::{Regex, RegexError};
use yaml::Node;

use crate::error::Problem;
use crate::id::{Gvk, Id};
use crate::kustomization::Selector;

/// A part of an identity that is asked for.
enum Pattern {
    /// Anything.
    Any,
    /// One text; most patterns are one, and comparing is cheaper than a regular expression.
    Exactly(String),
    /// A regular expression for the whole text.
    Matching(Regex),
}

impl Pattern {
    fn new(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Ok(Pattern::Any);
        }
        if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || byte == b'/') {
            return Ok(Pattern::Exactly(text.into()));
        }
        Regex::new(&format!("^(?:{text})$")).map(Pattern::Matching).map_err(bad_expression)
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Exactly(wanted) => wanted == text,
            Pattern::Matching(expression) => expression.is_match(text),
        }
    }
}

/// The error for a text that is no regular expression.
pub(crate) fn bad_expression(error: RegexError) -> Problem {
    Problem::BadSelector { reason: error.to_string() }
}

/// A selector, ready to match.
pub(crate) struct Matcher {
    group: Pattern,
    version: Pattern,
    kind: Pattern,
    name: Pattern,
    namespace: Pattern,
    labels: Requirements,
    annotations: Requirements,
    /// Whether the identity is asked about at all.
    asks_for_identity: bool,
    /// Whether labels or annotations are asked about.
    pub(crate) asks_for_metadata: bool,
}

impl Matcher {
    /// Reads a selector.
    pub(crate) fn new(selector: &Selector) -> Result<Self, Problem> {
        let Selector { group, version, kind, name, namespace, .. } = selector;
        Ok(Self {
            group: Pattern::new(group)?,
            version: Pattern::new(version)?,
            kind: Pattern::new(kind)?,
            name: Pattern::new(name)?,
            namespace: Pattern::new(namespace)?,
            labels: Requirements::read(&selector.label_selector)?,
            annotations: Requirements::read(&selector.annotation_selector)?,
            asks_for_identity: [group, version, kind, name, namespace].iter().any(|part| !part.is_empty()),
            asks_for_metadata: !selector.label_selector.is_empty() || !selector.annotation_selector.is_empty(),
        })
    }

    /// Whether an object is meant that was once `original` and is now `current`.
    pub(crate) fn selects(&self, original: &Id, current: &Id, object: &Node) -> bool {
        let namespaces = [original.effective_namespace(), current.effective_namespace()];
        namespaces.iter().any(|namespace| self.namespace.matches(namespace))
            && (self.name.matches(&original.name) || self.name.matches(&current.name))
            && self.matches_kind(&current.gvk)
            && self.matches_metadata(object)
    }

    /// Whether one of an object's identities is meant, its namespace taken as it is said.
    pub(crate) fn matches_id(&self, id: &Id) -> bool {
        self.matches_kind(&id.gvk) && self.name.matches(&id.name) && self.namespace.matches(&id.namespace)
    }

    /// As [`Matcher::matches_id`], unless nothing is asked about the identity.
    pub(crate) fn rejects_id(&self, id: &Id) -> bool {
        self.asks_for_identity && self.matches_id(id)
    }

    fn matches_kind(&self, gvk: &Gvk) -> bool {
        self.group.matches(&gvk.group) && self.version.matches(&gvk.version) && self.kind.matches(&gvk.kind)
    }

    /// Whether an object's labels and annotations are as asked for.
    pub(crate) fn matches_metadata(&self, object: &Node) -> bool {
        let metadata = object.get("metadata");
        self.labels.match_map(metadata.and_then(|map| map.get("labels")))
            && self.annotations.match_map(metadata.and_then(|map| map.get("annotations")))
    }
}

/// What a label selector asks for; all of it must hold.
struct Requirements(Vec<Requirement>);

struct Requirement {
    key: String,
    condition: Condition,
}

enum Condition {
    Exists,
    Missing,
    OneOf(Vec<String>),
    NoneOf(Vec<String>),
    Above(i64),
    Below(i64),
}

impl Requirements {
    fn match_map(&self, map: Option<&Node>) -> bool {
        self.0.iter().all(|requirement| {
            let value = map.and_then(|map| map.get(&requirement.key)).map(|value| value.value.as_str());
            requirement.condition.holds(value)
        })
    }

    fn read(text: &str) -> Result<Self, Problem> {
        let mut parser = Parser { tokens: tokens(text), position: 0 };
        parser.requirements().map(Self).map_err(|reason| Problem::BadSelector { reason })
    }
}

impl Condition {
    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match (self, value) {
            (Condition::Exists, value) => value.is_some(),
            (Condition::Missing, value) => value.is_none(),
            (Condition::OneOf(values), Some(value)) => values.iter().any(|wanted| wanted == value),
            (Condition::NoneOf(values), Some(value)) => values.iter().all(|unwanted| unwanted != value),
            (Condition::OneOf(_), None) => false,
            (Condition::NoneOf(_), None) => true,
            (Condition::Above(bound), _) => number().is_some_and(|number| number > *bound),
            (Condition::Below(bound), _) => number().is_some_and(|number| number < *bound),
        }
    }
}

const SYMBOLS: [char; 7] = ['=', '!', '(', ')', ',', '>', '<'];

/// The words and operators of a selector.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', '\r', '\n']);
    while let Some(first) = rest.chars().next() {
        let length = if SYMBOLS.contains(&first) {
            if ["==", "!="].iter().any(|operator| rest.starts_with(operator)) { 2 } else { 1 }
        } else {
            rest.find(|c| SYMBOLS.contains(&c) || [' ', '\t', '\r', '\n'].contains(&c)).unwrap_or(rest.len())
        };
        let (token, behind) = rest.split_at(length);
        tokens.push(token.to_owned());
        rest = behind.trim_start_matches([' ', '\t', '\r', '\n']);
    }
    tokens
}

struct Parser {
    tokens: Vec<String>,
    position: usize,
}

fn is_word(token: &str) -> bool {
    !token.is_empty() && !token.starts_with(SYMBOLS)
}

impl Parser {
    fn peek(&self) -> &str {
        self.tokens.get(self.position).map(String::as_str).unwrap_or_default()
    }

    fn next(&mut self) -> String {
        let token = self.peek().to_owned();
        self.position += 1;
        token
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        while !self.peek().is_empty() {
            if !is_word(self.peek()) && self.peek() != "!" {
                return Err(format!("found '{}', expected: !, identifier, or 'end of string'", self.peek()));
            }
            requirements.push(self.requirement().map_err(|reason| format!("unable to parse requirement: {reason}"))?);
            match self.next().as_str() {
                "" => break,
                "," if is_word(self.peek()) || self.peek() == "!" => {}
                "," => return Err(format!("found '{}', expected: identifier after ','", self.peek())),
                other => return Err(format!("found '{other}', expected: ',' or 'end of string'")),
            }
        }
        Ok(requirements)
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let missing = self.peek() == "!";
        if missing {
            self.position += 1;
        }
        let key = self.next();
        if !is_word(&key) {
            return Err(format!("found '{key}', expected: identifier"));
        }
        check_key(&key)?;
        let condition = match (missing, self.peek()) {
            (true, _) => Condition::Missing,
            (false, "" | ",") => Condition::Exists,
            (false, _) => self.condition()?,
        };
        Ok(Requirement { key, condition })
    }

    fn condition(&mut self) -> Result<Condition, String> {
        let operator = self.next();
        match operator.as_str() {
            "in" => self.values().map(Condition::OneOf),
            "notin" => self.values().map(Condition::NoneOf),
            "=" | "==" => self.value().map(|value| Condition::OneOf(vec![value])),
            "!=" => self.value().map(|value| Condition::NoneOf(vec![value])),
            ">" => self.number().map(Condition::Above),
            "<" => self.number().map(Condition::Below),
            other => Err(format!("found '{other}', expected: '=', '!=', '==', 'in', notin'")),
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        self.value()?.parse().map_err(|_| "for 'Gt', 'Lt' operators, the value must be an integer".into())
    }

    fn value(&mut self) -> Result<String, String> {
        if matches!(self.peek(), "" | ",") {
            return Ok(String::new());
        }
        let value = self.next();
        if !is_word(&value) {
            return Err(format!("found '{value}', expected: identifier"));
        }
        check_value(&value)?;
        Ok(value)
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        let open = self.next();
        if open != "(" {
            return Err(format!("found '{open}' expected: '('"));
        }
        let mut values = Vec::new();
        loop {
            let value = if is_word(self.peek()) { self.next() } else { String::new() };
            check_value(&value)?;
            values.push(value);
            match self.next().as_str() {
                "," => {}
                ")" => return Ok(values),
                other => return Err(format!("found '{other}', expected: ',' or ')'")),
            }
        }
    }
}

/// Kubernetes' rule for the name part of a label key, and for a label's value.
fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= 63 && ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(|byte| inner(*byte))
}

fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let is_domain = |domain: &str| {
        domain.len() <= 253
            && domain
                .split('.')
                .all(|part| is_name(part) && !part.contains(['_', '.']) && !part.contains(char::is_uppercase))
    };
    if is_name(name) && prefix.is_none_or(is_domain) { Ok(()) } else { Err(format!("invalid label key {key:?}")) }
}

fn check_value(value: &str) -> Result<(), String> {
    if value.is_empty() || is_name(value) { Ok(()) } else { Err(format!("invalid label value: {value:?}")) }
}
