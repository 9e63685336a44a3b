//! What controller and namespaces say of themselves (Base 2.0, §5.17; NVM Command Set 1.0, §4.1.5). All of it is an
//! allegation: what is not believed is not used.

use outrigger_devices::BlockLimits;
use outrigger_ring::SharedPages;

use crate::ProbeError;
use crate::prp::{BYTES_MAX, Cut};

/// CNS of Identify: what is asked for.
pub(crate) mod cns {
    pub const NAMESPACE: u32 = 0;
    pub const CONTROLLER: u32 = 1;
    pub const ACTIVE_NAMESPACES: u32 = 2;
}

/// Namespaces that a list of one page names.
pub(crate) const LIST: usize = 1024;

/// log₂ of the smallest and the largest block size believed, in bytes.
const SHIFTS: core::ops::RangeInclusive<u8> = 9..=16;

/// Most blocks a command (NLB has 16 bits and is one less).
const BLOCKS_MAX: u64 = 1 << 16;

/// What the driver uses of Identify Controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Serial number and model, as bytes: whether it is the same controller after a reset.
    pub name: [u64; 8],
    /// Most bytes a command; `None`: any number.
    pub mdts: Option<u32>,
    /// ONCS: what it can do besides.
    deallocate: bool,
    write_zeroes: bool,
    /// It has a volatile write cache.
    pub vwc: bool,
    /// Number of Namespaces: the highest NSID.
    pub nn: u32,
}

impl Identity {
    pub fn read(page: &impl SharedPages) -> Result<Self, ProbeError> {
        let kind = page.load_u8(111);
        // 0 is that of a controller before 1.4.
        if kind > 1 {
            return Err(ProbeError::ControllerType(kind));
        }
        let (sqes, cqes) = (page.load_u8(512), page.load_u8(513));
        let holds = |sizes: u8, size: u8| (sizes & 0xf..=sizes >> 4).contains(&size);
        if !holds(sqes, 6) || !holds(cqes, 4) {
            return Err(ProbeError::EntrySizes(sqes, cqes));
        }
        let mdts = page.load_u8(77);
        let oncs = page.load_u16(520);
        Ok(Self {
            // SN lies at 4 to 23, MN at 24 to 63.
            name: core::array::from_fn(|word| {
                page.load_u64(8 * word) & if word == 0 { !0 << 32 } else { !0 }
            }),
            mdts: (mdts != 0).then(|| 4096_u32.checked_shl(mdts.into()).unwrap_or(u32::MAX)),
            deallocate: oncs & 1 << 2 != 0,
            write_zeroes: oncs & 1 << 3 != 0,
            vwc: page.load_u8(525) & 1 != 0,
            nn: page.load_u32(516),
        })
    }
}

/// A namespace, as far as its format is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub nsid: u32,
    /// NGUID and EUI64: whether it is the same namespace after a reset.
    unique: [u64; 3],
    /// Size in 512-byte sectors.
    pub sectors: u64,
    pub read_only: bool,
    pub flush: bool,
    pub cut: Cut,
    pub max_discard_sectors: u32,
    discard_alignment: u32,
    pub max_write_zeroes_sectors: u32,
    physical_block_size: u32,
}

impl Format {
    /// Reads a namespace; an error is a reason why it cannot be used.
    pub fn read(page: &impl SharedPages, nsid: u32, identity: &Identity) -> Result<Self, &'static str> {
        let blocks = page.load_u64(0);
        if blocks == 0 {
            return Err("it is not active");
        }
        let (nsfeat, nlbaf, flbas) = (page.load_u8(24), page.load_u8(25), page.load_u8(26));
        // The index has four bits, and two more where there are more formats than these say.
        let index = flbas & 0xf | if nlbaf > 15 { flbas >> 1 & 0x30 } else { 0 };
        if index > nlbaf || index > 63 {
            return Err("it has a format that it does not have");
        }
        if page.load_u8(29) & 7 != 0 {
            return Err("its blocks carry protection information; format it without");
        }
        let at = 128 + 4 * usize::from(index);
        if page.load_u16(at) != 0 {
            return Err("its blocks carry metadata; format it without");
        }
        let shift = page.load_u8(at + 2);
        if !SHIFTS.contains(&shift) {
            return Err("its blocks are not of 512 bytes to 64 KiB");
        }
        let block = 1_u32 << shift;
        let bytes = identity.mdts.unwrap_or(BYTES_MAX).min(BYTES_MAX);
        if bytes < block {
            return Err("its blocks are larger than its controller's transfers");
        }
        let to_sectors = |blocks: u64| blocks.checked_mul(1 << (shift - 9));
        let sectors = to_sectors(blocks).ok_or("it is larger than there are sectors")?;
        let has_hints = nsfeat & 1 << 4 != 0;
        let hint = |at: usize| u64::from(page.load_u16(at)) + 1;
        let preferred = if has_hints {
            hint(64) * u64::from(block)
        } else {
            block.into()
        };
        let granule = if has_hints { hint(68) } else { 1 };
        // Write Zeroes transfers nothing, but some controllers hold it to MDTS.
        let zeroes = identity
            .mdts
            .map_or(BLOCKS_MAX, |most| u64::from(most >> shift))
            .min(BLOCKS_MAX);
        let read_only = page.load_u8(99) & 1 != 0;
        let most = |offered: bool, blocks: u64| {
            let sectors = if offered && !read_only {
                to_sectors(blocks).unwrap_or(0)
            } else {
                0
            };
            u32::try_from(sectors).unwrap_or(!((block >> 9) - 1))
        };
        Ok(Self {
            nsid,
            unique: [page.load_u64(104), page.load_u64(112), page.load_u64(120)],
            sectors,
            read_only,
            flush: identity.vwc,
            cut: Cut {
                bytes,
                shift: shift.into(),
            },
            max_discard_sectors: most(identity.deallocate, u32::MAX.into()),
            discard_alignment: to_sectors(granule)
                .and_then(|sectors| u32::try_from(sectors).ok())
                .unwrap_or(1),
            max_write_zeroes_sectors: most(identity.write_zeroes, zeroes),
            // Only a hint.
            physical_block_size: u32::try_from(preferred)
                .ok()
                .filter(|bytes| bytes.is_power_of_two() && *bytes <= 1 << 20)
                .unwrap_or(block),
        })
    }

    /// The block at a sector, or so many sectors in blocks; `None` if that is no whole number.
    #[inline]
    pub fn lba(&self, sector: u64) -> Option<u64> {
        let shift = self.cut.shift - 9;
        let lba = sector >> shift;
        (lba << shift == sector).then_some(lba)
    }

    /// Its size in blocks.
    #[inline]
    pub fn blocks(&self) -> u64 {
        self.sectors >> (self.cut.shift - 9)
    }

    /// Whether it is the same namespace, whatever its size.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.nsid, self.unique, self.cut.shift) == (other.nsid, other.unique, other.cut.shift)
    }

    /// As a backend sees it, with so many queues.
    pub fn limits(&self, queues: usize, max_segments: usize) -> BlockLimits {
        BlockLimits {
            sectors: self.sectors,
            read_only: self.read_only,
            logical_block_size: 1 << self.cut.shift,
            physical_block_size: self.physical_block_size,
            flush: self.flush,
            max_segments,
            max_discard_sectors: self.max_discard_sectors,
            discard_alignment: self.discard_alignment,
            max_write_zeroes_sectors: self.max_write_zeroes_sectors,
            queues,
        }
    }
}
