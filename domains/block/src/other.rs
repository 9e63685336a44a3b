//! Requests that carry no data of their own, or not yet.

use outrigger_blkif::Request;
use outrigger_devices::BlockDevice;
use outrigger_ring::SharedPages;
use outrigger_xen::GrantTable;

use crate::barrier::{Barrier, Step};
use crate::journal::Slot;
use crate::ring::{Io, Ring};

impl<P: SharedPages + Clone> Ring<P> {
    /// Everything that is rare.
    #[cold]
    pub(crate) fn take_other<H, D>(&mut self, io: &mut Io<'_, H, D>, slot: Slot, other: Other)
    where
        H: GrantTable<Pages = P>,
        D: BlockDevice,
    {
        match other {
            Other::Flush => self.flush(io, slot),
            Other::Barrier { empty } => {
                self.counters.barriers += 1;
                self.barrier = Some(Barrier {
                    slot,
                    empty,
                    step: Step::Drain,
                });
            }
            Other::Discard { sector, sectors } => match self.view.check_discard(sector, sectors) {
                Ok(sector) => {
                    self.counters.discards += 1;
                    self.discard(io, slot, sector, sectors);
                }
                Err(why) => self.refuse(slot, why),
            },
        }
    }
}

/// A request that carries no data of its own, or not yet.
pub(crate) enum Other {
    Flush,
    Barrier { empty: bool },
    Discard { sector: u64, sectors: u64 },
}

impl Other {
    pub fn of(request: &Request<'_>) -> Self {
        match *request {
            Request::Discard { sector, sectors } => Self::Discard { sector, sectors },
            Request::Barrier { segments, .. } => Self::Barrier {
                empty: segments.is_empty(),
            },
            Request::Data { .. } | Request::Indirect { .. } | Request::Flush => Self::Flush,
        }
    }
}
