//! Changing the internet checksum (RFC 1071, RFC 1624).

fn word(bytes: [u8; 2]) -> u64 {
    // Little-endian changes nothing but the byte order of the result (RFC 1071, 2.B).
    u64::from(u16::from_le_bytes(bytes))
}

/// A sum of words of any size as one of 16 bits: each half is added to the other, whose carry is then in the upper one.
#[inline]
pub fn fold(sum: u64) -> u16 {
    let sum = (sum.wrapping_add(sum.rotate_right(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_right(16)) >> 16) as u16
}

/// The sum of bytes, as a partial checksum is stored.
pub fn sum(bytes: &[u8]) -> [u8; 2] {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let whole: u64 = pairs.iter().map(|pair| word(*pair)).sum();
    fold(whole + rest.first().map_or(0, |byte| u64::from(*byte))).to_le_bytes()
}

/// The checksum of bytes whose own field is 0.
pub fn checksum(bytes: &[u8]) -> [u8; 2] {
    sum(bytes).map(|byte| !byte)
}

/// The checksum after one 16-bit field that it covers has changed (RFC 1624, equation 3). All in network order.
pub fn update(checksum: [u8; 2], old: [u8; 2], new: [u8; 2]) -> [u8; 2] {
    (!fold((word(checksum) ^ 0xffff) + (word(old) ^ 0xffff) + word(new))).to_le_bytes()
}

/// The same of a partial checksum, which is the sum of the pseudo header.
pub fn update_partial(partial: [u8; 2], old: [u8; 2], new: [u8; 2]) -> [u8; 2] {
    fold(word(partial) + (word(old) ^ 0xffff) + word(new)).to_le_bytes()
}
