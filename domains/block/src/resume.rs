//! A ring's journal: a new one, or what an earlier life of this domain has left.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use outrigger_blkif::Abi;
use outrigger_ring::{BackRing, Overflow, SharedPages};
use outrigger_xen::{Key, Survivors};
use outrigger_xenbus::DeviceId;

use crate::journal::{Journal, Slot, Unsound};
use crate::record::Facts;

/// The name of the record of a vbd's ring.
pub(crate) fn record_of(vbd: DeviceId, ring: u8) -> Key {
    Key {
        kind: Key::CLASS,
        frontend: vbd.frontend,
        handle: vbd.handle,
        part: ring,
    }
}

/// Why a vbd cannot be served on, for its `error` node.
pub(crate) fn unsound(why: Unsound) -> String {
    format!("what was kept of it over a restart cannot be believed: {}", why.0)
}

/// What a ring is about to begin.
pub(crate) struct Life {
    pub key: Key,
    pub facts: Facts,
    /// It is not its first one.
    pub resumed: bool,
}

impl Life {
    /// The journal of a ring that was attached just now, and what is owed already, in the order in which it was consumed.
    ///
    /// # Errors
    /// There is no room for one, or the one that was left cannot be believed.
    pub fn journal<H: Survivors<Record = P>, P: SharedPages>(
        &self,
        hv: &H,
        abi: Abi,
        ring: &mut BackRing<P>,
    ) -> Result<(Journal<P>, Vec<Slot>), String> {
        let slots = ring.shape().slots();
        let begun_at = ring.rsp_prod_pvt();
        if !self.resumed {
            let record = hv
                .keep(self.key, Journal::<P>::bytes(slots))
                .ok_or_else(|| "ring-ref: no room to note down what is owed".to_string())?;
            self.facts.store(&record);
            return Ok((Journal::new(record, abi, slots, begun_at), Vec::new()));
        }
        let (journal, owed) = self.recover(hv, abi, slots, begun_at).map_err(unsound)?;
        // At most `slots`.
        ring.resume(owed.len() as u32)
            .map_err(|Overflow { claimed, consumed }| {
                format!("ring-ref: req_prod {claimed} is impossible after {consumed}")
            })?;
        Ok((journal, owed))
    }

    fn recover<H: Survivors<Record = P>, P: SharedPages>(
        &self,
        hv: &H,
        abi: Abi,
        slots: u32,
        rsp_prod: u32,
    ) -> Result<(Journal<P>, Vec<Slot>), Unsound> {
        let record = hv.kept(self.key).ok_or(Unsound("there is nothing"))?;
        if Facts::load(&record)? != self.facts {
            return Err(Unsound("it is of another disk"));
        }
        Journal::recover(record, abi, slots, rsp_prod)
    }
}
