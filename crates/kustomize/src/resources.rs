//! The objects of a build in order, found by identity without looking through all of them.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Problem};
use crate::facts::Facts;
use crate::growth::Growth;
use crate::id::{Id, Key};
use crate::resource::{Behavior, Resource};

/// The objects of a build, in order.
#[derive(Default, Clone)]
pub(crate) struct Resources {
    list: Vec<Resource>,
    /// Where each identity stands; rebuilt after anything that may change one.
    index: Option<Index>,
    /// What changes have added.
    pub(crate) growth: Growth,
}

/// Places of identities in the list.
#[derive(Default, Clone)]
struct Index {
    current: HashMap<Key, usize>,
    /// Present and former ones.
    any: HashMap<Key, Vec<usize>>,
}

impl Index {
    fn add(&mut self, at: usize, resource: &Resource, facts: &Facts) {
        let current = resource.id(facts);
        for id in resource.previous_ids(&current) {
            self.add_any(id.key(), at);
        }
        self.add_any(current.key(), at);
        self.current.entry(current.key()).or_insert(at);
    }

    fn add_any(&mut self, key: Key, at: usize) {
        let places = self.any.entry(key).or_default();
        if places.last() != Some(&at) {
            places.push(at);
        }
    }
}

/// What a search for one object finds.
pub(crate) enum Found {
    Nothing,
    One(usize),
    Several,
}

impl Resources {
    /// All objects.
    pub(crate) fn list(&self) -> &[Resource] {
        &self.list
    }

    /// All objects, to change them; identities may change.
    pub(crate) fn list_mut(&mut self) -> &mut Vec<Resource> {
        self.index = None;
        &mut self.list
    }

    /// All objects, to change them, and what that adds.
    pub(crate) fn list_and_growth(&mut self) -> (&mut Vec<Resource>, &mut Growth) {
        self.index = None;
        (&mut self.list, &mut self.growth)
    }

    /// One object, to change what is not its identity.
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut Resource> {
        self.list.get_mut(at)
    }

    /// All objects, for good.
    pub(crate) fn into_list(self) -> Vec<Resource> {
        self.list
    }

    fn index(&mut self, facts: &Facts) -> &mut Index {
        let list = &self.list;
        self.index.get_or_insert_with(|| {
            let mut index = Index::default();
            for (at, resource) in list.iter().enumerate().filter(|(_, resource)| !resource.deleted) {
                index.add(at, resource, facts);
            }
            index
        })
    }

    /// Adds an object whose identity is not there yet.
    pub(crate) fn append(&mut self, resource: Resource, facts: &Facts) -> Result<(), Error> {
        let at = self.list.len();
        let index = self.index(facts);
        let id = resource.id(facts);
        if index.current.contains_key(&id.key()) {
            return Err(resource.error(facts, Problem::Duplicate { id: id.to_string() }));
        }
        index.add(at, &resource, facts);
        self.list.push(resource);
        Ok(())
    }

    /// Adds objects; those whose identity is there already are the errors.
    pub(crate) fn append_all(&mut self, others: impl IntoIterator<Item = Resource>, facts: &Facts) -> Vec<Error> {
        others.into_iter().filter_map(|resource| self.append(resource, facts).err()).collect()
    }

    /// The object that has or had an identity.
    pub(crate) fn find_any(&mut self, id: &Id, facts: &Facts) -> Found {
        match self.index(facts).any.get(&id.key()).map(Vec::as_slice) {
            None | Some([]) => Found::Nothing,
            Some([at]) => Found::One(*at),
            Some(_) => Found::Several,
        }
    }

    /// Adds what a generator made, or adds it to what is there, as the generator says.
    pub(crate) fn absorb(&mut self, mut made: Resource, facts: &Facts) -> Result<(), Error> {
        let id = made.id(facts);
        let behavior = made.behavior.unwrap_or(Behavior::Unspecified);
        let adds = matches!(behavior, Behavior::Merge | Behavior::Replace);
        let text = id.to_string();
        let problem = match (self.find_any(&id, facts), adds) {
            (Found::Nothing, false) => return self.append(made, facts),
            (Found::Nothing, true) => Problem::NothingToMerge { id: text },
            (Found::One(_), false) => Problem::AlreadyThere { id: text, behavior: behavior.word() },
            (Found::Several, _) => Problem::MergeAmbiguous { id: text },
            (Found::One(at), true) => {
                let Some(slot) = self.list_mut().get_mut(at) else { return Ok(()) };
                if let Err(problem) = crate::generate::add_to(&mut made, slot, behavior) {
                    return Err(made.error(facts, problem));
                }
                *slot = made;
                return Ok(());
            }
        };
        Err(made.error(facts, problem))
    }

    /// Objects whose identity an earlier one has, and that identity.
    pub(crate) fn repeated<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = (&'a Resource, Id)> {
        let mut seen = HashSet::new();
        let there = self.list.iter().filter(|resource| !resource.deleted);
        there.map(|resource| (resource, resource.id(facts))).filter(move |(_, id)| !seen.insert(id.key()))
    }

    /// The errors for objects whose identity an earlier one has.
    pub(crate) fn duplicates(&self, facts: &Facts) -> Vec<Error> {
        let error = |(resource, id): (&Resource, Id)| resource.error(facts, Problem::Duplicate { id: id.to_string() });
        self.repeated(facts).map(error).collect()
    }

    /// Removes what a patch deleted.
    pub(crate) fn drop_deleted(&mut self) {
        if self.list.iter().any(|resource| resource.deleted) {
            self.list_mut().retain(|resource| !resource.deleted);
        }
    }
}
