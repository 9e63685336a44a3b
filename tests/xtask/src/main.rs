//! `cargo xtask`: one door to everything that is done with this repository.
//!
//! What it does: fetches Xen, Linux, QEMU and a guest toolchain as Debian packages into the user's cache, builds the
//! driver-domain images, boots real Xen with them, and says whether everything is as it must be.
//! Whom it distrusts: the network (apt checks signatures, a half-done download never counts) and every console (a run
//! passes only by a token nobody else could have printed).
//! What it owes: no privileges, nothing touched outside `target/` and the cache, no process left behind.
//! Key types: [`fetch::PackageSet`], [`toolchain::Toolchain`], [`image::Manifest`].
#![forbid(unsafe_code)]

mod bench;
mod boot;
mod cache;
mod check;
mod dom0_program;
mod fetch;
mod guest_u_boot;
mod image;
mod initramfs;
mod process;
mod test;
mod toolchain;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "One door to demo, test, check and bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Boot real Xen with a driver domain and a stock guest that uses its disk, and show the figures
    Demo,
    /// Check the rules of the house, run the host tests of every crate, then the boot tests on real Xen
    Test,
    /// Boot driver domains that fail a thousand times under guests that check every block and every file
    Soak {
        /// restart-soak (block), restart-soak-net
        names: Vec<String>,
    },
    /// Download everything into the user's cache now, so that later commands need no network
    Fetch,
    /// Build driver-domain images for the guest target into `target/images`
    Image {
        /// Images to build; all that have a manifest in `images/` if none is named
        names: Vec<String>,
    },
    /// Build `outrigger` for an arm64 Dom0, into `target/dom0`
    Outrigger,
    /// Boot Xen with the scenarios named (or all) and check what comes of each
    Boot {
        /// Scenarios, by their names
        names: Vec<String>,
    },
    /// Check the rules of the house: dependencies, unsafe code, sizes, licences, lints, image budgets, reproducibility
    Check {
        /// Checks, by the beginning of their names; all if none is named
        names: Vec<String>,
        /// Write the golden files anew instead of comparing with them
        #[arg(long)]
        update: bool,
    },
    /// Measure ours against Linux in the same run, and write the figures into `tests/bench`
    Bench {
        /// How often each job is run, if not as often as each part does by itself
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: Option<u32>,
        /// One part; all of them, one after the other, if none is named
        #[command(subcommand)]
        subject: Option<bench::Subject>,
    },
    /// Print the environment in which cargo builds for the guest: `eval "$(cargo xtask guest-env)"`
    GuestEnv,
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Demo => boot::demo(),
        Command::Test => return test::everything(),
        Command::Soak { names } => boot::soak(&names),
        Command::Fetch => fetch::everything(),
        Command::Image { names } => image::build_named(&names).map(drop),
        Command::Outrigger => dom0_program::outrigger().map(|program| println!("{}", program.display())),
        Command::Boot { names } => boot::run_named(&names),
        Command::Check { names, update } => check::run(&names, update),
        Command::Bench {
            subject: Some(subject),
            ..
        } => bench::run(&subject),
        Command::Bench {
            subject: None,
            rounds,
        } => bench::everything(rounds),
        Command::GuestEnv => toolchain::print_environment(),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
