//! What stands before every frame (VIRTIO 1.2 §5.1.6, `struct virtio_net_hdr`).
//!
//! ```text
//! u8 flags, u8 gso_type, le16 hdr_len, le16 gso_size, le16 csum_start | le16 csum_offset, le16 num_buffers
//! ```
//!
//! Read and written as the two words that the bar divides.

use outrigger_devices::{BlankChecksum, Gso, GsoKind, RxChecksum};
use outrigger_ring::SharedPages;

use crate::config::feature;

/// Its size, since version 1 always with `num_buffers`.
pub(crate) const HEADER_BYTES: u32 = 12;

/// Flags.
const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;

/// GSO types.
const TCPV4: u8 = 1;
const TCPV6: u8 = 4;

/// Bytes of an Ethernet header.
const ETHERNET: u16 = 14;

/// The two words, as they are in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Flags to `csum_start`.
    pub first: u64,
    /// `csum_offset` and `num_buffers`.
    pub second: u32,
}

impl Header {
    /// For a frame to send.
    #[inline]
    pub fn to_send(checksum: Option<BlankChecksum>, gso: Option<Gso>) -> Self {
        let mut header = Self::default();
        if let Some(BlankChecksum { start, offset }) = checksum {
            header.first = u64::from(NEEDS_CSUM) | u64::from(start) << 48;
            header.second = offset.into();
        }
        if let Some(Gso {
            kind,
            size,
            header_len,
        }) = gso
        {
            let gso_type = match kind {
                GsoKind::TcpV4 => TCPV4,
                GsoKind::TcpV6 => TCPV6,
            };
            header.first |= u64::from(gso_type) << 8 | u64::from(header_len) << 16 | u64::from(size) << 32;
        }
        header
    }

    /// Reads it, each word once. `at` is a multiple of 8.
    #[inline]
    pub fn load<M: SharedPages>(memory: &M, at: usize) -> Self {
        Self {
            first: memory.load_u64(at),
            second: memory.load_u32(at + 8),
        }
    }

    /// Writes it. `at` is a multiple of 8.
    #[inline]
    pub fn store<M: SharedPages>(self, memory: &M, at: usize) {
        memory.store_u64(at, self.first);
        memory.store_u32(at + 8, self.second);
    }

    /// Buffers that a received frame lies in: an allegation.
    #[inline]
    pub fn num_buffers(self) -> u16 {
        (self.second >> 16) as u16
    }

    /// What is known of a received frame whose first buffer holds `len` bytes. Where the header says what cannot be, or
    /// what was not agreed on (`features`), nothing is known: it may be some neighbour's invention.
    #[inline]
    pub fn received(self, features: u64, len: u32) -> (RxChecksum, Option<Gso>) {
        if self.first & 0xffff == 0 {
            return (RxChecksum::Unknown, None);
        }
        self.offloads(features, len)
    }

    fn offloads(self, features: u64, len: u32) -> (RxChecksum, Option<Gso>) {
        let (flags, gso_type) = (self.first as u8, (self.first >> 8) as u8);
        let (start, offset) = ((self.first >> 48) as u16, self.second as u16);
        let nothing = (RxChecksum::Unknown, None);
        if features & feature::GUEST_CSUM == 0 {
            return nothing;
        }
        let checksum = if flags & NEEDS_CSUM != 0 {
            let end = u32::from(start) + u32::from(offset) + 2;
            if start < ETHERNET || end > len {
                return nothing;
            }
            RxChecksum::Blank(BlankChecksum { start, offset })
        } else if flags & DATA_VALID != 0 {
            RxChecksum::Validated
        } else {
            RxChecksum::Unknown
        };
        let kind = match gso_type {
            0 => return (checksum, None),
            TCPV4 if features & feature::GUEST_TSO4 != 0 => GsoKind::TcpV4,
            TCPV6 if features & feature::GUEST_TSO6 != 0 => GsoKind::TcpV6,
            _ => return nothing,
        };
        let size = (self.first >> 32) as u16;
        if size == 0 || !matches!(checksum, RxChecksum::Blank(_)) {
            return nothing;
        }
        let header_len = (self.first >> 16) as u16;
        let gso = Gso {
            kind,
            size,
            header_len,
        };
        (checksum, Some(gso))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = feature::GUEST_CSUM | feature::GUEST_TSO4 | feature::GUEST_TSO6;
    const BLANK: BlankChecksum = BlankChecksum {
        start: 34,
        offset: 16,
    };

    /// As [`ALL`] features take it, before a first buffer of 1000 bytes.
    fn received(flags: u8, gso_type: u8, gso_size: u16) -> (RxChecksum, Option<Gso>) {
        header(flags, gso_type, gso_size).received(ALL, 1000)
    }

    fn header(flags: u8, gso_type: u8, gso_size: u16) -> Header {
        let hdr_len = 54u64;
        Header {
            first: u64::from(flags)
                | u64::from(gso_type) << 8
                | hdr_len << 16
                | u64::from(gso_size) << 32
                | u64::from(BLANK.start) << 48,
            second: BLANK.offset.into(),
        }
    }

    #[test]
    fn what_is_sent_is_what_would_be_received() {
        for kind in [GsoKind::TcpV4, GsoKind::TcpV6] {
            let gso = Gso {
                kind,
                size: 1448,
                header_len: 66,
            };
            let sent = Header::to_send(Some(BLANK), Some(gso));
            assert_eq!(sent.num_buffers(), 0);
            assert_eq!(sent.received(ALL, 1000), (RxChecksum::Blank(BLANK), Some(gso)));
        }
        let plain = Header::to_send(None, None);
        assert_eq!(plain, Header::default());
        assert_eq!(plain.received(ALL, 1000), (RxChecksum::Unknown, None));
    }

    #[test]
    fn nothing_is_known_where_nonsense_is_said() {
        let nothing = (RxChecksum::Unknown, None);
        assert_eq!(received(2, 0, 0), (RxChecksum::Validated, None));
        assert_eq!(received(1, 0, 0), (RxChecksum::Blank(BLANK), None));
        // Segments without a size, or without a blank checksum, or of a kind that nobody asked for.
        for (flags, gso_type, size) in [
            (1, 1, 0),
            (0, 1, 1448),
            (2, 4, 1448),
            (1, 3, 1448),
            (1, 0x81, 1448),
        ] {
            assert_eq!(received(flags, gso_type, size), nothing);
        }
        for features in [0, feature::GUEST_CSUM] {
            assert_eq!(header(1, 1, 1448).received(features, 1000), nothing);
        }
        // A checksum outside of its frame.
        for (start, offset, len) in [(34, 16, 51), (13, 16, 1000), (65535, 65535, 1000), (990, 9, 1000)] {
            let header = Header::to_send(Some(BlankChecksum { start, offset }), None);
            assert_eq!(header.received(ALL, len), nothing);
        }
        let header = Header::to_send(
            Some(BlankChecksum {
                start: 990,
                offset: 8,
            }),
            None,
        );
        assert_ne!(header.received(ALL, 1000), nothing);
    }
}
