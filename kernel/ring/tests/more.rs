//! Waiting for more requests than there are: notified of the next one, and never too late.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test ends where it goes wrong")]

mod common;

use common::Memory;
use outrigger_ring::{BackRing, FrontRing};

#[test]
fn whoever_waits_for_more_is_told_of_the_next_one() {
    for first in [0, u32::MAX - 2] {
        let memory = Memory::new(1);
        let mut front = FrontRing::init(memory.clone(), 8, first).unwrap();
        let mut back = BackRing::attach(memory.clone(), 8).unwrap();
        front.request(&[1, 1]);
        front.request(&[2, 2]);
        assert!(front.push(), "a new ring asks to hear of the first request");
        assert_eq!(back.pending(), Ok(2));
        front.request(&[3, 3]);
        assert!(!front.push(), "nobody asked since");
        assert_eq!(back.await_more(2), Ok(3), "one came before it was asked for");
        assert_eq!(back.await_more(3), Ok(3));
        front.request(&[4, 4]);
        assert!(front.push(), "the fourth is the one that is waited for");
        assert_eq!(back.pending(), Ok(4));
        memory.poke(0, first.wrapping_add(600));
        assert!(back.await_more(4).is_err(), "more than the ring holds");
    }
}
