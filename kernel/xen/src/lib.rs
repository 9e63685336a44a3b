//! The hypervisor's seams, and FakeXen for host tests.
#![no_std]
#![forbid(unsafe_code)]
