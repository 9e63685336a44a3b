//! The scenarios: what is booted, and what must come of it.

use std::time::Duration;

use super::{Backend, Content, Disk, Scenario, Slice};

/// Every scenario, in the order in which `cargo xtask test` boots them.
pub const ALL: &[Scenario] = &[STAND_IN];

/// A partitioned disk: a file system to read and write, one for reading, and two blank slices.
const SYSTEM_DISK: Disk = Disk {
    mib: 72,
    slices: &[
        Slice {
            label: "system",
            uuid: "0b5a7f2e-1111-4000-8000-000000000001",
            mib: 24,
            content: Content::Ext4,
        },
        Slice {
            label: "archive",
            uuid: "0b5a7f2e-2222-4000-8000-000000000002",
            mib: 24,
            content: Content::Ext4,
        },
        Slice {
            label: "scratch",
            uuid: "0b5a7f2e-3333-4000-8000-000000000003",
            mib: 16,
            content: Content::Blank,
        },
    ],
    content: Content::Blank,
    transport: 31,
    queues: 1,
};

/// A disk without partitions, with more than one virtqueue.
const WHOLE_DISK: Disk = Disk {
    mib: 64,
    slices: &[],
    content: Content::Blank,
    transport: 30,
    queues: 2,
};

/// Linux blkback in Dom0 instead of a driver domain: if this fails, the harness or the host is at fault.
const STAND_IN: Scenario = Scenario {
    name: "stand-in",
    backend: Backend::Linux,
    disks: &[SYSTEM_DISK, WHOLE_DISK],
    fio: false,
    checks: &["ext4 with known hashes", "read-only disk"],
    timeout: Duration::from_secs(120),
};
