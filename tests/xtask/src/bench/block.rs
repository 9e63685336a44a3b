//! The block driver domain and Linux blkback: the same guest, disk and jobs.

use std::fs::{self, File};
use std::io::BufReader;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};

use super::figures::{Job, Run};
use super::profile::{Image, Profile};
use super::{python, report};
use crate::boot::{Additions, Backend, Content, Disk, Runner, Scenario, Start};
use crate::image;

/// Who serves the guest's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// Linux blkback in Dom0.
    Linux,
    /// The driver domain.
    Ours,
}

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
    #[arg(long, value_name = "JOB", value_parser = JOBS.map(|job| job.name), conflicts_with_all = ["rounds", "only"])]
    profile: Option<String>,
}

/// The jobs, as `tests/bench/guest/bench` names them.
pub const JOBS: [Job; 5] = [
    Job {
        name: "seqread",
        title: "sequential read, 128 KiB, qd 16",
        random: false,
        latency: false,
    },
    Job {
        name: "seqwrite",
        title: "sequential write, 128 KiB, qd 16",
        random: false,
        latency: false,
    },
    Job {
        name: "randread",
        title: "random read, 4 KiB, qd 32",
        random: true,
        latency: false,
    },
    Job {
        name: "randwrite",
        title: "random write, 4 KiB, qd 32",
        random: true,
        latency: false,
    },
    Job {
        name: "latency",
        title: "random read, 4 KiB, qd 1",
        random: true,
        latency: true,
    },
];

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

impl Peer {
    fn scenario(self, disk: Medium) -> Scenario {
        let (name, backend) = match self {
            Self::Linux => ("bench-block-linux", Backend::Linux),
            Self::Ours => ("bench-block-ours", Backend::DriverDomain(MACHINE)),
        };
        Scenario {
            name,
            backend,
            disks: match disk {
                Medium::Null => &[NULL],
                Medium::File => &[FILE],
            },
            start: Start::Qemu,
            gic: 2,
            nic: None,
            fio: true,
            outrigger: false,
            checks: &["measured"],
            timeout: Duration::from_secs(900),
        }
    }

    /// The domain whose processor time is the backend's.
    fn domain(self) -> &'static str {
        match self {
            Self::Linux => "Domain-0",
            Self::Ours => "block",
        }
    }
}

/// Which jobs are done, and what their rounds are called.
struct Plan {
    jobs: Vec<Job>,
    rounds: Vec<String>,
}

/// Measures both backends, or one.
pub fn run(options: &Options) -> Result<()> {
    if options.only != Some(Peer::Linux) {
        image::build_named(&["block".to_owned()])?;
    }
    let runner = Runner::prepare()?;
    if let Some(job) = &options.profile {
        return profile(&runner, job, options.disk);
    }
    let plan = Plan {
        jobs: JOBS.to_vec(),
        rounds: (1..=options.rounds).map(|round| round.to_string()).collect(),
    };
    let additions = additions(&runner, &plan)?;
    let measure = |peer: Peer| measure(&runner, &additions, peer, options.disk, &plan);
    if let Some(peer) = options.only {
        report::show(&measure(peer)?);
        return Ok(());
    }
    let (linux, ours) = both(measure)?;
    let facts = report::Facts::gather(
        &runner,
        &Peer::Ours.scenario(options.disk),
        "block.img",
        options.rounds,
    )?;
    let text = report::compare(&linux, &ours, &facts)?;
    println!("{text}");
    if options.disk != Medium::Null {
        return Ok(());
    }
    report::publish(&text)
}

/// Measures both at once.
pub fn both<R: Send>(measure: impl Fn(Peer) -> Result<R> + Sync) -> Result<(R, R)> {
    eprintln!("bench: both machines at once; neither's time depends on the other");
    let (linux, ours) = thread::scope(|scope| {
        let linux = scope.spawn(|| measure(Peer::Linux));
        let ours = scope.spawn(|| measure(Peer::Ours));
        (linux.join(), ours.join())
    });
    let measured = |joined: thread::Result<_>| joined.map_err(|_| anyhow!("a measuring thread panicked"))?;
    Ok((measured(linux)?, measured(ours)?))
}

fn additions(runner: &Runner, plan: &Plan) -> Result<Additions> {
    let bench = image::workspace().join("tests/bench");
    let read = |file: &str| fs::read(bench.join(file)).with_context(|| format!("tests/bench/{file}"));
    let mut dom0 = python::files(runner.sources())?;
    dom0.push(("measure.py".to_owned(), read("dom0/measure.py")?));
    let jobs: Vec<&str> = plan.jobs.iter().map(|job| job.name).collect();
    let text = format!(
        "jobs=\"{}\"\nrounds=\"{}\"\n",
        jobs.join(" "),
        plan.rounds.join(" ")
    );
    let guest = vec![
        ("jobs/bench".to_owned(), read("guest/bench")?),
        ("jobs/plan".to_owned(), text.into_bytes()),
    ];
    Ok(Additions {
        script: Some(bench.join("dom0/block.sh")),
        dom0,
        guest,
        skip_idle: true,
    })
}

fn measure(runner: &Runner, additions: &Additions, peer: Peer, disk: Medium, plan: &Plan) -> Result<Run> {
    let scenario = peer.scenario(disk);
    let outcome = runner.run_with(&scenario, additions)?;
    outcome.print();
    if outcome.failed() > 0 {
        bail!("{} could not be measured", scenario.name);
    }
    Run::read(&outcome.values, peer.domain(), &plan.jobs, &plan.rounds).context(scenario.name)
}

/// Has every instruction of a stretch of the job `name` written down, and shows whose they are.
fn profile(runner: &Runner, name: &str, disk: Medium) -> Result<()> {
    let plan = Plan {
        jobs: JOBS.into_iter().filter(|job| job.name == name).collect(),
        rounds: vec!["profile".to_owned()],
    };
    let name = Peer::Ours.scenario(disk).name;
    let log = image::target_dir().join("boot").join(name).join("profile.log");
    let mut additions = additions(runner, &plan)?;
    let path = log.to_string_lossy().into_owned();
    additions.dom0.push(("profile".to_owned(), path.into_bytes()));
    let run = measure(runner, &additions, Peer::Ours, disk, &plan)?;
    let iops = run.jobs.first().and_then(|(_, rounds)| rounds.first());
    let iops = iops.context("one job, one round")?.iops;
    let image = Image::read(&image::target_dir().join("images/block.elf"))?;
    let file = File::open(&log).with_context(|| log.display().to_string())?;
    print!("{}", Profile::read(BufReader::new(file), &image)?.show(iops)?);
    crate::cache::remove(&log)
}
