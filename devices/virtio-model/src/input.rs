//! The input device behind the transport (§5.8).

use std::collections::VecDeque;

use crate::device::{Device, Field, TransportOffer, scatter};
use crate::offer::NEVER;
use crate::queue::Chain;
use crate::{Bus, Fault, Identity, Offer, Order, VirtioModel};

/// Where the queue of events is.
const EVENTS: usize = 0;

/// `struct virtio_input_config`: what is asked for, and up to 128 bytes of answer.
const FIELDS: [Field; 131] = {
    let mut fields = [(0, 1, None); 131];
    let mut at = 0;
    while at < 131 {
        // `select`, `subsel`, `size`, and behind five reserved bytes the answer.
        fields[at] = (if at < 3 { at } else { at + 5 }, 1, None);
        at += 1;
    }
    fields
};

/// What the device offers.
#[derive(Clone, Debug)]
pub struct InputOffer {
    /// What the transport says it is.
    pub identity: Identity,
    /// `VIRTIO_F_EVENT_IDX`.
    pub event_idx: bool,
    /// `QueueNumMax`.
    pub queue_size: u16,
    /// `VIRTIO_INPUT_CFG_EV_BITS`: the codes of each event type.
    pub codes: Vec<(u8, Vec<u16>)>,
    /// `VIRTIO_INPUT_CFG_ABS_INFO`: least and greatest value of each axis.
    pub axes: Vec<(u8, i32, i32)>,
}

impl InputOffer {
    fn of(codes: Vec<(u8, Vec<u16>)>, axes: Vec<(u8, i32, i32)>) -> Self {
        Self {
            identity: Identity {
                device_id: 18,
                ..Offer::default().identity
            },
            event_idx: true,
            queue_size: 64,
            codes,
            axes,
        }
    }

    /// As QEMU 10's virtio-keyboard-device.
    pub fn keyboard() -> Self {
        Self::of(
            vec![(1, (1..128).collect()), (17, vec![0, 1, 2]), (20, vec![0])],
            vec![],
        )
    }

    /// As QEMU 10's virtio-mouse-device.
    pub fn mouse() -> Self {
        Self::of(vec![(1, (0x110..0x115).collect()), (2, vec![0, 1, 8])], vec![])
    }

    /// As QEMU 10's virtio-tablet-device.
    pub fn tablet() -> Self {
        let codes = vec![(1, (0x110..0x115).collect()), (2, vec![8]), (3, vec![0, 1])];
        Self::of(codes, vec![(0, 0, 0x7fff), (1, 0, 0x7fff)])
    }

    /// As QEMU 10's virtio-multitouch-device.
    pub fn multi_touch() -> Self {
        let codes = vec![(1, vec![0x110, 0x14a]), (3, vec![0x2f, 0x35, 0x36, 0x39])];
        let axes = vec![(0x2f, 0, 9), (0x35, 0, 0x7fff), (0x36, 0, 0x7fff), (0x39, 0, 9)];
        Self::of(codes, axes)
    }

    /// The answer to a question.
    fn answer(&self, select: u8, subsel: u8) -> Vec<u8> {
        match select {
            0x11 => {
                let codes = self.codes.iter().find(|(kind, _)| *kind == subsel);
                let mut bits = Vec::new();
                for code in codes.iter().flat_map(|(_, codes)| codes) {
                    let at = usize::from(code / 8);
                    bits.resize(bits.len().max(at + 1), 0);
                    bits[at] |= 1 << (code % 8);
                }
                bits
            }
            0x12 => {
                let axis = self.axes.iter().find(|(code, ..)| *code == subsel);
                let info = axis.map(|(_, min, max)| [*min, *max, 0, 0, 0]);
                info.iter()
                    .flatten()
                    .flat_map(|word| word.to_le_bytes())
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

/// An input device.
pub struct Input {
    offer: InputOffer,
    asked: [u8; 2],
    /// What its user did: groups of events that end with `EV_SYN`.
    done: VecDeque<Vec<(u16, u16, i32)>>,
    dropped: usize,
}

impl VirtioModel<Input> {
    /// An input device after power-on.
    pub fn input(offer: InputOffer, bus: &Bus) -> Self {
        let transport = TransportOffer {
            identity: offer.identity,
            access_platform: false,
            queue_size: offer.queue_size,
            reset_reads: 0,
            refuses_features: false,
            order: Order::InOrder,
        };
        let input = Input {
            offer,
            asked: [0; 2],
            done: VecDeque::new(),
            dropped: 0,
        };
        Self::with(transport, input, bus)
    }

    /// Its user does something: events (type, code, value), to which the device adds `SYN_REPORT`.
    pub fn act(&self, events: &[(u16, u16, i32)]) {
        let mut model = self.0.borrow_mut();
        let group = events.iter().copied().chain([(0, 0, 0)]).collect();
        model.device.done.push_back(group);
        if !model.held {
            model.run();
        }
    }

    /// Groups of events that there was no memory for, and that the driver will never see.
    pub fn dropped(&self) -> usize {
        self.0.borrow().device.dropped
    }
}

impl Device for Input {
    fn features(&self) -> u64 {
        u64::from(self.offer.event_idx) << 29 | 1 << 28 | 1 << 32 | NEVER
    }

    fn refuses(&self, _taken: u64) -> Option<String> {
        None
    }

    fn config(&self) -> Vec<u8> {
        let [select, subsel] = self.asked;
        let answer = self.offer.answer(select, subsel);
        let mut bytes = vec![select, subsel, answer.len() as u8, 0, 0, 0, 0, 0];
        bytes.extend(answer);
        bytes.resize(136, 0);
        bytes
    }

    fn fields(&self) -> &'static [Field] {
        &FIELDS
    }

    fn config_was_read(&mut self, _at: usize) -> bool {
        false
    }

    fn config_was_written(&mut self, at: usize, value: u8) -> bool {
        let field = self.asked.get_mut(at);
        field.map(|field| *field = value).is_some()
    }

    fn queues(&self) -> usize {
        2
    }

    fn reset(&mut self) {
        self.asked = [0; 2];
        self.done.clear();
    }

    fn wants(&mut self, queue: usize, _features: u64, taken: &[Chain]) -> usize {
        if queue != EVENTS {
            return taken.len().min(1);
        }
        while let Some(group) = self.done.front() {
            if group.len() <= taken.len() {
                return group.len();
            }
            // As QEMU does: all of a group or nothing.
            self.done.pop_front();
            self.dropped += 1;
        }
        0
    }

    fn perform(
        &mut self,
        bus: &Bus,
        queue: usize,
        _features: u64,
        chains: &[Chain],
        _fault: Option<Fault>,
    ) -> Result<Vec<u32>, String> {
        if queue != EVENTS {
            return Err("a status that this device has no lamp for".into());
        }
        let group = self.done.pop_front().ok_or("no events")?;
        for ((kind, code, value), chain) in group.into_iter().zip(chains) {
            let room: u32 = chain.pieces.iter().map(|piece| piece.len).sum();
            if chain.pieces.iter().any(|piece| !piece.write) || room != 8 {
                return Err(format!("an event buffer of {:?}", chain.pieces));
            }
            let mut event = Vec::from(kind.to_le_bytes());
            event.extend(code.to_le_bytes());
            event.extend(value.to_le_bytes());
            scatter(bus, &chain.pieces, &event);
        }
        Ok(vec![8; chains.len()])
    }
}
