//! Power states and resets.

use core::time::Duration;

use outrigger_hal::{Clock, RegisterIo};

use crate::config::{ConfigSpace, header};
use crate::{Function, PciError};

/// Offsets and bits of the capabilities (PCI Express Base 5.0, §7.5.2 and §7.5.3).
mod field {
    pub const PM_CONTROL: u16 = 4;
    pub const PM_STATE: u16 = 3;
    /// A write of 1 clears it.
    pub const PM_PME_STATUS: u16 = 1 << 15;
    pub const DEVICE_CAPABILITIES: u16 = 4;
    pub const CAN_FLR: u32 = 1 << 28;
    pub const DEVICE_CONTROL: u16 = 8;
    pub const FLR: u16 = 1 << 15;
    pub const DEVICE_STATUS: u16 = 10;
    pub const TRANSACTIONS_PENDING: u16 = 1 << 5;
}

/// From D3hot to D0 (§5.9).
const POWER_UP: Duration = Duration::from_millis(10);
/// How long reads of the function may take to come home before it is reset all the same (§6.6.2).
const PENDING: Duration = Duration::from_millis(100);
/// How long the function may not be spoken to after a reset has begun (§6.6.2).
const SILENCE: Duration = Duration::from_millis(100);
/// How long it may answer that it is not ready (§6.6.1: a second; some take longer, and a disk is worth it).
const READY: Duration = Duration::from_secs(5);

impl<C: ConfigSpace, W: RegisterIo> Function<C, W> {
    /// Wakes it, if it sleeps (D3hot). It may have forgotten its BARs by that: before [`place`](Self::place).
    pub fn wake(&self, clock: &impl Clock) {
        let Some(at) = self.capabilities.power else { return };
        let control = self.config.read_u16(at + field::PM_CONTROL) & !field::PM_PME_STATUS;
        if control & field::PM_STATE != 0 {
            self.config
                .write_u16(at + field::PM_CONTROL, control & !field::PM_STATE);
            wait(clock, POWER_UP, || false);
        }
    }

    /// Whether it can be reset alone.
    pub fn has_flr(&self) -> bool {
        let offer = |at| self.config.read_u32(at + field::DEVICE_CAPABILITIES);
        self.capabilities.express.map(offer).unwrap_or(0) & field::CAN_FLR != 0
    }

    /// Resets it (FLR), and gives its BARs the places again that they had. It is quiet afterwards. Takes 100 ms, and up to
    /// some five seconds if the function does. False if it cannot be reset so; it is quiet all the same.
    ///
    /// # Errors
    /// It does not come back, or not with its BARs.
    pub fn reset(&self, clock: &impl Clock) -> Result<bool, PciError> {
        self.quiet();
        let Some(at) = self.capabilities.express.filter(|_| self.has_flr()) else {
            return Ok(false);
        };
        let is_idle = || self.config.read_u16(at + field::DEVICE_STATUS) & field::TRANSACTIONS_PENDING == 0;
        // One that stays busy is reset all the same: it is no bus master any more.
        wait(clock, PENDING, is_idle);
        let control = self.config.read_u16(at + field::DEVICE_CONTROL);
        self.config
            .write_u16(at + field::DEVICE_CONTROL, control | field::FLR);
        wait(clock, SILENCE, || false);
        if !wait(clock, READY, || {
            self.config.read_u16(header::VENDOR) == self.id().vendor
        }) {
            return Err(PciError::Reset);
        }
        self.quiet();
        self.place_again()?;
        Ok(true)
    }
}

/// Waits until `done`, or until the time is over; whether it is done.
fn wait(clock: &impl Clock, time: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = clock.now().after(time);
    loop {
        if done() {
            return true;
        }
        if clock.now() > end {
            return done();
        }
        clock.still_alive();
    }
}
