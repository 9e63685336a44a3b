//! Streams of bytes: what one end writes the other reads, at every index, whatever the other end says.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test ends where it goes wrong")]

mod common;

use common::Memory;
use outrigger_ring::{Overflow, StreamPlace, StreamReader, StreamWriter};
use proptest::prelude::*;

/// The PV console's ring from a guest.
const PLACE: StreamPlace = StreamPlace {
    ring: 1024,
    size: 2048,
    cons: 3080,
    prod: 3084,
};

fn stream(first: u32) -> (Memory, StreamWriter, StreamReader) {
    let memory = Memory::new(1);
    memory.poke(PLACE.cons, first);
    memory.poke(PLACE.prod, first);
    let writer = StreamWriter::attach(PLACE, &memory);
    let reader = StreamReader::attach(PLACE, &memory);
    (memory, writer, reader)
}

proptest! {
    #[test]
    fn bytes_arrive_in_order(
        first in prop_oneof![Just(0), any::<u32>(), (0..3000_u32).prop_map(|n| 0_u32.wrapping_sub(n))],
        steps in prop::collection::vec((0..3000_usize, 0..3000_usize), 1..30),
    ) {
        let (memory, mut writer, mut reader) = stream(first);
        let [mut sent, mut got] = [const { Vec::<u8>::new() }; 2];
        for (write, read) in steps {
            let bytes: Vec<u8> = (0..write).map(|at| (at * 31 + sent.len()) as u8).collect();
            let room = writer.room(&memory).unwrap() as usize;
            prop_assert_eq!(writer.write(&memory, &bytes).unwrap(), write.min(room));
            sent.extend(&bytes[..write.min(room)]);
            let mut out = vec![0; read];
            let count = reader.read(&memory, &mut out).unwrap();
            got.extend(&out[..count]);
            prop_assert_eq!(writer.unread(&memory).unwrap() as usize, sent.len() - got.len());
        }
        prop_assert_eq!(reader.pending(&memory).unwrap() as usize, sent.len() - got.len());
        prop_assert!(got == sent[..got.len()]);
    }

    #[test]
    fn the_other_ends_index_is_believed_only_within_the_ring(
        ours in any::<u32>(),
        random in any::<u32>(),
        near in -2100..2100_i32,
    ) {
        for claimed in [random, ours.wrapping_add_signed(near)] {
            let (memory, mut writer, mut reader) = stream(ours);
            let overflow = Overflow { claimed, consumed: ours };
            memory.poke(PLACE.cons, claimed);
            memory.record();
            let unread = ours.wrapping_sub(claimed);
            let expected = if unread <= 2048 { Ok(2048 - unread as usize) } else { Err(overflow) };
            prop_assert_eq!(writer.write(&memory, &[1; 4096]), expected);
            let ours_alone = |at: &usize| (1024..3072).contains(at) || (PLACE.prod..PLACE.prod + 4).contains(at);
            prop_assert!(memory.stored().iter().all(ours_alone));

            memory.poke(PLACE.prod, claimed);
            memory.record();
            let pending = claimed.wrapping_sub(ours);
            let expected = if pending <= 2048 { Ok(pending as usize) } else { Err(overflow) };
            prop_assert_eq!(reader.read(&memory, &mut [0; 4096]), expected);
            let fetched = memory.fetched();
            prop_assert!(fetched.iter().all(|at| (1024..3072).contains(at) || (PLACE.prod..PLACE.prod + 4).contains(at)));
            prop_assert!(fetched.windows(2).all(|two| two[0] != two[1]), "each byte is fetched once");
        }
    }
}

#[test]
fn nothing_is_seen_before_it_is_published() {
    let (memory, mut writer, mut reader) = stream(u32::MAX - 1);
    writer.put(&memory, *b"abcd");
    assert_eq!(reader.pending(&memory), Ok(0));
    writer.publish(&memory);
    assert_eq!(reader.byte(&memory), b'a');
    assert_eq!(writer.room(&memory), Ok(2044));
    reader.give_back(&memory);
    assert_eq!(writer.room(&memory), Ok(2045));
}
