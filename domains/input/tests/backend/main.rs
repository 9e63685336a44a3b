//! The input domain's backend on FakeXen, with virtio devices on their models.
#![allow(clippy::unwrap_used, reason = "a test ends where it goes wrong")]

mod crash;
mod focus;
mod golden;
mod guest;
mod hostile;
mod world;
