//! Booting real Xen with Dom0 and what a scenario wants, watching every console, and judging.

mod console;
mod disk;
mod domains;
mod hardware;
mod judge;
mod linux_domain;
mod machine;
mod medium;
mod outcome;
mod raspi;
mod run;
mod scenarios;
#[cfg(test)]
mod scripts;
mod theft;
mod tools;
mod tree;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use disk::Slice;
pub use disk::{Content, Disk};
pub use machine::{Board, Kind};
pub use outcome::Outcome;
pub use run::{Additions, Runner};
pub use tools::HostTools;

use crate::image;
use crate::initramfs::Linux;

/// One boot of the machine: its hardware, what Dom0 does, and what must come of it.
#[derive(Debug)]
pub struct Scenario {
    /// Its name; `tests/boot/scenarios/NAME.sh` is what Dom0 runs, `target/boot/NAME/` holds its logs.
    pub name: &'static str,
    /// Who serves the devices.
    pub backend: Backend,
    /// Who loads Xen and what it needs.
    pub start: Start,
    /// The disks of the machine.
    pub disks: &'static [Disk],
    /// The version of the machine's interrupt controller, 2 or 3.
    pub gic: u8,
    /// Whether the machine has two processors, each a thread of the host's, and the host's time.
    pub multi_core: bool,
    /// The machine's network card, if it has one. Then there is iperf3 in Dom0 and in the guests' ramdisk.
    pub nic: Option<Nic>,
    /// The machine's keyboards, pointers and touch screens. If there are any, guests have the module that lets programs read
    /// them.
    pub inputs: &'static [Input],
    /// Whether the guests' ramdisk holds fio (which is large).
    pub fio: bool,
    /// Whether guests may have Debian's newest kernel, too (`guest_newer` in `tests/boot/dom0/lib.sh`).
    pub newer_guests: bool,
    /// Whether Dom0 has `outrigger`.
    pub outrigger: bool,
    /// The checks that must be reported as passed.
    pub checks: &'static [&'static str],
    /// The longest it may take.
    pub timeout: Duration,
}

impl Scenario {
    /// Whether guests have network cards, be it with or without one of the machine's.
    fn has_network(&self) -> bool {
        let switched =
            matches!(self.backend, Backend::DriverDomain(machine) if machine.contains("class = \"net\""));
        self.nic.is_some() || switched
    }
}

/// A network card of the machine, and what is on its wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Its virtio-mmio transport.
    pub transport: u8,
    /// What it is connected to.
    pub wire: Wire,
    /// The largest MTU that the card says it has, if it says one.
    pub mtu: Option<u16>,
}

/// A keyboard, pointer or touch screen of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// QEMU's name for it: `virtio-keyboard-device`.
    pub model: &'static str,
    /// Its virtio-mmio transport.
    pub transport: u8,
}

/// What a guest meets on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// QEMU's own gateway, 10.0.2.2. It lives in the host's time, and nothing on it reaches the host.
    Gateway,
    /// Dom0, by a second card (`peer_up` in `tests/boot/dom0/net.sh`). It lives in the machine's time.
    Dom0,
}

/// Who serves devices to the guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Linux in Dom0: the stand-in that proves the harness, and the peer to measure against.
    Linux,
    /// A driver domain, as this machine file describes it.
    DriverDomain(&'static str),
    /// A driver domain of the same device that is Linux, with so many MiB of memory: the other peer.
    LinuxDomain(&'static str, u32),
}

impl Backend {
    /// The machine file, if there is one.
    fn machine(self) -> Option<&'static str> {
        match self {
            Self::Linux => None,
            Self::DriverDomain(machine) | Self::LinuxDomain(machine, _) => Some(machine),
        }
    }
}

/// Who puts Xen, Dom0 and the device tree into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// QEMU, as no real machine would, and sooner.
    Qemu,
    /// QEMU, on its Raspberry Pi 4 with the device tree of this Linux: the first disk is the card in its slot, and there are
    /// no others.
    RaspberryPi4(Linux),
    /// U-Boot, by the boot script that the image builder wrote: the machine file has a table `[boot]`.
    UBoot,
}

impl Start {
    /// On which board.
    fn board(self) -> Kind {
        match self {
            Self::Qemu | Self::UBoot => Kind::Virt,
            Self::RaspberryPi4(_) => Kind::RaspberryPi4,
        }
    }
}

/// Boots the scenarios called `names`, or all of them, and says what came of each.
pub fn run_named(names: &[String]) -> Result<()> {
    let known = || {
        scenarios::ALL
            .iter()
            .map(|scenario| scenario.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut chosen: Vec<&Scenario> = Vec::new();
    for name in names {
        let found = scenarios::ALL.iter().find(|scenario| scenario.name == name);
        chosen.push(found.with_context(|| format!("no scenario {name}; there are: {}", known()))?);
    }
    if chosen.is_empty() {
        chosen.extend(scenarios::ALL);
    }
    let machines: Vec<&str> = chosen
        .iter()
        .filter_map(|scenario| scenario.backend.machine())
        .collect();
    for name in image::names()? {
        let class = format!("class = \"{name}\"");
        if machines.iter().any(|machine| machine.contains(&class)) {
            image::build_named(&[name])?;
        }
    }
    build_failing(&chosen)?;
    let (_, failed) = run_all(&chosen)?;
    if failed > 0 {
        bail!("{failed} checks failed");
    }
    Ok(())
}

/// Boots the scenarios of `cargo xtask test`; returns how many checks passed and how many did not.
pub fn test() -> Result<(usize, usize)> {
    image::build_named(&[])?;
    let tested: Vec<&Scenario> = scenarios::TESTED.iter().collect();
    build_failing(&tested)?;
    run_all(&tested)
}

/// Boots what takes too long for `test`, a thousand failures of each class; or only the scenarios called `names`.
pub fn soak(names: &[String]) -> Result<()> {
    let wanted = |scenario: &&Scenario| names.is_empty() || names.iter().any(|name| name == scenario.name);
    let soaks: Vec<&Scenario> = scenarios::SOAKS.iter().filter(wanted).collect();
    build_failing(&soaks)?;
    match run_all(&soaks)? {
        (0, 0) => bail!("there is no such scenario"),
        (_, 0) => Ok(()),
        (_, failed) => bail!("{failed} checks failed"),
    }
}

/// Builds the images that fail on purpose, if any of the scenarios wants them.
fn build_failing(scenarios: &[&Scenario]) -> Result<()> {
    if scenarios.iter().any(|scenario| scenarios::is_failing(scenario)) {
        for name in image::names()? {
            image::build_failing(&name)?;
        }
    }
    Ok(())
}

fn run_all(scenarios: &[&Scenario]) -> Result<(usize, usize)> {
    let runner = Runner::prepare()?;
    let (mut passed, mut failed) = (0, 0);
    for scenario in scenarios {
        eprintln!("boot: {}", scenario.name);
        let outcome = runner.run(scenario)?;
        outcome.print();
        passed += outcome.passed();
        failed += outcome.failed();
    }
    Ok((passed, failed))
}

/// Boots two driver domains and two stock guests once, and shows what it took.
pub fn demo() -> Result<()> {
    image::build_named(&[])?;
    let runner = Runner::prepare()?;
    eprintln!("demo: Xen, Dom0, two driver domains and two guests under QEMU; lines are shown as they come");
    let outcome = runner.run_shown(&scenarios::DEMO)?;
    outcome.print();
    if outcome.failed() > 0 {
        bail!("the demo is not as it must be");
    }
    let value = |name: &str| outcome.values.get(name).map_or("?", String::as_str);
    let image = |class: &str| -> Result<String> {
        let image = fs::metadata(runner.built(&scenarios::DEMO, &format!("{class}.img")))?;
        Ok(format!("{} KiB", image.len().div_ceil(1024)))
    };
    let both = |[block, net]: [&str; 2]| format!("{block} / {net}");
    let rows = [
        (
            "xl create to driver domain ready, block / net",
            both(["block-ready", "net-ready"].map(value)),
        ),
        (
            "xl create to the guest's first read",
            value("first-read").to_owned(),
        ),
        ("files with the right hash", value("files").to_owned()),
        ("sequential read, 4 MiB at a time", value("read").to_owned()),
        ("sequential write, 4 MiB at a time", value("write").to_owned()),
        ("TCP, guest to guest", value("to-guest").to_owned()),
        ("TCP, guest to the wire", value("to-wire").to_owned()),
        ("round trip to the wire, least", value("round-trip").to_owned()),
        ("image, block / net", both([&image("block")?, &image("net")?])),
        (
            "memory, block / net",
            both(["block-memory", "net-memory"].map(value)),
        ),
    ];
    println!();
    for (name, value) in rows {
        println!("{name:46} {value:>18}");
    }
    println!("\nTimes and rates are those of an emulated machine.");
    Ok(())
}
