//! Driver for SD host controllers (SDHCI), as the BCM2711's eMMC2 is one, with an SD card or an eMMC behind it: [`Sdhci`] is a
//! [`BlockDevice`](outrigger_devices::BlockDevice).
//!
//! Does: identifies SDSC, SDHC, SDXC and eMMC cards; four data lines (eight for an eMMC where they are wired), high speed;
//! ADMA2 with 32-bit and 64-bit descriptors, and the data port where there is no DMA or ADMA fails; several blocks with
//! Auto CMD12 or CMD23; discard; write protection by pin and by the card; a second beginning with the same card. An eMMC's
//! volatile cache stays off. Cards stay at 3.3 V: UHS wants another voltage, which a board switches by other means than its
//! SD controller.
//!
//! **Distrusts** controller and card: each command has its time and is looked at again when that is over, whether or not an
//! interrupt came; a request is done only when the transfer is complete and, for what changes the card, the card has
//! said that it is ready and had no error. What fails is tried again after the lines were reset and the card was
//! stopped, three times in all. A card that does not answer any more, or is gone, is a
//! [`DeviceFault`](outrigger_devices::DeviceFault).
//!
//! **Owes** its caller one completion for each request it took, unless it reports a fault. By the time it does, the
//! controller has been reset and touches no memory. It owes memory that the controller does not reach, or sees otherwise
//! than the CPU, to [`DmaPath`](outrigger_devices::DmaPath).
//!
//! Key types: [`Sdhci`], [`Chip`], [`Options`], [`ProbeError`]. `Host` is the controller, `Card` what a card says of itself,
//! `Engine` the one command under way.
//!
//! Specification: SD Host Controller Simplified Specification 4.20, SD Physical Layer Simplified Specification 9.00,
//! JESD84-B51 (eMMC 5.1).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod adma;
mod card;
mod chip;
mod command;
mod device;
mod engine;
mod error;
mod host;
mod identify;
mod queue;
mod recover;
mod register;
mod run;
mod stop;
mod transfer;

pub use chip::Chip;
pub use device::{Options, Sdhci};
pub use error::{CommandError, ProbeError};
pub use stop::stop;
