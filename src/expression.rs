//! CEL expressions, as Flux's controllers take them: `healthCheckExprs` and `readyExpr`.
//!
//! **Meaning.** The environment of fluxcd/pkg/runtime/cel 0.110 (cel-go 0.26): the standard library, numbers of all types
//! compared, optional types, and the extensions for strings, sets and encoders; nothing of Kubernetes' own libraries.
//! What is asked of an object is only parsed, since its fields are not known; what is asked of a dependency is checked
//! for types, too. Values and errors are cel-go's (tests/expression holds what it answered).
//!
//! **Limits.** Length of the text, depth of the tree, steps of an evaluation and size of a value are bounded; nothing here
//! panics.
//!
//! **Differences.** Where a text does not follow the grammar, the place is the same, and the words are simpler than ANTLR's.
//! Messages (`Duration{seconds: 1}`) cannot be made. A map is walked in its own order, not in a random one.
//!
//! No crate of the registry has cel-go's errors, its checker and its optional types, and none bounds an evaluation; the
//! best of them brings ANTLR's runtime and a dozen crates for its parser.

use serde_json::{Map, Value as Json};

mod check;
mod evaluate;
mod functions;
mod lex;
mod parse;
mod signatures;
mod syntax;
mod value;

use signatures::Type;
use syntax::{Constant, Flaw, Kind, Node};
use value::Value;

/// Why an expression cannot be used, or has no answer; in the words of Flux.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// Its text is wrong.
    #[error("failed to parse the CEL expression '{expression}': {flaws}")]
    Parse {
        /// The expression.
        expression: String,
        /// Where and why, one per line.
        flaws: String,
    },
    /// It can only be another type than a boolean.
    #[error("CEL expression output type mismatch: expected bool, got {found}")]
    Type {
        /// Its type.
        found: String,
    },
    /// A part that is constant cannot be computed.
    #[error("failed to create CEL program: {cause}")]
    Program {
        /// Why.
        cause: String,
    },
    /// It cannot be computed for these variables.
    #[error("failed to evaluate the CEL expression '{expression}': {cause}")]
    Evaluate {
        /// The expression.
        expression: String,
        /// Why.
        cause: String,
    },
    /// Its value is not a boolean.
    #[error("failed to evaluate CEL expression as boolean: '{expression}'")]
    NotBoolean {
        /// The expression.
        expression: String,
    },
}

/// An expression that can be asked.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    root: Node,
}

impl Expression {
    /// An expression over the fields of any object.
    ///
    /// # Errors
    /// When it does not follow the grammar, or a constant part of it cannot be computed.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let root = parse::parse(text).map_err(|flaw| flawed(text, &[flaw]))?;
        fold_constants(&root).map_err(|cause| ExpressionError::Program { cause })?;
        Ok(Self { text: text.into(), root })
    }

    /// A condition over structures of these names, checked for types.
    ///
    /// # Errors
    /// Besides, when its types do not fit, or it is no boolean.
    pub fn condition(text: &str, variables: &[&str]) -> Result<Self, ExpressionError> {
        let root = parse::parse(text).map_err(|flaw| flawed(text, &[flaw]))?;
        match check::check(&root, variables) {
            Ok(Type::Named("bool")) => {}
            Ok(found) => return Err(ExpressionError::Type { found: found.to_string() }),
            Err(flaws) => return Err(flawed(text, &flaws)),
        }
        fold_constants(&root).map_err(|cause| ExpressionError::Program { cause })?;
        Ok(Self { text: text.into(), root })
    }

    /// Whether it holds for these variables.
    ///
    /// # Errors
    /// When it cannot be computed, or is no boolean.
    pub fn holds(&self, variables: &Map<String, Json>) -> Result<bool, ExpressionError> {
        let expression = || self.text.clone();
        match evaluate::evaluate(&self.root, variables) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err(ExpressionError::NotBoolean { expression: expression() }),
            Err(cause) => Err(ExpressionError::Evaluate { expression: expression(), cause }),
        }
    }
}

fn flawed(text: &str, flaws: &[Flaw]) -> ExpressionError {
    let shown: Vec<String> = flaws.iter().map(|flaw| flaw.show(text)).collect();
    ExpressionError::Parse { expression: text.into(), flaws: shown.join("\n") }
}

/// Computes what cel-go computes when it makes a program: conversions of constants and patterns that are constant.
fn fold_constants(node: &Node) -> Result<(), String> {
    for child in node.children() {
        fold_constants(child)?;
    }
    let Kind::Call { function, target, arguments } = &node.kind else {
        return if let Kind::Message(name) = &node.kind { Err(format!("unknown type: {name}")) } else { Ok(()) };
    };
    let is_constant = |node: &Node| match &node.kind {
        Kind::Constant(_) => true,
        Kind::List(elements) => elements.iter().all(|(element, _)| matches!(element.kind, Kind::Constant(_))),
        _ => false,
    };
    let converts = target.is_none() && arguments.iter().all(is_constant) && functions::is_conversion(function);
    let is_lonely = target.is_none() && arguments.is_empty() && !signatures::is_known(function);
    let given = arguments.len() + usize::from(target.is_some());
    let is_odd = given == 2
        && signatures::is_known(function)
        && !signatures::overloads(function).iter().any(|form| form.arguments.len() == 2);
    if is_odd {
        return Err(format!("no such overload: {function}(lhs, rhs)"));
    }
    if let ("matches", Some(Node { kind: Kind::Constant(Constant::Text(pattern)), .. })) =
        (function.as_str(), arguments.last())
    {
        gotemplate::go::regex::Regex::new(pattern).map_err(|error| error.to_string())?;
    }
    if converts || is_lonely { evaluate::evaluate(node, &Map::new()).map(drop) } else { Ok(()) }
}
