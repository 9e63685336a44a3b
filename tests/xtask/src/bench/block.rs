//! The block driver domain and Linux blkback: the same guest, disk and jobs.

pub mod figures;
pub mod report;

use std::fmt::Write;
use std::fs::File;
use std::io::BufReader;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::page::{Facts, publish};
use super::peer::{Peer, Three, measure_all};
use super::profile::{Image, Profile};
use super::python;
use crate::boot::{Additions, Backend, Content, Disk, Runner, Scenario, Start};
use crate::image;
use figures::{Fio, Job, Run, Told};

/// What stands behind the machine's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Medium {
    /// Nothing: it takes no time and forgets, so that what is measured is software.
    Null,
    /// A file of the host: its requests end in the host's time.
    File,
}

/// What to measure.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// How often each job is run
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only this backend; its figures are shown, nothing is written
    #[arg(long)]
    only: Option<Peer>,
    /// The disk; with `file` figures are shown, nothing is written
    #[arg(long, default_value = "null")]
    disk: Medium,
    /// Shows where the instructions of this job go, and measures nothing
    #[arg(long, value_name = "JOB", value_parser = JOBS.map(|(name, ..)| name), conflicts_with_all = ["rounds", "only"])]
    profile: Option<String>,
}

/// The jobs: their names, titles, in what they are told, and what fio is told.
const JOBS: [(&str, &str, Told, Fio); 5] = [
    (
        "seqread",
        "sequential read, 128 KiB, qd 16",
        Told::Bytes,
        ("read", "128k", 16),
    ),
    (
        "seqwrite",
        "sequential write, 128 KiB, qd 16",
        Told::Bytes,
        ("write", "128k", 16),
    ),
    (
        "randread",
        "random read, 4 KiB, qd 32",
        Told::Requests,
        ("randread", "4k", 32),
    ),
    (
        "randwrite",
        "random write, 4 KiB, qd 32",
        Told::Requests,
        ("randwrite", "4k", 32),
    ),
    (
        "latency",
        "random read, 4 KiB, qd 1",
        Told::Latency,
        ("randread", "4k", 1),
    ),
];

/// All of them, by one guest.
pub fn jobs() -> Vec<Job> {
    JOBS.map(|(name, title, told, fio)| Job {
        name: name.to_owned(),
        title: title.to_owned(),
        told,
        fio,
        guests: 1,
    })
    .into()
}

const NULL: Disk = Disk {
    mib: 1024,
    slices: &[],
    content: Content::Null,
    transport: 31,
    queues: 1,
};

const FILE: Disk = Disk {
    content: Content::Blank,
    ..NULL
};

pub(super) const MACHINE: &str = r#"
board = "qemu-virt"

[domain.block]
class = "block"
devices = ["/virtio_mmio@a003e00"]
log = "info"
"#;

/// One guest, one disk.
pub const SCENARIO: Scenario = Scenario {
    name: "bench-block",
    backend: Backend::DriverDomain(MACHINE),
    disks: &[NULL],
    start: Start::Qemu,
    gic: 2,
    multi_core: false,
    nic: None,
    inputs: &[],
    fio: true,
    newer_guests: false,
    outrigger: false,
    checks: &["measured"],
    timeout: Duration::from_secs(1800),
};

const NAMES: Three<&str> = Three {
    linux: "bench-block-linux",
    linux_domain: "bench-block-linux-domain",
    ours: "bench-block-ours",
};

/// The same, with a backend and a name.
pub fn scenario(peer: Peer, names: Three<&'static str>) -> Scenario {
    Scenario {
        name: peer.of(names),
        backend: peer.backend(MACHINE),
        ..SCENARIO
    }
}

/// Which jobs are done, and what their rounds are called.
pub struct Plan {
    /// The jobs, in their order.
    pub jobs: Vec<Job>,
    /// The rounds, one after the other.
    pub rounds: Vec<String>,
}

impl Plan {
    /// So many rounds.
    pub fn new(jobs: Vec<Job>, rounds: u32) -> Self {
        Self {
            jobs,
            rounds: (1..=rounds).map(|round| round.to_string()).collect(),
        }
    }

    /// Most guests that do a job at once.
    fn guests(&self) -> usize {
        self.jobs.iter().map(|job| job.guests).max().unwrap_or(1)
    }

    /// What each guest does, for a shell.
    fn script(&self) -> String {
        let mut text = String::new();
        for round in &self.rounds {
            for Job {
                name, fio, guests, ..
            } in &self.jobs
            {
                let (rw, bs, depth) = fio;
                let _ = writeln!(text, "job {name}.{round} {rw} {bs} {depth} {guests}");
            }
        }
        text
    }

    /// What it adds to a machine.
    pub fn additions(&self, runner: &Runner) -> Result<Additions> {
        let mut guest = vec![
            ("jobs/measured".to_owned(), python::script("guest/bench")?),
            ("jobs/plan".to_owned(), self.script().into_bytes()),
        ];
        for number in 1..=self.guests() {
            let text = format!("number={number}\n. /jobs/measured\n");
            guest.push((format!("jobs/bench{number}"), text.into_bytes()));
        }
        let mut dom0 = python::files(runner.sources())?;
        let text = format!("guests={}\n", self.guests());
        dom0.push(("plan".to_owned(), text.into_bytes()));
        Ok(Additions {
            script: Some(image::workspace().join("tests/bench/dom0/block.sh")),
            dom0,
            guest,
            skip_idle: true,
            ..Additions::default()
        })
    }

    /// Boots the scenario and reads what it reported.
    pub fn measure(
        &self,
        runner: &Runner,
        scenario: &Scenario,
        additions: &Additions,
        peer: Peer,
    ) -> Result<Run> {
        let outcome = runner.run_with(scenario, additions)?;
        outcome.print();
        if outcome.failed() > 0 {
            bail!("{} could not be measured", scenario.name);
        }
        Run::read(&outcome.values, peer.domain("block"), &self.jobs, &self.rounds).context(scenario.name)
    }
}

/// Measures all backends, or one.
pub fn run(options: &Options) -> Result<()> {
    image::build_named(&["block".to_owned()])?;
    let runner = Runner::prepare()?;
    let scenario = |peer| Scenario {
        disks: match options.disk {
            Medium::Null => &[NULL],
            Medium::File => &[FILE],
        },
        ..scenario(peer, NAMES)
    };
    if let Some(job) = &options.profile {
        return profile(&runner, job, &scenario(Peer::Ours));
    }
    let plan = Plan::new(jobs(), options.rounds);
    let additions = plan.additions(&runner)?;
    let measure = |peer: Peer| plan.measure(&runner, &scenario(peer), &additions, peer);
    if let Some(peer) = options.only {
        report::show(&measure(peer)?);
        return Ok(());
    }
    let runs = measure_all(measure)?;
    let image = runner.built(&scenario(Peer::Ours), "block.img");
    let text = report::compare(&runs, &image, &Facts::gather(&runner, options.rounds)?)?;
    println!("{text}");
    if options.disk != Medium::Null {
        return Ok(());
    }
    publish(&text)
}

/// Has every instruction of a stretch of the job `name` written down, and shows whose they are.
fn profile(runner: &Runner, name: &str, scenario: &Scenario) -> Result<()> {
    let plan = Plan {
        jobs: jobs().into_iter().filter(|job| job.name == name).collect(),
        rounds: vec!["profile".to_owned()],
    };
    let log = image::target_dir()
        .join("boot")
        .join(scenario.name)
        .join("profile.log");
    let mut additions = plan.additions(runner)?;
    let path = log.to_string_lossy().into_owned();
    additions.dom0.push(("profile".to_owned(), path.into_bytes()));
    let run = plan.measure(runner, scenario, &additions, Peer::Ours)?;
    let iops = run.rounds(name)?.first().context("one round")?.iops;
    let image = Image::read(&image::target_dir().join("images/block.elf"))?;
    let file = File::open(&log).with_context(|| log.display().to_string())?;
    print!("{}", Profile::read(BufReader::new(file), &image)?.show(iops)?);
    crate::cache::remove(&log)
}
