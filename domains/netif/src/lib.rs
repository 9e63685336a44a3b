//! The netif protocol (Xen's `public/io/netif.h`): slots decoded and checked, packets put together from them, responses
//! encoded, the control ring's messages. Pure: no hypervisor, no memory but the words it is given. TX and RX are the
//! frontend's.
//!
//! **Distrusts** the frontend wholly. It is given private, by-value copies of slots and looks at nothing else. What it
//! hands on is within its bounds: a fragment lies within its page and is not empty, the fragments of a packet are at most
//! 18 and sum up to its length, a GSO size is not 0, an index of the hash mapping names a queue that there is.
//! **Owes** the frontend exactly one response for each consumed slot, written down in [`Debts`] before the slot is looked
//! at, with every byte of it defined (XSA-216).
//!
//! Key types: [`Assembly`] (slots into [`TxPacket`]s), [`Debts`], [`RxRequest`] and [`RxResponse`], [`Extra`],
//! [`Checksum`] (the same in both directions, unlike the flag bits), [`HashControl`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod control;
mod debt;
mod extra;
mod hash;
pub mod nodes;
mod offload;
mod rx;
mod tx;

pub use control::{Control, ControlRequest, ControlResponse, ControlWords, HASH_WORDS, HashControl, Pending};
pub use debt::{Debt, Debts, Slots};
pub use extra::{Extra, ExtraWords, Gso, HashValue};
pub use hash::{HashTypes, KEY_BYTES, MAPPING_SIZE, toeplitz};
pub use offload::Checksum;
pub use outrigger_devices::GsoKind;
pub use rx::{RX_SLOT_BYTES, RX_SLOT_WORDS, RxRequest, RxResponse, RxStatus, rx_slots};
pub use tx::{
    Assembly, Broken, Fragment, MAX_FRAGMENTS, Multicast, Refusal, TX_SLOT_BYTES, TX_SLOT_WORDS, Taken,
    TxPacket, TxRequest,
};

/// Slots of a TX or RX ring: each is one page.
pub const RING_SLOTS: usize = 256;

/// Bytes of a control ring's slot.
pub const CTRL_SLOT_BYTES: usize = 16;

/// A frame is an Ethernet header at least.
pub const ETH_HLEN: u16 = 14;

#[cfg(test)]
mod tests;
