//! virtio block device driver.
#![no_std]
#![forbid(unsafe_code)]
