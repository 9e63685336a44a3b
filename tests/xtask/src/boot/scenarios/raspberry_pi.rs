//! Driver domains on QEMU's Raspberry Pi 4.

use std::time::Duration;

use crate::boot::{Backend, Content, Disk, Scenario, Slice, Start};
use crate::initramfs::Linux;

/// The card of a Raspberry Pi 4: what is on it now, a slice for guests, and room. Its size is a power of two, as QEMU wants,
/// and above 2 GiB, so that it is an SDHC; nearly all of it is a hole.
const SD_CARD: Disk = Disk {
    mib: 4096,
    slices: &[
        Slice {
            label: "system",
            uuid: "0b5a7f2e-4444-4000-8000-000000000001",
            mib: 24,
            content: Content::Ext4,
        },
        Slice {
            label: "scratch",
            uuid: "0b5a7f2e-4444-4000-8000-000000000002",
            mib: 12,
            content: Content::Blank,
        },
    ],
    content: Content::Blank,
    transport: 0,
    queues: 1,
};

/// The card slot, without the other controller that shares its interrupt.
const RASPBERRY_PI_MACHINE: &str = r#"
board = "raspberrypi-4"
withhold = ["&sdhci"]

[domain.block]
class = "block"
devices = ["&emmc2"]
log = "info"
"#;

/// The driver domain on another board's own controller.
pub const RASPBERRY_PI_4: Scenario = Scenario {
    name: "raspberrypi-4",
    backend: Backend::DriverDomain(RASPBERRY_PI_MACHINE),
    start: Start::RaspberryPi4(Linux::Stable),
    disks: &[SD_CARD],
    gic: 2,
    multi_core: false,
    nic: None,
    inputs: &[],
    fio: false,
    newer_guests: false,
    outrigger: false,
    checks: &[
        "driver domain ready",
        "ext4 with known hashes",
        "every block of a slice, checked",
        "attach and detach three times",
        "xl shutdown of the driver domain",
    ],
    timeout: Duration::from_secs(900),
};

/// Both classes. The network domain has no card of its own: no emulator has the board's.
const RASPBERRY_PI_BOTH_MACHINE: &str = r#"
board = "raspberrypi-4"
withhold = ["&sdhci"]

[domain.block]
class = "block"
devices = ["&emmc2"]
log = "info"

[domain.net]
class = "net"
devices = []
log = "info"
[domain.net.options]
segments = ["xenbr0", "private"]
"#;

/// Both driver domains on that board, with a card that `outrigger image` has written, and the device tree of a newer Linux:
/// since 7.3 the buses have other names, so that machine files name devices by label.
pub const RASPBERRY_PI_4_BOTH: Scenario = Scenario {
    name: "raspberrypi-4-both",
    backend: Backend::DriverDomain(RASPBERRY_PI_BOTH_MACHINE),
    start: Start::RaspberryPi4(Linux::Newer),
    disks: &[],
    checks: &[
        "both driver domains ready",
        "ext4 on the card's data partition",
        "guest to guest, and a file each way",
        "a segment is private",
        "disk and network in one guest",
        "xl shutdown of the network domain",
        "xl shutdown of the driver domain",
    ],
    ..RASPBERRY_PI_4
};
