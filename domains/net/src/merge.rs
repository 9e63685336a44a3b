//! TCP segments from a wire that follow each other go to their guest as one frame: its network stack, its ring and Xen's
//! copies are asked once for many. The inverse of cutting, done for guests that take such frames, where the card does not.

use outrigger_devices::{GsoKind, NetDevice, RxChecksum};
use outrigger_ring::SharedPages;
use outrigger_xen::PAGE_SIZE;

use crate::batch::Origin;
use crate::checksum::Sum;
use crate::flow::{Flow, Place, Segment, WORDS};
use crate::service::State;

/// Streams that are merged at once.
const FLOWS: usize = 16;

/// Streams of this turn, and which frames they begin with.
struct Flows {
    open: [Option<(usize, Flow)>; FLOWS],
    /// Which gives way to the next.
    oldest: usize,
    /// The first words of the frame that is looked at.
    words: [u32; WORDS],
}

impl<P: SharedPages + Clone, D: NetDevice, M: SharedPages> State<P, D, M> {
    /// Merges what came from the wires in this turn.
    #[inline]
    pub(crate) fn merge(&mut self) {
        let frames = self.batch.incoming.len();
        if frames < 2 {
            return;
        }
        let mut flows = Flows {
            open: [const { None }; FLOWS],
            oldest: 0,
            words: [0; WORDS],
        };
        let mut kept = 0;
        for at in 0..frames {
            if self.merge_one(at, kept, &mut flows) {
                continue;
            }
            if kept < at {
                self.batch.incoming[kept] = self.batch.incoming[at];
            }
            kept += 1;
        }
        for (at, flow) in flows.open.iter_mut().flatten() {
            self.finish(*at, flow);
        }
        self.batch.incoming.truncate(kept);
    }

    /// Looks at frame `at`, which becomes frame `kept` unless it is part of another now: then true.
    #[inline]
    fn merge_one(&mut self, at: usize, kept: usize, flows: &mut Flows) -> bool {
        let Flows { open, oldest, words } = flows;
        let Some((nic, segment)) = self.segment(at, words) else {
            return false;
        };
        let found = open.iter_mut().find_map(|open| {
            let (first, flow) = open.as_mut()?;
            match flow.place(&segment) {
                Place::Elsewhere => None,
                // The same addresses by two cards are not the same stream.
                _ if self.batch.incoming[*first].origin != (Origin::Wire { nic }) => None,
                place => Some((place, first, flow)),
            }
        });
        // Whether its guest takes such frames is known of the first.
        if !(found.is_some() || self.may_merge(nic, &segment)) || !self.is_right(at, &segment) {
            return false;
        }
        let Some((place, first, flow)) = found else {
            *oldest = (*oldest + 1) % FLOWS;
            if let Some((first, flow)) = &mut open[*oldest] {
                self.finish(*first, flow);
            }
            open[*oldest] = Some((kept, Flow::new(segment)));
            return false;
        };
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
