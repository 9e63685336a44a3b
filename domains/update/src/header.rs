//! What an image says of itself, in its first page.

use core::str;

/// Where it is in an image, in bytes: behind the 64 of Linux's arm64 Image header.
pub const HEADER_OFFSET: usize = 64;

const MAGIC: &[u8; 8] = b"OUTRIGGR";
const ARM64_MAGIC: &[u8; 4] = b"ARM\x64";

/// What an image says of itself: 32 bytes at [`HEADER_OFFSET`]. The magic number, the survivors' version (u32, little
/// endian), four bytes of zero, the class's name filled up with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The class, as in the machine file.
    pub class: &'a str,
    /// The layout of what the image keeps across restarts.
    pub survivors: u32,
}

impl<'a> Header<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// This is no image of a driver domain: what is wrong.
    pub fn read(image: &'a [u8]) -> Result<Self, &'static str> {
        if image.get(56..60) != Some(ARM64_MAGIC) {
            return Err("it is no arm64 Image");
        }
        let header: &[u8; 32] = image
            .get(HEADER_OFFSET..)
            .and_then(<[u8]>::first_chunk)
            .ok_or("it ends within its header")?;
        let (magic, rest) = header.split_first_chunk().expect("32 bytes are 8 and 24");
        if magic != MAGIC {
            return Err("it is no driver domain's image");
        }
        let (survivors, rest) = rest.split_first_chunk().expect("24 bytes are 4 and 20");
        let class = rest[4..].split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(Self {
            class: str::from_utf8(class).map_err(|_| "its class is no text")?,
            survivors: u32::from_le_bytes(*survivors),
        })
    }
}
