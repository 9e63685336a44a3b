//! What a driver needs and what it offers.
#![no_std]
#![forbid(unsafe_code)]
