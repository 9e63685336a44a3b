//! Reading a device for ourselves, at the time of a probe: its partition table.

use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;

use outrigger_devices::{BlockDevice, Status};
use outrigger_ring::SharedPages;
use outrigger_xen::{Hypervisor, Instant};

use crate::disk::Reading;
use crate::service::{Block, State};
use crate::table::{ReadError, Sectors};

/// How long reading a partition table may take. Other devices' control plane waits meanwhile, their requests
/// do not.
const READ_LIMIT: Duration = Duration::from_secs(3);

/// After a read that failed or took too long, the device is not read for a table for so long: whatever a
/// guest does, each read that is given up costs the control plane [`READ_LIMIT`] at most once in that time.
const READ_PAUSE: Duration = Duration::from_secs(30);

/// Reads a device while it may be serving others: the loop takes their completions and ours as they come.
pub(crate) struct Reader<'a, 'h, H: Hypervisor, D, M> {
    block: &'a Block<'h, H, D, M>,
    disk: usize,
    /// When it is given up.
    deadline: Instant,
}

impl<'a, 'h, H: Hypervisor, D, M> Reader<'a, 'h, H, D, M> {
    /// Of that disk; all of it is to be read within [`READ_LIMIT`].
    pub fn new(block: &'a Block<'h, H, D, M>, disk: usize) -> Self {
        let deadline = block.hv.now().after(READ_LIMIT);
        Self {
            block,
            disk,
            deadline,
        }
    }
}

impl<H: Hypervisor, D: BlockDevice, M: SharedPages> Sectors for Reader<'_, '_, H, D, M> {
    fn sectors(&self) -> u64 {
        self.block.state.borrow().disks[self.disk].limits.sectors
    }

    fn logical_block_size(&self) -> u32 {
        self.block.state.borrow().disks[self.disk]
            .limits
            .logical_block_size
    }

    async fn read(&mut self, sector: u64, into: &mut [u8]) -> Result<(), ReadError> {
        let (hv, deadline) = (self.block.hv, self.deadline);
        let mut begun = false;
        let read = poll_fn(|_| {
            let state = &mut *self.block.state.borrow_mut();
            let now = hv.now();
            match state.read(self.disk, sector, into, &mut begun) {
                Some(read) => Poll::Ready(read),
                None if now > deadline => Poll::Ready(Err(ReadError("the device does not answer"))),
                None => {
                    // The control plane is polled then, or when something has completed.
                    state.read_by = Some(deadline.after(Duration::from_nanos(1)));
                    Poll::Pending
                }
            }
        })
        .await;
        let state = &mut *self.block.state.borrow_mut();
        state.read_by = None;
        if let Err(ReadError(why)) = read {
            state.disks[self.disk].unreadable = Some((why, hv.now().after(READ_PAUSE)));
        }
        read
    }
}

impl<P, D: BlockDevice, M: SharedPages> State<P, D, M> {
    /// Goes on with a read of our own; `None` while it is under way.
    fn read(
        &mut self,
        disk: usize,
        sector: u64,
        into: &mut [u8],
        begun: &mut bool,
    ) -> Option<Result<(), ReadError>> {
        let disk = &mut self.disks[disk];
        if disk.failed.is_some() {
            return Some(Err(ReadError("the device has failed")));
        }
        if !*begun {
            // A read that was given up may still be under way.
            if disk.reading != Reading::Pending && disk.begin_read(sector, into.len()) {
                disk.commit();
                *begun = true;
                self.unarmed = true;
            }
            return None;
        }
        let Reading::Done(status) = disk.reading else {
            return None;
        };
        disk.reading = Reading::Idle;
        if status != Status::Ok {
            return Some(Err(ReadError("the device failed the read")));
        }
        disk.copy_out(into);
        Some(Ok(()))
    }
}

impl<D, M> crate::disk::Disk<D, M> {
    /// Why it is not read for a partition table now, if its last read went wrong.
    pub(crate) fn unreadable(&self, now: Instant) -> Option<&'static str> {
        let (why, until) = self.unreadable?;
        (now < until).then_some(why)
    }
}
