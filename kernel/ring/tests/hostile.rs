//! The other end writes what it likes, whenever it likes.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test ends where it goes wrong")]

mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::{Memory, PAGE, REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD, SLOTS};
use outrigger_ring::{AttachError, BackRing, FrontRing, Overflow};
use proptest::prelude::*;

const SLOT_BYTES: [usize; 6] = [8, 12, 16, 64, 108, 112];

/// Values of every class around `here`: before and behind it, around ± `slots`, the opposite point of the circle.
fn claims(here: u32, slots: u32) -> Vec<u32> {
    let mut claims = Vec::new();
    for centre in [0, slots, slots / 2, 2 * slots, 1 << 31, 0_u32.wrapping_sub(slots)] {
        for offset in -3..=3_i32 {
            claims.push(here.wrapping_add(centre).wrapping_add_signed(offset));
        }
    }
    claims.extend([0, 1, u32::MAX, u32::MAX - 1, 1 << 31, (1 << 31) - 1]);
    claims
}

/// A backend at index `first` that owes `debt` responses, with nothing pending.
fn owing(slot_bytes: usize, first: u32, debt: u32) -> (Memory, BackRing<Memory>) {
    let memory = Memory::new(1);
    let mut front = FrontRing::init(memory.clone(), slot_bytes, first).unwrap();
    let mut back = BackRing::attach(memory.clone(), slot_bytes).unwrap();
    for id in 0..debt.min(front.shape().slots()) {
        front.request(&[id]);
    }
    let _ = front.push();
    for _ in 0..back.pending().unwrap() {
        back.consume(&mut [0]);
    }
    (memory, back)
}

proptest! {
    #[test]
    fn req_prod_is_believed_only_within_the_ring(
        slot_bytes in prop::sample::select(&SLOT_BYTES),
        first in prop_oneof![Just(0), any::<u32>(), (0..600_u32).prop_map(|n| 0_u32.wrapping_sub(n))],
        debt in 0..=256_u32,
        random in any::<u32>(),
    ) {
        let (memory, mut back) = owing(slot_bytes, first, debt);
        let slots = back.shape().slots();
        let req_cons = first.wrapping_add(back.debt());
        let room = slots - back.debt();
        for claimed in claims(req_cons, slots).into_iter().chain([random]) {
            memory.poke(REQ_PROD, claimed);
            memory.record();
            // In 64 bits, where nothing wraps: the claim is `ahead` of the consumer, going round if it must.
            let ahead = (u64::from(claimed) + (1 << 32) - u64::from(req_cons)) % (1 << 32);
            let expected = if ahead <= u64::from(room) {
                Ok(ahead as u32)
            } else {
                Err(Overflow { claimed, consumed: req_cons })
            };
            prop_assert_eq!(back.pending(), expected);
            prop_assert_eq!(memory.fetched(), [0, 1, 2, 3], "req_prod is fetched once, and nothing else is");
            prop_assert_eq!(memory.stored(), Vec::<usize>::new());
            prop_assert_eq!(back.final_check(), expected.map(|pending| pending > 0));
            if expected != Ok(0) {
                prop_assert_eq!(memory.stored(), Vec::<usize>::new(), "no event is armed");
            }
        }
        // What a refused claim did to the ring: nothing. An honest frontend could go on.
        memory.poke(REQ_PROD, req_cons);
        prop_assert_eq!(back.pending(), Ok(0));
        prop_assert_eq!(back.debt(), slots - room);
    }

    #[test]
    fn rsp_prod_is_believed_only_for_what_was_asked(
        slot_bytes in prop::sample::select(&SLOT_BYTES),
        first in prop_oneof![Just(0), any::<u32>(), (0..600_u32).prop_map(|n| 0_u32.wrapping_sub(n))],
        asked in 0..=256_u32,
        unpublished in 0..=3_u32,
    ) {
        let memory = Memory::new(1);
        let mut front = FrontRing::init(memory.clone(), slot_bytes, first).unwrap();
        let slots = front.shape().slots();
        let asked = asked.min(slots);
        for id in 0..asked {
            front.request(&[id]);
        }
        let _ = front.push();
        for id in 0..unpublished.min(front.free()) {
            front.request(&[id]);
        }
        for claimed in claims(first, slots).into_iter().chain(claims(first.wrapping_add(asked), slots)) {
            memory.poke(RSP_PROD, claimed);
            let ahead = (u64::from(claimed) + (1 << 32) - u64::from(first)) % (1 << 32);
            let expected = if ahead <= u64::from(asked) {
                Ok(ahead as u32)
            } else {
                Err(Overflow { claimed, consumed: first })
            };
            prop_assert_eq!(front.pending(), expected);
            prop_assert_eq!(front.final_check(), expected.map(|pending| pending > 0));
        }
    }

    /// Whatever indices the frontend left in its page before it connects.
    #[test]
    fn attaching_refuses_or_is_bounded(
        slot_bytes in prop::sample::select(&SLOT_BYTES),
        req_prod in any::<u32>(),
        near in any::<bool>(),
        distance in 0..600_u32,
        random in any::<u32>(),
    ) {
        let memory = Memory::new(1);
        let rsp_prod = if near { req_prod.wrapping_sub(distance) } else { random };
        memory.poke(REQ_PROD, req_prod);
        memory.poke(RSP_PROD, rsp_prod);
        match BackRing::attach(memory.clone(), slot_bytes) {
            Ok(mut back) => {
                let pending = back.pending().unwrap();
                prop_assert!(pending <= back.shape().slots());
                prop_assert_eq!(rsp_prod.wrapping_add(pending), req_prod);
                memory.record();
                for _ in 0..pending {
                    back.consume(&mut [0; 2]);
                }
                prop_assert!(memory.fetched().iter().all(|at| (SLOTS..PAGE).contains(at)));
                prop_assert_eq!(back.pending(), Ok(0));
            }
            Err(AttachError::Overflow(overflow)) => {
                prop_assert_eq!(overflow, Overflow { claimed: req_prod, consumed: rsp_prod });
                prop_assert!(!near || distance > 32);
            }
            Err(AttachError::Shape) => prop_assert!(false, "the shape is sound"),
        }
    }

    /// XSA-391, XSA-392: an event index can make us notify at most once a push, and never without news.
    #[test]
    fn event_indices_cannot_cause_a_storm(
        first in any::<u32>(),
        events in prop::collection::vec(any::<u32>(), 1..8),
        batch in 1..=32_u32,
    ) {
        let (memory, mut back) = owing(112, first, batch);
        for event in events.iter().copied().chain(claims(first, 32)) {
            memory.poke(RSP_EVENT, event);
            prop_assert!(!back.push(), "nothing is new");
        }
        for _ in 0..batch {
            back.respond(&[7]);
        }
        let event = first.wrapping_add(batch / 2 + 1);
        memory.poke(RSP_EVENT, event);
        memory.record();
        prop_assert!(back.push());
        prop_assert_eq!(memory.fetched(), (RSP_EVENT..RSP_EVENT + 4).collect::<Vec<_>>());
        prop_assert!(!back.push(), "the same responses are not published twice");
    }
}

/// A second processor writes `req_prod` at every load: what `pending` has checked is what counts.
#[test]
fn a_moving_req_prod_is_read_once() {
    let memory = Memory::new(1);
    FrontRing::init(memory.clone(), 112, 0).unwrap();
    let mut back = BackRing::attach(memory.clone(), 112).unwrap();
    let turn = Rc::new(Cell::new(0_u32));
    let counter = turn.clone();
    memory.before_load(move |memory, at| {
        assert_eq!(at, REQ_PROD, "no other word is looked at");
        // Sound, mad, sound, mad.
        let values = [3, u32::MAX, 32, 33];
        memory.poke(REQ_PROD, values[counter.get() as usize % values.len()]);
        counter.set(counter.get() + 1);
    });
    assert_eq!(back.pending(), Ok(3));
    assert!(back.pending().is_err());
    assert_eq!(back.pending(), Ok(32));
    assert!(back.final_check().is_err());
    assert_eq!(turn.get(), 4, "one load a look");
}

/// XSA-155: each byte of a slot is fetched exactly once a consume, whatever the ring's shape, and no index with it.
#[test]
fn each_slot_byte_is_fetched_once_a_consume() {
    for pages in [1, 2, 4, 8, 16] {
        for slot_bytes in SLOT_BYTES {
            for first in [0, u32::MAX - 1] {
                let memory = Memory::new(pages);
                let mut front = FrontRing::init(memory.clone(), slot_bytes, first).unwrap();
                let slots = front.shape().slots();
                for id in 0..slots {
                    front.request(&vec![id; slot_bytes / 4]);
                }
                assert!(front.push());
                let mut back = BackRing::attach(memory.clone(), slot_bytes).unwrap();
                let mut request = vec![0; slot_bytes / 4];
                for id in 0..slots {
                    let index = first.wrapping_add(id) & (slots - 1);
                    let at = SLOTS + index as usize * slot_bytes;
                    memory.record();
                    back.consume(&mut request);
                    assert_eq!(memory.fetched(), (at..at + slot_bytes).collect::<Vec<_>>());
                    assert_eq!(memory.stored(), []);
                }
            }
        }
    }
}

/// A request read in part leaves the rest alone, and what the frontend changes afterwards changes no copy.
#[test]
fn a_short_read_fetches_no_more_than_it_asks_for() {
    let memory = Memory::new(1);
    let mut front = FrontRing::init(memory.clone(), 112, 0).unwrap();
    front.request(&[1, 2, 3, 4]);
    assert!(front.push());
    let mut back = BackRing::attach(memory.clone(), 112).unwrap();
    memory.record();
    let mut head = [0; 2];
    back.consume(&mut head);
    memory.poke(SLOTS, 99);
    assert_eq!(head, [1, 2]);
    assert_eq!(memory.fetched(), (SLOTS..SLOTS + 8).collect::<Vec<_>>());
}

/// Answering reads nothing, and writes only the response, `rsp_prod` and (when asked) `req_event`.
#[test]
fn the_backend_writes_only_what_is_its_own() {
    let (memory, mut back) = owing(112, 0, 2);
    memory.record();
    back.respond(&[1, 2, 3]);
    assert_eq!(memory.fetched(), []);
    assert_eq!(memory.stored(), (SLOTS..SLOTS + 12).collect::<Vec<_>>());
    memory.record();
    assert!(back.push());
    assert_eq!(memory.stored(), (RSP_PROD..RSP_PROD + 4).collect::<Vec<_>>());
    assert_eq!(memory.fetched(), (RSP_EVENT..RSP_EVENT + 4).collect::<Vec<_>>());
    memory.record();
    assert_eq!(back.final_check(), Ok(false));
    assert_eq!(memory.stored(), (REQ_EVENT..REQ_EVENT + 4).collect::<Vec<_>>());
    assert_eq!(memory.peek(REQ_EVENT), 3);
}

// Bugs of ours end at once, before they touch a slot.

#[test]
#[should_panic(expected = "no more is consumed than was pending")]
fn consuming_past_the_ring_is_our_bug() {
    let (_memory, mut back) = owing(112, 0, 32);
    back.consume(&mut [0]);
}

#[test]
#[should_panic(expected = "a response answers a consumed request")]
fn answering_what_nobody_asked_is_our_bug() {
    let (_memory, mut back) = owing(112, 5, 0);
    back.respond(&[0]);
}

#[test]
#[should_panic(expected = "a request is read within its slot")]
fn reading_past_a_slot_is_our_bug() {
    let (_memory, mut back) = owing(8, 0, 0);
    back.consume(&mut [0; 3]);
}

#[test]
#[should_panic(expected = "a request needs a free slot")]
fn a_frontend_does_not_overfill_its_ring() {
    let mut front = FrontRing::init(Memory::new(1), 4032, 0).unwrap();
    front.request(&[1]);
    front.request(&[2]);
}

#[test]
#[should_panic(expected = "no more is consumed than was asked for")]
fn a_frontend_does_not_collect_what_it_did_not_ask_for() {
    let mut front = FrontRing::init(Memory::new(1), 4032, 0).unwrap();
    front.consume(&mut [0]);
}
