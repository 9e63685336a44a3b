//! What a broken device does.

use crate::NetHeader;

/// One misdeed, at the next request that the device ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The used entry (of several, the last) names this chain instead.
    UsedId(u32),
    /// The used entry's (the last one's) length is off by this much (modulo 2³²).
    UsedLenOff(i32),
    /// The request is used twice.
    Twice,
    /// The status byte (a network card's: the acknowledgement of a command) is this.
    Status(u8),
    /// No status is written.
    NoStatus,
    /// The used index moves by so many more.
    IndexJump(u16),
    /// A received frame says that it lies in so many buffers.
    NumBuffers(u16),
    /// A received frame's header is this.
    Header(NetHeader),
}
