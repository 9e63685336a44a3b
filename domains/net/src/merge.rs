//! TCP segments from a wire that follow each other go to their guest as one frame: its network stack, its ring and Xen's
//! copies are asked once for many. The inverse of cutting, done for guests that take such frames, where the card does not.

use outrigger_devices::{GsoKind, NetDevice, RxChecksum};
use outrigger_ring::SharedPages;
use outrigger_xen::PAGE_SIZE;

use crate::batch::Origin;
use crate::checksum::Sum;
use crate::flow::{Flow, Place, Segment, WORDS};
use crate::service::State;

/// Streams that are merged in a turn. What others bring goes on as it came.
const FLOWS: usize = 64;
/// Places of the index: twice as many, so that one or two looks find a stream, or that it is new.
const PLACES: usize = 2 * FLOWS;
/// Looks before a stream is not merged.
const LOOKS: usize = 4;
/// No stream has this place.
const NOBODY: u8 = u8::MAX;

/// Streams of this turn, and which frames they begin with.
struct Flows {
    open: heapless::Vec<(usize, Flow), FLOWS>,
    /// Where in `open` a stream is, from the place on that its ports name.
    index: [u8; PLACES],
}

/// Where a segment's stream is.
enum Found {
    /// In this place of `open`; and what the segment is to it.
    Open(usize, Place),
    /// Nowhere yet: this place of the index is free.
    New(usize),
    /// There is no room for it.
    Unknown,
}

impl Flows {
    fn new() -> Self {
        Self {
            open: heapless::Vec::new(),
            index: [NOBODY; PLACES],
        }
    }

    /// Looks for the stream of a segment that came by a card: the same addresses by two cards are not the same stream.
    #[inline]
    fn find(&self, segment: &Segment<'_>, is_of_card: impl Fn(usize) -> bool) -> Found {
        let first = (segment.hash() >> (u32::BITS - PLACES.ilog2())) as usize;
        for look in 0..LOOKS {
            let at = (first + look) % PLACES;
            let place = self.index[at];
            let Some((first, flow)) = self.open.get(usize::from(place)) else {
                return if self.open.is_full() {
                    Found::Unknown
                } else {
                    Found::New(at)
                };
            };
            match flow.place(segment) {
                Place::Elsewhere => {}
                whose if is_of_card(*first) => return Found::Open(place.into(), whose),
                _ => {}
            }
        }
        Found::Unknown
    }

    /// A new stream begins with frame `first`.
    #[inline]
    fn begin(&mut self, at: usize, first: usize, flow: Flow) {
        let place = self.open.len() as u8;
        if self.open.push((first, flow)).is_ok() {
            self.index[at] = place;
        }
    }
}

impl<P: SharedPages + Clone, D: NetDevice, M: SharedPages> State<P, D, M> {
    /// Merges what came from the wires in this turn.
    #[inline]
    pub(crate) fn merge(&mut self) {
        let frames = self.batch.incoming.len();
        if frames < 2 {
            return;
        }
        let mut flows = Flows::new();
        // The first words of the frame that is looked at.
        let mut words = [0; WORDS];
        let mut kept = 0;
        for at in 0..frames {
            if self.merge_one(at, kept, &mut flows, &mut words) {
                continue;
            }
            if kept < at {
                self.batch.incoming[kept] = self.batch.incoming[at];
            }
            kept += 1;
        }
        for (at, flow) in &mut flows.open {
            self.finish(*at, flow);
        }
        self.batch.incoming.truncate(kept);
    }

    /// Looks at frame `at`, which becomes frame `kept` unless it is part of another now: then true.
    #[inline]
    fn merge_one(&mut self, at: usize, kept: usize, flows: &mut Flows, words: &mut [u32; WORDS]) -> bool {
        let Some((nic, segment)) = self.segment(at, words) else {
            return false;
        };
        let incoming = &self.batch.incoming;
        let found = flows.find(&segment, |first| incoming[first].origin == Origin::Wire { nic });
        // Whether its guest takes such frames is known of the first.
        let may = match found {
            Found::Open(..) => true,
            Found::New(_) => self.may_merge(nic, &segment),
            Found::Unknown => false,
        };
        if !may || !self.is_right(at, &segment) {
            return false;
        }
        match found {
            Found::Open(stream, place) => {
                let (first, flow) = &mut flows.open[stream];
                let (frame, header_len) = (self.batch.incoming[at].frame, segment.header_len());
                if place == Place::Next
                    && self
                        .pool
                        .append(self.batch.incoming[*first].frame, frame, header_len)
                {
                    flow.add(&segment);
                    return true;
                }
                self.finish(*first, flow);
                (*first, *flow) = (kept, Flow::new(segment));
            }
            Found::New(place) => flows.begin(place, kept, Flow::new(segment)),
            Found::Unknown => {}
        }
        false
    }

    /// The frame as a segment that may be merged, if it is one; and from which card.
    #[inline]
    fn segment<'a>(&self, at: usize, words: &'a mut [u32; WORDS]) -> Option<(usize, Segment<'a>)> {
        let incoming = &self.batch.incoming[at];
        let Origin::Wire { nic } = incoming.origin else {
            return None;
        };
        let &[piece] = self.pool.frame(incoming.frame).pieces() else {
            return None;
        };
        if incoming.gso.is_some() || !piece.offset.is_multiple_of(4) {
            return None;
        }
        let memory = &self.pool.buffer(piece.page).memory;
        let start = usize::from(piece.offset);
        // What is behind a short frame is in the page still, and means nothing.
        memory.copy_out(start, &mut words[..WORDS.min((PAGE_SIZE - start) / 4)]);
        Some((nic, Segment::peek(words, incoming.len)?))
    }

    /// Whether the guest that a segment is for takes merged ones.
    #[inline]
    fn may_merge(&self, nic: usize, segment: &Segment<'_>) -> bool {
        let to = self.switch.on_wire(nic, segment.destination());
        let Some(vif) = to.and_then(|to| self.vifs.get(to)?.as_ref()) else {
            return false;
        };
        if segment.is_v4() {
            vif.takes.several(GsoKind::TcpV4) && vif.takes.blank4
        } else {
            vif.takes.several(GsoKind::TcpV6) && vif.takes.blank6
        }
    }

    /// Whether a segment's checksums are right.
    #[inline]
    fn is_right(&mut self, at: usize, segment: &Segment<'_>) -> bool {
        let incoming = &mut self.batch.incoming[at];
        match incoming.checksum {
            RxChecksum::Validated => true,
            RxChecksum::Blank(_) => false,
            RxChecksum::Unknown => {
                let mut sum = Sum::new();
                // It lies in one piece: `segment` has looked.
                for piece in self.pool.frame(incoming.frame).pieces() {
                    let (start, skip) = (usize::from(piece.offset), segment.summed());
                    let memory = &self.pool.buffer(piece.page).memory;
                    sum.memory(memory, start + skip, incoming.len - skip);
                }
                let right = segment.is_right(sum);
                if right {
                    incoming.checksum = RxChecksum::Validated;
                }
                right
            }
        }
    }

    /// A stream ends: its frame gets the headers of all of it.
    fn finish(&mut self, at: usize, flow: &mut Flow) {
        if !flow.is_merged() {
            return;
        }
        let (gso, blank) = flow.offloads();
        let incoming = &mut self.batch.incoming[at];
        (incoming.len, incoming.stored) = (flow.bytes(), flow.bytes());
        (incoming.gso, incoming.checksum) = (Some(gso), RxChecksum::Blank(blank));
        let frame = incoming.frame;
        let (headers, len) = flow.headers();
        self.pool.write(frame, 0, &headers[..len]);
    }
}
