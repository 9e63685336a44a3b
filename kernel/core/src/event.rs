//! Event channels, 2-level (`public/xen.h`): 4096 ports, one bitmap sweep a wake.
//!
//! FIFO channels pay where there are more ports than that, or many priorities; a driver domain has a few hundred.

use alloc::vec::Vec;
use core::cell::RefCell;

use outrigger_xen::{DomId, EventChannels, EventError, Port};
use xen_unikernel_abi::event_channel::EvtchnBindInterdomain;

use crate::Shared;
use crate::bitmap::Bitmap;
use crate::hypercalls::{self, Errno};
use crate::survivors::facts::Facts;

/// The ports, and what is pending at them.
#[derive(Debug)]
pub(crate) struct Events {
    bitmap: Bitmap<Shared>,
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
            bitmap: Bitmap {
                shared_info,
                vcpu_info,
            },
            facts: Facts::at(facts.clone()),
            bind: RefCell::new(bind),
        }
    }

    /// Closes what an earlier life had bound, and forgets what it was told.
    pub(crate) fn close_old(&self) {
        let last = Port(core::mem::take(&mut self.bind.borrow_mut().local_port));
        let noted = self.facts.ports().collect::<Vec<_>>();
        for port in noted.into_iter().chain((last != Port(0)).then_some(last)) {
            self.close(port);
        }
        self.bitmap.take_over();
    }

    /// A port for `remote` to bind to.
    pub(crate) fn alloc_unbound(&self, remote: DomId) -> Result<Port, EventError> {
        let port = hypercalls::evtchn_alloc_unbound(remote).map_err(|Errno(errno)| EventError(errno))?;
        self.facts.note_port(port, true);
        self.unmask(port);
        Ok(port)
    }

    /// Lets a port's events through, also one that came while it was masked: so it is Xen who clears the mask.
    pub(crate) fn unmask(&self, port: Port) {
        hypercalls::evtchn_unmask(port);
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
        self.bitmap.mask(port);
        hypercalls::evtchn_close(port);
        self.bitmap.clear(port);
        self.facts.note_port(port, false);
    }

    #[inline]
    fn notify(&self, port: Port) {
        send(port);
    }

    #[inline]
    fn take_pending(&self, each: &mut dyn FnMut(Port)) {
        self.bitmap.take_pending(each);
    }
}
