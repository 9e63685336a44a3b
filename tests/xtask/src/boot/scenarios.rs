//! The scenarios: what is booted, and what must come of it.
//!
//! A new one is a constant here (those of the network domain in `net`, those of a Raspberry Pi 4 in `raspberry_pi`) and a script `tests/boot/scenarios/NAME.sh`. The
//! script runs in Dom0 with the functions of `tests/boot/dom0` at hand, and reports with `check NAME COMMAND`; each NAME
//! stands in the constant too, so that a check that was never reached counts as failed. What a guest does is a job,
//! `tests/boot/guest/jobs/JOB`.

mod cores;
mod input;
mod net;
mod raspberry_pi;

use std::time::Duration;

use cores::{CORES, CORES_GICV3, STOLEN_TIME, STOLEN_TIME_GICV3};
use input::INPUT;
use net::{LAN, NET, NET_NAT};
use raspberry_pi::{RASPBERRY_PI_4, RASPBERRY_PI_4_BOTH};

use super::{Backend, Content, Disk, Nic, Scenario, Slice, Start, Wire};

/// Every scenario that can be booted by name.
pub const ALL: &[Scenario] = &[
    BLOCK,
    BLOCK_FIO,
    RESTART,
    RESTART_NET,
    NET,
    LAN,
    NET_NAT,
    U_BOOT,
    DOM0LESS,
    REATTACH,
    UPDATE,
    INPUT,
    CORES,
    CORES_GICV3,
    STOLEN_TIME,
    STOLEN_TIME_GICV3,
    RASPBERRY_PI_4,
    RASPBERRY_PI_4_BOTH,
    DEMO,
    STAND_IN,
    STAND_IN_FIO,
];

/// Those that `cargo xtask test` boots, in this order. The ones on two processors are not among them: on a host with other work
/// waits of two seconds are left, and streams between two guests that stand still (kernel/DESIGN.md, "two processors").
pub const TESTED: &[Scenario] = &[
    BLOCK,
    BLOCK_FIO,
    RESTART,
    NET,
    LAN,
    NET_NAT,
    U_BOOT,
    DOM0LESS,
    REATTACH,
    UPDATE,
    INPUT,
    RASPBERRY_PI_4,
    RASPBERRY_PI_4_BOTH,
];

/// A partitioned disk: two file systems and a blank slice.
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

/// A disk that a guest boots from: its boot loader knows no partitions.
const BOOT_DISK: Disk = Disk {
    mib: 112,
    slices: &[],
    content: Content::Boot,
    transport: 30,
    queues: 1,
};

/// Both disks belong to one driver domain.
const BLOCK_MACHINE: &str = r#"
board = "qemu-virt"

[domain.block]
class = "block"
devices = ["/virtio_mmio@a003e00", "/virtio_mmio@a003c00"]
log = "info"
shutdown-wait = "60 s"
"#;

/// Everything that comes and goes around a driver domain.
const BLOCK: Scenario = Scenario {
    name: "block",
    backend: Backend::DriverDomain(BLOCK_MACHINE),
    start: Start::Qemu,
    disks: &[SYSTEM_DISK, WHOLE_DISK],
    gic: 2,
    multi_core: false,
    nic: None,
    inputs: &[],
    fio: false,
    newer_guests: true,
    outrigger: false,
    checks: &[
        "guest created before its driver domain is ready",
        "ext4 with known hashes",
        "read-only disk by PARTLABEL",
        "two guests at once by number and PARTUUID",
        "no such partition",
        "no such label",
        "second writer of a slice",
        "counters in XenStore",
        "discard",
        "attach and detach twenty times",
        "a slow toolstack attaches and detaches",
        "destroyed under I/O",
        "resize of a running guest's disk",
        "a host's shutdown loses nothing",
        "xl shutdown of the driver domain",
        "a second xl shutdown ends it at once",
    ],
    timeout: Duration::from_secs(900),
};

/// Every block of a whole disk, checked by fio.
const BLOCK_FIO: Scenario = Scenario {
    name: "block-fio",
    newer_guests: false,
    fio: true,
    checks: &[
        "driver domain ready",
        "fio verify=crc32c over the whole disk",
        "fio verify over two rings of four pages",
        "xl shutdown of the driver domain",
    ],
    ..BLOCK
};

/// Whether its driver domains fail on purpose, as `crash=COUNT` on their command lines says.
pub fn is_failing(scenario: &Scenario) -> bool {
    scenario.name.starts_with("restart")
}

/// What `cargo xtask soak` boots.
pub const SOAKS: &[Scenario] = &[SOAK, SOAK_NET];

/// A thousand failures.
const SOAK: Scenario = Scenario {
    name: "restart-soak",
    checks: &[
        "what is held after one failure",
        "driver domain ready",
        "fio verify through 1000 failures of every kind",
        "nothing is left behind",
        "what is held after 1000 failures",
        "xl shutdown of the driver domain",
    ],
    timeout: Duration::from_secs(3600),
    ..RESTART
};

/// The same of the network.
const SOAK_NET: Scenario = Scenario {
    name: "restart-soak-net",
    newer_guests: false,
    checks: &[
        "what is held after one failure",
        "driver domain ready",
        "files fetched through 1000 failures of every kind",
        "nothing is left behind",
        "what is held after 1000 failures",
        "xl shutdown of the network domain",
    ],
    timeout: Duration::from_secs(3600),
    ..NET
};

/// A network domain that fails under two guests, on a machine with the other interrupt controller.
const RESTART_NET: Scenario = Scenario {
    name: "restart-net",
    newer_guests: false,
    checks: &[
        "both driver domains ready",
        "files fetched through 50 failures of every kind",
        "xl shutdown of the network domain",
    ],
    timeout: Duration::from_secs(900),
    ..NET
};

/// A driver domain that fails, again and again, under a guest that checks every block.
const RESTART: Scenario = Scenario {
    name: "restart",
    checks: &[
        "driver domain ready",
        "xl reboot is a restart in place",
        "fio verify through 60 failures of every kind",
        "nothing is left behind",
        "xl shutdown of the driver domain",
        "a crash loop stops, and says why",
    ],
    ..BLOCK_FIO
};

/// The machine file of a board that boots by U-Boot, with `start` as named.
macro_rules! u_boot_machine {
    ($start:literal) => {
        concat!(
            r#"
board = "qemu-virt"

[domain.block]
class = "block"
devices = ["/virtio_mmio@a003e00", "/virtio_mmio@a003c00"]
log = "info"

[boot]
kernel = "vmlinuz"
ramdisk = "initrd.img"
dom0-memory = 512
dom0-args = "console=hvc0 cma=0 loglevel=5 panic=-1"
xen-args = "loglvl=info guest_loglvl=info"
start = ""#,
            $start,
            "\"\n"
        )
    };
}

/// A real U-Boot runs the boot script, and Dom0 starts the driver domain. Another one is a guest's boot loader: a frontend that
/// is not Linux's, and hands its disk over to one that is.
const U_BOOT: Scenario = Scenario {
    name: "u-boot",
    newer_guests: false,
    backend: Backend::DriverDomain(u_boot_machine!("dom0")),
    start: Start::UBoot,
    disks: &[SYSTEM_DISK, BOOT_DISK],
    checks: &[
        "driver domain ready",
        "ext4 with known hashes",
        "a guest boots from its disk by U-Boot",
        "xl shutdown of the driver domain",
    ],
    timeout: Duration::from_secs(600),
    ..BLOCK
};

/// The same, but Xen starts the driver domain itself, before Dom0.
const DOM0LESS: Scenario = Scenario {
    name: "dom0less",
    backend: Backend::DriverDomain(u_boot_machine!("xen")),
    checks: &[
        "started by Xen, taken on by Dom0",
        "ext4 with known hashes",
        "xl shutdown of the driver domain",
    ],
    ..U_BOOT
};

/// A driver domain dies altogether, a new one takes its place, and `outrigger reattach` plugs the guests in again.
const REATTACH: Scenario = Scenario {
    name: "reattach",
    newer_guests: false,
    outrigger: true,
    checks: &[
        "both driver domains ready",
        "network cards are plugged in again",
        "disks are plugged in again",
        "what is served is left alone",
    ],
    timeout: Duration::from_secs(300),
    ..NET
};

/// Restarts in place and live updates that Dom0 asks for, while a guest writes and reads.
const UPDATE: Scenario = Scenario {
    name: "update",
    checks: &[
        "both driver domains ready",
        "restart in place",
        "update to another image",
        "what cannot be taken is refused",
        "updates again",
        "xl shutdown of the driver domain",
    ],
    ..REATTACH
};

/// Two disks and a network card.
const DEMO_MACHINE: &str = r#"
board = "qemu-virt"

[domain.block]
class = "block"
devices = ["/virtio_mmio@a003e00", "/virtio_mmio@a003c00"]

[domain.net]
class = "net"
devices = ["/virtio_mmio@a002e00"]
"#;

/// What a user sees first.
pub const DEMO: Scenario = Scenario {
    name: "demo",
    newer_guests: false,
    backend: Backend::DriverDomain(DEMO_MACHINE),
    nic: Some(Nic {
        transport: 23,
        wire: Wire::Dom0,
        mtu: None,
    }),
    checks: &[
        "driver domains ready",
        "ext4 with known hashes, written, synced and read back",
        "throughput of a disk",
        "guest to guest and to the wire",
        "memory",
        "xl shutdown of the block domain",
        "xl shutdown of the network domain",
    ],
    timeout: Duration::from_secs(180),
    ..BLOCK
};

/// Linux blkback in Dom0 instead of a driver domain: if this fails, the harness or the host is at fault.
const STAND_IN: Scenario = Scenario {
    name: "stand-in",
    newer_guests: false,
    backend: Backend::Linux,
    checks: &[
        "ext4 with known hashes",
        "read-only disk",
        "two guests at once",
        "attach and detach twenty times",
        "destroyed under I/O",
    ],
    ..BLOCK
};

/// The same, with fio.
const STAND_IN_FIO: Scenario = Scenario {
    name: "stand-in-fio",
    fio: true,
    checks: &["fio verify=crc32c over the whole disk"],
    ..STAND_IN
};
