//! Pages of events: what one end puts the other gets, at every index, whatever the other end says.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test ends where it goes wrong")]

mod common;

use common::Memory;
use outrigger_ring::{EventPlace, EventReader, EventWriter, Overflow};
use proptest::prelude::*;

/// kbdif's events to a guest: 51 slots, which is no power of two.
const KBDIF: EventPlace = EventPlace {
    cons: 0,
    prod: 4,
    slots: 1024,
    slot_bytes: 40,
    count: 51,
};

/// sndif's and displif's event page.
const SNDIF: EventPlace = EventPlace {
    cons: 0,
    prod: 4,
    slots: 64,
    slot_bytes: 64,
    count: 63,
};

fn page(first: u32, place: EventPlace) -> (Memory, EventWriter<Memory>, EventReader<Memory>) {
    let memory = Memory::new(1);
    memory.poke(place.cons, first);
    memory.poke(place.prod, first);
    let writer = EventWriter::attach(memory.clone(), place).unwrap();
    let reader = EventReader::attach(memory.clone(), place);
    (memory, writer, reader)
}

fn places() -> impl Strategy<Value = EventPlace> {
    prop::sample::select(vec![KBDIF, SNDIF, EventPlace { count: 16, ..SNDIF }])
}

proptest! {
    #[test]
    fn events_arrive_in_order_across_the_wrap(
        place in places(),
        first in prop_oneof![Just(0), any::<u32>(), (0..80_u32).prop_map(|n| 0_u32.wrapping_sub(n))],
        steps in prop::collection::vec((0..70_u32, 0..70_u32), 1..60),
    ) {
        let (_, mut writer, mut reader) = page(first, place);
        let (mut sent, mut got) = (0, 0);
        for (put, take) in steps {
            let before = sent;
            for _ in 0..put.min(writer.room().unwrap()) {
                writer.put(&[sent, !sent]);
                sent += 1;
            }
            prop_assert_eq!(writer.push(), sent > before);
            for _ in 0..take.min(reader.pending().unwrap()) {
                let mut words = [0; 2];
                reader.take(&mut words);
                prop_assert_eq!(words, [got, !got]);
                got += 1;
            }
            reader.give_back();
            if sent == got {
                prop_assert!(writer.room().unwrap() > 0, "an empty page has room at every index");
            }
        }
        for _ in 0..reader.pending().unwrap() {
            let mut words = [0; 2];
            reader.take(&mut words);
            prop_assert_eq!(words, [got, !got]);
            got += 1;
        }
        prop_assert_eq!(sent, got);
    }

    #[test]
    fn a_readers_index_is_believed_only_within_the_page(
        place in places(),
        first in any::<u32>(),
        claimed in any::<u32>(),
        near in -70..70_i32,
    ) {
        let (memory, mut writer, _) = page(first, place);
        for claimed in [claimed, first.wrapping_add_signed(near)] {
            memory.poke(place.cons, claimed);
            match writer.room() {
                Ok(room) => {
                    prop_assert!(first.wrapping_sub(claimed) + room <= place.count);
                    memory.record();
                    for _ in 0..room {
                        writer.put(&[7; 2]);
                    }
                    let end = place.slots + place.slot_bytes * place.count as usize;
                    prop_assert!(memory.stored().iter().all(|at| (place.slots..end).contains(at)));
                    (_, writer, _) = page(first, place);
                    writer = EventWriter::attach(memory.clone(), place).unwrap_or(writer);
                }
                Err(overflow) => {
                    prop_assert_eq!(overflow, Overflow { claimed, consumed: first });
                    prop_assert!(EventWriter::attach(memory.clone(), place).is_err());
                }
            }
        }
    }

    #[test]
    fn a_writers_index_is_believed_only_within_the_page(place in places(), first in any::<u32>(), claimed in any::<u32>()) {
        let (memory, _, reader) = page(first, place);
        memory.poke(place.prod, claimed);
        let pending = claimed.wrapping_sub(first);
        let expected = if pending <= place.count { Ok(pending) } else { Err(Overflow { claimed, consumed: first }) };
        prop_assert_eq!(reader.pending(), expected);
    }
}

/// 2³² is 1 more than a multiple of 51: the last slot before the wrap is the first one behind it.
#[test]
fn no_event_is_overwritten_where_indices_wrap() {
    let (_, mut writer, mut reader) = page(u32::MAX, KBDIF);
    assert_eq!(writer.room(), Ok(1));
    writer.put(&[1]);
    assert!(writer.push());
    assert_eq!(
        writer.room(),
        Ok(0),
        "index 0 has the slot of the event that is not read yet"
    );
    reader.take(&mut [0]);
    reader.give_back();
    assert_eq!(writer.room(), Ok(51));
}

#[test]
fn another_life_goes_on_where_the_last_one_published() {
    let (memory, mut writer, mut reader) = page(10, KBDIF);
    writer.put(&[1]);
    assert!(writer.push());
    // Written, and not published: the next life knows nothing of it.
    writer.put(&[2]);
    drop(writer);
    let mut writer = EventWriter::attach(memory, KBDIF).unwrap();
    writer.put(&[3]);
    assert!(writer.push());
    let mut words = [[0]; 2];
    assert_eq!(reader.pending(), Ok(2));
    words.iter_mut().for_each(|word| reader.take(word));
    assert_eq!(words, [[1], [3]]);
}
