//! Driver for virtio block devices: [`VirtioBlk`] is a [`BlockDevice`](outrigger_devices::BlockDevice).
//!
//! Does: reads, writes, flushes, discards, write-zeroes and live resize, on as many queues as the device offers and the
//! caller wants. Memory goes to the device as it is named, by bus address: nothing is copied.
//!
//! **Distrusts** the device, as [`outrigger_virtio`] does, and further: a request has ended only when its status byte,
//! preset to a value that no device may answer, says how; a device that claims to have written more than the request had
//! room for, or answers a status that does not exist, is faulty; a read that succeeded but brought too little has failed.
//!
//! **Owes** its caller one completion for each request it took, unless it reports a
//! [`DeviceFault`](outrigger_devices::DeviceFault). By the time it does, the device has been reset and touches no memory.
//!
//! Key types: [`VirtioBlk`], [`Options`], [`ProbeError`]. Each request has a *slot*: its header, status byte and (where the
//! device can) its indirect table, in one piece of one page, of which all that never changes is written at the start.
//!
//! Specification: VIRTIO 1.2 (OASIS), §5.2 block device.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod device;
mod error;
mod request;
mod slot;

pub use device::{Options, VirtioBlk};
pub use error::ProbeError;
pub use outrigger_virtio::stop;
