//! The control heap: start-up, connects, XenStore. Nothing on the data path allocates.

use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;
use core::ptr::{NonNull, null_mut};

use hermit_sync::InterruptTicketMutex;
use linked_list_allocator::Heap;

struct ControlHeap(InterruptTicketMutex<Heap>);

#[global_allocator]
static HEAP: ControlHeap = ControlHeap(InterruptTicketMutex::new(Heap::empty()));

// SAFETY: `Heap` hands out disjoint, aligned blocks of the memory it was given, and the lock makes each call whole.
unsafe impl GlobalAlloc for ControlHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0
            .lock()
            .allocate_first_fit(layout)
            .map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller's promise: `block` came from `alloc` with this layout.
            unsafe { self.0.lock().deallocate(block, layout) };
        }
    }
}

/// Gives the heap its memory.
///
/// # Safety
/// Called once, before the first allocation; `memory` is mapped, writable, and nobody else's.
pub(crate) unsafe fn init(memory: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe { HEAP.0.lock().init(memory.start as *mut u8, memory.len()) };
}
