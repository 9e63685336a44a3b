//! One run of one scenario: prepare its files, boot, watch, judge.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use outrigger::build::DEFAULT_DEST;

use super::console::{self, Line, Report};
use super::machine::{self, Board, Kind, Machine, Medium, Software};
use super::outcome::{Outcome, Verdict};
use super::tools::HostTools;
use super::{Backend, Content, Scenario, Start, domains, linux_domain, medium, raspi, scenarios, tree};
use crate::initramfs::{Archive, Linux, Sources};
use crate::{dom0_program, fetch, guest_u_boot, image};

const XEN_BOOTARGS: &str =
    "console=dtuart dtuart=/pl011@9000000 dom0_mem=512M xsm=dummy loglvl=info guest_loglvl=info";
const DOM0_BOOTARGS: &str = "console=hvc0 cma=0 loglevel=5 panic=-1";
/// How long a console may go on after an alarm, so that the whole trace is in the log.
const AFTERMATH: Duration = Duration::from_millis(700);
/// How many lines before a failure it shows.
const LAST_LINES: usize = 40;

/// What all runs share: the fetched programs.
pub struct Runner {
    tools: HostTools,
    sources: Sources,
    scripts: PathBuf,
}

/// What a run has beyond `tests/boot`.
#[derive(Debug, Default)]
pub struct Additions {
    /// What Dom0 runs, instead of `tests/boot/scenarios/NAME.sh`.
    pub script: Option<PathBuf>,
    /// Programs in Dom0: their paths and contents.
    pub dom0: Vec<(String, Vec<u8>)>,
    /// Programs in the guests; jobs are in `jobs/`.
    pub guest: Vec<(String, Vec<u8>)>,
    /// Whether the machine's clock skips time in which all of it waits: for figures that repeat.
    pub skip_idle: bool,
    /// Whether the machine has two processors and the host's time.
    pub multi_core: bool,
    /// RAM of the machine in MiB, if it is not the usual.
    pub memory_mib: Option<u32>,
    /// The folder of the driver domains' images in the target folder, if it is not the usual.
    pub images: Option<&'static str>,
}

/// RAM of a machine, in MiB.
const MEMORY_MIB: u32 = 2048;

impl Runner {
    /// Fetches what every run needs.
    pub fn prepare() -> Result<Self> {
        let scripts = image::workspace().join("tests/boot");
        Ok(Self {
            tools: HostTools::fetch()?,
            sources: Sources::fetch()?,
            scripts,
        })
    }

    /// Boots `scenario`. What goes wrong inside the machine is in the outcome; an error is the harness's own.
    pub fn run(&self, scenario: &Scenario) -> Result<Outcome> {
        self.boot(scenario, &Additions::default(), false)
    }

    /// Boots `scenario` with `additions`.
    pub fn run_with(&self, scenario: &Scenario, additions: &Additions) -> Result<Outcome> {
        self.boot(scenario, additions, false)
    }

    /// Boots `scenario` and shows what its consoles say, but for Xen's and Dom0's own start.
    pub fn run_shown(&self, scenario: &Scenario) -> Result<Outcome> {
        self.boot(scenario, &Additions::default(), true)
    }

    /// The programs that run on this host.
    pub fn tools(&self) -> &HostTools {
        &self.tools
    }

    /// The unpacked packages that Dom0 and the guests are made of.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// A file that the image builder made for `scenario` when it was last run.
    pub fn built(&self, scenario: &Scenario, file: &str) -> PathBuf {
        folder(scenario).join("built").join(file)
    }

    fn boot(&self, scenario: &Scenario, additions: &Additions, show: bool) -> Result<Outcome> {
        let dir = folder(scenario);
        crate::cache::remove(&dir)?;
        fs::create_dir_all(&dir)?;
        let token = token()?;
        let (board, software) = self
            .lay_out(scenario, additions, &token, &dir)
            .with_context(|| scenario.name.to_owned())?;
        let machine = Machine::start(&board, software.as_ref(), &self.tools, &dir)?;
        watch(machine, scenario, &token, &dir.join("console.log"), show)
    }

    /// What a guest boots from a disk, if one of the machine's is for that.
    fn boot_files(&self, scenario: &Scenario) -> Result<Vec<(&'static str, Vec<u8>)>> {
        if !scenario.disks.iter().any(|disk| disk.content == Content::Boot) {
            return Ok(Vec::new());
        }
        let ramdisk = self
            .sources
            .guest(Linux::Stable, &self.scripts.join("guest"), false, false)?;
        let kernel = fs::read(self.sources.kernel()?)?;
        Ok(vec![("boot/Image", kernel), ("boot/initrd", ramdisk)])
    }

    fn lay_out(
        &self,
        scenario: &Scenario,
        additions: &Additions,
        token: &str,
        dir: &Path,
    ) -> Result<(Board, Option<Software>)> {
        let mut disks = Vec::new();
        let boot = self.boot_files(scenario)?;
        for (index, disk) in scenario.disks.iter().enumerate() {
            let image = dir.join(format!("disk{index}.img"));
            disk.create(&image, &boot, &self.tools)?;
            disks.push((*disk, image));
        }
        let medium = match scenario.start {
            Start::Qemu | Start::RaspberryPi4(_) => None,
            Start::UBoot => Some(Medium {
                firmware: fetch::U_BOOT.root()?.join("usr/lib/u-boot/qemu_arm64/u-boot.bin"),
                disk: dir.join("medium.img"),
            }),
        };
        let kind = scenario.start.board();
        let mut board = Board {
            kind,
            memory_mib: additions.memory_mib.unwrap_or(MEMORY_MIB),
            gic: scenario.gic,
            nic: scenario.nic,
            disks,
            medium,
            skip_idle: additions.skip_idle,
            multi_core: additions.multi_core,
        };
        let base = dir.join("base.dtb");
        match scenario.start {
            Start::RaspberryPi4(linux) => drop(fs::copy(raspi::device_tree(&self.sources, linux)?, &base)?),
            Start::Qemu | Start::UBoot => board.device_tree(&self.tools, &base)?,
        }

        let mut archive = Archive::default();
        let kernel = self.sources.kernel()?;
        let mut guests = vec![(Linux::Stable, "linux", "guest")];
        guests.extend(
            scenario
                .newer_guests
                .then_some((Linux::Newer, "linux-newer", "guest-newer")),
        );
        for (linux, image, ramdisk) in guests {
            archive.file(
                &format!("images/{image}"),
                &fs::read(self.sources.kernel_of(linux)?)?,
            )?;
            let scripts = self.scripts.join("guest");
            let mut guest = self
                .sources
                .guest(linux, &scripts, scenario.fio, scenario.has_network())?;
            guest.extend(Archive::of_programs(&additions.guest)?.finish()?);
            archive.file(&format!("images/{ramdisk}.cpio"), &guest)?;
        }
        if !boot.is_empty() {
            archive.file("images/u-boot.bin", &fs::read(guest_u_boot::image()?)?)?;
        }
        let named = || {
            self.scripts
                .join("scenarios")
                .join(format!("{}.sh", scenario.name))
        };
        let script = additions.script.clone().unwrap_or_else(named);
        archive.file(
            "scenario/run",
            &fs::read(&script).with_context(|| script.display().to_string())?,
        )?;
        archive.programs_from(&self.scripts.join("guest/jobs"), "jobs")?;
        let (backend, host_tree) = match scenario.backend {
            Backend::Linux => ("linux", fs::read(&base)?),
            Backend::DriverDomain(machine) => {
                let usual = if scenarios::is_failing(scenario) {
                    "crash-images"
                } else {
                    "images"
                };
                let images = additions.images.unwrap_or(usual);
                let built = domains::build(machine, &base, dir, images)?;
                archive.files_from(&built, DEFAULT_DEST)?;
                ("block", fs::read(built.join("host.dtb"))?)
            }
            Backend::LinuxDomain(machine, mib) => {
                let built = domains::build(machine, &base, dir, "images")?;
                let names = linux_domain::take_place(&built, mib)?;
                archive.files_from(&built, DEFAULT_DEST)?;
                for name in names {
                    let ramdisk = self.sources.linux_domain(&self.scripts, name == "net")?;
                    archive.file(&linux_domain::ramdisk(&name), &ramdisk)?;
                }
                ("linux-domain", fs::read(built.join("host.dtb"))?)
            }
        };
        archive.file(
            "scenario/env",
            format!("TOKEN={token}\nBACKEND={backend}\n").as_bytes(),
        )?;

        let ramdisk = dir.join("dom0.cpio");
        let mut file = File::create(&ramdisk)?;
        file.write_all(
            &self
                .sources
                .dom0(&self.scripts.join("dom0"), scenario.has_network())?,
        )?;
        let mut dom0 = Archive::of_programs(&additions.dom0)?;
        if scenario.outrigger {
            dom0.program("usr/bin/outrigger", &fs::read(dom0_program::outrigger()?)?)?;
        }
        file.write_all(&dom0.finish()?)?;
        file.write_all(&archive.finish()?)?;
        drop(file);

        let software = Software {
            hypervisor: self.sources.hypervisor(),
            device_tree: dir.join("boot.dtb"),
            kernel,
            ramdisk,
        };
        if let (Kind::RaspberryPi4, Backend::DriverDomain(machine), []) =
            (kind, scenario.backend, scenario.disks)
        {
            let files = [&*software.hypervisor, &*software.kernel];
            let card = raspi::write_card(machine, dir, &base, files, &self.tools)?;
            board.disks.push(card);
        }
        if let Some(medium) = &board.medium {
            medium::create(&medium.disk, &dir.join("built"), &software, &self.tools)?;
            return Ok((board, None));
        }
        let modules = machine::modules(kind, &software.kernel, &software.ramdisk)?;
        let (host_tree, xen_bootargs) = match kind {
            Kind::Virt => (host_tree, XEN_BOOTARGS),
            Kind::RaspberryPi4 => (raspi::for_qemu(&host_tree)?, raspi::XEN_BOOTARGS),
        };
        let device_tree = tree::with_chosen(&host_tree, &modules, xen_bootargs, DOM0_BOOTARGS)?;
        fs::write(&software.device_tree, device_tree)?;
        Ok((board, Some(software)))
    }
}

/// Where a scenario's files and logs are.
fn folder(scenario: &Scenario) -> PathBuf {
    image::target_dir().join("boot").join(scenario.name)
}

/// A word that nothing in the machine can know but by being told it in this run.
fn token() -> Result<String> {
    let mut random = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn watch(mut machine: Machine, scenario: &Scenario, token: &str, log: &Path, show: bool) -> Result<Outcome> {
    let mut outcome = Outcome {
        scenario: scenario.name,
        checks: scenario
            .checks
            .iter()
            .map(|check| ((*check).to_owned(), Verdict::Missing))
            .collect(),
        broken: None,
        values: BTreeMap::new(),
        age: Duration::ZERO,
        failures: Vec::new(),
        log: log.to_owned(),
    };
    let mut lines = Log {
        file: File::create(log)?,
        last: Vec::new(),
        show,
    };
    loop {
        let left = scenario.timeout.saturating_sub(machine.age());
        let Some(line) = machine.next_line(left) else {
            let why = if machine.is_on() {
                "not finished in time"
            } else {
                "the machine went off"
            };
            outcome.broken = Some(format!("{why} ({:.0} s)", machine.age().as_secs_f32()));
            break;
        };
        lines.add(&machine, &line)?;
        if let Some(why) = console::alarm(&line) {
            outcome.broken = Some(format!(
                "{why} on the console of {}: {}",
                line.console,
                line.text.trim()
            ));
            let until = machine.age() + AFTERMATH;
            while let Some(line) = machine.next_line(until.saturating_sub(machine.age())) {
                lines.add(&machine, &line)?;
            }
            break;
        }
        match console::report(&line, token) {
            Some(Report::Pass(check)) => {
                let verdict = outcome.checks.entry(check).or_insert(Verdict::Missing);
                if *verdict == Verdict::Missing {
                    *verdict = Verdict::Passed;
                }
                lines.last.clear();
            }
            Some(Report::Fail(check)) => {
                outcome.failures.push((check.clone(), mem::take(&mut lines.last)));
                outcome.checks.insert(check, Verdict::Failed);
            }
            Some(Report::Value(name, value)) => {
                outcome.values.insert(name, value);
            }
            Some(Report::Monitor(command)) => machine.monitor(&command)?,
            Some(Report::End) => break,
            Some(Report::Remark(_)) | None => {}
        }
    }
    outcome.age = machine.age();
    if let Some(why) = &outcome.broken {
        outcome.failures.push((why.clone(), lines.last));
    }
    Ok(outcome)
}

/// Everything that was said, in a file, and the end of what was said since the last verdict at hand.
struct Log {
    file: File,
    last: Vec<String>,
    show: bool,
}

impl Log {
    fn add(&mut self, machine: &Machine, line: &Line) -> Result<()> {
        let text = format!(
            "{:7.2} {:>8}| {}",
            machine.age().as_secs_f32(),
            line.console,
            line.text
        );
        writeln!(self.file, "{text}")?;
        if self.show && !["xen", "monitor"].contains(&line.console.as_str()) {
            println!("{text}");
        }
        if self.last.len() == LAST_LINES {
            self.last.remove(0);
        }
        self.last.push(text);
        Ok(())
    }
}
