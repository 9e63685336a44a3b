//! virtio-mmio transport and split virtqueues: what every virtio driver here stands on.
//!
//! Does: finds a version-2 transport behind a [`RegisterIo`](outrigger_devices::RegisterIo), negotiates features, brings
//! queues up, rings doorbells, acknowledges interrupts ([`Transport`]); keeps the driver's side of a split virtqueue
//! ([`SplitQueue`]) with event-idx and with room for indirect tables, in pages from a
//! [`DmaPool`](outrigger_devices::DmaPool).
//!
//! **Distrusts** the device. It may write any byte of the shared pages at any time, so nothing is ever read back but the
//! used ring and `avail_event`; the state of every chain is private, and a used entry is checked against it (index within
//! what is published, id in flight) before anything else happens. What fails is a
//! [`DeviceFault`](outrigger_devices::DeviceFault), never a panic. Registers that never settle cost a bounded number of
//! reads.
//!
//! **Owes** the device: descriptors that do not change while it owns them, one doorbell for a batch that it asked to hear
//! of, and a reset before its memory is used for anything else.
//!
//! Nothing allocates after construction. Addresses given to the device are [`DmaAddr`](outrigger_devices::DmaAddr)s taken
//! as they are: no copy, no lookup.
//!
//! Specification: VIRTIO 1.2 (OASIS), §2 basic facilities, §2.7 split virtqueues, §4.2 virtio over MMIO. Shared memory is
//! little-endian, as is every processor this is built for.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod descriptor;
mod event;
pub mod feature;
mod mmio;
mod own_pages;
mod queue;

pub use descriptor::{DESCRIPTOR_BYTES, Flags, write_descriptor, write_link};
pub use event::need_event;
pub use mmio::{Cause, DeviceId, Transport, TransportError, stop};
pub use own_pages::{Growing, OwnPages};
pub use queue::{NoMemory, QueueAddresses, SplitQueue, Used};
