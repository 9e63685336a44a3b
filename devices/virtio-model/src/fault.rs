//! What a broken device does.

/// One misdeed, at the next request that the device ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The used entry names this chain instead.
    UsedId(u32),
    /// The used entry's length is off by this much (modulo 2³²).
    UsedLenOff(i32),
    /// The request is used twice.
    Twice,
    /// The status byte is this.
    Status(u8),
    /// No status is written.
    NoStatus,
    /// The used index moves by so many more.
    IndexJump(u16),
}
