//! U-Boot's legacy image format, as far as a script goes (U-Boot's `include/image.h`): what `mkimage -T script` makes.

const MAGIC: u32 = 0x2705_1956;
const HEADER_BYTES: usize = 64;
/// Where the header's own checksum is: it counts as zero in it.
const HEADER_CRC: std::ops::Range<usize> = 4..8;

/// `IH_OS_LINUX`, `IH_ARCH_ARM64`, `IH_TYPE_SCRIPT`, `IH_COMP_NONE`.
const KIND: [u8; 4] = [5, 22, 6, 0];

/// The script image of `text`. Its time is 0, so that the same script gives the same bytes.
pub fn script(name: &str, text: &str) -> Vec<u8> {
    // One file: its size, and the end of the list of sizes.
    let mut data = (text.len() as u32).to_be_bytes().to_vec();
    data.extend([0; 4]);
    data.extend(text.as_bytes());
    let mut image = MAGIC.to_be_bytes().to_vec();
    // Checksum and time.
    image.extend([0; 8]);
    image.extend((data.len() as u32).to_be_bytes());
    // Load address and entry.
    image.extend([0; 8]);
    image.extend(crc32(&data).to_be_bytes());
    image.extend(KIND);
    image.extend(name.bytes().take(31));
    image.resize(HEADER_BYTES, 0);
    let checksum = crc32(&image);
    image[HEADER_CRC].copy_from_slice(&checksum.to_be_bytes());
    image.extend(data);
    image
}

/// What `image` is, if it is a script in the legacy format and whole: its name and text.
pub fn read_script(image: &[u8]) -> Option<(String, String)> {
    let (header, data) = image.split_at_checked(HEADER_BYTES)?;
    let field = |at: usize| header.get(at..)?.first_chunk().copied().map(u32::from_be_bytes);
    let mut unsigned = header.to_vec();
    unsigned[HEADER_CRC].fill(0);
    let whole = field(0)? == MAGIC && field(4)? == crc32(&unsigned) && header[28..32] == KIND;
    let data = data.get(..field(12)? as usize)?;
    if !whole || field(24)? != crc32(data) {
        return None;
    }
    let size = data.first_chunk().copied().map(u32::from_be_bytes)? as usize;
    let text = data.get(8..8usize.checked_add(size)?)?;
    let name = header[32..].split(|&byte| byte == 0).next()?;
    Some((
        String::from_utf8_lossy(name).into_owned(),
        String::from_utf8(text.to_vec()).ok()?,
    ))
}

/// The CRC of IEEE 802.3, reflected, as zlib and U-Boot compute it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, &byte: &u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_zlibs() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn a_script_reads_back_and_a_damaged_one_does_not() {
        let image = script("boot", "echo hello\n");
        assert_eq!(image.len(), 64 + 8 + 11);
        assert_eq!(image[..4], [0x27, 0x05, 0x19, 0x56]);
        assert_eq!(
            read_script(&image),
            Some(("boot".to_owned(), "echo hello\n".to_owned()))
        );
        for at in 0..image.len() {
            let mut damaged = image.clone();
            damaged[at] ^= 0x40;
            assert_eq!(read_script(&damaged), None, "byte {at}");
            assert_eq!(read_script(&image[..at]), None, "{at} bytes");
        }
    }
}
