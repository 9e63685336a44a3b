//! TCP segments from a wire that follow each other go to their guest as one frame: its network stack, its ring and Xen's
//! copies are asked once for many. The inverse of cutting, done for guests that take such frames, where the card does not.

use outrigger_devices::{NetDevice, RxChecksum};
use outrigger_ring::SharedPages;
use outrigger_xen::PAGE_SIZE;

use crate::batch::Origin;
use crate::checksum::Sum;
use crate::flow::{Flow, Place, Segment, WORDS};
use crate::service::State;

/// Streams that are merged at once.
const FLOWS: usize = 8;

/// Streams of this turn, and which frames they begin with.
pub(crate) struct Flows {
    open: [Option<(usize, Flow)>; FLOWS],
    /// Which gives way to the next.
    oldest: usize,
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
        };
        let mut kept = 0;
        for at in 0..frames {
            if kept < at {
                self.batch.incoming[kept] = self.batch.incoming[at];
            }
            if !self.merge_one(kept, &mut flows) {
                kept += 1;
            }
        }
        for (at, flow) in flows.open.iter_mut().flatten() {
            self.finish(*at, flow);
        }
        self.batch.incoming.truncate(kept);
    }

    /// Looks at one frame. True if it is part of another now.
    #[inline]
    fn merge_one(&mut self, at: usize, flows: &mut Flows) -> bool {
        let Some(segment) = self.segment(at) else {
            return false;
        };
        let of = |(_, flow): &(usize, Flow)| flow.place(&segment);
        let found = flows
            .open
            .iter()
            .position(|open| open.as_ref().is_some_and(|open| of(open) != Place::Elsewhere));
        let incoming = self.batch.incoming[at];
        if let Some((first, flow)) = found.and_then(|found| flows.open[found].as_mut()) {
            if flow.place(&segment) == Place::Next {
                let frame = self.batch.incoming[*first].frame;
                if self.pool.append(frame, incoming.frame, segment.header_len()) {
                    flow.add(&segment);
                    return true;
                }
            }
            self.finish(*first, flow);
        }
        let place = found.unwrap_or_else(|| {
            flows.oldest = (flows.oldest + 1) % FLOWS;
            flows.oldest
        });
        if let Some((first, flow)) = &mut flows.open[place]
            && found.is_none()
        {
            self.finish(*first, flow);
        }
        flows.open[place] = Some((at, Flow::new(segment)));
        false
    }

    /// The frame as a segment that may be merged, if it is one and its checksum is right.
    #[inline]
    fn segment(&mut self, at: usize) -> Option<Segment> {
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
        let mut head = [0; WORDS];
        // What is behind a short frame is in the page still, and means nothing.
        memory.copy_out(start, &mut head[..WORDS.min((PAGE_SIZE - start) / 4)]);
        let segment = Segment::peek(head, incoming.len)?;
        let to = self.switch.on_wire(nic, segment.destination())?;
        let takes = self.vifs.get(to)?.as_ref()?.takes;
        let takes = if segment.is_v4() {
            takes.gso4 && takes.blank4
        } else {
            takes.gso6 && takes.blank6
        };
        if !takes {
            return None;
        }
        match incoming.checksum {
            RxChecksum::Validated => {}
            RxChecksum::Blank(_) => return None,
            RxChecksum::Unknown => {
                let transport = segment.transport();
                let mut sum = Sum::new();
                sum.memory(memory, start + transport, incoming.len - transport);
                if !segment.is_right(sum) {
                    return None;
                }
                self.batch.incoming[at].checksum = RxChecksum::Validated;
            }
        }
        Some(segment)
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
