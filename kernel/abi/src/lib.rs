//! Xen's public structures and constants, as a guest of any kind meets them; no logic.
//!
//! Each module is named like the header it follows (`xen/include/public/*.h`), each constant is spelt exactly
//! as there, each field too, and each type is the C name in Rust's case (`gnttab_map_grant_ref` is
//! [`grant_table::GnttabMapGrantRef`]), so that one search finds both. Handles (pointers to guest memory) and
//! frame numbers are `u64`, as the 64-bit ABIs of Arm and x86 have them; a C union is the field that contains
//! it, as wide as its widest arm, because reading a Rust union is unsafe.
//!
//! **Distrusts** nobody: it holds no value of anybody's. **Owes** its users the exact layout: sizes and
//! offsets are asserted where a structure is declared, and `tests/layout` compares them and every constant
//! with a list of facts that it can also put before a C compiler with Xen's own headers. Structures that
//! other domains write to are here for their offsets: read them field by field, never by a cast.
//!
//! Key types: [`grant_table::GrantEntryV1`], [`xen::SharedInfo`], [`io::ring::Sring`],
//! [`io::blkif::RequestLayout`].
//!
//! Follows Xen 4.20's headers; all that is here is the same since 4.17. Little-endian machines only, as
//! Xen's.
#![no_std]
#![forbid(unsafe_code)]
// Xen's spelling, so that one search finds the header and its uses.
#![allow(non_upper_case_globals)]

#[macro_use]
mod layout;

pub mod arch_arm;
pub mod errno;
pub mod event_channel;
pub mod features;
pub mod grant_table;
pub mod hvm;
pub mod io;
pub mod memory;
pub mod sched;
pub mod vcpu;
pub mod version;
pub mod xen;

const _: () = assert!(cfg!(target_endian = "little"));
