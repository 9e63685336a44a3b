//! A driver domain with a keyboard, a mouse, a tablet and a touch screen.

use outrigger_backend::Split;
use outrigger_backend::fake::{Host, World};
use outrigger_devices::{InputDevice, IrqSet, Watched};
use outrigger_input::{Chord, Input};
use outrigger_virtio_input::VirtioInput;
use outrigger_virtio_model::{Bus, Input as Model, InputOffer, VirtioModel};
use outrigger_xen::DomId;
use outrigger_xen::fake::{Device, FakePages, Quiet};
use outrigger_xenbus::fake::opt_out;

use crate::guest::Guest;

pub const DD: DomId = DomId(3);

pub type Class = Input<FakePages, Box<dyn InputDevice>>;
pub type Served<'a> = Split<'a, Quiet, Class>;

/// The hardware, which goes on when the domain fails.
pub struct Hardware {
    pub keyboard: VirtioModel<Model>,
    pub mouse: VirtioModel<Model>,
    pub tablet: VirtioModel<Model>,
    pub screen: VirtioModel<Model>,
}

impl Hardware {
    pub fn new(host: &Host) -> Self {
        let bus = Bus::default();
        let (reads, writes) = (host.dd.clone(), host.dd.clone());
        bus.set_beyond(
            move |addr, bytes| reads.dma_read_at(addr, bytes),
            move |addr, bytes| writes.dma_write_at(addr, bytes),
        );
        let model = |interrupt, offer| {
            let model = VirtioModel::input(offer, &bus);
            let line = host.dd.clone();
            model.on_interrupt(move || line.raise_irq(interrupt));
            model
        };
        Self {
            keyboard: model(0, InputOffer::keyboard()),
            mouse: model(1, InputOffer::mouse()),
            tablet: model(2, InputOffer::tablet()),
            screen: model(3, InputOffer::multi_touch()),
        }
    }

    fn all(&self) -> [&VirtioModel<Model>; 4] {
        [&self.keyboard, &self.mouse, &self.tablet, &self.screen]
    }

    /// What an image's beginning does: its drivers reset their devices and bring them up.
    pub fn class(&self, host: &Host) -> Class {
        let mut class: Class = Input::new(Chord::default());
        for (number, model) in (0..).zip(self.all()) {
            let device = VirtioInput::probe(Watched::new(model.clone(), opt_out), &host.dd).unwrap();
            class.add(format!("virtio{number}"), IrqSet::of(number), Box::new(device));
        }
        class
    }

    pub fn assert_clean(&self) {
        self.all().into_iter().for_each(VirtioModel::assert_clean);
    }

    /// A key is pressed (1) or released (0).
    pub fn key(&self, code: u16, value: i32) {
        self.keyboard.act(&[(1, code, value)]);
    }

    pub fn tap(&self, code: u16) {
        self.key(code, 1);
        self.key(code, 0);
    }
}

pub struct Scene {
    pub world: World<Served<'static>>,
    pub hardware: Hardware,
}

/// The device of guest `number`, in domain 10 + `number`.
pub fn vkb(number: u16) -> Device {
    Device {
        backend: DD,
        frontend: DomId(10 + number),
        kind: "vinput",
        devid: 0,
    }
}

pub fn host() -> Host {
    Host::new(DD, &[1, 2, 3].map(|number| DomId(10 + number)))
}

/// What libxl writes with `feature-abs-pointer=1` and so on.
pub const ABSOLUTE: [(&str, &str); 7] = [
    ("feature-abs-pointer", "1"),
    ("feature-multi-touch", "1"),
    ("width", "1024"),
    ("height", "768"),
    ("multi-touch-width", "32767"),
    ("multi-touch-height", "32767"),
    ("multi-touch-num-contacts", "4"),
];

impl Scene {
    pub fn new() -> Self {
        let host = host();
        let hardware = Hardware::new(&host);
        let class = hardware.class(&host);
        Self {
            world: World::on(host, |quiet| Split::new(quiet, class)),
            hardware,
        }
    }

    /// A guest that wants motions.
    pub fn relative(&self, number: u16) -> Guest {
        Guest::boot(&self.world, vkb(number), &[], &[])
    }

    /// A guest that wants positions and fingers.
    pub fn absolute(&self, number: u16) -> Guest {
        let wants = ["request-abs-pointer", "request-multi-touch"];
        Guest::boot(&self.world, vkb(number), &ABSOLUTE, &wants)
    }

    /// A guest whose frontend begins again.
    pub fn relative_again(&self, number: u16) -> Guest {
        let guest = Guest::publish(&self.world, vkb(number), &[]);
        guest.frontend.set_state(&self.world, 1);
        self.world.advance(50);
        self.world.connect(&guest.frontend);
        guest
    }

    pub fn settle(&self) {
        self.world.settle();
    }

    /// Who has the focus, as Dom0 reads it.
    pub fn focus(&self) -> String {
        self.world.own_node("data/focus").unwrap_or_default()
    }

    /// Dom0 moves it.
    pub fn set_focus(&self, value: &str) {
        self.world.set_own_node("data/focus", value);
        self.settle();
    }
}
