//! `hvm/hvm_op.h` and `hvm/params.h`: what Xen tells a translated guest (HVM, PVH, Arm) of its own pages and
//! ports.

use crate::xen::Domid;

// Operations: `HYPERVISOR_hvm_op(cmd, &argument)`.
/// Sets a parameter: [`XenHvmParam`].
pub const HVMOP_set_param: u32 = 0;
/// Reads a parameter: [`XenHvmParam`].
pub const HVMOP_get_param: u32 = 1;

// Parameters.
/// How events interrupt an x86 guest: kind in the top byte. Read by Arm guests from the device tree instead.
pub const HVM_PARAM_CALLBACK_IRQ: u32 = 0;
/// Guest frame of the XenStore ring.
pub const HVM_PARAM_STORE_PFN: u32 = 1;
/// Port of the XenStore ring.
pub const HVM_PARAM_STORE_EVTCHN: u32 = 2;
/// Guest frame of the console ring.
pub const HVM_PARAM_CONSOLE_PFN: u32 = 17;
/// Port of the console ring.
pub const HVM_PARAM_CONSOLE_EVTCHN: u32 = 18;
/// How many there are.
pub const HVM_NR_PARAMS: u32 = 39;

layout! {
    /// `struct xen_hvm_param`.
    #[derive(Default)]
    struct XenHvmParam[16] {
        /// `DOMID_SELF`.
        0 domid: Domid,
        /// Unused.
        2 pad: u16,
        /// `HVM_PARAM_*`.
        4 index: u32,
        /// The value, in or out.
        8 value: u64,
    }
}
