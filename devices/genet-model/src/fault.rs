//! What a broken controller does.

use crate::Side;

/// One misdeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next frame's status says so many bytes, its block included.
    Length(u16),
    /// The next frame has these bits of status as well.
    Status(u32),
    /// The next frame has these bits of status only, and the length it has.
    OnlyStatus(u32),
    /// The next frame comes without a status block.
    NoStatus,
    /// The next completion moves the engine's index by so many more.
    IndexJump(Side, u16),
    /// No interrupt reaches the processor any more.
    Deaf,
    /// It interrupts again.
    Hearing,
    /// No command on the MDIO bus ends any more.
    MdioHangs,
    /// Nobody answers there any more.
    MdioSilent,
    /// It is well again.
    MdioWell,
    /// The transmitter does nothing any more.
    Stuck,
    /// This engine goes on although it was told to stop: until the MAC is reset, or for good.
    GoesOn(Side, bool),
}
