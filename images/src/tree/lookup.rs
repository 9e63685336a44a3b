//! Finds the node that a machine file means: by path, alias, label or `compatible`.

use dtoolkit::{Node as _, Property as _};

use super::{BaseTree, Node};
use crate::near::nearest;

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

    /// What somebody may have meant whose reference is missing: a path, an alias, a label or a `compatible`.
    ///
    /// A kernel's tree renames buses from one version to the next (`/emmc2bus` became `/emmc2-bus@fe000000`), so a node of the
    /// same name elsewhere comes first.
    pub fn near(&self, reference: &str) -> Option<String> {
        let name = reference.rsplit('/').next().filter(|name| !name.is_empty())?;
        let called = |node: &&Node| node.path.rsplit('/').next() == Some(name);
        if let Some(node) = self.nodes().iter().find(called) {
            return Some(node.path.clone());
        }
        let paths = || self.nodes().iter().map(|node| node.path.as_str());
        if reference.starts_with('/') {
            return nearest(reference, paths()).map(str::to_owned);
        }
        let (mark, plain) = match reference.strip_prefix('&') {
            Some(label) => ("&", label),
            None => ("", reference),
        };
        let names = ["/aliases", "/__symbols__"]
            .iter()
            .filter_map(|names| self.model_node(names))
            .flat_map(|node| node.properties())
            .map(|property| property.name().to_owned())
            .collect::<Vec<_>>();
        if let Some(name) = nearest(plain, names.iter().map(String::as_str)) {
            return Some(format!("{mark}{name}"));
        }
        let compatible = self.nodes().iter().filter(|node| node.enabled);
        let compatible = compatible.flat_map(|node| node.compatible.iter().map(String::as_str));
        nearest(reference, compatible)
            .or_else(|| nearest(&format!("/{reference}"), paths()))
            .map(str::to_owned)
    }

    /// The node whose path the property `name` of the node `names` holds.
    fn named_in(&self, names: &str, name: &str) -> Option<&Node> {
        let property = self.model_node(names)?.property(name)?;
        let path = property.value().strip_suffix(b"\0")?;
        self.node(str::from_utf8(path).ok()?)
    }
}
