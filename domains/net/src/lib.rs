//! The network driver domain's backend.
#![no_std]
#![forbid(unsafe_code)]
