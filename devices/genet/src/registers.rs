//! The register map of GENET v5. Broadcom publishes none: these are facts that the drivers of Linux, U-Boot, NetBSD,
//! FreeBSD and EDK2 agree on.

/// Bytes of the register block.
pub(crate) const BLOCK: usize = 0x1_0000;

/// The controller as a whole.
pub(crate) mod sys {
    /// Revision: major in bits 27:24, minor in 19:16.
    pub const REV_CTRL: usize = 0x000;
    /// What v5 says its major revision is.
    pub const MAJOR_V5: u32 = 6;
    pub const PORT_CTRL: usize = 0x004;
    /// An external PHY of up to 1 Gb/s.
    pub const PORT_MODE_EXT_GPHY: u32 = 3;
    pub const RBUF_FLUSH_CTRL: usize = 0x008;
    pub const RBUF_FLUSH: u32 = 1 << 0;
    /// Holds the MAC in reset.
    pub const UMAC_RESET: u32 = 1 << 1;
}

/// The wires to the PHY.
pub(crate) mod ext {
    pub const RGMII_OOB_CTRL: usize = 0x08c;
    pub const RGMII_LINK: u32 = 1 << 4;
    pub const OOB_DISABLE: u32 = 1 << 5;
    pub const RGMII_MODE_EN: u32 = 1 << 6;
    /// The MAC does not delay the transmit clock.
    pub const ID_MODE_DIS: u32 = 1 << 16;
}

/// Interrupts: block 0 has those of the default queue, the MAC and the PHY; block 1 those of the other queues.
pub(crate) mod intrl2 {
    pub const STAT: usize = 0x200;
    pub const CLEAR: usize = 0x208;
    pub const MASK_SET: usize = 0x210;
    pub const MASK_CLEAR: usize = 0x214;
    pub const BLOCK_1: usize = 0x40;

    pub const LINK_UP: u32 = 1 << 4;
    pub const LINK_DOWN: u32 = 1 << 5;
    pub const RXDMA_DONE: u32 = 1 << 13;
    pub const TXDMA_DONE: u32 = 1 << 16;
}

/// The buffer between receiver and memory.
pub(crate) mod rbuf {
    pub const CTRL: usize = 0x300;
    /// A status block of 64 bytes before each frame.
    pub const STATUS_BLOCK: u32 = 1 << 0;
    /// Two bytes of padding before each frame.
    pub const ALIGN_2B: u32 = 1 << 1;
    /// In 16 bytes: how much of a frame is there before it is moved. A longer one arrives in parts.
    pub const PKT_RDY_THLD: usize = 0x308;
    pub const CHK_CTRL: usize = 0x314;
    pub const RXCHK_EN: u32 = 1 << 0;
    pub const SKIP_FCS: u32 = 1 << 4;
    pub const L3_PARSE_DIS: u32 = 1 << 5;
    pub const TBUF_SIZE_CTRL: usize = 0x3b4;
}

/// The buffer between memory and transmitter.
pub(crate) mod tbuf {
    pub const CTRL: usize = 0x600;
    /// A status block of 64 bytes before each frame.
    pub const STATUS_BLOCK: u32 = 1 << 0;
    /// As [`super::rbuf::PKT_RDY_THLD`].
    pub const PKT_RDY_THLD: usize = 0x610;
}

/// The MAC ("UniMAC").
pub(crate) mod umac {
    pub const CMD: usize = 0x808;
    pub const TX_EN: u32 = 1 << 0;
    pub const RX_EN: u32 = 1 << 1;
    pub const SPEED_10: u32 = 0 << 2;
    pub const SPEED_100: u32 = 1 << 2;
    pub const SPEED_1000: u32 = 2 << 2;
    pub const SPEED: u32 = 3 << 2;
    pub const PROMISC: u32 = 1 << 4;
    pub const RX_PAUSE_IGNORE: u32 = 1 << 8;
    pub const HALF_DUPLEX: u32 = 1 << 10;
    pub const SW_RESET: u32 = 1 << 13;
    pub const LCL_LOOP_EN: u32 = 1 << 15;
    pub const TX_PAUSE_IGNORE: u32 = 1 << 28;
    /// Bytes 0 to 3 of its address, the first one on top.
    pub const MAC0: usize = 0x80c;
    /// Bytes 4 and 5.
    pub const MAC1: usize = 0x810;
    /// The longest frame, with its frame check sequence, in bytes.
    pub const MAX_FRAME_LEN: usize = 0x814;
    pub const TX_FLUSH: usize = 0xb34;
    /// The statistics' first counter.
    pub const MIB: usize = 0xc00;
    pub const MIB_CTRL: usize = 0xd80;
    /// Receive, runt and transmit counters.
    pub const MIB_RESET: u32 = 7;
    pub const MDIO_CMD: usize = 0xe14;
    pub const MDIO_BUSY: u32 = 1 << 29;
    pub const MDIO_FAIL: u32 = 1 << 28;
    pub const MDIO_READ: u32 = 1 << 27;
    pub const MDIO_WRITE: u32 = 1 << 26;
    /// Frames lost because the receive buffer was full.
    pub const RBUF_OVFL_CNT: usize = 0xe1c;
    /// Frames lost to errors in the receive buffer.
    pub const RBUF_ERR_CNT: usize = 0xe34;
    pub const MDF_CTRL: usize = 0xe50;
    /// Addresses of the filter, two words each.
    pub const MDF_ADDR: usize = 0xe54;
}

/// The filter for frames' contents, which sends some to other queues.
pub(crate) mod hfb {
    pub const CTRL: usize = 0xfc00;
    pub const FLT_ENABLE: [usize; 2] = [0xfc04, 0xfc08];
}

/// The two DMA engines, and their default queue.
pub(crate) mod dma {
    use super::BLOCK;

    /// Descriptors of an engine.
    pub const DESCRIPTORS: usize = 256;
    /// Bytes of one: length and status, address, high half of the address.
    pub const DESCRIPTOR: usize = 12;
    /// The queue for all that no filter wants elsewhere.
    pub const QUEUE: usize = 16;

    /// An engine's registers begin with the descriptors.
    pub const RECEIVE: usize = 0x2000;
    pub const TRANSMIT: usize = 0x4000;

    /// From an engine's start: the default queue's registers.
    const RING: usize = DESCRIPTORS * DESCRIPTOR + QUEUE * 0x40;
    /// From an engine's start: the engine's own registers.
    const ENGINE: usize = DESCRIPTORS * DESCRIPTOR + (QUEUE + 1) * 0x40;

    /// Where the engine is in the ring, in words.
    pub const ENGINE_PTR: usize = RING;
    /// What the engine has done: RX producer, TX consumer. Of RX, bits 31:16 count frames for which there was no buffer.
    pub const ENGINE_INDEX: usize = RING + 0x08;
    /// What the driver has done: RX consumer, TX producer.
    pub const DRIVER_INDEX: usize = RING + 0x0c;
    /// Descriptors in bits 31:16, bytes a buffer in 15:0.
    pub const RING_BUF_SIZE: usize = RING + 0x10;
    pub const START_ADDR: usize = RING + 0x14;
    /// The ring's last word.
    pub const END_ADDR: usize = RING + 0x1c;
    /// Frames an interrupt.
    pub const MBUF_DONE_THRESH: usize = RING + 0x24;
    /// RX: when to ask the other side to pause; TX: pace.
    pub const FLOW: usize = RING + 0x28;
    /// Where the driver is in the ring, in words.
    pub const DRIVER_PTR: usize = RING + 0x2c;

    /// Which queues have rings.
    pub const RING_CFG: usize = ENGINE;
    pub const CTRL: usize = ENGINE + 0x04;
    pub const EN: u32 = 1 << 0;
    pub const RING_EN: u32 = 1 << (QUEUE + 1);
    pub const STATUS: usize = ENGINE + 0x08;
    pub const DISABLED: u32 = 1 << 0;
    pub const SCB_BURST_SIZE: usize = ENGINE + 0x0c;
    /// RX: how long an interrupt may wait for more frames, in 8.192 µs.
    pub const RING_TIMEOUT: usize = ENGINE + 0x6c;
    /// RX: which queues the filters send to.
    pub const INDEX2RING: usize = ENGINE + 0x70;

    /// The bus's longest burst on this chip.
    pub const BURST: u32 = 8;

    /// Bits of a descriptor's first word, and of a status block's.
    pub const LEN_SHIFT: u32 = 16;
    pub const LEN_MASK: u32 = 0xfff;
    pub const EOP: u32 = 1 << 14;
    pub const SOP: u32 = 1 << 13;

    /// RX: the transport checksum is right.
    pub const RX_CHK_OK: u32 = 1 << 15;
    /// RX: longer than `MAX_FRAME_LEN`.
    pub const RX_LG: u32 = 1 << 4;
    /// RX: not whole bytes.
    pub const RX_NO: u32 = 1 << 3;
    /// RX: the PHY saw an error.
    pub const RX_ER: u32 = 1 << 2;
    pub const RX_CRC_ERROR: u32 = 1 << 1;
    /// RX: the receive buffer ran over.
    pub const RX_OV: u32 = 1 << 0;

    /// TX: no queue tag.
    pub const TX_QTAG: u32 = 0x3f << 7;
    pub const TX_APPEND_CRC: u32 = 1 << 6;
    pub const TX_DO_CSUM: u32 = 1 << 4;

    const _: () = assert!(TRANSMIT + INDEX2RING < BLOCK);
}

/// The status block before each frame in memory: 16 little-endian words.
pub(crate) mod block {
    pub const BYTES: usize = 64;
    /// RX: length and status, as of a descriptor.
    pub const LENGTH_STATUS: usize = 0;
    /// RX: what the checksum was taken of.
    pub const RX_CSUM: usize = 8;
    pub const RX_CSUM_FRAGMENT: u32 = 1 << 17;
    /// TX: where to sum and where to store.
    pub const TX_CSUM: usize = 48;
    pub const TX_CSUM_VALID: u32 = 1 << 31;
    pub const TX_CSUM_START_SHIFT: u32 = 16;
    pub const TX_CSUM_UDP: u32 = 1 << 15;
}
