//! Finds the node that a machine file means: by path, alias, label or `compatible`.

use dtoolkit::{Node as _, Property as _};

use super::{BaseTree, Node};

/// Why a reference names no single node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfound {
    /// Nothing goes by it.
    Missing,
    /// More than one node does: their paths.
    Ambiguous(Vec<String>),
}

impl BaseTree {
    /// The node that `reference` means: a full path (`/soc/mmc@7e340000`), a label of the source (`&emmc2`, in trees
    /// compiled with `dtc -@`), an alias (`mmc0`), a label without its `&`, or a `compatible` that one enabled node
    /// has.
    ///
    /// # Errors
    /// No node, or several.
    pub fn find(&self, reference: &str) -> Result<&Node, Unfound> {
        if reference.starts_with('/') {
            return self.node(reference).ok_or(Unfound::Missing);
        }
        if let Some(label) = reference.strip_prefix('&') {
            return self.named_in("/__symbols__", label).ok_or(Unfound::Missing);
        }
        let mut found: Vec<&Node> = ["/aliases", "/__symbols__"]
            .iter()
            .filter_map(|names| self.named_in(names, reference))
            .collect();
        if found.is_empty() {
            let compatible = |node: &&Node| node.enabled && node.compatible.iter().any(|c| c == reference);
            found.extend(self.nodes().iter().filter(compatible));
        }
        found.dedup_by(|a, b| a.path == b.path);
        match found[..] {
            [] => Err(Unfound::Missing),
            [node] => Ok(node),
            _ => Err(Unfound::Ambiguous(
                found.iter().map(|node| node.path.clone()).collect(),
            )),
        }
    }

    /// The node whose path the property `name` of the node `names` holds.
    fn named_in(&self, names: &str, name: &str) -> Option<&Node> {
        let property = self.model_node(names)?.property(name)?;
        let path = property.value().strip_suffix(b"\0")?;
        self.node(str::from_utf8(path).ok()?)
    }
}
