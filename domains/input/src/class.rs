//! The class: devices of this domain, guests' frontends, and the turn.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use outrigger_backend::{Channel, ChannelNodes, Class, DeviceSlot, Io, Life, Published, Recovery, nodes};
use outrigger_devices::{DeviceFault, InputDevice, InputReport, IrqSet};
use outrigger_kbdif::{IN_RING, nodes as key};
use outrigger_ring::{EventWriter, Overflow, SharedPages};
use outrigger_xen::{Hypervisor, Wake};
use outrigger_xenbus::{DeviceId, Nodes, Refusal};

use crate::chord::Chord;
use crate::focus::{Focus, Seat};
use crate::guest::{Guest, RECORD_BYTES, Wants};

/// The node of this domain that says who has the focus, and by which Dom0 moves it.
const FOCUS: &str = "data/focus";

/// What Linux's frontend takes its screen to be if nobody says so.
const SIZE: [u32; 2] = [800, 600];
/// The greatest size of a screen.
const SIZE_MAX: u32 = 65_535;
/// The most fingers.
const CONTACTS_MAX: u32 = 10;

/// A device, and the report that it is making.
struct Source<D> {
    slot: DeviceSlot<D>,
    report: InputReport,
}

/// The input class.
pub struct Input<P, D> {
    sources: Vec<Source<D>>,
    focus: Focus<P>,
}

impl<P: SharedPages + Clone, D: InputDevice> Input<P, D> {
    /// The class without devices.
    pub fn new(chord: Chord) -> Self {
        Self {
            sources: Vec::new(),
            focus: Focus::new(chord),
        }
    }

    /// Adds a device: its name, and its interrupts in [`Wake::devices`].
    pub fn add(&mut self, name: String, interrupts: IrqSet, device: D) {
        let limits = device.limits();
        log::info!("{name}: {limits:?}");
        self.sources.push(Source {
            slot: DeviceSlot::new(name, interrupts, device),
            report: InputReport::new(limits),
        });
    }

    /// Stops all devices, for good.
    pub fn quiesce(&mut self) {
        self.sources
            .iter_mut()
            .for_each(|source| source.slot.device.quiesce());
    }
}

impl<P: SharedPages + Clone, D: InputDevice> Class for Input<P, D> {
    type Pages = P;
    type Config = Wants;
    type Features = [bool; 2];

    const KIND: &'static str = "vinput";
    const SETTINGS: &'static [&'static str] = &[FOCUS];
    const RECORDS: u8 = 1;

    async fn config<Q: SharedPages>(nodes: &Nodes<'_, Q>) -> Result<Wants, Refusal> {
        let flags = nodes
            .backend_all([key::FEATURE_ABS_POINTER, key::FEATURE_MULTI_TOUCH])
            .await?;
        let [absolute, touch] = flags.each_ref().map(nodes::is_set);
        let [width, height] = SIZE;
        let size = [
            nodes::backend_within(nodes, key::WIDTH, width, SIZE_MAX).await?,
            nodes::backend_within(nodes, key::HEIGHT, height, SIZE_MAX).await?,
        ];
        let touch_size = [
            nodes::backend_within(nodes, key::MULTI_TOUCH_WIDTH, size[0], SIZE_MAX).await?,
            nodes::backend_within(nodes, key::MULTI_TOUCH_HEIGHT, size[1], SIZE_MAX).await?,
        ];
        let contacts = key::MULTI_TOUCH_NUM_CONTACTS;
        Ok(Wants {
            absolute,
            touch,
            size,
            touch_size,
            contacts: nodes::backend_within(nodes, contacts, CONTACTS_MAX, CONTACTS_MAX).await?,
        })
    }

    fn admit(&mut self, number: usize, id: DeviceId, offers: Wants) -> Result<Published, String> {
        self.focus.seats[number] = Some(Seat {
            id,
            offers,
            guest: None,
        });
        let [width, height] = offers.size;
        let mut words = nodes::published([(key::WIDTH, width), (key::HEIGHT, height)]);
        if offers.touch {
            let [width, height] = offers.touch_size;
            words.extend(nodes::published([
                (key::MULTI_TOUCH_WIDTH, width),
                (key::MULTI_TOUCH_HEIGHT, height),
                (key::MULTI_TOUCH_NUM_CONTACTS, offers.contacts),
            ]));
        }
        Ok(words)
    }

    async fn frontend<Q: SharedPages>(
        nodes: &Nodes<'_, Q>,
    ) -> Result<(Vec<ChannelNodes>, [bool; 2]), Refusal> {
        let (page, port) = (key::PAGE_GREF.to_string(), key::EVENT_CHANNEL.to_string());
        let channel = nodes::channel(nodes, page, 0, port).await?;
        let flags = nodes
            .frontend_all([key::REQUEST_ABS_POINTER, key::REQUEST_MULTI_TOUCH])
            .await?;
        Ok((Vec::from([channel]), flags.each_ref().map(nodes::is_set)))
    }

    fn attach<H: Hypervisor<Pages = P>>(
        &mut self,
        io: &mut Io<'_, H>,
        life: &Life,
        number: usize,
        (_, channels): (usize, &[Channel<P>]),
        [absolute, touch]: [bool; 2],
    ) -> Result<Published, String> {
        let ([channel], Some(seat)) = (channels, &mut self.focus.seats[number]) else {
            return Err("it was never probed".into());
        };
        let writer = EventWriter::attach(channel.pages(), IN_RING).map_err(explain)?;
        let record = life.record(io.hv, 0, RECORD_BYTES)?;
        let offers = seat.offers;
        let wants = Wants {
            absolute: offers.absolute && absolute,
            touch: offers.touch && touch,
            ..offers
        };
        seat.guest = Some(Box::new(Guest::new(writer, channel.port(), record, wants)));
        self.focus.come(number, life.resumed);
        io.poke();
        Ok(Published::new())
    }

    fn detach<H: Hypervisor<Pages = P>>(&mut self, io: &mut Io<'_, H>, number: usize) {
        self.focus.leave(number);
        io.poke();
    }

    fn forget(&mut self, number: usize) {
        self.focus.seats[number] = None;
    }

    fn turn<H: Hypervisor<Pages = P>>(&mut self, io: &mut Io<'_, H>, wake: Wake) {
        let (Self { sources, focus }, now) = (self, io.hv.now());
        for Source { slot, report } in sources.iter_mut().filter(|source| source.slot.is_serving()) {
            if slot.has_interrupted(wake) {
                slot.device.acknowledge();
            }
            let reaped = slot.device.reap(&mut |event| {
                io.found();
                if report.note(event) {
                    focus.report(report);
                    report.begin();
                }
            });
            if let Err(DeviceFault(why)) = reaped {
                if slot.reset(now, why) == Recovery::Restarted {
                    *report = InputReport::new(slot.device.limits());
                }
                focus.release_all();
            }
        }
        // A guest notifies when it has read something.
        focus.busy.extend(io.run.begin().collect());
        for number in focus.busy.take().iter() {
            let Some((guest, pressed)) = focus.guest_and_keys(number) else {
                continue;
            };
            let before = guest.counters.events;
            let flushed = guest.flush(io.hv, now, &pressed);
            if guest.counters.events > before {
                io.found();
            }
            if guest.is_waiting() {
                io.expects();
            }
            match flushed {
                Ok(None) => {}
                Ok(Some(at)) => {
                    io.wake_at(at);
                    focus.busy.insert(number);
                }
                Err(overflow) => io.give_up(number, explain(overflow)),
            }
        }
        if focus.has_news() {
            io.poke();
        }
        let serving = sources.iter_mut().filter(|source| source.slot.is_serving());
        if serving.fold(false, |more, source| more | source.slot.device.arm()) {
            io.take_another_turn();
        }
    }

    fn statistics(&self, number: usize) -> Option<String> {
        let guest = self.focus.seats[number].as_ref()?.guest.as_ref()?;
        Some(guest.counters.to_string())
    }

    fn set<H: Hypervisor<Pages = P>>(&mut self, io: &mut Io<'_, H>, _node: &str, value: &str) {
        if let Err(why) = self.focus.wish(value) {
            log::warn!("{FOCUS}: {why}");
        }
        io.poke();
    }

    fn take_setting(&mut self) -> Option<(&'static str, String)> {
        self.focus.take_news().map(|news| (FOCUS, news))
    }
}

fn explain(Overflow { claimed, consumed }: Overflow) -> String {
    format!(
        "{}: in_cons {claimed} is impossible at in_prod {consumed}",
        key::PAGE_GREF
    )
}
