//! The keywords of objects and arrays.

use serde_json::{Map, Value};

use super::message::{count, quoted};
use super::validate::{Findings, Validator, equal, listed, malformed, size};

/// Keywords with a schema or a list of names for each property.
type Named = Map<String, Value>;

impl<'s> Validator<'s> {
    pub(super) fn object(
        &mut self,
        schema: &'s Named,
        map: &Map<String, Value>,
        findings: &mut Findings,
    ) -> Result<(), String> {
        if let Some(limit) = size(schema, "minProperties")?.filter(|limit| map.len() < *limit) {
            self.say(findings, format!("minProperties: got {}, want {}", count(map.len()), count(limit)));
        }
        if let Some(limit) = size(schema, "maxProperties")?.filter(|limit| map.len() > *limit) {
            self.say(findings, format!("maxProperties: got {}, want {}", count(map.len()), count(limit)));
        }
        let missing = missing(schema.get("required"), "required", map)?;
        match missing[..] {
            [] => {}
            [one] => self.say(findings, format!("missing property {}", quoted(one))),
            _ => self.say(findings, format!("missing properties {}", listed(&missing))),
        }
        self.properties(schema, map, findings)?;
        self.property_names(schema, map, findings)?;
        self.dependencies(schema, map, findings)
    }

    fn say(&self, findings: &mut Findings, said: String) {
        findings.violations.push(self.violation(said, Vec::new()));
    }

    fn properties(
        &mut self,
        schema: &'s Named,
        map: &Map<String, Value>,
        findings: &mut Findings,
    ) -> Result<(), String> {
        let known = named(schema, "properties")?;
        let patterns = named(schema, "patternProperties")?;
        let mut refused = Vec::new();
        for (name, value) in map {
            let mut is_seen = false;
            if let Some(schema) = known.and_then(|known| known.get(name)) {
                is_seen = true;
                let checked = self.check_part(schema, value, name.clone())?;
                findings.take_part(checked);
            }
            for (pattern, schema) in patterns.into_iter().flatten() {
                if self.pattern(pattern)?.is_match(name) {
                    is_seen = true;
                    let checked = self.check_part(schema, value, name.clone())?;
                    findings.take_part(checked);
                }
            }
            match schema.get("additionalProperties") {
                None => {}
                Some(_) if is_seen => {}
                Some(Value::Bool(false)) => {
                    refused.push(name.as_str());
                    is_seen = true;
                }
                Some(additional) => {
                    let checked = self.check_part(additional, value, name.clone())?;
                    findings.take_part(checked);
                    is_seen = true;
                }
            }
            if is_seen {
                findings.seen.properties.push(name.clone());
            }
        }
        if !refused.is_empty() {
            self.say(findings, format!("additional properties {} not allowed", listed(&refused)));
        }
        Ok(())
    }

    fn property_names(
        &mut self,
        schema: &'s Named,
        map: &Map<String, Value>,
        findings: &mut Findings,
    ) -> Result<(), String> {
        let Some(names) = schema.get("propertyNames").filter(|_| self.draft > 4) else { return Ok(()) };
        for name in map.keys() {
            if let Err(violation) = self.check(names, &Value::String(name.clone()))? {
                let said = format!("invalid propertyName {}", quoted(name));
                findings.violations.push(self.violation(said, vec![violation]));
            }
        }
        Ok(())
    }

    /// What must be there beside a property.
    fn dependencies(
        &mut self,
        schema: &'s Named,
        map: &Map<String, Value>,
        findings: &mut Findings,
    ) -> Result<(), String> {
        for keyword in ["dependencies", "dependentSchemas", "dependentRequired"] {
            if self.draft < 2019 && keyword != "dependencies" {
                continue;
            }
            for (name, dependency) in named(schema, keyword)?.into_iter().flatten() {
                if !map.contains_key(name) {
                    continue;
                }
                if !dependency.is_array() {
                    let value = Value::Object(map.clone());
                    let checked = self.check(dependency, &value)?;
                    findings.take(checked);
                    continue;
                }
                let missing = missing(Some(dependency), keyword, map)?;
                if !missing.is_empty() {
                    let said = format!("properties {} required, if {} exists", listed(&missing), quoted(name));
                    self.say(findings, said);
                }
            }
        }
        Ok(())
    }

    pub(super) fn array(&mut self, schema: &'s Named, items: &[Value], findings: &mut Findings) -> Result<(), String> {
        if let Some(limit) = size(schema, "minItems")?.filter(|limit| items.len() < *limit) {
            self.say(findings, format!("minItems: got {}, want {}", count(items.len()), count(limit)));
        }
        if let Some(limit) = size(schema, "maxItems")?.filter(|limit| items.len() > *limit) {
            self.say(findings, format!("maxItems: got {}, want {}", count(items.len()), count(limit)));
        }
        if schema.get("uniqueItems") == Some(&Value::Bool(true))
            && let Some((first, second)) = duplicate(items)
        {
            self.say(findings, format!("items at {} and {} are equal", count(first), count(second)));
        }
        self.items(schema, items, findings)?;
        self.contains(schema, items, findings)
    }

    fn items(&mut self, schema: &'s Named, items: &[Value], findings: &mut Findings) -> Result<(), String> {
        let is_new = self.draft >= 2020;
        let (listed_keyword, rest_keyword) =
            if is_new { ("prefixItems", "items") } else { ("items", "additionalItems") };
        let first: &[Value] = match schema.get(listed_keyword) {
            Some(Value::Array(schemas)) => schemas,
            Some(all) if !is_new => return self.all_items(all, items, 0, findings),
            _ => &[],
        };
        for (index, (schema, item)) in first.iter().zip(items).enumerate() {
            let checked = self.check_part(schema, item, index.to_string())?;
            findings.take_part(checked);
        }
        let seen = first.len().min(items.len());
        findings.seen.items = findings.seen.items.max(seen);
        match schema.get(rest_keyword) {
            None => Ok(()),
            // Without a list before it the keyword says nothing in old drafts.
            Some(_) if !is_new && schema.get("items").is_none() => Ok(()),
            Some(Value::Bool(false)) if !is_new => {
                if items.len() > seen {
                    let extra = count(items.len() - seen);
                    self.say(findings, format!("last {extra} additionalItem(s) not allowed"));
                }
                Ok(())
            }
            Some(rest) => self.all_items(rest, items, seen, findings),
        }
    }

    /// Checks the items from `from` on; the library counts them from there.
    fn all_items(
        &mut self,
        schema: &'s Value,
        items: &[Value],
        from: usize,
        findings: &mut Findings,
    ) -> Result<(), String> {
        for (index, item) in items.iter().skip(from).enumerate() {
            let checked = self.check_part(schema, item, index.to_string())?;
            findings.take_part(checked);
        }
        findings.seen.items = items.len();
        Ok(())
    }

    fn contains(&mut self, schema: &'s Named, items: &[Value], findings: &mut Findings) -> Result<(), String> {
        let Some(wanted) = schema.get("contains").filter(|_| self.draft > 4) else { return Ok(()) };
        let (mut matched, mut failed) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            match self.check_part(wanted, item, index.to_string())? {
                Ok(_) => matched.push(index.to_string()),
                Err(violation) => failed.push(violation),
            }
        }
        let places = matched.join(" ");
        match size(schema, "minContains")?.filter(|_| self.draft >= 2019) {
            Some(limit) if matched.len() < limit => {
                let found = match matched.len() {
                    0 => "none matched".into(),
                    some => format!("matched {} items at {places}", count(some)),
                };
                let limit = count(limit);
                let said = format!("min {limit} items required to match contains schema, but {found}");
                findings.violations.push(self.violation(said, failed));
            }
            None if matched.is_empty() => {
                findings.violations.push(self.violation("no items match contains schema".into(), failed));
            }
            _ => {}
        }
        if let Some(limit) = size(schema, "maxContains")?.filter(|limit| self.draft >= 2019 && matched.len() > *limit) {
            let (limit, found) = (count(limit), count(matched.len()));
            self.say(
                findings,
                format!("max {limit} items required to match contains schema, but matched {found} items at {places}"),
            );
        }
        Ok(())
    }

    /// What no other keyword has looked at.
    pub(super) fn unevaluated(
        &mut self,
        schema: &'s Named,
        value: &Value,
        findings: &mut Findings,
    ) -> Result<(), String> {
        if self.draft < 2019 {
            return Ok(());
        }
        if let (Some(rest), Value::Object(map)) = (schema.get("unevaluatedProperties"), value) {
            let names = map.keys().filter(|name| !findings.seen.properties.contains(name));
            for name in names.cloned().collect::<Vec<_>>() {
                let checked = self.check_part(rest, &map[&name], name.clone())?;
                findings.take_part(checked);
                findings.seen.properties.push(name);
            }
        }
        if let (Some(rest), Value::Array(items)) = (schema.get("unevaluatedItems"), value) {
            for (index, item) in items.iter().enumerate().skip(findings.seen.items) {
                let checked = self.check_part(rest, item, index.to_string())?;
                findings.take_part(checked);
            }
            findings.seen.items = items.len();
        }
        Ok(())
    }
}

/// A keyword that is a map.
fn named<'s>(schema: &'s Named, keyword: &str) -> Result<Option<&'s Named>, String> {
    match schema.get(keyword) {
        None => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(_) => malformed(keyword),
    }
}

/// The names of a list that a map does not have.
fn missing<'s>(names: Option<&'s Value>, keyword: &str, map: &Map<String, Value>) -> Result<Vec<&'s str>, String> {
    let names = match names {
        None | Some(Value::Bool(_)) => return Ok(Vec::new()),
        Some(Value::Array(names)) => names,
        Some(_) => return malformed(keyword),
    };
    let texts: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
    let Some(texts) = texts else { return malformed(keyword) };
    Ok(texts.into_iter().filter(|name| !map.contains_key(*name)).collect())
}

/// The first two equal items, as the library finds them.
fn duplicate(items: &[Value]) -> Option<(usize, usize)> {
    (1..items.len()).find_map(|second| {
        let first = (0..second).find(|first| equal(&items[*first], &items[second]))?;
        Some((first, second))
    })
}
