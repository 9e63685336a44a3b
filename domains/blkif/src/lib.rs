//! The blkif protocol: codecs and checks.
#![no_std]
#![forbid(unsafe_code)]
