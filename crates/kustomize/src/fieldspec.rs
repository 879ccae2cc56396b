//! Following a field spec into an object.

use yaml::{Kind, Node, Tag};

use crate::config::FieldSpec;
use crate::error::Problem;
use crate::growth;
use crate::id::split_api_version;
use crate::tree;

/// What the last part of a path is made as, when it is made.
#[derive(Clone, Copy)]
pub(crate) enum Make {
    /// Nothing is made.
    Nothing,
    /// A text.
    Text,
    /// A number.
    Int,
    /// A mapping.
    Map,
}

impl Make {
    fn kind_and_tag(self) -> Option<(Kind, Tag)> {
        match self {
            Make::Nothing => None,
            Make::Text => Some((Kind::Scalar, Tag::Str)),
            Make::Int => Some((Kind::Scalar, Tag::Int)),
            Make::Map => Some((Kind::Mapping, Tag::Map)),
        }
    }
}

/// Whether a spec is about an object, by what the object says it is.
pub(crate) fn is_about(spec: &FieldSpec, object: &Node) -> bool {
    let text = |name: &str| object.get(name).map(|value| value.value.as_str()).unwrap_or_default();
    let (group, version) = split_api_version(text("apiVersion"));
    (spec.gvk.kind.is_empty() || spec.gvk.kind == text("kind"))
        && (spec.gvk.group.is_empty() || spec.gvk.group == group)
        && (spec.gvk.version.is_empty() || spec.gvk.version == version)
}

/// Calls `change` with each field that a spec leads to in an object.
pub(crate) fn visit<F>(object: &mut Node, spec: &FieldSpec, make: Make, change: &mut F) -> Result<(), Problem>
where
    F: FnMut(&mut Node) -> Result<(), Problem>,
{
    if is_about(spec, object) { follow_from_root(object, spec, make, change) } else { Ok(()) }
}

/// As [`visit`], for a spec that is known to be about the object.
pub(crate) fn follow_from_root<F>(
    object: &mut Node,
    spec: &FieldSpec,
    make: Make,
    change: &mut F,
) -> Result<(), Problem>
where
    F: FnMut(&mut Node) -> Result<(), Problem>,
{
    growth::check_depth(spec.parts.len())?;
    let make = if spec.create { make } else { Make::Nothing };
    follow(object, &spec.parts, make, change)
        .map_err(|problem| Problem::AtField { path: spec.path.clone(), problem: Box::new(problem) })
}

fn follow<F>(node: &mut Node, path: &[String], make: Make, change: &mut F) -> Result<(), Problem>
where
    F: FnMut(&mut Node) -> Result<(), Problem>,
{
    let Some((part, rest)) = path.split_first() else { return change(node) };
    if tree::is_null(node) {
        return Ok(());
    }
    match node.kind {
        Kind::Sequence => node.children.iter_mut().try_for_each(|entry| follow(entry, path, make, change)),
        Kind::Mapping => match next(node, part, rest.is_empty(), make)? {
            Some(field) => follow(field, rest, make, change),
            None => Ok(()),
        },
        _ => Err(Problem::PathEnds),
    }
}

/// The field that a part of a path leads to, made when it may be.
fn next<'a>(map: &'a mut Node, part: &str, is_last: bool, make: Make) -> Result<Option<&'a mut Node>, Problem> {
    let (name, is_list) = match part.strip_suffix("[]") {
        Some(name) => (name, true),
        None => (part, false),
    };
    if name.is_empty() {
        return Err(Problem::BadPath { reason: "cannot set or create an empty field name".into() });
    }
    let made = match make.kind_and_tag() {
        _ if is_list => None,
        Some(_) if !is_last => Some((Kind::Mapping, Tag::Map)),
        made => made,
    };
    let mut field = match &made {
        Some((kind, _)) => Some(tree::get_or_add(map, name, *kind)?),
        None => tree::lookup_mut(map, &[name])?,
    };
    // What is null becomes what is looked for; a list does so even where nothing is made.
    let kind_and_tag = made.or(is_list.then_some((Kind::Sequence, Tag::None)));
    if let (Some(field), Some((kind, tag))) = (field.as_deref_mut().filter(|field| tree::is_null(field)), kind_and_tag)
    {
        tree::become_kind(field, kind, tag);
    }
    Ok(field)
}
