//! The disk behind the transport (§5.2.6).

use crate::device::{Device, Field, gather, scatter, write_last};
use crate::offer::CONFIG_FIELDS;
use crate::queue::{Chain, Piece};
use crate::{Bus, Fault, Offer, VirtioModel};

/// What discarded sectors read as here; they could read as anything.
pub const DISCARDED: u8 = 0xd5;

const OK: u8 = 0;
const IOERR: u8 = 1;
const UNSUPP: u8 = 2;

const SECTOR: usize = 512;

/// Feature bits.
const FLUSH: u64 = 1 << 9;
const DISCARD: u64 = 1 << 13;
const WRITE_ZEROES: u64 = 1 << 14;

/// Sectors, and how much of them would survive a loss of power.
pub struct Disk {
    offer: Offer,
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// The capacity becomes this right after its low half was read.
    torn_resize: Option<u64>,
}

/// What became of a request: its status and the bytes written into device-writable memory, the status included.
struct Outcome {
    status: u8,
    written: u32,
}

impl VirtioModel {
    /// A disk after power-on.
    pub fn new(offer: Offer, bus: &Bus) -> Self {
        Self::with(offer.transport(), Disk::new(offer), bus)
    }

    /// Changes its capacity.
    pub fn resize(&self, sectors: u64) {
        let mut model = self.0.borrow_mut();
        model.device.resize(sectors);
        model.config_changed();
    }

    /// Changes its capacity between the two halves of the driver's next read of it.
    pub fn resize_torn(&self, sectors: u64) {
        let mut model = self.0.borrow_mut();
        model.device.torn_resize = Some(sectors);
        model.interrupt_for_config();
    }

    /// What is on the disk.
    pub fn contents(&self) -> Vec<u8> {
        self.0.borrow().device.bytes.clone()
    }

    /// What would be on it after a loss of power: without a flush that was negotiated there is no volatile cache.
    pub fn durable(&self) -> Vec<u8> {
        let model = self.0.borrow();
        if model.registers.features & FLUSH == 0 {
            model.device.bytes.clone()
        } else {
            model.device.durable.clone()
        }
    }
}

impl Device for Disk {
    fn features(&self) -> u64 {
        self.offer.features()
    }

    fn refuses(&self, _taken: u64) -> Option<String> {
        None
    }

    fn config(&self) -> Vec<u8> {
        let sectors = self.bytes.len() / SECTOR;
        self.offer.config(sectors as u64).to_vec()
    }

    fn fields(&self) -> &'static [Field] {
        &CONFIG_FIELDS
    }

    fn config_was_read(&mut self, at: usize) -> bool {
        match self.torn_resize {
            Some(sectors) if at == 0 => {
                self.torn_resize = None;
                self.resize(sectors);
                true
            }
            _ => false,
        }
    }

    fn queues(&self) -> usize {
        self.offer.queue_count().into()
    }

    fn reset(&mut self) {}

    fn wants(&mut self, _queue: usize, _features: u64, taken: &[Chain]) -> usize {
        taken.len().min(1)
    }

    fn perform(
        &mut self,
        bus: &Bus,
        _queue: usize,
        features: u64,
        chains: &[Chain],
        fault: Option<Fault>,
    ) -> Result<Vec<u32>, String> {
        let pieces = &chains[0].pieces;
        let outcome = self.request(bus, features, pieces)?;
        match fault {
            Some(Fault::Status(status)) => write_last(bus, pieces, status),
            Some(Fault::NoStatus) => {}
            _ => write_last(bus, pieces, outcome.status),
        }
        Ok(vec![outcome.written])
    }
}

impl Disk {
    fn new(offer: Offer) -> Self {
        let bytes = vec![0; offer.sectors as usize * SECTOR];
        Self {
            offer,
            durable: bytes.clone(),
            bytes,
            torn_resize: None,
        }
    }

    fn resize(&mut self, sectors: u64) {
        self.bytes.resize(sectors as usize * SECTOR, 0);
        self.durable.resize(sectors as usize * SECTOR, 0);
    }

    /// Does one request, all but writing its status.
    fn request(&mut self, bus: &Bus, features: u64, pieces: &[Piece]) -> Result<Outcome, String> {
        let offer = self.offer.clone();
        let (readable, writable): (Vec<Piece>, Vec<Piece>) = pieces.iter().partition(|piece| !piece.write);
        let out = gather(bus, &readable);
        let room: usize = writable.iter().map(|piece| piece.len as usize).sum();
        if out.len() < 16 || room == 0 {
            return Err("a request without room for header or status".into());
        }
        let (header, out) = out.split_at(16);
        let kind = u32_at(header, 0);
        let sector = u64_at(header, 8);
        if u32_at(header, 4) != 0 {
            return Err("a reserved header field is not 0".into());
        }
        // The header and the status are pieces of their own here, so the others are the segments.
        let segments: Vec<_> = pieces
            .iter()
            .skip(1)
            .take(pieces.len().saturating_sub(2))
            .collect();
        if offer.seg_max.is_some_and(|most| segments.len() > most as usize) {
            return Err(format!("{} segments", segments.len()));
        }
        if offer
            .size_max
            .is_some_and(|most| segments.iter().any(|s| s.len > most))
        {
            return Err("a segment longer than SIZE_MAX".into());
        }
        let room = room - 1;
        let (status, read) = match kind {
            0 if !out.is_empty() || room == 0 || !room.is_multiple_of(SECTOR) => {
                return Err(format!("a read of {room} bytes, with {} to read from", out.len()));
            }
            0 => match self.range(sector, room) {
                Some(range) => {
                    scatter(bus, &writable, &self.bytes[range]);
                    (OK, room)
                }
                None => (IOERR, 0),
            },
            1 if room != 0 || out.is_empty() || !out.len().is_multiple_of(SECTOR) => {
                return Err(format!("a write of {} bytes, with {room} to write to", out.len()));
            }
            1 => (self.write(sector, out.len(), |to| to.copy_from_slice(out)), 0),
            4 if room != 0 || !out.is_empty() || sector != 0 || features & FLUSH == 0 => {
                return Err("a flush with data or a sector, or not negotiated".into());
            }
            4 => {
                self.durable.clone_from(&self.bytes);
                (OK, 0)
            }
            11 | 13 => (self.dataless(features, kind, out, room)?, 0),
            _ => (UNSUPP, 0),
        };
        Ok(Outcome {
            status,
            written: read as u32 + 1,
        })
    }

    fn dataless(&mut self, features: u64, kind: u32, out: &[u8], room: usize) -> Result<u8, String> {
        let (feature, most, fill) = if kind == 11 {
            (DISCARD, self.offer.discard.map(|d| d.0), DISCARDED)
        } else {
            (WRITE_ZEROES, self.offer.write_zeroes, 0)
        };
        if features & feature == 0 || room != 0 || out.len() != 16 {
            return Err(format!(
                "request type {kind} with {} bytes and {room} back",
                out.len()
            ));
        }
        let (sector, sectors, flags) = (u64_at(out, 0), u32_at(out, 8), u32_at(out, 12));
        if flags & !1 != 0 || (kind == 11 && flags != 0) {
            return Err(format!("request type {kind} with flags {flags:#x}"));
        }
        if sectors == 0 || most.is_some_and(|most| sectors > most) {
            return Err(format!("request type {kind} of {sectors} sectors"));
        }
        Ok(self.write(sector, sectors as usize * SECTOR, |to| to.fill(fill)))
    }

    fn write(&mut self, sector: u64, len: usize, write: impl FnOnce(&mut [u8])) -> u8 {
        match self.range(sector, len) {
            Some(range) if !self.offer.read_only => {
                write(&mut self.bytes[range]);
                OK
            }
            _ => IOERR,
        }
    }

    fn range(&self, sector: u64, len: usize) -> Option<std::ops::Range<usize>> {
        let from = usize::try_from(sector).ok()?.checked_mul(SECTOR)?;
        let to = from.checked_add(len)?;
        (to <= self.bytes.len()).then_some(from..to)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
