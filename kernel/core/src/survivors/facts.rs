//! What the kernel itself must know again: where it was started from, what it was doing, and how it ended.

use core::fmt::{self, Write};

use outrigger_ring::SharedPages;
use outrigger_xen::Port;

use super::{LEN, digest};

const MAGIC: u64 = u64::from_le_bytes(*b"Outrgr\0\x06");
/// Of the layout of everything that survives: an image of another version does not take over from this one.
pub const VERSION: u64 = 2;

/// Words of the page, by number. First what is written once and has one check.
mod at {
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 1;
    pub const LEN: usize = 2;
    pub const DEVICE_TREE: usize = 3;
    pub const CLOCK_START: usize = 4;
    pub const OWN_PAGES: usize = 5;
    pub const DOMID: usize = 6;
    pub const CHECK: usize = 7;
    // What changes.
    pub const LIFE: usize = 8;
    pub const IN_SERVICE: usize = 9;
    pub const TAKEN: usize = 10;
    pub const MAPS: usize = 11;
    pub const UNMAPS: usize = 12;
    /// `struct evtchn_bind_interdomain`, 12 bytes.
    pub const BIND: usize = 13;
    /// Two words, XenStore's.
    pub const XENSTORE: usize = 15;
    #[cfg(feature = "crash-points")]
    pub const INJECTED: usize = 17;
    /// When the last lives ended.
    pub const ENDS: usize = 18;
    /// How far the windows were used.
    pub const REACHES: usize = 24;
    pub const PORTS: usize = 32;
    /// The end of the last life.
    pub const ENDED_AT: usize = 96;
    pub const BLAMELESS: usize = 97;
    pub const REASON_LEN: usize = 98;
    pub const TRACE: usize = 104;
    pub const REASON: usize = 128;
}

/// Ends that are remembered.
const ENDS: usize = 5;
/// Return addresses that are kept.
pub(crate) const TRACE_MAX: usize = 24;
const REASON_MAX: usize = 1024;

/// The facts' page.
#[derive(Clone, Debug)]
pub(crate) struct Facts<P>(P);

/// What cannot be known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsound;

impl<P: SharedPages> Facts<P> {
    /// The page, whatever is in it.
    pub(crate) fn at(page: P) -> Self {
        Self(page)
    }

    /// A first life's.
    pub(crate) fn begin(page: P, device_tree: u64, clock_start: u64) -> Self {
        let facts = Self(page);
        (0..512).for_each(|word| facts.set(word, 0));
        for (word, value) in [
            (at::MAGIC, MAGIC),
            (at::VERSION, VERSION),
            (at::LEN, LEN as u64),
            (at::DEVICE_TREE, device_tree),
            (at::CLOCK_START, clock_start),
        ] {
            facts.set(word, value);
        }
        facts.seal();
        facts
    }

    /// A later life's.
    pub(crate) fn take_over(page: P) -> Result<Self, Unsound> {
        let facts = Self(page);
        let sound = facts.get(at::MAGIC) == MAGIC
            && facts.get(at::VERSION) == VERSION
            && facts.get(at::LEN) == LEN as u64
            && facts.get(at::CHECK) == facts.sum();
        if !sound {
            return Err(Unsound);
        }
        facts.set(at::LIFE, facts.get(at::LIFE).wrapping_add(1));
        Ok(facts)
    }

    fn get(&self, word: usize) -> u64 {
        self.0.load_u64(8 * word)
    }

    fn set(&self, word: usize, value: u64) {
        self.0.store_u64(8 * word, value);
    }

    fn sum(&self) -> u64 {
        digest((at::MAGIC..at::CHECK).map(|word| self.get(word)))
    }

    fn seal(&self) {
        self.set(at::CHECK, self.sum());
    }

    pub(crate) fn device_tree(&self) -> u64 {
        self.get(at::DEVICE_TREE)
    }

    /// The counter when the first life began: the domain's clock goes on from there.
    pub(crate) fn clock_start(&self) -> u64 {
        self.get(at::CLOCK_START)
    }

    /// This domain's number; 0 if it is not known yet.
    pub(crate) fn domid(&self) -> u16 {
        self.get(at::DOMID) as u16
    }

    pub(crate) fn set_domid(&self, domid: u16) {
        self.set(at::DOMID, domid.into());
        self.seal();
    }

    /// The frame from which on machine addresses are kept.
    pub(crate) fn own_pages(&self) -> u64 {
        self.get(at::OWN_PAGES)
    }

    pub(crate) fn set_own_pages(&self, gfn: u64) {
        self.set(at::OWN_PAGES, gfn);
        self.seal();
    }

    /// How many lives there were before.
    pub(crate) fn life(&self) -> u32 {
        self.get(at::LIFE) as u32
    }

    /// The interrupts that the processor has acknowledged and not ended, as the life before left them; none from now on.
    pub(crate) fn take_in_service(&self) -> [Option<u32>; 2] {
        [at::IN_SERVICE, at::TAKEN].map(|word| {
            let interrupt = self.get(word).checked_sub(1);
            self.set(word, 0);
            interrupt.and_then(|interrupt| u32::try_from(interrupt).ok())
        })
    }

    /// The interrupt between its acknowledgement and its end.
    #[inline]
    pub(crate) fn set_in_service(&self, interrupt: Option<u32>) {
        self.set(
            at::IN_SERVICE,
            interrupt.map_or(0, |interrupt| u64::from(interrupt) + 1),
        );
    }

    /// The device's interrupt that ends with the next wait.
    #[inline]
    pub(crate) fn set_taken(&self, interrupt: Option<u32>) {
        self.set(
            at::TAKEN,
            interrupt.map_or(0, |interrupt| u64::from(interrupt) + 1),
        );
    }

    /// How many mappings Xen has been asked for and we have not taken note of.
    #[inline]
    pub(crate) fn set_maps(&self, count: usize) {
        self.set(at::MAPS, count as u64);
    }

    pub(crate) fn maps(&self) -> usize {
        self.get(at::MAPS) as usize
    }

    /// The same of unmappings.
    #[inline]
    pub(crate) fn set_unmaps(&self, count: usize) {
        self.set(at::UNMAPS, count as u64);
    }

    pub(crate) fn unmaps(&self) -> usize {
        self.get(at::UNMAPS) as usize
    }

    /// Where `struct evtchn_bind_interdomain` is, in bytes.
    pub(crate) const BIND: usize = 8 * at::BIND;

    /// Where the windows keep how far they were used, in bytes.
    pub(crate) const CPU_REACH: usize = 8 * at::REACHES;
    pub(crate) const DMA_REACH: usize = Self::CPU_REACH + 8;

    /// Where XenStore keeps its place in the rings, in bytes; 16 of them.
    pub(crate) const XENSTORE: usize = 8 * at::XENSTORE;

    /// A port is ours.
    pub(crate) fn note_port(&self, Port(port): Port, open: bool) {
        let word = at::PORTS + port as usize / 64 % 64;
        let bit = 1 << (port % 64);
        let old = self.get(word);
        self.set(word, if open { old | bit } else { old & !bit });
    }

    /// The ports that are ours.
    pub(crate) fn ports(&self) -> impl Iterator<Item = Port> {
        let words = (0..64).map(|word| (word, self.get(at::PORTS + word)));
        words.filter(|(_, bits)| *bits != 0).flat_map(|(word, bits)| {
            let bits = (0..64).filter(move |bit| bits >> bit & 1 != 0);
            bits.map(move |bit| Port(word as u32 * 64 + bit))
        })
    }

    /// Failures that a test has asked for and got.
    #[cfg(feature = "crash-points")]
    pub(crate) fn injected(&self) -> u64 {
        self.get(at::INJECTED)
    }

    #[cfg(feature = "crash-points")]
    pub(crate) fn set_injected(&self, count: u64) {
        self.set(at::INJECTED, count);
    }
}

/// How a life ended.
impl<P: SharedPages> Facts<P> {
    /// Notes the end of this life, at a time in nanoseconds. `blameless`: it was asked for, and is no failure.
    pub(crate) fn end(
        &self,
        now: u64,
        blameless: bool,
        reason: fmt::Arguments<'_>,
        trace: impl Iterator<Item = u64>,
    ) {
        self.set(at::ENDED_AT, now);
        self.set(at::BLAMELESS, blameless.into());
        let mut kept = 0;
        for address in trace.take(TRACE_MAX) {
            self.set(at::TRACE + kept, address);
            kept += 1;
        }
        (kept..TRACE_MAX).for_each(|word| self.set(at::TRACE + word, 0));
        if !blameless {
            for older in (1..ENDS).rev() {
                self.set(at::ENDS + older, self.get(at::ENDS + older - 1));
            }
            self.set(at::ENDS, now);
        }
        self.set(at::REASON_LEN, 0);
        // Last, because it may fail itself: then it says what it has said.
        let _ = Reason(self).write_fmt(reason);
    }

    /// When the last life ended, in nanoseconds.
    pub(crate) fn ended_at(&self) -> u64 {
        self.get(at::ENDED_AT)
    }

    /// Whether it ended because it was asked to.
    pub(crate) fn was_blameless(&self) -> bool {
        self.get(at::BLAMELESS) != 0
    }

    /// How long ago the failure was that is [`ENDS`] failures back, in nanoseconds before `now`; `None` if there were
    /// not as many.
    pub(crate) fn since_last_ends(&self, now: u64) -> Option<u64> {
        let oldest = self.get(at::ENDS + ENDS - 1);
        (oldest != 0).then(|| now.saturating_sub(oldest))
    }

    /// The return addresses of the last life's end, innermost first.
    pub(crate) fn trace(&self) -> impl Iterator<Item = u64> {
        (0..TRACE_MAX)
            .map(|word| self.get(at::TRACE + word))
            .take_while(|address| *address != 0)
    }

    /// Why the last life ended, in printable ASCII.
    pub(crate) fn reason(&self) -> impl Iterator<Item = char> {
        let len = (self.get(at::REASON_LEN) as usize).min(REASON_MAX);
        let bytes = (0..len).map(|at| self.0.load_u8(8 * at::REASON + at));
        bytes.map(|byte| {
            if byte == b' ' || byte.is_ascii_graphic() {
                char::from(byte)
            } else {
                '?'
            }
        })
    }
}

struct Reason<'a, P>(&'a Facts<P>);

impl<P: SharedPages> Write for Reason<'_, P> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let facts = self.0;
        for byte in text.bytes() {
            let len = facts.get(at::REASON_LEN) as usize;
            if len >= REASON_MAX {
                return Err(fmt::Error);
            }
            let byte = if byte == b'\n' { b' ' } else { byte };
            facts.0.store_u8(8 * at::REASON + len, byte);
            facts.set(at::REASON_LEN, len as u64 + 1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use outrigger_xen::DomId;
    use outrigger_xen::fake::{FakePages, FakeXen};

    use super::*;

    fn page() -> FakePages {
        FakeXen::new().domain(DomId(3)).pages(1)
    }

    #[test]
    fn the_next_life_knows_what_this_one_did() {
        let page = page();
        let facts = Facts::begin(page.clone(), 0x4800_0000, 123);
        facts.set_domid(7);
        facts.set_in_service(Some(0));
        facts.set_taken(Some(78));
        facts.note_port(Port(4095), true);
        facts.note_port(Port(5), true);
        facts.note_port(Port(5), false);
        let trace = [0x4020_1000, 0x4020_2000];
        facts.end(
            9_000,
            false,
            format_args!("line\nand {}", "\u{1b}more"),
            trace.into_iter(),
        );
        let next = Facts::take_over(page).expect("it is sound");
        assert_eq!(
            (next.device_tree(), next.clock_start(), next.domid(), next.life()),
            (0x4800_0000, 123, 7, 1)
        );
        assert_eq!(next.take_in_service(), [Some(0), Some(78)]);
        assert_eq!(next.take_in_service(), [None, None]);
        assert_eq!(next.ports().collect::<Vec<_>>(), [Port(4095)]);
        assert_eq!(next.reason().collect::<String>(), "line and ?more");
        assert_eq!(next.trace().collect::<Vec<_>>(), trace);
    }

    #[test]
    fn a_reason_is_cut_and_the_fifth_failure_is_remembered() {
        let facts = Facts::begin(page(), 0, 0);
        for now in 1..=5 {
            assert_eq!(facts.since_last_ends(now), None);
            facts.end(
                now,
                false,
                format_args!("{}", "x".repeat(2000)),
                core::iter::repeat(1),
            );
        }
        assert_eq!(
            (facts.reason().count(), facts.trace().count()),
            (REASON_MAX, TRACE_MAX)
        );
        facts.end(6, true, format_args!("asked"), core::iter::empty());
        assert_eq!(
            facts.since_last_ends(10),
            Some(9),
            "what was asked for is no failure"
        );
        assert_eq!(facts.trace().count(), 0);
    }

    #[test]
    fn any_changed_fact_is_unsound() {
        for word in 0..8 {
            for bit in [0, 17, 63] {
                let page = page();
                Facts::begin(page.clone(), 0x4800_0000, 123);
                page.store_u64(8 * word, page.load_u64(8 * word) ^ 1 << bit);
                assert!(Facts::take_over(page).is_err(), "word {word}, bit {bit}");
            }
        }
    }
}
