//! A class with two channels per device and work in flight: attached to all or none, let go of when it is settled, and nothing is
//! left.
#![allow(clippy::unwrap_used, reason = "a test ends where it goes wrong")]

use outrigger_backend::fake::{Frontend, Host, Shared, World};
use outrigger_backend::{Channel, ChannelNodes, Class, Io, Life, Published, Split, nodes};
use outrigger_ring::SharedPages;
use outrigger_xen::fake::{Device, FakePages, Quiet};
use outrigger_xen::{DomId, EventChannels, Hypervisor, Port, Wake};
use outrigger_xenbus::fake::assert_nothing_left;
use outrigger_xenbus::{DeviceId, Nodes, Refusal};

const DD: DomId = DomId(3);
const FE: DomId = DomId(7);

/// Adds up what its guests put into their pages.
#[derive(Default)]
struct Sums {
    pages: Vec<(usize, FakePages, Port)>,
    /// Of the first device.
    sum: u32,
    in_flight: bool,
    /// Numbers of attached devices.
    attached: Vec<usize>,
    changes: u32,
    setting: String,
}

impl Class for Sums {
    type Pages = FakePages;
    type Config = ();
    type Features = u32;
    const KIND: &'static str = "vsum";
    const WATCHED: &'static [&'static str] = &["factor"];
    const SETTINGS: &'static [&'static str] = &["data/limit"];
    const RECORDS: u8 = 2;

    async fn config<P: SharedPages>(nodes: &Nodes<'_, P>) -> Result<(), Refusal> {
        nodes::backend_within(nodes, "weight", 1, 9).await.map(drop)
    }

    fn admit(&mut self, _number: usize, _id: DeviceId, (): ()) -> Result<Published, String> {
        Ok(nodes::published([("feature-sum", 1)]))
    }

    async fn frontend<P: SharedPages>(nodes: &Nodes<'_, P>) -> Result<(Vec<ChannelNodes>, u32), Refusal> {
        let mut channels = Vec::new();
        for queue in 0..2 {
            let prefix = nodes::queue_prefix(queue, 2);
            let [ring, port] = ["ring-ref", "event-channel"].map(|node| format!("{prefix}{node}"));
            channels.push(nodes::channel(nodes, ring, queue, port).await?);
        }
        Ok((channels, nodes::number(nodes, "factor").await?))
    }

    fn attach<H: Hypervisor<Pages = FakePages>>(
        &mut self,
        io: &mut Io<'_, H>,
        life: &Life,
        number: usize,
        (first, channels): (usize, &[Channel<FakePages>]),
        factor: u32,
    ) -> Result<Published, String> {
        for part in 0..2 {
            life.record(io.hv, part, 64)?;
        }
        if factor == 13 {
            return Err("factor: 13 is unlucky".into());
        }
        let numbered = (first..).zip(channels);
        self.pages
            .extend(numbered.map(|(at, channel)| (at, channel.pages(), channel.port())));
        self.attached.push(number);
        Ok(Published::new())
    }

    async fn features<P: SharedPages>(nodes: &Nodes<'_, P>) -> Result<Option<u32>, Refusal> {
        nodes::number(nodes, "factor").await.map(Some)
    }

    fn change(&mut self, _number: usize, factor: u32) {
        self.changes += factor;
    }

    fn detach<H: Hypervisor<Pages = FakePages>>(&mut self, _io: &mut Io<'_, H>, number: usize) {
        self.attached.retain(|other| *other != number);
    }

    fn is_settled(&self, _number: usize) -> bool {
        !self.in_flight
    }

    fn forget(&mut self, _number: usize) {
        self.pages.clear();
    }

    fn turn<H: Hypervisor<Pages = FakePages>>(&mut self, io: &mut Io<'_, H>, _wake: Wake) {
        for channel in io.run.begin() {
            let (_, pages, port) = self
                .pages
                .iter()
                .find(|(at, ..)| *at == channel)
                .expect("an attached channel");
            match pages.load_u32(0) {
                99 => io.give_up(0, "99 is too much".into()),
                value => self.sum += value,
            }
            io.hv.notify(*port);
            io.answered();
        }
    }

    fn statistics(&self, _number: usize) -> Option<String> {
        Some(format!("sum={}", self.sum))
    }

    fn set<H: Hypervisor<Pages = FakePages>>(&mut self, _io: &mut Io<'_, H>, node: &str, value: &str) {
        self.setting = format!("{node}={value}");
    }
}

fn device(devid: u32) -> Device {
    Device {
        backend: DD,
        frontend: FE,
        kind: "vsum",
        devid,
    }
}

type Served = World<Split<'static, Quiet, Sums>>;

fn world() -> Served {
    World::on(Host::new(DD, &[FE]), |quiet| Split::new(quiet, Sums::default()))
}

/// A frontend with its two channels, of one and of two pages.
fn publish(world: &Served, devid: u32) -> (Frontend, [Shared; 2]) {
    let frontend = Frontend::new(world, device(devid));
    let shared = [frontend.share(1), frontend.share(2)];
    for (queue, shared) in shared.iter().enumerate() {
        let [ring, port] = ["ring-ref", "event-channel"].map(|node| format!("queue-{queue}/{node}"));
        frontend.publish(world, shared, &ring, &port);
    }
    frontend.write(world, "factor", 1);
    (frontend, shared)
}

fn sum(world: &Served) -> u32 {
    world.service().with_class(|class| class.sum)
}

#[test]
fn each_channels_events_reach_the_class() {
    let world = world();
    world.attach(device(0), &[], &[]);
    assert_eq!(world.node(device(0), "feature-sum").as_deref(), Some("1"));
    let (frontend, shared) = publish(&world, 0);
    world.connect(&frontend);
    for (at, shared) in shared.iter().enumerate() {
        shared.pages.store_u32(0, 10 + at as u32);
        frontend.dom.notify(shared.port);
        world.settle();
        assert!(frontend.take_notification(shared.port));
    }
    // Each once.
    assert_eq!(sum(&world), 21);
    world.advance(6000);
    assert_eq!(
        world.node(device(0), "statistics").as_deref(),
        Some("sum=21 restarts=0")
    );
    frontend.write(&world, "factor", 5);
    world.advance(50);
    assert_eq!(world.service().with_class(|class| class.changes), 5);
}

#[test]
fn all_channels_are_attached_to_or_none() {
    let bad = [
        (
            "queue-1/ring-ref1",
            "12345",
            "queue-1/ring-ref: Xen refuses the grant",
        ),
        (
            "queue-1/event-channel",
            "4000",
            "queue-1/event-channel: port 4000 cannot be bound",
        ),
        (
            "queue-0/ring-ref",
            "77",
            "queue-0/ring-ref: Xen refuses the grant",
        ),
        ("factor", "13", "factor: 13 is unlucky"),
    ];
    for (node, value, why) in bad {
        let world = world();
        world.attach(device(0), &[], &[]);
        let (frontend, shared) = publish(&world, 0);
        frontend.write(&world, node, value);
        frontend.set_state(&world, 3);
        world.advance(900);
        assert_eq!(world.state(device(0)), "6");
        assert!(world.error(device(0)).contains(why), "{}", world.error(device(0)));
        assert_nothing_left(&world.dd);
        for gref in shared.iter().flat_map(|shared| &shared.refs) {
            frontend.dom.revoke(*gref).expect("nobody has it mapped");
        }
    }
}

#[test]
fn what_is_in_flight_is_waited_for() {
    let world = world();
    world.attach(device(0), &[], &[]);
    let (frontend, shared) = publish(&world, 0);
    world.connect(&frontend);
    world.service().with_class(|class| class.in_flight = true);
    frontend.set_state(&world, 6);
    world.advance(2000);
    assert_ne!(world.state(device(0)), "6", "its pages are in use");
    assert!(frontend.dom.revoke(shared[0].refs[0]).is_err());
    world.service().with_class(|class| class.in_flight = false);
    world.advance(100);
    assert_eq!(world.state(device(0)), "6");
    assert_nothing_left(&world.dd);
    assert!(world.service().with_class(|class| class.attached.is_empty()));
}

#[test]
fn a_frontend_that_breaks_its_protocol_is_closed_with_the_reason() {
    let world = world();
    [0, 1]
        .iter()
        .for_each(|devid| world.attach(device(*devid), &[], &[]));
    let both = [0, 1].map(|devid| {
        let (frontend, shared) = publish(&world, devid);
        world.connect(&frontend);
        (frontend, shared)
    });
    let (frontend, shared) = &both[0];
    shared[1].pages.store_u32(0, 99);
    frontend.dom.notify(shared[1].port);
    world.advance(100);
    assert_eq!(
        (world.state(device(0)), world.error(device(0))),
        ("6".into(), "99 is too much".into())
    );
    assert_eq!(world.state(device(1)), "4", "the other one goes on");
}

#[test]
fn dom0s_settings_reach_the_class() {
    let world = world();
    world.settle();
    let setting = || world.service().with_class(|class| class.setting.clone());
    assert_eq!(setting(), "data/limit=", "there is none when the domain begins");
    world.set_own_node("data/limit", "17");
    world.settle();
    assert_eq!(setting(), "data/limit=17");
    world.set_own_node("data/limit", &"9".repeat(300));
    world.settle();
    assert_eq!(setting(), "data/limit=17", "too long");
}
