//! `cargo xtask bench`: ours against Linux, in the same run.
//!
//! Each backend gets a boot of its own of the same machine: one processor that counts instructions (one is 4 ns of the
//! machine's time), so that a throughput seen inside the guest is the summed cost of guest, backend, Xen and Dom0, and
//! repeats whatever else the host does. `tests/bench/README.md` says what is measured and how.

mod block;
mod cores;
mod figures;
mod gadgets;
mod net;
mod page;
mod peer;
mod plot;
mod profile;
mod python;
mod raw;
mod restart;
mod start;
mod sweep;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};

/// What is measured.
#[derive(Subcommand)]
pub enum Subject {
    /// The block driver domain against Linux blkback in Dom0
    Block(block::Options),
    /// How long a guest waits while its driver domain fails and begins again
    Restart,
    /// The cost over the size of a block or a packet, and the depth of a queue
    Sizes(sweep::Options),
    /// The cost over the number of guests, one to sixteen
    Guests(sweep::GuestOptions),
    /// The same as `block` and `net`, on two processors in the host's time
    Cores(cores::Options),
    /// How much of a disk's own speed reaches a guest
    Raw(raw::Options),
    /// How soon a driver domain serves, what memory it takes, and how much code it is
    Start(start::Options),
    /// The network driver domain against Linux netback and a bridge in Dom0
    Net(net::Options),
}

/// Measures, shows the figures, and writes them into `tests/bench`.
pub fn run(subject: &Subject) -> Result<()> {
    match subject {
        Subject::Block(options) => block::run(options),
        Subject::Restart => restart::run(),
        Subject::Cores(options) => cores::run(options),
        Subject::Raw(options) => raw::run(options),
        Subject::Start(options) => start::run(options),
        Subject::Net(options) => net::run(options),
        Subject::Sizes(options) => sweep::sizes(options),
        Subject::Guests(options) => sweep::guests(options),
    }
}

/// The parts, in the order of the page.
const PARTS: [&str; 8] = [
    "block", "net", "sizes", "guests", "restart", "start", "raw", "cores",
];

/// A part, as it is named on the command line.
#[derive(Parser)]
struct Part {
    #[command(subcommand)]
    subject: Subject,
}

impl Part {
    fn of(name: &str, rounds: Option<u32>) -> Result<Self> {
        let rounds = rounds
            .filter(|_| repeats(name))
            .map(|rounds| format!("--rounds={rounds}"));
        Ok(Self::try_parse_from(
            ["bench", name].into_iter().chain(rounds.as_deref()),
        )?)
    }
}

/// Whether a part takes `--rounds`.
fn repeats(name: &str) -> bool {
    let command = Part::command();
    let part = command.find_subcommand(name);
    part.is_some_and(|part| part.get_arguments().any(|argument| argument.get_id() == "rounds"))
}

/// Measures everything, each part with its own number of rounds or with `rounds`, and says how long that took.
pub fn everything(rounds: Option<u32>) -> Result<()> {
    let began = Instant::now();
    for name in PARTS {
        let at = Instant::now();
        eprintln!("bench: {name}");
        run(&Part::of(name, rounds)?.subject).with_context(|| format!("bench {name}"))?;
        println!("bench {name}: {}", minutes(at.elapsed()));
    }
    println!("all of it: {}", minutes(began.elapsed()));
    Ok(())
}

fn minutes(time: Duration) -> String {
    format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_all_there_is() {
        for name in PARTS {
            assert!(Part::of(name, None).is_ok(), "{name}");
            assert!(Part::of(name, Some(2)).is_ok(), "{name}");
        }
        assert!(repeats("block") && !repeats("nothing"));
        let command = Part::command();
        let mut known: Vec<&str> = command.get_subcommands().map(|part| part.get_name()).collect();
        let mut named = PARTS;
        known.sort_unstable();
        named.sort_unstable();
        assert_eq!(known, named);
    }

    #[test]
    fn time_is_told_in_minutes() {
        assert_eq!(minutes(Duration::from_secs(125)), "2 min 5 s");
    }
}
