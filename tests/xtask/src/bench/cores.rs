//! The same on two processors, each a thread of the host's, in the host's time: whether what counted instructions say holds.

use std::time::Duration;

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
/// With QEMU's GICv2 and a thread for each processor a guest of Linux's backend waited for its disk for ever, twice of two times.
const GIC: u8 = 3;

/// Measures all backends, one after the other: they would take each other's time.
pub fn run(options: &Options) -> Result<()> {
    image::build_named(&["block".to_owned(), "net".to_owned()])?;
    let runner = Runner::prepare()?;
    let blocks = block::Plan::new(block::jobs(), options.rounds);
    let additions = in_host_time(blocks.additions(&runner)?);
    let names = Three {
        linux: "bench-cores-linux",
        linux_domain: "bench-cores-linux-domain",
        ours: "bench-cores-ours",
    };
    let disks = one_by_one(|peer| {
        let scenario = Scenario {
            timeout: TIMEOUT,
            gic: GIC,
            ..block::scenario(peer, names)
        };
        blocks.measure(&runner, &scenario, &additions, peer)
    })?;
    let facts = Facts::gather(&runner, options.rounds)?;
    let provenance = provenance("cores", &disks.ours.values, &facts)?;
    let provenance = provenance.replace(
        "one processor, 4 ns an instruction",
        "two processors, each a thread of the host, GICv3",
    );
    let mut text = format!(
        "# Cores: the same on two processors, in the host's time\n\n{provenance}\nNo instructions are counted here, and the host \
         has other things to do: the spread is part of the figure. The ratios are to be compared with those of the same rows \
         above.\n\n## block\n\n{}",
        table(&HEADS, &block::report::throughput(&disks)?)
    );
    // What there is, should the rest fail.
    publish(&text)?;

    let jobs = net::JOBS.into_iter().filter(|(_, job)| NET.contains(&job.name));
    let packets = net::Plan::new(jobs.collect(), options.rounds);
    let additions = in_host_time(packets.additions(&runner)?);
    let names = Three {
        linux: "bench-cores-net-linux",
        linux_domain: "bench-cores-net-linux-domain",
        ours: "bench-cores-net-ours",
    };
    let nets = one_by_one(|peer| {
        let scenario = Scenario {
            timeout: TIMEOUT,
            gic: GIC,
            ..net::scenario(peer, names)
        };
        packets.measure(&runner, &scenario, &additions, peer)
    })?;

    text += "\n## net\n\n";
    text += &table(&HEADS, &net::report::throughput(&nets)?);
    println!("{text}");
    publish(&text)
}

fn in_host_time(additions: Additions) -> Additions {
    Additions {
        multi_core: true,
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
