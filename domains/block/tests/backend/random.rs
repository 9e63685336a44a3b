//! Anything in any order: what is owed is paid, once, and in the end nothing is held.

use outrigger_xen::Wake;
use proptest::prelude::*;

use crate::disk::{self, Order};
use crate::guest::{BARRIER, Guest, OKAY, Options, READ, WRITE};
use crate::world::{DD, FE, OTHER, World, vbd};

#[derive(Clone, Debug)]
enum Act {
    Data {
        guest: usize,
        write: bool,
        sector: u64,
        segs: usize,
        buffer: usize,
    },
    Indirect {
        guest: usize,
        write: bool,
        sector: u64,
        segs: usize,
        buffer: usize,
    },
    Flush {
        guest: usize,
    },
    Barrier {
        guest: usize,
        sector: u64,
    },
    Discard {
        guest: usize,
        sector: u64,
        sectors: u64,
    },
    Bad {
        guest: usize,
        kind: u8,
    },
    Kick {
        guest: usize,
    },
    Turn,
    Settle,
    Release(usize),
    Hold(bool),
    Order(u64),
    Reconnect {
        guest: usize,
    },
    Room(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let guest = 0..2_usize;
    let sector = 0..4096_u64;
    let act = prop_oneof![
        6 => (guest.clone(), any::<bool>(), sector.clone(), 1..12_usize, 0..40_usize)
            .prop_map(|(guest, write, sector, segs, buffer)| Act::Data { guest, write, sector, segs, buffer }),
        4 => (guest.clone(), any::<bool>(), sector.clone(), 1..60_usize, 0..40_usize)
            .prop_map(|(guest, write, sector, segs, buffer)| Act::Indirect { guest, write, sector, segs, buffer }),
        1 => guest.clone().prop_map(|guest| Act::Flush { guest }),
        1 => (guest.clone(), sector.clone()).prop_map(|(guest, sector)| Act::Barrier { guest, sector }),
        1 => (guest.clone(), sector, 0..3000_u64)
            .prop_map(|(guest, sector, sectors)| Act::Discard { guest, sector, sectors }),
        1 => (guest.clone(), 0..4_u8).prop_map(|(guest, kind)| Act::Bad { guest, kind }),
        4 => guest.clone().prop_map(|guest| Act::Kick { guest }),
        3 => Just(Act::Turn),
        2 => Just(Act::Settle),
        3 => (0..20_usize).prop_map(Act::Release),
        1 => any::<bool>().prop_map(Act::Hold),
        1 => any::<u64>().prop_map(Act::Order),
        1 => guest.prop_map(|guest| Act::Reconnect { guest }),
        1 => (8..80_usize).prop_map(Act::Room),
    ];
    prop::collection::vec(act, 1..120)
}

/// A request goes into the ring if there is a slot.
fn ask(guest: &mut Guest, act: impl FnOnce(&mut Guest) -> u64) {
    if guest.rings[0].free() == 0 {
        guest.kick(0);
        return;
    }
    act(guest);
}

fn play(acts: Vec<Act>, options: [Options; 2], max_segments: usize, capacity: usize) {
    let mut limits = disk::limits(4096);
    limits.max_segments = max_segments;
    let world = World::with(&[limits]);
    world.disk().capacity = capacity;
    let devices = [vbd(FE, 51712), vbd(OTHER, 51728)];
    let modes = ["w", "r"];
    let mut guests: Vec<Guest> = (0..2)
        .map(|n| Guest::boot(&world, devices[n], "virtio0", modes[n], options[n]))
        .collect();
    let mut buffers: Vec<_> = guests.iter().map(|guest| guest.buffers(40)).collect();
    let mut pages: Vec<_> = guests.iter().map(|guest| guest.buffers(32)).collect();
    let mut page = 0;
    for act in acts {
        match act {
            Act::Data {
                guest,
                write,
                sector,
                segs,
                buffer,
            } => {
                let segs: Vec<_> = (0..segs)
                    .map(|i| buffers[guest][(buffer + i) % 40].whole())
                    .collect();
                ask(&mut guests[guest], |guest| {
                    guest.data(0, if write { WRITE } else { READ }, sector, &segs)
                });
            }
            Act::Indirect {
                guest,
                write,
                sector,
                segs,
                buffer,
            } => {
                let segs: Vec<_> = (0..segs)
                    .map(|i| buffers[guest][(buffer + i) % 40].whole())
                    .collect();
                page = (page + 1) % 32;
                let page = pages[guest][page].clone();
                ask(&mut guests[guest], |guest| {
                    guest.indirect(0, if write { WRITE } else { READ }, sector, &segs, &page)
                });
            }
            Act::Flush { guest } => ask(&mut guests[guest], |guest| guest.flush(0)),
            Act::Barrier { guest, sector } => {
                let seg = buffers[guest][0].whole();
                ask(&mut guests[guest], |guest| guest.data(0, BARRIER, sector, &[seg]));
            }
            Act::Discard {
                guest,
                sector,
                sectors,
            } => {
                ask(&mut guests[guest], |guest| guest.discard(0, sector, sectors, 0));
            }
            Act::Bad { guest, kind } => {
                let seg = buffers[guest][1].whole();
                ask(&mut guests[guest], |guest| match kind {
                    0 => guest.data(0, READ, 0, &[seg, (outrigger_xen::GrantRef(99_999), 0, 7)]),
                    1 => guest.data(0, WRITE, u64::MAX, &[seg]),
                    2 => guest.indirect_raw(0, READ, 0, 9, outrigger_xen::GrantRef(88_888), &[]),
                    _ => guest.data(0, 9, 0, &[seg]),
                });
            }
            Act::Kick { guest } => guests[guest].kick(0),
            Act::Turn => {
                world.turn(Wake {
                    events: true,
                    devices: outrigger_xen::IrqSet::of(0),
                    timer: false,
                });
            }
            Act::Settle => world.settle(),
            Act::Release(count) => world.disk().release(count),
            Act::Hold(held) => {
                world.disk().held = held;
                world.disk().release(0);
            }
            Act::Order(seed) => world.disk().order = Order::Any(seed),
            Act::Reconnect { guest: n } => {
                // To connect takes room; to serve must do without.
                world.dd.set_limits(Default::default());
                guests[n].set_state(&world, 6);
                world.disk().let_go();
                world.advance(150);
                assert_eq!(world.state(devices[n]), "6");
                guests[n].collect();
                for buffer in buffers[n].iter().chain(&pages[n]) {
                    guests[n]
                        .dom
                        .revoke(buffer.gref)
                        .expect("a closed vbd maps nothing");
                }
                guests[n].set_state(&world, 1);
                world.advance(50);
                guests[n] = Guest::connect(&world, devices[n], options[n]);
                buffers[n] = guests[n].buffers(40);
                pages[n] = guests[n].buffers(32);
            }
            Act::Room(pages) => world.dd.set_limits(outrigger_xen::fake::Limits {
                mapped_pages: world.dd.mapped_pages() + pages,
                ..Default::default()
            }),
        }
        for guest in &mut guests {
            guest.collect();
        }
    }
    // The end: everything that was asked is answered, once (`collect` looks), and the vbds leave nothing.
    world.dd.set_limits(Default::default());
    world.disk().let_go();
    for guest in &mut guests {
        guest.kick(0);
    }
    world.advance(50);
    for guest in &mut guests {
        guest.collect();
        assert_eq!(guest.unanswered(), 0);
        let id = guest.flush(0);
        assert_eq!(guest.one(&world, id), OKAY);
    }
    assert_eq!(world.disk().in_flight(), 0);
    for guest in &guests {
        guest.close(&world);
    }
    world.xen.assert_nothing_held(DD);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_owed_is_paid_once(
        acts in acts(),
        persistent: [bool; 2],
        first in prop_oneof![Just(0), Just(u32::MAX - 5)],
        max_segments in prop_oneof![Just(126_usize), Just(3)],
        capacity in prop_oneof![Just(64_usize), Just(2)],
    ) {
        let options = persistent.map(|persistent| Options { persistent, first, ..Options::default() });
        play(acts, options, max_segments, capacity);
    }
}
