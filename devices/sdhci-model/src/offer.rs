//! What a test may choose.

/// Which family a card is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// An SD card before version 2: it does not know CMD8.
    SdVersion1,
    /// An SD card.
    Sd,
    /// An eMMC.
    Emmc,
}

/// The card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardOffer {
    /// Its family.
    pub family: Family,
    /// 512-byte sectors. SD: a multiple of 1024.
    pub sectors: u64,
    /// Commands count sectors (SDHC and later, eMMC above 2 GB).
    pub by_sector: bool,
    /// High speed.
    pub high_speed: bool,
    /// `PERM_WRITE_PROTECT` or `TMP_WRITE_PROTECT` of the CSD (bits 1 and 0).
    pub write_protect: u8,
    /// The card knows `SET_BLOCK_COUNT`.
    pub set_block_count: bool,
    /// `ERASE` can discard.
    pub discard: bool,
    /// Sectors that are erased together; 1 for single sectors.
    pub erase_sectors: u32,
    /// eMMC: a volatile cache.
    pub cache: bool,
    /// eMMC: trim, where it cannot discard.
    pub trim: bool,
    /// So often it says that it is not ready when it is asked after a write.
    pub busy: u32,
    /// So often it is not powered up when it is asked.
    pub powering_up: u32,
}

impl CardOffer {
    /// An SDHC card of 4 MiB, which does all.
    pub const SD: Self = Self {
        family: Family::Sd,
        sectors: 8192,
        by_sector: true,
        high_speed: true,
        write_protect: 0,
        set_block_count: true,
        discard: true,
        erase_sectors: 1,
        cache: false,
        trim: false,
        busy: 0,
        powering_up: 2,
    };

    /// An eMMC 5.1, which does all.
    pub const EMMC: Self = Self {
        family: Family::Emmc,
        cache: true,
        trim: true,
        ..Self::SD
    };
}

/// The controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Capabilities, both words.
    pub capabilities: [u32; 2],
    /// Version of the specification: 2 is 3.00, 3 is 4.00.
    pub version: u32,
    /// The card detect pin is wired; otherwise it reads as no card.
    pub card_detect: bool,
    /// The write protect pin's state (true: protected), as it reads.
    pub protected: bool,
    /// The slowest clock it does not hang at, in Hz.
    pub slowest_clock: u32,
    /// With a card clock of up to 400 kHz, a write is lost that follows one to the same register within two periods.
    pub slow_writes: bool,
    /// Data lines that are wired.
    pub lines: u32,
    /// Looks at the status before each event.
    pub latency: u32,
}

impl Slot {
    /// As the BCM2711 says of itself: version 3.00, base clock 100 MHz, ADMA2 with 32 bits, high speed.
    pub const BCM2711: Self = Self {
        capabilities: [0x45ee_6432, 0x0000_a525],
        version: 2,
        card_detect: false,
        protected: true,
        slowest_clock: 200_000,
        slow_writes: true,
        lines: 4,
        latency: 1,
    };

    /// As QEMU's raspi4b says of it: no DMA at all, 52 MHz.
    pub const QEMU: Self = Self {
        capabilities: [0x0521_34b4, 0],
        card_detect: true,
        protected: false,
        slowest_clock: 1,
        slow_writes: false,
        latency: 0,
        ..Self::BCM2711
    };

    /// A version 3.00 controller with all pins and 64-bit addresses.
    pub const VERSION_3: Self = Self {
        capabilities: [0x156c_6432, 0],
        card_detect: true,
        protected: false,
        slowest_clock: 1,
        slow_writes: false,
        lines: 8,
        ..Self::BCM2711
    };

    /// A version 4.00 controller.
    pub const VERSION_4: Self = Self {
        capabilities: [0x0d6c_6432, 0],
        version: 3,
        ..Self::VERSION_3
    };

    /// One of version 2.00, without DMA and without high speed, 48 MHz.
    pub const VERSION_2: Self = Self {
        capabilities: [0x0100_3030, 0],
        version: 1,
        lines: 4,
        ..Self::VERSION_3
    };
}
