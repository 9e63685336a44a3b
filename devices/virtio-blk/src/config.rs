//! What a disk says of itself (VIRTIO 1.2 §5.2.3, §5.2.4).

use outrigger_devices::{PAGE_SIZE, RegisterIo};
use outrigger_virtio::Transport;

use crate::ProbeError;

/// Feature bits of block devices.
pub(crate) mod feature {
    pub const SIZE_MAX: u64 = 1 << 1;
    pub const SEG_MAX: u64 = 1 << 2;
    pub const RO: u64 = 1 << 5;
    pub const BLK_SIZE: u64 = 1 << 6;
    pub const FLUSH: u64 = 1 << 9;
    pub const TOPOLOGY: u64 = 1 << 10;
    pub const MQ: u64 = 1 << 12;
    pub const DISCARD: u64 = 1 << 13;
    pub const WRITE_ZEROES: u64 = 1 << 14;

    /// All that this driver knows how to use.
    pub const WANTED: u64 =
        SIZE_MAX | SEG_MAX | RO | BLK_SIZE | FLUSH | TOPOLOGY | MQ | DISCARD | WRITE_ZEROES;
}

/// Offsets in `struct virtio_blk_config`.
mod field {
    pub const CAPACITY: usize = 0;
    pub const SIZE_MAX: usize = 8;
    pub const SEG_MAX: usize = 12;
    pub const BLK_SIZE: usize = 20;
    pub const PHYSICAL_BLOCK_EXP: usize = 24;
    pub const NUM_QUEUES: usize = 34;
    pub const MAX_DISCARD_SECTORS: usize = 36;
    pub const MAX_DISCARD_SEG: usize = 40;
    pub const DISCARD_SECTOR_ALIGNMENT: usize = 44;
    pub const MAX_WRITE_ZEROES_SECTORS: usize = 48;
    pub const MAX_WRITE_ZEROES_SEG: usize = 52;
}

/// The largest block size believed, in bytes.
const BLOCK_SIZE_MAX: u32 = 1 << 20;

/// The configuration as far as the features in force make it valid; where they do not, the default that means the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub sectors: u64,
    pub read_only: bool,
    pub flush: bool,
    /// Longest segment in bytes.
    pub size_max: u32,
    /// Most segments a request.
    pub seg_max: u32,
    pub logical_block_size: u32,
    pub physical_block_size: u32,
    pub queues: u16,
    pub max_discard_sectors: u32,
    pub discard_alignment: u32,
    pub max_write_zeroes_sectors: u32,
}

impl Config {
    /// Reads and checks it.
    pub fn read<R: RegisterIo>(transport: &Transport<R>, features: u64) -> Result<Self, ProbeError> {
        let config = transport.config(|t| Self::fields(t, features))?;
        let block_size = config.logical_block_size;
        if !block_size.is_power_of_two() || !(512..=BLOCK_SIZE_MAX).contains(&block_size) {
            return Err(ProbeError::BlockSize(block_size));
        }
        if config.size_max < PAGE_SIZE as u32 {
            return Err(ProbeError::SizeMax(config.size_max));
        }
        if config.queues == 0 {
            return Err(ProbeError::NoQueues);
        }
        Ok(config)
    }

    fn fields<R: RegisterIo>(t: &Transport<R>, features: u64) -> Self {
        let has = |bits: u64| features & bits != 0;
        let u32_if = |has: bool, at: usize, otherwise: u32| {
            if has { t.config_u32(at) } else { otherwise }
        };
        let read_only = has(feature::RO);
        let discard = has(feature::DISCARD) && !read_only && t.config_u32(field::MAX_DISCARD_SEG) > 0;
        let zeroes =
            has(feature::WRITE_ZEROES) && !read_only && t.config_u32(field::MAX_WRITE_ZEROES_SEG) > 0;
        let logical_block_size = u32_if(has(feature::BLK_SIZE), field::BLK_SIZE, 512);
        let exponent = if has(feature::TOPOLOGY) {
            t.config_u8(field::PHYSICAL_BLOCK_EXP)
        } else {
            0
        };
        Self {
            sectors: capacity(t),
            read_only,
            flush: has(feature::FLUSH),
            size_max: u32_if(has(feature::SIZE_MAX), field::SIZE_MAX, u32::MAX),
            // A device that names 0 means "not more than one".
            seg_max: u32_if(has(feature::SEG_MAX), field::SEG_MAX, u32::MAX).max(1),
            logical_block_size,
            // Only a hint: one beyond belief is as good as none.
            physical_block_size: logical_block_size
                .checked_shl(exponent.into())
                .filter(|size| *size >= logical_block_size && *size <= BLOCK_SIZE_MAX)
                .unwrap_or(logical_block_size),
            queues: if has(feature::MQ) {
                t.config_u16(field::NUM_QUEUES)
            } else {
                1
            },
            max_discard_sectors: u32_if(discard, field::MAX_DISCARD_SECTORS, 0),
            discard_alignment: u32_if(discard, field::DISCARD_SECTOR_ALIGNMENT, 1).max(1),
            max_write_zeroes_sectors: u32_if(zeroes, field::MAX_WRITE_ZEROES_SECTORS, 0),
        }
    }
}

/// The capacity in sectors; read it within [`Transport::config`].
pub(crate) fn capacity<R: RegisterIo>(transport: &Transport<R>) -> u64 {
    transport.config_u64(field::CAPACITY)
}
