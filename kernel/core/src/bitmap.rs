//! The 2-level bitmaps that Xen shares (`public/xen.h`): which ports are pending and masked, which words of those are worth a
//! look (`evtchn_pending_sel`), and whether there is anything at all (`evtchn_upcall_pending`).
//!
//! Xen announces what is new only: a port that is pending already is not marked in the selector again, and a word that is
//! marked already raises no upcall. So whoever clears one of them owes the ones below a look, and a life that ends between
//! two clears would leave a port that is never heard of again. [`take_over`](Bitmap::take_over) is that look.

use core::mem::offset_of;

use outrigger_ring::SharedPages;
use outrigger_xen::Port;
use xen_unikernel_abi::arch_arm::{SharedInfo, VcpuInfo};

/// Ports a word; there are as many words.
const PORTS_PER_WORD: usize = 64;

const PENDING: usize = offset_of!(SharedInfo, evtchn_pending);
const MASK: usize = offset_of!(SharedInfo, evtchn_mask);
const UPCALL_PENDING: usize = offset_of!(VcpuInfo, evtchn_upcall_pending);
const PENDING_SEL: usize = offset_of!(VcpuInfo, evtchn_pending_sel);

/// Memory in which a word changes in one step, whatever Xen does there at the same time.
pub(crate) trait AtomicWords: SharedPages {
    /// Sets bits.
    fn or(&self, at: usize, bits: u64);
    /// Keeps only `bits`.
    fn and(&self, at: usize, bits: u64);
    /// Clears all; what there was.
    fn take(&self, at: usize) -> u64;
}

/// The shared bitmaps and this processor's summary of them.
#[derive(Debug)]
pub(crate) struct Bitmap<P> {
    pub shared_info: P,
    pub vcpu_info: P,
}

/// The word of a port, and its bit there.
fn place(Port(port): Port) -> (usize, u64) {
    (
        8 * (port as usize / PORTS_PER_WORD),
        1 << (port as usize % PORTS_PER_WORD),
    )
}

impl<P: AtomicWords> Bitmap<P> {
    /// Nothing of this port is taken any more.
    pub fn mask(&self, port: Port) {
        let (word, bit) = place(port);
        self.shared_info.or(MASK + word, bit);
    }

    /// Forgets what came for it.
    pub fn clear(&self, port: Port) {
        let (word, bit) = place(port);
        self.shared_info.and(PENDING + word, !bit);
    }

    /// Forgets all that came for an earlier life and was not taken, or was taken half.
    pub fn take_over(&self) {
        self.vcpu_info.or(PENDING_SEL, u64::MAX);
        self.vcpu_info.store_u8(UPCALL_PENDING, 1);
        self.take_pending(&mut |_| {});
    }

    /// Takes each port that is pending.
    #[inline]
    pub fn take_pending(&self, each: &mut dyn FnMut(Port)) {
        if self.vcpu_info.load_u8(UPCALL_PENDING) == 0 {
            return;
        }
        // Cleared before the summary is taken: an event that comes later sets it again.
        self.vcpu_info.store_u8(UPCALL_PENDING, 0);
        let mut words = self.vcpu_info.take(PENDING_SEL);
        while words != 0 {
            let word = words.trailing_zeros() as usize;
            words &= words - 1;
            let at = 8 * word;
            let masked = self.shared_info.load_u64(MASK + at);
            let mut ports = self.shared_info.load_u64(PENDING + at) & !masked;
            if ports == 0 {
                continue;
            }
            self.shared_info.and(PENDING + at, !ports);
            while ports != 0 {
                let bit = ports.trailing_zeros() as usize;
                ports &= ports - 1;
                each(Port((word * PORTS_PER_WORD + bit) as u32));
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "bitmap/tests.rs"]
mod tests;
