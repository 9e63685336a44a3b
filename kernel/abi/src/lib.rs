//! Xen's public structures and constants, with layout asserts.
#![no_std]
#![forbid(unsafe_code)]
