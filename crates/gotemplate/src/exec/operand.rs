//! Commands, operands and chains of fields.

use super::{At, Item, State};
use crate::parse::number::Literal;
use crate::parse::tree::{Chain, Command, Field, Identifier, Operand, Variable};
use crate::template::MissingKey;
use crate::value::{Float, Member};
use crate::{Error, Value};

/// What stands behind an argument list: the call's own arguments, and what the pipeline adds at the end.
pub(super) struct Arguments<'t> {
    /// Without the function itself.
    pub(super) given: &'t [Operand],
    /// What came out of the command before.
    pub(super) last: Option<Item>,
}

impl Arguments<'_> {
    /// No arguments.
    pub(super) fn none() -> Self {
        Self { given: &[], last: None }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.given.len() + usize::from(self.last.is_some())
    }

    fn is_empty(&self) -> bool {
        self.count() == 0
    }
}

impl<'t> State<'t, '_, '_, '_> {
    /// Evaluates one command; `last` is the result of the one before.
    pub(super) fn command(&mut self, dot: &Item, command: &'t Command, last: Option<Item>) -> Result<Item, Error> {
        let Some((first, given)) = command.arguments.split_first() else { return Ok(Item::default()) };
        let arguments = Arguments { given, last };
        match first {
            Operand::Field(field) => return self.field(dot, field, arguments),
            Operand::Chain(chain) => return self.chain(dot, chain, arguments),
            Operand::Identifier(identifier) => {
                return self.function(dot, identifier, At::Command(command), arguments);
            }
            Operand::Pipe(pipe) => {
                self.refuse_arguments(first, &arguments)?;
                return self.pipeline(dot, pipe);
            }
            Operand::Variable(variable) => return self.variable_chain(dot, variable, arguments),
            _ => {}
        }
        self.at = At::Operand(first);
        self.refuse_arguments(first, &arguments)?;
        match first {
            Operand::Dot(_) => Ok(dot.clone()),
            Operand::Nil(_) => Err(self.fail("nil is not a command")),
            constant => self.constant(constant),
        }
    }

    fn refuse_arguments(&self, operand: &Operand, arguments: &Arguments<'_>) -> Result<(), Error> {
        if arguments.is_empty() {
            return Ok(());
        }
        Err(self.fail(format!("can't give argument to non-function {operand}")))
    }

    /// The value of a literal where no type is asked for.
    pub(super) fn constant(&mut self, operand: &'t Operand) -> Result<Item, Error> {
        let value = match operand {
            Operand::Bool(_, value) => Value::Bool(*value),
            Operand::String(quoted) => Value::String(quoted.text.clone()),
            Operand::Number(literal) => {
                self.at = At::Operand(operand);
                return self.ideal(literal);
            }
            other => return Err(self.fail(format!("can't evaluate command {other}"))),
        };
        Ok(Item::bare(value))
    }

    fn ideal(&self, literal: &Literal) -> Result<Item, Error> {
        let value = match literal {
            Literal { complex: Some((real, imaginary)), .. } => Value::Complex(*real, *imaginary),
            Literal { float: Some(float), .. } if literal.is_spelled_as_float() => Value::Float(*float, Float::Float64),
            Literal { int: Some(int), .. } => Value::int(*int),
            _ => return Err(self.fail(format!("{} overflows int", literal.text))),
        };
        Ok(Item::bare(value))
    }

    /// A function by name. `node` is where an error of the function itself is reported.
    pub(super) fn function(
        &mut self,
        dot: &Item,
        identifier: &'t Identifier,
        node: At<'t>,
        arguments: Arguments<'t>,
    ) -> Result<Item, Error> {
        self.at = At::Identifier(identifier);
        let found = self.run.templates.functions().get(&identifier.name).cloned();
        let Some(function) = found else {
            let name = crate::go::quote::quote(identifier.name.as_bytes());
            return Err(self.fail(format!("{name} is not a defined function")));
        };
        self.call(dot, &function, node, &identifier.name, arguments)
    }

    /// `.a.b`; only the last field gets the arguments.
    pub(super) fn field(&mut self, dot: &Item, field: &'t Field, arguments: Arguments<'t>) -> Result<Item, Error> {
        self.at = At::Field(field);
        self.fields(dot, dot.clone(), At::Field(field), &field.fields, arguments)
    }

    /// `(pipeline).a.b`.
    pub(super) fn chain(&mut self, dot: &Item, chain: &'t Chain, arguments: Arguments<'t>) -> Result<Item, Error> {
        self.at = At::Chain(chain);
        if matches!(chain.operand, Operand::Nil(_)) {
            return Err(self.fail(format!("indirection through explicit nil in {chain}")));
        }
        let receiver = self.argument(dot, None, &chain.operand)?;
        self.fields(dot, receiver, At::Chain(chain), &chain.fields, arguments)
    }

    /// `$x.a.b`.
    pub(super) fn variable_chain(
        &mut self,
        dot: &Item,
        variable: &'t Variable,
        arguments: Arguments<'t>,
    ) -> Result<Item, Error> {
        self.at = At::Variable(variable);
        let receiver = self.variable(&variable.name)?;
        if variable.fields.is_empty() {
            if !arguments.is_empty() {
                return Err(self.fail(format!("can't give argument to non-function {variable}")));
            }
            return Ok(receiver);
        }
        self.fields(dot, receiver, At::Variable(variable), &variable.fields, arguments)
    }

    fn fields(
        &mut self,
        dot: &Item,
        mut receiver: Item,
        node: At<'t>,
        names: &'t [String],
        arguments: Arguments<'t>,
    ) -> Result<Item, Error> {
        let Some((last, before)) = names.split_last() else { return Ok(receiver) };
        for name in before {
            receiver = self.member(dot, &receiver, node, name, Arguments::none())?;
        }
        self.member(dot, &receiver, node, last, arguments)
    }

    /// One field or method of a value.
    fn member(
        &mut self,
        dot: &Item,
        receiver: &Item,
        node: At<'t>,
        name: &str,
        arguments: Arguments<'t>,
    ) -> Result<Item, Error> {
        if receiver.is_invalid() {
            if self.run.templates.missing() == MissingKey::Error {
                let name = crate::go::quote::quote(name.as_bytes());
                return Err(self.fail(format!("nil data; no entry for key {name}")));
            }
            return Ok(Item::default());
        }
        let shown = receiver.go_type();
        if receiver.is_nil_interface() {
            return Err(self.fail(format!("nil pointer evaluating {shown}.{name}")));
        }
        if let Some(method) = crate::methods::find(&receiver.value, name) {
            return self.call(dot, &method, node, name, arguments);
        }
        match &receiver.value {
            Value::Map(map) => self.entry(map, name, &arguments),
            Value::Host(host) => match host.member(name) {
                Some(Member::Method(method)) => self.call(dot, &method, node, name, arguments),
                Some(Member::Field(value)) if arguments.is_empty() => {
                    Ok(Item { is_boxed: matches!(value, Value::Nil), value })
                }
                Some(Member::Field(_)) => {
                    Err(self.fail(format!("{name} has arguments but cannot be invoked as function")))
                }
                None => match host.underlying() {
                    Some(Value::Map(map)) => self.entry(&map, name, &arguments),
                    _ if host.is_nil() => Err(self.fail(format!("nil pointer evaluating {shown}.{name}"))),
                    _ => Err(self.fail(format!("can't evaluate field {name} in type {shown}"))),
                },
            },
            _ => Err(self.fail(format!("can't evaluate field {name} in type {shown}"))),
        }
    }

    fn entry(&self, map: &crate::value::Map, name: &str, arguments: &Arguments<'_>) -> Result<Item, Error> {
        if !arguments.is_empty() {
            return Err(self.fail(format!("{name} is not a method but has arguments")));
        }
        let element = *map.element();
        match (map.get(name.as_bytes()), self.run.templates.missing()) {
            (Some(value), _) => Ok(Item::element(value, element)),
            (None, MissingKey::Default) => Ok(Item::default()),
            (None, MissingKey::Zero) => Ok(Item::element(Value::zero(element), element)),
            (None, MissingKey::Error) => {
                let name = crate::go::quote::quote(name.as_bytes());
                Err(self.fail(format!("map has no entry for key {name}")))
            }
        }
    }
}
