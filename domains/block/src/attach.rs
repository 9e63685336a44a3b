//! Rings come and go.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use outrigger_blkif::Abi;
use outrigger_devices::BlockDevice;
use outrigger_ring::{AttachError, BackRing, Overflow, SharedPages};
use outrigger_xen::{Access, DomId, GrantError, GrantRef, Hypervisor, Port};
use outrigger_xenbus::DeviceId;

use crate::budget::{Allowance, Need};
use crate::patience::tag_base;
use crate::record::{self, Facts};
use crate::resume::{Life, record_of};
use crate::ring::{Parts, Ring};
use crate::service::{MAX_RINGS, NO_RING, Served, State};
use crate::slice::{Part, Slice};
use crate::view::DiskView;

/// One ring, as its frontend describes it.
#[derive(Clone, Debug)]
pub(crate) struct RingNodes {
    /// Where in the frontend's directory, for messages: empty or `queue-N/`.
    pub prefix: String,
    pub refs: Vec<GrantRef>,
    pub port: Port,
}

/// All rings of a vbd, as its frontend describes them.
#[derive(Clone, Debug)]
pub(crate) struct FrontendNodes {
    pub abi: Abi,
    pub persistent: bool,
    pub rings: Vec<RingNodes>,
}

impl<P: SharedPages + Clone, D: BlockDevice, M: SharedPages> State<P, D, M> {
    /// Attaches to all rings of a vbd, or to none. `resumed`: an earlier life served them.
    ///
    /// # Errors
    /// Which node is bad, and why.
    pub fn attach<H: Hypervisor<Pages = P>>(
        &mut self,
        hv: &H,
        id: DeviceId,
        view: DiskView,
        nodes: &FrontendNodes,
        resumed: bool,
    ) -> Result<(), String> {
        let Some(vbd) = self.vbds.iter().position(|vbd| vbd.id == id) else {
            return Err("no such vbd".into());
        };
        if !self.vbds[vbd].rings.is_empty() {
            return Err("it is connected already".into());
        }
        let (disk, number) = (self.vbds[vbd].disk, self.vbds[vbd].number);
        let facts = self.facts(vbd);
        self.vbds[vbd].rings.reserve(nodes.rings.len());
        for (part, ring) in (0..).zip(&nodes.rings) {
            let life = Life {
                key: record_of(id, part),
                facts,
                resumed,
            };
            match self.attach_ring(hv, id, (disk, number), view, nodes, (ring, &life)) {
                Ok(index) => self.vbds[vbd].rings.push(index),
                Err(why) => {
                    for served in self.rings.iter_mut().flatten().filter(|served| served.vbd == id) {
                        served.ring.renounce();
                    }
                    self.close(id);
                    self.release(hv);
                    return Err(why);
                }
            }
        }
        for index in &self.vbds[vbd].rings {
            self.active.insert(*index);
        }
        Ok(())
    }

    fn attach_ring<H: Hypervisor<Pages = P>>(
        &mut self,
        hv: &H,
        id: DeviceId,
        (disk, number): (usize, usize),
        view: DiskView,
        nodes: &FrontendNodes,
        (ring, life): (&RingNodes, &Life),
    ) -> Result<usize, String> {
        let at = &ring.prefix;
        let Some(index) = self.rings.iter().position(Option::is_none) else {
            return Err(format!(
                "{at}ring-ref: all {MAX_RINGS} rings of this domain are taken"
            ));
        };
        let dom = id.frontend;
        let mapped = hv
            .map_pages(dom, &ring.refs, Access::ReadWrite)
            .map_err(|error| format!("{at}ring-ref: {}", explain(error)))?;
        let made = BackRing::attach(mapped.pages.clone(), nodes.abi.slot_bytes())
            .map_err(|error| match error {
                AttachError::Shape => format!("{at}ring-ref: no request fits the ring"),
                AttachError::Overflow(Overflow { claimed, consumed }) => {
                    format!("{at}ring-ref: req_prod {claimed} is impossible after {consumed}")
                }
            })
            .and_then(|mut back| {
                let slots = back.shape().slots() as usize;
                let left = nodes.rings.len() - usize::from(life.key.part);
                let need = Need {
                    ring_pages: ring.refs.len(),
                    slots,
                    segments: view.max_indirect,
                    persistent: nodes.persistent,
                };
                let allowance = self
                    .allow(left, &need)
                    .ok_or_else(|| format!("{at}ring-ref: no room to map another ring's pages"))?;
                let (journal, owed) = life.journal(hv, nodes.abi, &mut back)?;
                let port = self.bind(hv, dom, ring)?;
                Ok((back, allowance, journal, owed, port))
            });
        let (back, allowance, journal, owed, port) = match made {
            Ok(made) => made,
            Err(why) => {
                hv.forget(life.key);
                hv.unmap_pages(mapped);
                return Err(why);
            }
        };
        if life.resumed {
            // What was published last may not have been told.
            hv.notify(port);
        }
        self.budget.take(&allowance);
        self.ports[port.0 as usize] = index as u8;
        let Allowance {
            persistent,
            transients,
            indirect,
            ..
        } = allowance;
        self.generation = (self.generation + 1) & 0x3f;
        self.rings[index] = Some(Box::new(Served {
            ring: Ring::new(Parts {
                dom,
                abi: nodes.abi,
                ring: back,
                key: life.key,
                journal,
                owed,
                unswept: life.resumed && !nodes.persistent,
                mapped,
                port,
                view,
                persistent,
                transients,
                indirect,
                tag_base: tag_base(index, self.generation),
            }),
            vbd: id,
            disk,
            queue: self.disks[disk].queue_of(number),
            allowance,
        }));
        Ok(index)
    }

    /// What a vbd's records say of it.
    fn facts(&self, vbd: usize) -> Facts {
        let vbd = &self.vbds[vbd];
        Facts {
            segments: vbd.offer.segments,
            disk: record::name(&self.disks[vbd.disk].name),
            partition: (vbd.target.part != Part::Whole).then_some(vbd.partition),
        }
    }

    fn bind<H: Hypervisor<Pages = P>>(&self, hv: &H, dom: DomId, ring: &RingNodes) -> Result<Port, String> {
        let at = &ring.prefix;
        let Port(remote) = ring.port;
        let port = hv.bind_interdomain(dom, ring.port).map_err(|error| {
            format!(
                "{at}event-channel: port {remote} cannot be bound (error {})",
                error.0
            )
        })?;
        if self.ports.get(port.0 as usize) == Some(&NO_RING) {
            return Ok(port);
        }
        hv.close(port);
        Err(format!(
            "{at}event-channel: no local port below {}",
            self.ports.len()
        ))
    }

    /// The frontend broke a ring: it is closed, and the vbd with it.
    #[cold]
    pub fn break_ring(&mut self, index: usize, overflow: Overflow) {
        let Some(served) = &mut self.rings[index] else {
            return;
        };
        let id = served.vbd;
        served.ring.close();
        self.closing.insert(index);
        self.active.insert(index);
        if let Some(vbd) = self.vbds.iter_mut().find(|vbd| vbd.id == id) {
            let Overflow { claimed, consumed } = overflow;
            vbd.fault
                .get_or_insert_with(|| format!("req_prod {claimed} is impossible after {consumed}"));
        }
        self.poke();
    }

    /// A device's capacity changed: so do the vbds that are all of it, or lie beyond its end.
    #[cold]
    pub fn limits_changed(&mut self, index: usize) {
        let disk = &mut self.disks[index];
        disk.limits = disk.device.limits();
        let sectors = disk.limits.sectors;
        log::info!("{}: now {sectors} sectors", disk.name);
        for vbd in self.vbds.iter_mut().filter(|vbd| vbd.disk == index) {
            let slice = if vbd.target.part == Part::Whole {
                Slice { first: 0, sectors }
            } else {
                vbd.partition.clamp(sectors)
            };
            if slice == vbd.slice {
                continue;
            }
            vbd.slice = slice;
            vbd.resized = true;
            for ring in &vbd.rings {
                if let Some(served) = &mut self.rings[*ring] {
                    served.ring.view.slice = slice;
                }
            }
        }
        self.poke();
    }
}

/// Why a grant could not be mapped, for a reader who has to do something about it.
fn explain(error: GrantError) -> String {
    match error {
        GrantError::Exhausted => "no room to map it".into(),
        // GNTST_permission_denied
        GrantError::Refused(-8) => {
            "Xen forbids the mapping; under XSM SILO, its default on some systems, boot Xen with xsm=dummy"
                .into()
        }
        GrantError::Refused(status) => format!("Xen refuses the grant (status {status})"),
    }
}
