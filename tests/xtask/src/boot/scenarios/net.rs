//! Scenarios of the network driver domain.

use std::time::Duration;

use super::SYSTEM_DISK;
use crate::boot::{Backend, Nic, Scenario, Start, Wire};

/// The board, and a network domain of these segments.
macro_rules! net_machine {
    ($segments:literal) => {
        concat!(
            r#"
board = "qemu-virt"

[domain.net]
class = "net"
devices = ["/virtio_mmio@a002e00"]
shutdown-wait = 0

[domain.net.options]
segments = "#,
            $segments,
            "\n"
        )
    };
}

/// A network card only.
const LAN_MACHINE: &str = net_machine!(r#"["xenbr0:net0", "private"]"#);

/// A disk and a network card, each with a driver domain of its own.
pub const NET_MACHINE: &str = concat!(
    net_machine!(r#"["xenbr0:net0", "private"]"#),
    r#"
[domain.block]
class = "block"
devices = ["/virtio_mmio@a003e00"]
"#
);

/// Two guests, a wire and a segment apart, on a machine with the other interrupt controller.
pub const NET: Scenario = Scenario {
    name: "net",
    backend: Backend::DriverDomain(NET_MACHINE),
    start: Start::Qemu,
    disks: &[SYSTEM_DISK],
    gic: 3,
    multi_core: false,
    nic: Some(Nic {
        transport: 23,
        wire: Wire::Gateway,
        mtu: None,
    }),
    inputs: &[],
    fio: false,
    newer_guests: true,
    outrigger: false,
    checks: &[
        "both driver domains ready",
        "guest to wire, guest to guest, and a file each way",
        "a segment is private",
        "disk and network in one guest",
        "xl shutdown of the network domain",
    ],
    timeout: Duration::from_secs(600),
};

/// Eight guests, and Dom0 at the other end of the wire.
pub const LAN: Scenario = Scenario {
    name: "lan",
    backend: Backend::DriverDomain(LAN_MACHINE),
    start: Start::Qemu,
    disks: &[],
    gic: 2,
    multi_core: false,
    nic: Some(Nic {
        transport: 23,
        wire: Wire::Dom0,
        mtu: Some(9000),
    }),
    inputs: &[],
    fio: false,
    newer_guests: false,
    outrigger: false,
    checks: &[
        "the driver domain and eight guests",
        "pings of 1 to 65,507 bytes",
        "known content each way",
        "iperf3 each way",
        "frames of the mtu, and jumbo frames",
        "XDP programs come and go",
        "no guest hears another's frames",
        "no guest speaks for another",
        "VLANs",
        "rate limit within a tenth",
        "attach and detach under traffic",
        "destroyed under traffic",
        "eight guests at once",
        "counters in XenStore",
        "xl shutdown of the network domain",
    ],
    timeout: Duration::from_secs(900),
};

/// The domain has an address of its own, by DHCP, and guests behind it.
const NET_NAT_MACHINE: &str =
    net_machine!(r#"["xenbr0:net0:address=dhcp", "guests:mode=nat:uplink=xenbr0:address=10.0.3.1/24"]"#);

/// Guests behind the domain's address, and Dom0 at the other end of the wire.
pub const NET_NAT: Scenario = Scenario {
    name: "net-nat",
    backend: Backend::DriverDomain(NET_NAT_MACHINE),
    nic: Some(Nic {
        transport: 23,
        wire: Wire::Dom0,
        mtu: None,
    }),
    checks: &[
        "the driver domain has an address by DHCP",
        "the domain's own address answers",
        "two guests have addresses by DHCP",
        "ping, in fragments too, and the router's own answer",
        "known content and iperf3 through NAT",
        "the wire sees one MAC and one address",
        "a guest of the bridge, from behind NAT",
        "what may not pass does not",
        "a guest that comes back has its address again",
        "xl shutdown of the network domain",
    ],
    timeout: Duration::from_secs(600),
    ..LAN
};
