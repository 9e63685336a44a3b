//! The control plane on FakeXen: every sequence that toolstack and frontends take a device through, and the ones that
//! hostile frontends try.
#![allow(clippy::unwrap_used)]

mod changes;
mod host;
mod hostile;
mod leave;
mod random;
mod restart;
mod sequences;
