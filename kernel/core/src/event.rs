//! Event channels, 2-level (`public/xen.h`): 4096 ports, one bitmap sweep a wake.
//!
//! FIFO channels pay where there are more ports than that, or many priorities; a driver domain has a few hundred.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::mem::offset_of;

use outrigger_ring::SharedPages;
use outrigger_xen::{DomId, EventChannels, EventError, Port};
use xen_unikernel_abi::arch_arm::{SharedInfo, VcpuInfo};
use xen_unikernel_abi::event_channel::EvtchnBindInterdomain;

use crate::Shared;
use crate::hypercalls::{self, Errno};
use crate::survivors::facts::Facts;

/// 64-bit words in each bitmap, and ports a word.
const WORDS: usize = 64;
const PORTS_PER_WORD: usize = 64;

const PENDING: usize = offset_of!(SharedInfo, evtchn_pending);
const MASK: usize = offset_of!(SharedInfo, evtchn_mask);
const UPCALL_PENDING: usize = offset_of!(VcpuInfo, evtchn_upcall_pending);
const PENDING_SEL: usize = offset_of!(VcpuInfo, evtchn_pending_sel);

/// The shared bitmaps and this processor's summary of them.
#[derive(Debug)]
pub(crate) struct Events {
    shared_info: Shared,
    vcpu_info: Shared,
    /// Which ports are ours, and the one that Xen is asked for.
    facts: Facts<Shared>,
    bind: RefCell<&'static mut EvtchnBindInterdomain>,
}

impl Events {
    /// # Safety
    /// Called once a life; the facts' page is at `facts`, and the binding in it is nobody else's.
    pub(crate) unsafe fn new(shared_info: Shared, vcpu_info: Shared, facts: &Shared) -> Self {
        let at = facts.part(Facts::<Shared>::BIND, 16).address();
        // SAFETY: within the page, 8-byte aligned, and the caller's promise; any bytes are a valid structure.
        let bind: &'static mut EvtchnBindInterdomain = unsafe { &mut *(at as *mut _) };
        Self {
            shared_info,
            vcpu_info,
            facts: Facts::at(facts.clone()),
            bind: RefCell::new(bind),
        }
    }

    /// Closes what an earlier life had bound.
    pub(crate) fn close_old(&self) {
        let last = Port(core::mem::take(&mut self.bind.borrow_mut().local_port));
        let noted = self.facts.ports().collect::<Vec<_>>();
        for port in noted.into_iter().chain((last != Port(0)).then_some(last)) {
            self.close(port);
        }
    }

    /// A port for `remote` to bind to.
    pub(crate) fn alloc_unbound(&self, remote: DomId) -> Result<Port, EventError> {
        let port = hypercalls::evtchn_alloc_unbound(remote).map_err(|Errno(errno)| EventError(errno))?;
        self.facts.note_port(port, true);
        self.unmask(port);
        Ok(port)
    }

    /// Lets a port's events through.
    pub(crate) fn unmask(&self, port: Port) {
        let Port(port) = port;
        let (word, bit) = (port as usize / PORTS_PER_WORD, port as usize % PORTS_PER_WORD);
        self.shared_info.fetch_and_u64(MASK + 8 * word, !(1 << bit));
        // Xen looks at an event that came while it was masked only when asked to.
        hypercalls::evtchn_unmask(Port(port));
    }
}

/// Notifies the other end of a port. A port whose other end has gone is not an error.
#[inline]
pub(crate) fn send(port: Port) {
    hypercalls::evtchn_send(port);
}

impl EventChannels for Events {
    fn bind_interdomain(&self, dom: DomId, remote: Port) -> Result<Port, EventError> {
        let mut bind = self.bind.borrow_mut();
        **bind = EvtchnBindInterdomain {
            remote_dom: dom.0,
            remote_port: remote.0,
            ..Default::default()
        };
        hypercalls::evtchn_bind_interdomain(&mut bind).map_err(|Errno(errno)| EventError(errno))?;
        let port = Port(bind.local_port);
        self.facts.note_port(port, true);
        bind.local_port = 0;
        self.unmask(port);
        Ok(port)
    }

    fn close(&self, port: Port) {
        // Masked and cleared, so that nothing of it is seen when Xen gives the number out again.
        let Port(number) = port;
        let (word, bit) = (number as usize / PORTS_PER_WORD, number as usize % PORTS_PER_WORD);
        self.shared_info.fetch_or_u64(MASK + 8 * word, 1 << bit);
        hypercalls::evtchn_close(port);
        self.shared_info.fetch_and_u64(PENDING + 8 * word, !(1 << bit));
        self.facts.note_port(port, false);
    }

    #[inline]
    fn notify(&self, port: Port) {
        send(port);
    }

    #[inline]
    fn take_pending(&self, each: &mut dyn FnMut(Port)) {
        if self.vcpu_info.load_u8(UPCALL_PENDING) == 0 {
            return;
        }
        // Cleared before the summary is taken: an event that comes later sets it again.
        self.vcpu_info.store_u8(UPCALL_PENDING, 0);
        let mut words = self.vcpu_info.swap_u64(PENDING_SEL, 0);
        while words != 0 {
            let word = words.trailing_zeros() as usize;
            words &= words - 1;
            let at = 8 * word;
            let masked = self.shared_info.load_u64(MASK + at);
            let mut ports = self.shared_info.load_u64(PENDING + at) & !masked;
            if ports == 0 || word >= WORDS {
                continue;
            }
            self.shared_info.fetch_and_u64(PENDING + at, !ports);
            while ports != 0 {
                let bit = ports.trailing_zeros() as usize;
                ports &= ports - 1;
                each(Port((word * PORTS_PER_WORD + bit) as u32));
            }
        }
    }
}
