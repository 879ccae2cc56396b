//! What the executions of one job share: limits, the world, and what is known of them afterwards.

use crate::value::Map;
use crate::{Environment, Error, Limits};

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
}

impl<'s> Session<'s> {
    /// A new job.
    pub fn new(environment: &'s dyn Environment, limits: Limits) -> Self {
        Self { environment, left: limits, depth: 0, random: Vec::new(), changed: Vec::new() }
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

    /// Pays for steps.
    pub(crate) fn spend_steps(&mut self, steps: u64) -> Result<(), Error> {
        spend(&mut self.left.steps, steps, "step")
    }

    /// Pays for bytes.
    pub(crate) fn spend_bytes(&mut self, bytes: u64) -> Result<(), Error> {
        spend(&mut self.left.bytes, bytes, "size")
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
