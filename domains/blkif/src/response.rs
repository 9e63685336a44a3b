//! Responses.

use xen_unikernel_abi::io::blkif::{
    BLKIF_OP_INDIRECT, BLKIF_RSP_EOPNOTSUPP, BLKIF_RSP_ERROR, BLKIF_RSP_OKAY,
};

use crate::request::u64_at;
use crate::{Abi, SlotWords};

/// `blkif_response.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum Status {
    /// `BLKIF_RSP_OKAY`.
    Okay = BLKIF_RSP_OKAY,
    /// `BLKIF_RSP_ERROR`.
    Error = BLKIF_RSP_ERROR,
    /// `BLKIF_RSP_EOPNOTSUPP`.
    Unsupported = BLKIF_RSP_EOPNOTSUPP,
}

/// What a response echoes of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The frontend's own name for the request.
    pub id: u64,
    /// The operation; for an indirect request the inner one.
    pub operation: u8,
}

/// One response as words, ready for its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseWords {
    words: [u32; 4],
    len: usize,
}

impl ResponseWords {
    /// The words: four, or three in the 32-bit ABI.
    #[inline]
    pub fn as_slice(&self) -> &[u32] {
        &self.words[..self.len]
    }
}

impl Identity {
    /// What to echo, from the private copy of the request.
    #[inline]
    pub fn of(abi: Abi, words: &SlotWords) -> Self {
        let [operation, inner, _, _] = words[0].to_le_bytes();
        Self {
            id: u64_at(words, abi.id_word()),
            operation: if operation == BLKIF_OP_INDIRECT {
                inner
            } else {
                operation
            },
        }
    }

    /// The response to this request. All of its bytes are defined, padding too.
    #[inline]
    pub fn response(self, abi: Abi, status: Status) -> ResponseWords {
        // Two's complement of the status in the upper half, the operation in the lowest byte.
        let status = u32::from((status as i16).cast_unsigned());
        let id = self.id.to_le_bytes();
        let [a, b, c, d, e, f, g, h] = id;
        ResponseWords {
            words: [
                u32::from_le_bytes([a, b, c, d]),
                u32::from_le_bytes([e, f, g, h]),
                u32::from(self.operation) | status << 16,
                0,
            ],
            len: match abi {
                Abi::Lp64 => 4,
                Abi::X86_32 => 3,
            },
        }
    }
}
