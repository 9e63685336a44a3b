//! A processor's caches, at their worst.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes a line.
pub(crate) const LINE: usize = 64;

struct Line {
    bytes: [u8; LINE],
    dirty: bool,
}

/// What the caches hold of one page.
#[derive(Default)]
pub(crate) struct Cache {
    lines: BTreeMap<usize, Line>,
}

impl Cache {
    /// The CPU reads or writes within one line.
    fn line(&mut self, memory: &[Cell<u8>], line: usize) -> &mut Line {
        self.lines.entry(line).or_insert_with(|| {
            let mut bytes = [0; LINE];
            for (byte, cell) in bytes.iter_mut().zip(&memory[line * LINE..]) {
                *byte = cell.get();
            }
            Line { bytes, dirty: false }
        })
    }

    pub fn load(&mut self, memory: &[Cell<u8>], at: usize) -> u8 {
        self.line(memory, at / LINE).bytes[at % LINE]
    }

    pub fn store(&mut self, memory: &[Cell<u8>], at: usize, byte: u8) {
        let line = self.line(memory, at / LINE);
        line.bytes[at % LINE] = byte;
        line.dirty = true;
    }

    /// Writes dirty lines that overlap `bytes` to memory.
    pub fn clean(&mut self, memory: &[Cell<u8>], bytes: Range<usize>) {
        for (number, line) in self.lines.range_mut(bytes.start / LINE..bytes.end.div_ceil(LINE)) {
            if line.dirty {
                line.dirty = false;
                for (byte, cell) in line.bytes.iter().zip(&memory[number * LINE..]) {
                    cell.set(*byte);
                }
            }
        }
    }

    /// Forgets lines that overlap `bytes`, after [`clean`](Self::clean).
    pub fn drop_lines(&mut self, bytes: Range<usize>) {
        let gone = bytes.start / LINE..bytes.end.div_ceil(LINE);
        self.lines.retain(|line, _| !gone.contains(line));
    }

    /// Reads everything ahead, as a processor may at any time.
    pub fn read_ahead(&mut self, memory: &[Cell<u8>]) {
        for line in 0..memory.len() / LINE {
            self.line(memory, line);
        }
    }
}
