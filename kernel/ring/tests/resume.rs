//! A backend that goes on with a ring which an earlier life of it had begun to serve.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test ends where it goes wrong")]

mod common;

use common::Memory;
use outrigger_ring::{BackRing, FrontRing};

const SLOT: usize = 16;

#[test]
fn what_was_consumed_is_owed_and_what_was_not_is_taken() {
    for first in [0, u32::MAX - 2] {
        let memory = Memory::new(1);
        let mut front = FrontRing::init(memory.clone(), SLOT, first).unwrap();
        let mut life = BackRing::attach(memory.clone(), SLOT).unwrap();
        for n in 0..5 {
            front.request(&[n; 4]);
        }
        assert!(front.push());
        let mut words = [0; 4];
        for _ in 0..4 {
            life.consume(&mut words);
        }
        life.respond(&[100; 4]);
        assert!(life.push());
        life.respond(&[101; 4]);
        // It dies here: one response published, one written over the request that was second.
        let mut life = BackRing::attach(memory.clone(), SLOT).unwrap();
        assert_eq!(life.pending(), Ok(4));
        life.resume(3).unwrap();
        assert_eq!((life.debt(), life.pending()), (3, Ok(1)));
        life.consume(&mut words);
        assert_eq!(words, [4; 4]);
        for n in 0..4 {
            life.respond(&[101 + n; 4]);
        }
        let _ = life.push();
        assert_eq!(front.pending(), Ok(5));
        for n in 0..5 {
            front.consume(&mut words);
            assert_eq!(words, [100 + n; 4]);
        }
    }
}

#[test]
fn more_than_was_asked_cannot_be_owed() {
    let memory = Memory::new(1);
    let mut front = FrontRing::init(memory.clone(), SLOT, 7).unwrap();
    let slots = front.shape().slots();
    let attach = || BackRing::attach(memory.clone(), SLOT).unwrap();
    assert!(attach().resume(1).is_err(), "nothing was asked");
    front.request(&[0; 4]);
    let _ = front.push();
    attach().resume(0).unwrap();
    attach().resume(1).unwrap();
    assert!(attach().resume(2).is_err());
    assert!(attach().resume(slots + 1).is_err());
    assert!(attach().resume(u32::MAX).is_err());
    let mut back = attach();
    back.resume(1).unwrap();
    assert!(back.resume(0).is_err(), "only once");
    while front.free() > 0 {
        front.request(&[0; 4]);
    }
    let _ = front.push();
    let mut back = attach();
    back.resume(slots).unwrap();
    assert_eq!(back.pending(), Ok(0));
}

#[test]
fn only_what_means_anything_is_copied_and_once() {
    let memory = Memory::new(1);
    let mut front = FrontRing::init(memory.clone(), SLOT, 0).unwrap();
    let mut back = BackRing::attach(memory.clone(), SLOT).unwrap();
    for used in [1, 2, 3, 4, 9] {
        front.request(&[used, 1, 2, 3]);
    }
    let _ = front.push();
    for used in [1, 2, 3, 4, 9] {
        let mut words = [77; 4];
        memory.record();
        let copied = back.consume_by(&mut words, 2, |first| first as usize);
        let fetched = memory.fetched();
        let kept = (used as usize).clamp(2, 4);
        assert_eq!(copied, kept);
        assert_eq!(fetched.len(), 4 * kept, "each byte once");
        let mut expected = [used, 1, 2, 3];
        expected[kept..].fill(77);
        assert_eq!(words, expected);
    }
    assert_eq!(back.debt(), 5);
}
