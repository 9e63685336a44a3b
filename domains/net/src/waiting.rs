//! Frames for a guest that had not posted enough pages, or has not yet looked at what it got: a few wait for it, in pages of
//! ours. A burst is longer than a ring, and a sender that loses every frame behind that sends them all again.
//!
//! What waits is bounded for each guest, in frames, pages and time, and only what is to spare is used: a guest that never
//! posts loses its frames a moment later, and nobody else notices.

use core::time::Duration;

use outrigger_devices::NetDevice;
use outrigger_ring::SharedPages;
use outrigger_xen::{Hypervisor, Instant};

use crate::batch::Source;
use crate::counters::Drop;
use crate::packet::{HEAD_BYTES, Packet};
use crate::queue::{Notes, Queue, told};
use crate::service::State;
use crate::vif::{Fault, WAITING_MAX, Waiting};

/// How long frames wait for a guest that takes none. Where processors are shared a guest may not run for half a second and more; what is
/// lost then is the end of a window, which a sender notices late.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long they wait for a guest that has pages, and has posted no others since its last burst. One that posts seldom still gets
/// 36,000 a second.
const HOLD: Duration = Duration::from_millis(1);

/// The part of all pages that frames for one guest may wait in.
const SHARE: usize = 4;

impl<P: SharedPages + Clone, D: NetDevice, M: SharedPages> State<P, D, M> {
    /// Whether a frame of `pages` pages may wait for a guest.
    pub(crate) fn may_wait(&self, to: usize, pages: usize) -> bool {
        let size = self.pool.size();
        self.vifs[to].as_ref().is_some_and(|vif| {
            vif.waiting.len() < WAITING_MAX
                && vif.waiting_pages + pages <= size / SHARE
                && self.pool.free() >= pages + size / SHARE
        })
    }

    /// Frames that found no pages wait from now on. They are in our pages as a whole.
    #[cold]
    pub(crate) fn begin_waiting(&mut self, now: Instant) {
        for index in 0..self.batch.waiting.len() {
            let (at, to) = self.batch.waiting[index];
            let incoming = self.batch.incoming[usize::from(at)];
            let to = usize::from(to);
            let pages = self.pool.frame(incoming.frame).pieces().len();
            let may = incoming.dropped.is_none() && incoming.stored == incoming.len;
            let may = may && self.may_wait(to, pages);
            let Some(vif) = &mut self.vifs[to] else { continue };
            if !may {
                vif.counters.drop_rx(incoming.dropped.unwrap_or(Drop::NoBuffer));
                continue;
            }
            if vif.waiting.is_empty() {
                vif.waiting_since = now;
            }
            vif.waiting_pages += pages;
            vif.waiting.push_back(Waiting {
                frame: incoming.frame,
                len: incoming.len,
                checksum: incoming.checksum,
                gso: incoming.gso,
            });
            self.pool.frame_mut(incoming.frame).in_flight += 1;
        }
        self.unasked = true;
    }

    /// Gives guests what waits for them, as far as they have posted pages, and gives up what waited too long.
    #[cold]
    pub(crate) fn serve_waiting<H: Hypervisor<Pages = P>>(&mut self, hv: &H, now: Instant) {
        (self.patience, self.unasked) = (None, false);
        for to in self.awaited.take().iter() {
            if let Some(vif) = &mut self.vifs[to]
                && now >= vif.waiting_since.after(HOLD)
            {
                vif.queues.iter_mut().for_each(Queue::begin_burst);
            }
            loop {
                match self.serve_first(hv, to, now) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(fault) => {
                        if let Some(vif) = &mut self.vifs[to] {
                            vif.break_off(fault);
                        }
                        self.forget_waiting(to, Drop::NoBuffer);
                        self.poke = true;
                        break;
                    }
                }
            }
            let Some(vif) = &mut self.vifs[to] else { continue };
            if vif.waiting.is_empty() {
                continue;
            }
            let ahead = vif.queues.iter_mut().any(Queue::is_ahead);
            let until = vif.waiting_since.after(if ahead { HOLD } else { PATIENCE });
            if now >= until {
                self.forget_waiting(to, Drop::NoBuffer);
            } else {
                self.awaited.insert(to);
                self.patience = Some(self.patience.map_or(until, |other| other.min(until)));
            }
        }
    }

    /// Gives a guest the first frame that waits for it. False if there is none, or it has too few pages still.
    fn serve_first<H: Hypervisor<Pages = P>>(
        &mut self,
        hv: &H,
        to: usize,
        now: Instant,
    ) -> Result<bool, Fault> {
        let Some(vif) = self.vifs[to].as_mut().filter(|vif| vif.is_served()) else {
            return Ok(false);
        };
        let Some(&Waiting {
            frame,
            len,
            checksum,
            gso,
        }) = vif.waiting.front()
        else {
            return Ok(false);
        };
        let mut head = [0; HEAD_BYTES];
        let head_len = self.pool.read_head(frame, &mut head, len);
        let Some(packet) = Packet::peek(&head[..head_len]) else {
            return Ok(false);
        };
        let (queue, hash) = vif.spread(&packet, &head[..head_len]);
        let Some(ring) = vif.queues.get_mut(queue) else {
            return Ok(false);
        };
        if self.batch.deliveries.len() == self.batch.deliveries.capacity() {
            // It goes on in the next turn.
            self.unasked = true;
            return Ok(false);
        }
        self.batch.sources.clear();
        for piece in self.pool.frame(frame).range(0, len) {
            self.batch.sources.push(Source {
                side: self.pool.side(piece.page),
                offset: piece.offset,
                len: piece.len,
            });
        }
        let notes = Notes {
            len,
            checksum: told(checksum),
            extras: crate::vif::Vif::<P>::extras(gso, hash),
        };
        let headroom = vif.takes.headroom;
        loop {
            let may = packet.is_windowed() || !ring.is_ahead();
            if may && ring.deliver(hv, &mut self.batch, headroom, &notes, (to, queue))? {
                break;
            }
            if !ring.await_pages()? {
                return Ok(false);
            }
        }
        vif.waiting.pop_front();
        vif.waiting_pages -= self.pool.frame(frame).pieces().len();
        vif.waiting_since = now;
        self.touched.insert(vif.first_queue + queue);
        // Its pages are copied from by the end of the turn.
        self.batch.served.push(frame);
        Ok(true)
    }

    /// What waits for a guest is lost.
    pub(crate) fn forget_waiting(&mut self, to: usize, why: Drop) {
        let Some(vif) = &mut self.vifs[to] else { return };
        for waiting in vif.waiting.drain(..) {
            vif.counters.drop_rx(why);
            self.pool.release(waiting.frame);
        }
        vif.waiting_pages = 0;
        self.awaited.remove(to);
    }
}
