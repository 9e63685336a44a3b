//! `outrigger`, the image-builder command: see the library.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use outrigger::build::{self, DEFAULT_DEST, Request};

/// Builds Xen driver domains from one machine file.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes for each driver domain NAME.img, NAME.cfg and NAME.dtb, and once host.dtb
    Build(Build),
}

#[derive(Args)]
struct Build {
    /// The machine file: which driver domains there are, and what each owns
    machine: PathBuf,
    /// The board's device tree (flattened), as its firmware or QEMU's dumpdtb gives it
    #[arg(long, value_name = "FILE")]
    base_dtb: PathBuf,
    /// Folder of the driver domains' ELF files, which `cargo xtask image` makes
    #[arg(
        long,
        value_name = "DIR",
        env = "OUTRIGGER_IMAGES",
        default_value = "target/images"
    )]
    images: PathBuf,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder in Dom0 where the files will be: the configurations name them there
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DEST)]
    dest: String,
}

fn main() -> ExitCode {
    let Command::Build(Build {
        machine,
        base_dtb,
        images,
        out,
        dest,
    }) = Cli::parse().command;
    match build::build(&Request {
        machine,
        base_dtb,
        images,
        out,
        dest,
    }) {
        Ok(built) => {
            built
                .notices
                .iter()
                .for_each(|notice| eprintln!("notice: {notice}"));
            built.files.iter().for_each(|file| println!("{}", file.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
