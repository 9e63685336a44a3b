//! A guest with a strict frontend.

use std::collections::BTreeSet;

use outrigger_backend::fake::{Frontend, Host, Shared, World};
use outrigger_kbdif::{EVENT_WORDS, Event, IN_RING};
use outrigger_ring::EventReader;
use outrigger_xen::EventChannels;
use outrigger_xen::fake::{Device, FakePages};

use crate::world::Served;

pub struct Guest {
    pub frontend: Frontend,
    pub shared: Shared,
    reader: EventReader<FakePages>,
    /// Keys that are pressed, as far as the guest knows.
    pub pressed: BTreeSet<u16>,
    pub fingers: BTreeSet<u8>,
    /// The domain may fail, and then end what never began.
    pub lenient: bool,
}

impl Guest {
    /// A guest whose frontend has published its page; `wants` are its requests.
    pub fn publish(host: &Host, device: Device, wants: &[&str]) -> Self {
        let frontend = Frontend::new(host, device);
        let shared = frontend.share(1);
        for request in wants {
            frontend.write(host, request, 1);
        }
        frontend.publish(host, &shared, "page-gref", "event-channel");
        Self {
            reader: EventReader::attach(shared.pages.clone(), IN_RING),
            frontend,
            shared,
            pressed: BTreeSet::new(),
            fingers: BTreeSet::new(),
            lenient: false,
        }
    }

    pub fn boot(
        world: &World<Served<'static>>,
        device: Device,
        config: &[(&str, &str)],
        wants: &[&str],
    ) -> Self {
        world.attach(device, config, &[]);
        assert_eq!(world.state(device), "2", "{}", world.error(device));
        let guest = Self::publish(world, device, wants);
        world.connect(&guest.frontend);
        guest
    }

    /// Takes the events, if notified, as Linux's handler does; it notifies when it has read.
    pub fn hear(&mut self) -> Vec<Event> {
        if !self.frontend.take_notification(self.shared.port) {
            return Vec::new();
        }
        let mut events = Vec::new();
        for _ in 0..self.reader.pending().expect("in_prod within bounds") {
            let mut words = [0; EVENT_WORDS];
            self.reader.take(&mut words);
            let event = Event::decode(words).expect("an event of the protocol");
            assert_eq!(event.encode(), words, "reserved bytes are 0");
            self.note(event);
            events.push(event);
        }
        self.reader.give_back();
        self.frontend.dom.notify(self.shared.port);
        events
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Key { code, pressed: true } => drop(self.pressed.insert(code)),
            Event::Key { code, pressed: false } => {
                assert!(
                    self.pressed.remove(&code) || self.lenient,
                    "{code} is released and was not pressed"
                );
            }
            Event::Touch { contact, down, .. } => {
                assert!(
                    self.fingers.insert(contact) == down || self.lenient,
                    "finger {contact}"
                );
            }
            Event::Lift { contact } => {
                assert!(self.fingers.remove(&contact) || self.lenient, "finger {contact}");
            }
            _ => {}
        }
    }

    /// The keys among the events that have come.
    pub fn keys(&mut self) -> Vec<(u16, bool)> {
        let keys = self.hear().into_iter().filter_map(|event| match event {
            Event::Key { code, pressed } => Some((code, pressed)),
            _ => None,
        });
        keys.collect()
    }
}
