//! References by name follow the objects that got new names.

use std::collections::{HashMap, HashSet};

use yaml::{Kind, Node};

use crate::config::{Config, FieldSpec, NameReference};
use crate::error::{Error, Problem};
use crate::facts::Facts;
use crate::fieldspec::{Make, visit};
use crate::id::{Gvk, Id};
use crate::resource::Resource;
use crate::resources::Resources;
use crate::{output, tree};

/// Writes the present names of objects wherever the former ones stand.
pub(crate) fn fix(resources: &mut Resources, config: &Config, facts: &Facts) -> Vec<Error> {
    let mut errors: Vec<Error> =
        resources.list().iter().filter_map(|resource| blank_namespace(resource, facts)).collect();
    let targets = Targets::new(resources.list(), facts);
    let mut plans: HashMap<Gvk, Vec<(&NameReference, &FieldSpec)>> = HashMap::new();
    for resource in resources.list_mut() {
        let original = resource.original_id(facts).gvk;
        let plan = plans.entry(original).or_insert_with_key(|gvk| plan_for(gvk, config));
        if plan.is_empty() {
            continue;
        }
        if let Some(problem) = written_null(&resource.node) {
            errors.push(resource.error(facts, problem));
            continue;
        }
        let referrer = Referrer::new(resource, facts);
        for (reference, spec) in plan {
            let field = Field { targets: &targets, referrer: &referrer, gvk: reference.gvk(), path: &spec.path };
            // Upstream asks for the kind that the object had, then takes the present one.
            let spec = FieldSpec { gvk: Gvk::default(), ..(*spec).clone() };
            let result = visit(&mut resource.node, &spec, Make::Nothing, &mut |node: &mut Node| field.set(node));
            errors.extend(result.err().map(|problem| resource.error(facts, problem)));
        }
        if resource.has_shared {
            tree::settle_shared(&mut resource.node);
        }
    }
    errors
}

/// The error for `~` or `null` where an object says what it is: upstream reads it as empty once, and as a text once.
fn written_null(object: &Node) -> Option<Problem> {
    let metadata = object.get("metadata");
    let fields =
        [("APIVersion", object.get("apiVersion")), ("Namespace", metadata.and_then(|map| map.get("namespace")))];
    let written = fields.into_iter().find_map(|(what, node)| Some((what, node.filter(|node| tree::is_null(node))?)));
    written.filter(|(_, node)| !node.value.is_empty()).map(|(what, node)| {
        let reason = format!("node-referrerOriginal '{what}' mismatch '' != '{}'", node.value);
        Problem::BadPath { reason }
    })
}

/// The fields of a kind that refer to others.
fn plan_for<'c>(gvk: &Gvk, config: &'c Config) -> Vec<(&'c NameReference, &'c FieldSpec)> {
    let all = config
        .name_reference
        .iter()
        .flat_map(|reference| reference.referrers.iter().map(move |spec| (reference, spec)));
    all.filter(|(_, spec)| gvk.is_selected_by(&spec.gvk)).collect()
}

/// What is known of an object that may be referred to.
struct Target {
    id: Id,
    /// Name and namespace as they are now.
    name: String,
    namespace: String,
    former: Vec<Id>,
    original_namespace: String,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

/// The objects that may be referred to, by the names that they had.
struct Targets {
    all: Vec<Target>,
    by_former_name: HashMap<String, Vec<usize>>,
    /// The namespaces in which objects are now, by the one in which they were read: effective and as said.
    moved: HashMap<String, HashSet<(String, String)>>,
}

impl Targets {
    fn new(list: &[Resource], facts: &Facts) -> Self {
        let mut targets = Self { all: Vec::new(), by_former_name: HashMap::new(), moved: HashMap::new() };
        for resource in list {
            targets.add(resource, facts);
        }
        targets
    }

    fn add(&mut self, resource: &Resource, facts: &Facts) {
        let id = resource.id(facts);
        let original_namespace = resource.original_id(facts).effective_namespace().to_owned();
        let now = (id.effective_namespace().to_owned(), id.namespace.clone());
        self.moved.entry(original_namespace.clone()).or_default().insert(now);
        let former: Vec<Id> = resource.previous_ids(&id).collect();
        let names: HashSet<&str> = former.iter().map(|id| id.name.as_str()).collect();
        for name in names {
            self.by_former_name.entry(name.into()).or_default().push(self.all.len());
        }
        let (name, namespace) = (id.name.clone(), id.namespace.clone());
        let (prefixes, suffixes) = (resource.prefixes.clone(), resource.suffixes.clone());
        self.all.push(Target { id, name, namespace, former, original_namespace, prefixes, suffixes });
    }
}

/// The object whose references are fixed.
struct Referrer {
    id: Id,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
    /// Of a role binding: the namespaces of the accounts that it names.
    accounts_in: HashSet<String>,
    /// Of a role binding: group and kind of the role that it names.
    role: Option<Gvk>,
}

impl Referrer {
    fn new(resource: &Resource, facts: &Facts) -> Self {
        Self {
            id: resource.id(facts),
            prefixes: resource.prefixes.clone(),
            suffixes: resource.suffixes.clone(),
            accounts_in: namespaces_of_accounts(&resource.node),
            role: role_of(&resource.node),
        }
    }

    /// Whether an object could be meant at all.
    fn can_see(&self, target: &Id) -> bool {
        self.id.has_no_namespace()
            || target.has_no_namespace()
            || target.effective_namespace() == self.id.effective_namespace()
            || self.accounts_in.contains(&target.namespace)
    }

    /// Whether an object's prefixes and suffixes end as the referrer's do, or the other way round.
    fn has_same_endings(&self, target: &Target, or_none: bool) -> bool {
        let same = |one: &[String], other: &[String]| {
            let shorter = one.len().min(other.len());
            if or_none && shorter == 0 {
                return true;
            }
            shorter > 0 && one[one.len() - shorter..] == other[other.len() - shorter..]
                || one.is_empty() && other.is_empty()
        };
        same(&self.prefixes, &target.prefixes) && same(&self.suffixes, &target.suffixes)
    }
}

/// The error for a role binding that names an account in a namespace that is no text.
fn blank_namespace(resource: &Resource, facts: &Facts) -> Option<Error> {
    if resource.text("kind") != "RoleBinding" {
        return None;
    }
    let subjects = resource.node.get("subjects").filter(|subjects| subjects.kind == Kind::Sequence)?;
    let is_account = |subject: &&Node| subject.get("kind").is_some_and(|kind| kind.value == "ServiceAccount");
    let mut namespaces = subjects.children.iter().filter(is_account).filter_map(|subject| subject.get("namespace"));
    let is_blank = namespaces.any(|namespace| !output::value(namespace).is_ok_and(|value| value.is_string()));
    is_blank.then(|| resource.error(facts, Problem::BlankNamespace))
}

fn namespaces_of_accounts(object: &Node) -> HashSet<String> {
    if object.get("kind").is_none_or(|kind| kind.value != "RoleBinding") {
        return HashSet::new();
    }
    let subjects = object.get("subjects").map(|subjects| subjects.children.as_slice()).unwrap_or_default();
    let is_account = |subject: &&Node| subject.get("kind").is_some_and(|kind| kind.value == "ServiceAccount");
    let namespaces = subjects.iter().filter(is_account).filter_map(|subject| subject.get("namespace"));
    namespaces.map(|namespace| namespace.value.clone()).collect()
}

fn role_of(object: &Node) -> Option<Gvk> {
    let role = object.get("roleRef")?;
    let (group, kind) = (role.get("apiGroup")?, role.get("kind")?);
    Some(Gvk { group: group.value.clone(), version: String::new(), kind: kind.value.clone() })
}

/// A field that refers to an object of a kind.
struct Field<'a> {
    targets: &'a Targets,
    referrer: &'a Referrer,
    gvk: Gvk,
    path: &'a str,
}

impl Field<'_> {
    fn set(&self, node: &mut Node) -> Result<(), Problem> {
        if tree::is_null(node) {
            return Ok(());
        }
        match node.kind {
            Kind::Scalar => self.set_scalar(node),
            Kind::Mapping => self.set_map(node),
            Kind::Sequence => node.children.iter_mut().try_for_each(|entry| match entry.kind {
                _ if tree::is_null(entry) => Ok(()),
                Kind::Scalar => self.set_scalar(entry),
                Kind::Mapping => self.set_map(entry),
                _ => Err(Problem::BadPath { reason: "expected to be either a string or a map of string".into() }),
            }),
            _ => Err(Problem::BadPath { reason: "node must be a scalar, sequence or map".into() }),
        }
    }

    fn set_scalar(&self, node: &mut Node) -> Result<(), Problem> {
        match self.find(&node.value, None, false)? {
            Some(target) if target.name != node.value && !target.name.is_empty() => {
                tree::set_scalar(node, tree::untagged(&target.name))
            }
            _ => Ok(()),
        }
    }

    fn set_map(&self, node: &mut Node) -> Result<(), Problem> {
        let Some(name) = node.get("name") else {
            return Err(Problem::BadPath { reason: "path config error; no 'name' field in node".into() });
        };
        let namespace = node.get("namespace").map(|namespace| namespace.value.as_str());
        let Some(target) = self.find(&name.value, namespace, true)? else { return Ok(()) };
        if target.name == name.value && target.namespace.is_empty() {
            return Ok(());
        }
        tree::set(node, "name", tree::untagged(&target.name))?;
        if target.namespace.is_empty() {
            return Ok(());
        }
        tree::set(node, "namespace", tree::untagged(&target.namespace))
    }

    /// The object that is meant by a name that it had; `None` when there is none.
    fn find(&self, name: &str, namespace: Option<&str>, by_namespace_too: bool) -> Result<Option<&Target>, Problem> {
        let Some(candidates) = self.targets.by_former_name.get(name) else { return Ok(None) };
        let candidates = candidates.iter().filter_map(|at| self.targets.all.get(*at));
        let by_origin = namespace.is_some_and(|namespace| self.was_there(namespace));
        let is_there = |target: &&Target| match namespace {
            None => true,
            Some(namespace) if by_origin => target.original_namespace == namespace,
            Some(namespace) => target.id.effective_namespace() == namespace,
        };
        let mut left: Vec<&Target> = candidates.filter(is_there).filter(|target| self.is_meant(target, name)).collect();
        if left.len() != 1 {
            left.retain(|target| self.referrer.has_same_endings(target, true));
            if left.len() > 1 {
                left.retain(|target| self.referrer.has_same_endings(target, false));
            }
        }
        let Some(first) = left.first() else { return Ok(None) };
        let same =
            |target: &&Target| target.name == first.name && (!by_namespace_too || target.namespace == first.namespace);
        if left.iter().all(same) {
            return Ok(Some(first));
        }
        let ids = left.iter().map(|target| target.id.to_string()).collect::<Vec<_>>().join(", ");
        Err(Problem::AmbiguousReference { ids })
    }

    /// Whether any object that could be meant was read in a namespace.
    fn was_there(&self, namespace: &str) -> bool {
        let now = self.targets.moved.get(namespace);
        now.into_iter().flatten().any(|(effective, said)| {
            let id = Id {
                namespace: said.clone(),
                cluster: effective != said && effective == "_non_namespaceable_",
                ..Id::default()
            };
            self.referrer.can_see(&id)
        })
    }

    fn is_meant(&self, target: &Target, name: &str) -> bool {
        let referrer = &self.referrer.id;
        let is_role = self.path.ends_with("roleRef/name");
        let in_sight = referrer.has_no_namespace()
            || target.id.has_no_namespace()
            || target.id.gvk.kind == "ServiceAccount"
            || target.id.effective_namespace() == referrer.effective_namespace();
        target.former.iter().any(|id| id.name == name)
            && target.former.iter().any(|id| id.gvk.is_selected_by(&self.gvk))
            && (!is_role
                || self
                    .referrer
                    .role
                    .as_ref()
                    .is_none_or(|role| target.former.iter().any(|id| id.gvk.is_selected_by(role))))
            && in_sight
            && self.referrer.can_see(&target.id)
    }
}
