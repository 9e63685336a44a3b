//! What an image says of itself in its first page, behind Linux's arm64 Image header: for whoever wants to put it in another's
//! place while that one runs (`outrigger_update::Header` reads it).

use crate::survivors::facts::VERSION;

/// At byte 64 of the image, 32 bytes.
#[repr(C)]
#[derive(Debug)]
pub struct Header {
    magic: [u8; 8],
    survivors: u32,
    reserved: u32,
    class: [u8; 16],
}

impl Header {
    /// Of an image of `class`, at most 16 bytes of it.
    pub const fn new(class: &str) -> Self {
        let class = class.as_bytes();
        assert!(class.len() <= 16, "a class has a short name");
        let mut name = [0; 16];
        let mut at = 0;
        while at < class.len() {
            name[at] = class[at];
            at += 1;
        }
        Self {
            magic: *b"OUTRIGGR",
            survivors: VERSION as u32,
            reserved: 0,
            class: name,
        }
    }
}
