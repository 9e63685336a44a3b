//! Shared rings over a SharedPages seam.
#![no_std]
#![forbid(unsafe_code)]
