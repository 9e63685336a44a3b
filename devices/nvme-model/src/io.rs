//! I/O commands (NVM Command Set 1.0, §3).

use std::ops::Range;

use crate::model::{DISCARDED, Fetched};
use crate::{NamespaceOffer, NvmeModel};

const INVALID_OPCODE: u16 = 0x001;
const INVALID_FIELD: u16 = 0x002;
const INVALID_NAMESPACE: u16 = 0x00b;
const WRITE_PROTECTED: u16 = 0x020;
const LBA_OUT_OF_RANGE: u16 = 0x080;

impl NvmeModel {
    /// Carries one out; its status.
    pub(crate) fn io(&self, command: &Fetched) -> u16 {
        let nsid = command.words[1];
        let namespace = self
            .offer
            .namespaces
            .iter()
            .find(|namespace| namespace.nsid == nsid);
        let Some(namespace) = namespace else {
            return INVALID_NAMESPACE;
        };
        let is_write = matches!(command.opcode(), 0x01 | 0x08 | 0x09);
        if is_write && namespace.read_only {
            return WRITE_PROTECTED;
        }
        let done = match command.opcode() {
            0x00 => {
                self.make_durable(nsid);
                Ok(())
            }
            0x01 | 0x02 => self.transfer(command, namespace),
            0x08 if self.offer.write_zeroes => self.write_zeroes(command, namespace),
            0x09 if self.offer.deallocate => self.deallocate(command, namespace),
            _ => Err(INVALID_OPCODE),
        };
        done.err().unwrap_or(0)
    }

    fn make_durable(&self, nsid: u32) {
        let mut state = self.state.borrow_mut();
        if let Some(disk) = state.disks.get_mut(&nsid) {
            disk.durable.clone_from(&disk.bytes);
        }
    }

    /// Bytes of the disk.
    fn range(namespace: &NamespaceOffer, lba: u64, blocks: u64) -> Result<Range<usize>, u16> {
        let end = lba.checked_add(blocks).filter(|end| *end <= namespace.blocks);
        let end = end.ok_or(LBA_OUT_OF_RANGE)?;
        Ok((lba << namespace.shift) as usize..(end << namespace.shift) as usize)
    }

    fn transfer(&self, command: &Fetched, namespace: &NamespaceOffer) -> Result<(), u16> {
        let blocks = u64::from(command.words[12] & 0xffff) + 1;
        let bytes = blocks << namespace.shift;
        if self.offer.mdts != 0 && bytes > 4096 << self.offer.mdts {
            self.blame("more than MDTS");
            return Err(INVALID_FIELD);
        }
        let range = Self::range(namespace, command.pair(10), blocks)?;
        let nsid = namespace.nsid;
        let mut at = range.start;
        for (address, len) in self.pages(command, bytes) {
            if command.opcode() == 0x01 {
                let mut data = vec![0; len];
                self.read_memory(address, &mut data);
                let mut state = self.state.borrow_mut();
                if let Some(disk) = state.disks.get_mut(&nsid) {
                    disk.bytes[at..at + len].copy_from_slice(&data);
                }
            } else {
                let data = self.state.borrow().disks[&nsid].bytes[at..at + len].to_vec();
                self.write_memory(address, &data);
            }
            at += len;
        }
        Ok(())
    }

    /// The pieces of memory that a command names (Base 2.0, §4.1.1).
    fn pages(&self, command: &Fetched, bytes: u64) -> Vec<(u64, usize)> {
        let (prp1, prp2) = (command.pair(6), command.pair(8));
        if prp1 % 4 != 0 {
            self.blame("PRP1 is not aligned to 4 bytes");
        }
        let first = (4096 - prp1 % 4096).min(bytes);
        let mut pieces = vec![(prp1, first as usize)];
        let mut left = bytes - first;
        if left == 0 {
            return pieces;
        }
        let count = left.div_ceil(4096);
        let pages: Vec<u64> = if count == 1 {
            vec![prp2]
        } else {
            if prp2 % 8 != 0 {
                self.blame("a PRP list is not aligned to 8 bytes");
            }
            if prp2 % 4096 + 8 * count > 4096 {
                self.blame("a PRP list runs past its page");
                return pieces;
            }
            let mut list = vec![0; 8 * count as usize];
            self.read_memory(prp2, &mut list);
            let entry = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
            list.chunks(8).map(entry).collect()
        };
        for page in pages {
            if page % 4096 != 0 {
                self.blame("a PRP entry with an offset that is not the first");
            }
            let len = left.min(4096);
            pieces.push((page, len as usize));
            left -= len;
        }
        pieces
    }

    fn write_zeroes(&self, command: &Fetched, namespace: &NamespaceOffer) -> Result<(), u16> {
        let blocks = u64::from(command.words[12] & 0xffff) + 1;
        if command.words[12] & !(0xffff | 1 << 25) != 0 {
            self.blame("reserved bits of Write Zeroes");
        }
        let range = Self::range(namespace, command.pair(10), blocks)?;
        self.fill(namespace.nsid, range, 0);
        Ok(())
    }

    fn deallocate(&self, command: &Fetched, namespace: &NamespaceOffer) -> Result<(), u16> {
        if command.words[10] & !0xff != 0 || command.words[11] != 1 << 2 {
            self.blame("Dataset Management for other purposes");
        }
        for index in 0..=u64::from(command.words[10] & 0xff) {
            let mut range = [0; 16];
            self.read_memory(command.pair(6) + 16 * index, &mut range);
            let word = |at: usize| range[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
            let lba = u64::from(word(8)) | u64::from(word(12)) << 32;
            let range = Self::range(namespace, lba, word(4).into())?;
            self.fill(namespace.nsid, range, DISCARDED);
        }
        Ok(())
    }

    fn fill(&self, nsid: u32, range: Range<usize>, byte: u8) {
        let mut state = self.state.borrow_mut();
        if let Some(disk) = state.disks.get_mut(&nsid) {
            disk.bytes[range].fill(byte);
        }
    }
}
