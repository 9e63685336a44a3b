//! For host tests of a class: a machine on FakeXen around a driver domain, a frontend of a guest's, and a script that is
//! played while the domain fails at each of its steps.

mod frontend;
mod host;
mod script;

pub use frontend::{Frontend, Shared};
pub use host::{Host, World, device_id};
pub use script::{Player, Script};
