//! The backend of a class: devices come and go, and its turns.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use outrigger_ring::SharedPages;
use outrigger_xen::{Hypervisor, Wake};
use outrigger_xenbus::{DeviceClass, DeviceId, Nodes, Refusal, Service, TurnOutcome};

use crate::{Channel, ChannelNodes, Class, Io, Life, NumberSet, Published, RunQueue};

/// The backend of class `C`, which is its [`DeviceClass`] and the [`Service`] of the domain's loop.
pub struct Split<'h, H: Hypervisor, C: Class<WORDS, Pages = H::Pages>, const WORDS: usize = 1> {
    hv: &'h H,
    state: RefCell<State<C, WORDS>>,
}

struct State<C: Class<WORDS>, const WORDS: usize> {
    class: C,
    /// By device number.
    seats: Vec<Option<Seat<C::Pages>>>,
    /// Channel numbers in use.
    channels: NumberSet<WORDS>,
    run: RunQueue<WORDS>,
    /// Devices that were detached, and are not settled.
    closing: NumberSet<WORDS>,
    faults: Vec<(usize, String)>,
    /// Something was left by the control plane for a turn to do.
    work: bool,
    poke: bool,
}

/// A device that XenBus knows.
struct Seat<P> {
    id: DeviceId,
    /// Empty if it is not connected.
    channels: Vec<Channel<P>>,
    /// The number of the first one.
    first: usize,
    fault: Option<String>,
}

impl<'h, H: Hypervisor, C: Class<WORDS, Pages = H::Pages>, const WORDS: usize> Split<'h, H, C, WORDS> {
    /// A backend without guests.
    pub fn new(hv: &'h H, class: C) -> Self {
        Self {
            hv,
            state: RefCell::new(State {
                class,
                seats: (0..NumberSet::<WORDS>::CAPACITY).map(|_| None).collect(),
                channels: NumberSet::default(),
                run: RunQueue::default(),
                closing: NumberSet::default(),
                faults: Vec::new(),
                work: false,
                poke: false,
            }),
        }
    }

    /// Has `act` do something with the class.
    pub fn with_class<T>(&self, act: impl FnOnce(&mut C) -> T) -> T {
        act(&mut self.state.borrow_mut().class)
    }
}

impl<C: Class<WORDS>, const WORDS: usize> State<C, WORDS> {
    fn find(&self, id: DeviceId) -> Option<usize> {
        let is_it = |seat: &Option<Seat<C::Pages>>| seat.as_ref().is_some_and(|seat| seat.id == id);
        self.seats.iter().position(is_it)
    }

    /// Lends the class what it works with, and notes what it leaves.
    #[inline]
    fn lend<H, T>(
        &mut self,
        hv: &H,
        act: impl FnOnce(&mut C, &mut Io<'_, H, WORDS>) -> T,
    ) -> (T, TurnOutcome) {
        let mut io = Io {
            hv,
            run: &mut self.run,
            deadline: None,
            more_work: false,
            answered: false,
            found: false,
            expects: false,
            poke: false,
            faults: &mut self.faults,
        };
        let result = act(&mut self.class, &mut io);
        let outcome = TurnOutcome {
            more_work: io.more_work || !io.run.active.is_empty(),
            deadline: io.deadline,
            other_events: false,
            answered: io.answered,
            poke: io.poke,
            found: io.found,
            expects: io.expects,
        };
        for (number, why) in self.faults.drain(..) {
            if let Some(seat) = &mut self.seats[number] {
                seat.fault.get_or_insert(why);
            }
        }
        (result, outcome)
    }

    /// As [`lend`](Self::lend), for the control plane: what is left is for the next turn.
    fn lend_now<H, T>(&mut self, hv: &H, act: impl FnOnce(&mut C, &mut Io<'_, H, WORDS>) -> T) -> T {
        let (result, outcome) = self.lend(hv, act);
        self.work = true;
        self.poke |= outcome.poke;
        result
    }

    /// Takes a device in, or looks at it anew; its number.
    fn seat(&mut self, id: DeviceId) -> Result<usize, String> {
        if let Some(number) = self.find(id) {
            let connected = self.seats[number]
                .as_ref()
                .is_some_and(|seat| !seat.channels.is_empty());
            return if connected {
                Err("it is still connected".into())
            } else {
                Ok(number)
            };
        }
        let free = self.seats.iter().position(Option::is_none);
        let most = self.seats.len();
        let number = free.ok_or_else(|| format!("this domain serves no more than {most} of them"))?;
        self.seats[number] = Some(Seat {
            id,
            channels: Vec::new(),
            first: 0,
            fault: None,
        });
        Ok(number)
    }

    /// Room for so many channels one after another; the device's own number, if that is free.
    fn free_channels(&self, number: usize, count: usize) -> Option<usize> {
        let last = NumberSet::<WORDS>::CAPACITY.checked_sub(count)?;
        let places = [number]
            .into_iter()
            .chain(0..=last)
            .filter(|first| *first <= last);
        places
            .into_iter()
            .find(|first| (*first..first + count).all(|channel| !self.channels.contains(channel)))
    }

    /// Attaches to all channels of a device, or to none.
    fn attach<H: Hypervisor<Pages = C::Pages>>(
        &mut self,
        hv: &H,
        life: &Life,
        wanted: &[ChannelNodes],
        features: C::Features,
    ) -> Result<Published, String> {
        let number = self.find(life.device).ok_or("it was never probed")?;
        let first = self
            .free_channels(number, wanted.len())
            .ok_or("all channels of this domain are taken; detach another device first")?;
        let mut channels = Vec::with_capacity(wanted.len());
        let attached = (first..).zip(wanted).try_for_each(|(channel, nodes)| {
            channels.push(Channel::attach(hv, life, nodes)?);
            let port = channels.last().map(Channel::port);
            if !port.is_some_and(|port| self.run.lead(port, channel)) {
                return Err(format!("{}: no local port is left", nodes.port_node));
            }
            Ok::<_, String>(())
        });
        let published = attached.and_then(|()| {
            self.lend_now(hv, |class, io| {
                class.attach(io, life, number, (first, &channels), features)
            })
        });
        (first..)
            .zip(&channels)
            .for_each(|(channel, _)| self.channels.insert(channel));
        if let Some(seat) = &mut self.seats[number] {
            (seat.channels, seat.first, seat.fault) = (channels, first, None);
        }
        if published.is_err() {
            self.release(hv, number);
        }
        published
    }

    fn detach<H: Hypervisor<Pages = C::Pages>>(&mut self, hv: &H, id: DeviceId) {
        let Some(number) = self.find(id) else { return };
        let connected = self.seats[number]
            .as_ref()
            .is_some_and(|seat| !seat.channels.is_empty());
        if !connected || self.closing.contains(number) {
            return;
        }
        self.lend_now(hv, |class, io| class.detach(io, number));
        self.closing.insert(number);
        self.release_settled(hv);
    }

    /// Lets go of the detached devices of which nothing is in flight any more.
    #[cold]
    fn release_settled<H: Hypervisor<Pages = C::Pages>>(&mut self, hv: &H) {
        for number in self.closing.iter() {
            if self.class.is_settled(number) {
                self.closing.remove(number);
                if let Some(words) = self.class.statistics(number)
                    && let Some(seat) = &self.seats[number]
                {
                    log::info!("{} {}: disconnected; {words}", C::KIND, seat.id);
                }
                self.release(hv, number);
            }
        }
    }

    /// Gives everything of a device back.
    fn release<H: Hypervisor<Pages = C::Pages>>(&mut self, hv: &H, number: usize) {
        let Some(seat) = &mut self.seats[number] else {
            return;
        };
        for (number, channel) in (seat.first..).zip(seat.channels.drain(..)) {
            self.channels.remove(number);
            self.run.forget(channel.port(), number);
            channel.release(hv);
        }
        let life = Life {
            device: seat.id,
            resumed: false,
        };
        life.end(hv, C::RECORDS);
        self.poke = true;
    }
}

impl<H: Hypervisor, C: Class<WORDS, Pages = H::Pages>, const WORDS: usize> Service
    for Split<'_, H, C, WORDS>
{
    fn turn(&self, wake: Wake) -> TurnOutcome {
        let (hv, state) = (self.hv, &mut *self.state.borrow_mut());
        state.work = false;
        let other_events = state.run.take_events(hv, wake);
        let ((), outcome) = state.lend(hv, |class, io| class.turn(io, wake));
        if !state.closing.is_empty() {
            state.release_settled(hv);
        }
        TurnOutcome {
            other_events,
            poke: outcome.poke | core::mem::take(&mut state.poke),
            ..outcome
        }
    }

    fn look_at_rings(&self) {
        let state = &mut *self.state.borrow_mut();
        state.run.active.extend(state.channels);
    }

    fn has_work(&self) -> bool {
        let state = self.state.borrow();
        state.work || !state.run.active.is_empty()
    }
}

impl<H: Hypervisor, C: Class<WORDS, Pages = H::Pages>, const WORDS: usize> DeviceClass
    for Split<'_, H, C, WORDS>
{
    const KIND: &'static str = C::KIND;
    const WATCHED: &'static [&'static str] = C::WATCHED;
    const SETTINGS: &'static [&'static str] = C::SETTINGS;

    async fn probe<P: SharedPages>(&self, nodes: &Nodes<'_, P>) -> Result<Published, Refusal> {
        let config = C::config(nodes).await?;
        let state = &mut *self.state.borrow_mut();
        let (id, at) = (nodes.device(), nodes.backend_path());
        let number = state.seat(id).map_err(|why| Refusal(format!("{at}: {why}")))?;
        let admitted = state.class.admit(number, id, config);
        admitted.map_err(|why| Refusal(format!("{at}/{why}")))
    }

    async fn connect<P: SharedPages>(&self, nodes: &Nodes<'_, P>) -> Result<Published, Refusal> {
        let (wanted, features) = C::frontend(nodes).await?;
        let life = Life {
            device: nodes.device(),
            resumed: nodes.resumed(),
        };
        let attached = self.state.borrow_mut().attach(self.hv, &life, &wanted, features);
        attached.map_err(|why| Refusal(format!("{}/{why}", nodes.frontend_path())))
    }

    async fn reconfigure<P: SharedPages>(&self, nodes: &Nodes<'_, P>) -> Result<(), Refusal> {
        let features = C::features(nodes).await?;
        let state = &mut *self.state.borrow_mut();
        if let Some(features) = features
            && let Some(number) = state.find(nodes.device())
        {
            state.class.change(number, features);
        }
        Ok(())
    }

    fn disconnect(&self, device: DeviceId) {
        self.state.borrow_mut().detach(self.hv, device);
    }

    fn is_released(&self, device: DeviceId) -> bool {
        let state = self.state.borrow();
        let seat = state.find(device).and_then(|number| state.seats[number].as_ref());
        seat.is_none_or(|seat| seat.channels.is_empty())
    }

    fn remove(&self, device: DeviceId) {
        let state = &mut *self.state.borrow_mut();
        if let Some(number) = state.find(device) {
            state.seats[number] = None;
            state.class.forget(number);
        }
    }

    fn statistics(&self, device: DeviceId) -> Option<String> {
        let state = self.state.borrow();
        state.class.statistics(state.find(device)?)
    }

    fn totals(&self) -> Published {
        self.state.borrow().class.totals()
    }

    fn take_fault(&self) -> Option<(DeviceId, String)> {
        let mut state = self.state.borrow_mut();
        let mut seats = state.seats.iter_mut().flatten();
        seats.find_map(|seat| Some((seat.id, seat.fault.take()?)))
    }

    fn set(&self, node: &str, value: &str) {
        let mut state = self.state.borrow_mut();
        state.lend_now(self.hv, |class, io| class.set(io, node, value));
    }

    fn take_setting(&self) -> Option<(&'static str, String)> {
        self.state.borrow_mut().class.take_setting()
    }
}
