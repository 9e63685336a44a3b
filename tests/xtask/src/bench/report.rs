//! Figures as a page.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::figures::{Figure, Job, Round, Run};
use crate::boot::{Runner, Scenario};
use crate::{image, process};

/// What the page says beside what the machines reported.
pub struct Facts {
    /// The size of the driver domain's image as it is loaded.
    pub image_bytes: u64,
    /// QEMU's version.
    pub qemu: String,
    /// How often each job was run.
    pub rounds: u32,
}

/// Throughput against Linux, at least.
const THROUGHPUT: f64 = 1.3;
/// Throughput against what it were if the backend cost nothing, at least.
const CEILING: f64 = 0.85;
/// Time of a request against Linux, at most.
const LATENCY: f64 = 0.7;
/// The backend's processor time a byte against Linux, at most.
const CPU: f64 = 1.0 / 3.0;
const IMAGE_KIB: u64 = 256;
const MEMORY_MIB: u64 = 16;
/// From the driver domain's entry to `state` = 2 of a vbd that waits for it, in ms of the machine's time, at most.
const READY_MS: f64 = 50.0;

/// A table's row: its cells.
pub type Row = Vec<String>;

impl Facts {
    /// Of the image that the builder made for the scenario, and of this host.
    pub fn gather(runner: &Runner, scenario: &Scenario, image: &str, rounds: u32) -> Result<Self> {
        let built = runner.built(scenario, image);
        Ok(Self {
            image_bytes: fs::metadata(&built)
                .with_context(|| built.display().to_string())?
                .len(),
            qemu: process::output(runner.tools().qemu().arg("--version"))?
                .split_whitespace()
                .nth(3)
                .context("QEMU says its version")?
                .to_owned(),
            rounds,
        })
    }
}

/// Puts a part with its heading into `tests/bench/RESULTS.md`, instead of the one that has begun with the same word.
pub fn publish(part: &str) -> Result<()> {
    let path = image::workspace().join("tests/bench/RESULTS.md");
    let old = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    fs::write(&path, with_part(&old, part)).with_context(|| path.display().to_string())
}

/// The page `old` with `part` at its place, or at the end.
fn with_part(old: &str, part: &str) -> String {
    let word = |part: &str| part.split_whitespace().nth(1).map(str::to_owned);
    let mut parts: Vec<String> = Vec::new();
    for line in old.lines() {
        if line.starts_with("# ") || parts.is_empty() {
            parts.push(String::new());
        }
        if let Some(last) = parts.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    let part = format!("{}\n", part.trim_end());
    match parts.iter_mut().find(|other| word(other) == word(&part)) {
        Some(place) => *place = part,
        None => parts.push(part),
    }
    let parts: Vec<&str> = parts.iter().map(|part| part.trim_end()).collect();
    format!("{}\n", parts.join("\n\n"))
}

/// Shows one backend's figures.
pub fn show(run: &Run) {
    for (job, rounds) in &run.jobs {
        let figure = |of: fn(&Round) -> f64| Figure::of(rounds, of);
        let main = Figure::of(rounds, |round| main_value(*job, round));
        println!(
            "{:34} {:>9} {:6} ±{:4.1} %  backend {:5.1} % of the processor, {:6.2} ns a byte; idle {:4.1} %",
            job.title,
            number(main.mean),
            unit(*job),
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

/// The page that compares both.
pub fn compare(linux: &Run, ours: &Run, facts: &Facts) -> Result<String> {
    let mut against = Vec::new();
    let mut ceiling = Vec::new();
    let mut cost = Vec::new();
    for ((job, theirs), (_, own)) in linux.jobs.iter().zip(&ours.jobs) {
        against.push(against_linux(*job, theirs, own));
        if !job.latency {
            ceiling.push(below_ceiling(*job, theirs, own));
        }
        cost.push(processor(*job, theirs, own));
    }
    let mut page = String::from("# Block: the driver domain against Linux blkback in Dom0\n\n");
    page += &provenance("block", &linux.values, facts)?;
    page += "\nHow this is measured, and what it does not say: [README.md](README.md).\n";
    page += "\n## What the guest sees\n\n";
    page += &table(&["", "Linux", "ours", "ratio", "goal", "", "spread"], &against);
    page += "\n## Against the ceiling\n\nThe ceiling is the same run if the backend cost nothing and the processor never idled.\n\n";
    page += &table(
        &["", "Linux", "ours", "goal", "", "our ceiling", "idle in our run"],
        &ceiling,
    );
    page += "\n## The backend's processor time\n\nIn ns a byte of I/O.\n\n";
    page += &table(&["", "Linux", "ours", "ratio", "goal", "", "spread"], &cost);
    page += "\n## Size and start\n\n";
    page += &table(&["", "ours", "goal", ""], &size(ours, facts)?);
    write!(
        page,
        "\nWith nothing to do, the driver domain takes {:.2} % of the processor; Dom0, which serves, {:.2} %.\n",
        ours.idle_cost * 100.0,
        linux.idle_cost * 100.0
    )?;
    Ok(page)
}

fn main_value(job: Job, round: &Round) -> f64 {
    match (job.latency, job.random) {
        (true, _) => round.latency_us,
        (false, true) => round.iops,
        (false, false) => round.kib_per_s / 1024.0,
    }
}

fn unit(job: Job) -> &'static str {
    match (job.latency, job.random) {
        (true, _) => "µs",
        (false, true) => "IOPS",
        (false, false) => "MiB/s",
    }
}

fn against_linux(job: Job, theirs: &[Round], own: &[Round]) -> Row {
    let of = |rounds| Figure::of(rounds, |round| main_value(job, round));
    let (theirs, own) = (of(theirs), of(own));
    let ratio = own.mean / theirs.mean;
    let (goal, met) = if job.latency {
        (format!("≤ {LATENCY}"), ratio <= LATENCY)
    } else {
        (format!("≥ {THROUGHPUT}"), ratio >= THROUGHPUT)
    };
    vec![
        job.title.to_owned(),
        format!("{} {}", number(theirs.mean), unit(job)),
        format!("{} {}", number(own.mean), unit(job)),
        format!("{ratio:.2}"),
        goal,
        verdict(met),
        spread(theirs, own),
    ]
}

fn below_ceiling(job: Job, theirs: &[Round], own: &[Round]) -> Row {
    let share = |rounds| Figure::of(rounds, Round::ceiling_share).mean;
    let ceiling = Figure::of(own, |round| main_value(job, round) / round.ceiling_share()).mean;
    vec![
        job.title.to_owned(),
        format!("{:.2}", share(theirs)),
        format!("{:.2}", share(own)),
        format!("≥ {CEILING}"),
        verdict(share(own) >= CEILING),
        format!("{} {}", number(ceiling), unit(job)),
        format!("{:.1} %", Figure::of(own, |round| round.idle_share).mean * 100.0),
    ]
}

fn processor(job: Job, theirs: &[Round], own: &[Round]) -> Row {
    let (theirs, own) = (
        Figure::of(theirs, Round::cpu_ns_per_byte),
        Figure::of(own, Round::cpu_ns_per_byte),
    );
    let ratio = own.mean / theirs.mean;
    vec![
        job.title.to_owned(),
        format!("{:.2}", theirs.mean),
        format!("{:.2}", own.mean),
        format!("{ratio:.2}"),
        "≤ 1/3".to_owned(),
        verdict(ratio <= CPU),
        spread(theirs, own),
    ]
}

fn size(ours: &Run, facts: &Facts) -> Result<Vec<Row>> {
    let value = |name: &str| {
        ours.values
            .get(name)
            .with_context(|| format!("{name} was not reported"))
    };
    let kib = facts.image_bytes.div_ceil(1024);
    let memory: u64 = value("memory")?.parse().context("memory")?;
    let ready = value("state-2")?.parse::<f64>().context("state-2")? * 1000.0;
    let row = |name: &str, value: String, goal: String, met| vec![name.to_owned(), value, goal, verdict(met)];
    Ok(vec![
        row(
            "image",
            format!("{kib} KiB"),
            format!("≤ {IMAGE_KIB} KiB"),
            kib <= IMAGE_KIB,
        ),
        row(
            "memory",
            format!("{memory} MiB"),
            format!("≤ {MEMORY_MIB} MiB"),
            memory <= MEMORY_MIB,
        ),
        row(
            "from entry to `state` = 2 of a waiting vbd",
            format!("{ready:.1} ms"),
            format!("≤ {READY_MS} ms"),
            ready <= READY_MS,
        ),
    ])
}

/// What was run, when, of which versions.
pub fn provenance(what: &str, values: &BTreeMap<String, String>, facts: &Facts) -> Result<String> {
    let value = |name: &str| values.get(name).map_or("?", String::as_str);
    let git = |arguments: &[&str]| -> Result<String> {
        let mut git = Command::new("git");
        let said = process::output(git.current_dir(image::workspace()).args(arguments))?;
        Ok(said.trim().to_owned())
    };
    let rounds = facts.rounds;
    // This page itself makes no difference to what it says.
    let changes = git(&[
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ":!tests/bench/RESULTS.md",
    ])?;
    let dirty = if changes.is_empty() { "" } else { ", with changes" };
    Ok(format!(
        "`cargo xtask bench {what} --rounds {rounds}`, {date}, at {commit}{dirty}: Xen {xen}, Linux {linux}, QEMU {qemu}, one \
         processor, 4 ns an instruction; each figure is the mean of {rounds} rounds, the spread is between the extremes, \
         Linux / ours.\n",
        date = process::output(Command::new("date").args(["-u", "+%F"]))?.trim(),
        commit = git(&["describe", "--always"])?,
        xen = value("xen"),
        linux = value("linux"),
        qemu = facts.qemu,
    ))
}

pub fn number(value: f64) -> String {
    let digits = if value < 100.0 { 1 } else { 0 };
    format!("{value:.digits$}")
}

pub fn spread(theirs: Figure, own: Figure) -> String {
    format!("{:.1} % / {:.1} %", theirs.spread * 100.0, own.spread * 100.0)
}

pub fn verdict(met: bool) -> String {
    if met { "met" } else { "**missed**" }.to_owned()
}

pub fn table(heads: &[&str], rows: &[Row]) -> String {
    let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let mut table = line(heads);
    table += &line(&vec!["---"; heads.len()]);
    for row in rows {
        table += &line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_replaces_its_own_and_no_other() {
        let old = "# Block: a\n\nold\n\n## Less\n\nx\n\n# Network: b\n\ny\n";
        let new = with_part(old, "# Block: c\n\nnew\n");
        assert_eq!(new, "# Block: c\n\nnew\n\n# Network: b\n\ny\n");
        let more = with_part(&new, "# Sound: d\n\nz\n\n");
        assert_eq!(more, format!("{new}\n# Sound: d\n\nz\n"));
        assert_eq!(with_part(&more, "# Sound: d\n\nz\n"), more);
    }
}
