//! A guest with a strict frontend: it checks every response against the protocol.

use std::collections::BTreeMap;

use outrigger_netif::{Checksum, Extra, Gso, HashValue, RxResponse, RxStatus, TxRequest};
use outrigger_ring::FrontRing;
use outrigger_xen::fake::{Device, Domain, FakePages};
use outrigger_xen::{Access, EventChannels, GrantRef, Port};

use crate::world::{DD, Host, World};

pub const MORE: u16 = 4;
pub const EXTRA: u16 = 8;

/// How a frontend connects.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub queues: u32,
    pub split: bool,
    pub sg: bool,
    pub gso: bool,
    pub csum: bool,
    pub multicast: bool,
    pub control: bool,
    pub headroom: u32,
    /// Where the rings' indices start.
    pub first: u32,
    /// Pages posted for reception.
    pub posted: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queues: 1,
            split: true,
            sg: true,
            gso: true,
            csum: true,
            multicast: false,
            control: false,
            headroom: 0,
            first: 0,
            posted: 200,
        }
    }
}

/// A frame as the guest got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    pub bytes: Vec<u8>,
    pub checksum: Checksum,
    pub gso: Option<Gso>,
    pub hash: Option<HashValue>,
    pub queue: usize,
}

pub struct Rings {
    pub tx: FrontRing<FakePages>,
    pub rx: FrontRing<FakePages>,
    pub tx_page: FakePages,
    pub rx_page: FakePages,
    pub tx_port: Port,
    pub rx_port: Port,
    next_id: u16,
    /// References in use by id.
    pub sending: BTreeMap<u16, GrantRef>,
    /// Empty pages in the order in which they were posted.
    posted: std::collections::VecDeque<(u16, GrantRef, FakePages)>,
    next_post: u16,
}

pub struct Guest {
    pub dom: Domain,
    pub device: Device,
    pub options: Options,
    pub queues: Vec<Rings>,
    pub control: Option<(FrontRing<FakePages>, Port)>,
    /// What became of TX slots, in order: id and status.
    pub answers: Vec<(u16, i16)>,
    /// RX chains that the backend gave up.
    pub errors: usize,
    /// Notifications that came.
    pub events: u64,
    /// Posted pages may have been written to before.
    pub pages_may_be_used: bool,
}

impl Guest {
    /// A guest whose frontend has published its rings and gone to state 4.
    pub fn publish(world: &Host, device: Device, options: Options) -> Self {
        let dom = world.xen.domain(device.frontend);
        let fe = world.xs.by(device.frontend);
        let top = device.frontend_path();
        let write = |key: &str, value: String| fe.write(&format!("{top}/{key}"), value).unwrap();
        let flag = |on: bool| u32::from(on).to_string();
        write("request-rx-copy", "1".into());
        write("feature-rx-notify", "1".into());
        write("feature-sg", flag(options.sg));
        write("feature-gso-tcpv4", flag(options.gso));
        write("feature-gso-tcpv6", flag(options.gso));
        write("feature-ipv6-csum-offload", flag(options.csum));
        write("feature-no-csum-offload", flag(!options.csum));
        write("request-multicast-control", flag(options.multicast));
        write("multi-queue-num-queues", options.queues.to_string());
        if options.headroom > 0 {
            write("xdp-headroom", options.headroom.to_string());
        }
        let mut queues = Vec::new();
        for queue in 0..options.queues {
            let prefix = if options.queues == 1 {
                String::new()
            } else {
                format!("queue-{queue}/")
            };
            let (tx_page, rx_page) = (dom.pages(1), dom.pages(1));
            let tx_port = dom.alloc_unbound(DD).unwrap();
            let rx_port = if options.split {
                dom.alloc_unbound(DD).unwrap()
            } else {
                tx_port
            };
            let grant = |page: &FakePages| dom.grant(page, 0, DD, Access::ReadWrite).0.to_string();
            write(&format!("{prefix}tx-ring-ref"), grant(&tx_page));
            write(&format!("{prefix}rx-ring-ref"), grant(&rx_page));
            if options.split {
                write(&format!("{prefix}event-channel-tx"), tx_port.0.to_string());
                write(&format!("{prefix}event-channel-rx"), rx_port.0.to_string());
            } else {
                write(&format!("{prefix}event-channel"), tx_port.0.to_string());
            }
            queues.push(Rings {
                tx: FrontRing::init(tx_page.clone(), 12, options.first).unwrap(),
                rx: FrontRing::init(rx_page.clone(), 8, options.first).unwrap(),
                tx_page,
                rx_page,
                tx_port,
                rx_port,
                next_id: 0,
                sending: BTreeMap::new(),
                posted: Default::default(),
                next_post: 0,
            });
        }
        let control = options.control.then(|| {
            let page = dom.pages(1);
            let port = dom.alloc_unbound(DD).unwrap();
            write(
                "ctrl-ring-ref",
                dom.grant(&page, 0, DD, Access::ReadWrite).0.to_string(),
            );
            write("event-channel-ctrl", port.0.to_string());
            (FrontRing::init(page, 16, 0).unwrap(), port)
        });
        let mut guest = Self {
            dom,
            device,
            options,
            queues,
            control,
            answers: Vec::new(),
            errors: 0,
            events: 0,
            pages_may_be_used: false,
        };
        for queue in 0..guest.queues.len() {
            guest.post(queue, options.posted);
        }
        guest.set_state(world, "4");
        guest
    }

    pub fn set_state(&self, world: &Host, state: &str) {
        self.write(world, "state", state);
    }

    /// Writes a node of its own.
    pub fn write(&self, world: &Host, key: &str, value: &str) {
        let fe = world.xs.by(self.device.frontend);
        fe.write(&format!("{}/{key}", self.device.frontend_path()), value)
            .unwrap();
    }

    /// A connected guest.
    pub fn boot(world: &World, device: Device, options: Options) -> Self {
        world.settle();
        assert_eq!(world.state(device), "2", "{}", world.error(device));
        let mut guest = Self::publish(world, device, options);
        world.advance(600);
        assert_eq!(world.state(device), "4", "{}", world.error(device));
        guest.collect();
        guest
    }

    /// Posts empty pages.
    pub fn post(&mut self, queue: usize, count: u32) {
        let rings = &mut self.queues[queue];
        for _ in 0..count {
            let page = self.dom.pages(1);
            page.write(0, &[0xee; 4096]);
            let gref = self.dom.grant(&page, 0, DD, Access::ReadWrite);
            let id = rings.next_post & 0xff;
            rings.next_post = rings.next_post.wrapping_add(1);
            rings.rx.request(&[u32::from(id), gref.0]);
            rings.posted.push_back((id, gref, page));
        }
        if rings.rx.push() {
            self.dom.notify(rings.rx_port);
        }
    }

    /// Writes a raw TX slot.
    pub fn raw(&mut self, queue: usize, words: [u32; 3]) {
        self.queues[queue].tx.request(&words);
    }

    pub fn kick(&mut self, queue: usize) {
        if self.queues[queue].tx.push() {
            self.dom.notify(self.queues[queue].tx_port);
        }
    }

    /// Puts a frame into pages and its slots into the ring. `cuts`: where fragments end, beside page ends.
    pub fn put(&mut self, queue: usize, frame: &[u8], flags: u16, gso: Option<Gso>, cuts: &[usize]) {
        let mut ends: Vec<usize> = cuts.iter().copied().filter(|cut| *cut < frame.len()).collect();
        ends.push(frame.len());
        let mut pieces = Vec::new();
        let mut start = 0;
        for end in ends {
            while start < end {
                let offset = match start {
                    // Where a cut leaves no room for it, the fragment has its page to itself.
                    0 if (3997..=4096).contains(&end) => 0,
                    0 => 100,
                    _ => start % 7,
                };
                let len = (end - start).min(4096 - offset);
                pieces.push((start, offset, len));
                start += len;
            }
        }
        let rings = &mut self.queues[queue];
        let count = pieces.len();
        for (index, (start, offset, len)) in pieces.into_iter().enumerate() {
            let page = self.dom.pages(1);
            page.write(offset, &frame[start..start + len]);
            let gref = self.dom.grant(&page, 0, DD, Access::ReadOnly);
            let id = rings.next_id & 0x1ff;
            rings.next_id = rings.next_id.wrapping_add(1);
            let mut slot_flags = if index == 0 { flags } else { 0 };
            if index + 1 < count {
                slot_flags |= MORE;
            }
            if index == 0 && gso.is_some() {
                slot_flags |= EXTRA;
            }
            let request = TxRequest {
                gref: gref.0,
                offset: offset as u16,
                flags: slot_flags,
                id,
                size: if index == 0 { frame.len() } else { len } as u16,
            };
            rings.tx.request(&request.encode());
            rings.sending.insert(id, gref);
            if index == 0
                && let Some(gso) = gso
            {
                let [a, b] = Extra::Gso(Ok(gso)).encode(false);
                rings.tx.request(&[a, b, 0]);
            }
        }
    }

    /// Sends one plain frame.
    pub fn send(&mut self, frame: &[u8]) {
        self.put(0, frame, 0, None, &[]);
        self.kick(0);
    }

    /// Takes what came, and checks it. Posts as many pages again.
    pub fn collect(&mut self) -> Vec<Got> {
        let mut got = Vec::new();
        let mut events = 0;
        self.dom.take_pending(&mut |_| events += 1);
        self.events += events;
        for queue in 0..self.queues.len() {
            self.collect_tx(queue);
            let used = self.collect_rx(queue, &mut got);
            self.post(queue, used);
        }
        got
    }

    fn collect_tx(&mut self, queue: usize) {
        let rings = &mut self.queues[queue];
        loop {
            for _ in 0..rings.tx.pending().expect("no more responses than requests") {
                let mut words = [0; 1];
                rings.tx.consume(&mut words);
                let (id, status) = (words[0] as u16, ((words[0] >> 16) as u16).cast_signed());
                self.answers.push((id, status));
                if status == 1 {
                    continue;
                }
                if let Some(gref) = rings.sending.remove(&id) {
                    self.dom.revoke(gref).expect("nobody has it mapped");
                }
            }
            if !rings.tx.final_check().unwrap() {
                return;
            }
        }
    }

    /// How many slots were used up.
    fn collect_rx(&mut self, queue: usize, got: &mut Vec<Got>) -> u32 {
        let rings = &mut self.queues[queue];
        let mut used = 0;
        while rings.rx.pending().unwrap() > 0 || rings.rx.final_check().unwrap() {
            let mut frame = Got {
                bytes: Vec::new(),
                checksum: Checksum::Unknown,
                gso: None,
                hash: None,
                queue,
            };
            let (mut first, mut bad) = (true, false);
            let mut slots = 0;
            loop {
                assert!(rings.rx.pending().unwrap() > 0, "chains are published whole");
                let mut words = [0; 2];
                rings.rx.consume(&mut words);
                let (id, gref, page) = rings.posted.pop_front().unwrap();
                used += 1;
                slots += 1;
                let (response, _) = RxResponse::decode(words);
                assert_eq!(response.id, id, "the response lies in its request's slot");
                self.dom.revoke(gref).expect("nobody has it mapped");
                match response.status {
                    RxStatus::Bytes(bytes) => {
                        assert!(usize::from(response.offset) + usize::from(bytes) <= 4096 && bytes > 0);
                        assert_eq!(u32::from(response.offset), self.options.headroom);
                        let mut here = vec![0; bytes.into()];
                        page.read(response.offset.into(), &mut here);
                        frame.bytes.extend(here);
                        // Nothing beside what the response names was touched.
                        let mut rest = vec![0; 4096 - usize::from(response.offset) - usize::from(bytes)];
                        page.read(4096 - rest.len(), &mut rest);
                        // An earlier life may have failed between writing a page and saying so.
                        let clean = rest.iter().all(|byte| *byte == 0xee);
                        assert!(clean || self.pages_may_be_used, "written past the end");
                    }
                    RxStatus::Error => bad = true,
                }
                if first {
                    frame.checksum = response.checksum;
                    let mut extra = response.extra;
                    while extra {
                        let mut words = [0; 2];
                        rings.rx.consume(&mut words);
                        let (_, gref, _) = rings.posted.pop_front().unwrap();
                        self.dom.revoke(gref).unwrap();
                        used += 1;
                        let (parsed, more) = Extra::decode(words);
                        match parsed {
                            Some(Extra::Gso(gso)) => frame.gso = Some(gso.expect("a GSO that is one")),
                            Some(Extra::Hash(hash)) => frame.hash = Some(hash),
                            other => panic!("extra {other:?}"),
                        }
                        extra = more;
                    }
                } else {
                    assert!(!response.extra && response.checksum == Checksum::Unknown);
                }
                first = false;
                if !response.more {
                    break;
                }
            }
            assert!(slots <= 18, "a chain of {slots} slots");
            if bad {
                self.errors += 1;
            } else {
                got.push(frame);
            }
        }
        used
    }

    /// The statuses of all data slots answered so far.
    pub fn take_statuses(&mut self) -> Vec<i16> {
        std::mem::take(&mut self.answers)
            .into_iter()
            .map(|(_, status)| status)
            .filter(|status| *status != 1)
            .collect()
    }
}
