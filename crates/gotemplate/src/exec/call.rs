//! Calls: arguments evaluated and checked against the signature, as Go's reflection does.

use std::sync::Arc;

use super::operand::Arguments;
use super::{At, Item, Run, Scope, State, execute, execute_tree};
use crate::function::{Function, Run as Body};
use crate::go::regex::{Regex, RegexError};
use crate::parse::number::Literal;
use crate::parse::tree::Operand;
use crate::parse::{Source, parse};
use crate::template::{Trees, add, main_tree};
use crate::value::{Map, Text};
use crate::{Environment, Error, Failure, Type, Value};

/// What an element of a new list counts against the limit of bytes; about half of what it takes.
const BYTES_OF_AN_ELEMENT: u64 = 16;
/// The same for an entry of a map, beside its key.
const BYTES_OF_AN_ENTRY: u64 = 64;

/// A call of a function: its arguments, and what it may do besides computing.
pub struct Call<'c, 'r, 's> {
    pub(crate) arguments: Vec<Value>,
    name: &'static str,
    run: &'c mut Run<'r, 's>,
    scope: &'c Scope<'c>,
}

impl Call<'_, '_, '_> {
    /// The clock and the dice; the function is noted as one whose result differs from run to run.
    pub fn environment(&mut self) -> &dyn Environment {
        self.run.session.environment(self.name)
    }

    /// Pays for what is about to be made, before it is: bytes of text, or elements of a list.
    ///
    /// # Errors
    /// When the execution may make no more.
    pub fn charge(&mut self, bytes: usize) -> Result<(), Failure> {
        Ok(self.run.session.spend_bytes(bytes as u64)?)
    }

    /// Pays for work that is far more than its arguments show.
    pub(crate) fn spend(&mut self, steps: u64) -> Result<(), Failure> {
        Ok(self.run.session.spend_steps(steps)?)
    }

    /// Pays for a walk over all that an argument holds, before it is made. A function that makes a text of arguments of
    /// any type has paid already.
    ///
    /// # Errors
    /// When it holds more than the execution may make.
    pub fn charge_walk(&mut self, index: usize) -> Result<(), Failure> {
        match self.arguments.get(index) {
            Some(argument) => Ok(self.run.session.spend_walk(argument)?),
            None => Ok(()),
        }
    }

    /// The same for all arguments.
    ///
    /// # Errors
    /// As [`Call::charge_walk`].
    pub fn charge_walks(&mut self) -> Result<(), Failure> {
        (0..self.arguments.len()).try_for_each(|index| self.charge_walk(index))
    }

    /// Writes an entry of a map in place.
    ///
    /// # Errors
    /// When the map is `nil`.
    pub fn insert(&mut self, map: &Map, key: Text, value: Value) -> Result<(), Failure> {
        if matches!(value, Value::Map(_) | Value::List(_)) {
            self.run.session.note_changed(map.clone());
        }
        self.run.session.spend_bytes(key.len() as u64 + BYTES_OF_AN_ENTRY)?;
        if map.insert(key, value) { Ok(()) } else { Err("assignment to entry in nil map".into()) }
    }

    /// The expression that the first argument is, compiled once in a session, for one search in the second.
    pub(crate) fn regex(&mut self) -> Result<Result<Arc<Regex>, RegexError>, Failure> {
        let (expression, length) = (self.str(0).into_owned(), self.bytes(1).len());
        Ok(self.run.session.regex(&expression, length)?)
    }

    /// Executes a template that the running one can see.
    ///
    /// # Errors
    /// What the template failed with.
    pub fn execute(&mut self, name: &str, data: Value) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        execute(self.run, self.scope, name, data, &mut out)?;
        Ok(out)
    }

    /// Parses a text; what it defines is seen by itself and by what it executes, not afterwards. Then executes it.
    ///
    /// # Errors
    /// The outer one when the text is no template, the inner one when it failed.
    pub fn execute_text(&mut self, text: String, data: Value) -> Result<Result<Vec<u8>, Error>, Error> {
        self.run.session.spend_bytes(text.len() as u64)?;
        let source = Arc::new(Source { name: self.run.templates.name().to_owned(), text });
        let parsed = parse(&source, ("", ""), self.run.templates.functions())?;
        let parsed: Vec<_> = parsed.into_iter().map(Arc::new).collect();
        let mut trees = Trees::new();
        for tree in &parsed {
            if !(tree.root.is_blank() && self.scope.contains(&tree.name)) {
                add(&mut trees, Arc::clone(tree));
            }
        }
        let scope = Scope { trees: &trees, parent: Some(self.scope) };
        let mut out = Vec::new();
        let Some(tree) = main_tree(&parsed, &source.name) else { return Ok(Ok(out)) };
        Ok(execute_tree(self.run, &scope, tree, Item::bare(data), &mut out).map(|()| out))
    }
}

impl<'t> State<'t, '_, '_, '_> {
    /// Calls a function or method.
    pub(super) fn call(
        &mut self,
        dot: &Item,
        function: &Function,
        node: At<'t>,
        name: &str,
        arguments: Arguments<'t>,
    ) -> Result<Item, Error> {
        self.check_count(function, name, &arguments)?;
        if let Body::ShortCircuit(stops_at) = function.run {
            return self.short_circuit(dot, stops_at, arguments);
        }
        let result = match &function.run {
            Body::Plain(_) => {
                let mut values = Vec::with_capacity(arguments.count());
                self.arguments(dot, function, arguments, |item| values.push(item.value))?;
                self.plain(function, values)
            }
            Body::Reflect(body) => body(&self.items(dot, function, arguments)?),
            Body::Call => {
                // It speaks of the function by how it is written.
                let written = arguments.given.first().map(ToString::to_string).unwrap_or_default();
                let items = self.items(dot, function, arguments)?;
                self.call_value(&items, &written, node)
            }
            Body::ShortCircuit(_) => Ok(Item::default()),
        };
        let item = result.map_err(|failure| {
            self.at = node;
            self.fail(failure.wrap(format!("error calling {name}")))
        })?;
        self.pay_for(&item)?;
        Ok(item)
    }

    fn pay_for(&mut self, item: &Item) -> Result<(), Error> {
        match &item.value {
            Value::String(text) => self.run.session.spend_text(text),
            Value::List(list) => {
                let length = list.items().len() as u64;
                self.run.session.spend_bytes(length.saturating_mul(BYTES_OF_AN_ELEMENT))?;
                self.run.session.spend_steps(length / 8)
            }
            Value::Map(map) => self.run.session.spend_steps(map.len() as u64 / 8),
            _ => Ok(()),
        }
    }

    fn plain(&mut self, function: &Function, arguments: Vec<Value>) -> Result<Item, Failure> {
        let Body::Plain(body) = &function.run else { return Err("call of nil".into()) };
        for (index, argument) in arguments.iter().enumerate() {
            match function.reads_through(index) {
                true => self.run.session.spend_walk(argument)?,
                false => self.run.session.spend_steps(steps_through(argument))?,
            }
        }
        let mut call = Call { arguments, name: function.name(), run: self.run, scope: self.scope };
        body(&mut call).map(|value| Item { value, is_boxed: function.returns_any })
    }

    fn check_count(&self, function: &Function, name: &str, arguments: &Arguments<'_>) -> Result<(), Error> {
        let count = arguments.count();
        let required = function.required();
        if function.is_variadic && count < required {
            let given = arguments.given.len();
            return Err(self.fail(format!("wrong number of args for {name}: want at least {required} got {given}")));
        }
        if !function.is_variadic && count != required {
            return Err(self.fail(format!("wrong number of args for {name}: want {required} got {count}")));
        }
        Ok(())
    }

    fn short_circuit(&mut self, dot: &Item, stops_at: bool, arguments: Arguments<'t>) -> Result<Item, Error> {
        let mut item = Item::default();
        for argument in arguments.given {
            item = self.argument(dot, Some(Type::Reflect), argument)?;
            if item.value.is_true() == stops_at {
                return Ok(item);
            }
        }
        Ok(arguments.last.unwrap_or(item))
    }

    /// Evaluates the arguments, pays for the call, and hands them out in order.
    fn arguments(
        &mut self,
        dot: &Item,
        function: &Function,
        arguments: Arguments<'t>,
        mut take: impl FnMut(Item),
    ) -> Result<(), Error> {
        for (index, argument) in arguments.given.iter().enumerate() {
            take(self.argument(dot, Some(function.parameter(index)), argument)?);
        }
        if let Some(last) = arguments.last {
            take(self.validate(last, Some(function.parameter(arguments.given.len())))?);
        }
        self.run.session.spend_steps(1)
    }

    fn items(&mut self, dot: &Item, function: &Function, arguments: Arguments<'t>) -> Result<Vec<Item>, Error> {
        let mut items = Vec::with_capacity(arguments.count());
        self.arguments(dot, function, arguments, |item| items.push(item))?;
        Ok(items)
    }

    /// `call`: the function value and its arguments; `name` is how the function is written.
    fn call_value(&mut self, items: &[Item], name: &str, node: At<'t>) -> Result<Item, Failure> {
        let Some((function, arguments)) = items.split_first() else { return Err("call of nil".into()) };
        let function = match &function.value {
            Value::Nil => return Err("call of nil".into()),
            Value::Function(function) => Arc::clone(function),
            other => return Err(format!("non-function {name} of type {}", other.go_type()).into()),
        };
        let (count, required) = (arguments.len(), function.required());
        if function.is_variadic && count < required {
            return Err(format!("wrong number of args for {name}: got {count} want at least {required}").into());
        }
        if !function.is_variadic && count != required {
            return Err(format!("wrong number of args for {name}: got {count} want {required}").into());
        }
        let mut values = Vec::with_capacity(count);
        for (index, item) in arguments.iter().enumerate() {
            let value = crate::builtin::index::prepare(&item.value, function.parameter(index));
            values.push(value.map_err(|failure| failure.wrap(format!("arg {index}")))?);
        }
        self.at = node;
        self.plain(&function, values)
    }

    /// Evaluates one argument and checks it against its parameter; no parameter takes everything.
    pub(super) fn argument(&mut self, dot: &Item, of: Option<Type>, operand: &'t Operand) -> Result<Item, Error> {
        self.at = At::Operand(operand);
        let item = match operand {
            Operand::Dot(_) => dot.clone(),
            Operand::Nil(_) => return self.nil(of.unwrap_or(Type::Any)),
            Operand::Field(field) => self.field(dot, field, Arguments::none())?,
            Operand::Variable(variable) => self.variable_chain(dot, variable, Arguments::none())?,
            Operand::Pipe(pipe) => self.pipeline(dot, pipe)?,
            Operand::Identifier(identifier) => {
                self.function(dot, identifier, At::Identifier(identifier), Arguments::none())?
            }
            Operand::Chain(chain) => self.chain(dot, chain, Arguments::none())?,
            Operand::Bool(..) | Operand::Number(_) | Operand::String(_) => {
                return self.literal(of.unwrap_or(Type::Any), operand);
            }
        };
        self.validate(item, of)
    }

    fn nil(&self, of: Type) -> Result<Item, Error> {
        if !of.can_be_nil() {
            return Err(self.fail(format!("cannot assign nil to {of}")));
        }
        Ok(Item { value: Value::zero(of), is_boxed: of == Type::Any })
    }

    /// A literal as a value of the type that is asked for.
    fn literal(&mut self, of: Type, operand: &'t Operand) -> Result<Item, Error> {
        let number = match operand {
            Operand::Number(literal) => Some(literal),
            _ => None,
        };
        let (value, wanted) = match of {
            Type::Any | Type::Reflect => return self.constant(operand),
            Type::Bool => (bool_of(operand), "bool"),
            Type::String => (string_of(operand), "string"),
            Type::Int(int) => (number.and_then(|number| number.int).map(|value| Value::Int(value, int)), "integer"),
            Type::Duration => (number.and_then(|number| number.int).map(Value::Duration), "integer"),
            Type::Uint(uint) => {
                (number.and_then(|number| number.uint).map(|value| Value::Uint(value, uint)), "unsigned integer")
            }
            Type::Float(float) => {
                (number.and_then(|number| number.float).map(|value| Value::Float(value, float)), "float")
            }
            Type::Complex => (number.and_then(complex_of), "complex"),
            _ => return Err(self.fail(format!("can't handle {operand} for arg of type {of}"))),
        };
        value.map(Item::bare).ok_or_else(|| self.fail(format!("expected {wanted}; found {operand}")))
    }

    /// Checks a value against a parameter's type.
    fn validate(&self, item: Item, of: Option<Type>) -> Result<Item, Error> {
        let Some(of) = of else { return Ok(item) };
        if item.is_invalid() {
            if !of.can_be_nil() {
                return Err(self.fail(format!("invalid value; expected {of}")));
            }
            return Ok(Item { value: Value::zero(of), is_boxed: of == Type::Any });
        }
        if item.go_type().assignable_to(of)
            || (item.is_boxed && !item.is_nil_interface() && item.value.go_type().assignable_to(of))
        {
            return Ok(item);
        }
        let got = if item.is_nil_interface() { Type::Any } else { item.value.go_type() };
        Err(self.fail(format!("wrong type for value; expected {of}; got {got}")))
    }
}

fn bool_of(operand: &Operand) -> Option<Value> {
    match operand {
        Operand::Bool(_, value) => Some(Value::Bool(*value)),
        _ => None,
    }
}

fn string_of(operand: &Operand) -> Option<Value> {
    match operand {
        Operand::String(quoted) => Some(Value::String(quoted.text.clone())),
        _ => None,
    }
}

fn complex_of(literal: &Literal) -> Option<Value> {
    literal.complex.map(|(real, imaginary)| Value::Complex(real, imaginary))
}

/// What a function may need to look at all of an argument, but not into its elements.
fn steps_through(argument: &Value) -> u64 {
    match argument {
        Value::String(text) | Value::Number(text) | Value::Bytes(text) => text.len() as u64 / 256,
        Value::List(list) => list.items().len() as u64 / 64,
        Value::Map(map) => map.len() as u64 / 64,
        _ => 0,
    }
}
