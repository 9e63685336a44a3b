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
        self.neighbours
            .find(ip, at(ms), (OURS, own()), &mut self.mailbox.written)
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
        let head = [&OURS.0[..], &mac[..], &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]].concat();
        let frame = [
            &head[..],
            &mac[..],
            &ip.octets()[..],
            &OURS.0[..],
            &to.octets()[..],
        ]
        .concat();
        self.neighbours.hear(&frame, own(), at(ms), &mut self.mailbox);
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
    for mark in 0..9 {
        let ip = if mark % 2 == 0 { ROUTER } else { other };
        let waits = bench.neighbours.wait(ip, at(1), 60, |bytes| put(bytes, mark));
        assert_eq!(waits, mark < 8, "room for eight");
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
    assert_eq!(marks, [0, 2, 4, 6]);
    bench.reply(other, MAC, own().address(), 3);
    assert_eq!(
        bench.written().iter().map(|frame| frame[59]).collect::<Vec<_>>(),
        [1, 3, 5, 7]
    );
    // What waits in vain is given up.
    for late in [0, 4000] {
        for mark in 0..8 {
            assert!(
                bench
                    .neighbours
                    .wait(ROUTER, at(10 + late), 60, |bytes| put(bytes, mark))
            );
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
    assert!(asked <= 20 * 50 + 1, "{asked} questions in 20 s");
}
