//! Transactions: several requests that take effect together or not at all.

use alloc::string::String;
use alloc::vec::Vec;

use outrigger_ring::SharedPages;
use xen_unikernel_abi::io::xs_wire as xs;

use super::{XenStore, XsError, ops};

/// A transaction. What it reads and writes is its own until [`commit`](Self::commit); dropped, it is abandoned.
///
/// Reading a node that a guest may write lets that guest make every commit fail: read those outside.
#[must_use = "a transaction takes effect when it is committed"]
pub struct Transaction<'s, P: SharedPages> {
    store: &'s XenStore<P>,
    tx_id: u32,
    ended: bool,
}

impl<'s, P: SharedPages> Transaction<'s, P> {
    pub(super) async fn begin(store: &'s XenStore<P>) -> Result<Self, XsError> {
        Ok(Self {
            store,
            tx_id: ops::begin(store).await?,
            ended: false,
        })
    }

    /// As [`XenStore::read`].
    ///
    /// # Errors
    /// As there.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, XsError> {
        ops::read(self.store, self.tx_id, path).await
    }

    /// As [`XenStore::read_text`].
    ///
    /// # Errors
    /// As there.
    pub async fn read_text(&self, path: &str) -> Result<String, XsError> {
        ops::read_text(self.store, self.tx_id, path).await
    }

    /// As [`XenStore::write`].
    ///
    /// # Errors
    /// As there.
    pub async fn write(&self, path: &str, value: &str) -> Result<(), XsError> {
        ops::write(self.store, self.tx_id, path, value.as_bytes()).await
    }

    /// As [`XenStore::mkdir`].
    ///
    /// # Errors
    /// As there.
    pub async fn mkdir(&self, path: &str) -> Result<(), XsError> {
        ops::act(self.store, xs::XS_MKDIR, self.tx_id, path).await
    }

    /// As [`XenStore::rm`].
    ///
    /// # Errors
    /// As there.
    pub async fn rm(&self, path: &str) -> Result<(), XsError> {
        ops::act(self.store, xs::XS_RM, self.tx_id, path).await
    }

    /// As [`XenStore::directory`].
    ///
    /// # Errors
    /// As there.
    pub async fn directory(&self, path: &str) -> Result<Vec<String>, XsError> {
        ops::directory(self.store, self.tx_id, path).await
    }

    /// Makes it take effect.
    ///
    /// # Errors
    /// [`XsError::Again`]: something it touched was changed from outside, nothing took effect.
    pub async fn commit(mut self) -> Result<(), XsError> {
        self.ended = true;
        ops::commit(self.store, self.tx_id).await
    }
}

impl<P: SharedPages> Drop for Transaction<'_, P> {
    fn drop(&mut self) {
        if !self.ended {
            self.store.tell(xs::XS_TRANSACTION_END, self.tx_id, b"F\0");
        }
    }
}
