//! Tokens -> tree.

use super::lex::{Located, Token, tokens};
use super::signatures;
use super::syntax::{Constant, Flaw, Fold, How, Kind, Node, Select};

/// How deep a tree may be: what a worker's stack surely holds, less than the 250 of cel-go.
const DEEPEST: usize = 120;
/// How long a text may be, in characters; cel-go allows 100,000.
const LONGEST: usize = 50_000;

const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];
/// What ANTLR lists wherever an expression may begin.
const OPERANDS: &str =
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Node, Flaw> {
    if text.chars().count() > LONGEST {
        return Err(Flaw::new(0, &format!("expression code point size exceeds limit: {LONGEST}")));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let node = parser.expression()?;
    if *parser.peek() != Token::End {
        return Err(parser.unexpected("<EOF>"));
    }
    Ok(node)
}

struct Parser {
    tokens: Vec<Located>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    fn place(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |(at, _)| *at)
    }

    fn take(&mut self) -> (usize, Token) {
        let token = (self.place(), self.peek().clone());
        self.at += 1;
        token
    }

    fn sees(&self, mark: &str) -> bool {
        matches!(self.peek(), Token::Mark(found) if *found == mark)
    }

    /// The place of a mark, which is taken when it is there.
    fn accept(&mut self, mark: &str) -> Option<usize> {
        self.sees(mark).then(|| self.take().0)
    }

    fn expect(&mut self, mark: &str) -> Result<usize, Flaw> {
        self.accept(mark).ok_or_else(|| self.unexpected(&format!("'{mark}'")))
    }

    fn unexpected(&self, expected: &str) -> Flaw {
        let found = match self.peek() {
            Token::End => "<EOF>".to_owned(),
            Token::Mark(mark) => (*mark).to_owned(),
            Token::Name(text) | Token::Int(text) => text.clone(),
            Token::Uint(text) => format!("{text}u"),
            Token::Double(value) => value.to_string(),
            Token::Text(_) | Token::Bytes(_) => "a string".to_owned(),
        };
        Flaw::syntax(self.place(), &format!("mismatched input '{found}' expecting {expected}"))
    }

    fn expression(&mut self) -> Result<Node, Flaw> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Flaw::new(self.place(), &format!("expression recursion limit exceeded: {DEEPEST}")));
        }
        let condition = self.chain("||", Kind::Or, |parser| parser.chain("&&", Kind::And, Self::relation))?;
        let node = match self.accept("?") {
            None => condition,
            Some(at) => {
                let yes = self.chain("||", Kind::Or, |parser| parser.chain("&&", Kind::And, Self::relation))?;
                self.expect(":")?;
                let no = self.expression()?;
                node(at, Kind::Conditional(Box::new([condition, yes, no])))?
            }
        };
        self.depth -= 1;
        Ok(node)
    }

    fn chain(
        &mut self,
        mark: &str,
        make: impl Fn(Vec<Node>) -> Kind,
        operand: impl Fn(&mut Self) -> Result<Node, Flaw>,
    ) -> Result<Node, Flaw> {
        let first = operand(self)?;
        if !self.sees(mark) {
            return Ok(first);
        }
        let (at, mut all) = (self.place(), vec![first]);
        while self.accept(mark).is_some() {
            all.push(operand(self)?);
        }
        node(at, make(all))
    }

    fn relation(&mut self) -> Result<Node, Flaw> {
        let mut left = self.sum()?;
        loop {
            let operator = match self.peek() {
                Token::Mark(mark @ ("==" | "!=" | "<" | "<=" | ">" | ">=")) => format!("_{mark}_"),
                Token::Name(name) if name == "in" => "@in".to_owned(),
                _ => return Ok(left),
            };
            let at = self.take().0;
            left = call(at, &operator, vec![left, self.sum()?])?;
        }
    }

    fn sum(&mut self) -> Result<Node, Flaw> {
        let mut left = self.product()?;
        while let Token::Mark(mark @ ("+" | "-")) = *self.peek() {
            let at = self.take().0;
            left = call(at, &format!("_{mark}_"), vec![left, self.product()?])?;
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Node, Flaw> {
        let mut left = self.unary()?;
        while let Token::Mark(mark @ ("*" | "/" | "%")) = *self.peek() {
            let at = self.take().0;
            left = call(at, &format!("_{mark}_"), vec![left, self.unary()?])?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node, Flaw> {
        let Token::Mark(mark @ ("!" | "-")) = *self.peek() else { return self.member() };
        let at = self.place();
        let next = self.tokens.get(self.at + 1).map(|(_, token)| token.clone());
        if mark == "-" && matches!(next, Some(Token::Int(_) | Token::Double(_))) {
            return self.member();
        }
        let mut count = 0_usize;
        while self.accept(mark).is_some() {
            count += 1;
        }
        let operand = self.member()?;
        // Two of them take each other back.
        if count.is_multiple_of(2) { Ok(operand) } else { call(at, &format!("{mark}_"), vec![operand]) }
    }

    fn member(&mut self) -> Result<Node, Flaw> {
        let mut left = self.primary()?;
        loop {
            if let Some(at) = self.accept(".") {
                left = self.field(left, at)?;
            } else if let Some(at) = self.accept("[") {
                let is_optional = self.accept("?").is_some();
                let index = Box::new(self.expression()?);
                self.expect("]")?;
                left = node(at, Kind::Index { operand: Box::new(left), index, is_optional })?;
            } else if self.sees("{") && left.path().is_some_and(|(.., is_whole)| is_whole) {
                left = self.message(&left)?;
            } else {
                return Ok(left);
            }
        }
    }

    fn field(&mut self, operand: Node, dot: usize) -> Result<Node, Flaw> {
        let is_optional = self.accept("?").is_some();
        let Token::Name(field) = self.peek().clone() else {
            return Err(Flaw::syntax(self.place(), "no viable alternative at input '.'"));
        };
        if ["in", "true", "false", "null"].contains(&field.as_str()) {
            return Err(Flaw::syntax(self.place(), &format!("no viable alternative at input '.{field}'")));
        }
        self.take();
        match self.accept("(") {
            Some(at) if !is_optional => {
                let arguments = self.arguments()?;
                method(at, field, operand, arguments)
            }
            Some(_) => Err(Flaw::syntax(dot, "no viable alternative at input '.?'")),
            None => node(dot, Kind::Select(Select { operand: Box::new(operand), field, is_optional, is_test: false })),
        }
    }

    /// The fields of a message: the types of messages are unknown anyway.
    fn message(&mut self, name: &Node) -> Result<Node, Flaw> {
        let at = self.expect("{")?;
        while !self.sees("}") {
            self.take();
            self.expect(":")?;
            self.expression()?;
            if self.accept(",").is_none() {
                break;
            }
        }
        self.expect("}")?;
        let name = name.path().map(|(_, path, _)| path).unwrap_or_default();
        node(at, Kind::Message(name))
    }

    fn arguments(&mut self) -> Result<Vec<Node>, Flaw> {
        let mut arguments = Vec::new();
        if self.accept(")").is_some() {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if self.accept(",").is_none() {
                break;
            }
        }
        self.expect(")")?;
        Ok(arguments)
    }

    fn primary(&mut self) -> Result<Node, Flaw> {
        let (at, token) = self.take();
        match token {
            Token::Name(name) => self.name(at, name),
            Token::Mark(".") => match self.take() {
                (at, Token::Name(name)) => self.name(at, name),
                _ => Err(Flaw::syntax(at, "no viable alternative at input '.'")),
            },
            Token::Mark("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Mark("[") => self.list(at),
            Token::Mark("{") => self.map(at),
            Token::Mark("-") => {
                let (_, token) = self.take();
                constant(at, &token, true)
            }
            Token::Int(_) | Token::Uint(_) | Token::Double(_) | Token::Text(_) | Token::Bytes(_) => {
                constant(at, &token, false)
            }
            _ => {
                self.at -= 1;
                Err(self.unexpected(OPERANDS))
            }
        }
    }

    fn name(&mut self, at: usize, name: String) -> Result<Node, Flaw> {
        let constant = match name.as_str() {
            "true" => Some(Constant::Bool(true)),
            "false" => Some(Constant::Bool(false)),
            "null" => Some(Constant::Null),
            "in" => {
                self.at -= 1;
                return Err(self.unexpected(OPERANDS));
            }
            reserved if RESERVED.contains(&reserved) => {
                return Err(Flaw::new(at, &format!("reserved identifier: {reserved}")));
            }
            _ => None,
        };
        if let Some(constant) = constant {
            return node(at, Kind::Constant(constant));
        }
        match self.accept("(") {
            Some(at) => {
                let arguments = self.arguments()?;
                if name == "has" && arguments.len() == 1 { has(at, arguments) } else { call(at, &name, arguments) }
            }
            None => node(at, Kind::Name(name)),
        }
    }

    fn list(&mut self, at: usize) -> Result<Node, Flaw> {
        let mut elements = Vec::new();
        while !self.sees("]") && !self.sees(",") {
            let is_optional = self.accept("?").is_some();
            elements.push((self.expression()?, is_optional));
            if !self.sees(",") || self.tokens.get(self.at + 1).is_some_and(|(_, next)| *next == Token::Mark("]")) {
                break;
            }
            self.take();
        }
        self.accept(",");
        if self.accept("]").is_none() {
            return Err(self.unexpected("{']', ','}"));
        }
        node(at, Kind::List(elements))
    }

    fn map(&mut self, at: usize) -> Result<Node, Flaw> {
        let mut entries = Vec::new();
        while !self.sees("}") && !self.sees(",") {
            let is_optional = self.accept("?").is_some();
            let key = self.expression()?;
            self.expect(":")?;
            entries.push((key, self.expression()?, is_optional));
            if !self.sees(",") || self.tokens.get(self.at + 1).is_some_and(|(_, next)| *next == Token::Mark("}")) {
                break;
            }
            self.take();
        }
        self.accept(",");
        self.expect("}")?;
        node(at, Kind::Map(entries))
    }
}

fn node(at: usize, kind: Kind) -> Result<Node, Flaw> {
    let mut node = Node { at, depth: 0, kind };
    node.depth = 1 + node.children().into_iter().map(|child| child.depth).max().unwrap_or(0);
    if node.depth > DEEPEST {
        return Err(Flaw::new(at, &format!("expression recursion limit exceeded: {DEEPEST}")));
    }
    Ok(node)
}

fn call(at: usize, function: &str, arguments: Vec<Node>) -> Result<Node, Flaw> {
    node(at, Kind::Call { function: function.into(), target: None, arguments })
}

/// A method: a macro, a function with a dot in its name, or a method indeed.
fn method(at: usize, name: String, target: Node, mut arguments: Vec<Node>) -> Result<Node, Flaw> {
    if let Some(how) = How::of(&name, arguments.len()) {
        let body = arguments.pop().map(Box::new);
        let filter = if arguments.len() == 2 { arguments.pop().map(Box::new) } else { None };
        if let (Some(body), Some(bound)) = (body, arguments.pop()) {
            let Kind::Name(variable) = bound.kind else { return Err(Flaw::new(bound.at, how.complaint())) };
            return node(at, Kind::Fold(Fold { range: Box::new(target), variable, how, filter, body }));
        }
        return Err(Flaw::new(at, how.complaint()));
    }
    if let Some((_, path, true)) = target.path() {
        let qualified = format!("{path}.{name}");
        if signatures::is_known(&qualified) {
            return call(at, &qualified, arguments);
        }
    }
    node(at, Kind::Call { function: name, target: Some(Box::new(target)), arguments })
}

fn has(at: usize, mut arguments: Vec<Node>) -> Result<Node, Flaw> {
    match arguments.pop() {
        Some(Node { kind: Kind::Select(select), .. }) if !select.is_optional => {
            node(at, Kind::Select(Select { is_test: true, ..select }))
        }
        other => Err(Flaw::new(other.map_or(at, |other| other.at), "invalid argument to has() macro")),
    }
}

fn constant(at: usize, token: &Token, is_negative: bool) -> Result<Node, Flaw> {
    let sign = if is_negative { "-" } else { "" };
    let constant = match token {
        Token::Int(digits) => {
            let (digits, radix) = digits.strip_prefix("0x").map_or((digits.as_str(), 10), |digits| (digits, 16));
            let value = i64::from_str_radix(&format!("{sign}{digits}"), radix);
            Constant::Int(value.map_err(|_| Flaw::new(at, "invalid int literal"))?)
        }
        Token::Uint(digits) => {
            let (digits, radix) = digits.strip_prefix("0x").map_or((digits.as_str(), 10), |digits| (digits, 16));
            Constant::Uint(u64::from_str_radix(digits, radix).map_err(|_| Flaw::new(at, "invalid uint literal"))?)
        }
        Token::Double(value) => Constant::Double(if is_negative { -value } else { *value }),
        Token::Text(text) => Constant::Text(text.clone()),
        Token::Bytes(bytes) => Constant::Bytes(bytes.clone()),
        _ => return Err(Flaw::syntax(at, &format!("mismatched input '-' expecting {OPERANDS}"))),
    };
    node(at, Kind::Constant(constant))
}
