//! Scenarios on two processors, each a thread of the host's, in the host's time: what one processor cannot show.

use std::time::Duration;

use super::SYSTEM_DISK;
use super::net::NET_MACHINE;
use crate::boot::{Backend, Content, Disk, Nic, Scenario, Start, Wire};

/// A disk that costs nothing but its interrupts.
const DISK: Disk = Disk {
    mib: 72,
    slices: &[],
    content: Content::Blank,
    ..SYSTEM_DISK
};

/// A guest with a disk, another one, and Dom0 at the other end of the wire.
pub const CORES: Scenario = Scenario {
    name: "cores",
    backend: Backend::DriverDomain(NET_MACHINE),
    start: Start::Qemu,
    disks: &[DISK],
    gic: 2,
    multi_core: true,
    inputs: &[],
    newer_guests: false,
    nic: Some(Nic {
        transport: 23,
        wire: Wire::Dom0,
        mtu: None,
    }),
    fio: false,
    outrigger: false,
    checks: &[
        "both driver domains and two guests",
        "a disk is read",
        "a disk answers soon",
        "TCP each way",
        "xl shutdown of both domains",
    ],
    timeout: Duration::from_secs(1200),
};

/// The same with the other interrupt controller.
pub const CORES_GICV3: Scenario = Scenario {
    name: "cores-gicv3",
    gic: 3,
    ..CORES
};

/// The same on a host that takes time from the processors (`theft.rs`).
pub const STOLEN_TIME: Scenario = Scenario {
    name: "stolen-time",
    checks: &[
        "both driver domains and two guests",
        "a disk is read",
        "a disk answers soon although time is stolen",
        "TCP each way is measured",
        "TCP each way although time is stolen",
        "xl shutdown of both domains",
    ],
    ..CORES
};

/// The same with the other interrupt controller.
pub const STOLEN_TIME_GICV3: Scenario = Scenario {
    name: "stolen-time-gicv3",
    gic: 3,
    ..STOLEN_TIME
};
