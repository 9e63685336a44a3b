//! Rings and what their guest has told: new, or as an earlier life of this domain has left them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use outrigger_netif::{CTRL_SLOT_BYTES, HashControl, RING_SLOTS, RX_SLOT_WORDS};
use outrigger_ring::{BackRing, SharedPages};
use outrigger_xen::{Key, Survivors};
use outrigger_xenbus::DeviceId;

use crate::ledger::{Ledger, Unsound};
use crate::packet::Mac;
use crate::told::Told;
use crate::vif::CONTROL_BUDGET;

/// Words that a turn may write to a TX ring, an RX ring and a control ring.
const TX_WORDS: usize = RING_SLOTS;
const RX_WORDS: usize = RX_SLOT_WORDS * RING_SLOTS;
/// A response is a word shorter than its slot.
const CONTROL_RESPONSE: usize = CTRL_SLOT_BYTES / 4 - 1;
const CONTROL_WORDS: usize = CONTROL_RESPONSE * CONTROL_BUDGET as usize;

/// The record of what belongs to all queues.
const VIF: u8 = u8::MAX;

/// A vif's life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub vif: DeviceId,
    /// It is not its first one.
    pub resumed: bool,
}

impl From<Unsound> for String {
    fn from(Unsound(why): Unsound) -> Self {
        alloc::format!("what was kept of it over a restart cannot be believed: {why}")
    }
}

impl Life {
    pub fn key(&self, part: u8) -> Key {
        Key {
            kind: Key::CLASS,
            frontend: self.vif.frontend,
            handle: self.vif.handle,
            part,
        }
    }

    /// The record of that part: what was kept, or a new one.
    fn record<H: Survivors>(&self, hv: &H, part: u8, bytes: usize) -> Result<H::Record, String> {
        if self.resumed {
            let kept = hv.kept(self.key(part));
            let whole = kept.filter(|record| record.len() >= bytes);
            return Ok(whole.ok_or(Unsound("there is nothing"))?);
        }
        let record = hv.keep(self.key(part), bytes);
        record.ok_or_else(|| "no room to note down what is answered".to_string())
    }

    fn ledger<P: SharedPages>(
        &self,
        record: P,
        at: usize,
        (most, words): (usize, usize),
        ring: &mut BackRing<P>,
    ) -> Result<Ledger<P>, String> {
        Ok(if self.resumed {
            Ledger::resume(record, at, most, words, ring)?
        } else {
            Ledger::new(record, at, ring)
        })
    }

    /// The ledgers of a queue's two rings, attached just now.
    ///
    /// # Errors
    /// There is no room for them, or those that were left cannot be believed.
    pub fn ledgers<H: Survivors<Record = P>, P: SharedPages + Clone>(
        &self,
        hv: &H,
        queue: u8,
        tx: &mut BackRing<P>,
        rx: &mut BackRing<P>,
    ) -> Result<[Ledger<P>; 2], String> {
        let rx_at = Ledger::<P>::bytes(TX_WORDS);
        let record = self.record(hv, queue, rx_at + Ledger::<P>::bytes(RX_WORDS))?;
        Ok([
            self.ledger(record.clone(), 0, (TX_WORDS, 1), tx)?,
            self.ledger(record, rx_at, (RX_WORDS, RX_SLOT_WORDS), rx)?,
        ])
    }

    /// What the guest has told, and the ledger of its control ring, if it has one.
    ///
    /// # Errors
    /// As [`ledgers`](Self::ledgers).
    #[expect(clippy::type_complexity, reason = "taken apart at once")]
    pub fn told<H: Survivors<Record = P>, P: SharedPages + Clone>(
        &self,
        hv: &H,
        queues: usize,
        control: Option<&mut BackRing<P>>,
    ) -> Result<(Told<P>, HashControl, Vec<Mac>, Option<Ledger<P>>), String> {
        let at = Told::<P>::BYTES;
        let record = self.record(hv, VIF, at + Ledger::<P>::bytes(CONTROL_WORDS))?;
        let ledger = match control {
            Some(ring) => {
                let shape = (CONTROL_WORDS, CONTROL_RESPONSE);
                Some(self.ledger(record.clone(), at, shape, ring)?)
            }
            None => None,
        };
        if self.resumed {
            let (told, hash, listed) = Told::resume(record, queues)?;
            return Ok((told, hash, listed, ledger));
        }
        let hash = HashControl::new(queues);
        Ok((Told::new(record, &hash), hash, Vec::new(), ledger))
    }

    /// The vif's rings are given back: nothing is kept of them any more.
    pub fn end<H: Survivors>(&self, hv: &H, queues: usize) {
        (0..queues as u8)
            .chain([VIF])
            .for_each(|part| hv.forget(self.key(part)));
    }
}
