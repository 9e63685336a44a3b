//! Data between card and memory, or card and data port.

use crate::Fault;
use crate::card::State;
use crate::model::{Controller, status};

/// Something that will happen.
pub(crate) enum Event {
    /// A response.
    Response([u32; 4]),
    /// Error bits.
    Error(u32),
    /// The transfer under way goes on: all of it by DMA, or one block at the data port.
    Data,
    /// It, or the card's being busy, is over.
    End,
}

impl Event {
    pub fn is_response(&self) -> bool {
        matches!(self, Self::Response(_))
    }

    pub fn is_data(&self) -> bool {
        matches!(self, Self::Data | Self::End)
    }
}

/// A transfer under way.
pub(crate) struct Transfer {
    read: bool,
    /// The next sector; a register has none.
    sector: Option<u64>,
    block_size: usize,
    blocks_left: u32,
    blocks_done: u32,
    /// The block at the data port, and how much of it was moved.
    port: Vec<u8>,
    moved: usize,
    no_end: bool,
    fault: Option<Fault>,
}

impl Controller {
    /// A transfer begins with the next event.
    pub fn begin(&mut self, read: bool, sector: Option<u64>, no_end: bool, fault: Option<Fault>) {
        let (block_size, count) = ((self.block & 0xfff) as usize, self.block >> 16);
        let multi = self.mode & 0x20 != 0;
        if (self.mode & 0x10 != 0) != read {
            self.note("the direction of the data is not the command's");
        }
        if multi && self.mode & 2 == 0 {
            self.note("several blocks without a block count");
        }
        let expected = match (sector, &self.card) {
            (Some(_), _) => 512,
            (None, Some(card)) => card.register.len(),
            (None, None) => 0,
        };
        if block_size != expected {
            self.note(format!("blocks of {block_size} bytes, not {expected}"));
        }
        let blocks = if multi { count } else { 1 };
        match (multi, self.mode >> 2 & 3) {
            (false, 0) => {}
            (true, 1) => {}
            (true, 2) if self.mode & 1 != 0 => {
                let counts = self.card.as_ref().is_some_and(|card| card.offer.set_block_count);
                if !counts || self.argument2 != blocks {
                    self.note(format!("Auto CMD23 of {} blocks, not {blocks}", self.argument2));
                }
                if let Some(card) = &mut self.card {
                    card.block_count = Some(self.argument2);
                }
            }
            (multi, auto) => self.note(format!("several blocks: {multi}, automatic command {auto}")),
        }
        self.transfer = Some(Transfer {
            read,
            sector,
            block_size,
            blocks_left: blocks,
            blocks_done: 0,
            port: Vec::new(),
            moved: 0,
            no_end,
            fault,
        });
        self.events.push_back(Event::Data);
    }

    pub fn happen(&mut self, event: Event) {
        match event {
            Event::Response(words) => {
                self.response = words;
                self.raise(status::COMMAND_COMPLETE);
            }
            Event::Error(bits) => {
                self.raise(bits);
            }
            Event::Data if self.mode & 1 != 0 => self.by_adma(),
            Event::Data => self.by_port(),
            Event::End => {
                self.transfer = None;
                self.raise(status::TRANSFER_COMPLETE);
            }
        }
    }

    /// Whether a fault strikes before the next block.
    fn struck(&mut self) -> bool {
        let Some(transfer) = &self.transfer else {
            return true;
        };
        let done = transfer.blocks_done;
        match transfer.fault {
            Some(Fault::Data(bits, after)) if after == done => {
                self.raise(bits);
                // Card and controller stay where they are until they are told otherwise.
                self.events.clear();
                true
            }
            Some(Fault::Pull(after)) if after == done => {
                self.pull();
                self.raise(status::DATA_TIMEOUT);
                true
            }
            _ => {
                let widths = self.card.as_ref().map_or(0, |card| card.lines);
                let speeds = self.card.as_ref().is_some_and(|card| card.high_speed);
                if widths != self.lines() || (speeds != (self.control & 4 != 0) && transfer.sector.is_some())
                {
                    self.raise(status::DATA_CRC);
                    self.events.clear();
                    return true;
                }
                false
            }
        }
    }

    /// One block from the card; `None` if it has none.
    fn take_from_card(&mut self) -> Option<Vec<u8>> {
        let (transfer, card) = (self.transfer.as_mut()?, self.card.as_mut()?);
        match &mut transfer.sector {
            None => Some(card.register.clone()),
            Some(sector) => {
                let block = card.give_block(*sector)?;
                *sector += 1;
                Some(block)
            }
        }
    }

    fn put_on_card(&mut self, block: &[u8]) -> bool {
        let (Some(transfer), Some(card)) = (self.transfer.as_mut(), self.card.as_mut()) else {
            return false;
        };
        let Some(sector) = &mut transfer.sector else {
            return false;
        };
        *sector += 1;
        card.take_block(*sector - 1, block)
    }

    fn block_done(&mut self) -> bool {
        let Some(transfer) = &mut self.transfer else {
            return true;
        };
        transfer.blocks_done += 1;
        transfer.blocks_left -= 1;
        transfer.blocks_left == 0
    }

    /// All blocks have gone.
    fn finish(&mut self) {
        let Some(transfer) = &self.transfer else { return };
        let no_end = transfer.no_end;
        if let Some(card) = &mut self.card {
            let counted = card.block_count.is_some();
            // Without a count the card goes on until it is stopped.
            if counted || self.mode >> 2 & 3 == 1 {
                card.stopped();
            }
            if matches!(card.state, State::Data | State::Rcv) {
                card.note("a transfer of several blocks that nobody stops");
            }
        }
        if !no_end {
            self.events.push_back(Event::End);
        }
    }

    fn by_adma(&mut self) {
        // Transfers without a sector are small and go by hand.
        let (stride, wide) = match (self.control >> 3 & 3, self.control2 >> 28 & 3) {
            (2, 0) => (8, false),
            (3, 0) => (12, true),
            (2, 3) => (16, true),
            (select, version) => {
                self.note(format!("DMA of kind {select}, version 4 bits {version}"));
                return self.raise(status::ADMA);
            }
        };
        let needed = match stride {
            12 => 1 << 28,
            16 => 1 << 27,
            _ => 1 << 19,
        };
        if self.slot.capabilities[0] & needed == 0 || self.slot.capabilities[0] & 1 << 19 == 0 {
            self.note(format!(
                "ADMA descriptors of {stride} bytes, which it does not have"
            ));
        }
        let mut table = self.adma_address;
        let (mut address, mut length, mut last) = (0u64, 0usize, false);
        let (read, size) = match &self.transfer {
            Some(transfer) => (transfer.read, transfer.block_size),
            None => return,
        };
        loop {
            if self.struck() {
                return;
            }
            let mut block = vec![0; size];
            if read {
                match self.take_from_card() {
                    Some(bytes) => block = bytes,
                    None => return self.raise(status::DATA_TIMEOUT),
                }
            }
            let mut at = 0;
            while at < size {
                if length == 0 {
                    if last {
                        return self.raise(status::ADMA);
                    }
                    let mut descriptor = [0; 16];
                    self.bus.read(table, &mut descriptor[..stride]);
                    table += stride as u64;
                    let word = |at: usize| {
                        u32::from_le_bytes([
                            descriptor[at],
                            descriptor[at + 1],
                            descriptor[at + 2],
                            descriptor[at + 3],
                        ])
                    };
                    if word(0) & 0x31 != 0x21 {
                        self.note(format!("a descriptor of attributes {:#x}", word(0) & 0x3f));
                        return self.raise(status::ADMA);
                    }
                    last = word(0) & 2 != 0;
                    length = (word(0) >> 16) as usize;
                    address = u64::from(word(4)) | if wide { u64::from(word(8)) << 32 } else { 0 };
                    let aligned = if wide { 8 } else { 4 };
                    if address % aligned != 0 || length == 0 {
                        self.note(format!("a descriptor of {length} bytes at {address:#x}"));
                    }
                }
                let part = length.min(size - at);
                if read {
                    self.bus.write(address, &block[at..at + part]);
                } else {
                    self.bus.read(address, &mut block[at..at + part]);
                }
                (address, length, at) = (address + part as u64, length - part, at + part);
            }
            if !read && !self.put_on_card(&block) {
                return self.raise(status::DATA_TIMEOUT);
            }
            if self.block_done() {
                if length != 0 || !last {
                    self.note("descriptors for more than the blocks");
                }
                return self.finish();
            }
        }
    }

    /// The next block appears at the data port, or room for it.
    fn by_port(&mut self) {
        if self.struck() {
            return;
        }
        let Some(read) = self.transfer.as_ref().map(|transfer| transfer.read) else {
            return;
        };
        if !read {
            if let Some(transfer) = &mut self.transfer {
                (transfer.port, transfer.moved) = (vec![0; transfer.block_size], 0);
            }
            return self.raise(status::WRITE_READY);
        }
        let Some(block) = self.take_from_card() else {
            return self.raise(status::DATA_TIMEOUT);
        };
        if let Some(transfer) = &mut self.transfer {
            (transfer.port, transfer.moved) = (block, 0);
        }
        self.raise(status::READ_READY);
    }

    /// Four more bytes of the block at the data port were moved.
    fn moved(&mut self) {
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        transfer.moved += 4;
        if transfer.moved < transfer.port.len() {
            return;
        }
        let block = std::mem::take(&mut transfer.port);
        if !transfer.read && !self.put_on_card(&block) {
            return self.raise(status::DATA_TIMEOUT);
        }
        if self.block_done() {
            self.finish();
        } else {
            self.events.push_back(Event::Data);
        }
    }

    pub fn port_read(&mut self) -> u32 {
        let word = self
            .transfer
            .as_ref()
            .filter(|transfer| transfer.read)
            .and_then(|transfer| {
                let bytes = transfer.port.get(transfer.moved..transfer.moved + 4)?;
                bytes.try_into().ok().map(u32::from_le_bytes)
            });
        match word {
            Some(word) => {
                self.moved();
                word
            }
            None => {
                self.note("a read of the data port while there is nothing");
                0
            }
        }
    }

    pub fn port_write(&mut self, word: u32) {
        let room = self
            .transfer
            .as_mut()
            .filter(|transfer| !transfer.read)
            .and_then(|transfer| {
                let at = transfer.moved;
                transfer.port.get_mut(at..at + 4)
            });
        match room {
            Some(bytes) => {
                bytes.copy_from_slice(&word.to_le_bytes());
                self.moved();
            }
            None => self.note("a write to the data port while there is no room"),
        }
    }
}
