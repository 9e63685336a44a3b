//! A journal that fails at every store, and one that somebody has written over.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use outrigger_ring::FrontRing;
use outrigger_xen::fake::{Crash, Domain, FakePages, FakeXen};
use outrigger_xen::{Access, DomId, GrantRef, GrantTable, Key, Survivors};

use super::*;

const DD: DomId = DomId(3);
const FE: DomId = DomId(7);
const SLOTS: u32 = 32;
const KEY: Key = Key {
    kind: Key::CLASS,
    frontend: FE,
    handle: 1,
    part: 0,
};

/// A frontend that asks for nothing in particular, and a backend that does nothing but answer.
struct Rig {
    dd: Domain,
    abi: Abi,
    gref: GrantRef,
    front: FrontRing<FakePages>,
    asked: BTreeMap<u64, Vec<u32>>,
    answered: Vec<u64>,
    next: u64,
}

struct Back {
    ring: BackRing<FakePages>,
    journal: Journal<FakePages>,
    owed: Vec<Slot>,
}

impl Rig {
    fn new(abi: Abi, first: u32) -> Self {
        let xen = FakeXen::new();
        let (dd, fe) = (xen.domain(DD), xen.domain(FE));
        let page = fe.pages(1);
        Self {
            gref: fe.grant(&page, 0, DD, Access::ReadWrite),
            front: FrontRing::init(page, abi.slot_bytes(), first).unwrap(),
            dd,
            abi,
            asked: BTreeMap::new(),
            answered: Vec::new(),
            next: 1,
        }
    }

    fn attach(&self) -> BackRing<FakePages> {
        let mapped = self.dd.map_pages(FE, &[self.gref], Access::ReadWrite).unwrap();
        BackRing::attach(mapped.pages, self.abi.slot_bytes()).unwrap()
    }

    /// The first life.
    fn begin(&self) -> Back {
        let ring = self.attach();
        let record = self.dd.keep(KEY, Journal::<FakePages>::bytes(SLOTS)).unwrap();
        let journal = Journal::new(record, self.abi, SLOTS, ring.rsp_prod_pvt());
        Back {
            ring,
            journal,
            owed: Vec::new(),
        }
    }

    /// Another.
    fn resume(&self) -> Result<Back, Unsound> {
        let mut ring = self.attach();
        let record = self.dd.kept(KEY).unwrap();
        let (journal, owed) = Journal::recover(record, self.abi, SLOTS, ring.rsp_prod_pvt())?;
        ring.resume(owed.len() as u32).unwrap();
        Ok(Back { ring, journal, owed })
    }

    /// As many requests as fit, of all lengths.
    fn ask(&mut self, count: usize) {
        for _ in 0..count.min(self.front.free() as usize) {
            let id = self.next;
            self.next += 1;
            let [low, high] = [id as u32, 0x1234];
            let segments = id as u32 % 12;
            let mut words = vec![segments << 8 | u32::from(id.is_multiple_of(5))];
            words.extend(vec![0; head_words(self.abi) - 5]);
            words.extend([low, high, 8 * low, 0]);
            words.extend((0..2 * segments).map(|n| low * 1000 + n));
            self.asked.insert(id | 0x1234 << 32, words.clone());
            self.front.request(&words);
        }
        let _ = self.front.push();
    }

    /// Takes the responses. Each must be to a request that was not answered yet.
    fn collect(&mut self) {
        for _ in 0..self.front.pending().unwrap() {
            let mut words = [0; 3];
            self.front.consume(&mut words);
            let id = u64::from(words[0]) | u64::from(words[1]) << 32;
            assert!(self.asked.remove(&id).is_some(), "{id:#x} is answered once");
            self.answered.push(id);
        }
    }

    /// What is owed is what was asked.
    fn check(&self, back: &mut Back) {
        for slot in back.owed.clone() {
            back.journal.recall(slot).unwrap();
            let id = back.journal.progress(slot).identity.id;
            let words = &self.asked[&id];
            assert_eq!(back.journal.request[..words.len()], **words);
        }
    }
}

impl Back {
    fn take(&mut self, count: usize) {
        for _ in 0..count.min(self.ring.pending().unwrap() as usize) {
            let slot = self.journal.consume(&mut self.ring);
            self.owed.push(slot);
        }
    }

    /// Answers some of what is owed, not in order.
    fn answer(&mut self, count: usize) {
        for n in 0..count.min(self.owed.len()) {
            let slot = self.owed.remove(n * 7 % self.owed.len());
            let abi = Abi::Lp64;
            let response = self.journal.progress(slot).identity.response(abi, Status::Okay);
            let index = self.ring.rsp_prod_pvt();
            self.ring.respond(response.as_slice());
            self.journal.close(slot, index);
        }
        let _ = self.ring.push();
    }
}

/// One day in a backend's life: rings that run full, answers out of order, some that are late.
const DAY: [(usize, usize, usize); 7] = [
    (3, 3, 1),
    (4, 2, 3),
    (32, 32, 5),
    (9, 4, 0),
    (0, 9, 20),
    (20, 20, 19),
    (32, 32, 9),
];

/// Lives until it fails or the day is over. True if it is over.
fn live(rig: &mut Rig, hour: &mut usize, begin: impl FnOnce(&Rig) -> Back) -> bool {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut back = begin(rig);
        rig.check(&mut back);
        while let Some((ask, take, answer)) = DAY.get(*hour) {
            rig.ask(*ask);
            back.take(*take);
            rig.collect();
            back.answer(*answer);
            rig.collect();
            *hour += 1;
        }
        while !rig.asked.is_empty() {
            back.take(100);
            back.answer(100);
            rig.collect();
        }
    }));
    match lived {
        Ok(()) => true,
        Err(crash) => {
            assert!(crash.is::<Crash>(), "it fails where it was told to");
            false
        }
    }
}

/// How many steps a day takes that nothing interrupts.
fn steps(abi: Abi, first: u32) -> u64 {
    let mut rig = Rig::new(abi, first);
    let (before, mut hour) = (rig.dd.steps_taken(), 0);
    assert!(live(&mut rig, &mut hour, Rig::begin));
    assert!(rig.answered.len() > 60);
    rig.dd.steps_taken() - before
}

#[test]
fn whatever_store_is_the_last_each_request_is_answered_once() {
    for (abi, first) in [(Abi::Lp64, 0), (Abi::Lp64, u32::MAX - 40), (Abi::X86_32, 5)] {
        let all = steps(abi, first);
        // There has to be something to find.
        let rig = Rig::new(abi, first);
        rig.begin();
        for at in rig.dd.steps_taken() + 1..=all + 1 {
            let mut rig = Rig::new(abi, first);
            let mut hour = 0;
            rig.dd.crash_at(at);
            let mut over = live(&mut rig, &mut hour, Rig::begin);
            assert_eq!(over, at > all);
            // And once more, a little later each time.
            let mut again = 1 + at % 61;
            while !over {
                rig.dd.restart();
                rig.dd.crash_at(again);
                over = live(&mut rig, &mut hour, |rig| rig.resume().unwrap());
                again = again * 2 + 10;
            }
            assert_eq!(rig.answered.len() as u64, rig.next - 1);
        }
    }
}

#[test]
fn what_was_written_over_is_never_guessed_at() {
    let (mut found, mut harmless) = (0, 0);
    for last in [60, 500, 1500] {
        let mut rig = Rig::new(Abi::Lp64, 0);
        let mut hour = 0;
        rig.dd.crash_at(last);
        assert!(!live(&mut rig, &mut hour, Rig::begin));
        rig.dd.restart();
        let owed = |back: &mut Back| {
            let slots = back.owed.clone();
            let requests = slots.into_iter().map(|slot| {
                back.journal.recall(slot).unwrap();
                let request = back.journal.request;
                request[..used_words(Abi::Lp64, request[0])].to_vec()
            });
            requests.collect::<Vec<_>>()
        };
        let (_, record) = rig.dd.records().remove(0);
        let bytes: Vec<u64> = (0..record.len() / 8).map(|at| record.load_u64(8 * at)).collect();
        let restore = |record: &FakePages| {
            for (at, word) in bytes.iter().enumerate() {
                record.store_u64(8 * at, *word);
            }
        };
        let truth = owed(&mut rig.resume().unwrap());
        assert!(!truth.is_empty());
        for (at, word) in bytes.iter().enumerate().filter(|(_, word)| **word != 0) {
            let one_bit = [0, 7, 18, 29, 33, 40, 63].map(|bit| word ^ 1 << bit);
            for wrong in one_bit.into_iter().chain([0, u64::MAX, word.wrapping_add(1)]) {
                record.store_u64(8 * at, wrong);
                match rig.resume() {
                    Err(_) => {
                        // It has changed nothing.
                        record.store_u64(8 * at, *word);
                        found += 1;
                    }
                    Ok(mut back) => {
                        assert_eq!(owed(&mut back), truth, "word {at}: {word:#x} became {wrong:#x}");
                        restore(&record);
                        harmless += 1;
                    }
                }
            }
        }
        // rsp_prod is in the guest's page. A guest that moves it deceives itself, and can at most have its own requests
        // carried out and answered again.
        let rsp_prod = rig.attach().rsp_prod_pvt();
        for moved in (1..200).chain([1 << 20, 1 << 31, u32::MAX - 5]) {
            let kept = rig.dd.kept(KEY).unwrap();
            match Journal::recover(kept, Abi::Lp64, SLOTS, rsp_prod.wrapping_add(moved)) {
                Ok((_, owed)) => {
                    // So many were published, or were not after all.
                    assert_eq!((owed.len() as u32).wrapping_add(moved), truth.len() as u32);
                    restore(&record);
                }
                Err(_) => found += 1,
            }
        }
    }
    assert!(found > 2000 && harmless > 0, "{found} found, {harmless} harmless");
}

#[test]
fn places_are_used_in_turn() {
    let mut rig = Rig::new(Abi::Lp64, 0);
    let mut back = rig.begin();
    let mut used = Vec::new();
    for _ in 0..2 * SLOTS {
        rig.ask(1);
        back.take(1);
        assert_eq!(back.journal.owed(), 1);
        used.push(back.owed[0].0);
        assert_eq!(back.journal.owed_at(used[0]).is_some(), used[0] == back.owed[0].0);
        back.answer(1);
        assert_eq!(back.journal.owed(), 0);
        rig.collect();
    }
    let all: Vec<u16> = (0..SLOTS as u16).chain(0..SLOTS as u16).collect();
    assert_eq!(used, all);
    assert!(back.journal.owed_at(SLOTS as u16).is_none(), "no such place");
}
