//! The network driver domain, and Linux netback with a bridge: the same guests, wire and jobs.

pub mod figures;
pub mod report;

use std::fs::File;
use std::io::BufReader;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::page::{Facts, publish};
use super::peer::{Peer, Three, measure_all};
use super::profile::{Image, Profile};
use super::python;
use crate::boot::{Additions, Backend, Nic, Runner, Scenario, Start, Wire};
use crate::image;
use figures::{Job, Kind, Run};

/// What to measure.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// How often each job is run
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only this backend; its figures are shown, nothing is written
    #[arg(long)]
    only: Option<Peer>,
    /// Only these jobs, or those of `sizes` and `guests`; figures are shown, nothing is written
    #[arg(long, value_delimiter = ',', value_parser = names())]
    jobs: Vec<String>,
    /// Shows where the instructions of this job go, and measures nothing
    #[arg(long, value_name = "JOB", value_parser = names(), conflicts_with_all = ["rounds", "only", "jobs"])]
    profile: Option<String>,
}

/// Guests that are there at once.
const PHASES: [(&str, usize); 4] = [("one", 1), ("two", 2), ("eight", 8), ("sixteen", 16)];

/// RAM of a machine with sixteen guests, in MiB.
const SIXTEEN_MIB: u32 = 3584;

/// Bytes of a UDP packet whose frame has 64 on a wire.
const UDP: Kind = Kind::Udp(18);

const fn job(name: &'static str, title: &'static str, kind: Kind, wire: bool) -> Job {
    Job {
        name,
        title,
        kind,
        wire,
    }
}

/// The jobs as `tests/bench/guest/net` names them, each in its phase.
pub const JOBS: [(&str, Job); 12] = [
    ("one", job("send", "TCP, guest to wire", Kind::Tcp, true)),
    ("one", job("receive", "TCP, wire to guest", Kind::Tcp, true)),
    ("two", job("pair", "TCP, guest to guest", Kind::Tcp, false)),
    (
        "one",
        job("udp-send", "UDP of 64 bytes, guest to wire", UDP, true),
    ),
    (
        "one",
        job("udp-receive", "UDP of 64 bytes, wire to guest", UDP, true),
    ),
    (
        "one",
        job("ping", "shortest round trip, guest and wire", Kind::Ping, true),
    ),
    (
        "two",
        job("pair-ping", "shortest round trip, two guests", Kind::Ping, false),
    ),
    ("two", job("send2", "TCP, two guests to wire", Kind::Tcp, true)),
    ("two", job("receive2", "TCP, wire to two guests", Kind::Tcp, true)),
    (
        "eight",
        job("send8", "TCP, eight guests to wire", Kind::Tcp, true),
    ),
    (
        "eight",
        job("receive8", "TCP, wire to eight guests", Kind::Tcp, true),
    ),
    (
        "eight",
        job("pair8", "TCP, four guests to four others", Kind::Tcp, false),
    ),
];

/// Jobs of which one figure is shown over several points.
pub struct Series {
    /// The plot's file name.
    pub name: &'static str,
    /// What is done.
    pub title: &'static str,
    /// What the points are.
    pub axis: &'static str,
    /// The points' names, phases and jobs.
    pub points: Vec<(&'static str, &'static str, Job)>,
}

/// UDP packets of several sizes: frames of 64 to 1,518 bytes on a wire.
pub fn by_size() -> [Series; 2] {
    let wire = [
        ("18", "udp-receive-18", 18),
        ("210", "udp-receive-210", 210),
        ("466", "udp-receive-466", 466),
        ("978", "udp-receive-978", 978),
        ("1472", "udp-receive-1472", 1472),
    ];
    let pair = [
        ("18", "udp-pair-18", 18),
        ("210", "udp-pair-210", 210),
        ("466", "udp-pair-466", 466),
        ("978", "udp-pair-978", 978),
        ("1472", "udp-pair-1472", 1472),
    ];
    [
        Series {
            name: "packet-size",
            title: "UDP from the wire to a guest, by size",
            axis: "bytes of payload a packet",
            points: wire
                .map(|(point, name, bytes)| (point, "one", job(name, name, Kind::Udp(bytes), true)))
                .into(),
        },
        Series {
            name: "packet-size-pair",
            title: "UDP from guest to guest, by size",
            axis: "bytes of payload a packet",
            points: pair
                .map(|(point, name, bytes)| (point, "two", job(name, name, Kind::Udp(bytes), false)))
                .into(),
        },
    ]
}

/// TCP of several guests at once, `most` of them at most.
pub fn by_guests(most: usize) -> [Series; 2] {
    let send = [
        (1, "1", "send-of-1"),
        (2, "2", "send-of-2"),
        (4, "4", "send-of-4"),
        (8, "8", "send-of-8"),
        (16, "16", "send-of-16"),
    ];
    let receive = [
        (1, "1", "receive-of-1"),
        (2, "2", "receive-of-2"),
        (4, "4", "receive-of-4"),
        (8, "8", "receive-of-8"),
        (16, "16", "receive-of-16"),
    ];
    let phase = if most < 16 { "eight" } else { "sixteen" };
    let points = |jobs: [(usize, &'static str, &'static str); 5]| {
        let jobs = jobs.into_iter().filter(|(guests, ..)| *guests <= most);
        jobs.map(|(_, point, name)| (point, phase, job(name, name, Kind::Tcp, true)))
            .collect()
    };
    [
        Series {
            name: "send-guests",
            title: "TCP from guests to the wire, by number of guests",
            axis: "guests",
            points: points(send),
        },
        Series {
            name: "receive-guests",
            title: "TCP from the wire to guests, by number of guests",
            axis: "guests",
            points: points(receive),
        },
    ]
}

/// All jobs, those of series included.
fn all() -> impl Iterator<Item = (&'static str, Job)> {
    let series = by_size().into_iter().chain(by_guests(16));
    let points = series.flat_map(|series| series.points);
    JOBS.into_iter().chain(points.map(|(_, phase, job)| (phase, job)))
}

fn names() -> Vec<&'static str> {
    all().map(|(_, job)| job.name).collect()
}

fn named(names: &[String]) -> Vec<(&'static str, Job)> {
    let wanted = |job: &Job| names.iter().any(|name| name == job.name);
    all().filter(|(_, job)| wanted(job)).collect()
}

const MACHINE: &str = r#"
board = "qemu-virt"

[domain.net]
class = "net"
devices = ["/virtio_mmio@a002e00"]
log = "info"

[domain.net.options]
segments = ["xenbr0:net0"]
"#;

/// Guests, a switch, and Dom0 on the wire.
pub const SCENARIO: Scenario = Scenario {
    name: "bench-net",
    backend: Backend::DriverDomain(MACHINE),
    disks: &[],
    start: Start::Qemu,
    gic: 2,
    multi_core: false,
    nic: Some(Nic {
        transport: 23,
        wire: Wire::Dom0,
        mtu: None,
    }),
    inputs: &[],
    fio: false,
    newer_guests: false,
    outrigger: false,
    checks: &["prepared", "measured"],
    timeout: Duration::from_secs(3600),
};

const NAMES: Three<&str> = Three {
    linux: "bench-net-linux",
    linux_domain: "bench-net-linux-domain",
    ours: "bench-net-ours",
};

/// With a backend and a name.
pub fn scenario(peer: Peer, names: Three<&'static str>) -> Scenario {
    Scenario {
        name: peer.of(names),
        backend: peer.backend(MACHINE),
        ..SCENARIO
    }
}

/// Which jobs are done, each in its phase, and what their rounds are called.
pub struct Plan {
    jobs: Vec<(&'static str, Job)>,
    rounds: Vec<String>,
}

impl Plan {
    /// So many rounds.
    pub fn new(jobs: Vec<(&'static str, Job)>, rounds: u32) -> Self {
        Self {
            jobs,
            rounds: (1..=rounds).map(|round| round.to_string()).collect(),
        }
    }

    /// What it adds to a machine.
    pub fn additions(&self, runner: &Runner) -> Result<Additions> {
        let mut dom0 = python::files(runner.sources())?;
        let mut guest = vec![("jobs/bench".to_owned(), python::script("guest/net")?)];
        let mut phases = String::new();
        for (name, guests) in PHASES {
            let its = self.jobs.iter().filter(|(phase, _)| *phase == name);
            let mut jobs: Vec<&str> = its.map(|(_, job)| job.name).collect();
            if jobs.is_empty() {
                continue;
            }
            if phases.is_empty() {
                jobs.insert(0, "idle");
            }
            phases += &format!("phase {name} {guests}\n");
            let text = format!(
                "half={}\njobs=\"{}\"\nrounds=\"{}\"\n. /jobs/bench\n",
                guests / 2,
                jobs.join(" "),
                self.rounds.join(" ")
            );
            guest.push((format!("jobs/{name}"), text.into_bytes()));
        }
        dom0.push(("phases".to_owned(), phases.into_bytes()));
        Ok(Additions {
            script: Some(image::workspace().join("tests/bench/dom0/net.sh")),
            dom0,
            guest,
            skip_idle: true,
            memory_mib: self
                .jobs
                .iter()
                .any(|(phase, _)| *phase == "sixteen")
                .then_some(SIXTEEN_MIB),
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
        let jobs: Vec<Job> = self.jobs.iter().map(|(_, job)| *job).collect();
        Run::read(&outcome.values, peer.domain("net"), &jobs, &self.rounds).context(scenario.name)
    }
}

/// Measures all backends, or one.
pub fn run(options: &Options) -> Result<()> {
    image::build_named(&["net".to_owned()])?;
    let runner = Runner::prepare()?;
    if let Some(job) = &options.profile {
        return profile(&runner, job);
    }
    let jobs = if options.jobs.is_empty() {
        JOBS.into()
    } else {
        named(&options.jobs)
    };
    let plan = Plan::new(jobs, options.rounds);
    let additions = plan.additions(&runner)?;
    let measure = |peer: Peer| plan.measure(&runner, &scenario(peer, NAMES), &additions, peer);
    if let Some(peer) = options.only {
        report::show(&measure(peer)?);
        return Ok(());
    }
    let runs = measure_all(measure)?;
    let image = runner.built(&scenario(Peer::Ours, NAMES), "net.img");
    let text = report::compare(&runs, &image, &Facts::gather(&runner, options.rounds)?)?;
    println!("{text}");
    if options.jobs.is_empty() {
        publish(&text)?;
    }
    Ok(())
}

/// Has every instruction of a stretch of the job `name` written down, and shows whose they are: for each packet, or each
/// 1,448 bytes of TCP payload.
fn profile(runner: &Runner, name: &str) -> Result<()> {
    let plan = Plan {
        jobs: named(&[name.to_owned()]),
        rounds: vec!["profile".to_owned()],
    };
    let folder = image::target_dir()
        .join("boot")
        .join(scenario(Peer::Ours, NAMES).name);
    let log = folder.join("profile.log");
    let mut additions = plan.additions(runner)?;
    let path = log.to_string_lossy().into_owned();
    additions.dom0.push(("profile".to_owned(), path.into_bytes()));
    let run = plan.measure(runner, &scenario(Peer::Ours, NAMES), &additions, Peer::Ours)?;
    report::show(&run);
    let (job, rounds) = run.jobs.first().context("no such job")?;
    let value = rounds.first().context("one round")?.value;
    let each_second = match job.kind {
        Kind::Tcp => value / 1448.0,
        Kind::Udp(_) => value,
        Kind::Ping => bail!("a profile of mostly nothing"),
    };
    let image = Image::read(&image::target_dir().join("images/net.elf"))?;
    let file = File::open(&log).with_context(|| log.display().to_string())?;
    print!(
        "{}",
        Profile::read(BufReader::new(file), &image)?.show(each_second)?
    );
    crate::cache::remove(&log)
}
