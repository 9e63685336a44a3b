//! A driver domain's ELF file, right or wrong in any one place.

/// An ELF with one code segment that starts with an arm64 `Image` header, and one data segment with .bss.
#[derive(Clone)]
pub struct Elf {
    pub machine: u16,
    pub kind: u16,
    /// Where the code is linked.
    pub base: u64,
    pub entry: u64,
    pub text_offset: u64,
    pub image_size: u64,
    pub flags: u64,
    pub magic: [u8; 4],
    /// From the start of the code to the data.
    pub data_offset: u64,
    /// Size of .bss after the data's 16 bytes.
    pub bss: u64,
    /// Size of the code.
    pub code: usize,
}

impl Default for Elf {
    fn default() -> Self {
        Self {
            machine: 183,
            kind: 2,
            base: 0x4000_0000,
            entry: 0x4000_0000,
            text_offset: 0,
            image_size: 0x4000,
            flags: 0b1010,
            magic: *b"ARM\x64",
            data_offset: 0x1000,
            bss: 0x1000,
            code: 128,
        }
    }
}

pub const DATA: [u8; 16] = *b"sixteen bytes...";

impl Elf {
    pub fn bytes(&self) -> Vec<u8> {
        let mut code = vec![0xAA; self.code.max(64)];
        code[8..16].copy_from_slice(&self.text_offset.to_le_bytes());
        code[16..24].copy_from_slice(&self.image_size.to_le_bytes());
        code[24..32].copy_from_slice(&self.flags.to_le_bytes());
        code[56..60].copy_from_slice(&self.magic);
        code.truncate(self.code);

        let headers = 64 + 2 * 56;
        let mut elf = Vec::new();
        elf.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        elf.extend_from_slice(&self.kind.to_le_bytes());
        elf.extend_from_slice(&self.machine.to_le_bytes());
        elf.extend_from_slice(&1u32.to_le_bytes());
        for word in [self.entry, 64, 0] {
            elf.extend_from_slice(&word.to_le_bytes());
        }
        elf.extend_from_slice(&0u32.to_le_bytes());
        for half in [64u16, 56, 2, 64, 0, 0] {
            elf.extend_from_slice(&half.to_le_bytes());
        }
        let data = headers + code.len() as u64;
        let data_at = self.base.wrapping_add(self.data_offset);
        segment(&mut elf, headers, self.base, code.len() as u64, code.len() as u64);
        segment(
            &mut elf,
            data,
            data_at,
            DATA.len() as u64,
            (DATA.len() as u64).wrapping_add(self.bss),
        );
        elf.extend_from_slice(&code);
        elf.extend_from_slice(&DATA);
        elf
    }
}

/// A PT_LOAD header: file offset, physical address, sizes in the file and in memory.
fn segment(elf: &mut Vec<u8>, offset: u64, address: u64, in_file: u64, in_memory: u64) {
    elf.extend_from_slice(&1u32.to_le_bytes());
    elf.extend_from_slice(&7u32.to_le_bytes());
    // The virtual address differs: only the physical one counts.
    for word in [offset, address ^ (1 << 40), address, in_file, in_memory, 0x1000] {
        elf.extend_from_slice(&word.to_le_bytes());
    }
}
