//! What a class supplies that is content with [`Split`](crate::Split).

use alloc::string::String;
use alloc::vec::Vec;

use outrigger_ring::SharedPages;
use outrigger_xen::{Hypervisor, Instant, Wake};
use outrigger_xenbus::{DeviceId, Nodes, Refusal};

use crate::{Channel, ChannelNodes, Life, RunQueue};

/// Nodes to write: names and values.
pub type Published = Vec<(String, String)>;

/// What a class works with, lent for one call.
#[derive(Debug)]
pub struct Io<'a, H, const WORDS: usize = 1> {
    /// The hypervisor.
    pub hv: &'a H,
    /// Which channels are to be looked at.
    pub run: &'a mut RunQueue<WORDS>,
    /// Take another turn at this moment, even if nothing happens: see [`wake_at`](Self::wake_at).
    pub(crate) deadline: Option<Instant>,
    pub(crate) more_work: bool,
    pub(crate) answered: bool,
    pub(crate) found: bool,
    pub(crate) expects: bool,
    pub(crate) poke: bool,
    pub(crate) faults: &'a mut Vec<(usize, String)>,
}

impl<H, const WORDS: usize> Io<'_, H, WORDS> {
    /// Wants a turn at this moment at the latest.
    pub fn wake_at(&mut self, at: Instant) {
        self.deadline = Some(self.deadline.map_or(at, |earlier| earlier.min(at)));
    }

    /// Wants another turn before the domain sleeps.
    pub fn take_another_turn(&mut self) {
        self.more_work = true;
    }

    /// A guest was answered.
    pub fn answered(&mut self) {
        self.answered = true;
    }

    /// There was something to take, from a guest or a device.
    pub fn found(&mut self) {
        self.found = true;
    }

    /// Something is to come that somebody waits for: a device has work, or a guest has to read.
    pub fn expects(&mut self) {
        self.expects = true;
    }

    /// The control plane has something to take, or to write.
    pub fn poke(&mut self) {
        self.poke = true;
    }

    /// A device's frontend broke its protocol: the device is closed, with this reason. Not to be served meanwhile.
    #[cold]
    pub fn give_up(&mut self, device: usize, why: String) {
        self.faults.push((device, why));
        self.poke = true;
    }
}

/// A class of devices. A device is named by its number, below 64 × `WORDS`, from [`admit`](Self::admit) to
/// [`forget`](Self::forget); a channel by its own number, see [`attach`](Self::attach).
#[expect(
    async_fn_in_trait,
    reason = "one thread polls these futures; nobody needs them to be Send"
)]
pub trait Class<const WORDS: usize = 1> {
    /// Guests' pages.
    type Pages: SharedPages + Clone;
    /// What the toolstack wrote of a device.
    type Config;
    /// What its frontend wrote besides its channels.
    type Features;

    /// The directory's name below `backend`, such as `vbd`.
    const KIND: &'static str;
    /// Nodes of the frontend's directory that a guest may change while it is connected.
    const WATCHED: &'static [&'static str] = &[];
    /// Nodes of this domain's own directory by which Dom0 tells what it wants: see [`set`](Self::set).
    const SETTINGS: &'static [&'static str] = &[];
    /// Records of a device that outlive a restart: parts 0 up to this of [`Life::record`].
    const RECORDS: u8 = 0;

    /// Reads what the toolstack wrote.
    ///
    /// # Errors
    /// The device cannot be served.
    async fn config<P: SharedPages>(nodes: &Nodes<'_, P>) -> Result<Self::Config, Refusal>;

    /// Takes a device in, or looks at it anew before it connects again; what to publish together with state 2.
    ///
    /// # Errors
    /// Which node is wrong, and why.
    fn admit(&mut self, number: usize, id: DeviceId, config: Self::Config) -> Result<Published, String>;

    /// Reads what the frontend published: its channels, and the rest.
    ///
    /// # Errors
    /// A node is bad.
    async fn frontend<P: SharedPages>(
        nodes: &Nodes<'_, P>,
    ) -> Result<(Vec<ChannelNodes>, Self::Features), Refusal>;

    /// All channels of a device are attached to, and numbered from `channels.0` on; what to publish together with state 4. If no
    /// device has more than one, a channel's number is its device's.
    ///
    /// # Errors
    /// Which node is bad, and why. The channels are given back.
    fn attach<H: Hypervisor<Pages = Self::Pages>>(
        &mut self,
        io: &mut Io<'_, H, WORDS>,
        life: &Life,
        number: usize,
        channels: (usize, &[Channel<Self::Pages>]),
        features: Self::Features,
    ) -> Result<Published, String>;

    /// Rereads what a guest may change while connected.
    ///
    /// # Errors
    /// The frontend's nodes are bad. The device is detached.
    async fn features<P: SharedPages>(_nodes: &Nodes<'_, P>) -> Result<Option<Self::Features>, Refusal> {
        Ok(None)
    }

    /// The guest has changed what it may change while connected.
    fn change(&mut self, _number: usize, _features: Self::Features) {}

    /// Stops serving a device. Its pages may be used until it [is settled](Self::is_settled).
    fn detach<H: Hypervisor<Pages = Self::Pages>>(&mut self, io: &mut Io<'_, H, WORDS>, number: usize);

    /// Nothing of a detached device is in flight: its pages may be unmapped.
    fn is_settled(&self, _number: usize) -> bool {
        true
    }

    /// The device is gone.
    fn forget(&mut self, number: usize);

    /// One turn: everything between the events, which are taken, and the sleep. Bounded, whatever any guest does; before it
    /// ends, drained channels and devices are asked to tell of more.
    fn turn<H: Hypervisor<Pages = Self::Pages>>(&mut self, io: &mut Io<'_, H, WORDS>, wake: Wake);

    /// What a served device has done, as `key=value` words.
    fn statistics(&self, number: usize) -> Option<String>;

    /// The same of what is no device's: a name, for `data/<name>` below this domain, and words.
    fn totals(&self) -> Published {
        Published::new()
    }

    /// Dom0 has written one of [`SETTINGS`](Self::SETTINGS), or it was there when this life began.
    fn set<H: Hypervisor<Pages = Self::Pages>>(
        &mut self,
        _io: &mut Io<'_, H, WORDS>,
        _node: &str,
        _value: &str,
    ) {
    }

    /// One of [`SETTINGS`](Self::SETTINGS) has changed by itself, and is to be written.
    fn take_setting(&mut self) -> Option<(&'static str, String)> {
        None
    }
}
