//! Who serves: the driver domain, and what it is measured against.

use std::thread;

use anyhow::{Result, anyhow};
use clap::ValueEnum;

use crate::boot::Backend;

/// Memory of a driver domain that is Linux, in MiB: enough that it lacks none.
const LINUX_DOMAIN_MIB: u32 = 256;

/// Who serves a device to the guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// Linux in Dom0.
    Linux,
    /// A driver domain that is Linux.
    LinuxDomain,
    /// The driver domain.
    Ours,
}

/// One of each.
#[derive(Clone, Copy, Debug)]
pub struct Three<T> {
    /// Of Linux in Dom0.
    pub linux: T,
    /// Of a driver domain that is Linux.
    pub linux_domain: T,
    /// Of the driver domain.
    pub ours: T,
}

impl Peer {
    /// What a scenario calls it, if ours is a driver domain of the machine file `machine`.
    pub fn backend(self, machine: &'static str) -> Backend {
        match self {
            Self::Linux => Backend::Linux,
            Self::LinuxDomain => Backend::LinuxDomain(machine, LINUX_DOMAIN_MIB),
            Self::Ours => Backend::DriverDomain(machine),
        }
    }

    /// The domain whose processor time is the backend's, if a driver domain is called `name`.
    pub fn domain(self, name: &'static str) -> &'static str {
        match self {
            Self::Linux => "Domain-0",
            Self::LinuxDomain | Self::Ours => name,
        }
    }

    /// Its own of three.
    pub fn of<T>(self, three: Three<T>) -> T {
        match self {
            Self::Linux => three.linux,
            Self::LinuxDomain => three.linux_domain,
            Self::Ours => three.ours,
        }
    }
}

impl<T> Three<T> {
    /// The same of each.
    pub fn map<U>(&self, each: impl Fn(&T) -> U) -> Three<U> {
        Three {
            linux: each(&self.linux),
            linux_domain: each(&self.linux_domain),
            ours: each(&self.ours),
        }
    }

    /// In the order of the tables' columns.
    pub fn columns(&self) -> [&T; 3] {
        [&self.linux, &self.linux_domain, &self.ours]
    }
}

/// Measures all, two machines at once: neither's time depends on the other.
pub fn measure_all<R: Send>(measure: impl Fn(Peer) -> Result<R> + Sync) -> Result<Three<R>> {
    thread::scope(|scope| {
        let linux_domain = scope.spawn(|| measure(Peer::LinuxDomain));
        let ours = measure(Peer::Ours)?;
        let linux = measure(Peer::Linux)?;
        let linux_domain = linux_domain
            .join()
            .map_err(|_| anyhow!("a measuring thread panicked"))??;
        Ok(Three {
            linux,
            linux_domain,
            ours,
        })
    })
}
