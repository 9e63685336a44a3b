//! The device's side of a split virtqueue (§2.7).

use crate::Bus;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

const NO_INTERRUPT: u16 = 1;

/// One descriptor's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub addr: u64,
    pub len: u32,
    pub write: bool,
}

/// A chain that the device has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub head: u16,
    pub pieces: Vec<Piece>,
}

/// What was negotiated that matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub indirect: bool,
    pub event_idx: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct DeviceQueue {
    pub num: u32,
    pub ready: bool,
    /// "Queue desc", "queue driver", "queue device".
    pub areas: [u64; 3],
    /// A doorbell rang and was not answered yet.
    pub kicked: bool,
    last_avail: u16,
    used_idx: u16,
    pub taken: Vec<Chain>,
}

impl DeviceQueue {
    /// Takes all available chains, and then asks for a doorbell (unless `polling`). Returns what the driver did wrong.
    pub fn fetch(&mut self, bus: &Bus, rules: Rules, polling: bool) -> Result<(), String> {
        let [_, driver, device] = self.areas;
        self.kicked = false;
        if rules.event_idx && bus.read_u16(driver) != 0 {
            return Err("avail.flags is not 0 although EVENT_IDX was negotiated".into());
        }
        if !rules.event_idx {
            bus.write(device, &u16::from(polling).to_le_bytes());
        }
        let mut asked = false;
        loop {
            let waiting = bus.read_u16(driver + 2).wrapping_sub(self.last_avail);
            if u32::from(waiting) > self.num {
                return Err(format!(
                    "{waiting} chains are available in a queue of {}",
                    self.num
                ));
            }
            if waiting == 0 {
                if asked || polling || !rules.event_idx {
                    return Ok(());
                }
                // Ask, and look once more (§2.7.10).
                let avail_event = device + 4 + 8 * u64::from(self.num);
                bus.write(avail_event, &self.last_avail.to_le_bytes());
                asked = true;
                continue;
            }
            asked = false;
            for _ in 0..waiting {
                let place = u64::from(u32::from(self.last_avail) % self.num);
                let head = bus.read_u16(driver + 4 + 2 * place);
                self.last_avail = self.last_avail.wrapping_add(1);
                if self.taken.iter().any(|chain| chain.head == head) {
                    return Err(format!("chain {head} is made available while in flight"));
                }
                let pieces = self.walk(bus, head, rules)?;
                self.taken.push(Chain { head, pieces });
            }
        }
    }

    /// Follows a chain (§2.7.5).
    pub fn walk(&self, bus: &Bus, head: u16, rules: Rules) -> Result<Vec<Piece>, String> {
        let mut pieces: Vec<Piece> = Vec::new();
        let (mut table, mut count, mut nested) = (self.areas[0], self.num, false);
        let mut index = head;
        loop {
            if u32::from(index) >= count {
                return Err(format!("descriptor {index} of a table of {count}"));
            }
            let mut bytes = [0; 16];
            bus.read(table + 16 * u64::from(index), &mut bytes);
            let addr = u64::from_le_bytes(bytes[..8].try_into().unwrap_or_default());
            let len = u32::from_le_bytes(bytes[8..12].try_into().unwrap_or_default());
            let flags = u16::from_le_bytes([bytes[12], bytes[13]]);
            let next = u16::from_le_bytes([bytes[14], bytes[15]]);
            if flags & !(NEXT | WRITE | INDIRECT) != 0 {
                return Err(format!("reserved descriptor flags {flags:#x}"));
            }
            if flags & INDIRECT != 0 {
                if !rules.indirect || nested || flags & NEXT != 0 {
                    return Err("an indirect descriptor where there may be none".into());
                }
                if len == 0 || len % 16 != 0 {
                    return Err(format!("an indirect table of {len} bytes"));
                }
                (table, count, nested, index) = (addr, len / 16, true, 0);
                continue;
            }
            let write = flags & WRITE != 0;
            if len == 0 {
                return Err("a descriptor of no bytes".into());
            }
            if !write && pieces.iter().any(|piece| piece.write) {
                return Err("a device-readable descriptor after a device-writable one".into());
            }
            pieces.push(Piece { addr, len, write });
            if pieces.len() > self.num as usize {
                return Err("a chain longer than its queue".into());
            }
            if flags & NEXT == 0 {
                return Ok(pieces);
            }
            index = next;
        }
    }

    /// Writes one used entry, not yet visible: `ahead` entries past the index.
    pub fn write_used(&self, bus: &Bus, ahead: u16, id: u32, len: u32) {
        let place = u64::from(u32::from(self.used_idx.wrapping_add(ahead)) % self.num);
        let at = self.areas[2] + 4 + 8 * place;
        bus.write(at, &id.to_le_bytes());
        bus.write(at + 4, &len.to_le_bytes());
    }

    /// Shows `count` used entries. True if the driver asked for an interrupt at one of them (§2.7.7).
    pub fn publish_used(&mut self, bus: &Bus, count: u16, rules: Rules) -> bool {
        let old = self.used_idx;
        self.used_idx = old.wrapping_add(count);
        bus.write(self.areas[2] + 2, &self.used_idx.to_le_bytes());
        if rules.event_idx {
            let used_event = bus.read_u16(self.areas[1] + 4 + 2 * u64::from(self.num));
            (0..count).any(|i| old.wrapping_add(i) == used_event)
        } else {
            bus.read_u16(self.areas[1]) & NO_INTERRUPT == 0
        }
    }
}
