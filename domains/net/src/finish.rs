//! The end of a turn: every debt is settled, every response written, and nobody is forgotten before the domain sleeps.

use outrigger_devices::NetDevice;
use outrigger_ring::SharedPages;
use outrigger_xen::Hypervisor;
use outrigger_xenbus::TurnOutcome;
use xen_unikernel_abi::io::netif::{NETIF_RSP_DROPPED, NETIF_RSP_ERROR, NETIF_RSP_OKAY};

use crate::batch::Origin;
use crate::counters::Drop;
use crate::nic::Nic;
use crate::pool::MAX_PIECES;
use crate::sense::WIRE_RESERVE;
use crate::service::State;

impl<P: SharedPages + Clone, D: NetDevice, M: SharedPages> State<P, D, M> {
    /// Settles all debts, writes all responses, lets go of all frames that no card holds.
    #[inline]
    pub(crate) fn respond<H: Hypervisor<Pages = P>>(&mut self, hv: &H) {
        let Self {
            batch,
            vifs,
            pool,
            nics,
            ..
        } = self;
        for delivery in &batch.deliveries {
            let Some(vif) = &mut vifs[delivery.vif] else {
                continue;
            };
            if delivery.failed {
                vif.counters.drop_rx(Drop::Grant);
                if let Some(queue) = vif.queues.get_mut(delivery.queue) {
                    queue.fail(delivery);
                }
            } else {
                vif.counters.rx_frames += 1;
                vif.counters.rx_bytes += delivery.bytes as u64;
            }
        }
        for incoming in &batch.incoming {
            match (incoming.origin, incoming.dropped) {
                (Origin::Guest { vif, queue, slots }, dropped) => {
                    if let Some(vif) = &mut vifs[vif] {
                        let status = match dropped {
                            None => NETIF_RSP_OKAY,
                            Some(Drop::Grant) => NETIF_RSP_ERROR,
                            Some(_) => NETIF_RSP_DROPPED,
                        };
                        match dropped {
                            None => {
                                vif.counters.tx_frames += 1;
                                vif.counters.tx_bytes += incoming.len as u64;
                            }
                            Some(why) => {
                                vif.counters.drop_tx(why);
                                if why == Drop::DhcpServer {
                                    vif.tell_of_dhcp();
                                }
                            }
                        }
                        if let Some(queue) = vif.queues.get_mut(queue) {
                            queue.debts.settle(slots, status);
                        }
                    }
                }
                (Origin::Wire { nic }, Some(why)) => nics[nic].counters.drop_rx(why),
                (Origin::Wire { .. }, None) | (Origin::Own { .. }, _) => {}
            }
            if pool.frame(incoming.frame).in_flight == 0 {
                pool.end(incoming.frame);
            }
        }
        for frame in &batch.served {
            pool.release(*frame);
        }
        batch.clear();
        pool.end_promises();
        for number in self.touched.take().iter() {
            if let Some((vif, queue)) = self.places[number]
                && let Some(vif) = &mut vifs[usize::from(vif)]
                && !vif.broken
                && let Some(queue) = vif.queues.get_mut(usize::from(queue))
            {
                queue.respond(hv, &mut vif.counters);
            }
        }
        for nic in nics {
            if nic.recovery.is_serving() {
                nic.refill(pool);
                nic.commit();
            }
        }
    }

    /// Those who waited for a page or for a card are looked at again, as far as there is what they waited for.
    #[cold]
    fn feed(&mut self) {
        let free = self.pool.free();
        let to_wire = MAX_PIECES.max(self.pool.size() / WIRE_RESERVE);
        for number in self.starved.take().iter() {
            let vif = self.places[number].and_then(|(vif, _)| self.vifs[usize::from(vif)].as_ref());
            let Some(vif) = vif else { continue };
            let nic = vif.to_wire.map(|nic| self.nics.get(usize::from(nic)));
            let fed = match nic {
                None => free >= MAX_PIECES,
                Some(nic) => free >= to_wire && !nic.is_some_and(Nic::is_congested),
            };
            let set = if fed { &mut self.active } else { &mut self.starved };
            set.insert(number);
        }
    }

    /// Before the domain may sleep: whoever could have something for us by now is looked at once more, and asked to tell
    /// us next time.
    #[inline]
    pub(crate) fn settle(&mut self) -> TurnOutcome {
        if !self.starved.is_empty() {
            self.feed();
        }
        // While there is other work, those who were drained are only looked at: a notification would cost both ends, but
        // nobody waits until whoever is busy has finished.
        let busy = !self.active.is_empty();
        for number in self.unchecked.take().iter() {
            let Some((vif, queue)) = self.places[number] else {
                continue;
            };
            let served = self.vifs[usize::from(vif)].as_mut();
            let Some(vif) = served.filter(|vif| vif.is_served()) else {
                continue;
            };
            let Some(queue) = vif.queues.get_mut(usize::from(queue)) else {
                continue;
            };
            let more = if busy {
                queue.has_more()
            } else {
                queue.final_check()
            };
            match more {
                Ok(true) => self.active.insert(number),
                Ok(false) if busy => self.unchecked.insert(number),
                Ok(false) => {}
                Err(overflow) => {
                    vif.break_off(overflow.into());
                    self.poke = true;
                }
            }
        }
        let (own_work, own_deadline) = self.own.next();
        let mut more_work =
            own_work || self.unasked || !self.active.is_empty() || self.received || !self.controls.is_empty();
        if !more_work {
            let sent = !self.starved.is_empty();
            for nic in &mut self.nics {
                more_work |= nic.arm(sent);
            }
        }
        TurnOutcome {
            more_work,
            deadline: self
                .limited_until
                .into_iter()
                .chain(self.patience)
                .chain(self.nics.iter().filter_map(Nic::next))
                .chain(own_deadline)
                .min(),
            other_events: false,
            answered: false,
            poke: core::mem::take(&mut self.poke),
            found: false,
            expects: !self.awaited.is_empty()
                || !self.starved.is_empty()
                || self.nics.iter().any(Nic::is_sending),
        }
    }
}
