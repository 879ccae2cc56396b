//! The parsed template, and how it prints back in error messages.

use std::fmt;

use super::number::Literal;

/// Actions and text between them.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) nodes: Vec<Node>,
}

/// One piece of a template.
#[derive(Debug)]
pub(crate) enum Node {
    Text(String),
    Action(Action),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template(Invocation),
    Break,
    Continue,
}

/// `{{pipeline}}`.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) position: usize,
    pub(crate) pipe: Pipe,
}

/// `if`, `with` or `range`.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) list: List,
    pub(crate) otherwise: Option<List>,
}

/// `{{template "name" pipeline}}`.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) position: usize,
    pub(crate) name: String,
    pub(crate) pipe: Option<Pipe>,
}

/// Commands, each fed with the result of the one before, and the variables that get the last result.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) position: usize,
    pub(crate) assigns: bool,
    pub(crate) variables: Vec<Variable>,
    pub(crate) commands: Vec<Command>,
}

/// An operand with arguments.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) position: usize,
    pub(crate) arguments: Vec<Operand>,
}

/// `$name.field.field`; the name keeps its `$`.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) position: usize,
    pub(crate) name: String,
    pub(crate) fields: Vec<String>,
}

/// `.field.field`.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) position: usize,
    pub(crate) fields: Vec<String>,
}

/// `(pipeline).field.field`.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) position: usize,
    pub(crate) operand: Operand,
    pub(crate) fields: Vec<String>,
}

/// A function's name.
#[derive(Debug)]
pub(crate) struct Identifier {
    pub(crate) position: usize,
    pub(crate) name: String,
}

/// A literal that is no number.
#[derive(Debug)]
pub(crate) struct Quoted {
    pub(crate) position: usize,
    pub(crate) quoted: String,
    pub(crate) text: crate::Text,
}

/// A term of a command.
#[derive(Debug)]
pub(crate) enum Operand {
    Bool(usize, bool),
    Chain(Box<Chain>),
    Dot(usize),
    Field(Field),
    Identifier(Identifier),
    Nil(usize),
    Number(Literal),
    Pipe(Box<Pipe>),
    String(Quoted),
    Variable(Variable),
}

impl List {
    /// Whether nothing but blank text is in it.
    pub(crate) fn is_blank(&self) -> bool {
        self.nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
    }
}

impl Operand {
    /// Where it starts, in bytes.
    pub(crate) fn position(&self) -> usize {
        match self {
            Self::Bool(position, _) | Self::Dot(position) | Self::Nil(position) => *position,
            Self::Chain(chain) => chain.position,
            Self::Field(field) => field.position,
            Self::Identifier(identifier) => identifier.position,
            Self::Number(literal) => literal.position,
            Self::Pipe(pipe) => pipe.position,
            Self::String(quoted) => quoted.position,
            Self::Variable(variable) => variable.position,
        }
    }
}

fn fields(f: &mut fmt::Formatter<'_>, fields: &[String]) -> fmt::Result {
    fields.iter().try_for_each(|field| write!(f, ".{field}"))
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(_, value) => write!(f, "{value}"),
            Self::Chain(chain) => chain.fmt(f),
            Self::Dot(_) => f.write_str("."),
            Self::Field(field) => fields(f, &field.fields),
            Self::Identifier(identifier) => f.write_str(&identifier.name),
            Self::Nil(_) => f.write_str("nil"),
            Self::Number(literal) => f.write_str(&literal.text),
            Self::Pipe(pipe) => pipe.fmt(f),
            Self::String(quoted) => f.write_str(&quoted.quoted),
            Self::Variable(variable) => variable.fmt(f),
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.operand {
            Operand::Pipe(pipe) => write!(f, "({pipe})")?,
            other => other.fmt(f)?,
        }
        fields(f, &self.fields)
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        fields(f, &self.fields)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, argument) in self.arguments.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            match argument {
                Operand::Pipe(pipe) => write!(f, "{space}({pipe})")?,
                other => write!(f, "{space}{other}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, variable) in self.variables.iter().enumerate() {
            write!(f, "{}{variable}", if index == 0 { "" } else { ", " })?;
        }
        if !self.variables.is_empty() {
            f.write_str(if self.assigns { " = " } else { " := " })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if index == 0 { "" } else { " | " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{{}}}}}", self.pipe)
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", crate::go::quote::quote(self.name.as_bytes()))?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}
