use super::super::mailbox::Mailbox;
use super::*;

const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn own() -> Subnet {
    Subnet::new(Ipv4Addr::new(10, 0, 0, 9), 16).unwrap()
}

fn at(ms: u64) -> Instant {
    Instant(ms * 1_000_000)
}

struct Bench {
    neighbours: Neighbours,
    mailbox: Mailbox,
}

impl Bench {
    fn new() -> Self {
        Self {
            neighbours: Neighbours::new(at(0)),
            mailbox: Mailbox::default(),
        }
    }

    fn find(&mut self, ip: Ipv4Addr, ms: u64) -> Option<Mac> {
        self.find_by(1, ip, ms)
    }

    /// Guest `by` calls.
    fn find_by(&mut self, by: u8, ip: Ipv4Addr, ms: u64) -> Option<Mac> {
        self.neighbours
            .find(ip, by, at(ms), (OURS, own()), &mut self.mailbox.written)
    }

    /// What was written since, by its first bytes.
    fn written(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(frame) = self.mailbox.written.front() {
            all.push(frame.bytes().to_vec());
            self.mailbox.written.pop();
        }
        all
    }

    /// `ip` says that its MAC is this, to `to`.
    fn reply(&mut self, ip: Ipv4Addr, mac: [u8; 6], to: Ipv4Addr, ms: u64) {
        self.reply_from(true, ip, mac, to, ms);
    }

    fn reply_from(&mut self, wire: bool, ip: Ipv4Addr, mac: [u8; 6], to: Ipv4Addr, ms: u64) {
        let head = [&OURS.0[..], &mac[..], &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]].concat();
        let frame = [
            &head[..],
            &mac[..],
            &ip.octets()[..],
            &OURS.0[..],
            &to.octets()[..],
        ]
        .concat();
        self.neighbours
            .hear(&frame, wire, own(), at(ms), &mut self.mailbox.written);
    }
}

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

#[test]
fn asked_answered_and_asked_again() {
    let mut bench = Bench::new();
    assert_eq!(bench.find(ROUTER, 0), None);
    assert_eq!(bench.find(ROUTER, 500), None);
    assert_eq!(bench.written().len(), 1, "once a second");
    assert_eq!(bench.find(ROUTER, 1000), None);
    assert_eq!(bench.written().len(), 1);
    // Not to us; a group's.
    bench.reply(ROUTER, MAC, ROUTER, 1100);
    bench.reply(ROUTER, [3; 6], own().address(), 1100);
    assert_eq!(bench.find(ROUTER, 1200), None);
    bench.reply(ROUTER, MAC, own().address(), 1200);
    assert_eq!(bench.find(ROUTER, 61_000), Some(Mac(MAC)));
    assert_eq!(bench.written().len(), 0);
    assert_eq!(
        bench.find(ROUTER, 61_300),
        Some(Mac(MAC)),
        "known still, and asked again"
    );
    assert_eq!(bench.written().len(), 1);
    assert_eq!(bench.find(ROUTER, 121_300), None, "nobody has answered");
    // What nobody asked for is not learned.
    let other = Ipv4Addr::new(10, 0, 0, 50);
    bench.reply(other, MAC, own().address(), 121_300);
    assert_eq!(bench.find(other, 121_300), None);
}

#[test]
fn what_waits_goes_on_in_order() {
    let mut bench = Bench::new();
    let other = Ipv4Addr::new(10, 0, 0, 50);
    bench.find(ROUTER, 0);
    bench.find(other, 0);
    bench.written();
    let put = |bytes: &mut [u8], mark: u8| bytes.fill(mark);
    for mark in 0..17 {
        let ip = if mark % 2 == 0 { ROUTER } else { other };
        let waits = bench.neighbours.wait(ip, 1, at(1), 60, |bytes| put(bytes, mark));
        let room = if mark < 16 { Put::Added } else { Put::Refused };
        assert_eq!(waits, room, "room for sixteen");
    }
    bench.reply(ROUTER, MAC, own().address(), 2);
    let marks: Vec<u8> = bench
        .written()
        .iter()
        .map(|frame| {
            assert_eq!(frame[..6], MAC);
            frame[59]
        })
        .collect();
    assert_eq!(marks, [0, 2, 4, 6, 8, 10, 12, 14]);
    bench.reply(other, MAC, own().address(), 3);
    assert_eq!(
        bench.written().iter().map(|frame| frame[59]).collect::<Vec<_>>(),
        [1, 3, 5, 7, 9, 11, 13, 15]
    );
    // What waits in vain is given up.
    bench.find(ROUTER, 200_000);
    for late in [0, 4000] {
        for mark in 0..16 {
            let waits = bench
                .neighbours
                .wait(ROUTER, 1, at(200_000 + late), 60, |bytes| put(bytes, mark));
            assert_eq!(waits, Put::Added);
        }
    }
}

#[test]
fn whoever_calls_all_does_not_push_the_router_out() {
    let mut bench = Bench::new();
    bench.find(ROUTER, 0);
    bench.reply(ROUTER, MAC, own().address(), 0);
    let mut asked = 0;
    for number in 0..20_000u32 {
        let ms = u64::from(number);
        let ip = Ipv4Addr::from_bits(own().network().to_bits() + 256 + number);
        assert_eq!(bench.find(ip, ms), None);
        asked += bench.written().len();
        if number.is_multiple_of(1000) {
            assert_eq!(bench.find(ROUTER, ms), Some(Mac(MAC)));
        }
    }
    assert!(asked <= 20 * 25 + 1, "{asked} questions in 20 s");
}

/// Guests 2 to 9 call everybody there is, all the time.
fn noise(bench: &mut Bench, round: u32, ms: u64) {
    for guest in 2..10 {
        for call in 0..8 {
            let number = u32::from(guest) << 12 | (round * 8 + call) & 0xfff;
            let ip = Ipv4Addr::from_bits(own().network().to_bits() | number);
            bench.find_by(guest, ip, ms);
            bench
                .neighbours
                .wait(ip, guest, at(ms), 60, |bytes| bytes.fill(guest));
        }
    }
}

#[test]
fn the_router_is_asked_for_again_in_any_noise() {
    let mut bench = Bench::new();
    bench.neighbours.set_router(Some(ROUTER));
    bench.find(ROUTER, 0);
    bench.reply(ROUTER, MAC, own().address(), 0);
    bench.written();
    for round in 0..600 {
        let ms = 500 * u64::from(round);
        noise(&mut bench, round, ms);
        // Who asks first, asks at nobody's expense; and at the latest after a minute.
        assert_eq!(bench.find(ROUTER, ms), Some(Mac(MAC)), "after {ms} ms");
        let asked = bench
            .written()
            .iter()
            .any(|frame| frame[38..42] == ROUTER.octets());
        if asked {
            bench.reply(ROUTER, MAC, own().address(), ms);
        }
    }
}

#[test]
fn the_router_is_asked_for_before_its_entry_ends() {
    let mut bench = Bench::new();
    let refresh = |bench: &mut Bench, ms: u64| {
        let next = bench
            .neighbours
            .refresh(at(ms), (OURS, own()), &mut bench.mailbox.written);
        (next.map(|next| next.0 / 1_000_000), bench.written().len())
    };
    bench.neighbours.set_router(Some(ROUTER));
    assert_eq!(refresh(&mut bench, 0), (None, 0), "nobody needs it yet");
    bench.find(ROUTER, 0);
    bench.written();
    bench.reply(ROUTER, MAC, own().address(), 10);
    assert_eq!(refresh(&mut bench, 20), (Some(60_010), 0));
    assert_eq!(refresh(&mut bench, 60_010), (Some(61_010), 1));
    assert_eq!(refresh(&mut bench, 60_500), (Some(61_010), 0), "once a second");
    bench.reply(ROUTER, MAC, own().address(), 60_600);
    assert_eq!(refresh(&mut bench, 60_700), (Some(120_600), 0));
    assert_eq!(
        refresh(&mut bench, 120_600),
        (None, 0),
        "nobody has needed it for two minutes"
    );
}

#[test]
fn a_call_in_any_noise_finds_its_way() {
    let mut bench = Bench::new();
    let (mut known, mut waited) = (0, 0);
    for round in 0..200 {
        let ms = 500 * u64::from(round);
        // Of others what they call, another one each time.
        let ip = Ipv4Addr::from_bits(own().network().to_bits() | 0xf000 | round);
        let put = |bench: &mut Bench| bench.neighbours.wait(ip, 1, at(ms), 60, |bytes| bytes.fill(1));
        noise(&mut bench, 2 * round, ms);
        assert_eq!(bench.find(ip, ms), None);
        assert_ne!(put(&mut bench), Put::Refused);
        noise(&mut bench, 2 * round + 1, ms + 1);
        let asked = bench.written().iter().any(|frame| frame[38..42] == ip.octets());
        if asked {
            bench.reply(ip, MAC, own().address(), ms + 2);
            waited += bench.written().iter().filter(|frame| frame[..6] == MAC).count();
        }
        known += usize::from(bench.find(ip, ms + 3).is_some());
    }
    assert!(
        known >= 160 && waited >= 160,
        "{known} found, {waited} went on, of 200"
    );
}

#[test]
fn a_guest_does_not_contradict_the_wire() {
    let mut bench = Bench::new();
    let server = Ipv4Addr::new(10, 0, 0, 53);
    let evil = [2, 0, 0, 0, 0, 66];
    bench.find(server, 0);
    // Whoever is first is believed, until the wire says otherwise.
    bench.reply_from(false, server, evil, own().address(), 1);
    assert_eq!(bench.find(server, 2), Some(Mac(evil)));
    bench.reply_from(true, server, MAC, own().address(), 3);
    bench.reply_from(false, server, evil, own().address(), 4);
    assert_eq!(bench.find(server, 5), Some(Mac(MAC)));
    // It has moved to a guest: the wire has not known it for two minutes.
    bench.find(server, 120_100);
    bench.reply_from(false, server, evil, own().address(), 120_200);
    assert_eq!(bench.find(server, 120_300), Some(Mac(evil)));
}
