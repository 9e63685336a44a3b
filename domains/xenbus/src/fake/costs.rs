//! What a request or a packet costs, counted: a table that a golden file keeps, so that a change is a difference to read.

use core::cell::Cell;
use core::fmt::Write as _;
use core::ops::Sub;
use std::boxed::Box;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{env, format, fs};

use outrigger_xen::Wake;
use outrigger_xen::fake::{Domain, Hypercall};

use super::Life;
use crate::{Service, TurnOutcome};

/// What passed between a device and its driver so far: reads of its registers, writes, doorbells (or commands) among these,
/// and interrupts.
pub type Registers = [u64; 4];

/// What is counted, by the heads of the table's columns.
const COLUMNS: [&str; 13] = [
    "map", "unmap", "copy", "send", "pages", "ops", "bytes", "turns", "sleeps", "reads", "writes", "bells",
    "irqs",
];

/// What the columns are.
const LEGEND: &str = "\
# hypercalls: GNTTABOP_map_grant_ref, _unmap_grant_ref and _copy, EVTCHNOP_send; there are no others.
# pages: mapped. ops, bytes: of grant copies. turns: of the loop. sleeps: WFI, each with a wake-up to follow.
# reads, writes: of the device's registers. bells: doorbells (commands) among the writes. irqs: interrupts of the device.
# A dot is nought. Nothing here allocates.
";

/// A reading of everything that is counted.
#[derive(Clone, Copy, Debug)]
struct Reading([u64; COLUMNS.len()]);

impl Sub for Reading {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        Self(core::array::from_fn(|column| self.0[column] - earlier.0[column]))
    }
}

/// Counts what a driver domain does, and lets it run: the data path alone, XenStore being quiet.
pub struct Meter<'a, S: 'static> {
    life: &'a Life<'static, S>,
    dd: Domain,
    registers: Box<dyn Fn() -> Registers + 'a>,
    turns: Cell<u64>,
    sleeps: Cell<u64>,
}

impl<'a, S: Service + 'static> Meter<'a, S> {
    /// Of `life` with a device that has seen `registers`.
    pub fn new(life: &'a Life<'static, S>, registers: impl Fn() -> Registers + 'a) -> Self {
        Self {
            life,
            dd: life.dd.clone(),
            registers: Box::new(registers),
            turns: Cell::new(0),
            sleeps: Cell::new(0),
        }
    }

    /// Takes turns until the domain sleeps; none if nothing wakes it.
    ///
    /// # Panics
    /// A turn allocates.
    pub fn run(&self) {
        let mut wake = self.life.woken();
        if wake.is_some() {
            self.sleeps.set(self.sleeps.get() + 1);
        }
        while let Some(this) = wake {
            let mut turn = TurnOutcome::default();
            let allocated = allocation_counter::measure(|| turn = self.life.service.turn(this));
            assert_eq!(
                allocated.count_total, 0,
                "a turn of the data path allocates nothing"
            );
            self.turns.set(self.turns.get() + 1);
            let busy = turn.more_work || self.life.service.has_work();
            wake = self.life.woken().or(busy.then(Wake::default));
        }
    }

    fn read(&self) -> Reading {
        let [reads, writes, doorbells, interrupts] = (self.registers)();
        let [map, unmap, copy, send] = [
            Hypercall::MapGrantRef,
            Hypercall::UnmapGrantRef,
            Hypercall::Copy,
            Hypercall::Send,
        ]
        .map(|which| self.dd.hypercalls(which));
        let counts = self.dd.counts();
        Reading([
            map,
            unmap,
            copy,
            send,
            counts.maps,
            counts.copies,
            self.dd.copied(),
            self.turns.get(),
            self.sleeps.get(),
            reads,
            writes,
            doorbells,
            interrupts,
        ])
    }

    fn others(&self) -> u64 {
        self.dd.hypercalls(Hypercall::Port)
    }
}

/// The table.
pub struct Table(String);

impl Table {
    /// With a head that says what it is about, a `# ` before each line.
    pub fn new(about: &str) -> Self {
        let heads: String = COLUMNS.iter().map(|column| format!("{column:>8}")).collect();
        Self(format!("{about}{LEGEND}\n{:51}{heads}\n", ""))
    }

    /// A row: what each of the `count` things costs that `work` does.
    ///
    /// # Panics
    /// It makes other hypercalls, too.
    pub fn row<S: Service + 'static>(
        &mut self,
        what: &str,
        count: u64,
        meter: &Meter<'_, S>,
        work: impl FnOnce(),
    ) {
        let (before, others) = (meter.read(), meter.others());
        work();
        let cost = meter.read() - before;
        assert_eq!(meter.others(), others, "{what}: no port comes or goes");
        let figures: String = cost
            .0
            .iter()
            .map(|total| format!("{:>8}", each(*total, count)))
            .collect();
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{what:51}{figures}");
    }

    /// Compares with the golden file, or writes it anew if `OUTRIGGER_BLESS` is set.
    ///
    /// # Panics
    /// They differ.
    pub fn is_golden(&self, path: &str) {
        if env::var_os("OUTRIGGER_BLESS").is_some() {
            fs::write(path, &self.0).expect("the golden file can be written");
        }
        let golden = fs::read_to_string(path).unwrap_or_default();
        let (ours, theirs): (Vec<_>, Vec<_>) = (self.0.lines().collect(), golden.lines().collect());
        let mut difference = String::new();
        for (sign, lines, others) in [('-', &theirs, &ours), ('+', &ours, &theirs)] {
            for line in lines.iter().filter(|line| !others.contains(line)) {
                let _ = writeln!(difference, "{sign} {line}");
            }
        }
        assert!(
            self.0 == golden,
            "{path} is another; if that is right: `cargo xtask check --update costs`\n{difference}"
        );
    }
}

/// A figure a thing, to three places.
fn each(total: u64, count: u64) -> String {
    if total == 0 {
        return ".".to_string();
    }
    let figure = format!("{:.3}", total as f64 / count as f64);
    figure.trim_end_matches('0').trim_end_matches('.').to_string()
}
