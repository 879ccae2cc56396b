//! What the executions of one job share: limits, the world, and what is known of them afterwards.

use std::collections::HashMap;
use std::sync::Arc;

use crate::go::regex::{Regex, RegexError};
use crate::limits::MAX_TEXT;
use crate::value::Map;
use crate::{Environment, Error, Limits, Value};

/// How much of a value is walked in one step, in bytes.
const WEIGHT_OF_A_STEP: u64 = 256;
/// What compiling an expression costs: a small one may be worth many milliseconds.
const STEPS_OF_AN_EXPRESSION: u64 = 50_000;
/// Compiled expressions that are kept; each may take some megabytes.
const MAX_EXPRESSIONS: usize = 100;

/// A job of one or more executions, such as the templates of one chart, that share values and limits.
///
/// A map that a template made contain itself could never be freed: when the session ends, every map that got a
/// container into it is emptied. What is needed of the values must be taken before.
pub struct Session<'s> {
    environment: &'s dyn Environment,
    left: Limits,
    depth: u32,
    random: Vec<&'static str>,
    changed: Vec<Map>,
    expressions: HashMap<String, Arc<Regex>>,
}

impl<'s> Session<'s> {
    /// A new job.
    pub fn new(environment: &'s dyn Environment, limits: Limits) -> Self {
        Self {
            environment,
            left: limits,
            depth: 0,
            random: Vec::new(),
            changed: Vec::new(),
            expressions: HashMap::new(),
        }
    }

    /// Functions that were called whose result differs from run to run, in the order of their first call.
    pub fn random(&self) -> &[&'static str] {
        &self.random
    }

    /// The world, for a function that is noted as random.
    pub(crate) fn environment(&mut self, function: &'static str) -> &'s dyn Environment {
        if !self.random.contains(&function) {
            self.random.push(function);
        }
        self.environment
    }

    /// Compiles an expression, or finds it compiled: charts use a few expressions many times. Pays for a search in a
    /// text of that length. One is shared, for a copy of it would begin without what the others learned of texts.
    pub(crate) fn regex(&mut self, expression: &str, length: usize) -> Result<Result<Arc<Regex>, RegexError>, Error> {
        if let Some(known) = self.expressions.get(expression).cloned() {
            self.spend_steps(known.steps(length))?;
            return Ok(Ok(known));
        }
        self.spend_steps(STEPS_OF_AN_EXPRESSION)?;
        let compiled = Regex::new(expression).map(Arc::new);
        if let Ok(compiled) = &compiled {
            if self.expressions.len() >= MAX_EXPRESSIONS {
                self.expressions.clear();
            }
            self.expressions.insert(expression.to_owned(), Arc::clone(compiled));
            self.spend_steps(compiled.steps(length))?;
        }
        Ok(compiled)
    }

    /// Pays for steps.
    pub(crate) fn spend_steps(&mut self, steps: u64) -> Result<(), Error> {
        spend(&mut self.left.steps, steps, "step")
    }

    /// Pays for a text.
    pub(crate) fn spend_text(&mut self, text: &[u8]) -> Result<(), Error> {
        if text.len() > MAX_TEXT {
            return Err(Error::Limit { limit: "size" });
        }
        self.spend_bytes(text.len() as u64)
    }

    /// Pays for bytes.
    pub(crate) fn spend_bytes(&mut self, bytes: u64) -> Result<(), Error> {
        spend(&mut self.left.bytes, bytes, "size")
    }

    /// Pays for a walk over all that a value holds, before it is made.
    pub(crate) fn spend_walk(&mut self, value: &Value) -> Result<(), Error> {
        let weight = value.weight(self.left.bytes);
        if weight > self.left.bytes {
            return Err(Error::Limit { limit: "size" });
        }
        self.spend_steps(weight / WEIGHT_OF_A_STEP)
    }

    /// One template within another.
    pub(crate) fn enter(&mut self) -> Result<(), Error> {
        if self.depth >= self.left.depth {
            return Err(Error::Limit { limit: "depth" });
        }
        self.depth += 1;
        Ok(())
    }

    /// The end of what [`Session::enter`] began.
    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Notes that a container was put into a map.
    pub(crate) fn note_changed(&mut self, map: Map) {
        if !self.changed.last().is_some_and(|last| last.is_same(&map)) {
            self.changed.push(map);
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.changed.iter().for_each(Map::clear);
    }
}

fn spend(left: &mut u64, amount: u64, limit: &'static str) -> Result<(), Error> {
    *left = left.checked_sub(amount).ok_or(Error::Limit { limit })?;
    Ok(())
}
