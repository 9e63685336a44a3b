//! What a TX ring owes: one response for each consumed slot.

use xen_unikernel_abi::io::netif::{NETIF_RSP_ERROR, NETIF_RSP_NULL};

use crate::RING_SLOTS;

/// One consumed slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debt {
    /// The request's `id`; of an extra, that of its packet.
    pub id: u16,
    /// How it will be answered unless something better becomes of it: `NETIF_RSP_*`.
    pub status: i16,
}

/// Consumed slots of one packet: a range of [`Debts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    start: u16,
    end: u16,
}

impl Slots {
    /// How many.
    pub fn len(self) -> usize {
        usize::from(self.end - self.start)
    }

    /// None.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// All slots that were consumed and not yet answered, in the order in which they are answered.
#[derive(Clone, Debug)]
pub struct Debts {
    entries: [Debt; RING_SLOTS],
    len: u16,
}

impl Default for Debts {
    fn default() -> Self {
        Self {
            entries: [Debt::default(); RING_SLOTS],
            len: 0,
        }
    }
}

impl Debts {
    /// Slots owed.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the next slot will be, to begin a packet's [`Slots`].
    pub(crate) fn mark(&self) -> u16 {
        self.len
    }

    /// From a mark to here.
    pub(crate) fn since(&self, start: u16) -> Slots {
        Slots { start, end: self.len }
    }

    /// A data slot was consumed. There is room, because a ring owes no more than it has slots.
    pub(crate) fn data(&mut self, id: u16) {
        self.push(id, NETIF_RSP_ERROR);
    }

    /// A slot that held an extra was consumed.
    pub(crate) fn extra(&mut self, id: u16) {
        self.push(id, NETIF_RSP_NULL);
    }

    fn push(&mut self, id: u16, status: i16) {
        self.entries[usize::from(self.len)] = Debt { id, status };
        self.len += 1;
    }

    /// What becomes of a packet: all its data slots are answered with `status`.
    pub fn settle(&mut self, slots: Slots, status: i16) {
        for debt in &mut self.entries[usize::from(slots.start)..usize::from(slots.end)] {
            if debt.status != NETIF_RSP_NULL {
                debt.status = status;
            }
        }
    }

    /// The debts in order.
    pub fn entries(&self) -> &[Debt] {
        &self.entries[..self.len()]
    }

    /// The response word of each debt, in order.
    #[inline]
    pub fn words(&self) -> impl Iterator<Item = u32> {
        let word = |debt: &Debt| u32::from(debt.id) | u32::from(debt.status.cast_unsigned()) << 16;
        self.entries().iter().map(word)
    }

    /// Hands over the response word of each debt, in order, and owes nothing any more.
    pub fn pay(&mut self, mut each: impl FnMut(u32)) {
        self.words().for_each(&mut each);
        self.len = 0;
    }
}
