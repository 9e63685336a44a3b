//! Figures as a page.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::figures::Figure;
use super::peer::Three;
use crate::boot::Runner;
use crate::{image, process};

/// What the page says beside what the machines reported.
pub struct Facts {
    /// QEMU's version.
    pub qemu: String,
    /// How often each job was run.
    pub rounds: u32,
}

/// A table's row: its cells.
pub type Row = Vec<String>;

/// The heads of a table of [`compared`] rows.
pub const HEADS: [&str; 9] = [
    "",
    "Linux in Dom0",
    "Linux domain",
    "ours",
    "ours / Dom0",
    "ours / domain",
    "goal, to Dom0",
    "",
    "spread",
];

/// What a ratio to Linux in Dom0 must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// No less.
    Least(f64),
    /// No more.
    Most(f64),
}

impl Goal {
    fn text(self) -> String {
        let number = |value: f64| {
            if (value - 1.0 / 3.0).abs() < 1e-9 {
                "1/3".to_owned()
            } else {
                value.to_string()
            }
        };
        match self {
            Self::Least(value) => format!("≥ {}", number(value)),
            Self::Most(value) => format!("≤ {}", number(value)),
        }
    }

    /// Whether a ratio is as it must be.
    pub fn met(self, ratio: f64) -> bool {
        match self {
            Self::Least(least) => ratio >= least,
            Self::Most(most) => ratio <= most,
        }
    }
}

/// The row of a figure of all three; `text` says one of them.
pub fn compared(title: &str, figures: &Three<Figure>, text: impl Fn(f64) -> String, goal: Goal) -> Row {
    let (linux, domain, ours) = (figures.linux.mean, figures.linux_domain.mean, figures.ours.mean);
    let ratio = ours / linux;
    let spreads = figures
        .columns()
        .map(|figure| format!("{:.1}", figure.spread * 100.0));
    vec![
        title.to_owned(),
        text(linux),
        text(domain),
        text(ours),
        format!("{ratio:.2}"),
        format!("{:.2}", ours / domain),
        goal.text(),
        verdict(goal.met(ratio)),
        format!("{} %", spreads.join(" / ")),
    ]
}

/// The row of a figure of ours alone.
pub fn own_row(title: &str, figure: Figure, unit: &str) -> Row {
    vec![
        title.to_owned(),
        format!("{} {unit}", number(figure.mean)),
        format!("{:.1} %", figure.spread * 100.0),
    ]
}

/// The row of something of ours that has a bound.
pub fn bounded(title: &str, is: f64, most: f64, unit: &str) -> Row {
    vec![
        title.to_owned(),
        format!("{} {unit}", short(is)),
        format!("≤ {} {unit}", short(most)),
        verdict(is <= most),
    ]
}

/// The driver domain's image and memory, against their bounds in KiB and MiB.
pub fn size(values: &BTreeMap<String, String>, image: &Path, most: [f64; 2]) -> Result<Vec<Row>> {
    let bytes = fs::metadata(image)
        .with_context(|| image.display().to_string())?
        .len();
    let memory = value(values, "memory")?;
    Ok(vec![
        bounded("image", bytes.div_ceil(1024) as f64, most[0], "KiB"),
        bounded("memory", memory, most[1], "MiB"),
    ])
}

/// A number that was said.
pub fn value(values: &BTreeMap<String, String>, name: &str) -> Result<f64> {
    let said = values
        .get(name)
        .with_context(|| format!("{name} was not reported"))?;
    said.parse().with_context(|| format!("{name} is {said}"))
}

/// What the backends' domains take when nothing is asked of them.
pub fn at_rest(shares: &Three<f64>) -> String {
    let [linux, domain, ours] = shares.columns().map(|share| share * 100.0);
    format!(
        "\nWith nothing to do, the driver domain takes {ours:.2} % of the processor; one that is Linux, {domain:.2} %; Dom0, \
         which serves, {linux:.2} %.\n"
    )
}

impl Facts {
    /// Of this host.
    pub fn gather(runner: &Runner, rounds: u32) -> Result<Self> {
        Ok(Self {
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

/// What was run, when, of which versions.
pub fn provenance(what: &str, values: &BTreeMap<String, String>, facts: &Facts) -> Result<String> {
    let value = |name: &str| values.get(name).map_or("?", String::as_str);
    let git = |arguments: &[&str]| -> Result<String> {
        let mut git = Command::new("git");
        let said = process::output(git.current_dir(image::workspace()).args(arguments))?;
        Ok(said.trim().to_owned())
    };
    let rounds = facts.rounds;
    let of_rounds = match rounds {
        1 => "of one round, so that there is no spread".to_owned(),
        _ => format!(
            "the mean of {rounds} rounds, the spread is between the extremes, of each in the columns' order"
        ),
    };
    // This page itself makes no difference to what it says.
    let changes = git(&[
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ":!tests/bench/RESULTS.md",
        ":!tests/bench/plots",
    ])?;
    let dirty = if changes.is_empty() { "" } else { ", with changes" };
    Ok(format!(
        "`cargo xtask bench {what} --rounds {rounds}`, {date}, at {commit}{dirty}: Xen {xen}, Linux {linux}, QEMU {qemu}, one \
         processor, 4 ns an instruction; each figure is {of_rounds}.\n",
        date = process::output(Command::new("date").args(["-u", "+%F"]))?.trim(),
        commit = git(&["describe", "--always"])?,
        xen = value("xen"),
        linux = value("linux"),
        qemu = facts.qemu,
    ))
}

/// A number with three or more of its digits.
pub fn number(value: f64) -> String {
    let digits = if value < 100.0 { 1 } else { 0 };
    format!("{value:.digits$}")
}

/// A small number with two digits behind its point, a large one without.
pub fn fine(value: f64) -> String {
    let digits = if value < 100.0 { 2 } else { 0 };
    format!("{value:.digits$}")
}

fn short(value: f64) -> String {
    format!("{value:.1}").trim_end_matches(".0").to_owned()
}

/// Whether a goal is met.
pub fn verdict(met: bool) -> String {
    if met { "met" } else { "**missed**" }.to_owned()
}

/// A table.
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
    fn ratios_are_of_ours_and_goals_are_judged() {
        let figure = |mean| Figure { mean, spread: 0.01 };
        let three = Three {
            linux: figure(200.0),
            linux_domain: figure(100.0),
            ours: figure(300.0),
        };
        let row = compared("read", &three, |value| format!("{value} MiB/s"), Goal::Least(1.5));
        assert_eq!(
            row,
            [
                "read",
                "200 MiB/s",
                "100 MiB/s",
                "300 MiB/s",
                "1.50",
                "3.00",
                "≥ 1.5",
                "met",
                "1.0 / 1.0 / 1.0 %"
            ]
        );
        let row = compared("cost", &three, fine, Goal::Most(1.0 / 3.0));
        assert_eq!(row[6..8], ["≤ 1/3", "**missed**"]);
        assert_eq!(
            bounded("memory", 17.0, 16.0, "MiB"),
            ["memory", "17 MiB", "≤ 16 MiB", "**missed**"]
        );
    }

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
