//! Reading a device for ourselves, at the time of a probe: its partition table.

use core::time::Duration;

use outrigger_devices::{BlockDevice, Status};
use outrigger_ring::SharedPages;
use outrigger_xen::{Hypervisor, Instant};

use crate::disk::Reading;
use crate::service::State;
use crate::table::{ReadError, Sectors};

/// How long a read of the partition table may take.
const READ_LIMIT: Duration = Duration::from_secs(1);

/// Reads a device while it may be serving others: their completions are taken as they come.
pub(crate) struct Reader<'a, H, P, D, M> {
    pub hv: &'a H,
    pub state: &'a mut State<P, D, M>,
    pub disk: usize,
}

impl<H, P, D, M> Sectors for Reader<'_, H, P, D, M>
where
    H: Hypervisor<Pages = P>,
    P: SharedPages + Clone,
    D: BlockDevice,
    M: SharedPages,
{
    fn sectors(&self) -> u64 {
        self.state.disks[self.disk].limits.sectors
    }

    fn logical_block_size(&self) -> u32 {
        self.state.disks[self.disk].limits.logical_block_size
    }

    fn read(&mut self, sector: u64, into: &mut [u8]) -> Result<(), ReadError> {
        let deadline = self.hv.now().after(READ_LIMIT);
        loop {
            let disk = &mut self.state.disks[self.disk];
            // A read that was given up may still be under way.
            if disk.reading != Reading::Pending && disk.begin_read(sector, into.len()) {
                disk.commit();
                break;
            }
            self.wait(deadline)?;
        }
        loop {
            self.wait(deadline)?;
            let disk = &mut self.state.disks[self.disk];
            if let Reading::Done(status) = disk.reading {
                disk.reading = Reading::Idle;
                if status != Status::Ok {
                    return Err(ReadError("the device failed the read"));
                }
                disk.copy_out(into);
                return Ok(());
            }
        }
    }
}

impl<H, P, D, M> Reader<'_, H, P, D, M>
where
    H: Hypervisor<Pages = P>,
    P: SharedPages + Clone,
    D: BlockDevice,
    M: SharedPages,
{
    /// Takes what has completed by now.
    fn wait(&mut self, deadline: Instant) -> Result<(), ReadError> {
        self.state.reap_disk(self.hv, self.disk);
        if self.state.disks[self.disk].failed.is_some() {
            return Err(ReadError("the device has failed"));
        }
        self.hv.still_alive();
        if self.hv.now() > deadline {
            return Err(ReadError("the device does not answer"));
        }
        Ok(())
    }
}
