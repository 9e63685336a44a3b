//! The memory that outlives a restart in place: its layout, and whether it can be believed.
//!
//! It lies below the image, at the start of RAM, where no image's size moves it. Everything in it is the primary place of
//! what it holds. The mappings have a check a slot, the records one a record and their own meaning, and the facts below
//! one over all that never changes. What was being asked of Xen when the life ended is here too: Xen writes its answers
//! where the question is, so the next life reads them.

#![cfg_attr(test, allow(dead_code, reason = "the host runs only what tests look at"))]

pub(crate) mod addresses;
pub(crate) mod facts;
pub(crate) mod records;

use crate::window::SLOT;

/// Xen's `vcpu_info` of processor 0, which can be registered once only.
pub(crate) const VCPU_INFO: usize = 0;
pub(crate) const FACTS: usize = 0x1000;
/// The batch of mappings that Xen is working on, and the batch of unmappings.
pub(crate) const MAPS: usize = 0x2000;
pub(crate) const UNMAPS: usize = 0x3000;
/// What Dom0 may map of us. It stays granted, for a client that is late in letting go.
pub(crate) const FOR_DOM0: usize = 0x4000;
/// Machine addresses of our own pages.
pub(crate) const ADDRESSES: usize = 0x5000;
pub(crate) const CPU_WINDOW: usize = ADDRESSES + 8 * OWN_PAGES;
pub(crate) const DMA_WINDOW: usize = CPU_WINDOW + SLOT * CPU_SLOTS;
pub(crate) const RECORDS: usize = DMA_WINDOW + SLOT * DMA_SLOTS;
/// All of it: the image's `text_offset`.
pub(crate) const LEN: usize = 2 << 20;

/// Own pages whose machine addresses are kept.
pub(crate) const OWN_PAGES: usize = 8192;
/// Most pages mapped for the CPU at once: rings, and indirect pages.
pub(crate) const CPU_SLOTS: usize = 4096;
/// Most pages mapped for DMA at once: 128 MiB of guests' memory in flight or persistent, all that twenty stock disks keep.
pub(crate) const DMA_SLOTS: usize = 32_768;

const _: () = assert!(RECORDS + (1 << 20) < LEN, "most of it is for records");

/// A digest of words: against accidents, not against anybody.
#[inline]
pub(crate) fn digest(words: impl IntoIterator<Item = u64>) -> u64 {
    words.into_iter().fold(0x9e37_79b9_7f4a_7c15, |sum, word| {
        let mixed = (sum ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ mixed >> 29
    })
}
