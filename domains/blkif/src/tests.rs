//! Golden slots of the three ABIs, byte by byte, both ways; and arbitrary words.

use outrigger_xen::GrantRef;
use proptest::prelude::*;

use crate::{Abi, DataOp, Identity, Refusal, Request, SlotWords, Status, head_words, used_words};

/// A slot, written as a frontend's compiler would: fields at byte offsets.
fn slot(fields: &[(usize, &[u8])]) -> SlotWords {
    // What is not written is somebody's old data.
    let mut bytes = [0xee; 112];
    for (at, field) in fields {
        bytes[*at..*at + field.len()].copy_from_slice(field);
    }
    words(&bytes)
}

fn words(bytes: &[u8; 112]) -> SlotWords {
    let mut words = [0; 28];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_le_bytes(bytes.try_into().unwrap());
    }
    words
}

const ID: [u8; 8] = 0x1122_3344_5566_7788_u64.to_le_bytes();
const SECTOR: [u8; 8] = 0x0102_0304_0506_0708_u64.to_le_bytes();

/// Offsets of `id`, `sector_number`, the first segment and the first indirect reference: `public/io/blkif.h` as compiled
/// for each architecture.
const OFFSETS: [(&str, usize, usize, usize, usize); 3] = [
    ("x86_64-abi", 8, 16, 24, 28),
    ("arm-abi", 8, 16, 24, 28),
    ("x86_32-abi", 4, 12, 20, 24),
];

#[test]
fn protocols_are_known_by_name() {
    assert_eq!(Abi::from_protocol(None), Some(Abi::Lp64));
    assert_eq!(Abi::from_protocol(Some("x86_64-abi")), Some(Abi::Lp64));
    assert_eq!(Abi::from_protocol(Some("arm-abi")), Some(Abi::Lp64));
    assert_eq!(Abi::from_protocol(Some("x86_32-abi")), Some(Abi::X86_32));
    for wrong in ["", "x86_64-abi ", "ia64-abi", "X86_64-ABI"] {
        assert_eq!(Abi::from_protocol(Some(wrong)), None);
    }
    assert_eq!((Abi::Lp64.slot_bytes(), Abi::X86_32.slot_bytes()), (112, 108));
}

#[test]
fn reads_and_writes() {
    for (protocol, id, sector, seg, _) in OFFSETS {
        let abi = Abi::from_protocol(Some(protocol)).unwrap();
        for (operation, expected) in [(0, DataOp::Read), (1, DataOp::Write)] {
            let mut fields: Vec<(usize, Vec<u8>)> = vec![
                (0, vec![operation, 11, 0x02, 0xca]),
                (id, ID.to_vec()),
                (sector, SECTOR.to_vec()),
            ];
            for i in 0..11_u8 {
                let gref = 0x0a0b_0c00 + u32::from(i);
                fields.push((seg + 8 * usize::from(i), gref.to_le_bytes().to_vec()));
                fields.push((seg + 8 * usize::from(i) + 4, vec![i % 8, 7]));
            }
            let fields: Vec<(usize, &[u8])> = fields.iter().map(|(at, f)| (*at, &f[..])).collect();
            let words = slot(&fields);
            let Ok(Request::Data { op, sector, segments }) = Request::decode(abi, &words, 0) else {
                panic!("{protocol}: not decoded as data");
            };
            assert_eq!(
                (op, sector, segments.len()),
                (expected, u64::from_le_bytes(SECTOR), 11)
            );
            for (i, segment) in (0_u32..).zip(segments.iter()) {
                let segment = segment.unwrap();
                assert_eq!(segment.gref, GrantRef(0x0a0b_0c00 + i));
                assert_eq!((segment.first_sector(), segment.sectors()), (i % 8, 8 - i % 8));
            }
            assert_eq!(
                Identity::of(abi, &words),
                Identity {
                    id: u64::from_le_bytes(ID),
                    operation
                }
            );
        }
    }
}

#[test]
fn indirect() {
    for (protocol, id, sector, _, grefs) in OFFSETS {
        let abi = Abi::from_protocol(Some(protocol)).unwrap();
        let mut fields: Vec<(usize, Vec<u8>)> = vec![
            (0, vec![6, 1, 0x00, 0x10]),
            (id, ID.to_vec()),
            (sector, SECTOR.to_vec()),
        ];
        for i in 0..8_u8 {
            fields.push((grefs + 4 * usize::from(i), vec![i, 1, 2, 3]));
        }
        let fields: Vec<(usize, &[u8])> = fields.iter().map(|(at, f)| (*at, &f[..])).collect();
        let words = slot(&fields);
        let Ok(Request::Indirect {
            op,
            sector,
            nr_segments,
            pages,
        }) = Request::decode(abi, &words, 4096)
        else {
            panic!("{protocol}: not decoded as indirect");
        };
        assert_eq!(
            (op, sector, nr_segments),
            (DataOp::Write, u64::from_le_bytes(SECTOR), 4096)
        );
        for (i, page) in (0..).zip(pages) {
            assert_eq!(page, GrantRef(u32::from_le_bytes([i, 1, 2, 3])));
        }
        assert_eq!(
            Identity::of(abi, &words).operation,
            1,
            "the inner operation is echoed"
        );
        assert_eq!(
            Request::decode(abi, &words, 4095).unwrap_err(),
            Refusal::SegmentCount
        );
        assert_eq!(Request::decode(abi, &words, 0).unwrap_err(), Refusal::Unsupported);
    }
}

#[test]
fn discard_flush_and_barrier() {
    for (protocol, id, sector, seg, _) in OFFSETS {
        let abi = Abi::from_protocol(Some(protocol)).unwrap();
        let discard = |flag| {
            slot(&[
                (0, &[5, flag, 0, 0]),
                (id, &ID),
                (sector, &SECTOR),
                (seg, &77_u64.to_le_bytes()),
            ])
        };
        assert!(matches!(
            Request::decode(abi, &discard(0), 0),
            Ok(Request::Discard { sector, sectors: 77 }) if sector == u64::from_le_bytes(SECTOR)
        ));
        assert_eq!(
            Request::decode(abi, &discard(1), 0).unwrap_err(),
            Refusal::Unsupported,
            "secure discard is not offered"
        );
        for operation in [2, 3] {
            let empty = slot(&[(0, &[operation, 0, 0, 0]), (id, &ID), (sector, &SECTOR)]);
            match Request::decode(abi, &empty, 0) {
                // It waits for what was written before, and so is no flush.
                Ok(Request::Barrier { segments, .. }) if operation == 2 => assert!(segments.is_empty()),
                Ok(Request::Flush) if operation == 3 => {}
                other => panic!("{protocol}: operation {operation} without data: {other:?}"),
            }
            let full = slot(&[
                (0, &[operation, 1, 0, 0]),
                (id, &ID),
                (sector, &SECTOR),
                (seg, &[9, 0, 0, 0, 2, 3]),
            ]);
            let Ok(Request::Barrier { segments, .. }) = Request::decode(abi, &full, 0) else {
                panic!("{protocol}: a barrier with data");
            };
            let segment = segments.iter().next().unwrap().unwrap();
            assert_eq!((segment.first_sector(), segment.sectors()), (2, 2));
        }
    }
}

#[test]
fn refusals() {
    let first = |word: [u8; 4]| slot(&[(0, &word), (8, &ID), (16, &SECTOR)]);
    for (word, why) in [
        ([0, 0, 0, 0], Refusal::SegmentCount),
        ([0, 12, 0, 0], Refusal::SegmentCount),
        ([1, 255, 0, 0], Refusal::SegmentCount),
        ([2, 12, 0, 0], Refusal::SegmentCount),
        ([4, 0, 0, 0], Refusal::Unsupported),
        ([7, 1, 0, 0], Refusal::Unsupported),
        ([255, 255, 255, 255], Refusal::Unsupported),
        // Indirect: of nothing, of an operation that cannot be.
        ([6, 0, 0, 0], Refusal::SegmentCount),
        ([6, 2, 1, 0], Refusal::Unsupported),
        ([6, 6, 1, 0], Refusal::Unsupported),
    ] {
        let words = first(word);
        assert_eq!(
            Request::decode(Abi::Lp64, &words, 256).unwrap_err(),
            why,
            "{word:?}"
        );
    }
    assert_eq!(Refusal::Unsupported.status(), Status::Unsupported);
    assert_eq!(Refusal::SegmentBounds.status(), Status::Error);
}

#[test]
fn segment_bounds() {
    for first in 0..=255_u8 {
        for last in 0..=255_u8 {
            let segment = crate::Segment::decode(1, u32::from_le_bytes([first, last, 0xff, 0xff]));
            if first <= last && last <= 7 {
                let segment = segment.unwrap();
                assert_eq!(segment.first_sector(), u32::from(first));
                assert_eq!(segment.sectors(), u32::from(last - first) + 1);
            } else {
                assert_eq!(segment, Err(Refusal::SegmentBounds));
            }
        }
    }
}

#[test]
fn responses() {
    let identity = Identity {
        id: u64::from_le_bytes(ID),
        operation: 1,
    };
    let bytes = |abi, status| -> Vec<u8> {
        let response = identity.response(abi, status);
        response
            .as_slice()
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect()
    };
    // id @0, operation @8, a byte of padding, status @10, then padding to the alignment: all of it zero.
    assert_eq!(
        bytes(Abi::Lp64, Status::Error),
        [
            0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 1, 0, 0xff, 0xff, 0, 0, 0, 0
        ]
    );
    assert_eq!(
        bytes(Abi::X86_32, Status::Unsupported),
        [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 1, 0, 0xfe, 0xff]
    );
    assert_eq!(bytes(Abi::X86_32, Status::Okay)[8..], [1, 0, 0, 0]);
}

proptest! {
    /// Whatever a slot holds, decoding ends, and what comes out is within the protocol's bounds.
    #[test]
    fn arbitrary_slots(bytes in prop::collection::vec(any::<u8>(), 112), op in 0_u8..10, x86_32: bool, max in 0_usize..4097) {
        let mut bytes: [u8; 112] = bytes.try_into().unwrap();
        bytes[0] = op;
        let words = words(&bytes);
        let abi = if x86_32 { Abi::X86_32 } else { Abi::Lp64 };
        match Request::decode(abi, &words, max) {
            Ok(request @ (Request::Data { segments, .. } | Request::Barrier { segments, .. })) => {
                // A barrier may be without data.
                let least = usize::from(matches!(request, Request::Data { .. }));
                prop_assert!((least..=11).contains(&segments.len()));
                for segment in segments.iter().flatten() {
                    prop_assert!(segment.first_sector() + segment.sectors() <= 8 && segment.sectors() > 0);
                }
            }
            Ok(Request::Indirect { nr_segments, .. }) => {
                prop_assert!((1..=max).contains(&nr_segments));
            }
            Ok(Request::Flush | Request::Discard { .. }) => {}
            Err(why) => prop_assert_ne!(why.status(), Status::Okay),
        }
        // What lies behind the used words makes no difference.
        let used = used_words(abi, words[0]);
        prop_assert!((head_words(abi)..=abi.slot_words()).contains(&used));
        let mut cut = words;
        cut[used..].fill(0);
        let seen = |words: &SlotWords| match Request::decode(abi, words, max) {
            Ok(Request::Indirect { op, sector, nr_segments, pages }) => {
                format!("{op:?} {sector} {nr_segments} {:?}", &pages[..nr_segments.div_ceil(512)])
            }
            other => format!("{other:?}"),
        };
        prop_assert_eq!(seen(&words), seen(&cut));
        prop_assert_eq!(Identity::of(abi, &words), Identity::of(abi, &cut));
    }
}
