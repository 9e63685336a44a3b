//! What goes ahead of an image.

/// Bytes of a [`Message`] on the stream.
pub const MESSAGE_BYTES: usize = 48;

const MAGIC: &[u8; 8] = b"OUTUPD01";

/// What the client says of the image that follows: the magic number, the length (u64, little endian), the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Bytes of the image.
    pub length: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

impl Message {
    /// As bytes of the stream.
    pub fn bytes(&self) -> [u8; MESSAGE_BYTES] {
        let mut bytes = [0; MESSAGE_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..].copy_from_slice(&self.sha256);
        bytes
    }

    /// From bytes of the stream; `None` if they are something else.
    pub fn read(bytes: &[u8; MESSAGE_BYTES]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk()?;
        let (length, sha256) = rest.split_first_chunk()?;
        (magic == MAGIC).then_some(Self {
            length: u64::from_le_bytes(*length),
            sha256: sha256.try_into().ok()?,
        })
    }
}
