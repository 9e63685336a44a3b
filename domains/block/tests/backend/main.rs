//! The block backend on FakeXen: a real XenBus, real rings, a disk that reaches memory only over the bus.

mod counts;
mod data;
mod disk;
mod guest;
mod hostile;
mod lifecycle;
mod partitions;
mod pressure;
mod random;
mod world;
