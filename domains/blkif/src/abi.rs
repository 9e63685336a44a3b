//! The three layouts of a slot.

use xen_unikernel_abi::io::blkif::{RequestLayout, layout};

/// Words of the longest request: 112 bytes.
pub const SLOT_WORDS: usize = 28;

/// How a frontend lays its ring out (its node `protocol`). `x86_64-abi` and `arm-abi` are the same bytes: every field
/// aligned to its size. In `x86_32-abi` 64-bit fields are aligned to four bytes, so everything after the first word lies
/// one word earlier; that is the whole difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// `x86_64-abi`, `arm-abi`: 112-byte requests, 16-byte responses.
    Lp64,
    /// `x86_32-abi`: 108-byte requests, 12-byte responses.
    X86_32,
}

impl Abi {
    /// The ABI that the node `protocol` names. Absent means the backend's own, and every machine of ours is 64-bit.
    /// `None` if nobody knows that protocol.
    pub fn from_protocol(protocol: Option<&str>) -> Option<Self> {
        match protocol {
            None | Some("x86_64-abi" | "arm-abi") => Some(Self::Lp64),
            Some("x86_32-abi") => Some(Self::X86_32),
            Some(_) => None,
        }
    }

    /// Bytes a slot: those of the request, which is longer than the response.
    pub const fn slot_bytes(self) -> usize {
        4 * self.slot_words()
    }

    /// Words a slot.
    pub const fn slot_words(self) -> usize {
        match self {
            Self::Lp64 => SLOT_WORDS,
            Self::X86_32 => SLOT_WORDS - 1,
        }
    }

    /// The word at which `id` begins, in requests of every kind. After it: the sector number, then what is the kind's own.
    #[inline]
    pub(crate) const fn id_word(self) -> usize {
        match self {
            Self::Lp64 => 2,
            Self::X86_32 => 1,
        }
    }
}

/// The header's offsets follow from the word that `id` begins at.
const fn follows(layout: RequestLayout, abi: Abi) -> bool {
    let id = 4 * abi.id_word();
    layout.id == id
        && layout.sector_number == id + 8
        && layout.seg0 == id + 16
        && layout.nr_sectors == id + 16
        && layout.indirect_handle == id + 16
        && layout.indirect_grefs == id + 20
        && layout.size == abi.slot_bytes()
}
const _: () = assert!(follows(layout::X86_64, Abi::Lp64) && follows(layout::ARM, Abi::Lp64));
const _: () = assert!(follows(layout::X86_32, Abi::X86_32));
