//! RX: a frontend's empty pages, and how they are answered. The response to a request must lie in the request's own slot,
//! so requests are answered in the order in which they were consumed, and an extra uses one up.

use outrigger_xen::{GrantRef, PAGE_SIZE};
use xen_unikernel_abi::io::netif::{NETIF_RSP_ERROR, NETRXF_extra_info, NETRXF_more_data};

use crate::Checksum;

/// Bytes of a slot.
pub const RX_SLOT_BYTES: usize = 8;
/// The same in words.
pub const RX_SLOT_WORDS: usize = 2;

/// `netif_rx_request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxRequest {
    /// To be echoed.
    pub id: u16,
    /// The page.
    pub gref: GrantRef,
}

impl RxRequest {
    /// From a private copy of a slot.
    pub fn decode(words: [u32; RX_SLOT_WORDS]) -> Self {
        Self {
            id: words[0] as u16,
            gref: GrantRef(words[1]),
        }
    }

    /// The slot's words, as frontends write them.
    pub fn encode(self) -> [u32; RX_SLOT_WORDS] {
        [u32::from(self.id), self.gref.0]
    }
}

/// How much of a slot was filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxStatus {
    /// That many bytes, at most a page.
    Bytes(u16),
    /// The packet was lost.
    Error,
}

/// `netif_rx_response` of a data slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxResponse {
    /// The request's.
    pub id: u16,
    /// Where the data begins in the page.
    pub offset: u16,
    /// What is known of the checksum; said in a packet's first slot only.
    pub checksum: Checksum,
    /// The packet goes on in another data slot.
    pub more: bool,
    /// The next slot is an extra.
    pub extra: bool,
    /// How much there is.
    pub status: RxStatus,
}

impl RxResponse {
    /// The response's words, every byte defined.
    pub fn encode(self) -> [u32; RX_SLOT_WORDS] {
        let mut flags = self.checksum.rx_flags();
        if self.more {
            flags |= NETRXF_more_data;
        }
        if self.extra {
            flags |= NETRXF_extra_info;
        }
        let status = match self.status {
            // At most 4096, so that it stays positive.
            RxStatus::Bytes(bytes) => bytes,
            RxStatus::Error => NETIF_RSP_ERROR.cast_unsigned(),
        };
        [
            u32::from(self.id) | u32::from(self.offset) << 16,
            u32::from(flags) | u32::from(status) << 16,
        ]
    }

    /// What a frontend reads.
    pub fn decode(words: [u32; RX_SLOT_WORDS]) -> (Self, u16) {
        let flags = words[1] as u16;
        let status = ((words[1] >> 16) as u16).cast_signed();
        let response = Self {
            id: words[0] as u16,
            offset: (words[0] >> 16) as u16,
            checksum: [Checksum::Blank, Checksum::Validated]
                .into_iter()
                .find(|checksum| flags & checksum.rx_flags() == checksum.rx_flags())
                .unwrap_or(Checksum::Unknown),
            more: flags & NETRXF_more_data != 0,
            extra: flags & NETRXF_extra_info != 0,
            status: u16::try_from(status).map_or(RxStatus::Error, RxStatus::Bytes),
        };
        (response, flags)
    }
}

/// Slots that a packet of `len` bytes takes, with `headroom` bytes left free at the start of each page and `extras` extras.
///
/// # Panics
/// A headroom of a page or more.
#[inline]
pub fn rx_slots(len: usize, headroom: u16, extras: usize) -> usize {
    let room = PAGE_SIZE - usize::from(headroom);
    len.div_ceil(room).max(1) + extras
}
