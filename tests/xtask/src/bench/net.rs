//! The network driver domain, and Linux netback with a bridge: the same guests, wire and jobs.

mod figures;
mod report;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::block::{Peer, both};
use super::profile::{Image, Profile};
use super::python;
use super::report::{Facts, publish};
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
    /// Only these jobs; figures are shown, nothing is written
    #[arg(long, value_delimiter = ',', value_parser = JOBS.map(|(_, job)| job.name))]
    jobs: Vec<String>,
    /// Shows where the instructions of this job go, and measures nothing
    #[arg(long, value_name = "JOB", value_parser = JOBS.map(|(_, job)| job.name), conflicts_with_all = ["rounds", "only", "jobs"])]
    profile: Option<String>,
}

/// Guests that are there at once.
const PHASES: [(&str, usize); 3] = [("one", 1), ("two", 2), ("eight", 8)];

const fn job(name: &'static str, title: &'static str, kind: Kind, wire: bool) -> Job {
    Job {
        name,
        title,
        kind,
        wire,
    }
}

/// The jobs as `tests/bench/guest/net` names them, each in its phase.
const JOBS: [(&str, Job); 12] = [
    ("one", job("send", "TCP, guest to wire", Kind::Tcp, true)),
    ("one", job("receive", "TCP, wire to guest", Kind::Tcp, true)),
    ("two", job("pair", "TCP, guest to guest", Kind::Tcp, false)),
    (
        "one",
        job("udp-send", "UDP of 64 bytes, guest to wire", Kind::Udp, true),
    ),
    (
        "one",
        job("udp-receive", "UDP of 64 bytes, wire to guest", Kind::Udp, true),
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

const MACHINE: &str = r#"
board = "qemu-virt"

[domain.net]
class = "net"
devices = ["/virtio_mmio@a002e00"]
log = "info"

[domain.net.options]
segments = ["xenbr0:net0"]
"#;

fn scenario(peer: Peer) -> Scenario {
    let (name, backend) = match peer {
        Peer::Linux => ("bench-net-linux", Backend::Linux),
        Peer::Ours => ("bench-net-ours", Backend::DriverDomain(MACHINE)),
    };
    Scenario {
        name,
        backend,
        disks: &[],
        start: Start::Qemu,
        gic: 2,
        nic: Some(Nic {
            transport: 23,
            wire: Wire::Dom0,
        }),
        fio: false,
        outrigger: false,
        checks: &["prepared", "measured"],
        timeout: Duration::from_secs(3600),
    }
}

/// The domain whose processor time is the backend's.
fn domain(peer: Peer) -> &'static str {
    match peer {
        Peer::Linux => "Domain-0",
        Peer::Ours => "net",
    }
}

/// Which jobs are done, and what their rounds are called.
struct Plan {
    jobs: Vec<(&'static str, Job)>,
    rounds: Vec<String>,
}

/// Measures both backends, or one.
pub fn run(options: &Options) -> Result<()> {
    if options.only != Some(Peer::Linux) {
        image::build_named(&["net".to_owned()])?;
    }
    let runner = Runner::prepare()?;
    if let Some(job) = &options.profile {
        return profile(&runner, job);
    }
    let wanted = |job: &Job| options.jobs.is_empty() || options.jobs.iter().any(|name| name == job.name);
    let plan = Plan {
        jobs: JOBS.into_iter().filter(|(_, job)| wanted(job)).collect(),
        rounds: (1..=options.rounds).map(|round| round.to_string()).collect(),
    };
    let additions = additions(&runner, &plan)?;
    let measure = |peer: Peer| -> Result<Run> {
        let values = boot(&runner, &additions, peer)?;
        let jobs: Vec<Job> = plan.jobs.iter().map(|(_, job)| *job).collect();
        Run::read(&values, domain(peer), &jobs, &plan.rounds).context(scenario(peer).name)
    };
    if let Some(peer) = options.only {
        report::show(&measure(peer)?);
        return Ok(());
    }
    let (linux, ours) = both(measure)?;
    let facts = Facts::gather(&runner, &scenario(Peer::Ours), "net.img", options.rounds)?;
    let text = report::compare(&linux, &ours, &facts)?;
    println!("{text}");
    if options.jobs.is_empty() {
        publish(&text)?;
    }
    Ok(())
}

fn additions(runner: &Runner, plan: &Plan) -> Result<Additions> {
    let bench = image::workspace().join("tests/bench");
    let read = |file: &str| fs::read(bench.join(file)).with_context(|| format!("tests/bench/{file}"));
    let mut dom0 = python::files(runner.sources())?;
    dom0.push(("measure.py".to_owned(), read("dom0/measure.py")?));
    let mut guest = vec![("jobs/bench".to_owned(), read("guest/net")?)];
    let mut phases = String::new();
    for (name, guests) in PHASES {
        let its = plan.jobs.iter().filter(|(phase, _)| *phase == name);
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
            plan.rounds.join(" ")
        );
        guest.push((format!("jobs/{name}"), text.into_bytes()));
    }
    dom0.push(("phases".to_owned(), phases.into_bytes()));
    Ok(Additions {
        script: Some(bench.join("dom0/net.sh")),
        dom0,
        guest,
        skip_idle: true,
    })
}

fn boot(runner: &Runner, additions: &Additions, peer: Peer) -> Result<BTreeMap<String, String>> {
    let scenario = scenario(peer);
    let outcome = runner.run_with(&scenario, additions)?;
    outcome.print();
    if outcome.failed() > 0 {
        bail!("{} could not be measured", scenario.name);
    }
    Ok(outcome.values)
}

/// Has every instruction of a stretch of the job `name` written down, and shows whose they are: for each packet, or each
/// 1,448 bytes of TCP payload.
fn profile(runner: &Runner, name: &str) -> Result<()> {
    let plan = Plan {
        jobs: JOBS.into_iter().filter(|(_, job)| job.name == name).collect(),
        rounds: vec!["profile".to_owned()],
    };
    let folder = image::target_dir().join("boot").join(scenario(Peer::Ours).name);
    let log = folder.join("profile.log");
    let mut additions = additions(runner, &plan)?;
    let path = log.to_string_lossy().into_owned();
    additions.dom0.push(("profile".to_owned(), path.into_bytes()));
    let values = boot(runner, &additions, Peer::Ours)?;
    let jobs: Vec<Job> = plan.jobs.iter().map(|(_, job)| *job).collect();
    let run = Run::read(&values, domain(Peer::Ours), &jobs, &plan.rounds)?;
    report::show(&run);
    let (job, rounds) = run.jobs.first().context("no such job")?;
    let value = rounds.first().context("one round")?.value;
    let each_second = match job.kind {
        Kind::Tcp => value / 1448.0,
        Kind::Udp => value,
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
