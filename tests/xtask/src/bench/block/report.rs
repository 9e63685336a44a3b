//! The block domain's figures as a page.

use std::path::Path;

use anyhow::Result;

use super::super::figures::Figure;
use super::super::page::{
    Facts, Goal, HEADS, Row, at_rest, bounded, compared, fine, number, own_row, provenance, size, table,
    value, verdict,
};
use super::super::peer::Three;
use super::figures::{Job, Round, Run, Told};

/// Throughput against Linux.
const THROUGHPUT: Goal = Goal::Least(1.3);
/// Throughput against what it were if the backend cost nothing, at least.
const CEILING: f64 = 0.85;
/// Time of a request against Linux.
const LATENCY: Goal = Goal::Most(0.7);
/// The backend's processor time a byte against Linux.
const CPU: Goal = Goal::Most(1.0 / 3.0);
/// The image and its memory, at most.
const KIB_MIB: [f64; 2] = [256.0, 16.0];
/// From the driver domain's entry to `state` = 2 of a vbd that waits for it, in ms of the machine's time, at most.
const READY_MS: f64 = 50.0;

/// Shows one backend's figures.
pub fn show(run: &Run) {
    for (job, rounds) in &run.jobs {
        let figure = |of: fn(&Round) -> f64| Figure::of(rounds, of);
        let main = Figure::of(rounds, |round| main_value(job, round));
        println!(
            "{:34} {:>9} {:6} ±{:4.1} %  backend {:5.1} % of the processor, {:6.2} ns a byte; idle {:4.1} %",
            job.title,
            number(main.mean),
            unit(job),
            main.spread * 50.0,
            figure(|round| round.backend_share).mean * 100.0,
            figure(Round::cpu_ns_per_byte).mean,
            figure(|round| round.idle_share).mean * 100.0,
        );
    }
    println!(
        "idle: the backend's domain takes {:.2} % of the processor",
        run.idle_cost * 100.0
    );
    for (name, value) in &run.values {
        println!("{name}: {value}");
    }
}

/// The part of the page that compares all; `image` is ours as it is loaded.
pub fn compare(runs: &Three<Run>, image: &Path, facts: &Facts) -> Result<String> {
    let (mut ceiling, mut cost) = (Vec::new(), Vec::new());
    for (job, _) in &runs.ours.jobs {
        let rounds = rounds(runs, job)?;
        if job.told != Told::Latency {
            ceiling.push(below_ceiling(job, &rounds));
        }
        let spent = rounds.map(|rounds| Figure::of(rounds, Round::cpu_ns_per_byte));
        cost.push(compared(&job.title, &spent, fine, CPU));
    }
    let values = &runs.ours.values;
    let mut size = size(values, image, KIB_MIB)?;
    size.push(bounded(
        "from entry to `state` = 2 of a waiting vbd",
        value(values, "state-2")? * 1000.0,
        READY_MS,
        "ms",
    ));
    Ok([
        "# Block: the driver domain against Linux blkback\n\n",
        &provenance("block", values, facts)?,
        "\nHow this is measured, and what it does not say: [README.md](README.md).\n",
        "\n## What the guest sees\n\n",
        &table(&HEADS, &throughput(runs)?),
        "\n## Against the ceiling\n\nThe ceiling is the same run if the backend cost nothing and the processor never idled.\n\n",
        &table(
            &["", "Linux in Dom0", "Linux domain", "ours", "goal", "", "our ceiling", "idle in our run"],
            &ceiling,
        ),
        "\n## The backend's processor time\n\nIn ns a byte of I/O.\n\n",
        &table(&HEADS, &cost),
        "\n## Size and start\n\n",
        &table(&["", "ours", "goal", ""], &size),
        &at_rest(&runs.map(|run| run.idle_cost)),
    ]
    .concat())
}

/// The rows of what the guest sees.
pub fn throughput(runs: &Three<Run>) -> Result<Vec<Row>> {
    let row = |job: &Job| {
        let main = rounds(runs, job)?.map(|rounds| Figure::of(rounds, |round| main_value(job, round)));
        let text = |value| format!("{} {}", number(value), unit(job));
        let goal = if job.told == Told::Latency {
            LATENCY
        } else {
            THROUGHPUT
        };
        Ok(compared(&job.title, &main, text, goal))
    };
    runs.ours.jobs.iter().map(|(job, _)| row(job)).collect()
}

/// The same of ours alone, and its spread.
pub fn own(run: &Run) -> Vec<Row> {
    let row = |(job, rounds): &(Job, Vec<Round>)| {
        let figure = Figure::of(rounds, |round| main_value(job, round));
        own_row(&job.title, figure, unit(job))
    };
    run.jobs.iter().map(row).collect()
}

fn rounds<'a>(runs: &'a Three<Run>, job: &Job) -> Result<Three<&'a [Round]>> {
    Ok(Three {
        linux: runs.linux.rounds(&job.name)?,
        linux_domain: runs.linux_domain.rounds(&job.name)?,
        ours: runs.ours.rounds(&job.name)?,
    })
}

fn main_value(job: &Job, round: &Round) -> f64 {
    match job.told {
        Told::Latency => round.latency_us,
        Told::Requests => round.iops,
        Told::Bytes => round.kib_per_s / 1024.0,
    }
}

fn unit(job: &Job) -> &'static str {
    match job.told {
        Told::Latency => "µs",
        Told::Requests => "IOPS",
        Told::Bytes => "MiB/s",
    }
}

fn below_ceiling(job: &Job, rounds: &Three<&[Round]>) -> Row {
    let shares = rounds.map(|rounds| Figure::of(rounds, Round::ceiling_share).mean);
    let own = rounds.ours;
    let ceiling = Figure::of(own, |round| main_value(job, round) / round.ceiling_share()).mean;
    let [linux, domain, ours] = shares.columns().map(|share| format!("{share:.2}"));
    vec![
        job.title.clone(),
        linux,
        domain,
        ours,
        format!("≥ {CEILING}"),
        verdict(shares.ours >= CEILING),
        format!("{} {}", number(ceiling), unit(job)),
        format!("{:.1} %", Figure::of(own, |round| round.idle_share).mean * 100.0),
    ]
}
