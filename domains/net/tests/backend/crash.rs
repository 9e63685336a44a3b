//! The driver domain fails at each of its steps in turn, and starts over in place. Frames may be lost or come twice, as on any
//! wire; but every slot is answered once, in its place, no frame reaches whom it is not for or changes on its way, no
//! page is left over, and what guests have told by message is still known.

use outrigger_net::Net;
use outrigger_netif::{ControlRequest, Extra, Gso};
use outrigger_xen::{Access, EventChannels, GrantRef};
use outrigger_xenbus::fake;

use crate::card;
use crate::frames::{PEER, mac, tcp, udp};
use crate::guest::{EXTRA, Guest, Options};
use crate::world::{DD, Host, vif};

/// Somebody that guest 1 listens to, and somebody that it does not.
const HEARD: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const UNHEARD: [u8; 6] = [0x33, 0x33, 0, 0, 0, 2];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Attach,
    Publish,
    Connected,
    /// Some frames, all ways.
    Send(u8),
    /// Guest 1 adds to its list.
    Listen,
    /// Guest 1 has its frames hashed: the message of that number.
    Hash(usize),
    /// A frame from guest 2 to guest 1, one from the wire for those who listen, one for others, until the first two have come.
    Until(u8),
    /// Everything is answered.
    Answered,
    State(&'static str),
    Await(&'static str),
}

const SCRIPT: [Act; 19] = [
    Act::Attach,
    Act::Publish,
    Act::Connected,
    Act::Send(1),
    Act::Listen,
    Act::Send(2),
    Act::Hash(0),
    Act::Hash(1),
    Act::Hash(2),
    Act::Hash(3),
    Act::Answered,
    Act::Send(3),
    Act::Until(4),
    Act::Send(5),
    Act::Answered,
    Act::Until(6),
    Act::Answered,
    Act::State("6"),
    Act::Await("6"),
];

struct Others {
    at: usize,
    guests: Vec<Guest>,
    options: Options,
    /// What may come to guests 1 and 2 and to the wire.
    sent: [Vec<Vec<u8>>; 3],
    /// What came since the last act.
    came: Vec<Vec<u8>>,
    hashed: bool,
    key: Option<GrantRef>,
    /// Control messages that were sent and answered.
    messages: (u16, u16),
    answered: usize,
    slots: usize,
    idle: u32,
    may_be_given_up: bool,
    /// The driver domain's steps when each act was over.
    steps: Vec<u64>,
    was_given_up: bool,
}

impl Others {
    fn new(options: Options) -> Self {
        Self {
            at: 0,
            guests: Vec::new(),
            options,
            sent: Default::default(),
            came: Vec::new(),
            hashed: false,
            key: None,
            messages: (0, 0),
            answered: 0,
            slots: 0,
            idle: 0,
            may_be_given_up: false,
            steps: Vec::new(),
            was_given_up: false,
        }
    }

    fn states(&self, host: &Host) -> [String; 2] {
        [1, 2].map(|number| host.state(vif(number)))
    }

    /// Takes what came, if notified, as a frontend's handler does.
    fn hear(&mut self, host: &Host) {
        for (number, guest) in self.guests.iter_mut().enumerate() {
            let mut ports = guest
                .queues
                .iter()
                .flat_map(|queue| [queue.tx_port, queue.rx_port]);
            if !ports.any(|port| guest.dom.is_pending(port)) {
                continue;
            }
            for frame in guest.collect() {
                assert!(
                    self.sent[number].contains(&frame.bytes),
                    "guest {} gets what is for it",
                    number + 1
                );
                if number == 0 && self.hashed && frame.bytes[12..14] == [8, 0] && frame.bytes[..6] == mac(1) {
                    assert!(frame.hash.is_some(), "frames are hashed as the guest has said");
                }
                self.came.push(frame.bytes);
            }
            assert_eq!(guest.errors, 0, "no slot is spoilt");
            self.answered += guest
                .take_statuses()
                .iter()
                .inspect(|status| assert_eq!(**status, 0))
                .count();
        }
        for sent in host.card.borrow_mut().take_sent() {
            assert!(self.sent[2].contains(&sent.bytes), "the wire gets what is for it");
        }
        if let Some((ring, _)) = self.guests.first_mut().and_then(|guest| guest.control.as_mut()) {
            for _ in 0..ring.pending().unwrap() {
                let mut words = [0; 3];
                ring.consume(&mut words);
                assert_eq!(
                    (words[0] as u16, words[1]),
                    (self.messages.1, 0),
                    "each message is answered once, well"
                );
                self.messages.1 += 1;
            }
            let _ = ring.final_check();
        }
    }

    fn put(&mut self, from: usize, to: usize, frame: &[u8], gso: Option<Gso>, cuts: &[usize]) {
        self.sent[to].push(frame.to_vec());
        let guest = &mut self.guests[from];
        let before = guest.queues[0].sending.len();
        guest.put(0, frame, if gso.is_some() { 3 } else { 0 }, gso, cuts);
        self.slots += guest.queues[0].sending.len() - before;
    }

    fn send(&mut self, host: &Host, seed: u8) {
        for len in [0, 150, 1000] {
            self.put(0, 1, &udp(mac(1), mac(2), len, seed), None, &[]);
            self.put(1, 0, &udp(mac(2), mac(1), len, seed), None, &[40, 60]);
            self.put(0, 2, &udp(mac(1), PEER, len, seed), None, &[300]);
            let frame = udp(PEER, mac(2), len, seed);
            host.card.borrow_mut().arrive(&frame);
            self.sent[1].push(frame);
        }
        let large = tcp(mac(2), mac(1), true, 9000, seed);
        let gso = Gso {
            kind: outrigger_devices::GsoKind::TcpV4,
            size: 1448,
        };
        self.put(1, 0, &crate::frames::blank(&large), Some(gso), &[4000]);
        self.guests.iter_mut().for_each(|guest| guest.kick(0));
    }
}

impl fake::Others<Host> for Others {
    fn go_on(&mut self, host: &Host) -> bool {
        let closing = SCRIPT.len() - 2;
        if self.may_be_given_up && self.at < closing && self.states(host).contains(&"5".to_string()) {
            self.was_given_up = true;
            self.at = closing;
        }
        if !self.was_given_up {
            self.hear(host);
        }
        let Some(act) = SCRIPT.get(self.at) else {
            return false;
        };
        match *act {
            Act::Attach => [1, 2].iter().for_each(|number| host.attach(*number, &[])),
            Act::Publish if self.states(host) != ["2", "2"] => return false,
            Act::Publish => {
                for number in [1, 2] {
                    let first = number == 1;
                    let options = Options {
                        control: first,
                        multicast: first,
                        ..self.options
                    };
                    let mut guest = Guest::publish(host, vif(number), options);
                    guest.pages_may_be_used = true;
                    self.guests.push(guest);
                }
            }
            Act::Connected if self.states(host) != ["4", "4"] => return false,
            Act::Connected => {}
            Act::Send(seed) => self.send(host, seed),
            Act::Listen => {
                // A request whose one purpose is its extra.
                let guest = &mut self.guests[0];
                guest.raw(0, [0, u32::from(EXTRA) << 16, 0x1ff]);
                let [a, b] = Extra::MulticastAdd(HEARD).encode(false);
                guest.raw(0, [a, b, 0]);
                self.slots += 1;
                guest.kick(0);
            }
            Act::Hash(number) => {
                let key = *self.key.get_or_insert_with(|| {
                    let guest = &self.guests[0];
                    let page = guest.dom.pages(1);
                    page.write(0, &[0x6d; 40]);
                    guest.dom.grant(&page, 0, DD, Access::ReadOnly)
                });
                let (kind, data) = [
                    (7, [1, 0, 0]),
                    (2, [15, 0, 0]),
                    (3, [key.0, 40, 0]),
                    (5, [1, 0, 0]),
                ][number];
                let id = self.messages.0;
                self.messages.0 += 1;
                let dom = self.guests[0].dom.clone();
                let (ring, port) = self.guests[0].control.as_mut().expect("it has one");
                ring.request(&ControlRequest { id, kind, data }.encode());
                if ring.push() {
                    dom.notify(*port);
                }
            }
            Act::Answered if self.answered < self.slots || self.messages.0 > self.messages.1 => return false,
            Act::Answered => self.hashed = self.messages.1 == 4,
            Act::Until(seed) => {
                let wanted = [udp(mac(2), mac(1), 77, seed), udp(PEER, HEARD, 78, seed)];
                if !wanted.iter().all(|frame| self.came.contains(frame)) {
                    self.idle += 1;
                    if self.idle % 20 == 1 {
                        self.put(1, 0, &wanted[0], None, &[]);
                        self.guests[1].kick(0);
                        let unheard = udp(PEER, UNHEARD, 79, seed);
                        self.sent[1].extend([wanted[1].clone(), unheard.clone()]);
                        self.sent[0].push(wanted[1].clone());
                        host.card.borrow_mut().arrive(&wanted[1]);
                        host.card.borrow_mut().arrive(&unheard);
                        return true;
                    }
                    return false;
                }
                self.idle = 0;
            }
            Act::State(state) => self.guests.iter().for_each(|guest| guest.set_state(host, state)),
            Act::Await(state) if self.states(host) != [state, state] => return false,
            Act::Await(_) => {}
        }
        self.steps.push(host.dd.steps_taken());
        self.at += 1;
        true
    }

    fn is_over(&self) -> bool {
        self.at == SCRIPT.len()
    }

    fn waits_for(&self, _: &Host) -> String {
        format!("{:?}", SCRIPT.get(self.at))
    }
}

/// One life: from the image's beginning until all is over, or it fails.
fn live(host: &Host, others: &mut Others) {
    let quiet = fake::quiet_domain(&host.dd);
    let net = Net::new(&quiet);
    host.begin(&net, 200, "lan0:virtio0,private");
    fake::live(&host.dd, &net, host, others);
}

/// A life that fails after so many steps; true if it did not come to that.
fn live_for(host: &Host, others: &mut Others, steps: u64) -> bool {
    fake::live_for(&host.dd, steps, || live(host, others))
}

/// Plays it all, failing after so many steps of each life but the last. The steps that the last one took.
fn play(options: Options, lives: &[u64]) -> u64 {
    let host = Host::new(card::limits());
    let mut others = Others::new(options);
    let over = lives.iter().any(|steps| live_for(&host, &mut others, *steps));
    let before = host.dd.steps_taken();
    if !over {
        live(&host, &mut others);
    }
    let steps = host.dd.steps_taken() - before;
    assert_eq!(others.answered, others.slots);
    assert!(
        others
            .guests
            .iter()
            .all(|guest| guest.queues[0].sending.is_empty())
    );
    fake::assert_nothing_left(&host.dd);
    steps
}

/// After how many steps an act is over, if nothing fails.
fn when(options: Options, act: Act) -> u64 {
    let host = Host::new(card::limits());
    let mut others = Others::new(options);
    live(&host, &mut others);
    others.steps[SCRIPT.iter().position(|other| *other == act).expect("an act")]
}

fn every_step(options: Options, from: u64) {
    fake::every_step(from, 297, |lives| play(options, lives));
}

#[test]
fn at_every_step() {
    let options = Options {
        first: u32::MAX - 9,
        posted: 100,
        ..Options::default()
    };
    every_step(options, 1);
}

#[test]
fn at_every_step_with_several_queues() {
    let options = Options {
        queues: 2,
        split: false,
        posted: 40,
        ..Options::default()
    };
    every_step(options, when(options, Act::Connected));
}

/// What one word of a record became makes no difference, or the vif is given up: nothing is guessed.
#[test]
fn what_was_written_over_is_given_up() {
    let options = Options {
        posted: 60,
        ..Options::default()
    };
    let (mut given_up, mut went_on) = (0, 0);
    let after = |act| when(options, act);
    let points = [
        after(Act::Send(1)) + 60,
        after(Act::Hash(2)) + 5,
        after(Act::Send(3)) + 100,
        after(Act::Send(5)) + 200,
    ];
    for steps in points {
        let host = Host::new(card::limits());
        assert!(!live_for(&host, &mut Others::new(options), steps));
        let mut places = fake::words_kept(&host.dd);
        assert_eq!(
            places.len(),
            6,
            "two vifs: a queue, the whole, and how they were connected"
        );
        for (_, words) in &mut places {
            // Of what is long, some.
            let mut n = 0;
            words.retain(|_| {
                n += 1;
                n <= 3 || (n - 1) % 29 == 0
            });
        }
        for (key, at) in places
            .iter()
            .flat_map(|(key, words)| words.iter().map(move |at| (*key, *at)))
        {
            let host = Host::new(card::limits());
            let mut others = Others::new(options);
            assert!(!live_for(&host, &mut others, steps));
            fake::spoil(&host.dd, key, at);
            others.may_be_given_up = true;
            live(&host, &mut others);
            if others.was_given_up {
                given_up += 1;
            } else {
                went_on += 1;
            }
            fake::assert_nothing_left(&host.dd);
        }
    }
    println!("{given_up} given up, {went_on} went on");
    assert!(given_up > 20 && went_on > 0);
}
