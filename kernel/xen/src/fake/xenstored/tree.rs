//! The nodes and who may do what with them.

use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;

use crate::DomId;

/// The name of an errno, as it goes over the wire.
pub type Errno = &'static str;

/// What a domain may do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Perm {
    /// Read it, list it, be told of its changes.
    pub read: bool,
    /// Write it and create children.
    pub write: bool,
}

impl Perm {
    /// Nothing.
    pub const NONE: Self = Self {
        read: false,
        write: false,
    };
    /// Reading.
    pub const READ: Self = Self {
        read: true,
        write: false,
    };
}

/// A node's permissions: its owner may do everything, as may domain 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Perms {
    /// The owner, to whom the node is charged.
    pub owner: DomId,
    /// What everybody else may do.
    pub others: Perm,
    /// What particular domains may do.
    pub listed: Vec<(DomId, Perm)>,
}

impl Perms {
    /// The owner's alone.
    pub fn owned_by(owner: DomId) -> Self {
        Self {
            owner,
            others: Perm::NONE,
            listed: Vec::new(),
        }
    }

    /// The same, and `reader` may read.
    #[must_use]
    pub fn readable_by(mut self, reader: DomId) -> Self {
        self.listed.push((reader, Perm::READ));
        self
    }

    pub(super) fn allow(&self, by: DomId) -> Perm {
        if by == DomId(0) || by == self.owner {
            return Perm {
                read: true,
                write: true,
            };
        }
        self.listed
            .iter()
            .find(|(dom, _)| *dom == by)
            .map_or(self.others, |(_, perm)| *perm)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub value: Vec<u8>,
    pub perms: Perms,
    /// Grows with each change of the node or of its list of children.
    pub generation: u64,
}

/// Most nodes that an unprivileged domain may own, unless Dom0 says otherwise.
const NODES_MAX: usize = 1000;
/// Most bytes of a node's value.
const VALUE_MAX: usize = 2048;

#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    generation: u64,
    /// Most nodes that an unprivileged domain may own.
    pub nodes_max: usize,
}

/// A change, for those who watch.
pub(super) struct Change {
    pub path: String,
    /// Told only to watches of this very path: a node that went with one above it.
    pub exact: bool,
    /// Permissions of the node and of its parent when it happened.
    pub perms: Vec<Perms>,
}

pub(super) fn parent(path: &str) -> Option<&str> {
    if path == "/" {
        return None;
    }
    let cut = path.rfind('/')?;
    Some(if cut == 0 { "/" } else { &path[..cut] })
}

/// Whether `path` is `top` or below it.
pub(super) fn within(path: &str, top: &str) -> bool {
    top == "/"
        || path
            .strip_prefix(top)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Tree {
    pub fn new() -> Self {
        let root = Node {
            value: Vec::new(),
            perms: Perms::owned_by(DomId(0)),
            generation: 0,
        };
        Self {
            nodes: BTreeMap::from([("/".to_owned(), root)]),
            generation: 0,
            nodes_max: NODES_MAX,
        }
    }

    pub fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    pub fn children(&self, path: &str) -> Vec<String> {
        let skip = if path == "/" { 1 } else { path.len() + 1 };
        let below = self
            .nodes
            .keys()
            .filter(|key| key.as_str() != "/" && within(key, path) && key.len() >= skip);
        below
            .map(|key| &key[skip..])
            .filter(|name| !name.is_empty() && !name.contains('/'))
            .map(Into::into)
            .collect()
    }

    /// The node, if `by` may read it.
    pub fn readable(&self, by: DomId, path: &str) -> Result<&Node, Errno> {
        self.allowed(by, path, |perm| perm.read)
    }

    /// A node that is missing is hidden from whom may not read the nearest one above it.
    fn allowed(&self, by: DomId, path: &str, enough: impl Fn(Perm) -> bool) -> Result<&Node, Errno> {
        match self.nodes.get(path) {
            Some(node) if enough(node.perms.allow(by)) => Ok(node),
            Some(_) => Err("EACCES"),
            None if self.nearest(path).perms.allow(by).read => Err("ENOENT"),
            None => Err("EACCES"),
        }
    }

    /// The nearest existing node above a path.
    fn nearest(&self, mut path: &str) -> &Node {
        while let Some(up) = parent(path) {
            path = up;
            if let Some(node) = self.nodes.get(path) {
                return node;
            }
        }
        &self.nodes["/"]
    }

    fn touch(&mut self, path: &str) {
        self.generation += 1;
        if let Some(node) = self.nodes.get_mut(path) {
            node.generation = self.generation;
        }
    }

    fn perms_around(&self, path: &str) -> Vec<Perms> {
        [Some(path), parent(path)]
            .into_iter()
            .flatten()
            .filter_map(|path| self.nodes.get(path).map(|node| node.perms.clone()))
            .collect()
    }

    /// Creates a node and what is missing above it; it takes over the permissions above, and its creator owns it.
    fn create(&mut self, by: DomId, path: &str) -> Result<(), Errno> {
        let above = self.nearest(path);
        if !above.perms.allow(by).write {
            return Err("EACCES");
        }
        let mut perms = above.perms.clone();
        if by != DomId(0) {
            perms.owner = by;
            if self.nodes.values().filter(|node| node.perms.owner == by).count() >= self.nodes_max {
                return Err("ENOSPC");
            }
        }
        if let Some(up) = parent(path) {
            if !self.nodes.contains_key(up) {
                self.create(by, up)?;
            }
            self.touch(up);
        }
        self.nodes.insert(
            path.to_owned(),
            Node {
                value: Vec::new(),
                perms,
                generation: 0,
            },
        );
        self.touch(path);
        Ok(())
    }

    pub fn write(&mut self, by: DomId, path: &str, value: &[u8]) -> Result<Change, Errno> {
        if by != DomId(0) && value.len() > VALUE_MAX {
            return Err("ENOSPC");
        }
        match self.allowed(by, path, |perm| perm.write) {
            Ok(_) => {}
            Err("ENOENT") => self.create(by, path)?,
            Err("EACCES") if !self.nodes.contains_key(path) => self.create(by, path)?,
            Err(errno) => return Err(errno),
        }
        self.touch(path);
        if let Some(node) = self.nodes.get_mut(path) {
            node.value = value.to_owned();
        }
        Ok(self.changed(path))
    }

    pub fn mkdir(&mut self, by: DomId, path: &str) -> Result<Option<Change>, Errno> {
        if self.nodes.contains_key(path) {
            return Ok(None);
        }
        self.create(by, path)?;
        Ok(Some(self.changed(path)))
    }

    pub fn rm(&mut self, by: DomId, path: &str) -> Result<Vec<Change>, Errno> {
        match self.allowed(by, path, |perm| perm.write) {
            Ok(_) => {}
            // Fine if only the node itself is missing.
            Err("ENOENT") if parent(path).is_some_and(|up| self.nodes.contains_key(up)) => {
                return Ok(Vec::new());
            }
            Err(errno) => return Err(errno),
        }
        let gone: Vec<String> = self
            .nodes
            .keys()
            .filter(|key| within(key, path))
            .cloned()
            .collect();
        let changes = gone
            .iter()
            .map(|key| Change {
                path: key.clone(),
                exact: key != path,
                perms: self.perms_around(key),
            })
            .collect();
        for key in &gone {
            self.nodes.remove(key);
        }
        if let Some(up) = parent(path) {
            self.touch(up);
        }
        Ok(changes)
    }

    pub fn set_perms(&mut self, by: DomId, path: &str, perms: Perms) -> Result<Change, Errno> {
        let node = self.allowed(by, path, |_| true)?;
        if by != DomId(0) && (by != node.perms.owner || perms.owner != by) {
            return Err("EACCES");
        }
        self.touch(path);
        if let Some(node) = self.nodes.get_mut(path) {
            node.perms = perms;
        }
        Ok(self.changed(path))
    }

    fn changed(&self, path: &str) -> Change {
        Change {
            path: path.to_owned(),
            exact: false,
            perms: self.perms_around(path),
        }
    }
}
