//! Both ends against a reference model that counts in 64 bits, so that it never wraps.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test ends where it goes wrong")]

mod common;

use std::collections::VecDeque;

use common::Memory;
use outrigger_ring::{BackRing, FrontRing};
use proptest::prelude::*;

/// One step of one end. Batch sizes are wishes: what is not possible is not done.
#[derive(Clone, Debug)]
enum Step {
    Request(u32),
    PushRequests,
    Consume(u32),
    Respond(u32),
    PushResponses,
    Collect(u32),
    BackFinalCheck,
    FrontFinalCheck,
}

fn step() -> impl Strategy<Value = Step> {
    let batch = prop_oneof![4 => 1..4_u32, 2 => 0..40_u32, 1 => Just(u32::MAX)];
    prop_oneof![
        3 => batch.clone().prop_map(Step::Request),
        3 => Just(Step::PushRequests),
        3 => batch.clone().prop_map(Step::Consume),
        3 => batch.clone().prop_map(Step::Respond),
        3 => Just(Step::PushResponses),
        3 => batch.prop_map(Step::Collect),
        2 => Just(Step::BackFinalCheck),
        2 => Just(Step::FrontFinalCheck),
    ]
}

/// Where an index starts: mostly so that it wraps within the test.
fn first() -> impl Strategy<Value = u32> {
    prop_oneof![
        1 => Just(0),
        4 => (0..200_u32).prop_map(|before| 0_u32.wrapping_sub(before)),
        1 => (0..700_u32).prop_map(|around| (1_u32 << 31).wrapping_sub(300).wrapping_add(around)),
        1 => any::<u32>(),
    ]
}

/// One direction: what was written, published and consumed (counted from the start of time), and the armed event.
struct Stream {
    written: u64,
    published: u64,
    consumed: u64,
    event: u64,
    asleep: bool,
    in_flight: VecDeque<Vec<u32>>,
}

impl Stream {
    fn new() -> Self {
        Self {
            written: 0,
            published: 0,
            consumed: 0,
            event: 1,
            // Nobody looks before the first notification.
            asleep: true,
            in_flight: VecDeque::new(),
        }
    }

    fn pending(&self) -> u32 {
        (self.published - self.consumed) as u32
    }

    /// Whether the push notifies: exactly if it passes the armed event.
    fn push(&mut self) -> bool {
        let old = self.published;
        self.published = self.written;
        let notify = old < self.event && self.event <= self.published;
        // The rule said independently: a sleeper hears of the first thing published after it fell asleep.
        if self.asleep && old < self.published {
            assert!(notify, "a lost wake-up in the model itself");
        }
        if notify {
            self.asleep = false;
        }
        notify
    }

    /// What the final check says.
    fn final_check(&mut self) -> bool {
        let more = self.pending() > 0;
        if !more {
            self.event = self.consumed + 1;
            self.asleep = true;
        }
        more
    }
}

fn run(pages: usize, slot_bytes: usize, first: u32, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let memory = Memory::new(pages);
    let mut front = FrontRing::init(memory.clone(), slot_bytes, first).unwrap();
    let mut back = BackRing::attach(memory, slot_bytes).unwrap();
    let slots = front.shape().slots();
    let words = slot_bytes / 4;
    let (mut requests, mut responses) = (Stream::new(), Stream::new());
    let mut stamp = 0_u32;
    let mut slot = vec![0; words];
    for step in steps {
        match step {
            Step::Request(wish) => {
                for _ in 0..wish.min(front.free()) {
                    let request: Vec<u32> = (0..words as u32).map(|word| stamp.wrapping_add(word)).collect();
                    stamp = stamp.wrapping_add(0x0101_0101);
                    front.request(&request);
                    requests.in_flight.push_back(request);
                    requests.written += 1;
                }
            }
            Step::PushRequests => prop_assert_eq!(front.push(), requests.push()),
            Step::Consume(wish) => {
                for _ in 0..wish.min(back.pending().unwrap()) {
                    back.consume(&mut slot);
                    let written = requests.in_flight.pop_front();
                    prop_assert_eq!(Some(&slot), written.as_ref());
                    requests.consumed += 1;
                }
            }
            Step::Respond(wish) => {
                for _ in 0..wish.min(back.debt()) {
                    let response: Vec<u32> =
                        (0..words as u32).map(|word| !stamp.wrapping_add(word)).collect();
                    stamp = stamp.wrapping_add(0x0101_0101);
                    prop_assert_eq!(back.rsp_prod_pvt(), first.wrapping_add(responses.written as u32));
                    back.respond(&response);
                    responses.in_flight.push_back(response);
                    responses.written += 1;
                }
            }
            Step::PushResponses => prop_assert_eq!(back.push(), responses.push()),
            Step::Collect(wish) => {
                for _ in 0..wish.min(front.pending().unwrap()) {
                    front.consume(&mut slot);
                    let written = responses.in_flight.pop_front();
                    prop_assert_eq!(Some(&slot), written.as_ref());
                    responses.consumed += 1;
                }
            }
            Step::BackFinalCheck => prop_assert_eq!(back.final_check(), Ok(requests.final_check())),
            Step::FrontFinalCheck => prop_assert_eq!(front.final_check(), Ok(responses.final_check())),
        }
        prop_assert_eq!(back.pending(), Ok(requests.pending()));
        prop_assert_eq!(front.pending(), Ok(responses.pending()));
        prop_assert_eq!(u64::from(back.debt()), requests.consumed - responses.written);
        prop_assert_eq!(
            u64::from(front.free()),
            u64::from(slots) - (requests.written - responses.consumed)
        );
        prop_assert!(back.debt() <= slots && back.pending().unwrap() <= slots - back.debt());
    }
    Ok(())
}

proptest! {
    #[test]
    fn both_ends_agree_with_the_model(
        pages in prop_oneof![Just(1_usize), Just(2), Just(16), 1..=16_usize],
        slot_bytes in prop_oneof![Just(12_usize), Just(8), Just(16), Just(64), Just(108), Just(112), Just(2016)],
        first in first(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        run(pages, slot_bytes, first, steps)?;
    }

    /// The smallest rings, where every index is at an edge all the time.
    #[test]
    fn rings_of_one_and_two_slots_agree_with_the_model(
        slot_bytes in prop_oneof![Just(4032_usize), Just(2016)],
        first in first(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        run(1, slot_bytes, first, steps)?;
    }
}

/// A backend that comes back to a ring goes on behind the published responses: it sees again what it had consumed and
/// not answered.
#[test]
fn attaching_again_sees_unanswered_requests_again() {
    for first in [0, u32::MAX - 2] {
        let memory = Memory::new(1);
        let mut front = FrontRing::init(memory.clone(), 112, first).unwrap();
        for id in 0..5 {
            front.request(&[id]);
        }
        assert!(front.push());
        let mut back = BackRing::attach(memory, 112).unwrap();
        let mut word = [0];
        for _ in 0..4 {
            back.consume(&mut word);
        }
        back.respond(&[100]);
        back.respond(&[101]);
        assert!(back.push());
        back.respond(&[102]); // Never published: the frontend still waits for it.
        let mut again = BackRing::attach(back.into_pages(), 112).unwrap();
        assert_eq!((again.pending(), again.debt()), (Ok(3), 0));
        again.consume(&mut word);
        // Slot 2 holds the unpublished response: after a restart requests come from a journal, not from the ring.
        assert_eq!(word, [102]);
        again.consume(&mut word);
        assert_eq!(word, [3]);
        assert_eq!(front.pending(), Ok(2));
    }
}
