//! Figures as a page.

use std::path::Path;

use anyhow::Result;

use super::super::figures::Figure;
use super::super::page::{
    Facts, Goal, HEADS, Row, at_rest, compared, fine, number, own_row, provenance, size, table, verdict,
};
use super::super::peer::Three;
use super::figures::{Job, Kind, Round, Run};

/// Throughput against Linux: with the wire, and between guests.
const WIRE: Goal = Goal::Least(1.5);
const GUESTS: Goal = Goal::Least(2.0);
/// The shortest round trip against Linux.
const PING: Goal = Goal::Most(0.5);
/// The backend's processor time a byte against Linux.
const CPU: Goal = Goal::Most(1.0 / 3.0);
/// No backend is so much better: Linux's own peer, in the same kernel, had no time to read what came.
const BEYOND: f64 = 10.0;
const STARVED: &str = "no comparison";
/// The image and its memory, at most.
const KIB_MIB: [f64; 2] = [320.0, 16.0];

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

/// The part of the page that compares all; `image` is ours as it is loaded.
pub fn compare(runs: &Three<Run>, image: &Path, facts: &Facts) -> Result<String> {
    let (mut cost, mut whose) = (Vec::new(), Vec::new());
    for (job, _) in runs.ours.jobs.iter().filter(|(job, _)| job.kind != Kind::Ping) {
        let measured = measured(runs, job)?;
        cost.push(processor(*job, &measured));
        whose.push(shares(*job, &measured));
    }
    let mut more = Vec::new();
    for (title, few, many) in MORE_GUESTS {
        more.extend(more_guests(title, few, many, runs));
    }
    let values = &runs.ours.values;
    Ok([
        "# Network: the driver domain against Linux netback and a bridge\n\n",
        &provenance("net", values, facts)?,
        "\nHow this is measured, and what it does not say: [README.md](README.md).\n",
        "\n## What the guests see\n\n",
        &table(&HEADS, &throughput(runs)?),
        "\n## The backend's processor time\n\nIn ns a byte of payload, or a packet (UDP). That of Linux in Dom0 is Dom0's without what the same peer costs it in our run.\n\n",
        &table(&HEADS, &cost),
        "\n## Whose time it is\n\nIn % of the processor: guests, backend, peer, idle. At most: our throughput against Dom0's Linux if our backend cost nothing.\n\n",
        &table(&["", "Linux in Dom0", "Linux domain", "ours", "at most"], &whose),
        "\n## What one more guest costs\n\nThe backend's ns a byte of payload, of two guests and of eight.\n\n",
        &table(
            &["", "Linux in Dom0, 2", "8", "Linux domain, 2", "8", "ours, 2", "8", "goal", ""],
            &more,
        ),
        "\n## Size\n\n",
        &table(&["", "ours", "goal", ""], &size(values, image, KIB_MIB)?),
        &at_rest(&runs.map(|run| run.idle_cost)),
    ]
    .concat())
}

/// The rows of what the guests see.
pub fn throughput(runs: &Three<Run>) -> Result<Vec<Row>> {
    let row = |job: &Job| Ok(against_linux(*job, &measured(runs, job)?));
    runs.ours.jobs.iter().map(|(job, _)| row(job)).collect()
}

/// The same of ours alone, and its spread.
pub fn own(run: &Run) -> Vec<Row> {
    let row = |(job, rounds): &(Job, Vec<Round>)| {
        let figure = Figure::of(rounds, |round| value(*job, round));
        own_row(job.title, figure, unit(*job))
    };
    run.jobs.iter().map(row).collect()
}

type Measured<'a> = Three<(&'a Run, &'a [Round])>;

fn measured<'a>(runs: &'a Three<Run>, job: &Job) -> Result<Measured<'a>> {
    Ok(Three {
        linux: (&runs.linux, runs.linux.rounds(job.name)?),
        linux_domain: (&runs.linux_domain, runs.linux_domain.rounds(job.name)?),
        ours: (&runs.ours, runs.ours.rounds(job.name)?),
    })
}

fn value(job: Job, round: &Round) -> f64 {
    match job.kind {
        Kind::Tcp => round.value * 8.0 / 1e6,
        Kind::Udp(_) | Kind::Ping => round.value,
    }
}

fn unit(job: Job) -> &'static str {
    match job.kind {
        Kind::Tcp => "Mb/s",
        Kind::Udp(_) => "packets/s",
        Kind::Ping => "µs",
    }
}

fn against_linux(job: Job, measured: &Measured) -> Row {
    let figures = measured.map(|(_, rounds)| Figure::of(rounds, |round| value(job, round)));
    let goal = match (job.kind, job.wire) {
        (Kind::Ping, _) => PING,
        (_, true) => WIRE,
        (_, false) => GUESTS,
    };
    let row = compared(
        job.title,
        &figures,
        |value| format!("{} {}", number(value), unit(job)),
        goal,
    );
    comparable(row, figures.ours.mean / figures.linux.mean <= BEYOND)
}

/// The row, without a verdict if the figures are no comparison.
fn comparable(mut row: Row, are: bool) -> Row {
    if let (Some(verdict), false) = (row.get_mut(7), are) {
        STARVED.clone_into(verdict);
    }
    row
}

/// The backend's ns a byte, or a packet.
fn cost(job: Job, (run, rounds): (&Run, &[Round]), ours: &Run) -> Figure {
    let peer = ours.peer_cost(job.name);
    Figure::of(rounds, |round| run.backend_share(round, peer) * 1e9 / round.value)
}

fn processor(job: Job, measured: &Measured) -> Row {
    let costs = measured.map(|of| cost(job, *of, measured.ours.0));
    let row = compared(job.title, &costs, fine, CPU);
    comparable(row, costs.ours.mean / costs.linux.mean >= 1.0 / BEYOND)
}

fn shares(job: Job, measured: &Measured) -> Row {
    let peer = measured.ours.0.peer_cost(job.name);
    // Guests, backend, peer, idle.
    let shares = measured.map(|(run, rounds)| {
        let backend = Figure::of(rounds, |round| run.backend_share(round, peer)).mean;
        let other = Figure::of(rounds, |round| peer * round.value).mean;
        let busy = Figure::of(rounds, |round| round.meter.busy()).mean;
        [busy - backend - other, backend, other, 1.0 - busy]
    });
    let values = measured.map(|(_, rounds)| Figure::of(rounds, |round| round.value).mean);
    let [_, backend, _, idle] = shares.ours;
    let most = values.ours / (1.0 - backend - idle) / values.linux;
    let percent = |share: f64| format!("{:.0}", share * 100.0);
    let [linux, domain, ours] = shares.columns().map(|shares| shares.map(percent).join(", "));
    vec![job.title.to_owned(), linux, domain, ours, format!("{most:.2}")]
}

fn more_guests(title: &str, few: &str, many: &str, runs: &Three<Run>) -> Option<Row> {
    let of = |run: &Run, name: &str| {
        let (job, rounds) = run.jobs.iter().find(|(job, _)| job.name == name)?;
        Some(cost(*job, (run, rounds), &runs.ours).mean)
    };
    let mut row = vec![title.to_owned()];
    for run in runs.columns() {
        row.push(format!("{:.2}", of(run, few)?));
        row.push(format!("{:.2}", of(run, many)?));
    }
    row.push("no more".to_owned());
    row.push(verdict(of(&runs.ours, many)? <= of(&runs.ours, few)?));
    Some(row)
}
