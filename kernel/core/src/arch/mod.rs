//! What differs between processors. Each architecture offers the same names, and nothing outside this folder asks which
//! one it is:
//!
//! * `hypercall` – `hypercall!`-style calls with up to five arguments;
//! * `Machine` – console, XenStore, shared info, memory and devices as this architecture is told of them;
//! * `Processor` – the clock and the one wait (`outrigger_xen::{Clock, Cpu}`);
//! * `mmio` – single register accesses; `barrier` – what orders them against memory;
//! * `memory` – which pages are mapped, and how;
//! * `restart` – how a life ends and the next begins; `facts` – where it finds what it must know; `Backtrace`, `alive`.
//! * `clear_page` – zeroes;
//! * `sum_blocks`, `copy_bytes` – the sum of the words of `BLOCK`s of bytes, and a copy, of memory that is not Rust's;
//!
//! x86_64 (a PV guest, ARCHITECTURE "the seam to x86_64") comes as a second folder here.

#[cfg(target_arch = "aarch64")]
pub mod aarch64;
#[cfg(target_arch = "aarch64")]
pub use aarch64 as current;
