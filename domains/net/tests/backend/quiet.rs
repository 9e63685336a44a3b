//! What is none of the backend's doing may allocate as it likes.

use outrigger_devices::Watched;
use outrigger_xen::fake::{Domain, Quiet};

/// Runs what the allocation counter is not to see.
pub fn quiet<T>(act: impl FnOnce() -> T) -> T {
    let mut result = None;
    allocation_counter::opt_out(|| result = Some(act()));
    result.expect("it ran")
}

/// A domain whose hypercalls are not counted.
pub fn domain(domain: &Domain) -> Quiet {
    Quiet::new(domain.clone(), |act| allocation_counter::opt_out(act))
}

/// A model's registers, whose own allocations are not counted.
pub fn registers<R>(model: R) -> Watched<R> {
    Watched::new(model, |act| allocation_counter::opt_out(act))
}

/// What the allocation counter sees of it.
pub fn allocations(act: &mut dyn FnMut()) -> u64 {
    allocation_counter::measure(act).count_total
}
