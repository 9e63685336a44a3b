//! From the buffers that a card has filled to frames.

use outrigger_devices::{PAGE_SIZE, RxBuffer};
use outrigger_ring::SharedPages;

use crate::batch::{Batch, Incoming, Origin};
use crate::counters::{Counters, Drop};
use crate::pool::{Piece, Pool};

/// A frame that is being received.
pub(crate) struct Assembly {
    pub frame: u16,
    len: usize,
    first: RxBuffer,
    good: bool,
}

/// Takes one received buffer.
#[inline]
pub(crate) fn receive<M: SharedPages>(
    nic: usize,
    pool: &mut Pool<M>,
    batch: &mut Batch,
    counters: &mut Counters,
    assembly: &mut Option<Assembly>,
    buffer: RxBuffer,
) {
    // One of ours: the caller has looked.
    let page = buffer.tag.0 as u16;
    let current = match assembly {
        Some(current) => current,
        None => match pool.begin() {
            Some(frame) => assembly.insert(Assembly {
                frame,
                len: 0,
                first: buffer,
                good: true,
            }),
            None => return pool.put_back(page),
        },
    };
    let (offset, len) = (buffer.offset as usize, buffer.len as usize);
    let within = offset.checked_add(len).is_some_and(|end| end <= PAGE_SIZE) && len > 0;
    let piece = Piece {
        page,
        offset: offset as u16,
        len: len as u16,
    };
    if within && pool.frame_mut(current.frame).push(piece) {
        current.len += len;
    } else {
        current.good = false;
        pool.put_back(page);
    }
    if buffer.more {
        return;
    }
    let Some(Assembly {
        frame,
        len,
        first,
        good,
    }) = assembly.take()
    else {
        return;
    };
    counters.rx_frames += 1;
    counters.rx_bytes += len as u64;
    if !good || batch.incoming.len() == batch.incoming.capacity() {
        counters.drop_rx(if good { Drop::NoMemory } else { Drop::Malformed });
        return pool.end(frame);
    }
    batch.incoming.push(Incoming {
        origin: Origin::Wire { nic },
        frame,
        stored: len,
        len,
        first_fragment: 0,
        fragments: 0,
        checksum: first.checksum,
        gso: first.gso,
        dropped: None,
        wire: None,
        vlan: 0,
        delivered: false,
    });
}
