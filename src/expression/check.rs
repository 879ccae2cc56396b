//! Types of an expression's parts, as cel-go's checker tells them. Only what is compiled (`readyExpr`) is checked.

use std::collections::HashMap;

use super::signatures::{Type, overloads};
use super::syntax::{Constant, Flaw, Fold, How, Kind, Node, Select};
use super::value::TYPES;

/// Checks an expression whose `variables` are structures.
pub(super) fn check(node: &Node, variables: &[&str]) -> Result<Type, Vec<Flaw>> {
    let structure = Type::map(Type::Named("string"), Type::Dyn);
    let names = variables.iter().map(|name| ((*name).to_owned(), structure.clone())).collect();
    let mut checker = Checker {
        names,
        known: HashMap::new(),
        trail: Vec::new(),
        count: 2,
        flaws: Vec::new(),
        mixed: Vec::new(),
        in_format: 0,
    };
    let found = checker.type_of(node);
    let found = checker.settled(&found);
    if checker.flaws.is_empty() {
        checker.flaws.append(&mut checker.mixed);
    }
    if checker.flaws.is_empty() { Ok(found) } else { Err(checker.flaws) }
}

struct Checker {
    /// Variables in scope, inner ones last.
    names: Vec<(String, Type)>,
    /// What type parameters have become.
    known: HashMap<usize, Type>,
    /// Those of `known`, in the order in which they became so: what does not fit after all is taken back.
    trail: Vec<(usize, Option<Type>)>,
    count: usize,
    flaws: Vec<Flaw>,
    /// Elements of different types: told only when nothing else is wrong.
    mixed: Vec<Flaw>,
    in_format: usize,
}

impl Checker {
    fn fresh(&mut self) -> Type {
        self.count += 1;
        Type::Param(self.count)
    }

    fn flaw(&mut self, at: usize, message: &str) -> Type {
        self.flaws.push(Flaw::new(at, message));
        Type::Error
    }

    fn type_of(&mut self, node: &Node) -> Type {
        match &node.kind {
            Kind::Constant(constant) => Type::Named(constant_type(constant)),
            Kind::Name(name) => self.name(node.at, name),
            Kind::Select(select) => self.select(node, select),
            Kind::Index { operand, index, is_optional } => {
                let function = if *is_optional { "_[?_]" } else { "_[_]" };
                self.call(node.at, function, None, &[operand, index])
            }
            Kind::Call { function, target, arguments } => {
                let is_exempt = function == "format";
                self.in_format += usize::from(is_exempt);
                let found = self.call(node.at, function, target.as_deref(), &arguments.iter().collect::<Vec<_>>());
                self.in_format -= usize::from(is_exempt);
                found
            }
            Kind::And(all) | Kind::Or(all) => {
                for operand in all {
                    self.expect_bool(operand);
                }
                Type::Named("bool")
            }
            Kind::Conditional(parts) => self.call(node.at, "_?_:_", None, &parts.iter().collect::<Vec<_>>()),
            Kind::List(elements) => self.list(elements),
            Kind::Map(entries) => self.map(entries),
            Kind::Message(name) => self.flaw(node.at, &undeclared(name)),
            Kind::Fold(fold) => self.fold(node.at, fold),
        }
    }

    fn expect_bool(&mut self, node: &Node) {
        let found = self.type_of(node);
        self.expect(node.at, &Type::Named("bool"), &found);
    }

    fn expect(&mut self, at: usize, wanted: &Type, found: &Type) {
        if !self.fits(found, wanted) {
            let found = self.settled(found);
            self.flaw(at, &format!("expected type '{wanted}' but found '{found}'"));
        }
    }

    fn name(&mut self, at: usize, name: &str) -> Type {
        if let Some((_, found)) = self.names.iter().rev().find(|(known, _)| known == name) {
            return found.clone();
        }
        if TYPES.contains(&name) { Type::Named("type") } else { self.flaw(at, &undeclared(name)) }
    }

    fn select(&mut self, node: &Node, select: &Select) -> Type {
        if let Some((root, path, true)) = node.path() {
            let is_shadowed = self.names.iter().any(|(name, _)| name == root);
            if !is_shadowed && TYPES.contains(&path.as_str()) {
                return Type::Named("type");
            }
        }
        let operand = self.type_of(&select.operand);
        let operand = self.settled(&operand);
        let (target, was_optional) = match operand {
            Type::Optional(inner) => (*inner, true),
            other => (other, false),
        };
        let found = match &target {
            Type::Map(_, value) => (**value).clone(),
            Type::Param(_) => {
                self.fits(&Type::Dyn, &target);
                Type::Dyn
            }
            Type::Dyn | Type::Error => Type::Dyn,
            other => {
                self.flaw(node.at, &format!("type '{other}' does not support field selection"));
                Type::Dyn
            }
        };
        match (select.is_test, was_optional || select.is_optional) {
            (true, _) => Type::Named("bool"),
            (false, true) => Type::optional(found),
            (false, false) => found,
        }
    }

    fn call(&mut self, at: usize, function: &str, target: Option<&Node>, arguments: &[&Node]) -> Type {
        let given: Vec<Type> =
            target.into_iter().chain(arguments.iter().copied()).map(|node| self.type_of(node)).collect();
        let forms = overloads(function);
        if forms.is_empty() {
            return self.flaw(at, &undeclared(function));
        }
        let mut result: Option<Type> = None;
        for form in
            forms.iter().filter(|form| form.is_method == target.is_some() && form.arguments.len() == given.len())
        {
            let fresh = [self.fresh(), self.fresh()];
            let before = self.trail.len();
            let wanted: Vec<Type> = form.arguments.iter().map(|wanted| renewed(wanted, &fresh)).collect();
            if !given.iter().zip(&wanted).all(|(given, wanted)| self.fits(given, wanted)) {
                self.take_back(before);
                continue;
            }
            let found = self.settled(&renewed(&form.result, &fresh));
            result = match result {
                None => Some(found),
                Some(first) if first == found => Some(first),
                Some(_) => Some(Type::Dyn),
            };
        }
        result.unwrap_or_else(|| {
            let texts: Vec<String> = given.iter().map(|given| self.settled(given).to_string()).collect();
            let shown = match (target, texts.split_first()) {
                (Some(_), Some((target, rest))) => format!("{target}.({})", rest.join(", ")),
                _ => format!("({})", texts.join(", ")),
            };
            self.flaw(at, &format!("found no matching overload for '{function}' applied to '{shown}'"))
        })
    }

    fn list(&mut self, elements: &[(Node, bool)]) -> Type {
        let mut types = Vec::new();
        for (element, is_optional) in elements {
            let found = self.type_of(element);
            types.push((element.at, self.unwrapped(element.at, found, *is_optional)));
        }
        self.same(&types);
        Type::list(self.joined(types))
    }

    fn map(&mut self, entries: &[(Node, Node, bool)]) -> Type {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (key, value, is_optional) in entries {
            keys.push((key.at, self.type_of(key)));
            let found = self.type_of(value);
            values.push((value.at, self.unwrapped(value.at, found, *is_optional)));
        }
        let pairs: Vec<_> = keys.iter().cloned().zip(values.iter().cloned()).collect();
        if let Some(((first_key, first_value), rest)) = pairs.split_first() {
            for (key, value) in rest {
                self.same(&[first_key.clone(), key.clone()]);
                self.same(&[first_value.clone(), value.clone()]);
            }
        }
        Type::map(self.joined(keys), self.joined(values))
    }

    /// The type inside of an optional element.
    fn unwrapped(&mut self, at: usize, found: Type, is_optional: bool) -> Type {
        if !is_optional {
            return found;
        }
        match self.settled(&found) {
            Type::Optional(inner) => *inner,
            Type::Dyn | Type::Error => Type::Dyn,
            other => {
                let wanted = Type::optional(other.clone());
                self.expect(at, &wanted, &other);
                other
            }
        }
    }

    fn joined(&mut self, types: Vec<(usize, Type)>) -> Type {
        let mut types = types.into_iter().map(|(_, found)| found);
        let Some(mut joined) = types.next() else { return self.fresh() };
        for found in types {
            joined = match (self.fits(&found, &joined), self.fits(&joined, &found)) {
                (true, _) => joined,
                (false, true) => found,
                (false, false) => Type::Dyn,
            };
        }
        joined
    }

    /// Notes the first element that has not the type of the first.
    fn same(&mut self, types: &[(usize, Type)]) {
        let Some(((_, first), rest)) = types.split_first() else { return };
        let first = self.settled(first);
        let other =
            rest.iter().map(|(at, found)| (*at, self.settled(found))).find(|(_, found)| !equivalent(&first, found));
        if let Some((at, found)) = other.filter(|_| self.in_format == 0) {
            self.mixed.push(Flaw::new(at, &format!("expected type '{first}' but found '{found}'")));
        }
    }

    fn fold(&mut self, at: usize, fold: &Fold) -> Type {
        let range = self.type_of(&fold.range);
        let range = self.settled(&range);
        if matches!(fold.how, How::OptMap | How::OptFlatMap) {
            return self.optional_fold(at, fold, &range);
        }
        let element = match &range {
            Type::List(element) => (**element).clone(),
            Type::Map(key, _) => (**key).clone(),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.fits(&Type::Dyn, &range);
                Type::Dyn
            }
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.flaw(fold.range.at, &message)
            }
        };
        self.names.push((fold.variable.clone(), element.clone()));
        if let Some(filter) = &fold.filter {
            self.expect_bool(filter);
        }
        let found = match fold.how {
            How::Map => Type::list(self.type_of(&fold.body)),
            How::Filter => {
                self.expect_bool(&fold.body);
                Type::list(element)
            }
            _ => {
                self.expect_bool(&fold.body);
                Type::Named("bool")
            }
        };
        self.names.pop();
        self.settled(&found)
    }

    fn optional_fold(&mut self, at: usize, fold: &Fold, range: &Type) -> Type {
        let inner = match range {
            Type::Optional(inner) => (**inner).clone(),
            Type::Dyn | Type::Error | Type::Param(_) => Type::Dyn,
            other => {
                let message = format!("found no matching overload for 'hasValue' applied to '{other}.()'");
                self.flaw(at, &message)
            }
        };
        self.names.push((fold.variable.clone(), inner));
        let body = self.type_of(&fold.body);
        self.names.pop();
        match (fold.how, self.settled(&body)) {
            (How::OptFlatMap, found @ (Type::Optional(_) | Type::Dyn | Type::Error)) => found,
            (_, found) => Type::optional(found),
        }
    }

    /// Whether a value of one type may stand where another is wanted; parameters become what fits.
    fn fits(&mut self, given: &Type, wanted: &Type) -> bool {
        let param = self.last_param(wanted);
        let (given, wanted) = (self.shallow(given), self.shallow(wanted));
        // Of two types that fit, the more general one stays.
        if let (Some(param), false) = (param, matches!(wanted, Type::Param(_)))
            && !matches!(given, Type::Param(_))
        {
            let does_fit = self.fits(&given, &wanted);
            if does_fit && is_less_specific(&given, &wanted) && !self.holds(&given, param) {
                self.becomes(param, given);
            }
            return does_fit;
        }
        match (given, wanted) {
            (Type::Param(one), Type::Param(other)) if one == other => true,
            (given, Type::Param(param)) | (Type::Param(param), given) => {
                if self.holds(&given, param) {
                    return false;
                }
                self.becomes(param, given);
                true
            }
            (Type::Dyn | Type::Error, _) | (_, Type::Dyn | Type::Error) => true,
            (Type::List(given), Type::List(wanted)) | (Type::Optional(given), Type::Optional(wanted)) => {
                self.fits(&given, &wanted)
            }
            (Type::Map(given_key, given), Type::Map(wanted_key, wanted)) => {
                self.fits(&given_key, &wanted_key) && self.fits(&given, &wanted)
            }
            (Type::Named(given), Type::Named(wanted)) => {
                let is_nullable = |name| matches!(name, "timestamp" | "duration");
                given == wanted || (given == "null" && is_nullable(wanted)) || (wanted == "null" && is_nullable(given))
            }
            _ => false,
        }
    }

    fn becomes(&mut self, param: usize, known: Type) {
        let before = self.known.insert(param, known);
        self.trail.push((param, before));
    }

    /// The parameter at the end of a chain of parameters.
    fn last_param(&self, of: &Type) -> Option<usize> {
        let Type::Param(mut last) = *of else { return None };
        while let Some(Type::Param(next)) = self.known.get(&last) {
            last = *next;
        }
        Some(last)
    }

    fn take_back(&mut self, length: usize) {
        for (param, before) in self.trail.drain(length..).rev() {
            match before {
                Some(before) => self.known.insert(param, before),
                None => self.known.remove(&param),
            };
        }
    }

    /// Whether a type is made of a parameter, which can then not become that type.
    fn holds(&self, of: &Type, param: usize) -> bool {
        match self.shallow(of) {
            Type::Param(found) => found == param,
            Type::List(inner) | Type::Optional(inner) => self.holds(&inner, param),
            Type::Map(key, value) => self.holds(&key, param) || self.holds(&value, param),
            _ => false,
        }
    }

    fn shallow(&self, of: &Type) -> Type {
        let mut found = of;
        while let Type::Param(param) = found
            && let Some(known) = self.known.get(param)
        {
            found = known;
        }
        found.clone()
    }

    /// A type with all that is known of its parameters.
    fn settled(&self, of: &Type) -> Type {
        match self.shallow(of) {
            Type::List(element) => Type::list(self.settled(&element)),
            Type::Map(key, value) => Type::map(self.settled(&key), self.settled(&value)),
            Type::Optional(inner) => Type::optional(self.settled(&inner)),
            other => other,
        }
    }
}

fn renewed(of: &Type, fresh: &[Type; 2]) -> Type {
    match of {
        Type::Param(index) => fresh[usize::from(*index == 1)].clone(),
        Type::List(element) => Type::list(renewed(element, fresh)),
        Type::Map(key, value) => Type::map(renewed(key, fresh), renewed(value, fresh)),
        Type::Optional(inner) => Type::optional(renewed(inner, fresh)),
        other => other.clone(),
    }
}

fn is_less_specific(one: &Type, other: &Type) -> bool {
    match (one, other) {
        (Type::Dyn | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Param(_)) => false,
        (Type::List(one), Type::List(other)) | (Type::Optional(one), Type::Optional(other)) => {
            is_less_specific(one, other)
        }
        (Type::Map(key, value), Type::Map(other_key, other)) => {
            is_less_specific(key, other_key) && is_less_specific(value, other)
        }
        _ => one == other,
    }
}

fn equivalent(one: &Type, other: &Type) -> bool {
    match (one, other) {
        (Type::Param(_), _) | (_, Type::Param(_)) => true,
        (Type::List(one), Type::List(other)) | (Type::Optional(one), Type::Optional(other)) => equivalent(one, other),
        (Type::Map(key, value), Type::Map(other_key, other)) => equivalent(key, other_key) && equivalent(value, other),
        _ => one == other,
    }
}

fn undeclared(name: &str) -> String {
    format!("undeclared reference to '{name}' (in container '')")
}

fn constant_type(constant: &Constant) -> &'static str {
    match constant {
        Constant::Null => "null",
        Constant::Bool(_) => "bool",
        Constant::Int(_) => "int",
        Constant::Uint(_) => "uint",
        Constant::Double(_) => "double",
        Constant::Text(_) => "string",
        Constant::Bytes(_) => "bytes",
    }
}
