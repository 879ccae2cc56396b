//! Values against the charts' schemas: JSON Schema, drafts 4 to 2020-12, with the words that Helm uses.
//!
//! # Guarantees
//! Every violation is told, chart by chart. References that lead back to themselves, and schemas that explode, end at a
//! limit. No file of this machine is read.
//!
//! # Caveats
//! - No schema is fetched: whoever writes a chart would have the agent send requests from within its network, and a
//!   render would depend on what no digest tells. What such a reference would check is not checked, as Helm itself
//!   passes over `urn:`; to refuse it instead would refuse each release of charts whose schema is nothing but a link, as
//!   those of bjw-s, values that are right included.
//! - A malformed schema is refused by its first malformed keyword, in our words; Helm lists what its metaschema says.

mod message;
mod object;
mod reference;
mod validate;

use serde_json::Value;

use super::Values;
use crate::Chart;

/// The violations of all charts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// Charts whose values do not fit, parents first.
    pub charts: Vec<ChartViolations>,
}

/// The violations of one chart's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartViolations {
    /// Name of the chart.
    pub chart: String,
    /// Helm's lines; further levels are indented.
    pub lines: Vec<String>,
}

impl std::fmt::Display for SchemaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let charts = self.charts.iter().map(|chart| format!("{}:\n{}", chart.chart, chart.lines.join("\n")));
        f.write_str(&charts.collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for SchemaError {}

/// Checks values against the schemas of a chart and its dependencies.
///
/// # Errors
/// All violations.
pub fn check(chart: &Chart, values: &Values) -> Result<(), SchemaError> {
    let mut charts = Vec::new();
    check_chart(chart, values, &mut charts);
    if charts.is_empty() { Ok(()) } else { Err(SchemaError { charts }) }
}

fn check_chart(chart: &Chart, values: &Values, charts: &mut Vec<ChartViolations>) {
    if let Some(schema) = &chart.schema
        && let Err(lines) = check_one(values, schema)
    {
        charts.push(ChartViolations { chart: chart.name().to_owned(), lines });
    }
    for dependency in &chart.dependencies {
        match values.get(dependency.name()) {
            None | Some(Value::Null) => {}
            Some(Value::Object(own)) => check_chart(dependency, own, charts),
            Some(other) => {
                let found = gotemplate::Value::from_json_integers(other).go_type();
                let line = format!("invalid type for values: expected object (map), got {found}");
                charts.push(ChartViolations { chart: dependency.name().to_owned(), lines: vec![line] });
            }
        }
    }
}

/// Checks values against one schema.
///
/// # Errors
/// All violations, in Helm's lines.
pub fn check_one(values: &Values, schema: &[u8]) -> Result<(), Vec<String>> {
    let schema = read(schema).map_err(|problem| vec![problem])?;
    let values = Value::Object(values.clone());
    match validate::validate(&schema, &values) {
        Ok(None) => Ok(()),
        Ok(Some(violation)) => Err(violation.lines()),
        Err(problem) => Err(vec![problem]),
    }
}

/// A schema as JSON; Helm reads it as a stream, whose end has another name.
fn read(schema: &[u8]) -> Result<Value, String> {
    if schema.iter().all(u8::is_ascii_whitespace) {
        return Err("EOF".into());
    }
    serde_json::from_slice(schema).map_err(|_| {
        let problem = gotemplate::go::json::parse(schema).err().unwrap_or_default();
        problem.replace("unexpected end of JSON input", "unexpected EOF")
    })
}
