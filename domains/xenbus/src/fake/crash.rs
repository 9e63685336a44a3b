//! Lives that fail at a given step.

use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic::{catch_unwind, resume_unwind};
use std::println;
use std::string::String;
use std::vec::Vec;

use outrigger_ring::SharedPages;
use outrigger_xen::fake::{Crash, Domain};
use outrigger_xen::{Key, Survivors, Wake};

use super::Life;
use crate::{Backend, Service};

/// The guests and the toolstack of a test, who do one thing after the other on the machine `H`, and do not fail.
pub trait Others<H> {
    /// Goes on, as far as that is possible without waiting. True if something was done.
    fn go_on(&mut self, host: &H) -> bool;
    /// All is done.
    fn is_over(&self) -> bool;
    /// What they wait for, in words.
    fn waits_for(&self, host: &H) -> String;
}

/// One life of the driver domain `dd` on `host`, from where its image has made the class until all is over, or it fails.
///
/// # Panics
/// Nothing happens any more; or with [`Crash`].
pub fn live<H>(dd: &Domain, service: &impl Service, host: &H, others: &mut impl Others<H>) {
    let store = dd.xenstore();
    let backend = Backend::new(&store, dd, service);
    backend.resume();
    let life = Life::new(dd, service, &store, &backend);
    let mut wake = Some(Wake::default());
    let mut idle = 0;
    while !others.is_over() {
        if let Some(this) = wake {
            wake = life.turn_and_look(this);
            continue;
        }
        if others.go_on(host) {
            idle = 0;
        } else {
            idle += 1;
            assert!(idle < 300, "nothing happens any more: {}", others.waits_for(host));
            dd.xen().advance(Duration::from_millis(10));
        }
        // XenStore may have something to say.
        wake = Some(life.woken().unwrap_or_default());
    }
}

/// A life that fails after so many steps, and then restarts; true if it did not come to that.
pub fn live_for(dd: &Domain, steps: u64, live: impl FnOnce()) -> bool {
    dd.crash_at(steps);
    match catch_unwind(AssertUnwindSafe(live)) {
        Ok(()) => {
            dd.crash_never();
            true
        }
        Err(crash) if crash.is::<Crash>() => {
            dd.restart();
            false
        }
        Err(failure) => resume_unwind(failure),
    }
}

/// Plays a test that fails after the given numbers of steps of its lives, for each step from `from` on; the second time so many
/// steps later as `again` makes of it, while it recovers or later. `play` says how many steps its last life took.
///
/// # Panics
/// There are too few steps to be all.
pub fn every_step(from: u64, again: u64, play: impl Fn(&[u64]) -> u64) {
    let steps = play(&[]);
    assert!(steps > from + 500, "{steps} steps are few");
    for at in from..=steps {
        println!("{at} of {steps}");
        play(&[at, 1 + at * 31 % again]);
    }
}

/// A record of a device's: not the place in XenStore's ring.
fn is_a_devices(key: Key) -> bool {
    key.kind == Key::TRANSCRIPT || key.kind >= Key::CLASS
}

/// The records of devices: their keys, and which of their words are not 0.
pub fn words_kept(dd: &Domain) -> Vec<(Key, Vec<usize>)> {
    let records = dd.records().into_iter();
    let devices = records.filter(|(key, _)| is_a_devices(*key));
    let words = devices.map(|(key, record)| {
        let words = (0..record.len() / 8).filter(|word| record.load_u64(8 * word) != 0);
        (key, words.collect())
    });
    words.collect()
}

/// A bit of one word of a record is another.
///
/// # Panics
/// There is no such record.
pub fn spoil(dd: &Domain, key: Key, word: usize) {
    let mut records = dd.records().into_iter();
    let (_, record) = records.find(|(other, _)| *other == key).expect("it is there");
    record.store_u64(8 * word, record.load_u64(8 * word) ^ 1 << (word * 7 % 64));
}

/// The end of a test: the domain holds nothing of a guest's, and keeps no record of a device.
///
/// # Panics
/// It does.
pub fn assert_nothing_left(dd: &Domain) {
    dd.xen().assert_nothing_held(dd.id());
    let kept = dd.keys().into_iter().filter(|key| is_a_devices(*key));
    assert_eq!(kept.count(), 0, "records of devices");
}
