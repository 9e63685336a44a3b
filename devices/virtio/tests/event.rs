//! The one comparison, against its definition.

use outrigger_virtio::need_event;
use proptest::prelude::*;

proptest! {
    #[test]
    fn is_whether_the_entry_is_among_the_new_ones(event in any::<u16>(), old in any::<u16>(), count in 0u16..600) {
        let new = old.wrapping_add(count);
        let among = (0..count).any(|i| old.wrapping_add(i) == event);
        prop_assert_eq!(need_event(event, new, old), among);
    }

    #[test]
    fn near_the_new_ones(distance in -3i16..3, old in any::<u16>(), count in 0u16..600) {
        for event in [old.wrapping_add_signed(distance), old.wrapping_add(count).wrapping_add_signed(distance)] {
            let new = old.wrapping_add(count);
            let among = (0..count).any(|i| old.wrapping_add(i) == event);
            prop_assert_eq!(need_event(event, new, old), among);
        }
    }
}

#[test]
fn a_batch_across_the_wrap_is_not_lost() {
    assert!(need_event(65534, 2, 65533));
    assert!(need_event(0, 2, 65533));
    assert!(!need_event(2, 2, 65533));
    assert!(!need_event(65532, 2, 65533));
    assert!(!need_event(7, 7, 7), "nothing new");
}
