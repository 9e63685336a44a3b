//! Reads a device as fast as its driver does, for nobody: what a guest's throughput is a share of. Only in an image that
//! measures (`raw-read`).

use core::time::Duration;

use outrigger_devices::{BlockDevice, BlockOp, BlockRequest, Status, Tag};
use outrigger_xen::{Clock, DmaPage, DmaSegment, PAGE_SIZE};

/// Pages of the largest request: as many as a guest's request has at most.
const PAGES: usize = 32;

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// Requests that succeeded.
    pub requests: u64,
    /// Requests that the device failed.
    pub failed: u64,
    /// For how long, in µs.
    pub us: u64,
}

/// Reads the device from its beginning to its end, and again, `pages` at a time with `depth` requests in flight, for `time`.
/// All of it goes into one page.
///
/// # Errors
/// The device cannot read so much at once, or is broken: a line that says so.
pub fn raw_read(
    disk: &mut (impl BlockDevice + ?Sized),
    page: DmaPage,
    clock: &impl Clock,
    (pages, depth): (usize, u32),
    time: Duration,
) -> Result<Raw, &'static str> {
    let whole = page.segment(0, PAGE_SIZE as u32).ok_or("a page is a segment")?;
    let segments: [DmaSegment; PAGES] = [whole; PAGES];
    let limits = disk.limits();
    let segments = segments
        .get(..pages)
        .filter(|_| (1..=limits.max_segments).contains(&pages))
        .ok_or("its requests cannot be so large")?;
    let sectors = (pages * PAGE_SIZE / 512) as u64;
    let last = limits
        .sectors
        .checked_sub(sectors)
        .ok_or("it is smaller than a request")?;
    let mut read = Raw::default();
    let (mut sector, mut in_flight) = (0, 0);
    let begin = clock.now();
    let end = begin.after(time);
    loop {
        let now = clock.now();
        if now > end && in_flight == 0 {
            read.us = (now.0 - begin.0) / 1000;
            return Ok(read);
        }
        while now <= end && in_flight < depth {
            let request = BlockRequest {
                op: BlockOp::Read,
                sector,
                sectors,
                segments,
                tag: Tag(0),
            };
            if disk.submit(0, &request).is_err() {
                break;
            }
            in_flight += 1;
            sector = if sector + sectors > last {
                0
            } else {
                sector + sectors
            };
        }
        disk.commit(0);
        let reaped = disk.reap(0, &mut |completion| {
            in_flight = in_flight.saturating_sub(1);
            match completion.status {
                Status::Ok => read.requests += 1,
                Status::IoError | Status::Unsupported => read.failed += 1,
            }
        });
        reaped.map_err(|fault| fault.0)?;
        clock.still_alive();
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use outrigger_devices::{BlockLimits, Completion, DeviceFault, Interrupt, QueueFull};
    use outrigger_xen::Instant;

    use super::*;

    /// Has room for three requests, and completes two of them at each look.
    struct Disk {
        waiting: Vec<Status>,
        sectors: Vec<u64>,
    }

    impl BlockDevice for Disk {
        fn limits(&self) -> BlockLimits {
            BlockLimits {
                sectors: 1000,
                read_only: true,
                logical_block_size: 512,
                physical_block_size: 512,
                flush: false,
                max_segments: 32,
                max_discard_sectors: 0,
                discard_alignment: 0,
                max_write_zeroes_sectors: 0,
                queues: 1,
            }
        }
        fn submit(&mut self, _: usize, request: &BlockRequest<'_>) -> Result<(), QueueFull> {
            if self.waiting.len() == 3 {
                return Err(QueueFull);
            }
            assert!(request.sector + request.sectors <= 1000);
            self.waiting.push(if request.sector == 0 {
                Status::IoError
            } else {
                Status::Ok
            });
            self.sectors.push(request.sector);
            Ok(())
        }
        fn commit(&mut self, _: usize) {}
        fn reap(&mut self, _: usize, each: &mut dyn FnMut(Completion)) -> Result<(), DeviceFault> {
            for status in self.waiting.drain(..self.waiting.len().min(2)) {
                each(Completion { tag: Tag(0), status });
            }
            Ok(())
        }
        fn arm(&mut self, _: usize) -> bool {
            !self.waiting.is_empty()
        }
    }

    impl outrigger_devices::Device for Disk {
        fn acknowledge(&mut self) -> Interrupt {
            Interrupt::default()
        }
        fn quiesce(&mut self) {}
        fn restart(&mut self) -> Result<(), DeviceFault> {
            self.waiting.clear();
            Ok(())
        }
    }

    /// A microsecond later at each look.
    struct Ticks(Cell<u64>);

    impl Clock for Ticks {
        fn now(&self) -> Instant {
            self.0.set(self.0.get() + 1000);
            Instant(self.0.get())
        }
    }

    fn run(pages: usize, depth: u32) -> (Result<Raw, &'static str>, Disk) {
        let mut disk = Disk {
            waiting: Vec::new(),
            sectors: Vec::new(),
        };
        let clock = Ticks(Cell::new(0));
        let page = DmaPage::mint(0x1000, 1);
        let time = Duration::from_micros(10);
        let read = raw_read(&mut disk, page, &clock, (pages, depth), time);
        (read, disk)
    }

    #[test]
    fn what_was_submitted_has_ended() {
        let (read, disk) = run(32, 16);
        let read = read.unwrap();
        assert_eq!((read.requests + read.failed) as usize, disk.sectors.len());
        assert!(disk.waiting.is_empty());
        // 256 sectors a request: the fourth would pass the end.
        assert_eq!(disk.sectors[..4], [0, 256, 512, 0]);
        let begun = disk.sectors.iter().filter(|sector| **sector == 0);
        assert_eq!(read.failed as usize, begun.count());
        assert!(read.us >= 10);
    }

    #[test]
    fn what_the_device_cannot_do_is_refused() {
        assert!(run(33, 1).0.is_err());
        assert!(run(0, 1).0.is_err());
        assert!(run(1, 1).0.is_ok());
    }
}
