//! Names, tags and digests of images.

use regexp::Regex;
use yaml::{Kind, Node};

use crate::config::FieldSpec;
use crate::error::Problem;
use crate::fieldspec::{Make, visit};
use crate::kustomization::Image;
use crate::selector::bad_expression;
use crate::tree;

/// An entry of `images`, ready to be applied.
pub(crate) struct ImageChange {
    image: Image,
    expression: Regex,
}

impl ImageChange {
    /// Reads an entry; its name is a regular expression.
    pub(crate) fn new(image: Image) -> Result<Self, Problem> {
        let expression = format!("^{}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$", image.name);
        let expression = Regex::new(&expression).map_err(bad_expression)?;
        Ok(Self { image, expression })
    }

    /// Changes the images of an object: those of all lists called `containers` or `initContainers`, and those that the
    /// specs lead to.
    pub(crate) fn run(&self, object: &mut Node, specs: &[FieldSpec]) -> Result<(), Problem> {
        if object.get("kind").is_some_and(|kind| kind.value == "CustomResourceDefinition") {
            return Ok(());
        }
        self.walk(object)?;
        specs.iter().try_for_each(|spec| visit(object, spec, Make::Nothing, &mut |node: &mut Node| self.set(node)))
    }

    fn walk(&self, node: &mut Node) -> Result<(), Problem> {
        match node.kind {
            Kind::Mapping => {
                for field in node.children.chunks_exact_mut(2) {
                    let [name, value] = field else { continue };
                    self.walk(value)?;
                    if matches!(name.value.as_str(), "containers" | "initContainers") && value.kind == Kind::Sequence {
                        self.set_in_list(value)?;
                    }
                }
                Ok(())
            }
            Kind::Sequence => node.children.iter_mut().try_for_each(|entry| self.walk(entry)),
            _ => Ok(()),
        }
    }

    fn set_in_list(&self, list: &mut Node) -> Result<(), Problem> {
        for container in &mut list.children {
            if let Some(image) = tree::lookup_mut(container, &["image"])? {
                self.set(image)?;
            }
        }
        Ok(())
    }

    fn set(&self, node: &mut Node) -> Result<(), Problem> {
        tree::expect_kind(node, Kind::Scalar)?;
        if !self.expression.is_match(&node.value) {
            return Ok(());
        }
        let changed = self.change(&node.value);
        tree::set_scalar(node, tree::untagged(&changed))
    }

    fn change(&self, value: &str) -> String {
        let Image { new_name, tag_suffix, new_tag, digest: new_digest, .. } = &self.image;
        let (name, tag, digest) = split(value);
        let name = if new_name.is_empty() { name } else { new_name };
        let (tag, digest) = match (new_tag.is_empty(), new_digest.is_empty()) {
            (false, false) => (new_tag.clone(), new_digest.as_str()),
            (false, true) => (new_tag.clone(), ""),
            (true, false) => (String::new(), new_digest.as_str()),
            (true, true) if !tag_suffix.is_empty() => (format!("{tag}{tag_suffix}"), ""),
            (true, true) => (tag.into(), digest),
        };
        let mut image = name.to_owned();
        for (mark, part) in [(':', tag.as_str()), ('@', digest)] {
            if !part.is_empty() {
                image.push(mark);
                image.push_str(part);
            }
        }
        image
    }
}

/// Name, tag and digest of an image. A colon before the first slash belongs to the registry's port.
fn split(image: &str) -> (&str, &str, &str) {
    let slash = image.find('/').unwrap_or_default();
    let after = |mark: char| image[slash..].find(mark).map(|at| at + slash);
    match (after('@'), after(':')) {
        (None, None) => (image, "", ""),
        (Some(at), Some(colon)) if colon < at => (&image[..colon], &image[colon + 1..at], &image[at + 1..]),
        (Some(at), _) => (&image[..at], "", &image[at + 1..]),
        (None, Some(colon)) => (&image[..colon], &image[colon + 1..], ""),
    }
}
