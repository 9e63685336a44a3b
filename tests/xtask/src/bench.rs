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

use anyhow::Result;
use clap::Subcommand;

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
    Guests(sweep::Options),
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
