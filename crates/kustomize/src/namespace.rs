//! The namespace of a layer: written into objects, and into what refers to objects by namespace.

use yaml::{Kind, Node};

use crate::config::FieldSpec;
use crate::error::{Error, Problem};
use crate::facts::Facts;
use crate::fieldspec::{Make, visit};
use crate::resources::Resources;
use crate::transform::each;
use crate::tree;

/// Which subjects of a role binding get the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subjects {
    /// Those with the name `default`.
    NamedDefault,
    /// All service accounts.
    ServiceAccounts,
    /// None.
    None,
}

impl Subjects {
    /// Reads the word of a transformer's file.
    pub(crate) fn read(word: &str) -> Result<Self, Problem> {
        match word {
            "" | "defaultOnly" => Ok(Subjects::NamedDefault),
            "allServiceAccounts" => Ok(Subjects::ServiceAccounts),
            "none" => Ok(Subjects::None),
            _ => Err(Problem::BadPlugin {
                reason: format!(
                    "invalid value {word:?} for setRoleBindingSubjects: must be one of \"defaultOnly\", \"none\" or \"allServiceAccounts\""
                ),
            }),
        }
    }
}

/// The namespace of a layer.
pub(crate) struct NamespaceChange {
    pub(crate) namespace: String,
    pub(crate) specs: Vec<FieldSpec>,
    /// Whether a namespace that is said stays.
    pub(crate) unset_only: bool,
    pub(crate) subjects: Subjects,
}

const METADATA: &str = "metadata/namespace";

impl NamespaceChange {
    /// Writes the namespace into all objects but those of charts. Two objects that become one are an error.
    pub(crate) fn run(&self, resources: &mut Resources, facts: &Facts) -> Vec<Error> {
        if self.namespace.is_empty() {
            return Vec::new();
        }
        let mut errors = each(resources, facts, |resource, _| {
            if resource.deleted || resource.from_chart {
                return Ok(());
            }
            resource.remember(facts);
            let cluster = resource.id(facts).cluster;
            self.change(&mut resource.node, cluster)
        });
        errors.extend(
            resources
                .repeated(facts)
                .map(|(resource, id)| resource.error(facts, Problem::NamespaceConflict { id: id.to_string() })),
        );
        errors
    }

    /// Writes the namespace into one object.
    pub(crate) fn change(&self, object: &mut Node, cluster: bool) -> Result<(), Problem> {
        let text = |name: &str| object.get(name).map(|value| value.value.clone()).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if !cluster {
            let spec = FieldSpec::new(crate::id::Gvk::default(), METADATA, true);
            visit(object, &spec, Make::Text, &mut |node: &mut Node| self.set(node))?;
        }
        let is_binding = |kind: &str| kind == "RoleBinding" || kind == "ClusterRoleBinding";
        if is_binding(&kind) {
            self.change_subjects(object)?;
        }
        for spec in &self.specs {
            let handled = spec.path == METADATA
                || (api_version != "v1" && spec.path == "metadata/name")
                || (is_binding(&kind) && is_binding(&spec.gvk.kind) && spec.path == "subjects/namespace");
            if !handled {
                visit(object, spec, Make::Text, &mut |node: &mut Node| self.set(node))?;
            }
        }
        Ok(())
    }

    fn set(&self, node: &mut Node) -> Result<(), Problem> {
        let is_set = node.kind == Kind::Scalar && !tree::text(node).is_empty();
        if self.unset_only && is_set {
            return Ok(());
        }
        tree::set_scalar(node, Node::string(self.namespace.as_str()))
    }

    fn change_subjects(&self, object: &mut Node) -> Result<(), Problem> {
        let (field, wanted) = match self.subjects {
            Subjects::None => return Ok(()),
            Subjects::NamedDefault => ("name", "default"),
            Subjects::ServiceAccounts => ("kind", "ServiceAccount"),
        };
        let Some(subjects) = tree::lookup_mut(object, &["subjects"])? else { return Ok(()) };
        tree::expect_kind(subjects, Kind::Sequence)?;
        for subject in &mut subjects.children {
            let is_meant = tree::field(subject, field)?.is_some_and(|value| tree::text(value) == wanted);
            if is_meant {
                self.set(tree::get_or_add(subject, "namespace", Kind::Scalar)?)?;
            }
        }
        Ok(())
    }
}
