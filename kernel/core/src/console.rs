//! The PV console (`public/io/console.h`) and the `log` sink on it.
//!
//! A console that nobody drains loses lines, and says how many; it never holds the domain up.

use core::cell::{Cell, RefCell};
use core::fmt::{self, Write};
use core::mem::offset_of;

use hermit_sync::InterruptTicketMutex;
use log::{LevelFilter, Log, Metadata, Record};
use outrigger_ring::{StreamPlace, StreamWriter};
use outrigger_xen::{Clock, Instant, Port};
use xen_unikernel_abi::io::console::XenconsInterface;

use crate::Shared;
use crate::event::send;

const OUT_SIZE: usize = 2048;
const OUT: StreamPlace = StreamPlace {
    ring: offset_of!(XenconsInterface, out),
    size: OUT_SIZE as u32,
    prod: offset_of!(XenconsInterface, out_prod),
    cons: offset_of!(XenconsInterface, out_cons),
};

struct Console {
    page: Shared,
    port: Port,
    out: StreamWriter,
    lost: u32,
    /// The reader is not told yet: guests wait to be served again.
    quiet: bool,
    clock: &'static (dyn Clock + Sync),
}

static CONSOLE: InterruptTicketMutex<Option<Console>> = InterruptTicketMutex::new(None);

impl Console {
    /// Bytes that fit now: none if the daemon's index makes no sense.
    fn room(&self) -> usize {
        self.out.room(&self.page).unwrap_or(0) as usize
    }

    /// Writes as much as fits; returns how much that was.
    fn put(&mut self, bytes: &[u8]) -> usize {
        self.out.write(&self.page, bytes).unwrap_or(0)
    }
}

/// A line being put together, so that it is written whole or not at all.
struct Line {
    bytes: [u8; 1024],
    len: usize,
}

impl Line {
    fn new() -> Self {
        Self {
            bytes: [0; 1024],
            len: 0,
        }
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            // The console is a terminal: a bare newline would go down and not back. The last byte is kept for '\n'.
            let needed = if byte == b'\n' { 2 } else { 1 };
            if self.len + needed > self.bytes.len() - 2 {
                return Ok(());
            }
            if byte == b'\n' {
                self.bytes[self.len] = b'\r';
                self.len += 1;
            }
            // What a guest put into a name must not drive the reader's terminal.
            self.bytes[self.len] = if byte.is_ascii_control() && byte != b'\n' {
                b'?'
            } else {
                byte
            };
            self.len += 1;
        }
        Ok(())
    }
}

impl Console {
    fn line(&mut self, line: &Line) {
        if self.lost > 0 {
            let mut note = Line::new();
            let _ = writeln!(note, "({} lines lost: the console was full)", self.lost);
            if self.room() < note.len + line.len {
                self.lost += 1;
                return;
            }
            self.lost = 0;
            self.put(&note.bytes[..note.len]);
        }
        if self.room() < line.len {
            self.lost += 1;
        } else {
            self.put(&line.bytes[..line.len]);
        }
        // Half a page of lines waits for nobody.
        if !self.quiet || self.room() < OUT_SIZE / 2 {
            send(self.port);
        }
    }
}

struct Sink;

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if let Some(console) = CONSOLE.lock().as_mut() {
            let Instant(ns) = console.clock.now();
            let mut line = Line::new();
            let _ = writeln!(
                line,
                "[{:5}.{:06}] {:5} {}",
                ns / 1_000_000_000,
                ns / 1000 % 1_000_000,
                record.level(),
                record.args()
            );
            console.line(&line);
        }
    }

    fn flush(&self) {}
}

/// Starts the console and the log. `quiet`: its reader is told of what there is to read only when [`speak`] is called.
pub(crate) fn init(page: Shared, port: Port, clock: &'static (dyn Clock + Sync), quiet: bool) {
    let out = StreamWriter::attach(OUT, &page);
    *CONSOLE.lock() = Some(Console {
        page,
        port,
        out,
        lost: 0,
        quiet,
        clock,
    });
    // Fails only if there is a logger already, which would be this one.
    let _ = log::set_logger(&Sink);
    log::set_max_level(LevelFilter::Info);
}

/// From now on its reader is told of each line. On a machine with one processor to share, whoever is woken by a line takes it
/// from whoever writes it.
pub(crate) fn speak() {
    if let Some(console) = CONSOLE.lock().as_mut()
        && core::mem::take(&mut console.quiet)
    {
        send(console.port);
    }
}

/// Writes all of `text`, waiting for the reader, but not for long: the domain is about to end.
pub(crate) fn last_words(text: fmt::Arguments<'_>) {
    /// Turns to wait for the reader in all.
    const PATIENCE: u32 = 2_000_000;
    struct Patient<'a>(&'a RefCell<&'a mut Console>, Cell<u32>);
    impl Write for Patient<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let mut console = self.0.borrow_mut();
            for line in text.as_bytes().split_inclusive(|byte| *byte == b'\n') {
                let (text, end): (_, &[u8]) = match line {
                    [text @ .., b'\n'] => (text, b"\r\n"),
                    text => (text, b""),
                };
                for mut rest in [text, end] {
                    while !rest.is_empty() {
                        rest = &rest[console.put(rest)..];
                        send(console.port);
                        if !rest.is_empty() {
                            self.1.set(self.1.get().checked_sub(1).ok_or(fmt::Error)?);
                            core::hint::spin_loop();
                        }
                    }
                }
            }
            Ok(())
        }
    }
    // The panic may have come while the console was being written: then its line is lost, these words are not.
    if CONSOLE.is_locked() {
        // SAFETY: one processor, interrupts masked: whoever holds it is below us on the stack and never runs again.
        unsafe { CONSOLE.force_unlock() };
    }
    if let Some(console) = CONSOLE.lock().as_mut() {
        let _ = Patient(&RefCell::new(console), Cell::new(PATIENCE)).write_fmt(text);
    }
}
