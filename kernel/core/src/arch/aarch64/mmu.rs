//! Stage-1 page tables: identity, 39 bits, 4 KiB granule (Arm ARM D8). Built once; nothing is mapped or unmapped later:
//! a granted page comes and goes in stage 2 only, under a range that is mapped here from the start, so that a use after
//! its unmapping faults.

use core::cell::UnsafeCell;
use core::ops::Range;

use aarch64_cpu::asm::barrier::{self, dsb, isb};
use aarch64_cpu::registers::{TTBR0_EL1, Writeable};

const VALID: u64 = 1;
/// A table at levels 1 and 2, a page at level 3.
const TABLE_OR_PAGE: u64 = 1 << 1;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const NO_EXECUTE: u64 = (1 << 53) | (1 << 54);
const NORMAL: u64 = 1 << 2;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

const PAGE: u64 = 4096;
const BLOCK: u64 = 2 << 20;

/// What a range is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Executed and read.
    Code,
    /// Read.
    Constants,
    /// Read and written.
    Data,
    /// Registers.
    Device,
}

impl Use {
    fn attributes(self) -> u64 {
        VALID
            | ACCESSED
            | INNER_SHAREABLE
            | match self {
                Self::Code => NORMAL | READ_ONLY,
                Self::Constants => NORMAL | READ_ONLY | NO_EXECUTE,
                Self::Data => NORMAL | NO_EXECUTE,
                Self::Device => NO_EXECUTE,
            }
    }
}

/// 512 descriptors.
#[repr(C, align(4096))]
#[derive(Clone, Copy)]
struct Table([u64; 512]);

/// Enough for RAM's first 2 MiB, the magic pages, the GIC and every passed-through device in 4 KiB pages.
const TABLES: usize = 32;

struct Pool(UnsafeCell<[Table; TABLES]>);

// SAFETY: one processor; only `Mmu`, of which there is one (see `Mmu::new`), touches it.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool(UnsafeCell::new([Table([0; 512]); TABLES]));

/// The tables under construction. The root is table 0.
pub(crate) struct Mmu {
    tables: &'static mut [Table; TABLES],
    used: usize,
}

/// The tables are used up, or an address is beyond 39 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CannotMap;

impl Mmu {
    /// Starts with nothing mapped.
    ///
    /// # Safety
    /// Called once.
    pub(crate) unsafe fn new() -> Self {
        Self {
            // SAFETY: called once, so this is the only reference there ever is.
            tables: unsafe { &mut *POOL.0.get() },
            used: 1,
        }
    }

    /// Maps `range`, widened to whole pages, on itself. What is mapped already stays as it is.
    pub(crate) fn map(&mut self, range: Range<u64>, usage: Use) -> Result<(), CannotMap> {
        let mut at = range.start & !(PAGE - 1);
        let end = range
            .end
            .checked_next_multiple_of(PAGE)
            .filter(|end| *end <= 1 << 39)
            .ok_or(CannotMap)?;
        while at < end {
            let level2 = self.child(0, index(at, 1))?;
            let whole = at.is_multiple_of(BLOCK) && end - at >= BLOCK;
            if whole && self.tables[level2].0[index(at, 2)] == 0 {
                self.tables[level2].0[index(at, 2)] = at | usage.attributes();
                at += BLOCK;
                continue;
            }
            if self.tables[level2].0[index(at, 2)] & (VALID | TABLE_OR_PAGE) == VALID {
                at = (at & !(BLOCK - 1)) + BLOCK; // Within a block that is mapped already.
                continue;
            }
            let level3 = self.child(level2, index(at, 2))?;
            let table_ends = end.min((at & !(BLOCK - 1)) + BLOCK);
            for page in &mut self.tables[level3].0[index(at, 3)..] {
                if at == table_ends {
                    break;
                }
                if *page == 0 {
                    *page = at | usage.attributes() | TABLE_OR_PAGE;
                }
                at += PAGE;
            }
        }
        Ok(())
    }

    /// Makes one page of a range that is about to be mapped a hole for ever: a later [`map`](Self::map) leaves it out.
    pub(crate) fn guard(&mut self, at: u64) -> Result<(), CannotMap> {
        let level2 = self.child(0, index(at, 1))?;
        let level3 = self.child(level2, index(at, 2))?;
        // Not zero and not valid: `map` keeps what is there, and the processor faults.
        self.tables[level3].0[index(at, 3)] = PAGE;
        Ok(())
    }

    fn child(&mut self, table: usize, entry: usize) -> Result<usize, CannotMap> {
        let base = self.tables.as_ptr() as u64;
        let descriptor = self.tables[table].0[entry];
        if descriptor & VALID != 0 {
            return Ok(((descriptor & ADDRESS) - base) as usize / size_of::<Table>());
        }
        let new = self.used;
        if new == TABLES {
            return Err(CannotMap);
        }
        self.used += 1;
        self.tables[table].0[entry] = (base + (new * size_of::<Table>()) as u64) | TABLE_OR_PAGE | VALID;
        Ok(new)
    }

    /// Switches to these tables for good.
    ///
    /// # Safety
    /// They map, with the right use, all that Rust uses: code, constants, data, both stacks, the heap.
    pub(crate) unsafe fn activate(self) {
        dsb(barrier::ISH);
        TTBR0_EL1.set(self.tables.as_ptr() as u64);
        isb(barrier::SY);
        // SAFETY: drops stale translations; the caller vouches for the new ones.
        unsafe { core::arch::asm!("tlbi vmalle1", "dsb nsh", "isb", options(nostack)) };
    }
}

fn index(address: u64, level: u32) -> usize {
    ((address >> (12 + 9 * (3 - level))) & 511) as usize
}
