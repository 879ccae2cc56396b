//! What aliases stand for.

use std::collections::HashMap;

use crate::node::{Kind, Node};

/// The targets of all aliases of a document: an alias stands for the last node before it that has its anchor.
#[derive(Debug)]
pub struct Aliases<'n> {
    targets: HashMap<*const Node, &'n Node>,
}

impl<'n> Aliases<'n> {
    /// Looks through a document.
    #[must_use]
    pub fn of(document: &'n Node) -> Self {
        let mut targets = HashMap::new();
        let mut anchors: HashMap<&str, &Node> = HashMap::new();
        let mut pending = vec![document];
        while let Some(node) = pending.pop() {
            if let Some(name) = &node.anchor {
                anchors.insert(name, node);
            }
            if node.kind == Kind::Alias
                && let Some(target) = anchors.get(node.value.as_str())
            {
                targets.insert(std::ptr::from_ref(node), *target);
            }
            pending.extend(node.children.iter().rev());
        }
        Aliases { targets }
    }

    /// What an alias of the document stands for; nothing for an unknown anchor and for nodes of other documents.
    #[must_use]
    pub fn target(&self, alias: &Node) -> Option<&'n Node> {
        self.targets.get(&std::ptr::from_ref(alias)).copied()
    }
}
