//! Transactions: a copy of the tree, what was touched in it, and what to do again at the commit.

use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;

use super::tree::{Change, Errno, Perms, Tree, parent};
use crate::DomId;

/// A change somebody asks for.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    Write(String, Vec<u8>),
    Mkdir(String),
    Rm(String),
    SetPerms(String, Perms),
}

impl Edit {
    pub fn path(&self) -> &str {
        match self {
            Self::Write(path, _) | Self::Mkdir(path) | Self::Rm(path) | Self::SetPerms(path, _) => path,
        }
    }

    pub fn apply(&self, tree: &mut Tree, by: DomId) -> Result<Vec<Change>, Errno> {
        match self {
            Self::Write(path, value) => tree.write(by, path, value).map(|change| Vec::from([change])),
            Self::Mkdir(path) => tree.mkdir(by, path).map(|change| change.into_iter().collect()),
            Self::Rm(path) => tree.rm(by, path),
            Self::SetPerms(path, perms) => tree
                .set_perms(by, path, perms.clone())
                .map(|change| Vec::from([change])),
        }
    }
}

pub(super) struct Tx {
    pub tree: Tree,
    /// The generation that each node it depends on had at the start; `None` for one that was not there.
    depends: BTreeMap<String, Option<u64>>,
    edits: Vec<Edit>,
    start: Tree,
}

impl Tx {
    pub fn new(tree: &Tree) -> Self {
        Self {
            tree: tree.clone(),
            depends: BTreeMap::new(),
            edits: Vec::new(),
            start: tree.clone(),
        }
    }

    /// What it read must not change before the commit.
    pub fn depend(&mut self, path: &str) {
        let generation = self.start.node(path).map(|node| node.generation);
        self.depends.insert(path.to_owned(), generation);
    }

    pub fn edit(&mut self, by: DomId, edit: Edit) -> Result<(), Errno> {
        if self.tree.node(edit.path()).is_none()
            && let Some(up) = parent(edit.path())
        {
            self.depend(up);
        }
        edit.apply(&mut self.tree, by)?;
        self.edits.push(edit);
        Ok(())
    }

    pub fn commit(self, tree: &mut Tree, by: DomId) -> Result<Vec<Change>, Errno> {
        let same = |(path, was): (&String, &Option<u64>)| tree.node(path).map(|node| node.generation) == *was;
        if !self.depends.iter().all(same) {
            return Err("EAGAIN");
        }
        let mut changes = Vec::new();
        for edit in &self.edits {
            changes.extend(edit.apply(tree, by)?);
        }
        Ok(changes)
    }
}
