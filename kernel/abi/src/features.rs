//! `features.h`: bit numbers of what `XENVER_get_features` reports.

/// The guest's frame numbers are not machine frames.
pub const XENFEAT_auto_translated_physmap: u32 = 2;
/// Grant mappings may set bits of the guest's page tables.
pub const XENFEAT_gnttab_map_avail_bits: u32 = 7;
/// Events can come by a vector of their own (x86).
pub const XENFEAT_hvm_callback_vector: u32 = 8;
/// The PV clock is safe in HVM guests.
pub const XENFEAT_hvm_safe_pvclock: u32 = 9;
/// Event channels for interrupts in HVM guests.
pub const XENFEAT_hvm_pirqs: u32 = 10;
/// This is Dom0.
pub const XENFEAT_dom0: u32 = 11;
/// The domain's RAM is not at its machine addresses: what a device is told needs looking up.
pub const XENFEAT_not_direct_mapped: u32 = 16;
/// The domain's RAM is at its machine addresses.
pub const XENFEAT_direct_mapped: u32 = 17;
/// How many words of 32 features there are.
pub const XENFEAT_NR_SUBMAPS: u32 = 1;
