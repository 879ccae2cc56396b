//! `range` over integers, slices and maps.

use super::{Flow, Item, State, Walked};
use crate::parse::tree::Branch;
use crate::value::Uint;
use crate::{Error, Type, Value};

impl<'t> State<'t, '_, '_, '_> {
    pub(super) fn range(&mut self, dot: &Item, branch: &'t Branch) -> Walked {
        let mark = self.variables.len();
        let item = self.pipeline(dot, &branch.pipe)?;
        let ran = self.iterate(&item, branch)?;
        let flow = match &branch.otherwise {
            Some(list) if !ran => self.list(dot, list)?,
            _ => Flow::Next,
        };
        self.variables.truncate(mark);
        Ok(flow)
    }

    /// Runs the body for each element; whether there was one.
    fn iterate(&mut self, item: &Item, branch: &'t Branch) -> Result<bool, Error> {
        let value = item.value.underlying().into_owned();
        match &value {
            Value::Nil => Ok(false),
            Value::Int(end, int) => {
                self.one_variable(branch, &value)?;
                self.each(branch, (0..*end).map(|at| (Item::default(), Item::bare(Value::Int(at, *int)))))
            }
            Value::Duration(end) => {
                self.one_variable(branch, &value)?;
                self.each(branch, (0..*end).map(|at| (Item::default(), Item::bare(Value::Duration(at)))))
            }
            Value::Uint(end, uint) => {
                self.one_variable(branch, &value)?;
                self.each(branch, (0..*end).map(|at| (Item::default(), Item::bare(Value::Uint(at, *uint)))))
            }
            Value::List(list) => {
                let element = *list.element();
                self.each(branch, indexed(list.items().iter().map(|value| Item::element(value.clone(), element))))
            }
            Value::Bytes(bytes) => {
                let items = bytes.iter().map(|byte| Item::bare(Value::Uint((*byte).into(), Uint::Uint8)));
                self.each(branch, indexed(items))
            }
            Value::Map(map) => {
                let element = *map.element();
                let entries = map.entries();
                let items = entries.iter().map(|(key, value)| {
                    (Item::bare(Value::String(key.clone())), Item::element(value.clone(), element))
                });
                self.each(branch, items)
            }
            other => Err(self.fail(format!("range can't iterate over {}", show(other)))),
        }
    }

    fn one_variable(&self, branch: &Branch, value: &Value) -> Result<(), Error> {
        if branch.pipe.variables.len() < 2 {
            return Ok(());
        }
        Err(self.fail(format!("can't use {} to iterate over more than one variable", show(value))))
    }

    fn each(&mut self, branch: &'t Branch, items: impl Iterator<Item = (Item, Item)>) -> Result<bool, Error> {
        let mark = self.variables.len();
        let mut ran = false;
        for (index, element) in items {
            ran = true;
            self.run.session.spend_steps(1)?;
            self.bind(branch, index, &element)?;
            let flow = self.list(&element, &branch.list)?;
            self.variables.truncate(mark);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(ran)
    }

    /// Gives the variables of the pipeline the element, and with two of them the index.
    fn bind(&mut self, branch: &'t Branch, index: Item, element: &Item) -> Result<(), Error> {
        let variables = &branch.pipe.variables;
        if branch.pipe.assigns {
            match variables.as_slice() {
                [one] => self.assign(&one.name, element.clone())?,
                [first, second] => {
                    self.assign(&first.name, index)?;
                    self.assign(&second.name, element.clone())?;
                }
                _ => {}
            }
            return Ok(());
        }
        let top = self.variables.len();
        if !variables.is_empty() {
            self.variables[top - 1].1 = element.clone();
        }
        if variables.len() > 1 {
            self.variables[top - 2].1 = index;
        }
        Ok(())
    }
}

fn indexed(items: impl Iterator<Item = Item>) -> impl Iterator<Item = (Item, Item)> {
    (0i64..).zip(items).map(|(index, item)| (Item::bare(Value::int(index)), item))
}

/// `%v` of a reflected value.
fn show(value: &Value) -> String {
    match value.go_type() {
        Type::Any => "<nil>".into(),
        _ => crate::go::fmt::show_short("%v", value),
    }
}
