//! Executes trees, step by step as Go's `text/template` does, so that errors name the same place.

mod call;
mod item;
mod operand;
mod range;

use std::sync::Arc;

pub use call::Call;
pub(crate) use item::Item;

use crate::parse::tree::{
    Action, Branch, Chain, Command, Field, Identifier, Invocation, List, Node, Operand, Pipe, Variable,
};
use crate::parse::{Source, Tree};
use crate::session::Session;
use crate::template::{Templates, Trees};
use crate::{Error, ExecuteError, Failure, Value};

/// What one execution and all that it starts share.
pub(crate) struct Run<'r, 's> {
    pub(crate) templates: &'r Templates,
    pub(crate) session: &'r mut Session<'s>,
}

/// The templates that an execution sees: its own, and those of the scopes around it.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'t> {
    pub(crate) trees: &'t Trees,
    pub(crate) parent: Option<&'t Scope<'t>>,
}

impl<'t> Scope<'t> {
    fn find(&self, name: &str) -> Option<&'t Arc<Tree>> {
        self.trees.get(name).or_else(|| self.parent?.find(name))
    }

    /// Whether there is a template of that name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}

/// Executes a template by name.
pub(crate) fn execute(
    run: &mut Run<'_, '_>,
    scope: &Scope<'_>,
    name: &str,
    data: Value,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let Some(tree) = scope.find(name) else {
        return Err(Error::NoTemplate { name: name.to_owned(), root: run.templates.name().to_owned() });
    };
    execute_tree(run, scope, tree, Item::bare(data), out)
}

/// Executes a template that need not be in the scope.
pub(crate) fn execute_tree(
    run: &mut Run<'_, '_>,
    scope: &Scope<'_>,
    tree: &Tree,
    data: Item,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    run.session.enter()?;
    let variables = vec![("$", data.clone())];
    let mut state = State { run, scope, tree, variables, at: At::Nothing, out };
    let walked = state.list(&data, &tree.root);
    run.session.leave();
    walked.map(|_| ())
}

/// How the execution of a node ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// The node that an error is reported at: the one looked at last, as in Go.
#[derive(Clone, Copy)]
enum At<'t> {
    Nothing,
    Action(&'t Action),
    Invocation(&'t Invocation),
    Pipe(&'t Pipe),
    Command(&'t Command),
    Operand(&'t Operand),
    Field(&'t Field),
    Chain(&'t Chain),
    Variable(&'t Variable),
    Identifier(&'t Identifier),
}

impl At<'_> {
    fn describe(&self) -> (usize, String) {
        match self {
            Self::Nothing => (0, String::new()),
            Self::Action(node) => (node.position, node.to_string()),
            Self::Invocation(node) => (node.position, node.to_string()),
            Self::Pipe(node) => (node.position, node.to_string()),
            Self::Command(node) => (node.position, node.to_string()),
            Self::Operand(node) => (node.position(), node.to_string()),
            Self::Field(node) => (node.position, node.fields.iter().map(|field| format!(".{field}")).collect()),
            Self::Chain(node) => (node.position, node.to_string()),
            Self::Variable(node) => (node.position, node.to_string()),
            Self::Identifier(node) => (node.position, node.name.clone()),
        }
    }
}

/// The execution of one template.
struct State<'t, 'c, 'r, 's> {
    run: &'c mut Run<'r, 's>,
    scope: &'c Scope<'c>,
    tree: &'t Tree,
    variables: Vec<(&'t str, Item)>,
    at: At<'t>,
    out: &'c mut Vec<u8>,
}

type Walked = Result<Flow, Error>;

impl<'t> State<'t, '_, '_, '_> {
    /// An error at the node looked at last.
    fn fail(&self, failure: impl Into<Failure>) -> Error {
        let failure = failure.into();
        if let Some(limit) = failure.limit() {
            return Error::Limit { limit };
        }
        let (position, context) = self.at.describe();
        let (line, column) = match self.at {
            At::Nothing => (0, 0),
            _ => place(&self.tree.source, position),
        };
        Error::Execute(Box::new(ExecuteError {
            file: self.tree.source.name.clone(),
            line,
            column,
            template: self.tree.name.clone(),
            context,
            failure,
        }))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.run.session.spend_bytes(bytes.len() as u64)?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn list(&mut self, dot: &Item, list: &'t List) -> Walked {
        for node in &list.nodes {
            let flow = self.node(dot, node)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, dot: &Item, node: &'t Node) -> Walked {
        self.run.session.spend_steps(1)?;
        match node {
            Node::Text(text) => self.write(text.as_bytes()).map(|()| Flow::Next),
            Node::Action(action) => self.action(dot, action),
            Node::If(branch) => self.branch(dot, branch, false),
            Node::With(branch) => self.branch(dot, branch, true),
            Node::Range(branch) => self.range(dot, branch),
            Node::Template(invocation) => self.invocation(dot, invocation),
            Node::Break => Ok(Flow::Break),
            Node::Continue => Ok(Flow::Continue),
        }
    }

    fn action(&mut self, dot: &Item, action: &'t Action) -> Walked {
        let item = self.pipeline(dot, &action.pipe)?;
        if action.pipe.variables.is_empty() {
            self.at = At::Action(action);
            self.print(action, &item)?;
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, action: &Action, item: &Item) -> Result<(), Error> {
        match &item.value {
            Value::String(text) => self.write(text),
            Value::Nil => self.write(b"<no value>"),
            Value::Function(_) => Err(self.fail(format!("can't print {action} of type {}", item.value.go_type()))),
            value => {
                self.run.session.spend_walk(value)?;
                let text = crate::go::fmt::sprint(std::slice::from_ref(value));
                self.write(&text)
            }
        }
    }

    fn branch(&mut self, dot: &Item, branch: &'t Branch, sets_dot: bool) -> Walked {
        let mark = self.variables.len();
        let item = self.pipeline(dot, &branch.pipe)?;
        let flow = if item.value.is_true() {
            self.list(if sets_dot { &item } else { dot }, &branch.list)
        } else if let Some(list) = &branch.otherwise {
            self.list(dot, list)
        } else {
            Ok(Flow::Next)
        };
        self.variables.truncate(mark);
        flow
    }

    fn invocation(&mut self, dot: &Item, invocation: &'t Invocation) -> Walked {
        self.at = At::Invocation(invocation);
        let Some(tree) = self.scope.find(&invocation.name) else {
            let name = crate::go::quote::quote(invocation.name.as_bytes());
            return Err(self.fail(format!("template {name} not defined")));
        };
        let dot = match &invocation.pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Item::default(),
        };
        execute_tree(self.run, self.scope, tree, dot, self.out).map(|()| Flow::Next)
    }

    /// The value of a pipeline, out of its interface. Its variables stay until the enclosing branch ends.
    fn pipeline(&mut self, dot: &Item, pipe: &'t Pipe) -> Result<Item, Error> {
        self.at = At::Pipe(pipe);
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(dot, command, last)?.unboxed());
        }
        let item = last.unwrap_or_default();
        for variable in &pipe.variables {
            if pipe.assigns {
                self.assign(&variable.name, item.clone())?;
            } else {
                self.variables.push((&variable.name, item.clone()));
            }
        }
        Ok(item)
    }

    fn assign(&mut self, name: &str, item: Item) -> Result<(), Error> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = item,
            None => return Err(self.fail(format!("undefined variable: {name}"))),
        }
        Ok(())
    }

    fn variable(&self, name: &str) -> Result<Item, Error> {
        let found = self.variables.iter().rev().find(|(known, _)| *known == name);
        found.map(|(_, item)| item.clone()).ok_or_else(|| self.fail(format!("undefined variable: {name}")))
    }
}

/// Line from 1, and bytes before the position on its line.
fn place(source: &Source, position: usize) -> (u32, u32) {
    let before = source.text.get(..position).unwrap_or_default();
    let column = before.rfind('\n').map_or(position, |newline| position - newline - 1);
    let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}
