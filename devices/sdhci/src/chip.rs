//! What a controller's registers do not say of it.

/// A controller's ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chip {
    /// Its base clock in Hz, where the capabilities do not tell it.
    pub base_clock: Option<u32>,
    /// The slowest clock it is stable at, in Hz.
    pub slowest_clock: u32,
    /// It may lose a write to a register that follows another within a few periods of a slow card clock.
    pub slow_writes: bool,
    /// Whether its card detect and write protect pins are wired.
    pub pins: bool,
    /// Whether all eight data lines of an eMMC are wired.
    pub eight_lines: bool,
    /// Whether Auto CMD23 works, both ways.
    pub auto_cmd23: bool,
}

impl Chip {
    /// As the specification says.
    pub const GENERIC: Self = Self {
        base_clock: None,
        slowest_clock: 100_000,
        slow_writes: false,
        pins: true,
        eight_lines: false,
        auto_cmd23: true,
    };

    /// eMMC2 of the BCM2711, as on the Raspberry Pi 4: an Arasan core that takes 32-bit accesses only and hangs below
    /// 200 kHz. The card detect pin is not wired (`broken-cd`). The clock is left as the firmware has set it; the
    /// capabilities say 100 MHz, which it is. Cards stay at 3.3 V and high speed: their voltage is switched by a pin of
    /// the firmware's GPIO expander, which belongs to no driver domain.
    pub const BCM2711: Self = Self {
        slowest_clock: 200_000,
        slow_writes: true,
        pins: false,
        auto_cmd23: false,
        ..Self::GENERIC
    };

    /// The controller that a `compatible` names, if it is one of ours.
    pub fn find(compatible: &str) -> Option<Self> {
        match compatible {
            "brcm,bcm2711-emmc2" => Some(Self::BCM2711),
            // The core itself, as QEMU's "generic-sdhci" and Xilinx's boards have it.
            "arasan,sdhci-8.9a" => Some(Self::GENERIC),
            _ => None,
        }
    }
}
