//! Where instructions go: QEMU's log of every one of them, by who ran it and, in our image, by function.
//!
//! The log has a line for each instruction (`-d exec,nochain` with `one-insn-per-tb`): "Trace 0: HOST
//! [CS_BASE/PC/FLAGS/CFLAGS] SYMBOL". Who ran it is told from the program counter: Xen, a Linux kernel, a program, or our
//! image each have a part of the address space. What Xen does is booked on whoever ran before it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io::BufRead;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

/// How many functions and exits are shown.
const SHOWN: usize = 25;

/// The code of our image.
pub struct Image {
    text: (u64, Vec<u8>),
    /// First address, size and name of each function, sorted.
    functions: Vec<(u64, u64, String)>,
}

impl Image {
    /// Reads the ELF `path`.
    pub fn read(path: &Path) -> Result<Self> {
        let data = fs::read(path).with_context(|| path.display().to_string())?;
        let elf = object::File::parse(data.as_slice())?;
        let text = elf.section_by_name(".text").context("an image without .text")?;
        let mut functions: Vec<_> = elf
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text)
            .map(|symbol| {
                let name = rustc_demangle::demangle(symbol.name().unwrap_or("?"));
                (symbol.address(), symbol.size(), format!("{name:#}"))
            })
            .collect();
        functions.sort();
        Ok(Self {
            text: (text.address(), text.data()?.to_vec()),
            functions,
        })
    }

    fn holds(&self, pc: u64) -> bool {
        let (base, bytes) = &self.text;
        (*base..base + bytes.len() as u64).contains(&pc)
    }

    fn function(&self, pc: u64) -> &str {
        let before = self.functions.partition_point(|(start, ..)| *start <= pc);
        let found = before.checked_sub(1).and_then(|at| self.functions.get(at));
        found.map_or("?", |(.., name)| name)
    }

    /// Whether a function begins at `pc`.
    fn is_entry(&self, pc: u64) -> bool {
        let found = self.functions.binary_search_by_key(&pc, |(start, ..)| *start);
        found.is_ok()
    }

    /// What the instruction at `pc` may leave for Xen with.
    fn exit(&self, pc: u64) -> Exit {
        let (base, bytes) = &self.text;
        let at = usize::try_from(pc - base).ok();
        let word = at.and_then(|at| bytes.get(at..at + 4)?.try_into().ok());
        match word.map(u32::from_le_bytes) {
            Some(word) if word & 0xffe0_001f == 0xd400_0002 => Exit::Hypercall,
            Some(0xd503_207f) => Exit::Wait,
            // Loads and stores (bit 27 set, bit 25 clear) and system registers.
            Some(word) if word & 0x0a00_0000 == 0x0800_0000 || word >> 22 == 0x354 => Exit::Access,
            _ => Exit::Interrupt,
        }
    }
}

/// How a stretch of our image's instructions ended in Xen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Exit {
    Hypercall,
    Wait,
    /// Of a register of a device, of the interrupt controller or of the system; or an interrupt came just then.
    Access,
    Interrupt,
}

/// Who runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum World {
    /// Our image.
    Ours,
    /// A Linux kernel.
    Kernel,
    /// A program of a Linux domain.
    Program,
    /// Xen.
    Xen,
}

impl World {
    fn of(pc: u64, image: &Image) -> Self {
        match pc >> 40 {
            // XEN_VIRT_START, arch/arm/include/asm/mmu/layout.h.
            0xa => Self::Xen,
            0xff_0000.. => Self::Kernel,
            _ if image.holds(pc) => Self::Ours,
            _ => Self::Program,
        }
    }
}

/// Instructions, counted.
#[derive(Debug, Default)]
pub struct Profile {
    /// By who ran them, and for Xen's own: by who ran before (`Xen` if nobody did).
    worlds: BTreeMap<(World, World), u64>,
    /// Of each function of our image: instructions and calls.
    functions: BTreeMap<String, (u64, u64)>,
    /// Where our image was left for Xen.
    exits: BTreeMap<(Exit, String), u64>,
}

impl Profile {
    /// Reads QEMU's log.
    pub fn read(mut log: impl BufRead, image: &Image) -> Result<Self> {
        let mut profile = Self::default();
        let mut line = Vec::new();
        // Who ran last, but for Xen; and the last instruction of ours, if nobody has run since.
        let (mut customer, mut left) = (World::Xen, None);
        while log.read_until(b'\n', &mut line)? > 0 {
            if let Some(pc) = program_counter(&line) {
                let world = World::of(pc, image);
                match (world, left.take()) {
                    (World::Xen, Some(at)) => {
                        let function = image.function(at).to_owned();
                        *profile.exits.entry((image.exit(at), function)).or_default() += 1;
                    }
                    (World::Ours, _) => {
                        left = Some(pc);
                        let function = image.function(pc);
                        if !profile.functions.contains_key(function) {
                            profile.functions.insert(function.to_owned(), (0, 0));
                        }
                        if let Some((instructions, calls)) = profile.functions.get_mut(function) {
                            *instructions += 1;
                            *calls += u64::from(image.is_entry(pc));
                        }
                    }
                    _ => {}
                }
                if world != World::Xen {
                    customer = world;
                }
                *profile.worlds.entry((world, customer)).or_default() += 1;
            }
            line.clear();
        }
        if profile.functions.is_empty() {
            bail!("QEMU has written down no instruction of ours");
        }
        Ok(profile)
    }

    /// The profile as text, of a machine that did so many requests (or packets) a second at 4 ns an instruction.
    pub fn show(&self, iops: f64) -> Result<String> {
        let all: u64 = self.worlds.values().sum();
        let requests = all as f64 * 4e-9 * iops;
        let each = |count: u64| count as f64 / requests;
        let mut text = String::new();
        writeln!(
            text,
            "{all} instructions, {requests:.0} requests. Instructions a request:"
        )?;
        for ((world, customer), count) in &self.worlds {
            let who = match (world, customer) {
                (World::Ours, _) => "our image",
                (World::Kernel, _) => "Linux kernels",
                (World::Program, _) => "programs",
                (World::Xen, World::Ours) => "Xen, on account of our image",
                (World::Xen, World::Kernel) => "Xen, on account of a kernel",
                (World::Xen, World::Program) => "Xen, on account of a program",
                (World::Xen, World::Xen) => "Xen, before anybody else",
            };
            writeln!(text, "{:10.1}  {who}", each(*count))?;
        }
        writeln!(text, "Our image, instructions and calls a request:")?;
        let mut functions: Vec<_> = self.functions.iter().collect();
        functions.sort_by_key(|(_, (instructions, _))| Reverse(*instructions));
        for (name, (instructions, calls)) in functions.into_iter().take(SHOWN) {
            writeln!(text, "{:10.1} {:8.2}  {name}", each(*instructions), each(*calls))?;
        }
        writeln!(text, "How our image is left for Xen, times a request:")?;
        let mut exits: Vec<_> = self.exits.iter().collect();
        exits.sort_by_key(|(_, count)| Reverse(**count));
        for ((exit, function), count) in exits.into_iter().take(SHOWN) {
            writeln!(text, "{:10.3} {exit:?}, {function}", each(*count))?;
        }
        Ok(text)
    }
}

/// The program counter of one line of the log.
fn program_counter(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?.strip_prefix("Trace ")?;
    let (_, bracket) = line.split_once('[')?;
    u64::from_str_radix(bracket.split('/').nth(1)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two functions: one that stores and makes a hypercall, and one that waits.
    fn image() -> Image {
        let words: [u32; 5] = [0xb900_0020, 0xd41d_4202, 0xd65f_03c0, 0xd503_207f, 0xd65f_03c0];
        Image {
            text: (
                0x4000_0000,
                words.iter().flat_map(|word| word.to_le_bytes()).collect(),
            ),
            functions: vec![
                (0x4000_0000, 12, "serve".to_owned()),
                (0x4000_000c, 8, "sleep".to_owned()),
            ],
        }
    }

    fn log(counters: &[u64]) -> String {
        let line = |pc: &u64| format!("Trace 0: 0x7f0000000000 [00000000/{pc:016x}/00000061/00000201] \n");
        counters.iter().map(line).collect()
    }

    const XEN: u64 = 0xa00_0020_0000;
    const KERNEL: u64 = 0xffff_8000_8000_0000;
    const PROGRAM: u64 = 0xaaaa_0000_0000;

    #[test]
    fn instructions_are_told_apart_and_booked() {
        let counters = [
            XEN,
            0x4000_0000,
            XEN,
            XEN,
            0x4000_0004,
            XEN,
            0x4000_0008,
            0x4000_000c,
            XEN,
            KERNEL,
            PROGRAM,
            XEN,
        ];
        let mut text = log(&counters);
        text.insert_str(0, "virtio: something else\n");
        let profile = Profile::read(text.as_bytes(), &image()).unwrap();
        let worlds = [
            ((World::Ours, World::Ours), 4),
            ((World::Kernel, World::Kernel), 1),
            ((World::Program, World::Program), 1),
            ((World::Xen, World::Ours), 4),
            ((World::Xen, World::Program), 1),
            ((World::Xen, World::Xen), 1),
        ];
        assert_eq!(profile.worlds, BTreeMap::from(worlds));
        let functions = [("serve".to_owned(), (3, 1)), ("sleep".to_owned(), (1, 1))];
        assert_eq!(profile.functions, BTreeMap::from(functions));
        let exits = [
            ((Exit::Access, "serve".to_owned()), 1),
            ((Exit::Hypercall, "serve".to_owned()), 1),
            ((Exit::Wait, "sleep".to_owned()), 1),
        ];
        assert_eq!(profile.exits, BTreeMap::from(exits));
        // 12 instructions take 48 ns: at a request in 24 ns, two requests.
        let shown = profile.show(1e9 / 24.0).unwrap();
        assert!(shown.contains("12 instructions, 2 requests"), "{shown}");
        assert!(shown.contains("2.0  our image"), "{shown}");
    }

    #[test]
    fn a_log_without_us_is_no_profile() {
        assert!(Profile::read(log(&[XEN, KERNEL]).as_bytes(), &image()).is_err());
    }
}
