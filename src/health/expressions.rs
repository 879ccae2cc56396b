//! `healthCheckExprs`: whoever declares custom resources says in CEL when they are healthy (fluxcd/pkg/runtime/cel 0.110).

use std::collections::BTreeMap;
use std::sync::Arc;

use manifest::{Gvk, Object};
use serde_json::Map;

use super::{Health, Judge};
use crate::api::reference::HealthExpression;
use crate::expression::{Expression, ExpressionError};

/// A group and a kind; without a kind, all of the group.
type GroupKind = (String, Option<String>);

/// What decides about the objects of one kind.
struct Evaluator {
    in_progress: Option<Expression>,
    failed: Option<Expression>,
    current: Expression,
}

/// The judge that these checks make; `None` without any. A Job is judged by its own rules, as in Flux.
///
/// # Errors
/// When an expression is wrong, or two are for one kind; in Flux's words.
pub fn judge(checks: &[HealthExpression]) -> Result<Option<Judge>, String> {
    let mut evaluators: BTreeMap<GroupKind, Evaluator> = BTreeMap::new();
    for (index, check) in checks.iter().enumerate() {
        let kind = check.kind.clone().filter(|kind| !kind.is_empty());
        let at = (Gvk::new(&check.api_version, kind.as_deref().unwrap_or_default()).group, kind);
        if evaluators.contains_key(&at) {
            let shown = shown(&at);
            return Err(format!("duplicate custom health check for GroupKind {shown} at healthchecks[{index}]"));
        }
        let evaluator = Evaluator::new(check)
            .map_err(|cause| format!("failed to create custom status evaluator for healthchecks[{index}]: {cause}"))?;
        evaluators.insert(at, evaluator);
    }
    if evaluators.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(move |object: &Object| {
        let Gvk { group, kind, .. } = object.gvk();
        if (group.as_str(), kind.as_str()) == ("batch", "Job") {
            return None;
        }
        let evaluator = evaluators.get(&(group.clone(), Some(kind))).or_else(|| evaluators.get(&(group, None)))?;
        Some(evaluator.judge(object).unwrap_or_else(|error| Health::Unknown { message: error.to_string() }))
    })))
}

/// As Go shows a `GroupKind`.
fn shown((group, kind): &GroupKind) -> String {
    let kind = kind.as_deref().unwrap_or_default();
    if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") }
}

impl Evaluator {
    fn new(check: &HealthExpression) -> Result<Self, String> {
        if check.current.is_empty() {
            return Err("expression Current not specified".into());
        }
        let parse = |name: &str, text: &str| {
            Expression::parse(text).map_err(|error| format!("failed to parse the expression {name}: {error}"))
        };
        let optional = |name: &str, text: &Option<String>| {
            text.as_deref().filter(|text| !text.is_empty()).map(|text| parse(name, text)).transpose()
        };
        let current = parse("Current", &check.current)?;
        let failed = optional("Failed", &check.failed)?;
        Ok(Self { current, failed, in_progress: optional("InProgress", &check.in_progress)? })
    }

    /// A status of an earlier generation says nothing; then the first that holds decides, and until then work goes on.
    fn judge(&self, object: &Object) -> Result<Health, ExpressionError> {
        let number = |pointer: &str| object.value().pointer(pointer).and_then(serde_json::Value::as_i64);
        if let (Some(observed), Some(generation)) =
            (number("/status/observedGeneration"), number("/metadata/generation"))
            && observed != generation
        {
            let message = format!("generation is {generation}, but latest observed generation is {observed}");
            return Ok(Health::InProgress { message });
        }
        let none = Map::new();
        let fields = object.value().as_object().unwrap_or(&none);
        let holds =
            |expression: &Option<Expression>| expression.as_ref().map_or(Ok(false), |found| found.holds(fields));
        if holds(&self.in_progress)? {
            return Ok(Health::InProgress { message: "its health check says so".into() });
        }
        if holds(&self.failed)? {
            return Ok(Health::Failed { message: "its health check says so".into() });
        }
        if self.current.holds(fields)? {
            return Ok(Health::Current { message: "its health check says so".into() });
        }
        Ok(Health::InProgress { message: "its health check does not say that it is current".into() })
    }
}
