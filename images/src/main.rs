//! `outrigger`, the image-builder command: see the library.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use outrigger::error::one_line;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(mend) = error.fault.mend() {
                eprintln!("help: {}", one_line(&mend));
            }
            ExitCode::FAILURE
        }
    }
}
