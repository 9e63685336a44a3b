//! Figures as a page.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::super::figures::Figure;
use super::super::report::{Facts, Row, number, provenance, spread, table, verdict};
use super::figures::{Job, Kind, Round, Run};

/// Throughput against Linux, at least: with the wire, and between guests.
const WIRE: f64 = 1.5;
const GUESTS: f64 = 2.0;
/// The shortest round trip against Linux, at most.
const PING: f64 = 0.5;
/// The backend's processor time a byte against Linux, at most.
const CPU: f64 = 1.0 / 3.0;
/// No backend is so much better: Linux's own peer, in the same kernel, had no time to read what came.
const BEYOND: f64 = 10.0;
const STARVED: &str = "no comparison";
const IMAGE_KIB: u64 = 320;
const MEMORY_MIB: u64 = 16;

/// Jobs of which one needs more guests than the other.
const MORE_GUESTS: [(&str, &str, &str); 3] = [
    ("guest to wire", "send2", "send8"),
    ("wire to guest", "receive2", "receive8"),
    ("guest to guest", "pair", "pair8"),
];

/// Shows one backend's figures. Of Linux without ours it is not known what its peer costs, and Dom0's time is both.
pub fn show(run: &Run) {
    for (job, rounds) in &run.jobs {
        let main = Figure::of(rounds, |round| value(*job, round));
        println!(
            "{:40} {:>9} {:6} ±{:4.1} %  {} {:5.1} % of the processor; idle {:4.1} %",
            job.title,
            number(main.mean),
            unit(*job),
            main.spread * 50.0,
            run.backend,
            Figure::of(rounds, |round| run.backend_share(round, 0.0)).mean * 100.0,
            Figure::of(rounds, |round| 1.0 - round.meter.busy()).mean * 100.0,
        );
    }
    for (name, value) in &run.values {
        println!("{name}: {value}");
    }
}

/// The part of the page that compares both.
pub fn compare(linux: &Run, ours: &Run, facts: &Facts) -> Result<String> {
    let (mut against, mut cost, mut whose) = (Vec::new(), Vec::new(), Vec::new());
    for ((job, theirs), (_, own)) in linux.jobs.iter().zip(&ours.jobs) {
        against.push(against_linux(*job, theirs, own));
        if job.kind != Kind::Ping {
            cost.push(processor(*job, (linux, theirs), (ours, own)));
            whose.push(shares(*job, (linux, theirs), (ours, own)));
        }
    }
    let mut page =
        String::from("# Network: the driver domain against Linux netback and a bridge in Dom0\n\n");
    page += &provenance("net", &linux.values, facts)?;
    page += "\nHow this is measured, and what it does not say: [README.md](README.md).\n";
    page += "\n## What the guests see\n\n";
    page += &table(&["", "Linux", "ours", "ratio", "goal", "", "spread"], &against);
    page += "\n## The backend's processor time\n\nIn ns a byte of payload, or a packet (UDP). Linux's is Dom0's without what the same peer costs it in our run.\n\n";
    page += &table(&["", "Linux", "ours", "ratio", "goal", "", "spread"], &cost);
    page += "\n## Whose time it is\n\nIn % of the processor: guests, backend, peer, idle. At most: our throughput against Linux's if our backend cost nothing.\n\n";
    page += &table(&["", "Linux", "ours", "at most"], &whose);
    page += "\n## What one more guest costs\n\nThe backend's ns a byte of payload.\n\n";
    let mut more = Vec::new();
    for (title, few, many) in MORE_GUESTS {
        more.extend(more_guests(title, few, many, linux, ours));
    }
    page += &table(
        &["", "Linux, 2 guests", "8", "ours, 2 guests", "8", "goal", ""],
        &more,
    );
    page += "\n## Size\n\n";
    page += &table(&["", "ours", "goal", ""], &size(ours, facts)?);
    write!(
        page,
        "\nWith nothing to do, the driver domain takes {:.2} % of the processor; Dom0, which serves, {:.2} %.\n",
        ours.idle_cost * 100.0,
        linux.idle_cost * 100.0
    )?;
    Ok(page)
}

fn value(job: Job, round: &Round) -> f64 {
    match job.kind {
        Kind::Tcp => round.value * 8.0 / 1e6,
        Kind::Udp | Kind::Ping => round.value,
    }
}

fn unit(job: Job) -> &'static str {
    match job.kind {
        Kind::Tcp => "Mb/s",
        Kind::Udp => "packets/s",
        Kind::Ping => "µs",
    }
}

fn against_linux(job: Job, theirs: &[Round], own: &[Round]) -> Row {
    let of = |rounds| Figure::of(rounds, |round| value(job, round));
    let (theirs, own) = (of(theirs), of(own));
    let ratio = own.mean / theirs.mean;
    let least = if job.wire { WIRE } else { GUESTS };
    let (goal, met) = match job.kind {
        Kind::Ping => (format!("≤ {PING}"), ratio <= PING),
        Kind::Tcp | Kind::Udp => (format!("≥ {least}"), ratio >= least),
    };
    vec![
        job.title.to_owned(),
        format!("{} {}", number(theirs.mean), unit(job)),
        format!("{} {}", number(own.mean), unit(job)),
        format!("{ratio:.2}"),
        goal,
        if ratio > BEYOND {
            STARVED.to_owned()
        } else {
            verdict(met)
        },
        spread(theirs, own),
    ]
}

/// The backend's ns a byte, or a packet.
fn cost(job: Job, run: &Run, rounds: &[Round], ours: &Run) -> Figure {
    let peer = ours.peer_cost(job.name);
    Figure::of(rounds, |round| run.backend_share(round, peer) * 1e9 / round.value)
}

fn processor(job: Job, (linux, theirs): (&Run, &[Round]), (ours, own): (&Run, &[Round])) -> Row {
    let (theirs, own) = (cost(job, linux, theirs, ours), cost(job, ours, own, ours));
    let ratio = own.mean / theirs.mean;
    let number = |value: f64| {
        if value < 100.0 {
            format!("{value:.2}")
        } else {
            number(value)
        }
    };
    vec![
        job.title.to_owned(),
        number(theirs.mean),
        number(own.mean),
        format!("{ratio:.2}"),
        "≤ 1/3".to_owned(),
        if ratio < 1.0 / BEYOND {
            STARVED.to_owned()
        } else {
            verdict(ratio <= CPU)
        },
        spread(theirs, own),
    ]
}

fn shares(job: Job, (linux, theirs): (&Run, &[Round]), (ours, own): (&Run, &[Round])) -> Row {
    let peer = ours.peer_cost(job.name);
    let of = |run: &Run, rounds: &[Round]| {
        let backend = Figure::of(rounds, |round| run.backend_share(round, peer)).mean;
        let other = Figure::of(rounds, |round| peer * round.value).mean;
        let busy = Figure::of(rounds, |round| round.meter.busy()).mean;
        (busy - backend - other, backend, other, 1.0 - busy)
    };
    let text = |(guests, backend, other, idle): (f64, f64, f64, f64)| {
        let percent = |share: f64| format!("{:.0}", share * 100.0);
        [guests, backend, other, idle].map(percent).join(", ")
    };
    let ((_, backend, _, idle), mean) = (of(ours, own), |rounds| {
        Figure::of(rounds, |round: &Round| round.value).mean
    });
    let most = mean(own) / (1.0 - backend - idle) / mean(theirs);
    vec![
        job.title.to_owned(),
        text(of(linux, theirs)),
        text((of(ours, own).0, backend, of(ours, own).2, idle)),
        format!("{most:.2}"),
    ]
}

fn more_guests(title: &str, few: &str, many: &str, linux: &Run, ours: &Run) -> Option<Row> {
    let of = |run: &Run, name: &str| {
        let (job, rounds) = run.jobs.iter().find(|(job, _)| job.name == name)?;
        Some(cost(*job, run, rounds, ours).mean)
    };
    let (one, eight) = (of(ours, few)?, of(ours, many)?);
    let number = |value: f64| format!("{value:.2}");
    Some(vec![
        title.to_owned(),
        number(of(linux, few)?),
        number(of(linux, many)?),
        number(one),
        number(eight),
        "no more".to_owned(),
        verdict(eight <= one),
    ])
}

fn size(ours: &Run, facts: &Facts) -> Result<Vec<Row>> {
    let memory = ours.values.get("memory").context("memory was not reported")?;
    let memory: u64 = memory.parse().context("memory")?;
    let kib = facts.image_bytes.div_ceil(1024);
    let row = |name: &str, is: u64, most: u64, unit: &str| {
        let verdict = verdict(is <= most);
        vec![
            name.to_owned(),
            format!("{is} {unit}"),
            format!("≤ {most} {unit}"),
            verdict,
        ]
    };
    Ok(vec![
        row("image", kib, IMAGE_KIB, "KiB"),
        row("memory", memory, MEMORY_MIB, "MiB"),
    ])
}
