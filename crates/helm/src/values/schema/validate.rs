//! Schemas against values, keyword by keyword, in the order in which Helm's library looks at them.

use std::collections::HashMap;

use gotemplate::go::regex::Regex;
use serde_json::{Map, Value};

use super::message::{Kind, Violation, all_quoted, count, number, quoted, shown, type_name};
use super::reference::resolve;

/// How deep schemas may lead into one another.
const MAX_DEPTH: usize = 150;
/// How many schemas may be looked at in all.
const MAX_STEPS: usize = 2_000_000;

/// Checks a value; `None` when it fits.
///
/// # Errors
/// When the schema itself is wrong.
pub(super) fn validate(schema: &Value, value: &Value) -> Result<Option<Violation>, String> {
    let mut validator =
        Validator { root: schema, draft: draft(schema), at: Vec::new(), depth: 0, steps: 0, patterns: HashMap::new() };
    validator.check(schema, value).map(Result::err)
}

/// The draft by year or number, as Helm's library counts: 4, 6, 7, 2019, 2020.
fn draft(schema: &Value) -> u32 {
    let name = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
    [("draft-04", 4), ("draft-06", 6), ("draft-07", 7), ("2019-09", 2019)]
        .iter()
        .find(|(part, _)| name.contains(part))
        .map_or(2020, |(_, draft)| *draft)
}

/// Which parts of a value a schema has looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) properties: Vec<String>,
    /// Items from the first one on; all when it is as large as the list.
    pub(super) items: usize,
}

impl Seen {
    pub(super) fn add(&mut self, other: Seen) {
        self.properties.extend(other.properties);
        self.items = self.items.max(other.items);
    }
}

/// Whether a value fits, and what was looked at; outside of it, what is wrong with the schema.
pub(super) type Checked = Result<Result<Seen, Violation>, String>;

pub(super) struct Validator<'s> {
    root: &'s Value,
    pub(super) draft: u32,
    at: Vec<String>,
    depth: usize,
    steps: usize,
    patterns: HashMap<&'s str, Regex>,
}

/// What one schema found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) violations: Vec<Violation>,
    pub(super) seen: Seen,
}

impl Findings {
    /// Takes over what a schema on the same value found.
    pub(super) fn take(&mut self, checked: Result<Seen, Violation>) {
        match checked {
            Ok(seen) => self.seen.add(seen),
            Err(violation) => self.violations.push(violation),
        }
    }

    /// Takes over what a schema on a part of the value found.
    pub(super) fn take_part(&mut self, checked: Result<Seen, Violation>) {
        self.violations.extend(checked.err());
    }
}

pub(super) fn malformed<T>(keyword: &str) -> Result<T, String> {
    Err(format!("the schema is malformed: {keyword} has a wrong value"))
}

impl<'s> Validator<'s> {
    pub(super) fn violation(&self, said: String, causes: Vec<Violation>) -> Violation {
        Violation { at: self.at.clone(), kind: Kind::Said(said), causes }
    }

    pub(super) fn check(&mut self, schema: &'s Value, value: &Value) -> Checked {
        self.steps += 1;
        if self.steps > MAX_STEPS || self.depth >= MAX_DEPTH {
            return Err("the schema leads too far".into());
        }
        self.depth += 1;
        let checked = self.check_here(schema, value);
        self.depth -= 1;
        checked
    }

    /// Checks a part of the value.
    pub(super) fn check_part(&mut self, schema: &'s Value, value: &Value, part: String) -> Checked {
        self.at.push(part);
        let checked = self.check(schema, value);
        self.at.pop();
        checked
    }

    fn check_here(&mut self, schema: &'s Value, value: &Value) -> Checked {
        let schema = match schema {
            Value::Bool(true) => return Ok(Ok(Seen::default())),
            Value::Bool(false) => return Ok(Err(self.violation("false schema".into(), Vec::new()))),
            Value::Object(schema) => schema,
            _ => return malformed("a schema"),
        };
        if let Some(violation) = self.basics(schema, value)? {
            return Ok(Err(violation));
        }
        let mut findings = Findings::default();
        if let Some(reference) = schema.get("$ref") {
            let checked = self.reference(reference, value)?;
            if self.draft < 2019 {
                return Ok(checked);
            }
            findings.take(checked);
        }
        match value {
            Value::Object(map) => self.object(schema, map, &mut findings)?,
            Value::Array(items) => self.array(schema, items, &mut findings)?,
            Value::String(text) => self.text(schema, text, &mut findings)?,
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or(0.0), &mut findings)?,
            _ => {}
        }
        for keyword in ["$recursiveRef", "$dynamicRef"] {
            if let Some(reference) = schema.get(keyword).filter(|_| self.draft >= 2019) {
                let checked = self.reference(reference, value)?;
                findings.take(checked);
            }
        }
        self.combinations(schema, value, &mut findings)?;
        self.unevaluated(schema, value, &mut findings)?;
        Ok(self.conclude(findings))
    }

    fn conclude(&self, mut findings: Findings) -> Result<Seen, Violation> {
        match findings.violations.len() {
            0 => Ok(findings.seen),
            1 => Err(findings.violations.remove(0)),
            _ => Err(Violation { at: self.at.clone(), kind: Kind::Group, causes: findings.violations }),
        }
    }

    /// Type, constant, enumeration, format: the first that fails is all that is told.
    fn basics(&self, schema: &Map<String, Value>, value: &Value) -> Result<Option<Violation>, String> {
        let fail = |said: String| Ok(Some(self.violation(said, Vec::new())));
        if let Some(types) = schema.get("type") {
            let wanted = type_names(types)?;
            let own = type_name(value);
            let is_whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
            if !wanted.iter().any(|wanted| *wanted == own || (*wanted == "integer" && is_whole)) {
                return fail(format!("got {own}, want {}", wanted.join(" or ")));
            }
        }
        if let Some(wanted) = schema.get("const").filter(|wanted| self.draft > 4 && !equal(value, wanted)) {
            let is_simple = !matches!(wanted, Value::Array(_) | Value::Object(_));
            return fail(if is_simple { format!("value must be {}", shown(wanted)) } else { "'const' failed".into() });
        }
        if let Some(wanted) = schema.get("enum") {
            let Some(wanted) = wanted.as_array() else { return malformed("enum") };
            if !wanted.iter().any(|wanted| equal(value, wanted)) {
                return fail(enumeration(wanted));
            }
        }
        if let (Some(Value::String(format)), Value::String(text), true) =
            (schema.get("format"), value, self.draft < 2019)
            && !fits_format(format, text)
        {
            return fail(format!("{} is not valid {format}: invalid format", quoted(text)));
        }
        Ok(None)
    }

    fn reference(&mut self, reference: &'s Value, value: &Value) -> Checked {
        let Some(reference) = reference.as_str() else { return malformed("$ref") };
        let schema = resolve(self.root, reference)?;
        let checked = self.check(schema, value)?;
        Ok(checked.map_err(|violation| {
            let at = violation.at.clone();
            let causes = if violation.kind == Kind::Group { violation.causes } else { vec![violation] };
            Violation { at, kind: Kind::Reference, causes }
        }))
    }

    fn text(&mut self, schema: &'s Map<String, Value>, text: &str, findings: &mut Findings) -> Result<(), String> {
        let length = text.chars().count();
        let mut say = |said: String| findings.violations.push(self.violation(said, Vec::new()));
        if let Some(limit) = size(schema, "minLength")?.filter(|limit| length < *limit) {
            say(format!("minLength: got {}, want {}", count(length), count(limit)));
        }
        if let Some(limit) = size(schema, "maxLength")?.filter(|limit| length > *limit) {
            say(format!("maxLength: got {}, want {}", count(length), count(limit)));
        }
        if let Some(pattern) = schema.get("pattern") {
            let Some(pattern) = pattern.as_str() else { return malformed("pattern") };
            if !self.pattern(pattern)?.is_match(text) {
                let said = format!("{} does not match pattern {}", quoted(text), quoted(pattern));
                findings.violations.push(self.violation(said, Vec::new()));
            }
        }
        Ok(())
    }

    pub(super) fn pattern(&mut self, pattern: &'s str) -> Result<Regex, String> {
        if let Some(known) = self.patterns.get(pattern) {
            return Ok(known.clone());
        }
        let compiled = Regex::new(pattern).map_err(|error| error.to_string())?;
        self.patterns.insert(pattern, compiled.clone());
        Ok(compiled)
    }

    fn number(&self, schema: &Map<String, Value>, value: f64, findings: &mut Findings) -> Result<(), String> {
        let limit = |keyword: &str| match schema.get(keyword) {
            None => Ok(None),
            Some(Value::Bool(_)) if self.draft == 4 => Ok(None),
            Some(limit) => limit.as_f64().map_or_else(|| malformed(keyword), |limit| Ok(Some(limit))),
        };
        // In draft 4 the limit itself is excluded by a flag beside it.
        let excludes = |keyword: &str| self.draft == 4 && schema.get(keyword) == Some(&Value::Bool(true));
        let (low, high) = (limit("minimum")?, limit("maximum")?);
        let (mut above, mut below) = (limit("exclusiveMinimum")?, limit("exclusiveMaximum")?);
        if excludes("exclusiveMinimum") {
            above = low;
        }
        if excludes("exclusiveMaximum") {
            below = high;
        }
        let low = low.filter(|_| !excludes("exclusiveMinimum"));
        let high = high.filter(|_| !excludes("exclusiveMaximum"));
        let rules = [
            ("minimum", low.filter(|limit| value < *limit)),
            ("maximum", high.filter(|limit| value > *limit)),
            ("exclusiveMinimum", above.filter(|limit| value <= *limit)),
            ("exclusiveMaximum", below.filter(|limit| value >= *limit)),
            ("multipleOf", limit("multipleOf")?.filter(|step| *step != 0.0 && !is_multiple(value, *step))),
        ];
        for (keyword, limit) in rules {
            if let Some(limit) = limit {
                let said = format!("{keyword}: got {}, want {}", number(value), number(limit));
                findings.violations.push(self.violation(said, Vec::new()));
            }
        }
        Ok(())
    }

    fn combinations(
        &mut self,
        schema: &'s Map<String, Value>,
        value: &Value,
        findings: &mut Findings,
    ) -> Result<(), String> {
        if let Some(not) = schema.get("not")
            && self.check(not, value)?.is_ok()
        {
            findings.violations.push(self.violation("'not' failed".into(), Vec::new()));
        }
        let all = self.each(schema, "allOf", value)?;
        let failed = self.collect(all, findings);
        if !failed.is_empty() {
            findings.violations.push(self.violation("'allOf' failed".into(), failed));
        }
        let any = self.each(schema, "anyOf", value)?;
        let is_none = !any.is_empty() && any.iter().all(Result::is_err);
        let failed = self.collect(any, findings);
        if is_none {
            findings.violations.push(self.violation("'anyOf' failed".into(), failed));
        }
        self.one_of(schema, value, findings)?;
        if let Some(condition) = schema.get("if").filter(|_| self.draft >= 7) {
            let met = self.check(condition, value)?;
            let branch = if met.is_ok() { "then" } else { "else" };
            findings.seen.add(met.unwrap_or_default());
            if let Some(branch) = schema.get(branch) {
                let checked = self.check(branch, value)?;
                findings.take(checked);
            }
        }
        Ok(())
    }

    /// Checks the value against every schema of a list.
    fn each(
        &mut self,
        schema: &'s Map<String, Value>,
        keyword: &str,
        value: &Value,
    ) -> Result<Vec<Result<Seen, Violation>>, String> {
        match schema.get(keyword) {
            None => Ok(Vec::new()),
            Some(Value::Array(schemas)) => schemas.iter().map(|schema| self.check(schema, value)).collect(),
            Some(_) => malformed(keyword),
        }
    }

    /// The violations; what fitting schemas saw is noted.
    fn collect(&self, checked: Vec<Result<Seen, Violation>>, findings: &mut Findings) -> Vec<Violation> {
        let mut failed = Vec::new();
        for result in checked {
            match result {
                Ok(seen) => findings.seen.add(seen),
                Err(violation) => failed.push(violation),
            }
        }
        failed
    }

    fn one_of(&mut self, schema: &'s Map<String, Value>, value: &Value, findings: &mut Findings) -> Result<(), String> {
        let checked = self.each(schema, "oneOf", value)?;
        if checked.is_empty() {
            return Ok(());
        }
        let fitting: Vec<usize> =
            checked.iter().enumerate().filter(|(_, result)| result.is_ok()).map(|(at, _)| at).collect();
        let failed = self.collect(checked, findings);
        let violation = match fitting[..] {
            [_] => return Ok(()),
            [first, second, ..] => {
                self.violation(format!("'oneOf' failed, subschemas {first}, {second} matched"), Vec::new())
            }
            [] => self.violation("'oneOf' failed, none matched".into(), failed),
        };
        findings.violations.push(violation);
        Ok(())
    }
}

fn type_names(types: &Value) -> Result<Vec<&str>, String> {
    const KNOWN: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];
    let names: Option<Vec<&str>> = match types {
        Value::String(name) => Some(vec![name]),
        Value::Array(names) => names.iter().map(Value::as_str).collect(),
        _ => None,
    };
    names.filter(|names| names.iter().all(|name| KNOWN.contains(name))).map_or_else(|| malformed("type"), Ok)
}

/// A keyword that is a count.
pub(super) fn size(schema: &Map<String, Value>, keyword: &str) -> Result<Option<usize>, String> {
    match schema.get(keyword) {
        None => Ok(None),
        Some(limit) => {
            let whole = limit.as_f64().filter(|limit| limit.fract() == 0.0 && (0.0..1e15).contains(limit));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
            whole.map_or_else(|| malformed(keyword), |limit| Ok(Some(limit as usize)))
        }
    }
}

fn enumeration(wanted: &[Value]) -> String {
    if wanted.iter().any(|wanted| matches!(wanted, Value::Array(_) | Value::Object(_))) {
        return "'enum' failed".into();
    }
    match wanted {
        [one] => format!("value must be {}", shown(one)),
        many => format!("value must be one of {}", many.iter().map(shown).collect::<Vec<_>>().join(", ")),
    }
}

/// Equality of JSON Schema: `1` and `1.0` are one number.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Whether a quotient is whole, up to what floats can tell.
fn is_multiple(value: f64, step: f64) -> bool {
    let quotient = value / step;
    (quotient - quotient.round()).abs() < 1e-9 * quotient.abs().max(1.0)
}

/// The formats that drafts before 2019 insist on, as far as charts use them.
fn fits_format(format: &str, text: &str) -> bool {
    match format {
        "email" => text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty()),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "uri" => gotemplate::go::url::parse(text).is_ok_and(|url| !url.scheme.is_empty()),
        "regex" => Regex::new(text).is_ok(),
        "date" => gotemplate::go::time::parse("2006-01-02", text, &gotemplate::go::time::Zone::Utc).is_ok(),
        "date-time" => {
            let layout = gotemplate::go::time::RFC3339;
            gotemplate::go::time::parse(layout, text, &gotemplate::go::time::Zone::Utc).is_ok()
        }
        _ => true,
    }
}

/// Several texts in quotes, for the messages of objects.
pub(super) fn listed<T: AsRef<str>>(texts: &[T]) -> String {
    all_quoted(texts)
}
