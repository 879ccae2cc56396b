//! An object within a build: its tree, and what the build has done to it so far.

use manifest::Origin;
use yaml::{Kind, Node};

use crate::error::{Error, Problem};
use crate::facts::Facts;
use crate::id::{Gvk, Id};
use crate::kustomization::Pairs;
use crate::tree;

/// An object within a build.
///
/// The original keeps what it has done in annotations below [`INTERNAL`], which are visible to patches of the
/// annotations map; [`Resource::reveal`] and [`Resource::conceal`] show them for as long as that matters.
#[derive(Clone)]
pub(crate) struct Resource {
    pub(crate) node: Node,
    /// Where it was read.
    pub(crate) origin: Origin,
    /// The identities that it had, oldest first.
    pub(crate) previous: Vec<Previous>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) suffixes: Vec<String>,
    pub(crate) behavior: Option<Behavior>,
    pub(crate) needs_hash: bool,
    /// A chart's: the namespace transformer leaves it alone.
    pub(crate) from_chart: bool,
    /// Variables that read it.
    pub(crate) variables: Vec<String>,
    /// Whether scalars of it are shared (see [`tree`]).
    pub(crate) has_shared: bool,
    /// How many groups of shared scalars it has had.
    pub(crate) shared_groups: u32,
    /// Removed by a patch; gone when the transformer is through.
    pub(crate) deleted: bool,
}

/// An identity that an object had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Previous {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) kind: String,
}

/// What a generator does when its object is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behavior {
    Unspecified,
    Create,
    Replace,
    Merge,
}

impl Behavior {
    /// Reads the word of a kustomization; any other word is no word.
    pub(crate) fn read(word: &str) -> Self {
        match word {
            "create" => Behavior::Create,
            "replace" => Behavior::Replace,
            "merge" => Behavior::Merge,
            _ => Behavior::Unspecified,
        }
    }

    /// The word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Behavior::Unspecified => "unspecified",
            Behavior::Create => "create",
            Behavior::Replace => "replace",
            Behavior::Merge => "merge",
        }
    }
}

/// Prefix of the annotations in which the original keeps its books.
const INTERNAL: &str = "internal.config.kubernetes.io/";

/// Annotations that never reach the output, besides those that [`Resource::reveal`] writes.
const NEVER_PRINTED: [&str; 11] = [
    "internal.config.kubernetes.io/refBy",
    "internal.config.kubernetes.io/allowNameChange",
    "internal.config.kubernetes.io/allowKindChange",
    "internal.config.kubernetes.io/path",
    "internal.config.kubernetes.io/index",
    "internal.config.kubernetes.io/seqindent",
    "internal.config.kubernetes.io/id",
    "internal.config.kubernetes.io/annotations-migration-resource-id",
    "config.kubernetes.io/path",
    "config.kubernetes.io/index",
    "config.k8s.io/id",
];

impl Resource {
    /// An object as it was read.
    pub(crate) fn new(node: Node, origin: Origin) -> Self {
        let mut resource = Self {
            node,
            origin,
            previous: Vec::new(),
            prefixes: Vec::new(),
            suffixes: Vec::new(),
            behavior: None,
            needs_hash: false,
            from_chart: false,
            variables: Vec::new(),
            has_shared: false,
            shared_groups: 0,
            deleted: false,
        };
        resource.conceal();
        resource
    }

    /// The identity that it has now.
    pub(crate) fn id(&self, facts: &Facts) -> Id {
        Id::of(&self.node, facts)
    }

    /// The identity that it was read with.
    pub(crate) fn original_id(&self, facts: &Facts) -> Id {
        let current = self.id(facts);
        match self.previous.first() {
            Some(previous) => previous.id(&current.gvk),
            None => current,
        }
    }

    /// The identities that it had, oldest first, with its present group and version.
    pub(crate) fn previous_ids<'a>(&'a self, current: &'a Id) -> impl Iterator<Item = Id> + 'a {
        self.previous.iter().map(|previous| previous.id(&current.gvk))
    }

    /// Remembers the present identity.
    pub(crate) fn remember(&mut self, facts: &Facts) {
        let Id { gvk, name, namespace, cluster } = self.id(facts);
        let kind = gvk.kind.clone();
        let id = Id { gvk, name, namespace, cluster };
        let namespace = id.effective_namespace().into();
        self.previous.push(Previous { namespace, name: id.name, kind });
    }

    /// A scalar field of the root, or empty.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.node.get(name).map(|value| value.value.as_str()).unwrap_or_default()
    }

    /// The text of an annotation.
    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        let annotations = self.node.get("metadata")?.get("annotations")?;
        annotations.get(name).map(|value| value.value.as_str())
    }

    /// Writes the name.
    pub(crate) fn set_name(&mut self, name: &str) -> Result<(), Problem> {
        tree::set_path(&mut self.node, &["metadata", "name"], tree::untagged(name))
    }

    /// Writes the namespace; an empty one removes it.
    pub(crate) fn set_namespace(&mut self, namespace: &str) -> Result<(), Problem> {
        if !namespace.is_empty() {
            return tree::set_path(&mut self.node, &["metadata", "namespace"], tree::untagged(namespace));
        }
        match self.node.get_mut("metadata") {
            Some(metadata) => tree::clear(metadata, "namespace").map(|_| ()),
            None => Ok(()),
        }
    }

    /// Labels (`field` is `labels`) or annotations, as texts.
    pub(crate) fn pairs(&self, field: &str) -> Pairs {
        let map = self.node.get("metadata").and_then(|metadata| metadata.get(field));
        let mut pairs = Pairs::new();
        for (key, value) in map.into_iter().flat_map(Node::pairs) {
            pairs.insert(key.value.clone(), value.value.clone());
        }
        pairs
    }

    /// Writes labels or annotations, all as texts; none removes the field.
    pub(crate) fn set_pairs(&mut self, field: &str, pairs: &Pairs) -> Result<(), Problem> {
        let metadata = tree::get_or_add(&mut self.node, "metadata", Kind::Mapping)?;
        tree::clear(metadata, field)?;
        if pairs.is_empty() {
            return Ok(());
        }
        let map = tree::get_or_add(metadata, field, Kind::Mapping)?;
        pairs.iter().try_for_each(|(key, value)| tree::set(map, key, tree::string(value)))
    }

    /// Writes one annotation, in quotes as kyaml does it.
    pub(crate) fn set_annotation(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        let quoted = Node { style: yaml::Style::SingleQuoted, ..Node::string(value) };
        tree::set_path(&mut self.node, &["metadata", "annotations", name], quoted)
    }

    /// A problem of this object.
    pub(crate) fn error(&self, facts: &Facts, problem: impl Into<Problem>) -> Error {
        Error::of_object(&self.origin, self.id(facts).to_string(), problem)
    }

    /// Writes the books into the annotations.
    pub(crate) fn reveal(&mut self) -> Result<(), Problem> {
        for (name, value) in self.books() {
            self.set_annotation(&format!("{INTERNAL}{name}"), &value)?;
        }
        Ok(())
    }

    fn books(&self) -> Vec<(&'static str, String)> {
        let join = |part: fn(&Previous) -> &str| self.previous.iter().map(part).collect::<Vec<_>>().join(",");
        let mut books = Vec::new();
        if !self.previous.is_empty() {
            books.push(("previousKinds", join(|previous| &previous.kind)));
            books.push(("previousNames", join(|previous| &previous.name)));
            books.push(("previousNamespaces", join(|previous| &previous.namespace)));
        }
        if !self.prefixes.is_empty() {
            books.push(("prefixes", self.prefixes.join(",")));
        }
        if !self.suffixes.is_empty() {
            books.push(("suffixes", self.suffixes.join(",")));
        }
        books.extend(self.behavior.map(|behavior| ("generatorBehavior", behavior.word().into())));
        books.extend(self.needs_hash.then(|| ("needsHashSuffix", "enabled".into())));
        books.extend(self.from_chart.then(|| ("helm-generated", "true".into())));
        books
    }

    /// Takes the books out of the annotations; what is not there has been lost.
    pub(crate) fn conceal(&mut self) {
        let Some(annotations) = self.node.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"))
        else {
            return;
        };
        if !annotations.children.iter().step_by(2).any(|key| key.value.starts_with(INTERNAL)) {
            return;
        }
        let mut take = |name: &str| {
            let taken = tree::clear(annotations, &format!("{INTERNAL}{name}")).ok().flatten();
            taken.map(|node| node.value)
        };
        let split = |list: Option<String>| {
            list.map(|list| list.split(',').map(String::from).collect::<Vec<_>>()).unwrap_or_default()
        };
        let (kinds, names, namespaces) =
            (split(take("previousKinds")), split(take("previousNames")), split(take("previousNamespaces")));
        self.prefixes = split(take("prefixes"));
        self.suffixes = split(take("suffixes"));
        self.behavior = take("generatorBehavior").map(|word| Behavior::read(&word));
        self.needs_hash = take("needsHashSuffix").is_some_and(|flag| flag == "enabled");
        self.from_chart = take("helm-generated").is_some_and(|flag| flag == "true");
        let all = kinds.into_iter().zip(names).zip(namespaces);
        self.previous = all.map(|((kind, name), namespace)| Previous { namespace, name, kind }).collect();
        self.drop_empty_annotations();
    }

    /// Annotations that only held the books go with them.
    fn drop_empty_annotations(&mut self) {
        let is_empty = |metadata: &&mut Node| {
            metadata.get("annotations").is_some_and(|map| map.kind == Kind::Mapping && map.children.is_empty())
        };
        if let Some(metadata) = self.node.get_mut("metadata").filter(is_empty) {
            _ = tree::clear(metadata, "annotations");
        }
    }

    /// Forgets the books, as the original does when a patch drops the annotations that hold them.
    pub(crate) fn forget(&mut self) {
        self.previous.clear();
        self.prefixes.clear();
        self.suffixes.clear();
        self.behavior = None;
        self.needs_hash = false;
        self.from_chart = false;
    }

    /// Brings the annotations into the state in which they are printed: texts, without those of the build.
    pub(crate) fn finish(&mut self, keep: &[&str]) -> Result<(), Problem> {
        let mut annotations = self.pairs("annotations");
        annotations.retain(|name, _| keep.contains(&name.as_str()) || !is_never_printed(name));
        self.set_pairs("annotations", &annotations)
    }
}

/// The annotation that says where an object comes from.
pub(crate) const ORIGIN: &str = "config.kubernetes.io/origin";

/// The annotation that says what changed an object.
pub(crate) const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";

fn is_never_printed(name: &str) -> bool {
    const BOOKS: [&str; 8] = [
        "previousKinds",
        "previousNames",
        "previousNamespaces",
        "prefixes",
        "suffixes",
        "generatorBehavior",
        "needsHashSuffix",
        "helm-generated",
    ];
    name == ORIGIN
        || name == TRANSFORMATIONS
        || NEVER_PRINTED.contains(&name)
        || name.strip_prefix(INTERNAL).is_some_and(|name| BOOKS.contains(&name))
}

impl Previous {
    fn id(&self, gvk: &Gvk) -> Id {
        Id {
            gvk: Gvk { kind: self.kind.clone(), ..gvk.clone() },
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            cluster: false,
        }
    }
}

/// What the build remembers of an object.
pub(crate) struct Books {
    previous: Vec<Previous>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
    behavior: Option<Behavior>,
    needs_hash: bool,
    from_chart: bool,
}

impl Resource {
    /// A copy of what the build remembers.
    pub(crate) fn clone_books(&self) -> Books {
        Books {
            previous: self.previous.clone(),
            prefixes: self.prefixes.clone(),
            suffixes: self.suffixes.clone(),
            behavior: self.behavior,
            needs_hash: self.needs_hash,
            from_chart: self.from_chart,
        }
    }

    /// Remembers again what a change of the annotations may have dropped.
    pub(crate) fn restore_books(&mut self, books: Books) {
        let Books { previous, prefixes, suffixes, behavior, needs_hash, from_chart } = books;
        (self.previous, self.prefixes, self.suffixes) = (previous, prefixes, suffixes);
        (self.behavior, self.needs_hash, self.from_chart) = (behavior, needs_hash, from_chart);
    }
}
