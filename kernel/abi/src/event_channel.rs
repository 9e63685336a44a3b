//! `event_channel.h`: notifications between domains, and from Xen. 2-level and FIFO ABIs.

use crate::xen::Domid;

/// A domain's number for one of its event channels (`evtchn_port_t`). 0 is never one.
pub type EvtchnPort = u32;

// Operations: `HYPERVISOR_event_channel_op(cmd, &argument)`.
/// Connects to another domain's unbound port: [`EvtchnBindInterdomain`].
pub const EVTCHNOP_bind_interdomain: u32 = 0;
/// Binds a virtual interrupt: [`EvtchnBindVirq`].
pub const EVTCHNOP_bind_virq: u32 = 1;
/// Binds a physical interrupt (x86 PV): [`EvtchnBindPirq`].
pub const EVTCHNOP_bind_pirq: u32 = 2;
/// Closes a port: [`EvtchnClose`].
pub const EVTCHNOP_close: u32 = 3;
/// Notifies the other end: [`EvtchnSend`].
pub const EVTCHNOP_send: u32 = 4;
/// Asks for a port's state: [`EvtchnStatus`].
pub const EVTCHNOP_status: u32 = 5;
/// Makes a port that another domain may connect to: [`EvtchnAllocUnbound`].
pub const EVTCHNOP_alloc_unbound: u32 = 6;
/// Binds an inter-processor interrupt: [`EvtchnBindIpi`].
pub const EVTCHNOP_bind_ipi: u32 = 7;
/// Chooses the vCPU that a port notifies: [`EvtchnBindVcpu`].
pub const EVTCHNOP_bind_vcpu: u32 = 8;
/// Unmasks a port, and delivers what is pending: [`EvtchnUnmask`].
pub const EVTCHNOP_unmask: u32 = 9;
/// Closes every port: [`EvtchnReset`].
pub const EVTCHNOP_reset: u32 = 10;
/// Starts the FIFO ABI on a vCPU: [`EvtchnInitControl`].
pub const EVTCHNOP_init_control: u32 = 11;
/// Adds a page to the FIFO ABI's event array: [`EvtchnExpandArray`].
pub const EVTCHNOP_expand_array: u32 = 12;
/// Sets a port's FIFO priority: [`EvtchnSetPriority`].
pub const EVTCHNOP_set_priority: u32 = 13;

/// `evtchn_bind_pirq.flags`: the interrupt may be shared.
pub const BIND_PIRQ__WILL_SHARE: u32 = 1;

// `evtchn_status.status`.
/// Not in use.
pub const EVTCHNSTAT_closed: u32 = 0;
/// Waits for the other end; `u[0]` (low 16 bits) is who may connect.
pub const EVTCHNSTAT_unbound: u32 = 1;
/// Connected; `u` is the other domain (low 16 bits of `u[0]`) and its port (`u[1]`).
pub const EVTCHNSTAT_interdomain: u32 = 2;
/// Physical interrupt `u[0]`.
pub const EVTCHNSTAT_pirq: u32 = 3;
/// Virtual interrupt `u[0]`.
pub const EVTCHNSTAT_virq: u32 = 4;
/// Inter-processor interrupt.
pub const EVTCHNSTAT_ipi: u32 = 5;

/// Ports of the 2-level ABI in a 64-bit guest.
pub const EVTCHN_2L_NR_CHANNELS: u32 = 4096;

/// FIFO: the highest priority.
pub const EVTCHN_FIFO_PRIORITY_MAX: u32 = 0;
/// FIFO: the priority that a port begins with.
pub const EVTCHN_FIFO_PRIORITY_DEFAULT: u32 = 7;
/// FIFO: the lowest priority.
pub const EVTCHN_FIFO_PRIORITY_MIN: u32 = 15;
/// FIFO: queues a vCPU, one a priority.
pub const EVTCHN_FIFO_MAX_QUEUES: usize = 16;
/// FIFO event word: bit number of "pending".
pub const EVTCHN_FIFO_PENDING: u32 = 31;
/// FIFO event word: bit number of "masked".
pub const EVTCHN_FIFO_MASKED: u32 = 30;
/// FIFO event word: bit number of "linked into a queue".
pub const EVTCHN_FIFO_LINKED: u32 = 29;
/// FIFO event word: bit number of "its link is being changed".
pub const EVTCHN_FIFO_BUSY: u32 = 28;
/// FIFO event word: how many low bits name the next port.
pub const EVTCHN_FIFO_LINK_BITS: u32 = 17;
/// FIFO event word: these bits.
pub const EVTCHN_FIFO_LINK_MASK: u32 = (1 << EVTCHN_FIFO_LINK_BITS) - 1;
/// FIFO: ports.
pub const EVTCHN_FIFO_NR_CHANNELS: u32 = 1 << EVTCHN_FIFO_LINK_BITS;

layout! {
    /// `struct evtchn_alloc_unbound`.
    #[derive(Default)]
    struct EvtchnAllocUnbound[8] {
        /// `DOMID_SELF`.
        0 dom: Domid,
        /// Who may connect.
        2 remote_dom: Domid,
        /// Out.
        4 port: EvtchnPort,
    }

    /// `struct evtchn_bind_interdomain`. The new local port is pending at once.
    #[derive(Default)]
    struct EvtchnBindInterdomain[12] {
        /// The other domain.
        0 remote_dom: Domid,
        /// Its unbound port.
        4 remote_port: EvtchnPort,
        /// Out.
        8 local_port: EvtchnPort,
    }

    /// `struct evtchn_bind_virq`.
    #[derive(Default)]
    struct EvtchnBindVirq[12] {
        /// `VIRQ_*`.
        0 virq: u32,
        /// For which vCPU.
        4 vcpu: u32,
        /// Out.
        8 port: EvtchnPort,
    }

    /// `struct evtchn_bind_pirq`.
    #[derive(Default)]
    struct EvtchnBindPirq[12] {
        /// Physical interrupt.
        0 pirq: u32,
        /// `BIND_PIRQ__*`.
        4 flags: u32,
        /// Out.
        8 port: EvtchnPort,
    }

    /// `struct evtchn_bind_ipi`.
    #[derive(Default)]
    struct EvtchnBindIpi[8] {
        /// For which vCPU.
        0 vcpu: u32,
        /// Out.
        4 port: EvtchnPort,
    }

    /// `struct evtchn_close`.
    #[derive(Default)]
    struct EvtchnClose[4] {
        /// Which.
        0 port: EvtchnPort,
    }

    /// `struct evtchn_send`.
    #[derive(Default)]
    struct EvtchnSend[4] {
        /// The local end.
        0 port: EvtchnPort,
    }

    /// `struct evtchn_status`.
    #[derive(Default)]
    struct EvtchnStatus[24] {
        /// `DOMID_SELF`.
        0 dom: Domid,
        /// Which.
        4 port: EvtchnPort,
        /// Out: `EVTCHNSTAT_*`.
        8 status: u32,
        /// Out: the vCPU that it notifies.
        12 vcpu: u32,
        /// Out: as `status` says.
        16 u: [u32; 2],
    }

    /// `struct evtchn_bind_vcpu`.
    #[derive(Default)]
    struct EvtchnBindVcpu[8] {
        /// Which.
        0 port: EvtchnPort,
        /// The vCPU to notify.
        4 vcpu: u32,
    }

    /// `struct evtchn_unmask`.
    #[derive(Default)]
    struct EvtchnUnmask[4] {
        /// Which.
        0 port: EvtchnPort,
    }

    /// `struct evtchn_reset`.
    #[derive(Default)]
    struct EvtchnReset[2] {
        /// `DOMID_SELF`.
        0 dom: Domid,
    }

    /// `struct evtchn_init_control`.
    #[derive(Default)]
    struct EvtchnInitControl[24] {
        /// Guest frame of the page that holds the control block.
        0 control_gfn: u64,
        /// Where in it, in bytes; 8-byte aligned.
        8 offset: u32,
        /// For which vCPU.
        12 vcpu: u32,
        /// Out: link bits that Xen uses.
        16 link_bits: u8,
        /// Unused.
        17 _pad: [u8; 7],
    }

    /// `struct evtchn_expand_array`.
    #[derive(Default)]
    struct EvtchnExpandArray[8] {
        /// Guest frame of the page to add.
        0 array_gfn: u64,
    }

    /// `struct evtchn_set_priority`.
    #[derive(Default)]
    struct EvtchnSetPriority[8] {
        /// Which.
        0 port: EvtchnPort,
        /// `EVTCHN_FIFO_PRIORITY_MAX` (0) to `EVTCHN_FIFO_PRIORITY_MIN` (15).
        4 priority: u32,
    }

    /// `struct evtchn_fifo_control_block`: shared with Xen, one a vCPU.
    #[derive(Default)]
    struct EvtchnFifoControlBlock[72] {
        /// A bit a queue that is not empty.
        0 ready: u32,
        /// Unused.
        4 _rsvd: u32,
        /// First port of each queue.
        8 head: [u32; EVTCHN_FIFO_MAX_QUEUES],
    }
}
