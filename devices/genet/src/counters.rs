//! What went wrong, and what the MAC counted.

use outrigger_devices::RegisterIo;

use crate::receive::Bad;
use crate::registers::umac;

/// Sums since the controller was probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received with a wrong frame check sequence.
    pub crc: u64,
    /// Frames received that are not whole bytes.
    pub alignment: u64,
    /// Frames longer than the MTU allows.
    pub too_long: u64,
    /// Frames that arrived in parts: longer than a buffer, or moved before they were complete.
    pub in_parts: u64,
    /// Frames in which the PHY saw an error.
    pub phy: u64,
    /// Frames lost because the receive buffer ran over.
    pub overruns: u64,
    /// Frames for which there was no buffer in memory.
    pub no_buffer: u64,
    /// Buffers handed over without a status, or with one of no frame.
    pub no_status: u64,
    /// Frames to send that the controller cannot do: too long, in too many pieces, with a checksum too far in.
    pub refused: u64,
    /// How often the link came or went.
    pub link_changes: u64,
    /// Reads of the PHY that failed.
    pub lost_phy_reads: u64,
    /// How often work was found that no interrupt had told of.
    pub lost_interrupts: u64,
}

impl Counters {
    #[cold]
    pub(crate) fn count(&mut self, why: Bad) {
        *match why {
            Bad::NoStatus => &mut self.no_status,
            Bad::Overrun => &mut self.overruns,
            Bad::Crc => &mut self.crc,
            Bad::Alignment => &mut self.alignment,
            Bad::TooLong => &mut self.too_long,
            Bad::Phy => &mut self.phy,
            Bad::InParts => &mut self.in_parts,
        } += 1;
    }

    /// Those that are not zero, with their names.
    pub fn each(&self, each: &mut dyn FnMut(&'static str, u64)) {
        for (name, count) in [
            ("rx-crc", self.crc),
            ("rx-alignment", self.alignment),
            ("rx-too-long", self.too_long),
            ("rx-in-parts", self.in_parts),
            ("rx-phy", self.phy),
            ("rx-overrun", self.overruns),
            ("rx-no-buffer", self.no_buffer),
            ("rx-no-status", self.no_status),
            ("tx-refused", self.refused),
            ("link-changes", self.link_changes),
            ("lost-phy-reads", self.lost_phy_reads),
            ("lost-interrupts", self.lost_interrupts),
        ] {
            if count > 0 {
                each(name, count);
            }
        }
    }
}

/// The MAC's own statistics ("MIB") since the controller was brought up, modulo 2³². Only what no other counter says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MacCounters {
    /// Good frames received, those the filter dropped included.
    pub rx_good: u32,
    /// Their bytes, and those of bad ones.
    pub rx_bytes: u32,
    /// Pause frames received.
    pub rx_pause: u32,
    /// Frames shorter than 64 bytes.
    pub rx_runts: u32,
    /// Frames lost because the receive buffer was full.
    pub rx_overflow: u32,
    /// Frames lost to errors in the receive buffer.
    pub rx_buffer_errors: u32,
    /// Good frames sent.
    pub tx_good: u32,
    /// Bytes sent.
    pub tx_bytes: u32,
    /// Pause frames sent.
    pub tx_pause: u32,
    /// Frames given up after too many collisions.
    pub tx_excessive_collisions: u32,
    /// Collisions after a frame's first 64 bytes: the two sides' duplexes differ.
    pub tx_late_collisions: u32,
}

impl MacCounters {
    pub(crate) fn read(io: &impl RegisterIo) -> Self {
        let mib = |word: usize| io.read_u32(umac::MIB + word);
        Self {
            rx_good: mib(0x64),
            rx_bytes: mib(0x2c),
            rx_pause: mib(0x40),
            rx_runts: mib(0x100),
            rx_overflow: io.read_u32(umac::RBUF_OVFL_CNT),
            rx_buffer_errors: io.read_u32(umac::RBUF_ERR_CNT),
            tx_good: mib(0xec),
            tx_bytes: mib(0xe8),
            tx_pause: mib(0xb4),
            tx_excessive_collisions: mib(0xd8),
            tx_late_collisions: mib(0xd4),
        }
    }
}
