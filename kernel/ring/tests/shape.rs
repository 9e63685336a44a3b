//! Rings of every shape that Xen's protocols use.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test ends where it goes wrong")]

mod common;

use common::{Memory, PAGE, SLOTS};
use outrigger_ring::{BackRing, FrontRing, RingShape, ShapeError};

/// Slot size in bytes, pages, slots: what `__RING_SIZE` gives for the protocols' request and response sizes.
const TABLE: [(usize, usize, u32); 17] = [
    (12, 1, 256),  // netif TX
    (8, 1, 256),   // netif RX
    (16, 1, 128),  // netif control
    (112, 1, 32),  // blkif, 64-bit layout, ring-page-order 0
    (112, 2, 64),  // order 1
    (112, 4, 128), // order 2
    (112, 8, 256), // order 3
    (112, 16, 512),
    (108, 1, 32), // blkif, x86_32-abi
    (108, 2, 64),
    (108, 4, 128),
    (108, 8, 256),
    (108, 16, 512),
    (64, 1, 32),  // sndif, displif
    (148, 1, 16), // usbif urb
    (4, 1, 512),  // usbif conn
    (4032, 1, 1), // the largest slot a page can hold
];

#[test]
fn the_protocols_rings_have_their_slots() {
    for (slot_bytes, pages, slots) in TABLE {
        let shape = RingShape::new(pages * PAGE, slot_bytes).unwrap();
        assert_eq!(
            (shape.slot_bytes(), shape.slots()),
            (slot_bytes, slots),
            "{pages} pages"
        );
    }
}

#[test]
fn every_shape_is_the_largest_power_of_two_that_fits() {
    for pages in 1..=16 {
        for slot_bytes in (4..=PAGE * pages).step_by(4) {
            let room = pages * PAGE - SLOTS;
            match RingShape::new(pages * PAGE, slot_bytes) {
                Ok(shape) => {
                    let slots = shape.slots() as usize;
                    assert!(slots.is_power_of_two());
                    assert!(slots * slot_bytes <= room && 2 * slots * slot_bytes > room);
                }
                Err(ShapeError) => assert!(slot_bytes > room, "{slot_bytes} fits {room}"),
            }
        }
    }
}

#[test]
fn slots_that_are_no_whole_words_or_do_not_fit_are_refused() {
    for slot_bytes in [
        0,
        1,
        2,
        3,
        5,
        6,
        7,
        13,
        110,
        PAGE - SLOTS + 4,
        usize::MAX,
        usize::MAX - 3,
    ] {
        assert_eq!(RingShape::new(PAGE, slot_bytes), Err(ShapeError), "{slot_bytes}");
    }
    for bytes in [0, 1, SLOTS, SLOTS + 3] {
        assert_eq!(RingShape::new(bytes, 4), Err(ShapeError), "{bytes}");
    }
}

/// Each slot has bytes of its own, at 64 + i × size, whichever page they fall into, and the ring uses no other.
#[test]
fn slots_lie_end_to_end_over_all_pages() {
    for (slot_bytes, pages, slots) in TABLE {
        let memory = Memory::new(pages);
        let mut front = FrontRing::init(memory.clone(), slot_bytes, 0).unwrap();
        memory.record();
        let words = slot_bytes / 4;
        for slot in 0..slots {
            let request: Vec<u32> = (0..words).map(|word| slot << 16 | word as u32).collect();
            front.request(&request);
        }
        assert_eq!(front.free(), 0);
        assert!(front.push());
        let end = SLOTS + slots as usize * slot_bytes;
        let expected: Vec<usize> = (0..4).chain(SLOTS..end).collect();
        assert_eq!(
            memory.stored(),
            expected,
            "req_prod and every byte of every slot, no other"
        );

        let mut back = BackRing::attach(memory.clone(), slot_bytes).unwrap();
        assert_eq!(back.pending(), Ok(slots));
        let mut request = vec![0; words];
        for slot in 0..slots {
            back.consume(&mut request);
            for (word, value) in request.iter().enumerate() {
                assert_eq!(*value, slot << 16 | word as u32);
                assert_eq!(
                    *value,
                    memory.peek(SLOTS + slot as usize * slot_bytes + 4 * word),
                    "where C puts it"
                );
            }
        }
        assert_eq!((back.pending(), back.debt()), (Ok(0), slots));
    }
}
