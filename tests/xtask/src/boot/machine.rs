//! QEMU: one emulated machine, its consoles, and its end.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::console::{self, Event, Line};
use super::disk::{Content, Disk};
use super::tools::HostTools;
use super::tree::Module;
use super::{Nic, Wire, raspi};
use crate::process;

/// Where Dom0's kernel and ramdisk are put: clear of Xen and of the device tree, which QEMU places low in RAM.
const VIRT_MODULES: [u64; 2] = [0x4900_0000, 0x4e00_0000];

/// The addresses of the network card and, at the other end of its wire, of Dom0's; `tests/boot/dom0/net.sh` knows them too.
const NIC_MAC: &str = "52:54:00:00:00:02";
const PEER_MAC: &str = "52:54:00:00:00:01";

/// A card reads what it was given 1 us of the machine's time after its doorbell. By itself it does so in another thread of
/// QEMU's, in the host's time; a machine with nothing else to do could skip to its next timer before.
const SENDING: &str = "tx=timer,x-txtimer=1000";

/// Which of QEMU's boards it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `virt`.
    Virt,
    /// `raspi4b`, which has the first disk as its card, one interrupt controller, its own memory, and no other devices.
    RaspberryPi4,
}

impl Kind {
    /// Where Dom0's kernel and ramdisk are put.
    fn module_addresses(self) -> [u64; 2] {
        match self {
            Self::Virt => VIRT_MODULES,
            Self::RaspberryPi4 => raspi::MODULES,
        }
    }
}

/// The hardware of a machine.
#[derive(Clone, Debug)]
pub struct Board {
    /// Which board it is.
    pub kind: Kind,
    /// RAM in MiB.
    pub memory_mib: u32,
    /// The version of the interrupt controller.
    pub gic: u8,
    /// The network card, if there is one.
    pub nic: Option<Nic>,
    /// The disks and their images; disk N has the serial number `virtioN`.
    pub disks: Vec<(Disk, PathBuf)>,
    /// The firmware, if there is one, and its disk. QEMU leaves out devices that it has without one.
    pub medium: Option<Medium>,
    /// Whether the machine's clock skips time in which all of it waits.
    ///
    /// Unless it has several, it counts instructions, one to 4 ns (so it has one processor): how busy the host is makes no difference to
    /// what happens in it. Skipping makes its figures repeat, but then a disk that is slow in the host's time may let
    /// minutes pass in the machine's; for tests, which have time limits, idle time passes as it does outside.
    pub skip_idle: bool,
    /// Whether it has two processors, each a thread of the host's, and the host's time: nothing repeats then.
    pub multi_core: bool,
}

/// What a machine with a firmware boots from.
#[derive(Clone, Debug)]
pub struct Medium {
    /// U-Boot.
    pub firmware: PathBuf,
    /// The image of the disk it reads; wanted when the machine starts.
    pub disk: PathBuf,
}

/// What QEMU loads for a machine without a firmware.
#[derive(Clone, Debug)]
pub struct Software {
    /// Xen.
    pub hypervisor: PathBuf,
    /// Xen's device tree, `/chosen` included.
    pub device_tree: PathBuf,
    /// Dom0's kernel.
    pub kernel: PathBuf,
    /// Dom0's ramdisk.
    pub ramdisk: PathBuf,
}

/// Describes the kernel and the ramdisk as [`Machine::start`] will load them.
pub fn modules(kind: Kind, kernel: &Path, ramdisk: &Path) -> Result<[Module; 2]> {
    let [kernel_address, ramdisk_address] = kind.module_addresses();
    let kernel = Module {
        address: kernel_address,
        size: fs::metadata(kernel)?.len(),
        kind: "multiboot,kernel",
    };
    let ramdisk = Module {
        address: ramdisk_address,
        size: fs::metadata(ramdisk)?.len(),
        kind: "multiboot,ramdisk",
    };
    if kernel.address + kernel.size > ramdisk.address {
        bail!("the kernel is too large for its place ({} bytes)", kernel.size);
    }
    Ok([kernel, ramdisk])
}

impl Board {
    /// The device tree that QEMU makes for this board; it is the same whatever disks there are.
    pub fn device_tree(&self, tools: &HostTools, to: &Path) -> Result<()> {
        let mut qemu = tools.qemu();
        self.base(&mut qemu, &format!(",dumpdtb={}", escaped(to)));
        process::output(&mut qemu).map(drop)
    }

    fn base(&self, qemu: &mut Command, machine_options: &str) {
        qemu.args([
            "-M",
            &format!("virt,virtualization=on,gic-version={}{machine_options}", self.gic),
            "-cpu",
            "cortex-a72",
        ]);
        qemu.args(["-m", &self.memory_mib.to_string()]);
        if let Some(medium) = &self.medium {
            qemu.arg("-bios").arg(&medium.firmware);
        }
        // No card but the one that `devices` may add.
        qemu.args(["-nodefaults", "-display", "none", "-no-reboot"]);
        qemu.args(["-global", "virtio-mmio.force-legacy=false"]);
        if self.multi_core {
            qemu.args(["-smp", "2", "-accel", "tcg,thread=multi"]);
        } else {
            let sleep = if self.skip_idle { "off" } else { "on" };
            qemu.args(["-smp", "1", "-icount", &format!("shift=2,sleep={sleep}")]);
            // A doorbell is answered by the processor that rings it. Were it passed to another thread, a machine with
            // nothing else to do could skip to its next timer before the request has begun.
            qemu.args(["-global", "virtio-mmio.ioeventfd=off"]);
        }
    }

    fn devices(&self, qemu: &mut Command) {
        // Dom0's own device: transport 0, on a page of registers that no driver domain gets.
        qemu.args(["-device", "virtio-serial-device,bus=virtio-mmio-bus.0"]);
        qemu.args(["-device", "virtserialport,chardev=port,name=outrigger"]);
        if let Some(Nic { transport, wire, mtu }) = self.nic {
            match wire {
                // Restricted: nothing on this wire reaches the host.
                Wire::Gateway => qemu.args(["-netdev", "user,id=wire,restrict=on"]),
                Wire::Dom0 => qemu.args([
                    "-netdev",
                    "hubport,id=wire,hubid=0",
                    "-netdev",
                    "hubport,id=peer,hubid=0",
                    "-device",
                    &format!("e1000e,netdev=peer,mac={PEER_MAC},romfile="),
                ]),
            };
            let mtu = mtu.map_or(String::new(), |mtu| format!(",host_mtu={mtu}"));
            let device = format!(
                "virtio-net-device,netdev=wire,mac={NIC_MAC},bus=virtio-mmio-bus.{transport},{SENDING}{mtu}"
            );
            qemu.args(["-device", &device]);
        }
        if let Some(Medium { disk, .. }) = &self.medium {
            // On the second page of registers: Dom0's, like the first.
            let file = escaped(disk);
            qemu.args([
                "-drive",
                &format!("id=medium,file={file},format=raw,if=none,readonly=on"),
            ]);
            qemu.args(["-device", "virtio-blk-device,drive=medium,bus=virtio-mmio-bus.8"]);
        }
        for (index, (disk, image)) in self.disks.iter().enumerate() {
            // `cache=unsafe`: a test's disk does not outlive its machine, and host flushes would measure the host.
            let options = "format=raw,if=none,cache=unsafe,discard=unmap,detect-zeroes=off";
            let file = match disk.content {
                Content::Null => format!("null-co://,file.size={}M,file.read-zeroes=on", disk.mib),
                Content::Blank | Content::Ext4 | Content::Boot => escaped(image),
            };
            qemu.args(["-drive", &format!("id=disk{index},file={file},{options}")]);
            let Disk {
                queues, transport, ..
            } = disk;
            let device =
                format!("virtio-blk-device,drive=disk{index},serial=virtio{index},num-queues={queues}");
            qemu.args(["-device", &format!("{device},bus=virtio-mmio-bus.{transport}")]);
        }
    }
}

impl Software {
    fn load(&self, kind: Kind, qemu: &mut Command) {
        let [kernel, ramdisk] = kind.module_addresses();
        qemu.arg("-kernel")
            .arg(&self.hypervisor)
            .arg("-dtb")
            .arg(&self.device_tree);
        for (file, address) in [(&self.kernel, kernel), (&self.ramdisk, ramdisk)] {
            qemu.args([
                "-device",
                &format!("loader,file={},addr={address:#x},force-raw=on", escaped(file)),
            ]);
        }
    }
}

/// QEMU's option syntax wants a comma in a value twice.
pub fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// A running machine. It ends when this is dropped, and by the kernel's hand if this process dies.
pub struct Machine {
    qemu: Child,
    events: Receiver<Event>,
    monitor: TcpStream,
    guest_errors: PathBuf,
    guest_errors_read: usize,
    consoles_open: usize,
    started: Instant,
}

impl Machine {
    /// Starts QEMU, which loads `software` unless the board has a medium; its own output and reports go to the folder `dir`.
    pub fn start(board: &Board, software: Option<&Software>, tools: &HostTools, dir: &Path) -> Result<Self> {
        let guest_errors = dir.join("guest-errors.log");
        let mut qemu = tools.qemu();
        match board.kind {
            Kind::Virt => {
                board.base(&mut qemu, "");
                board.devices(&mut qemu);
                qemu.args(["-d", "guest_errors", "-D"]).arg(&guest_errors);
            }
            Kind::RaspberryPi4 => raspi::hardware(&mut qemu, board),
        }
        if let Some(software) = software {
            software.load(board.kind, &mut qemu);
        }

        // QEMU connects to us: ports chosen by the kernel are free, and nothing is left behind.
        let listeners =
            ["serial", "port", "monitor"].map(|name| TcpListener::bind("127.0.0.1:0").map(|l| (name, l)));
        let mut consoles = Vec::new();
        for listener in listeners {
            let (name, listener) = listener?;
            let port = listener.local_addr()?.port();
            qemu.args([
                "-chardev",
                &format!("socket,id={name},host=127.0.0.1,port={port},server=off"),
            ]);
            listener.set_nonblocking(true)?;
            consoles.push(listener);
        }
        qemu.args([
            "-serial",
            "chardev:serial",
            "-mon",
            "chardev=monitor,mode=readline",
        ]);
        let output = File::create(dir.join("qemu.log"))?;
        qemu.stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);

        let mut qemu = qemu.spawn().context("cannot run setpriv and QEMU")?;
        let connected: Result<Vec<TcpStream>> = consoles
            .iter()
            .map(|listener| accept(listener, &mut qemu))
            .collect();
        let connected = connected
            .inspect_err(|_| end(&mut qemu))
            .with_context(|| said(&dir.join("qemu.log")))?;
        let [serial, port, monitor] = <[TcpStream; 3]>::try_from(connected)
            .ok()
            .context("three consoles")?;
        let (sender, events) = mpsc::channel();
        // Without a port of its own, Dom0 speaks on the serial line.
        let serial_name = match board.kind {
            Kind::Virt => "xen",
            Kind::RaspberryPi4 => "dom0",
        };
        for (name, stream) in [
            (serial_name, serial),
            ("dom0", port),
            ("monitor", monitor.try_clone()?),
        ] {
            let sender = sender.clone();
            thread::spawn(move || console::read_lines(stream, name, &sender));
        }
        let started = Instant::now();
        Ok(Self {
            qemu,
            events,
            monitor,
            guest_errors,
            guest_errors_read: 0,
            consoles_open: 3,
            started,
        })
    }

    /// Time since the machine was switched on.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// The next line of any console, or none after `patience`, or when the machine is off.
    pub fn next_line(&mut self, patience: Duration) -> Option<Line> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(line) = self.next_guest_error() {
                return Some(line);
            }
            // In slices: what QEMU writes to a file rings no bell.
            let slice = deadline
                .saturating_duration_since(Instant::now())
                .min(Duration::from_millis(200));
            match self.events.recv_timeout(slice) {
                Ok(Event::Line(line)) => return Some(line),
                Ok(Event::Closed) => self.consoles_open -= 1,
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Whether the machine still runs, or has lines that nobody has read.
    pub fn is_on(&self) -> bool {
        self.consoles_open > 0
    }

    /// Types `command` at QEMU's monitor.
    pub fn monitor(&mut self, command: &str) -> Result<()> {
        self.monitor
            .write_all(format!("{command}\n").as_bytes())
            .context("QEMU's monitor is gone")
    }

    fn next_guest_error(&mut self) -> Option<Line> {
        let written = fs::read(&self.guest_errors).ok()?;
        let new = written.get(self.guest_errors_read..)?;
        let end = new.iter().position(|&byte| byte == b'\n')?;
        self.guest_errors_read += end + 1;
        Some(Line {
            console: "qemu".to_owned(),
            text: String::from_utf8_lossy(&new[..end]).into_owned(),
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        end(&mut self.qemu);
    }
}

fn end(qemu: &mut Child) {
    // It may have ended by itself; either way it is waited for.
    let _ = qemu.kill();
    let _ = qemu.wait();
}

fn accept(listener: &TcpListener, qemu: &mut Child) -> Result<TcpStream> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) if qemu.try_wait()?.is_some() => bail!("QEMU ended at once"),
            Err(_) if Instant::now() > deadline => bail!("QEMU does not connect its consoles"),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn said(log: &Path) -> String {
    let lines = File::open(log).map(|file| {
        BufReader::new(file)
            .lines()
            .map_while(Result::ok)
            .collect::<Vec<_>>()
    });
    lines.unwrap_or_default().join("\n")
}
