//! The smallest programs of eBPF: what an XDP program of a guest does with each frame.

use anyhow::{Context, Result};
use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

/// What becomes of a frame (`enum xdp_action`, uapi/linux/bpf.h).
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// It is dropped.
    Drop = 1,
    /// It goes on as without a program.
    Pass = 2,
}

/// An object file whose section `xdp` is a program that does the same with every frame: `r0 = ACTION; exit` (RFC 9669).
pub fn xdp(action: Action) -> Result<Vec<u8>> {
    let program = [0xb7, 0, 0, 0, action as u8, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let section = object.add_section(Vec::new(), b"xdp".to_vec(), SectionKind::Text);
    object.append_section_data(section, &program, 8);
    object.add_symbol(Symbol {
        name: b"program".to_vec(),
        value: 0,
        size: program.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Linkage,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    object.write().context("an eBPF program")
}
