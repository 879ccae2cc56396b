//! Which dependencies are on, and what a chart takes from their values.

use gotemplate::go::semver::{Constraint, Version};
use serde_json::{Value, json};

use super::{Chart, Dependency};
use crate::values::{self, TypeMismatch, Values, lookup, table};

impl Chart {
    /// The chart as it is for these values: dependencies that are off are gone, aliased ones have their names, imported
    /// values lie below the chart's own (Helm's `ProcessDependencies`).
    ///
    /// # Errors
    /// When something else than a map stands under the name of a dependency.
    pub fn with_dependencies(&self, values: &Values) -> Result<Chart, TypeMismatch> {
        let mut chart = self.clone();
        chart.enable(values, "")?;
        chart.import()?;
        Ok(chart)
    }

    fn enable(&mut self, values: &Values, path: &str) -> Result<(), TypeMismatch> {
        let Some(mut declared) = self.metadata.dependencies.take() else { return Ok(()) };
        self.dependencies = resolved(std::mem::take(&mut self.dependencies), &declared);
        for dependency in &mut declared {
            if !dependency.alias.is_empty() {
                dependency.name.clone_from(&dependency.alias);
            }
            dependency.enabled = true;
        }
        let values = values::coalesce(self, values.clone())?;
        by_tags(&mut declared, &values);
        by_conditions(&mut declared, &values, path);
        let is_off = |name: &str| declared.iter().any(|dependency| !dependency.enabled && dependency.name == name);
        self.dependencies.retain(|chart| !is_off(chart.name()));
        let kept: Vec<Dependency> = declared.iter().filter(|dependency| !is_off(&dependency.name)).cloned().collect();
        for chart in &mut self.dependencies {
            let path = format!("{path}{}.", chart.name());
            chart.enable(&values, &path)?;
        }
        self.metadata.dependencies = (!kept.is_empty()).then_some(kept);
        Ok(())
    }

    fn import(&mut self) -> Result<(), TypeMismatch> {
        for dependency in &mut self.dependencies {
            dependency.import()?;
        }
        let Some(mut declared) = self.metadata.dependencies.take() else { return Ok(()) };
        let values = values::merge(self, Values::new())?;
        let mut imported = Values::new();
        for dependency in &mut declared {
            let mut normalized = Vec::new();
            for import in &dependency.import_values {
                let Some((child, parent)) = paths(import) else { continue };
                normalized.push(json!({"child": child, "parent": parent}));
                if let Some(found) = table(&values, &format!("{}.{child}", dependency.name)) {
                    imported = values::merge_tables(imported, nested(&parent, found.clone()));
                }
            }
            dependency.import_values = normalized;
        }
        self.values = values::merge_tables(values, imported);
        self.metadata.dependencies = Some(declared);
        Ok(())
    }
}

/// The charts that are there without being declared, then the declared ones in order, under their aliases.
fn resolved(charts: Vec<Chart>, declared: &[Dependency]) -> Vec<Chart> {
    let fits = |chart: &Chart, dependency: &Dependency| {
        chart.name() == dependency.name && is_compatible(&dependency.version, &chart.metadata.version)
    };
    let undeclared = charts.iter().filter(|chart| !declared.iter().any(|dependency| fits(chart, dependency)));
    let mut resolved: Vec<Chart> = undeclared.cloned().collect();
    for dependency in declared {
        let Some(chart) = charts.iter().find(|chart| fits(chart, dependency)) else { continue };
        let mut chart = chart.clone();
        if !dependency.alias.is_empty() {
            chart.metadata.name.clone_from(&dependency.alias);
        }
        resolved.push(chart);
    }
    resolved
}

/// Whether a version fits a constraint; neither fits when one of them is none.
pub(crate) fn is_compatible(constraint: &str, version: &str) -> bool {
    match (Constraint::parse(constraint), Version::parse(version)) {
        (Ok(constraint), Ok(version)) => constraint.matches(&version),
        _ => false,
    }
}

fn by_tags(declared: &mut [Dependency], values: &Values) {
    let Some(tags) = table(values, "tags") else { return };
    for dependency in declared {
        let said = |wanted: bool| dependency.tags.iter().any(|tag| tags.get(tag) == Some(&Value::Bool(wanted)));
        dependency.enabled = said(true) || !said(false);
    }
}

fn by_conditions(declared: &mut [Dependency], values: &Values, path: &str) {
    for dependency in declared {
        let conditions = dependency.condition.trim().split(',').filter(|condition| !condition.is_empty());
        let mut said = conditions.filter_map(|condition| lookup(values, &format!("{path}{condition}"))?.as_bool());
        if let Some(enabled) = said.next() {
            dependency.enabled = enabled;
        }
    }
}

/// Where an import takes values from, and where it puts them.
fn paths(import: &Value) -> Option<(String, String)> {
    match import {
        Value::String(name) => Some((format!("exports.{name}"), ".".into())),
        Value::Object(map) => {
            let part = |key: &str| {
                let value = [map.get(key).map(gotemplate::Value::from_json).unwrap_or_default()];
                String::from_utf8_lossy(&gotemplate::go::fmt::sprintf(b"%v", &value)).into_owned()
            };
            Some((part("child"), part("parent")))
        }
        _ => None,
    }
}

/// Values under a dotted path.
fn nested(path: &str, values: Values) -> Values {
    if path == "." {
        return values;
    }
    path.rsplit('.').fold(values, |inner, name| Values::from_iter([(name.to_owned(), Value::Object(inner))]))
}
