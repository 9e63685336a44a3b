//! How much of a disk's own speed reaches a guest: the same driver reads it before there is one.

use anyhow::{Context, Result, bail};
use clap::Args;

use super::block::figures::{Job, Told};
use super::block::{self, Plan};
use super::figures::Figure;
use super::page::{Facts, Row, number, provenance, publish, table, verdict};
use super::peer::Peer;
use crate::boot::{Additions, Runner, Scenario};
use crate::image;

/// What to measure.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// How often the guest's jobs are run
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
}

/// The share that reaches a guest, at least.
const SHARE: f64 = 0.9;

/// What the driver reads alone, and a guest's job like it: the value's name, and the job.
fn jobs() -> [(&'static str, Job); 2] {
    let job = |name: &str, title: &str, fio| Job {
        name: name.to_owned(),
        title: title.to_owned(),
        told: Told::Bytes,
        fio,
        guests: 1,
    };
    [
        (
            "raw-32",
            job("seqread", "sequential read, 128 KiB, qd 16", ("read", "128k", 16)),
        ),
        (
            "raw-1",
            job(
                "randread",
                "read, 4 KiB, qd 32 (the guest: random)",
                ("randread", "4k", 32),
            ),
        ),
    ]
}

/// Measures with an image that reads its disk first.
pub fn run(options: &Options) -> Result<()> {
    image::build_raw("block")?;
    let runner = Runner::prepare()?;
    let plan = Plan::new(jobs().map(|(_, job)| job).into(), options.rounds);
    let additions = Additions {
        images: Some(image::RAW),
        ..plan.additions(&runner)?
    };
    let scenario = Scenario {
        name: "bench-raw",
        ..block::SCENARIO
    };
    let run = plan.measure(&runner, &scenario, &additions, Peer::Ours)?;
    let mut rows = Vec::new();
    for (name, job) in jobs() {
        let said = run
            .values
            .get(name)
            .with_context(|| format!("{name} was not reported"))?;
        let raw = mib_per_s(said, if name == "raw-32" { 128.0 } else { 4.0 })?;
        let rounds = run.rounds(&job.name)?;
        let guest = Figure::of(rounds, |round| round.kib_per_s / 1024.0);
        let ceiling = Figure::of(rounds, |round| round.kib_per_s / 1024.0 / round.ceiling_share());
        rows.push(row(&job.title, raw, guest, ceiling.mean));
    }
    let page = [
        "# Raw: the disk's own speed\n\n",
        &provenance("raw", &run.values, &Facts::gather(&runner, options.rounds)?)?,
        "\nThe disk takes no time itself, so that its own speed is that of the driver alone, on a processor that it has for \
         itself. A guest's own work on the same processor is far more than the driver's, whoever serves it: *nobody's* is \
         what it would get if the backend cost nothing. So the goal can be met only with disks that are slower than software: \
         up to the last column's speed, 0.9 of it reaches the guest.\n\n",
        &table(
            &[
                "",
                "driver alone",
                "guest",
                "share",
                "goal",
                "",
                "guest, if the backend were nobody's",
                "share of that",
                "goal holds for disks up to",
                "spread",
            ],
            &rows,
        ),
    ]
    .concat();
    println!("{page}");
    publish(&page)
}

fn row(title: &str, raw: f64, guest: Figure, ceiling: f64) -> Row {
    let mib = |value: f64| format!("{} MiB/s", number(value));
    let share = guest.mean / raw;
    vec![
        title.to_owned(),
        mib(raw),
        mib(guest.mean),
        format!("{share:.2}"),
        format!("≥ {SHARE}"),
        verdict(share >= SHARE),
        mib(ceiling),
        format!("{:.2}", guest.mean / ceiling),
        mib(guest.mean / SHARE),
        format!("{:.1} %", guest.spread * 100.0),
    ]
}

/// From "REQUESTS FAILURES US" to MiB a second.
fn mib_per_s(said: &str, kib: f64) -> Result<f64> {
    let words: Vec<f64> = said
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| said.to_owned())?;
    let [requests, 0.0, us] = words[..] else {
        bail!("the disk was not read without failures: {said}");
    };
    if us < 1e6 {
        bail!("the disk was not read for long: {said}");
    }
    Ok(requests * kib / 1024.0 / (us / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_told_in_bytes() {
        let read = mib_per_s("16000 0 2000000", 128.0).unwrap();
        assert!((read - 1000.0).abs() < 1e-9);
        for wrong in ["16000 1 2000000", "16000 0 20", "16000 0", "x 0 2000000"] {
            assert!(mib_per_s(wrong, 128.0).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_is_of_the_drivers_own_speed() {
        let guest = Figure {
            mean: 450.0,
            spread: 0.01,
        };
        let row = row("read", 1000.0, guest, 500.0);
        assert_eq!(row[3..6], ["0.45", "≥ 0.9", "**missed**"]);
        assert_eq!(row[7..9], ["0.90", "500 MiB/s"]);
    }
}
