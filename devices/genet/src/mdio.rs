//! The bus to the PHY (IEEE 802.3 clause 22), as the MAC has it.

use core::time::Duration;

use outrigger_devices::{Clock, RegisterIo};

use crate::ProbeError;
use crate::registers::umac;

/// A transfer of 64 bits at 1 MHz takes 64 µs.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(10);

/// Nobody answered at that address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer;

/// Begins to read a register of a PHY.
pub(crate) fn begin_read(io: &impl RegisterIo, phy: u8, register: u8) {
    begin(io, umac::MDIO_READ | place(phy, register));
}

/// The command first, then the bit that starts it, which is how Linux and FreeBSD do it.
fn begin(io: &impl RegisterIo, command: u32) {
    io.write_u32(umac::MDIO_CMD, command);
    io.write_u32(umac::MDIO_CMD, command | umac::MDIO_BUSY);
}

fn place(phy: u8, register: u8) -> u32 {
    u32::from(phy & 0x1f) << 21 | u32::from(register & 0x1f) << 16
}

/// What came of it; `None` if it is still under way.
pub(crate) fn poll(io: &impl RegisterIo) -> Option<Result<u16, NoAnswer>> {
    let state = io.read_u32(umac::MDIO_CMD);
    if state & umac::MDIO_BUSY != 0 {
        return None;
    }
    Some(if state & umac::MDIO_FAIL != 0 {
        Err(NoAnswer)
    } else {
        Ok(state as u16)
    })
}

/// Reads a register and waits for it: while the controller is brought up.
pub(crate) fn read(
    io: &impl RegisterIo,
    clock: &dyn Clock,
    phy: u8,
    register: u8,
) -> Result<Result<u16, NoAnswer>, ProbeError> {
    begin_read(io, phy, register);
    finish(io, clock)
}

/// Writes a register and waits for it: while the controller is brought up.
pub(crate) fn write(
    io: &impl RegisterIo,
    clock: &dyn Clock,
    phy: u8,
    register: u8,
    value: u16,
) -> Result<(), ProbeError> {
    begin(io, umac::MDIO_WRITE | place(phy, register) | u32::from(value));
    // Nobody answers a write.
    finish(io, clock).map(|_| ())
}

fn finish(io: &impl RegisterIo, clock: &dyn Clock) -> Result<Result<u16, NoAnswer>, ProbeError> {
    let mut outcome = None;
    wait(clock, TIMEOUT, || {
        outcome = poll(io);
        outcome.is_some()
    });
    outcome.ok_or(ProbeError::MdioTimeout)
}

/// Looks until it is so, or until the time is over; whether it is so.
pub(crate) fn wait(clock: &dyn Clock, timeout: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let end = clock.now().after(timeout);
    loop {
        // The clock first: whoever was held up between the two looks once more.
        let late = clock.now() >= end;
        if is_so() {
            return true;
        }
        if late {
            return false;
        }
        clock.still_alive();
    }
}

/// Lets the hardware settle.
pub(crate) fn pause(clock: &dyn Clock, time: Duration) {
    wait(clock, time, || false);
}
