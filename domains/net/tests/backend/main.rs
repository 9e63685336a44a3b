//! The network backend on FakeXen: a real XenBus, real rings, strict frontends, a card that reaches memory only over the bus.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod card;
mod costs;
mod crash;
mod flows;
mod frames;
mod golden;
mod guard;
mod guest;
mod hostile;
mod late;
mod lifecycle;
mod nat;
mod offloads;
mod own;
mod random;
mod recover;
mod shares;
mod world;
