//! The driver domain fails at each of its steps in turn, and starts over in place: at every hypercall, every store to a ring
//! or to what survives, every touch of the device, every completion, every move of the control plane. Its guests see a
//! pause: each request is answered once, truly, and in the end nothing is held.

use std::collections::BTreeMap;

use outrigger_block::{Block, Budget};
use outrigger_xen::GrantRef;
use outrigger_xen::fake::Device;
use outrigger_xenbus::fake;

use crate::disk::{self, Order, SECTOR};
use crate::guest::{BARRIER, Buffer, ERROR, Guest, OKAY, Options, READ, UNSUPPORTED, WRITE};
use crate::world::{FE, Host, vbd};

const SECTORS: u64 = 1024;

/// What the guest and its toolstack do, one after the other, each as soon as the driver domain sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Attach,
    Publish,
    /// Until the device is connected.
    Connected,
    /// A batch of requests.
    Ask(usize),
    /// Everything is answered.
    Answered,
    /// Nothing completes.
    Hold,
    /// So many complete.
    Release(usize),
    LetGo,
    Order(Order),
    /// The frontend goes to a state.
    State(u8),
    /// Until the backend is in a state.
    Await(&'static str),
}

const BATCHES: usize = 7;

const SCRIPT: [Act; 30] = [
    Act::Attach,
    Act::Publish,
    Act::Connected,
    Act::Hold,
    Act::Ask(0),
    Act::Release(3),
    Act::Ask(1),
    Act::Order(Order::Last),
    Act::Release(4),
    Act::LetGo,
    Act::Answered,
    Act::Order(Order::First),
    Act::Ask(2),
    Act::Answered,
    Act::Hold,
    Act::Ask(3),
    Act::Release(2),
    Act::Release(1),
    Act::LetGo,
    Act::Answered,
    Act::Order(Order::Any(7)),
    Act::Ask(4),
    Act::Ask(5),
    Act::Answered,
    Act::Ask(6),
    Act::Answered,
    Act::State(5),
    Act::Await("5"),
    Act::State(6),
    Act::Await("6"),
];

/// The other side of the rings, which does not fail.
struct Others {
    device: Device,
    options: Options,
    at: usize,
    guest: Option<Guest>,
    buffers: Vec<Buffer>,
    pages: Vec<Buffer>,
    next_buffer: usize,
    next_page: usize,
    ring: usize,
    /// What the disk is to hold.
    model: Vec<u8>,
    expected: BTreeMap<u64, Expected>,
    answered: usize,
    /// The disk may be taken from the guest, and was.
    may_be_given_up: bool,
    /// The driver domain's steps when each act was over.
    steps: Vec<u64>,
    was_given_up: bool,
}

enum Expected {
    Status(i16),
    /// These bytes, in these buffers.
    Read(Vec<Buffer>, Vec<u8>),
    /// All that was answered before it is durable: the disk as it was then, and which blocks were being written.
    Flush(Vec<u8>, Vec<(usize, usize)>),
}

impl Others {
    fn new(options: Options) -> Self {
        Self {
            device: vbd(FE, 51712),
            options,
            at: 0,
            guest: None,
            buffers: Vec::new(),
            pages: Vec::new(),
            next_buffer: 0,
            next_page: 0,
            ring: 0,
            model: vec![0x5a; SECTORS as usize * SECTOR],
            expected: BTreeMap::new(),
            answered: 0,
            may_be_given_up: false,
            steps: Vec::new(),
            was_given_up: false,
        }
    }

    fn guest(&mut self) -> &mut Guest {
        self.guest.as_mut().expect("it is connected")
    }

    /// The guest ends its grants.
    fn let_go(&self) {
        let guest = self.guest.as_ref().expect("it is connected");
        for buffer in self.buffers.iter().chain(&self.pages) {
            let ended = guest.dom.revoke(buffer.gref);
            ended.expect("nobody has it mapped");
        }
    }

    /// Takes responses, if notified of any, as a frontend's handler does.
    fn hear(&mut self, host: &Host) {
        let Some(guest) = &mut self.guest else { return };
        if !guest.ports.iter().any(|port| guest.dom.is_pending(*port)) {
            return;
        }
        guest.collect();
        let expected = std::mem::take(&mut self.expected);
        for (id, expected) in expected {
            let Some(status) = guest.answer(id) else {
                self.expected.insert(id, expected);
                continue;
            };
            self.answered += 1;
            match expected {
                Expected::Status(expected) => assert_eq!(status, expected, "of {id:#x}"),
                Expected::Read(buffers, bytes) => {
                    assert_eq!(status, OKAY);
                    let read: Vec<u8> = buffers.iter().flat_map(Buffer::bytes).collect();
                    assert!(read == bytes, "{id:#x} brought what was written");
                }
                Expected::Flush(then, unsettled) => {
                    assert_eq!(status, OKAY);
                    let disk = host.disk();
                    let blocks = disk.durable.chunks(4096).zip(then.chunks(4096));
                    for (block, (durable, then)) in blocks.enumerate() {
                        let settled = !unsettled
                            .iter()
                            .any(|(from, count)| (*from..from + count).contains(&block));
                        assert!(
                            !settled || durable == then,
                            "block {block} is durable after the flush {id:#x}"
                        );
                    }
                }
            }
        }
    }

    fn take_buffers(&mut self, count: usize) -> Vec<Buffer> {
        let taken = (0..count).map(|n| self.buffers[(self.next_buffer + n) % self.buffers.len()].clone());
        let taken = taken.collect();
        self.next_buffer += count;
        taken
    }

    /// A read or write of whole blocks of 4 KiB, in one request, indirect if it must be.
    fn data(&mut self, operation: u8, block: usize, count: usize) {
        let buffers = self.take_buffers(count);
        let range = block * 4096..(block + count) * 4096;
        let (ring, sector) = (self.ring, 8 * block as u64);
        let segs: Vec<_> = buffers.iter().map(Buffer::whole).collect();
        if operation != READ {
            let seed = 1000 + self.next_buffer as u64;
            for (n, buffer) in buffers.iter().enumerate() {
                buffer.fill(seed + n as u64);
                self.model[range.start + 4096 * n..][..4096].copy_from_slice(&buffer.bytes());
            }
        }
        let page = self.pages[self.next_page % self.pages.len()].clone();
        let guest = self.guest.as_mut().expect("it is connected");
        let id = if count > 11 {
            self.next_page += 1;
            guest.indirect(ring, operation, sector, &segs, &page)
        } else {
            guest.data(ring, operation, sector, &segs)
        };
        let expected = match operation {
            READ => Expected::Read(buffers, self.model[range].to_vec()),
            _ => Expected::Status(OKAY),
        };
        self.expected.insert(id, expected);
        self.ring = (self.ring + 1) % self.options.queues as usize;
    }

    fn flush(&mut self, unsettled: &[(usize, usize)]) {
        let ring = self.ring;
        let id = self.guest().flush(ring);
        let expected = Expected::Flush(self.model.clone(), unsettled.to_vec());
        self.expected.insert(id, expected);
    }

    fn refused(&mut self, status: i16, ask: impl FnOnce(&mut Guest, &Buffer, usize) -> u64) {
        let buffer = self.take_buffers(1).remove(0);
        let ring = self.ring;
        let id = ask(self.guest(), &buffer, ring);
        self.expected.insert(id, Expected::Status(status));
    }

    fn ask(&mut self, batch: usize) {
        assert!(batch < BATCHES);
        match batch {
            0 => {
                for block in 0..6 {
                    self.data(WRITE, 4 * block, 1 + block % 3);
                }
                self.data(WRITE, 32, 12);
            }
            1 => {
                self.data(READ, 64, 2);
                self.data(WRITE, 48, 3);
                self.refused(ERROR, |guest, buffer, ring| {
                    guest.data(ring, WRITE, SECTORS - 4, &[buffer.whole()])
                });
                self.refused(ERROR, |guest, buffer, ring| {
                    guest.data(ring, READ, 0, &[buffer.whole(), (GrantRef(99_999), 0, 7)])
                });
                self.refused(UNSUPPORTED, |guest, buffer, ring| {
                    guest.data(ring, 9, 0, &[buffer.whole()])
                });
                self.refused(ERROR, |guest, _, ring| {
                    guest.indirect_raw(ring, READ, 0, 20, GrantRef(88_888), &[])
                });
            }
            2 => self.flush(&[]),
            3 => {
                self.data(READ, 32, 12);
                self.data(WRITE, 80, 2);
                self.flush(&[(80, 2), (84, 1)]);
                // On one ring: the barrier is after what comes before it, and before what comes after.
                let ring = self.ring;
                self.data(BARRIER, 84, 1);
                self.ring = ring;
                self.data(WRITE, 84, 1);
                self.data(READ, 48, 3);
            }
            4 => {
                let ring = self.ring;
                // More than the device discards at once.
                let id = self.guest().discard(ring, 8 * 32, 88, 0);
                self.model[32 * 4096..][..88 * SECTOR].fill(0);
                self.expected.insert(id, Expected::Status(OKAY));
                self.data(WRITE, 96, 1);
            }
            5 => {
                self.flush(&[(32, 12), (96, 1), (100, 13)]);
                self.data(WRITE, 100, 13);
                self.data(READ, 0, 3);
            }
            _ => {
                for block in (0..128).step_by(16) {
                    self.data(READ, block, 16);
                }
            }
        }
        for ring in 0..self.options.queues as usize {
            self.guest().kick(ring);
        }
    }
}

impl fake::Others<Host> for Others {
    fn go_on(&mut self, host: &Host) -> bool {
        let closing = SCRIPT.len() - 4;
        if self.may_be_given_up && !self.was_given_up && self.at < closing && host.state(self.device) == "5" {
            // As a frontend does whose disk is gone: what it has asked for fails, and it closes.
            self.was_given_up = true;
            self.at = SCRIPT.len() - 2;
        }
        if !self.was_given_up {
            self.hear(host);
        }
        let Some(act) = SCRIPT.get(self.at) else {
            return false;
        };
        let unanswered = self.guest.as_ref().map_or(0, Guest::unanswered);
        match *act {
            Act::Attach => host.attach(self.device, "virtio0", "w"),
            Act::Publish if host.state(self.device) != "2" => return false,
            Act::Publish => {
                let guest = Guest::publish(host, self.device, self.options);
                self.buffers = guest.buffers(128);
                self.pages = guest.buffers(8);
                self.guest = Some(guest);
            }
            Act::Connected if host.state(self.device) != "4" => return false,
            Act::Connected => self.guest().set_state(host, 4),
            Act::Ask(batch) => self.ask(batch),
            Act::Answered if unanswered > 0 => return false,
            Act::Answered => assert!(host.disk().data == self.model, "the disk is as it was written"),
            Act::Hold => host.disk().held = true,
            Act::Release(count) => host.disk().release(count),
            Act::LetGo => host.disk().let_go(),
            Act::Order(order) => host.disk().order = order,
            Act::State(state) => self.guest().set_state(host, state),
            Act::Await(state) if host.state(self.device) != state => return false,
            Act::Await(_) => {}
        }
        self.steps.push(host.dd.steps_taken());
        self.at += 1;
        true
    }

    fn is_over(&self) -> bool {
        self.at == SCRIPT.len()
    }

    fn waits_for(&self, host: &Host) -> String {
        format!("{:?}, {}", SCRIPT.get(self.at), host.error(self.device))
    }
}

/// One life: from the image's beginning until all is over, or it fails.
fn live(host: &Host, others: &mut Others) {
    let quiet = fake::quiet_domain(&host.dd);
    let block = Block::new(&quiet, Budget::default());
    host.add_disks(&block);
    fake::live(&host.dd, &block, host, others);
}

fn host(max_segments: usize) -> Host {
    let mut limits = disk::limits(SECTORS);
    limits.max_segments = max_segments;
    let host = Host::new(&[limits]);
    host.disk().data.fill(0x5a);
    host.disk().durable.fill(0x5a);
    host
}

/// A life that fails after so many steps; true if it did not come to that.
fn live_for(host: &Host, others: &mut Others, steps: u64) -> bool {
    fake::live_for(&host.dd, steps, || live(host, others))
}

/// Plays it all, failing after so many steps of each life but the last. The steps that the last one took.
fn play(options: Options, max_segments: usize, lives: &[u64]) -> u64 {
    let host = host(max_segments);
    let mut others = Others::new(options);
    let over = lives.iter().any(|steps| live_for(&host, &mut others, *steps));
    let before = host.dd.steps_taken();
    if !over {
        live(&host, &mut others);
    }
    let steps = host.dd.steps_taken() - before;
    let guest = others.guest();
    assert_eq!((guest.unanswered(), guest.dom.failed_revokes()), (0, 0));
    assert_eq!((others.expected.len(), others.answered), (0, 33));
    others.let_go();
    fake::assert_nothing_left(&host.dd);
    steps
}

/// After how many steps an act is over, if nothing fails.
fn when(options: Options, act: Act) -> u64 {
    let host = host(126);
    let mut others = Others::new(options);
    live(&host, &mut others);
    others.steps[SCRIPT.iter().position(|other| *other == act).expect("an act")]
}

fn every_step(options: Options, max_segments: usize, from: u64) {
    fake::every_step(from, 97, |lives| play(options, max_segments, lives));
}

#[test]
fn at_every_step_with_persistent_grants() {
    let options = Options {
        first: u32::MAX - 9,
        ..Options::default()
    };
    every_step(options, 126, 1);
}

#[test]
fn at_every_step_without_persistent_grants() {
    let options = Options {
        persistent: false,
        protocol: Some("x86_32-abi"),
        ..Options::default()
    };
    // Each request of more than three pages is several of the device's.
    every_step(options, 3, when(options, Act::Connected));
}

#[test]
fn at_every_step_with_several_rings() {
    let options = Options {
        queues: 3,
        order: 1,
        ..Options::default()
    };
    every_step(options, 126, when(options, Act::Connected));
}

/// What one word of a record became makes no difference, or the disk is given up with an error: nothing is guessed.
#[test]
fn what_was_written_over_is_given_up() {
    let options = Options {
        queues: 2,
        ..Options::default()
    };
    let (mut given_up, mut went_on) = (0, 0);
    // While requests are with the device; while responses are being written; before anything.
    let after = |act| when(options, act);
    let points = [
        after(Act::Ask(0)) + 60,
        after(Act::Release(4)) + 5,
        after(Act::Ask(3)) + 30,
        after(Act::Ask(6)) + 50,
    ];
    for steps in points {
        let words = {
            let host = host(126);
            assert!(!live_for(&host, &mut Others::new(options), steps));
            fake::words_kept(&host.dd)
        };
        assert_eq!(words.len(), 3, "two rings and how they were connected");
        for (key, at) in words
            .iter()
            .flat_map(|(key, words)| words.iter().map(move |at| (*key, *at)))
        {
            let host = host(126);
            let mut others = Others::new(options);
            assert!(!live_for(&host, &mut others, steps));
            fake::spoil(&host.dd, key, at);
            others.may_be_given_up = true;
            live(&host, &mut others);
            if others.was_given_up {
                given_up += 1;
                assert!(
                    host.error(others.device).contains("lost"),
                    "{}",
                    host.error(others.device)
                );
            } else {
                went_on += 1;
                assert_eq!(others.answered, 33);
            }
            others.let_go();
            fake::assert_nothing_left(&host.dd);
        }
    }
    assert!(
        given_up > 100 && went_on > 0,
        "{given_up} given up, {went_on} went on"
    );
}

#[test]
fn a_disk_of_which_nothing_was_kept_is_given_up() {
    let host = host(126);
    let options = Options::default();
    let mut others = Others::new(options);
    assert!(!live_for(&host, &mut others, when(options, Act::Ask(0)) + 50));
    host.dd.restart_unsound();
    others.may_be_given_up = true;
    live(&host, &mut others);
    assert!(others.was_given_up);
    others.let_go();
    fake::assert_nothing_left(&host.dd);
}
