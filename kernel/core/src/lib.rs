//! The unikernel: entry, memory, interrupts, hypercalls.
#![no_std]
#![allow(unsafe_code)]
