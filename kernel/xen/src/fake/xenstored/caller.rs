//! The tree without the wire.

use std::string::String;
use std::vec::Vec;

use super::XenStored;
use super::daemon::absolute;
use super::transaction::{Edit, Tx};
use super::tree::{Errno, Perms};
use crate::DomId;

/// A domain that reads and writes the tree without the wire: a frontend, or the toolstack as domain 0.
#[derive(Clone)]
pub struct Caller {
    pub(super) xenstored: XenStored,
    pub(super) domain: DomId,
}

impl Caller {
    fn path(&self, path: &str) -> String {
        absolute(self.domain, path)
    }

    fn edit(&self, edit: Edit) -> Result<(), Errno> {
        self.xenstored.state.borrow_mut().edit(self.domain, 0, edit)
    }

    /// The value of a node as text.
    ///
    /// # Errors
    /// It is missing or not for this domain.
    pub fn read(&self, path: &str) -> Result<String, Errno> {
        let state = self.xenstored.state.borrow();
        let node = state.tree.readable(self.domain, &self.path(path))?;
        Ok(String::from_utf8_lossy(&node.value).into_owned())
    }

    /// Sets the value of a node.
    ///
    /// # Errors
    /// Not for this domain, or over its quota.
    pub fn write(&self, path: &str, value: impl AsRef<[u8]>) -> Result<(), Errno> {
        self.edit(Edit::Write(self.path(path), value.as_ref().to_vec()))
    }

    /// Creates a node.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn mkdir(&self, path: &str) -> Result<(), Errno> {
        self.edit(Edit::Mkdir(self.path(path)))
    }

    /// Removes a node and what is below.
    ///
    /// # Errors
    /// It is missing or not for this domain.
    pub fn rm(&self, path: &str) -> Result<(), Errno> {
        self.edit(Edit::Rm(self.path(path)))
    }

    /// The names below a node.
    ///
    /// # Errors
    /// It is missing or not for this domain.
    pub fn list(&self, path: &str) -> Result<Vec<String>, Errno> {
        let (state, path) = (self.xenstored.state.borrow(), self.path(path));
        state.tree.readable(self.domain, &path)?;
        Ok(state.tree.children(&path))
    }

    /// Whether there is such a node, whoever may read it.
    pub fn exists(&self, path: &str) -> bool {
        self.xenstored
            .state
            .borrow()
            .tree
            .node(&self.path(path))
            .is_some()
    }

    /// Sets a node's permissions.
    ///
    /// # Errors
    /// Not the owner.
    pub fn set_perms(&self, path: &str, perms: Perms) -> Result<(), Errno> {
        self.edit(Edit::SetPerms(self.path(path), perms))
    }

    /// Several changes as one transaction: either all or none.
    ///
    /// # Errors
    /// The first that fails.
    pub fn transact(&self, writes: &[(String, String)], removals: &[String]) -> Result<(), Errno> {
        let state = &mut *self.xenstored.state.borrow_mut();
        let mut tx = Tx::new(&state.tree);
        for path in removals {
            tx.edit(self.domain, Edit::Rm(self.path(path)))?;
        }
        for (path, value) in writes {
            tx.edit(
                self.domain,
                Edit::Write(self.path(path), value.clone().into_bytes()),
            )?;
        }
        let changes = tx.commit(&mut state.tree, self.domain)?;
        state.tell(&changes);
        Ok(())
    }
}
