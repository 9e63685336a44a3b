//! The netif protocol (Xen's `public/io/netif.h`).
#![no_std]
#![forbid(unsafe_code)]
