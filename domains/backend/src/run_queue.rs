//! Whose turn it is: which channel an event is for, which channels are to be looked at, and in which order.

use alloc::boxed::Box;

use outrigger_xen::{EventChannels, Port, Wake};

use crate::NumberSet;

/// Event channel ports are below this (2-level event channels, 64-bit).
const PORTS: usize = 4096;

/// A port that is nobody's.
const NOBODY: u16 = u16::MAX;

/// Channels by number, below 64 × `WORDS`: the ports that lead to them, and which of them are to be looked at.
#[derive(Debug)]
pub struct RunQueue<const WORDS: usize = 1> {
    /// The channel of each port.
    ports: Box<[u16]>,
    /// To be looked at in this turn or the next.
    pub active: NumberSet<WORDS>,
    /// Drained, and their frontends were not yet asked to notify of more.
    unchecked: NumberSet<WORDS>,
    /// Which one is looked at first, so that each is at times.
    first: usize,
}

impl<const WORDS: usize> Default for RunQueue<WORDS> {
    fn default() -> Self {
        Self {
            ports: alloc::vec![NOBODY; PORTS].into_boxed_slice(),
            active: NumberSet::default(),
            unchecked: NumberSet::default(),
            first: 0,
        }
    }
}

impl<const WORDS: usize> RunQueue<WORDS> {
    /// Leads a port to a channel, which is to be looked at from now on. False if there is no such port, or it is another
    /// channel's.
    pub fn lead(&mut self, port: Port, channel: usize) -> bool {
        match self.ports.get_mut(port.0 as usize) {
            Some(place) if *place == NOBODY && channel < NumberSet::<WORDS>::CAPACITY => {
                *place = channel as u16;
                self.active.insert(channel);
                true
            }
            _ => false,
        }
    }

    /// A channel is gone, and so is its port.
    pub fn forget(&mut self, port: Port, channel: usize) {
        if let Some(place) = self.ports.get_mut(port.0 as usize) {
            *place = NOBODY;
        }
        self.active.remove(channel);
        self.unchecked.remove(channel);
    }

    /// Takes the events that came: their channels are to be looked at. True if there were events for ports of others.
    #[inline]
    pub fn take_events(&mut self, hv: &impl EventChannels, wake: Wake) -> bool {
        let mut others = false;
        if wake.events {
            let Self { ports, active, .. } = self;
            hv.take_pending(&mut |port| match ports.get(port.0 as usize) {
                Some(channel) if *channel != NOBODY => active.insert(usize::from(*channel)),
                _ => others = true,
            });
        }
        others
    }

    /// The channels to look at now, each once; the first one is last the next time.
    #[inline]
    pub fn begin(&mut self) -> impl Iterator<Item = usize> + use<WORDS> {
        let mut order = self.active.take().iter_from(self.first).peekable();
        if let Some(first) = order.peek() {
            self.first = (first + 1) % NumberSet::<WORDS>::CAPACITY;
        }
        order
    }

    /// There is nothing more in a channel: it is looked at once more before the domain sleeps.
    #[inline]
    pub fn drained(&mut self, channel: usize) {
        self.unchecked.insert(channel);
    }

    /// Before the domain may sleep: `look` looks once more at each drained channel; it asks the frontend to notify of more if its
    /// second argument says so, and says whether there is more already. True if some channel is to be looked at again.
    ///
    /// While some channel keeps the domain busy a look at the others is enough, but a look there must be: their frontends do
    /// not notify of what they add before they were asked to.
    #[inline]
    pub fn settle(&mut self, mut look: impl FnMut(usize, bool) -> bool) -> bool {
        let sleeps = self.active.is_empty();
        for channel in self.unchecked.take().iter() {
            if look(channel, sleeps) {
                self.active.insert(channel);
            } else if !sleeps {
                self.unchecked.insert(channel);
            }
        }
        !self.active.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_is_last_the_next_time() {
        let mut queue = RunQueue::<1>::default();
        let mut orders = [const { Vec::new() }; 3];
        for order in &mut orders {
            [3, 9, 60]
                .iter()
                .for_each(|channel| queue.active.insert(*channel));
            order.extend(queue.begin());
        }
        assert_eq!(orders, [[3, 9, 60], [9, 60, 3], [60, 3, 9]]);
    }

    #[test]
    fn a_port_leads_to_one_channel() {
        let mut queue = RunQueue::<1>::default();
        assert!(queue.lead(Port(5), 1) && queue.active.contains(1));
        assert!(!queue.lead(Port(5), 2), "it is another's");
        assert!(!queue.lead(Port(4096), 2) && !queue.lead(Port(6), 64));
        queue.forget(Port(5), 1);
        assert!(queue.active.is_empty());
        assert!(queue.lead(Port(5), 2));
    }

    #[test]
    fn a_drained_channel_is_asked_only_before_the_sleep() {
        let mut queue = RunQueue::<1>::default();
        queue.drained(7);
        queue.active.insert(1);
        assert!(queue.settle(|channel, asks| {
            assert_eq!((channel, asks), (7, false));
            false
        }));
        let _ = queue.begin();
        let mut looks = 0;
        assert!(queue.settle(|_, asks| {
            looks += 1;
            asks
        }));
        assert_eq!((looks, queue.begin().collect::<Vec<_>>()), (1, vec![7]));
        assert!(!queue.settle(|_, _| unreachable!("it is active no more, and was not drained again")));
    }
}
