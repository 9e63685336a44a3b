//! Costs over the size of a block or a packet, the depth of a queue, and the number of guests.

mod series;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::block::{self, Plan, figures as blocks};
use super::figures::Figure;
use super::net::{self, figures as packets};
use super::page::{Facts, provenance, publish};
use super::peer::{Peer, Three, measure_all};
use crate::boot::{Additions, Runner, Scenario};
use crate::image;
use series::{Point, Series};

/// What to measure.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// How often each job is run
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
}

/// What to measure, and how far.
#[derive(Clone, Debug, Args)]
pub struct GuestOptions {
    #[command(flatten)]
    options: Options,
    /// Most guests at once; the machine needs some 6 GiB of the host's memory for sixteen
    #[arg(long, default_value_t = 16)]
    most: usize,
}

/// Guests at once.
const GUESTS: [usize; 5] = [1, 2, 4, 8, 16];
/// RAM of a machine with sixteen guests that have fio, in MiB: each takes 320.
const SIXTEEN_MIB: u32 = 6400;

/// A series of disk jobs: names of points, jobs, whether it is told in requests.
type Disk = (
    &'static str,
    &'static str,
    &'static str,
    Vec<(String, blocks::Job)>,
);

fn disk_job(name: String, told: blocks::Told, fio: blocks::Fio, guests: usize) -> blocks::Job {
    blocks::Job {
        title: name.clone(),
        name,
        told,
        fio,
        guests,
    }
}

/// Blocks of several sizes, and queues of several depths, by one guest.
fn disk() -> [Disk; 2] {
    let sizes = ["4k", "16k", "64k", "128k", "256k", "1m"].map(|size| {
        let job = disk_job(format!("size-{size}"), blocks::Told::Bytes, ("read", size, 16), 1);
        (size.to_owned(), job)
    });
    let depths = [1, 2, 4, 8, 16, 32].map(|depth| {
        let job = disk_job(
            format!("depth-{depth}"),
            blocks::Told::Requests,
            ("randread", "4k", depth),
            1,
        );
        (depth.to_string(), job)
    });
    [
        (
            "block-size",
            "Sequential reads at queue depth 16, by size",
            "bytes a request",
            sizes.into(),
        ),
        (
            "queue-depth",
            "Random reads of 4 KiB, by queue depth",
            "requests in flight",
            depths.into(),
        ),
    ]
}

/// Disk jobs of several guests together.
fn disks(most: usize) -> [Disk; 2] {
    let of = |name: &str, told, fio| {
        let points = GUESTS.into_iter().filter(|guests| *guests <= most);
        let jobs = points.map(|guests| {
            let job = disk_job(format!("{name}-{guests}"), told, fio, guests);
            (guests.to_string(), job)
        });
        jobs.collect()
    };
    [
        (
            "block-guests",
            "Sequential reads of 128 KiB at queue depth 16, by number of guests",
            "guests",
            of("seq", blocks::Told::Bytes, ("read", "128k", 16)),
        ),
        (
            "block-guests-random",
            "Random reads of 4 KiB at queue depth 8, by number of guests",
            "guests",
            of("random", blocks::Told::Requests, ("randread", "4k", 8)),
        ),
    ]
}

/// Measures blocks and packets of several sizes, by one guest or two.
pub fn sizes(options: &Options) -> Result<()> {
    image::build_named(&["block".to_owned(), "net".to_owned()])?;
    let runner = Runner::prepare()?;
    let names = Three {
        linux: "bench-sizes-linux",
        linux_domain: "bench-sizes-linux-domain",
        ours: "bench-sizes-ours",
    };
    let (mut text, values) = disk_series(&runner, names, disk(), None, options.rounds)?;
    let names = Three {
        linux: "bench-packets-linux",
        linux_domain: "bench-packets-linux-domain",
        ours: "bench-packets-ours",
    };
    text += &net_series(&runner, names, &net::by_size(), options.rounds)?;
    page(
        "Sizes: blocks, queues and packets",
        "sizes",
        &runner,
        options,
        &values,
        &text,
    )
}

/// Measures up to sixteen guests at once, or as many as `most` says.
pub fn guests(options: &GuestOptions) -> Result<()> {
    let GuestOptions { options, most } = options;
    image::build_named(&["block".to_owned(), "net".to_owned()])?;
    let runner = Runner::prepare()?;
    let names = Three {
        linux: "bench-guests-linux",
        linux_domain: "bench-guests-linux-domain",
        ours: "bench-guests-ours",
    };
    let (mut text, values) = disk_series(&runner, names, disks(*most), Some(SIXTEEN_MIB), options.rounds)?;
    let title = "Guests: one to sixteen";
    page(title, "guests", &runner, options, &values, &text)?;
    let names = Three {
        linux: "bench-net-guests-linux",
        linux_domain: "bench-net-guests-linux-domain",
        ours: "bench-net-guests-ours",
    };
    text += &net_series(&runner, names, &net::by_guests(*most), options.rounds)?;
    page(title, "guests", &runner, options, &values, &text)
}

fn page(
    title: &str,
    command: &str,
    runner: &Runner,
    options: &Options,
    values: &BTreeMap<String, String>,
    text: &str,
) -> Result<()> {
    let facts = Facts::gather(runner, options.rounds)?;
    let text = format!("# {title}\n\n{}{text}", provenance(command, values, &facts)?);
    println!("{text}");
    publish(&text)
}

/// The series' tables and plots, and what one machine said of itself.
fn disk_series(
    runner: &Runner,
    names: Three<&'static str>,
    series: [Disk; 2],
    memory_mib: Option<u32>,
    rounds: u32,
) -> Result<(String, BTreeMap<String, String>)> {
    let jobs = series.iter().flat_map(|(.., points)| points.iter());
    let plan = Plan::new(jobs.map(|(_, job)| job.clone()).collect(), rounds);
    let additions = Additions {
        memory_mib,
        ..plan.additions(runner)?
    };
    let runs = measure_all(|peer: Peer| {
        let scenario = Scenario {
            timeout: Duration::from_secs(3600),
            ..block::scenario(peer, names)
        };
        plan.measure(runner, &scenario, &additions, peer)
    })?;
    let mut text = String::new();
    for (name, title, axis, points) in series {
        let mut measured = Vec::new();
        let mut units = ["MiB/s", "ns a byte"];
        for (point, job) in points {
            let requests = job.told == blocks::Told::Requests;
            if requests {
                units = ["requests a second", "µs a request"];
            }
            let of = |run: &blocks::Run| -> Result<(Figure, Figure)> {
                let rounds = run.rounds(&job.name)?;
                Ok(if requests {
                    (
                        Figure::of(rounds, |round| round.iops),
                        Figure::of(rounds, |round| round.backend_share * 1e6 / round.iops),
                    )
                } else {
                    (
                        Figure::of(rounds, |round| round.kib_per_s / 1024.0),
                        Figure::of(rounds, blocks::Round::cpu_ns_per_byte),
                    )
                })
            };
            measured.push(Point::of(
                point,
                of(&runs.linux)?,
                of(&runs.linux_domain)?,
                of(&runs.ours)?,
            ));
        }
        let series = Series {
            name,
            title,
            axis,
            units,
            points: measured,
        };
        text += &series.show()?;
    }
    Ok((text, runs.ours.values))
}

fn net_series(
    runner: &Runner,
    names: Three<&'static str>,
    series: &[net::Series],
    rounds: u32,
) -> Result<String> {
    let jobs = series.iter().flat_map(|series| series.points.iter());
    let plan = net::Plan::new(jobs.map(|(_, phase, job)| (*phase, *job)).collect(), rounds);
    let additions = plan.additions(runner)?;
    let runs = measure_all(|peer: Peer| plan.measure(runner, &net::scenario(peer, names), &additions, peer))?;
    let mut text = String::new();
    for net::Series {
        name,
        title,
        axis,
        points,
    } in series
    {
        let mut measured = Vec::new();
        let mut units = ["Mb/s", "ns a byte"];
        for (point, _, job) in points {
            let packets = matches!(job.kind, packets::Kind::Udp(_));
            if packets {
                units = ["packets a second", "µs a packet"];
            }
            let peer = runs.ours.peer_cost(job.name);
            let of = |run: &packets::Run| -> Result<(Figure, Figure)> {
                let rounds = run.rounds(job.name).context(job.name)?;
                let spent = |round: &packets::Round| run.backend_share(round, peer) / round.value;
                Ok(if packets {
                    (
                        Figure::of(rounds, |round| round.value),
                        Figure::of(rounds, |round| spent(round) * 1e6),
                    )
                } else {
                    (
                        Figure::of(rounds, |round| round.value * 8.0 / 1e6),
                        Figure::of(rounds, |round| spent(round) * 1e9),
                    )
                })
            };
            measured.push(Point::of(
                (*point).to_owned(),
                of(&runs.linux)?,
                of(&runs.linux_domain)?,
                of(&runs.ours)?,
            ));
        }
        let series = Series {
            name,
            title,
            axis,
            units,
            points: measured,
        };
        text += &series.show()?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_jobs_have_one_name() {
        let disks = disk().into_iter().chain(disks(16));
        let mut names: Vec<String> = disks
            .flat_map(|(.., points)| points)
            .map(|(_, job)| job.name)
            .collect();
        let nets = net::by_size().into_iter().chain(net::by_guests(16));
        names.extend(
            nets.flat_map(|series| series.points)
                .map(|(.., job)| job.name.to_owned()),
        );
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        // A round is told from its job by the point before it.
        assert!(names.iter().all(|name| !name.contains(['.', '/', ' '])));
    }

    #[test]
    fn guests_at_once_are_the_points() {
        for (most, wanted) in [(16, &GUESTS[..]), (8, &GUESTS[..4])] {
            let wanted = || wanted.iter().map(usize::to_string);
            for (.., points) in disks(most) {
                assert!(points.iter().map(|(_, job)| job.guests.to_string()).eq(wanted()));
                assert!(points.into_iter().map(|(point, _)| point).eq(wanted()));
            }
            for series in net::by_guests(most) {
                assert!(
                    series
                        .points
                        .into_iter()
                        .map(|(point, ..)| point.to_owned())
                        .eq(wanted())
                );
            }
        }
    }
}
