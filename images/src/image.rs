//! From a driver domain's ELF file to the flat arm64 `Image` that Xen's domain builder loads.
//!
//! The image starts with the 64-byte header of Linux's `arm64/booting.rst`. Xen loads it at the start of guest memory
//! plus `text_offset` and enters it at its first byte; it ignores `image_size`, so that .bss, which is not in the
//! file, must be kept clear of by us: the domain's memory is checked to hold it.

use std::path::Path;

use object::LittleEndian;
use object::elf::{EM_AARCH64, ET_EXEC, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use crate::error::{Error, Fault};

/// Where guest memory starts, for Xen 4.20's `xl` on Arm.
pub const GUEST_RAM_BASE: u64 = 0x4000_0000;

/// What Xen puts at the top of guest memory and may not be in the image's way: the guest's device tree, below a
/// 2 MiB boundary.
const TOP_OF_MEMORY_BYTES: u64 = 2 << 20;

/// Size of the arm64 `Image` header.
const HEADER_BYTES: usize = 64;

/// A flat arm64 `Image`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What the file holds: header, code and data, not .bss.
    pub bytes: Vec<u8>,
    /// Its header's offset from the start of guest memory, in bytes.
    pub text_offset: u64,
    /// Its header's size in memory, .bss included, in bytes.
    pub image_size: u64,
}

impl Image {
    /// Flattens `elf`, the contents of `file`, to at most `budget_kib` KiB.
    ///
    /// # Errors
    /// An ELF that is not a little-endian arm64 executable with a matching `Image` header, or that is too large.
    pub fn from_elf(file: &Path, elf: &[u8], budget_kib: u32) -> Result<Self, Error> {
        flatten(elf, budget_kib).map_err(|fault| Error::at(file, fault))
    }

    /// Bytes of guest memory this image needs: itself, .bss, and what Xen keeps at the top.
    pub fn memory_bytes(&self) -> u64 {
        self.text_offset
            .saturating_add(self.image_size)
            .saturating_add(TOP_OF_MEMORY_BYTES)
    }
}

/// Understands a flat `Image`.
///
/// # Errors
/// A header that does not make sense.
pub fn read_flat(bytes: &[u8]) -> Result<Image, Fault> {
    let (text_offset, image_size) = read_header(bytes)?;
    Ok(Image {
        bytes: bytes.to_vec(),
        text_offset,
        image_size,
    })
}

/// A part of the file that is loaded.
struct Segment<'a> {
    address: u64,
    bytes: &'a [u8],
    end: u64,
}

fn flatten(elf: &[u8], budget_kib: u32) -> Result<Image, Fault> {
    let refuse = |why: &str| Fault::Elf(why.to_owned());
    let foreign = |e: object::read::Error| Fault::Elf(e.to_string());
    let header = FileHeader64::<LittleEndian>::parse(elf).map_err(foreign)?;
    let endian = header.endian().map_err(foreign)?;
    if header.e_machine(endian) != EM_AARCH64 || header.e_type(endian) != ET_EXEC {
        return Err(refuse("not a statically linked arm64 executable"));
    }
    let mut segments = Vec::new();
    for header in header.program_headers(endian, elf).map_err(foreign)? {
        if header.p_type(endian) != PT_LOAD || header.p_memsz(endian) == 0 {
            continue;
        }
        let address = header.p_paddr(endian);
        let bytes = header
            .data(endian, elf)
            .map_err(|()| refuse("a segment lies outside the file"))?;
        let end = address.checked_add(header.p_memsz(endian));
        match end {
            Some(end) if end - address >= bytes.len() as u64 => {
                segments.push(Segment { address, bytes, end })
            }
            _ => return Err(refuse("a segment's sizes contradict each other")),
        }
    }
    let (bytes, base, end) = join(segments, budget_kib)?;
    if header.e_entry(endian) != base {
        return Err(refuse("its entry is not its first byte, where Xen enters it"));
    }
    let (text_offset, image_size) = read_header(&bytes)?;
    if Some(base) != GUEST_RAM_BASE.checked_add(text_offset) {
        return Err(Fault::Elf(format!(
            "linked at {base:#x}, but its header's text_offset {text_offset:#x} puts it at {:#x}",
            GUEST_RAM_BASE.wrapping_add(text_offset)
        )));
    }
    if image_size < end - base {
        return Err(Fault::Elf(format!(
            "its header's image_size {image_size:#x} does not cover its {:#x} bytes with .bss",
            end - base
        )));
    }
    Ok(Image {
        bytes,
        text_offset,
        image_size,
    })
}

/// The loaded bytes from the lowest address, that address, and the end of memory they take.
fn join(mut segments: Vec<Segment<'_>>, budget_kib: u32) -> Result<(Vec<u8>, u64, u64), Fault> {
    segments.sort_by_key(|segment| segment.address);
    if segments.windows(2).any(|pair| pair[0].end > pair[1].address) {
        return Err(Fault::Elf("its segments overlap".to_owned()));
    }
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
        return Err(Fault::Elf("nothing in it is loaded".to_owned()));
    };
    let (base, end) = (first.address, last.end);
    let mut flat = Vec::new();
    for segment in segments.iter().filter(|segment| !segment.bytes.is_empty()) {
        // Before the padding is allocated: a gap may be of any size.
        let size = (segment.address - base).saturating_add(segment.bytes.len() as u64);
        if size > u64::from(budget_kib) * 1024 {
            return Err(Fault::ImageBudget {
                bytes: size,
                budget_kib,
            });
        }
        flat.resize((segment.address - base) as usize, 0);
        flat.extend_from_slice(segment.bytes);
    }
    Ok((flat, base, end))
}

/// `text_offset` and `image_size` of an arm64 `Image` header.
fn read_header(image: &[u8]) -> Result<(u64, u64), Fault> {
    let refuse = |why: &str| Err(Fault::Elf(why.to_owned()));
    let Some(header) = image.first_chunk::<HEADER_BYTES>() else {
        return refuse("too short for an arm64 Image header");
    };
    if header[56..60] != *b"ARM\x64" {
        return refuse("no arm64 Image header at its first byte");
    }
    let field = |at: usize| header[at..].first_chunk().copied().map_or(0, u64::from_le_bytes);
    let (text_offset, image_size, flags) = (field(8), field(16), field(24));
    if flags & 1 != 0 {
        return refuse("its header says it is big-endian");
    }
    if text_offset % 4096 != 0 {
        return refuse("its header's text_offset is not a whole number of pages");
    }
    Ok((text_offset, image_size))
}
