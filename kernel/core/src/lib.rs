//! The unikernel: everything between the hardware, Xen, and a backend that knows neither.
//!
//! It boots an image (`boot/`), finds memory, console, XenStore and passed-through devices, and hands them to the image's
//! one function as a [`Machine`]. It is the only crate with unsafe code.
//!
//! **Distrusts** guests' grants and ports (Xen's verdict on them is passed on by value) and the indices of every shared
//! ring. It has to trust Xen, Dom0's toolstack, and the device tree they made. **Owes** the rest of the domain the truth
//! of `kernel/xen`'s promises: a mapping is where it is said to be, a wake-up is never lost.
//!
//! Key types: [`Machine`], [`Xen`], [`Shared`], [`Registers`], [`Pool`].
#![cfg_attr(target_os = "none", no_std)]
#![allow(unsafe_code)]

extern crate alloc;

#[cfg(target_os = "none")]
mod arch;
#[cfg(any(target_os = "none", test))]
mod bitmap;
#[cfg(any(target_os = "none", test))]
mod interrupts;
#[cfg(target_os = "none")]
mod machine;
#[cfg(any(target_os = "none", test))]
mod survivors;
#[cfg(any(target_os = "none", test))]
mod window;

#[cfg(target_os = "none")]
mod console;
#[cfg(all(target_os = "none", feature = "crash-points"))]
mod crash;
#[cfg(target_os = "none")]
mod dma;
#[cfg(target_os = "none")]
mod event;
#[cfg(target_os = "none")]
mod grant;
#[cfg(target_os = "none")]
mod header;
#[cfg(target_os = "none")]
mod heap;
#[cfg(target_os = "none")]
mod hypercalls;
#[cfg(target_os = "none")]
mod pages;
#[cfg(target_os = "none")]
mod power;
#[cfg(target_os = "none")]
mod registers;
#[cfg(target_os = "none")]
mod restart;
#[cfg(target_os = "none")]
mod shared;
#[cfg(target_os = "none")]
mod xen;

#[cfg(target_os = "none")]
use machine::start;
#[cfg(target_os = "none")]
pub use {
    arch::current::Processor,
    dma::Pool,
    header::Header,
    machine::{Device, Dom0Page, Machine},
    power::{obey, stop},
    registers::Registers,
    restart::restart,
    shared::Shared,
    survivors::facts::VERSION as SURVIVORS_VERSION,
    xen::Xen,
};

/// Names the image's class and its one function, `fn(Machine) -> !`.
#[macro_export]
macro_rules! image {
    ($class:expr, $main:path) => {
        #[allow(unsafe_code)]
        #[unsafe(link_section = ".head.header")]
        #[used]
        static HEADER: $crate::Header = $crate::Header::new($class);

        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        fn outrigger_main(machine: $crate::Machine) -> ! {
            $main(machine)
        }
    };
}
