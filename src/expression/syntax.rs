//! The tree of an expression, and what can be wrong with its text.

/// Something wrong at a place of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    /// Which character.
    at: usize,
    message: String,
}

impl Flaw {
    pub(super) fn new(at: usize, message: &str) -> Self {
        Self { at, message: message.into() }
    }

    pub(super) fn syntax(at: usize, message: &str) -> Self {
        Self { at, message: format!("Syntax error: {message}") }
    }

    /// As cel-go shows it: line, column, and the line with a mark below.
    pub(super) fn show(&self, text: &str) -> String {
        let before: Vec<char> = text.chars().take(self.at).collect();
        let line = before.iter().filter(|character| **character == '\n').count();
        let column = before.iter().rev().take_while(|character| **character != '\n').count();
        let shown = text.split('\n').nth(line).unwrap_or_default();
        let end_is_beyond = shown.is_empty() && text.is_empty();
        let position = if end_is_beyond { 0 } else { column + 1 };
        let head = format!("ERROR: <input>:{}:{position}: {}", line + 1, self.message);
        if end_is_beyond { head } else { format!("{head}\n | {shown}\n | {}^", ".".repeat(column)) }
    }
}

/// A part of an expression.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The character to which messages point.
    pub(super) at: usize,
    /// How deep the tree below is.
    pub(super) depth: usize,
    pub(super) kind: Kind,
}

/// A value that stands in the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// What a part is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Constant(Constant),
    Name(String),
    Select(Select),
    /// `operand[index]`, `operand[?index]`.
    Index {
        operand: Box<Node>,
        index: Box<Node>,
        is_optional: bool,
    },
    /// A function or operator; a method has its target.
    Call {
        function: String,
        target: Option<Box<Node>>,
        arguments: Vec<Node>,
    },
    /// `&&` of all.
    And(Vec<Node>),
    /// `||` of all.
    Or(Vec<Node>),
    /// Condition, then, else.
    Conditional(Box<[Node; 3]>),
    /// Elements, and whether each stands only when it has a value.
    List(Vec<(Node, bool)>),
    /// Keys and values, and whether each stands only when it has a value.
    Map(Vec<(Node, Node, bool)>),
    /// A message of this type.
    Message(String),
    Fold(Fold),
}

/// `operand.field`, `operand.?field`, `has(operand.field)`.
#[derive(Clone, Debug)]
pub(super) struct Select {
    pub(super) operand: Box<Node>,
    pub(super) field: String,
    pub(super) is_optional: bool,
    /// Whether only its presence is asked for.
    pub(super) is_test: bool,
}

/// A macro that binds a variable.
#[derive(Clone, Debug)]
pub(super) struct Fold {
    pub(super) range: Box<Node>,
    pub(super) variable: String,
    pub(super) how: How,
    /// The predicate of `map` with three arguments.
    pub(super) filter: Option<Box<Node>>,
    pub(super) body: Box<Node>,
}

/// Which macro.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    OptMap,
    OptFlatMap,
}

impl How {
    /// The macro of a method with so many arguments.
    pub(super) fn of(name: &str, arguments: usize) -> Option<Self> {
        Some(match (name, arguments) {
            ("all", 2) => Self::All,
            ("exists", 2) => Self::Exists,
            ("exists_one", 2) => Self::ExistsOne,
            ("map", 2 | 3) => Self::Map,
            ("filter", 2) => Self::Filter,
            ("optMap", 2) => Self::OptMap,
            ("optFlatMap", 2) => Self::OptFlatMap,
            _ => return None,
        })
    }

    /// What is said when its variable is no name.
    pub(super) fn complaint(self) -> &'static str {
        match self {
            Self::All | Self::Exists | Self::ExistsOne => "argument must be a simple name",
            Self::Map | Self::Filter => "argument is not an identifier",
            Self::OptMap => "optMap() variable name must be a simple identifier",
            Self::OptFlatMap => "optFlatMap() variable name must be a simple identifier",
        }
    }
}

impl Node {
    /// The name and the fields that a chain of selections asks for, and whether it is nothing else: `a.b['c']` is `a.b.c`,
    /// `a[0].b` begins with `a`.
    pub(super) fn path(&self) -> Option<(&str, String, bool)> {
        let (operand, field) = match &self.kind {
            Kind::Name(name) => return Some((name, name.clone(), true)),
            Kind::Select(select) => (&select.operand, Some(select.field.as_str())),
            Kind::Index { operand, index, .. } => match &index.kind {
                Kind::Constant(Constant::Text(text)) => (operand, Some(text.as_str())),
                _ => (operand, None),
            },
            _ => return None,
        };
        let (root, path, is_whole) = operand.path()?;
        Some(match field.filter(|_| is_whole) {
            Some(field) => (root, format!("{path}.{field}"), true),
            None => (root, path, false),
        })
    }

    /// The parts below.
    pub(super) fn children(&self) -> Vec<&Node> {
        match &self.kind {
            Kind::Constant(_) | Kind::Name(_) | Kind::Message(_) => Vec::new(),
            Kind::Select(select) => vec![&select.operand],
            Kind::Index { operand, index, .. } => vec![operand, index],
            Kind::Call { target, arguments, .. } => target.iter().map(Box::as_ref).chain(arguments).collect(),
            Kind::And(all) | Kind::Or(all) => all.iter().collect(),
            Kind::Conditional(all) => all.iter().collect(),
            Kind::List(all) => all.iter().map(|(node, _)| node).collect(),
            Kind::Map(all) => all.iter().flat_map(|(key, value, _)| [key, value]).collect(),
            Kind::Fold(fold) => {
                let filter = fold.filter.iter().map(Box::as_ref);
                [fold.range.as_ref()].into_iter().chain(filter).chain([fold.body.as_ref()]).collect()
            }
        }
    }
}
