//! The scenario of the input driver domain.

use std::time::Duration;

use crate::boot::{Backend, Input, Scenario, Start};

/// QEMU gives buttons and the wheel to the device that was brought up last: the tablet, since its touch screen has no wheel.
const MACHINE: &str = r#"
board = "qemu-virt"

[domain.input]
class = "input"
devices = ["/virtio_mmio@a003800", "/virtio_mmio@a003e00", "/virtio_mmio@a003c00", "/virtio_mmio@a003a00"]

[domain.input.options]
chord = "leftctrl+rightctrl"
"#;

const INPUTS: [Input; 4] = [
    Input {
        model: "virtio-keyboard-device",
        transport: 31,
    },
    Input {
        model: "virtio-mouse-device",
        transport: 30,
    },
    Input {
        model: "virtio-tablet-device",
        transport: 29,
    },
    Input {
        model: "virtio-multitouch-device",
        transport: 28,
    },
];

/// A keyboard, a mouse, a tablet and a touch screen for two guests, one of which has the focus.
pub const INPUT: Scenario = Scenario {
    name: "input",
    backend: Backend::DriverDomain(MACHINE),
    start: Start::Qemu,
    disks: &[],
    gic: 2,
    multi_core: false,
    nic: None,
    inputs: &INPUTS,
    newer_guests: false,
    fio: false,
    outrigger: false,
    checks: &[
        "driver domain and two guests",
        "keys arrive as they were sent",
        "positions, buttons and the wheel",
        "fingers",
        "the focus moves by xenstore-write, and motions arrive",
        "the focus moves by a chord, and what is pressed is released",
        "restart in place under open readers",
        "a guest that does not read stalls nobody",
        "counters in XenStore",
        "a guest goes, and the next one has the focus",
        "xl shutdown of the input domain",
    ],
    timeout: Duration::from_secs(400),
};
