//! Whatever a frontend puts into its ring: each slot is answered once, and another guest's frames arrive.

use proptest::prelude::*;

use crate::frames::{BROADCAST, PEER, blank, mac, tcp, udp};
use crate::guest::{Guest, Options};
use crate::world::{World, vif};

#[derive(Clone, Debug)]
enum Act {
    Raw([u32; 3]),
    Frame(u8, u16, Vec<u8>),
    Large(u8, u16, usize),
    Turn,
}

fn act() -> impl Strategy<Value = Act> {
    let size = prop_oneof![0u32..80, 4000u32..4100, any::<u16>().prop_map(u32::from)];
    let raw = (0u32..40, 0u32..4200, 0u32..16, size)
        .prop_map(|(gref, offset, flags, size)| Act::Raw([gref, offset | flags << 16, 0x1ff | size << 16]));
    let extra = (0u32..6, 0u32..2).prop_map(|(kind, more)| Act::Raw([kind | more << 8 | 500 << 16, 1, 0]));
    let bytes = prop::collection::vec(any::<u8>(), 14..300);
    // A first fragment that ends within the headers, or about where its page does.
    let cut = prop_oneof![1usize..200, 3990usize..=4096];
    let large =
        (prop_oneof![0u8..8, Just(7)], 1u16..2000, cut).prop_map(|(to, size, cut)| Act::Large(to, size, cut));
    prop_oneof![
        2 => raw,
        1 => extra,
        3 => (0u8..8, 0u16..4, bytes).prop_map(|(to, flags, bytes)| Act::Frame(to, flags, bytes)),
        1 => large,
        2 => Just(Act::Turn),
    ]
}

fn to(number: u8) -> [u8; 6] {
    match number {
        0 => BROADCAST,
        7 => PEER,
        number => mac(number),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_slots(acts in prop::collection::vec(act(), 1..60)) {
        let world = World::new();
        let mut a = world.guest(1, Options::default());
        let mut b = world.guest(2, Options { gso: false, ..Options::default() });
        let mut evil = world.guest(6, Options { posted: 20, ..Options::default() });
        let mut asked = 0;
        let fits = |evil: &Guest, slots: u32| evil.queues[0].tx.free() >= slots;
        for act in acts {
            match act {
                Act::Raw(words) if fits(&evil, 1) => {
                    evil.raw(0, words);
                    asked += 1;
                }
                Act::Frame(number, flags, mut bytes) if fits(&evil, 3) => {
                    bytes[..6].copy_from_slice(&to(number));
                    bytes[6..12].copy_from_slice(&mac(6));
                    let before = evil.queues[0].tx.free();
                    evil.put(0, &bytes, flags, None, &[20]);
                    asked += before - evil.queues[0].tx.free();
                }
                Act::Large(number, size, cut) if fits(&evil, 20) => {
                    let frame = blank(&tcp(mac(6), to(number), true, 9000, 1));
                    let gso = outrigger_netif::Gso { kind: outrigger_devices::GsoKind::TcpV4, size };
                    let before = evil.queues[0].tx.free();
                    evil.put(0, &frame, 1, Some(gso), &[cut]);
                    asked += before - evil.queues[0].tx.free();
                }
                _ => {
                    evil.kick(0);
                    world.settle();
                    evil.collect();
                }
            }
        }
        evil.kick(0);
        world.settle();
        evil.collect();
        // Unless its ring made no sense: then its vif is closed.
        if world.state(vif(6)) == "4" {
            prop_assert_eq!(evil.answers.len() as u32, asked, "one response for each slot");
        } else {
            prop_assert_eq!(world.state(vif(6)), "6");
        }
        world.drain(&mut b);
        a.collect();
        let frame = udp(mac(1), mac(2), 1000, 9);
        a.send(&frame);
        world.settle();
        let got = b.collect();
        prop_assert_eq!(got.len(), 1);
        prop_assert_eq!(&got[0].bytes, &frame);
        prop_assert!(got[0].gso.is_none());
        prop_assert_eq!(evil.dom.failed_revokes(), 0);
        for number in [1, 2, 6] {
            world.ts.begin_destroy(vif(number));
        }
        world.advance(1500);
        world.xen.assert_nothing_held(crate::world::DD);
    }
}
