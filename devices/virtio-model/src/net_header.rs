//! `struct virtio_net_hdr` (§5.1.6), byte by byte.

/// What precedes every frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetHeader {
    /// 1: the checksum is blank; 2: it was checked.
    pub flags: u8,
    /// 0 none, 1 TCP over IPv4, 3 UDP fragments, 4 TCP over IPv6, 5 UDP segments; 0x80: ECN.
    pub gso_type: u8,
    /// Bytes of all headers.
    pub hdr_len: u16,
    /// Bytes of payload a segment.
    pub gso_size: u16,
    /// Where summing begins.
    pub csum_start: u16,
    /// Where the sum goes, from there.
    pub csum_offset: u16,
    /// Buffers that a received frame lies in.
    pub num_buffers: u16,
}

impl NetHeader {
    /// Its size in memory.
    pub const BYTES: usize = 12;

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Self {
            flags: bytes[0],
            gso_type: bytes[1],
            hdr_len: u16_at(2),
            gso_size: u16_at(4),
            csum_start: u16_at(6),
            csum_offset: u16_at(8),
            num_buffers: u16_at(10),
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = self.flags;
        bytes[1] = self.gso_type;
        let fields = [
            self.hdr_len,
            self.gso_size,
            self.csum_start,
            self.csum_offset,
            self.num_buffers,
        ];
        for (place, field) in bytes[2..].chunks_exact_mut(2).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// What a driver did wrong in a header to send, before a frame of `len` bytes.
    pub(crate) fn fault_to_send(self, features: u64, len: usize) -> Option<String> {
        let has = |bit: u32| features & (1 << bit) != 0;
        let wrong = |what: &str| Some(format!("{what}: {self:?} before {len} bytes"));
        if self.flags & !1 != 0 || self.num_buffers != 0 {
            return wrong("a reserved header field is not 0");
        }
        let blank = self.flags & 1 != 0;
        if blank && !has(0) {
            return wrong("a blank checksum, and CSUM was not negotiated");
        }
        if blank && usize::from(self.csum_start) + usize::from(self.csum_offset) + 2 > len {
            return wrong("a checksum behind the end of its frame");
        }
        let negotiated = match self.gso_type {
            0 => return None,
            1 => has(11),
            4 => has(12),
            _ => false,
        };
        if !negotiated {
            return wrong("a GSO type that was not negotiated");
        }
        if !blank || self.gso_size == 0 || usize::from(self.hdr_len) >= len {
            return wrong("segments without a blank checksum, a size or a header");
        }
        None
    }
}
