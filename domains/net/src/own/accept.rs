//! What one of our stations takes of what came for it.

use outrigger_devices::NetDevice;
use outrigger_ring::SharedPages;
use outrigger_router::Role;
use outrigger_router::mailbox::{Put, WIRE};
use outrigger_router::nat::headers::Headers;
use outrigger_xen::Instant;

use crate::batch::Origin;
use crate::counters::Drop;
use crate::service::State;
use crate::switch::MAX_VIFS;

impl<P: SharedPages + Clone, D: NetDevice, M: SharedPages> State<P, D, M> {
    /// A frame, which is in our pages as a whole, is for one of our stations, or waits there for its next hop.
    ///
    /// # Errors
    /// What it is dropped for, if it is for nobody else.
    pub(crate) fn accept_own(&mut self, at: usize, port: usize, now: Instant) -> Result<(), Drop> {
        let (_, packet) = self.head(at).ok_or(Drop::Malformed)?;
        let accepted = self.hand_over(at, port, now);
        // Of a frame to all the others have got theirs.
        accepted.or_else(|why| {
            if packet.destination.is_multicast() {
                Ok(())
            } else {
                Err(why)
            }
        })
    }

    fn hand_over(&mut self, at: usize, port: usize, now: Instant) -> Result<(), Drop> {
        if self.batch.incoming[at].gso.is_some() {
            return Err(Drop::NoDestination);
        }
        self.fill_in(at);
        let (head, packet) = self.head(at).ok_or(Drop::Malformed)?;
        let incoming = self.batch.incoming[at];
        // Whose doing it is, and whether it speaks for the network.
        let (guest, from_network, mark) = match incoming.origin {
            Origin::Guest { vif, .. } => (self.guests.of(vif) as u8, self.switch.is_trusted(vif), vif as u32),
            _ => (WIRE, true, u32::from(u8::MAX)),
        };
        let Self { own, pool, vifs, .. } = self;
        let station = own.stations.get_mut(port - MAX_VIFS).ok_or(Drop::NoDestination)?;
        let copy = |bytes: &mut [u8]| {
            let most = bytes.len();
            pool.read_head(incoming.frame, bytes, most);
        };
        // What waits for its next hop is from us, to us, until that is known; a guest sends no such frame, and a wire's is
        // none of ours.
        if guest != WIRE && packet.source.0 == station.mac.0 {
            let to =
                Headers::look(head.bytes(), packet.payload, incoming.len).map(|headers| headers.destination);
            let hop = to.and_then(|to| station.next_hop(to)).ok_or(Drop::NoRoute)?;
            let Role::Outside(outside) = &mut station.role else {
                return Err(Drop::NoRoute);
            };
            let waits = outside.neighbours.wait(hop, guest, now, incoming.len, copy);
            return if waits == Put::Refused {
                Err(Drop::NoRoute)
            } else {
                Ok(())
            };
        }
        if !station.wants(head.bytes(), incoming.len, from_network) {
            return Err(Drop::NoDestination);
        }
        own.due = true;
        if packet.is_arp() {
            station.hear(head.bytes(), from_network, now);
        }
        match station.mailbox.received.put(incoming.len, (guest, mark), copy) {
            Put::Added => Ok(()),
            Put::Instead(other) => {
                // Counted as sent, too, for that was a while ago.
                if let Some(Some(vif)) = vifs.get_mut(other as usize) {
                    vif.counters.drop_tx(Drop::NoBuffer);
                }
                Ok(())
            }
            Put::Refused => Err(Drop::NoBuffer),
        }
    }
}
