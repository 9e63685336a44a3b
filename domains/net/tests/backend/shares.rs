//! One harness for all starvation: what a guest gets of something that is shared, alone and while others want all of it. A row is one
//! shared thing and one way to want it; 0.8 of a fair share is the least.

use outrigger_devices::GsoKind;
use outrigger_netif::{Extra, Gso, TxRequest};
use outrigger_xen::fake::Limits;
use outrigger_xen::{Access, IrqSet, Wake};

use crate::frames::{BROADCAST, PEER, blank, mac, tcp, udp};
use crate::guest::{EXTRA, Guest, MORE, Options};
use crate::nat::{Behind, FAR, GATEWAY, OUTSIDE, ROUTER, SEGMENTS};
use crate::own::{OURS, answer, arp, datagram, dhcp, ping, sent, taken, udp_to};
use crate::world::{DD, World};

/// Guests of the attacker.
const EVILS: u8 = 6;
/// The victim's number: it comes after the others.
const VICTIM: u8 = 1 + EVILS;

/// A shared thing.
trait Row {
    /// What there is before anybody wants anything.
    fn new(attacked: bool) -> Self;
    /// Of the others: whatever they can do in this turn.
    fn attack(&mut self, round: u32);
    /// What the victim wants in this turn.
    fn want(&mut self, round: u32);
    /// The turn, or some time; how much of it the victim got.
    fn pass(&mut self) -> usize;
    /// An equal share of all there is, if the victim wants more.
    fn equal() -> usize {
        usize::MAX
    }
}

/// What the victim has got in so many turns.
fn measure<R: Row>(rounds: u32, attacked: bool) -> usize {
    let mut row = R::new(attacked);
    let mut got = 0;
    for round in 0..rounds {
        if attacked {
            row.attack(round);
        }
        row.want(round);
        got += row.pass();
    }
    got
}

/// The victim is to get 0.8 of what is fair at least: of what it got alone, or of an equal share, if that is less. If not: a line.
fn unfair<R: Row>(what: &str, rounds: u32) -> Option<String> {
    let alone = measure::<R>(rounds, false);
    let got = measure::<R>(rounds, true);
    assert!(alone > 0, "{what}: it got nothing even when alone");
    let fair = alone.min(R::equal());
    (10 * got < 8 * fair).then(|| format!("{what}: {got}, and {fair} would be fair"))
}

/// Each of these rows is fair.
fn all_fair(rows: &[Option<String>]) {
    let unfair: Vec<&String> = rows.iter().flatten().collect();
    assert!(unfair.is_empty(), "{unfair:#?}");
}

/// One turn of the domain's loop.
fn turn(world: &World) {
    world.net.turn(Wake {
        events: true,
        devices: IrqSet::of(0),
        timer: false,
    });
}

/// A frame in pages that stay, to be sent again and again: its slots.
struct Shot(Vec<[u32; 3]>);

impl Shot {
    /// In parts that end at these places; `blank`: its checksum is.
    fn new(guest: &Guest, frame: &[u8], (blank, gso): (bool, Option<Gso>), cuts: &[usize]) -> Self {
        let starts: Vec<usize> = [0].into_iter().chain(cuts.iter().copied()).collect();
        let ends = cuts.iter().copied().chain([frame.len()]);
        let count = starts.len();
        let mut slots = Vec::new();
        for (index, (start, end)) in starts.into_iter().zip(ends).enumerate() {
            let page = guest.dom.pages(1);
            page.write(0, &frame[start..end]);
            let gref = guest.dom.grant(&page, 0, DD, Access::ReadOnly);
            let first = index == 0;
            let more = if index + 1 < count { MORE } else { 0 };
            let blank = u16::from(first && blank);
            let extra = if first && gso.is_some() { EXTRA } else { 0 };
            let request = TxRequest {
                gref: gref.0,
                offset: 0,
                flags: more | blank | extra,
                id: 0,
                size: if first { frame.len() } else { end - start } as u16,
            };
            slots.push(request.encode());
            if first && let Some(gso) = gso {
                let [a, b] = Extra::Gso(Ok(gso)).encode(false);
                slots.push([a, b, 0]);
            }
        }
        Self(slots)
    }
}

/// These in turn, at most so many on each queue.
fn shoot(guest: &mut Guest, shots: &[Shot], most: usize) {
    guest.collect();
    guest.answers.clear();
    for queue in 0..guest.queues.len() {
        for Shot(slots) in shots.iter().cycle().take(most) {
            if guest.queues[queue].tx.free() as usize <= slots.len() {
                break;
            }
            slots.iter().for_each(|slot| guest.raw(queue, *slot));
        }
        guest.kick(queue);
    }
}

/// A guest may post as many pages as it likes.
fn unlimited(guest: &Guest) {
    guest.dom.set_limits(Limits {
        grants: 1 << 24,
        ..Limits::default()
    });
}

/// Guests behind NAT that mean harm, and one that does not.
struct Natted {
    world: World,
    evils: Vec<Behind>,
    /// What each of them sends.
    shots: Vec<Vec<Shot>>,
    victim: Behind,
}

impl Natted {
    fn new(attacked: bool) -> Self {
        let world = World::segments(SEGMENTS);
        let evils = if attacked { EVILS } else { 0 };
        let evils: Vec<_> = (1..=evils)
            .map(|number| Behind::new(&world, number, &[]))
            .collect();
        let victim = Behind::new(&world, VICTIM, &[]);
        evils
            .iter()
            .chain([&victim])
            .for_each(|behind| unlimited(&behind.guest));
        sent(&world);
        Self {
            world,
            evils,
            shots: Vec::new(),
            victim,
        }
    }

    /// All the others send these again and again, so many at a time.
    fn flood(&mut self, most: usize, frames: impl Fn(&Behind) -> Vec<Vec<u8>>) {
        if self.shots.is_empty() {
            let shot = |evil: &Behind, frame: &Vec<u8>| Shot::new(&evil.guest, frame, (false, None), &[]);
            let shots = |evil: &Behind| frames(evil).iter().map(|frame| shot(evil, frame)).collect();
            self.shots = self.evils.iter().map(shots).collect();
        }
        for (evil, shots) in self.evils.iter_mut().zip(&mut self.shots) {
            shoot(&mut evil.guest, shots, most);
            // Others first, the next time.
            let step = most % shots.len();
            shots.rotate_left(step);
        }
    }

    /// They ping the gateway.
    fn pings(&mut self) {
        self.flood(70, |evil| {
            vec![ping((evil.mac(), evil.ip), (evil.router, GATEWAY), 3, 56)]
        });
    }

    /// The wire's hosts that exist answer questions for their MACs. What went out besides.
    fn on_the_wire(&mut self, exists: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let mut others = Vec::new();
        for frame in sent(&self.world) {
            if frame[12..14] != [8, 6] {
                others.push(frame);
            } else if exists(&frame[38..42]) {
                let head = [&OURS[..], &PEER, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &PEER].concat();
                let reply = [&head[..], &frame[38..42], &OURS, &OUTSIDE].concat();
                self.world.card.borrow_mut().arrive(&reply);
            }
        }
        others
    }
}

/// Questions for the gateway's MAC, while others ping it, sixteen a turn and more.
struct Mailbox(Natted);

impl Row for Mailbox {
    fn new(attacked: bool) -> Self {
        Self(Natted::new(attacked))
    }
    fn attack(&mut self, _: u32) {
        self.0.pings();
    }
    fn want(&mut self, _: u32) {
        let victim = &mut self.0.victim;
        victim.guest.send(&arp(mac(VICTIM), victim.ip, GATEWAY));
    }
    fn pass(&mut self) -> usize {
        turn(&self.0.world);
        let got = taken(&mut self.0.victim.guest);
        got.iter().filter(|frame| answer(frame).is_some()).count()
    }
}

/// DHCP in the same noise.
struct Dhcp(Natted);

impl Row for Dhcp {
    fn new(attacked: bool) -> Self {
        Self(Natted::new(attacked))
    }
    fn attack(&mut self, _: u32) {
        self.0.pings();
    }
    fn want(&mut self, _: u32) {
        let question = dhcp(1, 9, mac(VICTIM), [0; 4], [0; 4], &[&[53, 1, 1]]);
        let frame = udp_to((mac(VICTIM), [0; 4], 68), (BROADCAST, [255; 4], 67), &question);
        self.0.victim.guest.send(&frame);
    }
    fn pass(&mut self) -> usize {
        turn(&self.0.world);
        let got = taken(&mut self.0.victim.guest);
        let offers = got.iter().filter(|frame| datagram(frame, (67, 68)).is_some());
        offers.count()
    }
}

/// ICMP errors: others' packets have lived as long as they may.
struct Errors(Natted);

/// A packet that has.
fn expired(behind: &Behind, port: u16) -> Vec<u8> {
    let mut frame = udp_to((behind.mac(), behind.ip, port), (behind.router, FAR, 9), b"");
    frame[22] = 1;
    let sum = outrigger_net::checksum::ipv4_header(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum);
    frame
}

impl Row for Errors {
    fn new(attacked: bool) -> Self {
        Self(Natted::new(attacked))
    }
    fn attack(&mut self, _: u32) {
        self.0.flood(70, |evil| vec![expired(evil, 4000)]);
    }
    fn want(&mut self, _: u32) {
        let frame = expired(&self.0.victim, 4000);
        self.0.victim.guest.send(&frame);
    }
    fn pass(&mut self) -> usize {
        turn(&self.0.world);
        self.0.world.advance(20);
        let got = taken(&mut self.0.victim.guest);
        got.iter().filter(|frame| frame[34] == 11).count()
    }
}

/// The way out for five minutes, while others call absent neighbours of ours.
struct Questions(Natted);

/// Calls of hosts beside us that are not there.
fn absent(evil: &Behind) -> Vec<Vec<u8>> {
    let call = |host: u8| {
        udp_to(
            (evil.mac(), evil.ip, 5000),
            (evil.router, [10, 0, 0, host], 9),
            b"",
        )
    };
    (100..250).map(call).collect()
}

impl Row for Questions {
    fn new(attacked: bool) -> Self {
        Self(Natted::new(attacked))
    }
    fn attack(&mut self, _: u32) {
        self.0.flood(18, absent);
    }
    fn want(&mut self, _: u32) {
        let victim = &self.0.victim;
        let frame = udp_to((victim.mac(), victim.ip, 4000), (victim.router, FAR, 9), b"out");
        self.0.victim.guest.send(&frame);
    }
    fn pass(&mut self) -> usize {
        let mut out = 0;
        for _ in 0..3 {
            self.0.world.settle();
            let frames = self.0.on_the_wire(|ip| ip == ROUTER);
            out += frames.iter().filter(|frame| frame[30..34] == FAR).count();
        }
        self.0.world.advance(500);
        taken(&mut self.0.victim.guest);
        out
    }
}

/// First packets to hosts beside us that are there, in the same noise.
struct Waiting(Natted);

impl Row for Waiting {
    fn new(attacked: bool) -> Self {
        Self(Natted::new(attacked))
    }
    fn attack(&mut self, _: u32) {
        self.0.flood(18, absent);
    }
    fn want(&mut self, round: u32) {
        let victim = &self.0.victim;
        let to = [10, 0, 0, 2 + (round % 90) as u8];
        let frame = udp_to((victim.mac(), victim.ip, 4000), (victim.router, to, 9), b"in");
        self.0.victim.guest.send(&frame);
    }
    fn pass(&mut self) -> usize {
        let mut out = 0;
        for _ in 0..3 {
            self.0.world.settle();
            let frames = self.0.on_the_wire(|ip| ip[3] < 100);
            out += frames.iter().filter(|frame| frame[33] < 99).count();
        }
        self.0.world.advance(400);
        taken(&mut self.0.victim.guest);
        out
    }
}

/// Conversations, of which the others begin as many as they can.
struct Conversations(Natted);

/// Datagrams from other ports each turn.
fn begin(behind: &mut Behind, round: u32) {
    behind.guest.collect();
    for step in 0..60 {
        let port = 1024 + (round * 60 + step) as u16;
        let frame = udp_to((behind.mac(), behind.ip, port), (behind.router, FAR, 9), b"");
        behind.guest.put(0, &frame, 0, None, &[]);
    }
    behind.guest.kick(0);
}

impl Row for Conversations {
    fn new(attacked: bool) -> Self {
        let mut scene = Natted::new(attacked);
        scene.victim.send(&scene.world, 1000, (FAR, 9), b"");
        scene.on_the_wire(|ip| ip == ROUTER);
        scene.world.settle();
        // The others have begun with theirs long ago.
        for round in 0..60 {
            for evil in &mut scene.evils {
                begin(evil, round);
            }
            scene.world.settle();
            sent(&scene.world);
        }
        Self(scene)
    }
    fn attack(&mut self, round: u32) {
        for evil in &mut self.0.evils {
            begin(evil, 60 + round);
        }
    }
    fn want(&mut self, round: u32) {
        begin(&mut self.0.victim, round);
    }
    /// Each has as many as are left free, and its own.
    fn equal() -> usize {
        8192 / (2 + usize::from(EVILS)) + 32
    }
    fn pass(&mut self) -> usize {
        self.0.world.settle();
        // Those count whose answers find their way back.
        let mut own = 0;
        for frame in sent(&self.0.world) {
            let port = u16::from_be_bytes([frame[34], frame[35]]);
            let back = udp_to((PEER, FAR, 9), (OURS, OUTSIDE, port), b"back");
            self.0.world.card.borrow_mut().arrive(&back);
        }
        for got in self.0.world.drain(&mut self.0.victim.guest) {
            own += usize::from(got.bytes[12..14] == [8, 0]);
        }
        own
    }
}

/// Datagrams in parts, while others begin some and never end them.
struct Fragments(Natted);

/// A datagram's first fragment, of two.
fn first(behind: &Behind, id: u16) -> Vec<u8> {
    let mut frame = udp_to((behind.mac(), behind.ip, 4000), (behind.router, FAR, 9), &[0; 24]);
    frame[18..20].copy_from_slice(&id.to_be_bytes());
    frame[20..22].copy_from_slice(&[0x20, 0]);
    let sum = outrigger_net::checksum::ipv4_header(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum);
    frame
}

impl Row for Fragments {
    fn new(attacked: bool) -> Self {
        let mut scene = Natted::new(attacked);
        scene.victim.send(&scene.world, 1000, (FAR, 9), b"");
        scene.on_the_wire(|ip| ip == ROUTER);
        scene.world.settle();
        sent(&scene.world);
        Self(scene)
    }
    fn attack(&mut self, _: u32) {
        self.0
            .flood(70, |evil| (1000..1300).map(|id| first(evil, id)).collect());
    }
    fn want(&mut self, round: u32) {
        let first = first(&self.0.victim, round as u16);
        let mut last = first.clone();
        last[20..22].copy_from_slice(&[0, 4]);
        let sum = outrigger_net::checksum::ipv4_header(&last[14..34]);
        last[24..26].copy_from_slice(&sum);
        self.0.victim.guest.put(0, &first, 0, None, &[]);
        self.0.victim.guest.put(0, &last, 0, None, &[]);
        self.0.victim.guest.kick(0);
    }
    fn pass(&mut self) -> usize {
        self.0.world.settle();
        self.0.world.advance(20);
        taken(&mut self.0.victim.guest);
        let frames = sent(&self.0.world);
        frames.iter().filter(|frame| frame[20..22] == [0, 4]).count()
    }
}

/// Guests on a bridge that mean harm, with as many queues as they can have, and one that does not. `KIND` is what they send.
struct Bridged<const KIND: u8> {
    world: World,
    evils: Vec<(Guest, [Shot; 1])>,
    bystanders: Vec<Guest>,
    victim: Guest,
    receiver: Guest,
}

/// Somebody who receives.
const RECEIVER: u8 = 20;
/// Frames of so many slots as there can be.
const SLOTS: u8 = 0;
/// The same, dropped for their source.
const SPOOFED: u8 = 1;
/// Small frames, to the victim's own receiver.
const SMALL: u8 = 2;
/// Large ones to the wire, where the victim sends, too.
const WIRE: u8 = 3;
/// Frames to guests of theirs that take none, and the victim sends to the wire.
const UNTAKEN: u8 = 4;
/// Broadcasts to many who cannot take them as they are.
const BROADCASTS: u8 = 5;

const GSO: Option<Gso> = Some(Gso {
    kind: GsoKind::TcpV4,
    size: 1448,
});

impl<const KIND: u8> Bridged<KIND> {
    /// What one of the others sends.
    fn shot(guest: &Guest, number: u8) -> Shot {
        let from = if KIND == SPOOFED { mac(99) } else { mac(number) };
        match KIND {
            SLOTS | SPOOFED | WIRE => {
                let to = if KIND == WIRE { PEER } else { mac(RECEIVER) };
                let cuts: Vec<usize> = (1..18).map(|part| part * 256).collect();
                Shot::new(guest, &blank(&tcp(from, to, true, 4600, 1)), (true, GSO), &cuts)
            }
            SMALL => Shot::new(
                guest,
                &blank(&udp(from, mac(RECEIVER), 100, 0)),
                (true, None),
                &[],
            ),
            UNTAKEN => {
                let next = mac(1 + number % EVILS);
                let frame = blank(&tcp(from, next, true, 60_000, 1));
                let cuts: Vec<usize> = (1..15).map(|page| page * 4096).collect();
                Shot::new(guest, &frame, (true, GSO), &cuts)
            }
            _ => Shot::new(guest, &blank(&udp(from, BROADCAST, 100, 0)), (true, None), &[]),
        }
    }
}

impl<const KIND: u8> Row for Bridged<KIND> {
    fn new(attacked: bool) -> Self {
        let world = World::new();
        let four = Options {
            queues: 4,
            posted: if KIND == UNTAKEN { 0 } else { 64 },
            ..Options::default()
        };
        let others = if attacked { EVILS } else { 0 };
        let evils = (1..=others).map(|number| {
            let guest = world.guest(number, four);
            unlimited(&guest);
            let shot = Self::shot(&guest, number);
            (guest, [shot])
        });
        let evils = evils.collect();
        let mut bystanders = Vec::new();
        if KIND == BROADCASTS {
            let plain = Options {
                csum: false,
                posted: 250,
                ..Options::default()
            };
            bystanders.extend((30..54).map(|number| world.guest(number, plain)));
        }
        let victim = world.guest(VICTIM, Options::default());
        let receiver = world.guest(RECEIVER, Options::default());
        [&victim, &receiver]
            .into_iter()
            .chain(&bystanders)
            .for_each(unlimited);
        Self {
            world,
            evils,
            bystanders,
            victim,
            receiver,
        }
    }

    fn attack(&mut self, _: u32) {
        for (evil, shots) in &mut self.evils {
            shoot(evil, shots, 70);
        }
    }

    fn want(&mut self, round: u32) {
        let to = if matches!(KIND, WIRE | UNTAKEN) {
            PEER
        } else {
            mac(RECEIVER)
        };
        let frame = blank(&udp(mac(VICTIM), to, 777, round as u8));
        self.victim.put(0, &frame, 1, None, &[]);
        self.victim.kick(0);
    }

    fn pass(&mut self) -> usize {
        turn(&self.world);
        self.victim.collect();
        for bystander in &mut self.bystanders {
            bystander.collect();
        }
        let its = |frame: &[u8]| frame[6..12] == mac(VICTIM);
        let at_guest = self.receiver.collect();
        let on_wire = sent(&self.world);
        let all = at_guest.iter().map(|got| &got.bytes).chain(&on_wire);
        all.filter(|frame| its(frame)).count()
    }
}

#[test]
fn the_mailbox() {
    all_fair(&[
        unfair::<Mailbox>("questions for the gateway, and pings", 150),
        unfair::<Dhcp>("DHCP, and pings", 150),
        unfair::<Errors>("ICMP errors", 200),
    ]);
}

#[test]
fn next_hops() {
    all_fair(&[
        unfair::<Questions>("the way out, and calls of absent neighbours", 480),
        unfair::<Waiting>("first packets, and calls of absent neighbours", 150),
    ]);
}

#[test]
fn conversations_and_fragments() {
    all_fair(&[
        unfair::<Conversations>("conversations", 24),
        unfair::<Fragments>("datagrams in parts", 200),
    ]);
}

#[test]
fn turns_and_pages() {
    all_fair(&[
        unfair::<Bridged<SLOTS>>("turns, and frames of 18 slots", 200),
        unfair::<Bridged<SPOOFED>>("turns, and frames from elsewhere", 200),
        unfair::<Bridged<SMALL>>("a receiver that many send to", 200),
        unfair::<Bridged<WIRE>>("the wire, and frames of 18 slots", 200),
        unfair::<Bridged<UNTAKEN>>("the wire, and frames that nobody takes", 200),
        unfair::<Bridged<BROADCASTS>>("frames that need work, and broadcasts", 200),
    ]);
}
