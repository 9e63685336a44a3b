//! The MAC and the buffers between it and memory.

use core::time::Duration;

use outrigger_devices::{Clock, RegisterIo};

use crate::mdio::pause;
use crate::options::{Options, PhyMode};
use crate::phy::{Mode, Speed};
use crate::registers::{ext, hfb, intrl2, rbuf, sys, tbuf, umac};

/// Between two steps of a reset.
const SETTLE: Duration = Duration::from_micros(10);

/// Addresses that the filter holds.
const FILTERS: usize = 17;

/// Sets some bits and clears others.
pub(crate) fn change(io: &impl RegisterIo, at: usize, set: u32, clear: u32) {
    let value = io.read_u32(at);
    io.write_u32(at, value & !clear | set);
}

/// Its own address, if a boot loader left one; the registers may be read only out of reset.
pub(crate) fn address(io: &impl RegisterIo) -> [u8; 6] {
    if io.read_u32(sys::RBUF_FLUSH_CTRL) & sys::UMAC_RESET != 0 {
        return [0; 6];
    }
    let [a, b, c, d] = io.read_u32(umac::MAC0).to_be_bytes();
    let [_, _, e, f] = io.read_u32(umac::MAC1).to_be_bytes();
    [a, b, c, d, e, f]
}

/// Gives it an address, while it neither sends nor receives.
pub(crate) fn set_address(io: &impl RegisterIo, [a, b, c, d, e, f]: [u8; 6]) {
    io.write_u32(umac::MAC0, u32::from_be_bytes([a, b, c, d]));
    io.write_u32(umac::MAC1, u32::from_be_bytes([0, 0, e, f]));
}

/// No interrupt any more.
pub(crate) fn silence(io: &impl RegisterIo) {
    for block in [0, intrl2::BLOCK_1] {
        io.write_u32(block + intrl2::MASK_SET, u32::MAX);
        io.write_u32(block + intrl2::CLEAR, u32::MAX);
    }
}

/// Resets the MAC. It neither sends nor receives after this.
pub(crate) fn reset(io: &impl RegisterIo, clock: &dyn Clock) {
    change(io, sys::RBUF_FLUSH_CTRL, sys::UMAC_RESET, 0);
    pause(clock, SETTLE);
    change(io, sys::RBUF_FLUSH_CTRL, 0, sys::UMAC_RESET);
    pause(clock, SETTLE);
    io.write_u32(sys::RBUF_FLUSH_CTRL, 0);
    pause(clock, SETTLE);
    io.write_u32(umac::CMD, 0);
    // In loopback, so that it has a clock to be reset by, even while the PHY gives it none.
    io.write_u32(umac::CMD, umac::SW_RESET | umac::LCL_LOOP_EN);
    pause(clock, SETTLE);
    io.write_u32(umac::CMD, 0);
}

/// Empties the buffers between MAC and memory.
pub(crate) fn flush(io: &impl RegisterIo, clock: &dyn Clock) {
    io.write_u32(umac::TX_FLUSH, 1);
    pause(clock, SETTLE);
    io.write_u32(umac::TX_FLUSH, 0);
    change(io, sys::RBUF_FLUSH_CTRL, sys::RBUF_FLUSH, 0);
    pause(clock, SETTLE);
    change(io, sys::RBUF_FLUSH_CTRL, 0, sys::RBUF_FLUSH);
    pause(clock, SETTLE);
}

/// Everything but the link, after a reset.
pub(crate) fn configure(io: &impl RegisterIo, options: &Options, mac: [u8; 6]) {
    io.write_u32(umac::MIB_CTRL, umac::MIB_RESET);
    io.write_u32(umac::MIB_CTRL, 0);
    io.write_u32(umac::MAX_FRAME_LEN, options.max_frame() as u32);
    // Without padding a frame begins on a cache line of its own, which is worth more here than an IP header on a multiple of
    // 4: nobody in this domain looks at more of it than its addresses.
    change(io, rbuf::CTRL, rbuf::STATUS_BLOCK, rbuf::ALIGN_2B);
    change(io, tbuf::CTRL, tbuf::STATUS_BLOCK, 0);
    // The frame check sequence never gets this far, and the headers are to be understood.
    change(
        io,
        rbuf::CHK_CTRL,
        rbuf::RXCHK_EN,
        rbuf::SKIP_FCS | rbuf::L3_PARSE_DIS,
    );
    io.write_u32(rbuf::TBUF_SIZE_CTRL, 1);
    if options.mtu > Options::MTU {
        // 3840 bytes.
        io.write_u32(rbuf::PKT_RDY_THLD, 0xf0);
        io.write_u32(tbuf::PKT_RDY_THLD, 0xf0);
    }
    set_address(io, mac);
    io.write_u32(hfb::CTRL, 0);
    hfb::FLT_ENABLE.iter().for_each(|at| io.write_u32(*at, 0));
    io.write_u32(sys::PORT_CTRL, sys::PORT_MODE_EXT_GPHY);
    let delay = if options.phy_mode == PhyMode::Rgmii {
        (ext::ID_MODE_DIS, 0)
    } else {
        (0, ext::ID_MODE_DIS)
    };
    change(io, ext::RGMII_OOB_CTRL, ext::RGMII_MODE_EN | delay.0, delay.1);
}

/// Follows the link.
pub(crate) fn set_link(io: &impl RegisterIo, mode: Option<Mode>) {
    let Some(mode) = mode else {
        return change(io, ext::RGMII_OOB_CTRL, 0, ext::RGMII_LINK);
    };
    change(io, ext::RGMII_OOB_CTRL, ext::RGMII_LINK, ext::OOB_DISABLE);
    let mut command = match mode.speed {
        Speed::Mb10 => umac::SPEED_10,
        Speed::Mb100 => umac::SPEED_100,
        Speed::Mb1000 => umac::SPEED_1000,
    };
    for (bit, set) in [
        (umac::HALF_DUPLEX, !mode.full_duplex),
        (umac::RX_PAUSE_IGNORE, !mode.rx_pause),
        (umac::TX_PAUSE_IGNORE, !mode.tx_pause),
    ] {
        command |= if set { bit } else { 0 };
    }
    let all = umac::SPEED | umac::HALF_DUPLEX | umac::RX_PAUSE_IGNORE | umac::TX_PAUSE_IGNORE;
    change(io, umac::CMD, command, all);
}

/// Which frames are received: those to these addresses and broadcasts; all of them if there are more than the filter
/// holds, or without a filter.
pub(crate) fn set_filter(io: &impl RegisterIo, addresses: Option<&[[u8; 6]]>) {
    let Some(addresses) = addresses.filter(|addresses| addresses.len() < FILTERS) else {
        change(io, umac::CMD, umac::PROMISC, 0);
        return io.write_u32(umac::MDF_CTRL, 0);
    };
    let all = core::iter::once(&[0xff; 6]).chain(addresses);
    let mut enabled = 0;
    for (place, [a, b, c, d, e, f]) in all.enumerate() {
        let at = umac::MDF_ADDR + 8 * place;
        io.write_u32(at, u32::from_be_bytes([0, 0, *a, *b]));
        io.write_u32(at + 4, u32::from_be_bytes([*c, *d, *e, *f]));
        // The first one has the highest bit.
        enabled |= 1 << (FILTERS - 1 - place);
    }
    io.write_u32(umac::MDF_CTRL, enabled);
    change(io, umac::CMD, 0, umac::PROMISC);
}

/// Sends.
pub(crate) fn enable_transmitter(io: &impl RegisterIo) {
    change(io, umac::CMD, umac::TX_EN, 0);
}

/// Receives. Not before there are buffers.
pub(crate) fn enable_receiver(io: &impl RegisterIo) {
    change(io, umac::CMD, umac::RX_EN, 0);
}

/// Receives no more.
pub(crate) fn disable_receiver(io: &impl RegisterIo) {
    // In reset it has no registers.
    if io.read_u32(sys::RBUF_FLUSH_CTRL) & sys::UMAC_RESET == 0 {
        change(io, umac::CMD, 0, umac::RX_EN);
    }
}
