//! Checks of what is kept for a later life: against accidents, not against anybody.

/// FNV-1a of bytes.
pub fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// One more word in a checksum whose upper half counts. It costs a multiplication: cheap enough for the data path.
#[inline]
pub fn mix(sum: u64, word: u64) -> u64 {
    (sum.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_is_the_published_one() {
        assert_eq!(fnv1a([]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(*b"foobar"), 0x8594_4171_f739_67e8);
    }

    /// What an earlier image has written is still believed.
    #[test]
    fn mix_is_what_it_was() {
        assert_eq!(mix(0, 1), 0x9e37_79b9_7f4a_7c15);
        assert_eq!([3, 5, 7].into_iter().fold(1, mix), 0x28a6_1962_1b57_30cc);
    }
}
