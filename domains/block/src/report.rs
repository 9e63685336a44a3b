//! What has been done so far, for whoever asks.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use outrigger_devices::BlockDevice;
use outrigger_ring::SharedPages;
use outrigger_xen::Hypervisor;
use outrigger_xenbus::DeviceId;

use crate::counters::Counters;
use crate::service::Block;

impl<H: Hypervisor, D: BlockDevice, M: SharedPages> Block<'_, H, D, M> {
    /// Tells what each vbd has done since it connected.
    pub fn report(&self, mut each: impl FnMut(DeviceId, &Counters)) {
        let state = self.state.borrow();
        for vbd in &state.vbds {
            let mut sum = vbd.counters;
            for ring in &vbd.rings {
                if let Some(served) = &state.rings[*ring] {
                    sum += served.ring.counters();
                }
            }
            each(vbd.id, &sum);
        }
    }

    /// The same of one vbd, in words.
    pub(crate) fn vbd_words(&self, vbd: DeviceId) -> Option<String> {
        let mut words = None;
        self.report(|id, counters| {
            if id == vbd {
                words = Some(counters.to_string());
            }
        });
        words
    }

    /// What each disk is, and what the processor had to do for it because of what it does not reach.
    pub(crate) fn disk_words(&self) -> Vec<(String, String)> {
        let state = self.state.borrow();
        let words = state.disks.iter().map(|disk| {
            let works = if disk.failed.is_none() { "ok" } else { "failed" };
            let dma = disk.device.dma_counters();
            let words = format!(
                "state={works} sectors={} bounces={} by-hand={}",
                disk.limits.sectors, dma.bounces, dma.by_hand
            );
            (disk.name.clone(), words)
        });
        words.collect()
    }
}
