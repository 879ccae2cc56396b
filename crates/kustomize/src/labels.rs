//! `labels`, `commonLabels` and `commonAnnotations`.

use std::collections::HashMap;

use yaml::{Node, Tag};

use crate::config::{self, Config, FieldSpec};
use crate::error::{Error, Problem};
use crate::facts::Facts;
use crate::fieldspec::{Make, follow_from_root, is_about};
use crate::id::Gvk;
use crate::kustomization::{Label, Pairs};
use crate::resource::Resource;
use crate::resources::Resources;
use crate::transform::each;
use crate::tree;

/// Where an entry of `labels` is written.
pub(crate) fn specs(label: &Label, config: &Config) -> Result<Vec<FieldSpec>, Problem> {
    let mut specs = label.fields.clone();
    config::merge_all(&mut specs, &config.labels)?;
    if label.include_selectors {
        config::merge_all(&mut specs, &config.common_labels)?;
        return Ok(specs);
    }
    if label.include_templates {
        config::merge_all(&mut specs, &config.template_labels)?;
    }
    config::merge_one(&mut specs, &FieldSpec::new(Gvk::default(), "metadata/labels", true))?;
    Ok(specs)
}

/// Adds labels or annotations wherever the specs say. A value that is added to several places of an object is shared.
pub(crate) fn add(resources: &mut Resources, facts: &Facts, pairs: &Pairs, specs: &[FieldSpec]) -> Vec<Error> {
    let mut by_kind = SpecsByKind::new(specs);
    each(resources, facts, |resource, growth| {
        let specs = by_kind.of(&resource.node);
        for (index, (key, value)) in pairs.iter().enumerate() {
            let group = shared_group(resource, index);
            let mut places = 0_u32;
            for spec in specs {
                follow_from_root(&mut resource.node, spec, Make::Map, &mut |map: &mut Node| {
                    growth.text(key.len() + value.len())?;
                    let anchor = tree::field(map, key)?.is_none().then(|| group.clone());
                    places += u32::from(anchor.is_some());
                    tree::set(map, key, Node { anchor, ..Node::scalar(Tag::Str, value.as_str()) })
                })?;
            }
            resource.has_shared |= places > 1;
        }
        if resource.has_shared {
            tree::settle_shared(&mut resource.node);
        }
        Ok(())
    })
}

/// A name that no other group of the object has.
fn shared_group(resource: &mut Resource, index: usize) -> Box<str> {
    resource.shared_groups += 1;
    format!("{}.{index}", resource.shared_groups).into()
}

/// The specs that are about an object, found once for each kind.
struct SpecsByKind<'a> {
    specs: &'a [FieldSpec],
    known: HashMap<(String, String), Vec<&'a FieldSpec>>,
}

impl<'a> SpecsByKind<'a> {
    fn new(specs: &'a [FieldSpec]) -> Self {
        Self { specs, known: HashMap::new() }
    }

    fn of(&mut self, object: &Node) -> &[&'a FieldSpec] {
        let text = |name: &str| object.get(name).map(|value| value.value.clone()).unwrap_or_default();
        let specs = self.specs;
        let about = || specs.iter().filter(|spec| is_about(spec, object)).collect();
        self.known.entry((text("apiVersion"), text("kind"))).or_insert_with(about)
    }
}
