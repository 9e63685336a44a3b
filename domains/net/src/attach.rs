//! Rings come and go.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use outrigger_devices::NetDevice;
use outrigger_netif::{CTRL_SLOT_BYTES, HashControl, RX_SLOT_BYTES, TX_SLOT_BYTES};
use outrigger_ring::{AttachError, BackRing, SharedPages};
use outrigger_xen::{Access, DomId, GrantRef, Hypervisor, MappedPages, Port};
use outrigger_xenbus::DeviceId;

use crate::counters::{Counters, Drop};
use crate::life::Life;
use crate::packet::Mac;
use crate::queue::{Parts, Queue};
use crate::rate::Bucket;
use crate::service::{CONTROL, NO_QUEUE, State};
use crate::told::Told;
use crate::vif::{ControlRing, Takes, Wanted};

/// A ring and its page.
type Attached<P> = (BackRing<P>, MappedPages<P>);

/// One queue, as its frontend describes it.
pub(crate) struct QueueNodes {
    pub tx: GrantRef,
    pub rx: GrantRef,
    pub tx_port: Port,
    pub rx_port: Port,
}

/// All that a frontend published.
pub(crate) struct Frontend {
    pub takes: Takes,
    pub multicast: bool,
    pub queues: Vec<QueueNodes>,
    pub control: Option<(GrantRef, Port)>,
}

impl<P: SharedPages + Clone, D: NetDevice, M: SharedPages> State<P, D, M> {
    /// Attaches to a frontend's rings: to all or to none; the vif's place. `resumed`: an earlier life served them.
    pub(crate) fn attach<H: Hypervisor<Pages = P>>(
        &mut self,
        hv: &H,
        id: DeviceId,
        frontend: &Frontend,
        resumed: bool,
    ) -> Result<usize, String> {
        let number = self.find(id).ok_or("it was never probed")?;
        let first = self
            .free_places(frontend.queues.len())
            .ok_or("there are too many queues already")?;
        let mut queues = Vec::with_capacity(frontend.queues.len());
        let mut control = None;
        let life = Life { vif: id, resumed };
        let mut told = None;
        let mut attached = (0..).zip(&frontend.queues).try_for_each(|(queue, nodes)| {
            queues.push(attach_queue(hv, &life, queue, nodes)?);
            Ok::<_, String>(())
        });
        if attached.is_ok() {
            attached = attach_control(hv, &life, queues.len(), frontend.control).map(|(ring, rest)| {
                control = ring.map(Box::new);
                told = Some(rest);
            });
        }
        let known = |port: Port| (port.0 as usize) < self.ports.len();
        if attached.is_ok()
            && !queues
                .iter()
                .flat_map(|queue| [queue.tx_port, queue.rx_port])
                .chain(control.as_ref().map(|control| control.port))
                .all(known)
        {
            attached = Err("no event channel is left".into());
        }
        let Some(vif) = self.vifs[number].as_mut() else {
            return Err("it was never probed".into());
        };
        vif.queues = queues;
        vif.control = control;
        let (told, hash, listed) = match (attached, told) {
            (Ok(()), Some(told)) => told,
            (Ok(()), None) => return Err("it was never attached to".into()),
            (Err(why), _) => {
                vif.disconnect(hv);
                life.end(hv, frontend.queues.len());
                return Err(why);
            }
        };
        vif.first_queue = first;
        vif.takes = frontend.takes;
        (vif.told, vif.hash) = (Some(told), hash);
        vif.counters = Counters::default();
        (vif.fault, vif.broken) = (None, false);
        let now = hv.now();
        vif.rate = vif
            .wanted
            .rate
            .as_deref()
            .and_then(|rate| Bucket::parse(rate, now));
        for (index, queue) in vif.queues.iter().enumerate() {
            self.places[first + index] = Some((number as u8, index as u8));
            self.ports[queue.tx_port.0 as usize] = (first + index) as u16;
            self.ports[queue.rx_port.0 as usize] = (first + index) as u16;
            self.active.insert(first + index);
        }
        if let Some(control) = &vif.control {
            self.ports[control.port.0 as usize] = CONTROL | number as u16;
            self.controls.insert(number);
        }
        let Wanted { mac, lan, filter, .. } = vif.wanted.clone();
        self.switch.plug(number, lan, mac, filter, now);
        if let Some(port) = self.switch.port_mut(number) {
            port.multicast.apply(frontend.multicast);
            for address in listed {
                port.multicast.change(address, true);
            }
        }
        Ok(number)
    }

    /// Room for so many queues one after another.
    fn free_places(&self, count: usize) -> Option<usize> {
        (0..=self.places.len().checked_sub(count)?)
            .find(|first| self.places[*first..first + count].iter().all(Option::is_none))
    }

    /// Lets go of a frontend's rings. Between turns nothing is owed, so that is all.
    pub(crate) fn detach<H: Hypervisor<Pages = P>>(&mut self, hv: &H, id: DeviceId) {
        let Some(number) = self.find(id) else { return };
        let Some(vif) = self.vifs[number].as_mut() else {
            return;
        };
        if !vif.is_connected() {
            return;
        }
        if self.lines.take(self.guests.of(number) as u8, hv.now()) {
            log::info!("vif {id}: {}", vif.counters);
        }
        let ports = vif
            .queues
            .iter()
            .flat_map(|queue| [queue.tx_port, queue.rx_port])
            .chain(vif.control.as_ref().map(|control| control.port));
        for port in ports {
            self.ports[port.0 as usize] = NO_QUEUE;
        }
        for place in vif.first_queue..vif.first_queue + vif.queues.len() {
            self.places[place] = None;
            for set in [
                &mut self.active,
                &mut self.unchecked,
                &mut self.limited,
                &mut self.starved,
                &mut self.touched,
            ] {
                set.remove(place);
            }
        }
        self.controls.remove(number);
        self.forget_waiting(number, Drop::NoBuffer);
        self.own.forget(number);
        let Some(vif) = self.vifs[number].as_mut() else {
            return;
        };
        vif.disconnect(hv);
        self.switch.unplug(number);
    }
}

/// Maps a ring's page and attaches to it.
fn attach_ring<H: Hypervisor>(
    hv: &H,
    dom: DomId,
    gref: GrantRef,
    slot_bytes: usize,
) -> Result<Attached<H::Pages>, String> {
    let mapped = hv
        .map_pages(dom, &[gref], Access::ReadWrite)
        .map_err(|error| format!("a ring cannot be mapped ({error:?})"))?;
    match BackRing::attach(mapped.pages.clone(), slot_bytes) {
        Ok(ring) => Ok((ring, mapped)),
        Err(AttachError::Shape | AttachError::Overflow(_)) => {
            hv.unmap_pages(mapped);
            Err("a ring claims more requests than it has slots".into())
        }
    }
}

/// Binds a ring's port. A frontend that has been served before is notified: what was said last may not have been told.
fn bind<H: Hypervisor>(hv: &H, life: &Life, port: Port) -> Result<Port, String> {
    let bound = hv
        .bind_interdomain(life.vif.frontend, port)
        .map_err(|error| format!("port {} cannot be bound (error {})", port.0, error.0))?;
    if life.resumed {
        hv.notify(bound);
    }
    Ok(bound)
}

fn attach_queue<H: Hypervisor>(
    hv: &H,
    life: &Life,
    queue: u8,
    nodes: &QueueNodes,
) -> Result<Queue<H::Pages>, String> {
    let dom = life.vif.frontend;
    let mut tx = attach_ring(hv, dom, nodes.tx, TX_SLOT_BYTES)?;
    let mut rx = match attach_ring(hv, dom, nodes.rx, RX_SLOT_BYTES) {
        Ok(rx) => rx,
        Err(why) => {
            hv.unmap_pages(tx.1);
            return Err(why);
        }
    };
    let attached = life.ledgers(hv, queue, &mut tx.0, &mut rx.0).and_then(|ledgers| {
        let tx_port = bind(hv, life, nodes.tx_port)?;
        if nodes.rx_port == nodes.tx_port {
            return Ok((ledgers, tx_port, tx_port));
        }
        let rx_port = bind(hv, life, nodes.rx_port).inspect_err(|_| hv.close(tx_port))?;
        Ok((ledgers, tx_port, rx_port))
    });
    match attached {
        Ok((ledgers, tx_port, rx_port)) => Ok(Queue::new(Parts {
            dom,
            tx,
            rx,
            ledgers,
            tx_port,
            rx_port,
        })),
        Err(why) => {
            hv.unmap_pages(tx.1);
            hv.unmap_pages(rx.1);
            Err(why)
        }
    }
}

/// What a guest has told, and its control ring, if it has one.
type Controlled<P> = (Option<ControlRing<P>>, (Told<P>, HashControl, Vec<Mac>));

fn attach_control<H: Hypervisor>(
    hv: &H,
    life: &Life,
    queues: usize,
    nodes: Option<(GrantRef, Port)>,
) -> Result<Controlled<H::Pages>, String> {
    let mut attached = match nodes {
        Some((gref, _)) => Some(attach_ring(hv, life.vif.frontend, gref, CTRL_SLOT_BYTES)?),
        None => None,
    };
    let ring = attached.as_mut().map(|(ring, _)| ring);
    let controlled = life
        .told(hv, queues, ring)
        .and_then(|(told, hash, listed, ledger)| {
            let port = nodes.map(|(_, port)| bind(hv, life, port)).transpose()?;
            Ok(((told, hash, listed), ledger.zip(port)))
        });
    match controlled {
        Ok((told, rest)) => {
            let ring = attached
                .zip(rest)
                .map(|((ring, mapped), (ledger, port))| ControlRing {
                    ring,
                    mapped,
                    port,
                    ledger,
                });
            Ok((ring, told))
        }
        Err(why) => {
            if let Some((_, mapped)) = attached {
                hv.unmap_pages(mapped);
            }
            Err(why)
        }
    }
}
