//! What goes out and comes in.

use crate::engine::PLACES;
use crate::model::State;
use crate::packet::{checksum_is_right, fill_in};
use crate::{Fault, map};

const BLOCK: usize = 64;
const SOP: u32 = 1 << 13;
const EOP: u32 = 1 << 14;

impl State {
    pub(crate) fn run(&mut self) {
        while self.transmit.runs() && !self.stuck && (1..=PLACES).contains(&self.transmit.owned()) {
            let before = self.transmit.index;
            self.send();
            if self.transmit.index == before {
                break;
            }
        }
        while let Some(frame) = self.wire.arriving.pop_front() {
            self.take(&frame);
        }
    }

    /// Sends one frame.
    fn send(&mut self) {
        let mut bytes = Vec::new();
        let mut first = 0;
        let mut sum = false;
        let count = self.transmit.owned().min(PLACES);
        for offset in 0..count {
            let (status, address) = self.transmit.descriptor(self.transmit.index.wrapping_add(offset));
            let len = (status >> 16) as usize;
            let (start, end) = (status & SOP != 0, status & EOP != 0);
            if len == 0 || len > 0xfff || start != (offset == 0) || status & 1 << 15 != 0 {
                self.note(format!("a descriptor to send with status {status:#x}"));
            }
            if status & 0x3f << 7 != 0x3f << 7 || status & 1 << 6 == 0 {
                self.note(format!(
                    "a descriptor without queue tag or check sequence: {status:#x}"
                ));
            }
            if offset == 0 {
                first = len;
                sum = status & 1 << 4 != 0;
            }
            let from = bytes.len();
            bytes.resize(from + len, 0);
            self.bus.read(address, &mut bytes[from..]);
            if end {
                self.sent(bytes, first, sum);
                (0..=offset).for_each(|_| self.transmit.advance());
                self.interrupts[0].0 |= 7 << 16;
                return;
            }
        }
        self.note("a frame to send without an end".into());
    }

    fn sent(&mut self, mut bytes: Vec<u8>, first: usize, sum: bool) {
        if self.plain(map::TBUF) & 1 == 0 {
            return self.note("a frame without the status block that was agreed on".into());
        }
        if first < BLOCK + 56 && first < bytes.len() {
            self.note(format!(
                "headers apart from their status block: {first} bytes in one piece"
            ));
        }
        let info = u32::from_le_bytes([bytes[48], bytes[49], bytes[50], bytes[51]]);
        let mut frame = bytes.split_off(BLOCK.min(bytes.len()));
        if sum {
            let (start, store) = ((info >> 16 & 0x7fff) as usize, (info & 0x7fff) as usize);
            if info >> 31 == 0 || store + 2 > frame.len() || start > store {
                return self.note(format!("checksum information {info:#x}"));
            }
            fill_in(&mut frame, start, store, info & 1 << 15 != 0);
        } else if info != 0 {
            self.note("checksum information that nobody asked to be used".into());
        }
        if frame.len() + 4 > self.plain(map::MAX_FRAME) as usize {
            self.note(format!("a frame of {} bytes sent", frame.len()));
        }
        if frame.len() > self.plain(map::TBUF_READY) as usize * 16 - 2 {
            self.note(format!(
                "a frame of {} bytes that the transmit buffer never gets ready",
                frame.len()
            ));
        }
        frame.resize(frame.len().max(60), 0);
        if self.plain(map::COMMAND) & 1 == 0 || !self.has_link() {
            self.wire.dropped += 1;
            return;
        }
        self.count(0xec, 1);
        self.count(0xe8, frame.len());
        self.wire.sent.push(frame);
    }

    /// The MAC works with the PHY: both know of the link.
    fn has_link(&self) -> bool {
        let wires = self.plain(map::RGMII) & (1 << 4 | 1 << 5 | 1 << 6) == 1 << 4 | 1 << 6;
        wires && self.plain(map::PORT) == 3 && self.phy.partner.is_some()
    }

    fn is_for_us(&self, frame: &[u8]) -> bool {
        if self.plain(map::COMMAND) & 1 << 4 != 0 {
            return true;
        }
        let enabled = self.plain(map::FILTER);
        (0..17)
            .filter(|place| enabled & 1 << (16 - place) != 0)
            .any(|place| {
                let at = map::FILTER_ADDRESSES + 8 * place;
                let [_, _, a, b] = self.plain(at).to_be_bytes();
                let [c, d, e, f] = self.plain(at + 4).to_be_bytes();
                frame[..6] == [a, b, c, d, e, f]
            })
    }

    /// A frame comes off the wire.
    fn take(&mut self, frame: &[u8]) {
        let on = self.plain(map::COMMAND) & 2 != 0 || self.receive.zombie;
        if !on || !(self.has_link() || self.receive.zombie) || !self.is_for_us(frame) {
            self.wire.dropped += 1;
            return;
        }
        if !self.receive.runs() {
            self.plain[map::OVERFLOWS / 4] += 1;
            return;
        }
        self.count(0x64, 1);
        self.count(0x2c, frame.len() + 4);
        let mut flags = 0x1f80 | SOP | EOP;
        let mut verdict = 3u32 << 18;
        if self.plain(map::RBUF_CHECK) & (1 | 1 << 5) == 1 {
            match checksum_is_right(frame) {
                Some(true) => (flags, verdict) = (flags | 1 << 15, 1 << 16),
                Some(false) => verdict = 0,
                None => {}
            }
        }
        if frame.len() + 4 > self.plain(map::MAX_FRAME) as usize {
            flags |= 1 << 4;
        }
        let ready = self.plain(map::RBUF_READY) as usize * 16 - 2;
        let mut told = frame.len();
        if told > ready {
            // What is moved before it is complete has a status that does not know its end.
            (told, flags) = (ready + 2, flags & !EOP);
        }
        let mut stream = vec![0; BLOCK];
        let pad = self.plain(map::RBUF) & 2 != 0;
        stream.extend(pad.then_some([0; 2]).into_iter().flatten());
        let head = stream.len();
        stream.extend(frame);
        let buffer = self.receive.buffer();
        if stream.len() > buffer {
            flags &= !EOP;
            told = told.min(buffer - head);
        }
        let mut status = ((told + head) as u32) << 16 | flags;
        let fault = self.next_frame.take();
        match fault {
            Some(Fault::Length(length)) => status = status & 0xffff | u32::from(length) << 16,
            Some(Fault::Status(bits)) => status |= bits,
            Some(Fault::OnlyStatus(bits)) => status = status & !0xffff | bits,
            _ => {}
        }
        stream[..4].copy_from_slice(&status.to_le_bytes());
        stream[8..12].copy_from_slice(&verdict.to_le_bytes());
        let mut rest = &stream[..];
        let mut begins = true;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(buffer));
            if self.receive.owned() == 0 && !self.receive.zombie {
                self.receive.discards = self.receive.discards.saturating_add(1);
                return;
            }
            let index = self.receive.index;
            let (_, address) = self.receive.descriptor(index);
            let silent = begins && fault == Some(Fault::NoStatus);
            let skip = if silent { BLOCK } else { 0 };
            self.bus.write(address + skip as u64, &now[skip..]);
            // The descriptor knows, once all of the frame is there, what it has of it.
            let mut known = (now.len() as u32) << 16 | status & 0xffff & !(SOP | EOP);
            known |= if begins { SOP } else { 0 } | if later.is_empty() { EOP } else { 0 };
            self.receive.set_status(index, known);
            self.receive.advance();
            self.interrupts[0].0 |= 7 << 13;
            (rest, begins) = (later, false);
        }
    }
}
