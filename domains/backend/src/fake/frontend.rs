//! A frontend's part that every class has: nodes, shared pages and ports.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use outrigger_xen::fake::{Device, Domain, FakePages};
use outrigger_xen::{Access, EventChannels, GrantRef, Port};

use super::Host;

/// A guest's end of a device.
pub struct Frontend {
    /// The guest.
    pub dom: Domain,
    /// The device.
    pub device: Device,
}

/// Pages that a frontend shares with its backend, and the port that goes with them.
#[derive(Clone)]
pub struct Shared {
    /// The pages.
    pub pages: FakePages,
    /// One per page.
    pub refs: Vec<GrantRef>,
    /// The guest's port.
    pub port: Port,
}

impl Frontend {
    /// The guest's end of `device`, which the toolstack has made.
    pub fn new(host: &Host, device: Device) -> Self {
        Self {
            dom: host.xen.domain(device.frontend),
            device,
        }
    }

    /// Writes a node.
    ///
    /// # Panics
    /// XenStore refuses.
    pub fn write(&self, host: &Host, key: &str, value: impl ToString) {
        let path = format!("{}/{key}", self.device.frontend_path());
        let fe = host.xs.by(self.device.frontend);
        fe.write(&path, value.to_string()).expect("the guest may");
    }

    /// Goes to a state.
    pub fn set_state(&self, host: &Host, state: u8) {
        self.write(host, "state", state);
    }

    /// Shares pages and a port with the backend.
    ///
    /// # Panics
    /// The guest has no port left.
    pub fn share(&self, pages: usize) -> Shared {
        let memory = self.dom.pages(pages);
        let backend = self.device.backend;
        let grant = |page| self.dom.grant(&memory, page, backend, Access::ReadWrite);
        Shared {
            refs: (0..pages).map(grant).collect(),
            port: self.dom.alloc_unbound(backend).expect("a port"),
            pages: memory,
        }
    }

    /// Publishes what is shared under these names: pages are numbered if there are several.
    pub fn publish(&self, host: &Host, shared: &Shared, pages_node: &str, port_node: &str) {
        for (page, gref) in shared.refs.iter().enumerate() {
            let number = if shared.refs.len() > 1 {
                page.to_string()
            } else {
                String::new()
            };
            self.write(host, &format!("{pages_node}{number}"), gref.0);
        }
        self.write(host, port_node, shared.port.0);
    }

    /// Whether the backend has notified; takes it.
    pub fn take_notification(&self, port: Port) -> bool {
        let pending = self.dom.is_pending(port);
        if pending {
            self.dom.take_pending(&mut |_| {});
        }
        pending
    }
}
