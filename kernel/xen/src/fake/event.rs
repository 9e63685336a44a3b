//! Event channels (`EVTCHNOP_*`).

use std::vec::Vec;

use xen_unikernel_abi::errno::{XEN_EINVAL, XEN_ENOSPC, XEN_EPERM, XEN_ESRCH};

use super::{Domain, Hypercall, World};
use crate::{DomId, EventChannels, EventError, Port};

/// What a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortState {
    /// Nothing.
    Free,
    /// Waits for that domain to bind to it.
    Unbound(DomId),
    /// Bound to that domain's port.
    Interdomain(DomId, Port),
}

#[derive(Default)]
pub(super) struct Ports(Vec<(PortState, bool)>);

impl Ports {
    pub fn in_use(&self) -> Vec<u32> {
        (0..)
            .zip(&self.0)
            .filter(|(_, port)| port.0 != PortState::Free)
            .map(|(number, _)| number)
            .collect()
    }

    pub fn any_pending(&self) -> bool {
        self.0.iter().any(|port| port.1)
    }

    fn state(&self, port: Port) -> PortState {
        self.0.get(port.0 as usize).map_or(PortState::Free, |port| port.0)
    }

    fn set(&mut self, port: Port, state: PortState, pending: bool) {
        self.0[port.0 as usize] = (state, pending);
    }

    fn raise(&mut self, port: Port) {
        self.0[port.0 as usize].1 = true;
    }

    fn alloc(&mut self, limit: u32) -> Result<Port, EventError> {
        let free = (1..limit).find(|number| self.state(Port(*number)) == PortState::Free);
        let number = free.ok_or(EventError(-XEN_ENOSPC))?;
        while self.0.len() <= number as usize {
            self.0.push((PortState::Free, false));
        }
        Ok(Port(number))
    }
}

impl World {
    /// The port is closed; its other end, if any, is unbound from now on, for the same domain to bind again.
    fn disconnect(&mut self, id: DomId, state: PortState) {
        if let PortState::Interdomain(other, port) = state
            && let Some(other) = self.domains.get_mut(&other)
        {
            other.ports.set(port, PortState::Unbound(id), false);
        }
    }

    /// The ports of a domain that starts over: what it had bound is closed. (What it offers itself stays.)
    pub(super) fn close_interdomain(&mut self, id: DomId, ports: &mut Ports) {
        for (state, pending) in &mut ports.0 {
            if let PortState::Interdomain(..) = state {
                self.disconnect(id, core::mem::replace(state, PortState::Free));
                *pending = false;
            }
        }
    }

    /// All ports of a domain that is gone.
    pub(super) fn close_all(&mut self, id: DomId, ports: &mut Ports) {
        for (state, _) in core::mem::take(&mut ports.0) {
            self.disconnect(id, state);
        }
    }
}

impl Domain {
    /// A port for `remote` to bind to (`EVTCHNOP_alloc_unbound`), as frontends make them.
    ///
    /// # Errors
    /// No port is left.
    pub fn alloc_unbound(&self, remote: DomId) -> Result<Port, EventError> {
        self.with(|domain| {
            domain.counts.hypercalls += 1;
            let port = domain.ports.alloc(domain.limits.ports)?;
            domain.ports.set(port, PortState::Unbound(remote), false);
            Ok(port)
        })
    }

    /// What a port is now.
    pub fn port(&self, port: Port) -> PortState {
        self.with(|domain| domain.ports.state(port))
    }

    /// Whether a port is pending, without taking it.
    pub fn is_pending(&self, port: Port) -> bool {
        self.with(|domain| domain.ports.0.get(port.0 as usize).is_some_and(|port| port.1))
    }
}

impl EventChannels for Domain {
    fn bind_interdomain(&self, dom: DomId, remote: Port) -> Result<Port, EventError> {
        self.hypercall(Hypercall::Port);
        let mut world = self.xen.0.borrow_mut();
        if world.silo && self.id.0 != 0 && dom.0 != 0 {
            return Err(EventError(-XEN_EPERM));
        }
        let there = world
            .domains
            .get(&dom)
            .ok_or(EventError(-XEN_ESRCH))?
            .ports
            .state(remote);
        if there != PortState::Unbound(self.id) {
            return Err(EventError(-XEN_EINVAL));
        }
        let domain = world.domain_mut(self.id);
        let port = domain.ports.alloc(domain.limits.ports)?;
        domain.ports.set(port, PortState::Interdomain(dom, remote), true);
        let pending = world.domain_mut(dom).ports.0[remote.0 as usize].1;
        world
            .domain_mut(dom)
            .ports
            .set(remote, PortState::Interdomain(self.id, port), pending);
        Ok(port)
    }

    /// # Panics
    /// The port is not in use: it was closed twice.
    fn close(&self, port: Port) {
        self.hypercall(Hypercall::Port);
        let mut world = self.xen.0.borrow_mut();
        let domain = world.domain_mut(self.id);
        let state = domain.ports.state(port);
        assert!(state != PortState::Free, "{port:?} is closed, but it is not open");
        domain.ports.set(port, PortState::Free, false);
        world.disconnect(self.id, state);
    }

    /// # Panics
    /// The port is not in use.
    fn notify(&self, port: Port) {
        self.hypercall(Hypercall::Send);
        let mut world = self.xen.0.borrow_mut();
        let domain = world.domain_mut(self.id);
        domain.counts.notifications += 1;
        match domain.ports.state(port) {
            PortState::Interdomain(dom, remote) => {
                if let Some(dom) = world.domains.get_mut(&dom) {
                    dom.ports.raise(remote);
                }
            }
            PortState::Unbound(_) => {}
            PortState::Free => panic!("{port:?} is notified, but it is not open"),
        }
    }

    fn take_pending(&self, each: &mut dyn FnMut(Port)) {
        if self.with(|domain| domain.ports.any_pending()) {
            self.step();
        }
        // Collected first: `each` may send, bind or close.
        let pending: Vec<Port> = self.with(|domain| {
            (0..)
                .zip(&mut domain.ports.0)
                .filter_map(|(number, port)| core::mem::take(&mut port.1).then_some(Port(number)))
                .collect()
        });
        pending.into_iter().for_each(each);
    }
}
