//! What a card says of itself: CSD, SCR and SD status of SD cards (Physical Layer Simplified Specification 9.00, §5.3, §5.6,
//! §4.10.2), CSD and extended CSD of eMMC (JESD84-B51, §7.3, §7.4). Decoded and checked here, once.

use crate::ProbeError;

/// Which family of commands it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sd,
    Emmc,
}

/// How parts of it are discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Discard {
    /// Argument of `ERASE`.
    pub argument: u32,
    /// Sectors: only multiples of it.
    pub granularity: u32,
}

/// The card, as a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Card {
    pub kind: Kind,
    /// Who it is: maker, product and serial number.
    pub cid: [u32; 4],
    /// Its relative address, in the upper half, as commands carry it.
    pub rca: u32,
    pub sectors: u64,
    /// Its commands count sectors, not bytes.
    pub by_sector: bool,
    /// It says that it must not be written.
    pub protected: bool,
    pub discard: Option<Discard>,
    /// It knows `SET_BLOCK_COUNT`.
    pub set_block_count: bool,
}

impl Card {
    /// A sector as its commands name it.
    pub fn address(&self, sector: u64) -> u32 {
        // The capacity was checked to be within what 32 bits can name.
        if self.by_sector {
            sector as u32
        } else {
            (sector * 512) as u32
        }
    }
}

/// Bits `high` to `low` of a 128-bit register as an R2 response holds it: without the lowest 8, which are its checksum.
pub(crate) fn bits(response: &[u32; 4], high: u32, low: u32) -> u32 {
    let whole = response
        .iter()
        .rev()
        .fold(0u128, |whole, word| whole << 32 | u128::from(*word));
    (whole >> (low - 8)) as u32 & (u32::MAX >> (31 - (high - low)))
}

/// What a CSD says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Csd {
    /// 512-byte sectors; of an eMMC above 2 GB, nonsense.
    pub sectors: u64,
    pub protected: bool,
    /// Command classes.
    pub classes: u32,
    /// Single sectors can be erased.
    pub erase_single: bool,
    /// Sectors that are erased together.
    pub erase_sectors: u32,
    /// Of an eMMC: its version.
    pub version: u32,
}

/// Erase commands.
pub(crate) const CLASS_ERASE: u32 = 1 << 5;
/// `SWITCH_FUNC`.
pub(crate) const CLASS_SWITCH: u32 = 1 << 10;

impl Csd {
    pub fn decode(kind: Kind, csd: &[u32; 4]) -> Result<Self, ProbeError> {
        let of = |high, low| bits(csd, high, low);
        let structure = of(127, 126);
        let block = of(83, 80);
        let sectors = if kind == Kind::Sd && structure == 1 {
            (u64::from(of(69, 48)) + 1) * 1024
        } else if kind == Kind::Sd && structure > 1 {
            return Err(ProbeError::Card(
                "is larger than 2 TB (SDUC), which is not served",
            ));
        } else if (9..=11).contains(&block) {
            (u64::from(of(73, 62)) + 1) << (of(49, 47) + 2) << (block - 9)
        } else {
            return Err(ProbeError::Card("has blocks of no known size"));
        };
        Ok(Self {
            sectors,
            // Permanently or temporarily.
            protected: of(13, 12) != 0,
            classes: of(95, 84),
            erase_single: kind == Kind::Sd && of(46, 46) != 0,
            erase_sectors: if kind == Kind::Sd {
                of(45, 39) + 1
            } else {
                (of(46, 42) + 1) * (of(41, 37) + 1)
            },
            version: of(125, 122),
        })
    }
}

/// What an SD card's configuration register says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scr {
    pub four_lines: bool,
    /// `SWITCH_FUNC` exists: version 1.10 or later.
    pub switch: bool,
    pub set_block_count: bool,
}

impl Scr {
    /// `words` as they came over the data line: big-endian.
    pub fn decode(words: &[u32; 2]) -> Self {
        let high = u32::from_be(u32::from_le(words[0]));
        Self {
            four_lines: high >> 16 & 4 != 0,
            switch: high >> 24 & 15 != 0,
            set_block_count: high & 2 != 0,
        }
    }
}

/// A byte of a block that came over the data line.
pub(crate) fn byte(words: &[u32], at: usize) -> u8 {
    words[at / 4].to_le_bytes()[at % 4]
}

/// Whether an SD status says that `ERASE` can discard (bit 313).
pub(crate) fn can_discard(sd_status: &[u32; 16]) -> bool {
    byte(sd_status, 24) & 2 != 0
}

/// Whether the answer to `SWITCH_FUNC` says that group 1 has high speed (check), or that it is on now (switch).
pub(crate) fn high_speed(answer: &[u32; 16], switched: bool) -> bool {
    if switched {
        byte(answer, 16) & 15 == 1
    } else {
        byte(answer, 13) & 2 != 0
    }
}

/// What an eMMC's extended CSD says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtCsd {
    pub sectors: u64,
    /// High speed at 52 MHz and 3 V.
    pub high_speed: bool,
    /// Half milliseconds … an exponentless bound is enough: it can be erased by groups of so many sectors.
    pub erase_sectors: u32,
    pub trim: bool,
    pub discard: bool,
}

/// Bytes of the extended CSD that `SWITCH` writes.
pub(crate) mod ext_csd {
    pub const ERASE_GROUP_DEF: u8 = 175;
    pub const BUS_WIDTH: u8 = 183;
    pub const HS_TIMING: u8 = 185;
}

impl ExtCsd {
    pub fn decode(words: &[u32; 128]) -> Result<Self, ProbeError> {
        let of = |at| byte(words, at);
        let revision = of(192);
        if of(61) != 0 {
            return Err(ProbeError::Card("has sectors of 4 KiB only, which is not served"));
        }
        Ok(Self {
            sectors: words[212 / 4].to_le().into(),
            high_speed: of(196) & 2 != 0,
            erase_sectors: u32::from(of(224)) * 1024,
            trim: of(231) & 0x10 != 0,
            discard: revision >= 6,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register of 128 bits, given as bytes from the highest, as a response holds it.
    fn response(register: [u8; 16]) -> [u32; 4] {
        let whole = u128::from_be_bytes(register) >> 8;
        [0, 32, 64, 96].map(|at| (whole >> at) as u32)
    }

    #[test]
    fn csd_of_a_large_sd_card() {
        // 32 GB: C_SIZE 0xedc8.
        let csd = response([
            0x40, 0x0e, 0x00, 0x32, 0x5b, 0x59, 0x00, 0x00, 0xed, 0xc8, 0x7f, 0x80, 0x0a, 0x40, 0x40, 0x55,
        ]);
        let csd = Csd::decode(Kind::Sd, &csd).expect("a card");
        assert_eq!(csd.sectors, (0xedc8 + 1) * 1024);
        assert!(!csd.protected && csd.erase_single);
        assert_eq!(
            csd.classes & (CLASS_ERASE | CLASS_SWITCH),
            CLASS_ERASE | CLASS_SWITCH
        );
        assert_eq!(csd.erase_sectors, 128);
    }

    #[test]
    fn csd_of_a_small_sd_card() {
        // 2 GB: blocks of 1024 bytes, C_SIZE 3875, multiplier 512; temporarily protected.
        let csd = response([
            0x00, 0x2e, 0x00, 0x32, 0x5b, 0x5a, 0x83, 0xc8, 0xff, 0xff, 0xff, 0x80, 0x16, 0x80, 0x10, 0x91,
        ]);
        let csd = Csd::decode(Kind::Sd, &csd).expect("a card");
        assert_eq!(csd.sectors, (3875 + 1) * 512 * 2);
        assert!(csd.protected);
    }

    #[test]
    fn csds_that_are_not_believed() {
        let sduc = response([0x80; 16]);
        assert!(Csd::decode(Kind::Sd, &sduc).is_err());
        assert!(Csd::decode(Kind::Sd, &[0; 4]).is_err(), "blocks of one byte");
        assert!(Csd::decode(Kind::Emmc, &[u32::MAX; 4]).is_err());
    }

    #[test]
    fn an_extended_csd() {
        let mut bytes = [0u8; 512];
        bytes[212..216].copy_from_slice(&61_071_360u32.to_le_bytes());
        (bytes[192], bytes[196], bytes[224], bytes[231]) = (8, 0x57, 1, 0x55);
        let words = |bytes: &[u8; 512]| {
            let mut words = [0; 128];
            for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
                *word = u32::from_le_bytes(*bytes);
            }
            words
        };
        let decoded = ExtCsd::decode(&words(&bytes)).expect("an eMMC");
        assert_eq!(
            decoded,
            ExtCsd {
                sectors: 61_071_360,
                high_speed: true,
                erase_sectors: 1024,
                trim: true,
                discard: true,
            }
        );
        bytes[192] = 5;
        let old = ExtCsd::decode(&words(&bytes)).expect("an eMMC");
        assert!(!old.discard);
        bytes[61] = 1;
        assert!(ExtCsd::decode(&words(&bytes)).is_err());
    }

    #[test]
    fn an_scr() {
        let scr = Scr::decode(&[u32::from_ne_bytes([0x02, 0x35, 0x80, 0x03]).to_le(), 0]);
        assert_eq!(
            scr,
            Scr {
                four_lines: true,
                switch: true,
                set_block_count: true
            }
        );
        let scr = Scr::decode(&[u32::from_ne_bytes([0x00, 0xa1, 0x00, 0x00]).to_le(), 0]);
        assert_eq!(
            scr,
            Scr {
                four_lines: false,
                switch: false,
                set_block_count: false
            }
        );
    }
}
