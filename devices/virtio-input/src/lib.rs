//! A keyboard, mouse, tablet or touch screen behind virtio: [`VirtioInput`] is an
//! [`InputDevice`](outrigger_devices::InputDevice).
//!
//! Does: keeps the queue of events full of buffers, 8 bytes each in one page of its own, and hands over what the device wrote
//! into them. The queue of statuses (lamps of a keyboard) is not set up: no frontend of Xen's says what they should show.
//!
//! **Distrusts** the device: a completion is believed only if that buffer is in flight and 8 bytes are said to be written. A
//! device that lies is reset, and then reported as faulty ([`DeviceFault`](outrigger_devices::DeviceFault)). An event's type,
//! code and value are the user's word and mean what the backend makes of them.
//!
//! **Owes** the backend the events in their order, and that no DMA happens after
//! [`quiesce`](outrigger_devices::InputDevice::quiesce) returns or a fault is reported.
//!
//! Key types: [`VirtioInput`], [`ProbeError`].
//!
//! Specification: VIRTIO 1.2 (OASIS), §5.8, over the transport and queues of `outrigger-virtio`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod device;
mod error;

pub use device::VirtioInput;
pub use error::ProbeError;
pub use outrigger_virtio::stop;
