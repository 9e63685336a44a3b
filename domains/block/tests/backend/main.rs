//! The block backend on FakeXen: a real XenBus, real rings, a disk that reaches memory only over the bus.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bounds;
mod counts;
mod crash;
mod data;
mod disk;
mod golden;
mod guest;
mod hostile;
mod late;
mod lifecycle;
mod many;
mod partitions;
mod patience;
mod pressure;
mod random;
mod world;
