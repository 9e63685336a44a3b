//! virtio-mmio transport and split virtqueues.
#![no_std]
#![forbid(unsafe_code)]
