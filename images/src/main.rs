//! `outrigger`, the image-builder command: see the library.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(mend) = error.fault.mend() {
                eprintln!("help: {mend}");
            }
            ExitCode::FAILURE
        }
    }
}
