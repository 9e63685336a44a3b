//! A network card behind virtio: [`VirtioNet`] is a [`NetDevice`](outrigger_devices::NetDevice).
//!
//! Does: sends frames from any [`DmaSegment`](outrigger_devices::DmaSegment)s without a copy, behind a header from memory
//! of its own; receives into the backend's pages, of which a long frame may take several (mergeable buffers). Checksums
//! and TCP segmentation are left to the card in both directions where it offers that. Follows the link, asks for frames to
//! any address (a bridge needs them), uses several pairs of queues where offered and wanted.
//!
//! **Distrusts** the card: a completion is believed only if that frame or buffer is in flight, a length only up to what
//! there was room for, a number of buffers only up to what has been used. What a header says of a *frame* may come from
//! any neighbour on the wire: nonsense there is no fault of the card, and is passed on as nothing known. A card that lies
//! is reset, and then reported as faulty ([`DeviceFault`](outrigger_devices::DeviceFault)).
//!
//! **Owes** the backend every tag exactly once, unless the card is quiesced or faulty; and that no DMA happens after
//! [`quiesce`](outrigger_devices::Device::quiesce) returns or a fault is reported. [`restart`](outrigger_devices::Device::restart)
//! brings it up again in the memory it has.
//!
//! Key types: [`VirtioNet`], [`Options`], [`ProbeError`].
//!
//! Specification: VIRTIO 1.2 (OASIS), §5.1, over the transport and queues of `outrigger-virtio`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod control;
mod device;
mod error;
mod header;
mod receive;
mod transmit;

pub use device::{Options, VirtioNet};
pub use error::ProbeError;
pub use outrigger_virtio::stop;
