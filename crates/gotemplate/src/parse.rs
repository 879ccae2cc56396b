//! Tokens to trees.

pub(crate) mod number;
pub(crate) mod tree;

use std::sync::Arc;

use crate::Error;
use crate::go::quote::{quote, unquote};
use crate::lex::{Kind, Lexer, LoopKeywords, Token};
use number::Literal;
use tree::{
    Action, Branch, Chain, Command, Field, Identifier, Invocation, List, Node, Operand, Pipe, Quoted, Variable,
};

/// How deep parentheses, branches and definitions may nest. Go stops at 10,000 and 1,000,000; it grows its stack.
const MAX_NESTING: u32 = 150;

/// The text that templates were parsed from.
#[derive(Debug)]
pub(crate) struct Source {
    /// The name under which it was parsed: the `file` of errors.
    pub(crate) name: String,
    /// The whole text.
    pub(crate) text: String,
}

/// One named template.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) name: String,
    pub(crate) source: Arc<Source>,
    pub(crate) root: List,
}

/// What the parser must know of the function table.
pub(crate) trait Names {
    fn has_function(&self, name: &str) -> bool;
}

/// Parses a text into the template of its own name (the last one) and those that it defines.
///
/// # Errors
/// The first thing wrong, with its line.
pub(crate) fn parse(source: &Arc<Source>, delimiters: (&str, &str), names: &dyn Names) -> Result<Vec<Tree>, Error> {
    let keywords =
        LoopKeywords { is_break: !names.has_function("break"), is_continue: !names.has_function("continue") };
    let mut parser = Parser {
        lexer: Lexer::new(&source.text, delimiters.0, delimiters.1, keywords),
        source,
        names,
        lookahead: Vec::new(),
        line: 1,
        trees: Vec::new(),
        scopes: vec![Scope::new()],
        nesting: 0,
    };
    let root = parser.top()?;
    parser.add(Tree { name: source.name.clone(), source: Arc::clone(source), root })?;
    Ok(parser.trees)
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    source: &'t Arc<Source>,
    names: &'t dyn Names,
    /// Tokens that were given back, the next one last.
    lookahead: Vec<Token<'t>>,
    /// Line of the token that was read last: the line of errors.
    line: u32,
    trees: Vec<Tree>,
    scopes: Vec<Scope>,
    nesting: u32,
}

/// What belongs to one template while it is parsed.
struct Scope {
    variables: Vec<String>,
    action_line: u32,
    ranges: u32,
}

impl Scope {
    fn new() -> Self {
        Self { variables: vec!["$".into()], action_line: 0, ranges: 0 }
    }
}

/// What ended a list.
enum Terminator {
    End,
    Else,
}

impl Terminator {
    fn show(&self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        }
    }
}

enum Piece {
    Node(Node),
    Terminator(Terminator),
}

type Parsed<T> = Result<T, Error>;

impl<'t> Parser<'t> {
    fn next(&mut self) -> Token<'t> {
        match self.lookahead.pop() {
            Some(token) => token,
            None => {
                let token = self.lexer.next_token();
                self.line = token.line;
                token
            }
        }
    }

    fn give_back(&mut self, token: Token<'t>) {
        self.lookahead.push(token);
    }

    fn peek(&mut self) -> &Token<'t> {
        if self.lookahead.is_empty() {
            let token = self.next();
            self.give_back(token);
        }
        &self.lookahead[self.lookahead.len() - 1]
    }

    fn next_non_space(&mut self) -> Token<'t> {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_non_space(&mut self) -> &Token<'t> {
        let token = self.next_non_space();
        self.give_back(token);
        self.peek()
    }

    fn scope(&mut self) -> &mut Scope {
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    fn error<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(Error::Parse { template: self.source.name.clone(), line: self.line, message: message.into() })
    }

    fn unexpected<T>(&mut self, token: &Token<'t>, context: &str) -> Parsed<T> {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {} in {context}", token.show()));
        }
        let mut extra = String::new();
        let action_line = self.scope().action_line;
        if action_line != 0 && action_line != token.line {
            // "unclosed action started at", not "unclosed action in action started at".
            let joint = if token.value.ends_with(" action") { "" } else { " in action" };
            extra = format!("{joint} started at {}:{action_line}", self.source.name);
        }
        self.error(format!("{}{extra}", token.show()))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token<'t>> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    fn add(&mut self, tree: Tree) -> Parsed<()> {
        match self.trees.iter_mut().find(|old| old.name == tree.name) {
            Some(old) if old.root.is_blank() => *old = tree,
            Some(_) if tree.root.is_blank() => {}
            Some(_) => {
                let name = quote(tree.name.as_bytes());
                return self.error(format!("template: multiple definition of template {name}"));
            }
            None => self.trees.push(tree),
        }
        Ok(())
    }

    fn top(&mut self) -> Parsed<List> {
        let mut list = List::default();
        while self.peek().kind != Kind::End {
            if self.peek().kind == Kind::LeftDelimiter {
                let delimiter = self.next();
                let token = self.next_non_space();
                if token.kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.give_back(token);
                self.give_back(delimiter);
            }
            match self.text_or_action()? {
                Piece::Node(node) => list.nodes.push(node),
                Piece::Terminator(terminator) => return self.error(format!("unexpected {}", terminator.show())),
            }
        }
        Ok(list)
    }

    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        self.scopes.push(Scope::new());
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect(Kind::RightDelimiter, CONTEXT)?;
        self.body(name, CONTEXT)
    }

    /// The list of a `define` or `block`, up to its `end`, in a scope that was opened for it.
    fn body(&mut self, name: String, context: &str) -> Parsed<()> {
        let (root, terminator) = self.list()?;
        if matches!(terminator, Terminator::Else) {
            return self.error(format!("unexpected {} in {context}", terminator.show()));
        }
        let source = Arc::clone(self.source);
        self.add(Tree { name, source, root })?;
        self.scopes.pop();
        Ok(())
    }

    fn list(&mut self) -> Parsed<(List, Terminator)> {
        let mut list = List::default();
        while self.peek_non_space().kind != Kind::End {
            match self.text_or_action()? {
                Piece::Node(node) => list.nodes.push(node),
                Piece::Terminator(terminator) => return Ok((list, terminator)),
            }
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Parsed<Piece> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Piece::Node(Node::Text(token.value.into_owned()))),
            Kind::LeftDelimiter => {
                self.scope().action_line = token.line;
                let piece = self.nested(Self::action)?;
                self.scope().action_line = 0;
                Ok(piece)
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= MAX_NESTING {
            return self.error("max expression depth exceeded");
        }
        self.nesting += 1;
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }

    fn action(&mut self) -> Parsed<Piece> {
        let token = self.next_non_space();
        let node = match token.kind {
            Kind::Block => self.block()?,
            Kind::Break => self.leave_loop("{{break}}", Node::Break)?,
            Kind::Continue => self.leave_loop("{{continue}}", Node::Continue)?,
            Kind::Else => return self.otherwise(),
            Kind::EndKeyword => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Piece::Terminator(Terminator::End));
            }
            Kind::If => Node::If(self.branch("if")?),
            Kind::Range => Node::Range(self.branch("range")?),
            Kind::Template => self.invocation()?,
            Kind::With => Node::With(self.branch("with")?),
            _ => {
                let position = token.position;
                self.give_back(token);
                let pipe = self.pipeline("command", Kind::RightDelimiter)?;
                Node::Action(Action { position, pipe })
            }
        };
        Ok(Piece::Node(node))
    }

    fn leave_loop(&mut self, shown: &str, node: Node) -> Parsed<Node> {
        let token = self.next_non_space();
        if token.kind != Kind::RightDelimiter {
            return self.unexpected(&token, shown);
        }
        if self.scope().ranges == 0 {
            return self.error(format!("{shown} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    fn otherwise(&mut self) -> Parsed<Piece> {
        // An `if` or `with` stays pending: the branch above reads it.
        if !matches!(self.peek_non_space().kind, Kind::If | Kind::With) {
            self.expect(Kind::RightDelimiter, "else")?;
        }
        Ok(Piece::Terminator(Terminator::Else))
    }

    fn branch(&mut self, context: &'static str) -> Parsed<Branch> {
        let known = self.scope().variables.len();
        let pipe = self.pipeline(context, Kind::RightDelimiter)?;
        let ranges = u32::from(context == "range");
        self.scope().ranges += ranges;
        let (list, terminator) = self.list()?;
        self.scope().ranges -= ranges;
        let otherwise = match terminator {
            Terminator::End => None,
            Terminator::Else => Some(self.else_list(context)?),
        };
        self.scope().variables.truncate(known);
        Ok(Branch { pipe, list, otherwise })
    }

    /// What follows `else`: `else if` and `else with` are a branch of their own, whose `end` closes both.
    fn else_list(&mut self, context: &'static str) -> Parsed<List> {
        let next = self.peek().kind;
        if (context == "if" && next == Kind::If) || (context == "with" && next == Kind::With) {
            self.next();
            let branch = self.nested(|parser| parser.branch(context))?;
            let node = if context == "if" { Node::If(branch) } else { Node::With(branch) };
            return Ok(List { nodes: vec![node] });
        }
        let (list, terminator) = self.list()?;
        match terminator {
            Terminator::End => Ok(list),
            Terminator::Else => self.error(format!("expected end; found {}", terminator.show())),
        }
    }

    fn block(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelimiter)?;
        self.scopes.push(Scope::new());
        self.body(name.clone(), CONTEXT)?;
        Ok(Node::Template(Invocation { position: token.position, name, pipe: Some(pipe) }))
    }

    fn invocation(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let after = self.next_non_space();
        let pipe = if after.kind == Kind::RightDelimiter {
            None
        } else {
            self.give_back(after);
            Some(self.pipeline(CONTEXT, Kind::RightDelimiter)?)
        };
        Ok(Node::Template(Invocation { position: token.position, name, pipe }))
    }

    fn template_name(&mut self, token: &Token<'t>, context: &str) -> Parsed<String> {
        if !matches!(token.kind, Kind::String | Kind::RawString) {
            return self.unexpected(token, context);
        }
        let bytes = self.unquoted(token)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn unquoted(&self, token: &Token<'t>) -> Parsed<Vec<u8>> {
        unquote(&token.value).map_or_else(|| self.error("invalid syntax"), Ok)
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let position = self.peek_non_space().position;
        let mut pipe = Pipe { position, assigns: false, variables: Vec::new(), commands: Vec::new() };
        while self.declaration(context, &mut pipe)? {}
        loop {
            let token = self.next_non_space();
            if token.kind == end {
                self.check_pipeline(&pipe, context)?;
                return Ok(pipe);
            }
            if !starts_operand(token.kind) {
                return self.unexpected(&token, context);
            }
            self.give_back(token);
            let command = self.command()?;
            pipe.commands.push(command);
        }
    }

    /// Reads `$x :=`, `$x =` or, in a range, `$x,`; whether another variable may follow.
    fn declaration(&mut self, context: &str, pipe: &mut Pipe) -> Parsed<bool> {
        if self.peek_non_space().kind != Kind::Variable {
            return Ok(false);
        }
        let variable = self.next();
        let after = self.peek().clone();
        let (kind, is_comma) = {
            let next = self.peek_non_space();
            (next.kind, next.kind == Kind::Char && next.value == ",")
        };
        if !matches!(kind, Kind::Assign | Kind::Declare) && !is_comma {
            if after.kind == Kind::Space {
                self.give_back(after);
            }
            self.give_back(variable);
            return Ok(false);
        }
        self.next_non_space();
        pipe.assigns = kind == Kind::Assign;
        self.scope().variables.push(variable.value.to_string());
        pipe.variables.push(new_variable(variable.position, &variable.value));
        if !is_comma {
            return Ok(false);
        }
        if context == "range" && pipe.variables.len() < 2 {
            return match self.peek_non_space().kind {
                Kind::Variable | Kind::RightDelimiter | Kind::RightParen => Ok(true),
                _ => self.error("range can only initialize variables"),
            };
        }
        self.error(format!("too many declarations in {context}"))
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Parsed<()> {
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        let is_constant = |command: &Command| {
            use Operand::{Bool, Dot, Nil, Number, String};
            matches!(command.arguments.first(), Some(Bool(..) | Dot(_) | Nil(_) | Number(_) | String(_)))
        };
        match pipe.commands.iter().skip(1).position(is_constant) {
            Some(index) => self.error(format!("non executable command in pipeline stage {}", index + 2)),
            None => Ok(()),
        }
    }

    fn command(&mut self) -> Parsed<Command> {
        let position = self.peek_non_space().position;
        let mut command = Command { position, arguments: Vec::new() };
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                command.arguments.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelimiter | Kind::RightParen => self.give_back(token),
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if command.arguments.is_empty() {
            return self.error("empty command");
        }
        Ok(command)
    }

    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(operand) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(operand));
        }
        let position = self.peek().position;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(self.next().value[1..].to_owned());
        }
        Ok(Some(match operand {
            Operand::Field(mut field) => {
                field.fields.append(&mut fields);
                Operand::Field(Field { position, ..field })
            }
            Operand::Variable(mut variable) => {
                variable.fields.append(&mut fields);
                Operand::Variable(Variable { position, ..variable })
            }
            Operand::Bool(..) | Operand::String(_) | Operand::Number(_) | Operand::Nil(_) | Operand::Dot(_) => {
                let shown = quote(operand.to_string().as_bytes());
                return self.error(format!("unexpected . after term {shown}"));
            }
            operand => Operand::Chain(Box::new(Chain { position, operand, fields })),
        }))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.next_non_space();
        let position = token.position;
        Ok(Some(match token.kind {
            Kind::Identifier => {
                if !self.names.has_function(&token.value) {
                    return self.error(format!("function {} not defined", quote(token.value.as_bytes())));
                }
                Operand::Identifier(Identifier { position, name: token.value.into_owned() })
            }
            Kind::Dot => Operand::Dot(position),
            Kind::Nil => Operand::Nil(position),
            Kind::Variable => self.used_variable(position, &token.value)?,
            Kind::Field => Operand::Field(Field { position, fields: vec![token.value[1..].to_owned()] }),
            Kind::Bool => Operand::Bool(position, token.value == "true"),
            Kind::CharConstant | Kind::Complex | Kind::Number => {
                match Literal::new(position, &token.value, token.kind) {
                    Ok(literal) => Operand::Number(literal),
                    Err(message) => return self.error(message),
                }
            }
            Kind::LeftParen => {
                let pipe = self.nested(|parser| parser.pipeline("parenthesized pipeline", Kind::RightParen))?;
                Operand::Pipe(Box::new(pipe))
            }
            Kind::String | Kind::RawString => {
                let text = self.unquoted(&token)?.into();
                Operand::String(Quoted { position, quoted: token.value.into_owned(), text })
            }
            _ => {
                self.give_back(token);
                return Ok(None);
            }
        }))
    }

    fn used_variable(&mut self, position: usize, name: &str) -> Parsed<Operand> {
        if self.scope().variables.iter().any(|known| known == name) {
            return Ok(Operand::Variable(new_variable(position, name)));
        }
        self.error(format!("undefined variable {}", quote(name.as_bytes())))
    }
}

fn new_variable(position: usize, name: &str) -> Variable {
    Variable { position, name: name.to_owned(), fields: Vec::new() }
}

fn starts_operand(kind: Kind) -> bool {
    use Kind::{
        Bool, CharConstant, Complex, Dot, Field, Identifier, LeftParen, Nil, Number, RawString, String, Variable,
    };
    matches!(
        kind,
        Bool | CharConstant
            | Complex
            | Dot
            | Field
            | Identifier
            | Number
            | Nil
            | RawString
            | String
            | Variable
            | LeftParen
    )
}
