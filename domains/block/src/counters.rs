//! What a vbd has done.

use core::fmt;
use core::ops::AddAssign;

use outrigger_blkif::Refusal;

/// Sums since the frontend connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads given to the device.
    pub reads: u64,
    /// Writes given to the device.
    pub writes: u64,
    /// Flushes given to the device, those of barriers too.
    pub flushes: u64,
    /// Barriers, empty ones too.
    pub barriers: u64,
    /// Discards.
    pub discards: u64,
    /// 512-byte sectors read.
    pub sectors_read: u64,
    /// 512-byte sectors written.
    pub sectors_written: u64,
    /// Device requests that the device failed.
    pub errors: u64,
    /// Requests refused, by [`Refusal`].
    pub refused: [u64; Refusal::COUNT],
    /// Pages mapped.
    pub maps: u64,
    /// Pages unmapped.
    pub unmaps: u64,
    /// Requests carried out again, after a restart in place or a reset of the device.
    pub replayed: u64,
    /// Notifications sent.
    pub notifications: u64,
}

impl Counters {
    /// All refusals.
    pub fn refusals(&self) -> u64 {
        self.refused.iter().sum()
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.writes += other.writes;
        self.flushes += other.flushes;
        self.barriers += other.barriers;
        self.discards += other.discards;
        self.sectors_read += other.sectors_read;
        self.sectors_written += other.sectors_written;
        self.errors += other.errors;
        for (sum, other) in self.refused.iter_mut().zip(other.refused) {
            *sum += other;
        }
        self.maps += other.maps;
        self.unmaps += other.unmaps;
        self.replayed += other.replayed;
        self.notifications += other.notifications;
    }
}

/// `key=value` words, as they stand in XenStore and in the log.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "reads={} sectors-read={} writes={} sectors-written={} flushes={} barriers={} discards={} refused={} errors={} \
             maps={} unmaps={} notifications={} replayed={}",
            self.reads,
            self.sectors_read,
            self.writes,
            self.sectors_written,
            self.flushes,
            self.barriers,
            self.discards,
            self.refusals(),
            self.errors,
            self.maps,
            self.unmaps,
            self.notifications,
            self.replayed,
        )
    }
}
