//! The PHY: finding it, setting it up, and what it agreed upon with the other side (IEEE 802.3 clauses 22, 28 and 40).

use outrigger_devices::{Clock, RegisterIo};

use crate::ProbeError;
use crate::mdio;
use crate::options::PhyMode;

pub(crate) const BMCR: u8 = 0;
pub(crate) const BMSR: u8 = 1;
const PHYSID1: u8 = 2;
const PHYSID2: u8 = 3;
const ADVERTISE: u8 = 4;
pub(crate) const LPA: u8 = 5;
const CTRL1000: u8 = 9;
pub(crate) const STAT1000: u8 = 10;
/// Broadcom: auxiliary control, several registers behind one number.
const AUX_CTL: u8 = 0x18;
/// Broadcom: shadow registers behind one number.
const SHADOW: u8 = 0x1c;

const BMCR_POWER_DOWN: u16 = 1 << 11;
const BMCR_ISOLATE: u16 = 1 << 10;
const BMCR_AUTONEGOTIATE: u16 = 1 << 12;
const BMCR_RESTART: u16 = 1 << 9;

pub(crate) const BMSR_LINK: u16 = 1 << 2;
pub(crate) const BMSR_NEGOTIATED: u16 = 1 << 5;

/// IEEE 802.3, with 10 and 100 Mb/s in both duplexes and pause frames both ways.
const WE_ADVERTISE: u16 = 0x0de1;
/// 1000 Mb/s, full duplex.
const WE_ADVERTISE_1000: u16 = 1 << 9;

const PAUSE: u16 = 1 << 10;
const ASYMMETRIC_PAUSE: u16 = 1 << 11;
const FULL_100: u16 = 1 << 8;
const HALF_100: u16 = 1 << 7;
const FULL_10: u16 = 1 << 6;
const FULL_1000: u16 = 1 << 11;

/// The BCM54213PE of the Pi 4, and the BCM54210E, whatever their revision.
const BCM5421X: u32 = 0x600d_84a0;

/// The shadow of [`AUX_CTL`] with miscellaneous things.
const MISC: u16 = 7;
const MISC_WRITE: u16 = 1 << 15;
/// The PHY delays the receive clock.
const MISC_RX_SKEW: u16 = 1 << 8;
/// The shadow of [`SHADOW`] with the clocks.
const CLOCKS: u16 = 3 << 10;
const SHADOW_WRITE: u16 = 1 << 15;
/// The PHY delays the transmit clock.
const CLOCKS_TX_DELAY: u16 = 1 << 9;

/// Megabits a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speed {
    Mb10,
    Mb100,
    Mb1000,
}

/// What both sides agreed upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    pub speed: Speed,
    pub full_duplex: bool,
    /// Pause frames of the other side are heeded.
    pub rx_pause: bool,
    /// Pause frames are sent.
    pub tx_pause: bool,
}

impl Mode {
    /// The best of what we advertise and the other side does, `lpa` and `stat1000` being its words. A side that does not
    /// negotiate is known by its speed only, and is taken to be half duplex.
    pub fn resolve(lpa: u16, stat1000: u16) -> Self {
        let (speed, full_duplex) = if stat1000 & FULL_1000 != 0 {
            (Speed::Mb1000, true)
        } else if lpa & (FULL_100 | HALF_100) != 0 {
            (Speed::Mb100, lpa & FULL_100 != 0)
        } else {
            (Speed::Mb10, lpa & FULL_10 != 0)
        };
        // Table 28B-3, for a side that advertises both, as we do.
        Self {
            speed,
            full_duplex,
            rx_pause: full_duplex && lpa & (PAUSE | ASYMMETRIC_PAUSE) != 0,
            tx_pause: full_duplex && lpa & PAUSE != 0,
        }
    }
}

impl core::fmt::Display for Mode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let speed = match self.speed {
            Speed::Mb10 => 10,
            Speed::Mb100 => 100,
            Speed::Mb1000 => 1000,
        };
        let duplex = if self.full_duplex { "full" } else { "half" };
        let pause = match (self.rx_pause, self.tx_pause) {
            (true, true) => "pause both ways",
            (true, false) => "pause heeded",
            (false, true) => "pause sent",
            (false, false) => "no pause",
        };
        write!(f, "{speed} Mb/s, {duplex} duplex, {pause}")
    }
}

/// Finds the PHY: at `first`, or else at the lowest address that answers.
pub(crate) fn find(io: &impl RegisterIo, clock: &dyn Clock, first: u8) -> Result<(u8, u32), ProbeError> {
    for phy in core::iter::once(first).chain((0..32).filter(|phy| *phy != first)) {
        let high = mdio::read(io, clock, phy, PHYSID1)?;
        let low = mdio::read(io, clock, phy, PHYSID2)?;
        if let (Ok(high), Ok(low)) = (high, low) {
            let id = u32::from(high) << 16 | u32::from(low);
            if id != 0 && id != u32::MAX {
                return Ok((phy, id));
            }
        }
    }
    Err(ProbeError::NoPhy)
}

/// Sets the PHY up, and begins to negotiate unless it has done so already with the same words: a domain that starts over
/// does not take the link down.
pub(crate) fn set_up(
    io: &impl RegisterIo,
    clock: &dyn Clock,
    (phy, id): (u8, u32),
    mode: PhyMode,
) -> Result<(), ProbeError> {
    let read = |register| mdio::read(io, clock, phy, register)?.map_err(|_| ProbeError::NoPhy);
    let write = |register, value| mdio::write(io, clock, phy, register, value);
    if id & !0xf == BCM5421X {
        write(AUX_CTL, MISC << 12 | MISC)?;
        let misc = with(read(AUX_CTL)?, MISC_RX_SKEW, mode.phy_delays_receive());
        write(AUX_CTL, misc | MISC_WRITE | MISC)?;
        write(SHADOW, CLOCKS)?;
        let clocks = with(read(SHADOW)? & 0x3ff, CLOCKS_TX_DELAY, mode.phy_delays_transmit());
        write(SHADOW, clocks | CLOCKS | SHADOW_WRITE)?;
    } else {
        log::warn!("genet: the PHY {id:08x} is a stranger: its clocks stay as they are");
    }
    let control = read(BMCR)?;
    let advertised = (read(ADVERTISE)?, read(CTRL1000)? & 0x0300);
    let off = control & (BMCR_POWER_DOWN | BMCR_ISOLATE) != 0;
    if off || control & BMCR_AUTONEGOTIATE == 0 || advertised != (WE_ADVERTISE, WE_ADVERTISE_1000) {
        write(ADVERTISE, WE_ADVERTISE)?;
        write(CTRL1000, WE_ADVERTISE_1000)?;
        write(BMCR, BMCR_AUTONEGOTIATE | BMCR_RESTART)?;
    }
    Ok(())
}

fn with(value: u16, bit: u16, set: bool) -> u16 {
    if set { value | bit } else { value & !bit }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(speed: Speed, full_duplex: bool, rx_pause: bool, tx_pause: bool) -> Mode {
        Mode {
            speed,
            full_duplex,
            rx_pause,
            tx_pause,
        }
    }

    #[test]
    fn the_best_of_both_sides() {
        use Speed::*;
        // A gigabit switch with pause frames.
        assert_eq!(Mode::resolve(0xcde1, 0x3c00), mode(Mb1000, true, true, true));
        // One that only sends them.
        assert_eq!(Mode::resolve(0xc9e1, 0x3800), mode(Mb1000, true, true, false));
        assert_eq!(Mode::resolve(0x41e1, 0), mode(Mb100, true, false, false));
        // Half duplex never pauses.
        assert_eq!(Mode::resolve(0x0ca1, 0), mode(Mb100, false, false, false));
        assert_eq!(Mode::resolve(0x0061, 0), mode(Mb10, true, false, false));
        assert_eq!(Mode::resolve(0x0021, 0), mode(Mb10, false, false, false));
        // 1000 Mb/s in half duplex is not what we advertise.
        assert_eq!(Mode::resolve(0x41e1, 0x0400), mode(Mb100, true, false, false));
    }
}
