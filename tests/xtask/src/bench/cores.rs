//! The same on two processors, each a thread of the host's, in the host's time: whether what counted instructions say holds.

use std::time::Duration;
use std::{fs, thread};

use anyhow::Result;
use clap::Args;

use super::page::{Facts, HEADS, provenance, publish, table};
use super::peer::{Peer, Three};
use super::{block, net};
use crate::boot::{Additions, Runner, Scenario};
use crate::image;

/// What to measure.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// How often each job is run
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
}

/// The network's jobs, of one guest and of two.
const NET: [&str; 4] = ["send", "receive", "pair", "ping"];
const TIMEOUT: Duration = Duration::from_secs(1800);
/// With QEMU's GICv2 and a thread for each processor a guest of Linux's backend waited for its disk for ever, twice of two times: there
/// ours is measured alone.
const GICS: [u8; 2] = [3, 2];

/// Measures all backends, one after the other: they would take each other's time.
pub fn run(options: &Options) -> Result<()> {
    image::build_named(&["block".to_owned(), "net".to_owned()])?;
    let runner = Runner::prepare()?;
    let before = load()?;
    let blocks = block::Plan::new(block::jobs(), options.rounds);
    let additions = in_host_time(blocks.additions(&runner)?);
    let names = Three {
        linux: "bench-cores-linux",
        linux_domain: "bench-cores-linux-domain",
        ours: "bench-cores-ours",
    };
    let disks = |gic, peer| {
        let scenario = on_two_processors(block::scenario(peer, names), gic);
        blocks.measure(&runner, &scenario, &additions, peer)
    };
    let [gic, other] = GICS;
    let three = one_by_one(|peer| disks(gic, peer))?;
    let facts = Facts::gather(&runner, options.rounds)?;
    let provenance = provenance("cores", &three.ours.values, &facts)?;
    let provenance = provenance.replace(
        "one processor, 4 ns an instruction",
        "two processors, each a thread of the host",
    );
    let mut text = format!(
        "# Cores: the same on two processors, in the host's time\n\n{provenance}\nNo instructions are counted here, and the host \
         has other things to do: the spread is part of the figure. The ratios are to be compared with those of the same rows \
         above.\n\nThe host's load average before: {before}.\n\n## block, GICv{gic}\n\n{}",
        table(&HEADS, &block::report::throughput(&three)?)
    );
    // What there is, should the rest fail.
    publish(&text)?;
    let own = block::report::own(&disks(other, Peer::Ours)?);
    text += &format!("\n## block, GICv{other}\n\n{}", table(&OWN, &own));
    publish(&text)?;

    let jobs = net::JOBS.into_iter().filter(|(_, job)| NET.contains(&job.name));
    let packets = net::Plan::new(jobs.collect(), options.rounds);
    let additions = in_host_time(packets.additions(&runner)?);
    let names = Three {
        linux: "bench-cores-net-linux",
        linux_domain: "bench-cores-net-linux-domain",
        ours: "bench-cores-net-ours",
    };
    let nets = |gic, peer| {
        let scenario = on_two_processors(net::scenario(peer, names), gic);
        packets.measure(&runner, &scenario, &additions, peer)
    };
    let three = one_by_one(|peer| nets(gic, peer))?;
    let rows = net::report::throughput(&three)?;
    text += &format!("\n## net, GICv{gic}\n\n{}", table(&HEADS, &rows));
    publish(&text)?;
    let own = net::report::own(&nets(other, Peer::Ours)?);
    text += &format!("\n## net, GICv{other}\n\n{}", table(&OWN, &own));
    text += &format!("\nThe host's load average after: {}.\n", load()?);
    println!("{text}");
    publish(&text)
}

/// The heads of a table of ours alone.
const OWN: [&str; 3] = ["", "ours", "spread"];

fn on_two_processors(scenario: Scenario, gic: u8) -> Scenario {
    Scenario {
        timeout: TIMEOUT,
        gic,
        multi_core: true,
        ..scenario
    }
}

/// How many of the host's threads wanted to run in the last 1, 5 and 15 minutes, and how many can.
fn load() -> Result<String> {
    let load = fs::read_to_string("/proc/loadavg")?;
    let means: Vec<&str> = load.split(' ').take(3).collect();
    let processors = thread::available_parallelism()?;
    Ok(format!("{} on {processors} processors", means.join(" ")))
}

fn in_host_time(additions: Additions) -> Additions {
    Additions {
        skip_idle: false,
        ..additions
    }
}

fn one_by_one<R>(measure: impl Fn(Peer) -> Result<R>) -> Result<Three<R>> {
    Ok(Three {
        linux: measure(Peer::Linux)?,
        linux_domain: measure(Peer::LinuxDomain)?,
        ours: measure(Peer::Ours)?,
    })
}
