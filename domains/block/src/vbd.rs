//! A guest's disk, as XenBus sees it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use outrigger_blkif::nodes as key;
use outrigger_devices::{BlockDevice, BlockLimits};
use outrigger_ring::SharedPages;
use outrigger_xen::Hypervisor;
use outrigger_xenbus::{DeviceClass, DeviceId, Nodes, Refusal};

use crate::budget::{Offer, Rings};
use crate::counters::Counters;
use crate::nodes::{Wanted, frontend, wanted};
use crate::resolve::Place;
use crate::service::{Block, State};
use crate::slice::{Slice, Target};
use crate::view::DiskView;

/// Most vbds at once.
pub(crate) const MAX_VBDS: usize = 64;

/// Most rings of a vbd: as many as Linux's frontend makes by default for four processors.
pub(crate) const MAX_QUEUES: u32 = 4;

/// Largest ring, as log2 of its pages.
pub(crate) const MAX_RING_PAGE_ORDER: u32 = 4;

/// What the toolstack and the devices say of a vbd, and what it is doing.
pub(crate) struct Vbd {
    pub id: DeviceId,
    /// A number that vbds in use do not share.
    pub number: usize,
    pub target: Target,
    pub disk: usize,
    /// What is served: the whole device, or of the partition what lies within the device.
    pub slice: Slice,
    /// The partition, as the table has it.
    pub partition: Slice,
    pub read_only: bool,
    /// The administrator has said that others may write at the same time (`w!`).
    shared: bool,
    removable: bool,
    cdrom: bool,
    discard: bool,
    /// What its frontend was told that it may use.
    pub offer: Offer,
    pub rings: Vec<usize>,
    /// Of the rings that are gone.
    pub counters: Counters,
    pub fault: Option<String>,
    pub resized: bool,
}

type Published = Vec<(String, String)>;

impl<H: Hypervisor, D: BlockDevice, M: SharedPages> DeviceClass for Block<'_, H, D, M> {
    const KIND: &'static str = "vbd";

    async fn probe<P: SharedPages>(&self, nodes: &Nodes<'_, P>) -> Result<Published, Refusal> {
        let keys = [
            key::PARAMS,
            key::MODE,
            key::REMOVABLE,
            key::DEVICE_TYPE,
            key::DISCARD_ENABLE,
        ];
        let values = nodes.backend_all(keys).await?;
        let at = |node: &str, why: String| Refusal(format!("{}/{node}: {why}", nodes.backend_path()));
        let wanted = wanted(values).map_err(|(node, why)| at(node, why))?;
        let id = nodes.device();
        let target = wanted.target.to_string();
        let found = self.locate(id, &wanted.target, nodes.resumed()).await;
        let (slice, offer) = found
            .and_then(|place| self.state.borrow_mut().admit(id, wanted, place))
            .map_err(|why| at(key::PARAMS, why))?;
        log::info!("vbd {id}: {target}, {slice}");
        Ok(published([
            (key::MAX_RING_PAGE_ORDER, offer.order.into()),
            (key::MULTI_QUEUE_MAX_QUEUES, offer.queues.into()),
            (key::FEATURE_MAX_INDIRECT_SEGMENTS, offer.segments as u64),
            (key::FEATURE_PERSISTENT, 1),
        ]))
    }

    async fn connect<P: SharedPages>(&self, nodes: &Nodes<'_, P>) -> Result<Published, Refusal> {
        let id = nodes.device();
        let unknown = || Refusal(format!("vbd {id} was never probed"));
        let offer = self.state.borrow().offered(id).ok_or_else(unknown)?;
        let frontend = frontend(nodes, offer).await?;
        let state = &mut *self.state.borrow_mut();
        let (view, published) = state.properties(id).ok_or_else(unknown)?;
        state
            .attach(self.hv, id, view, &frontend, nodes.resumed())
            .map_err(|why| Refusal(format!("{}/{why}", nodes.frontend_path())))?;
        log::info!(
            "vbd {id}: connected, {} rings of {} pages{}",
            frontend.rings.len(),
            frontend.rings.first().map_or(0, |ring| ring.refs.len()),
            if frontend.persistent {
                ", persistent grants"
            } else {
                ""
            },
        );
        Ok(published)
    }

    fn disconnect(&self, device: DeviceId) {
        self.state.borrow_mut().close(device);
    }

    fn is_released(&self, device: DeviceId) -> bool {
        let state = self.state.borrow();
        let mut vbds = state.vbds.iter();
        vbds.find(|vbd| vbd.id == device)
            .is_none_or(|vbd| vbd.rings.is_empty())
    }

    fn remove(&self, device: DeviceId) {
        let vbds = &mut self.state.borrow_mut().vbds;
        vbds.retain(|vbd| vbd.id != device || !vbd.rings.is_empty());
    }

    fn take_update(&self) -> Option<(DeviceId, Published)> {
        let state = &mut *self.state.borrow_mut();
        let vbd = state
            .vbds
            .iter_mut()
            .find(|vbd| vbd.resized && !vbd.rings.is_empty())?;
        vbd.resized = false;
        Some((vbd.id, published([(key::SECTORS, vbd.slice.sectors)])))
    }

    fn statistics(&self, device: DeviceId) -> Option<String> {
        let mut words = None;
        self.report(|id, counters| {
            if id == device {
                words = Some(counters.to_string());
            }
        });
        let state = self.state.borrow();
        let vbd = state.vbds.iter().find(|vbd| vbd.id == device)?;
        words.map(|words| words + &state.disks[vbd.disk].counted())
    }

    fn take_fault(&self) -> Option<(DeviceId, String)> {
        let state = &mut *self.state.borrow_mut();
        state
            .vbds
            .iter_mut()
            .find_map(|vbd| Some((vbd.id, vbd.fault.take()?)))
    }
}

impl<H: Hypervisor, D: BlockDevice, M: SharedPages> Block<'_, H, D, M> {
    /// Tells what each vbd has done since it connected.
    pub fn report(&self, mut each: impl FnMut(DeviceId, &Counters)) {
        let state = self.state.borrow();
        for vbd in &state.vbds {
            let mut sum = vbd.counters;
            for ring in &vbd.rings {
                if let Some(served) = &state.rings[*ring] {
                    sum += served.ring.counters();
                }
            }
            each(vbd.id, &sum);
        }
    }
}

impl<P: SharedPages + Clone, D: BlockDevice, M: SharedPages> State<P, D, M> {
    /// Takes a vbd in, or looks at it anew before it connects again.
    fn admit(&mut self, id: DeviceId, wanted: Wanted, place: Place) -> Result<(Slice, Offer), String> {
        let old = self.vbds.iter().position(|vbd| vbd.id == id);
        if old.is_some_and(|at| !self.vbds[at].rings.is_empty()) {
            return Err("it is still connected".into());
        }
        if old.is_none() && self.vbds.len() >= MAX_VBDS {
            return Err(format!("this domain serves no more than {MAX_VBDS} vbds"));
        }
        let Place {
            disk,
            partition,
            segments,
        } = place;
        let offer = match segments {
            Some(segments) => Offer {
                segments,
                ..Offer::MOST
            },
            None => self.offer(id),
        };
        let slice = partition.clamp(self.disks[disk].limits.sectors);
        let limits = &self.disks[disk].limits;
        let read_only = wanted.read_only || limits.read_only;
        if read_only && !wanted.read_only {
            log::warn!(
                "vbd {id}: {} cannot be written, so it is read-only",
                wanted.target
            );
        }
        // Two writers that do not know of each other destroy a file system; a reader only sees nonsense. So does the
        // toolstack's own script for local disks refuse a second writer.
        let rival = self.vbds.iter().find(|vbd| {
            vbd.id != id
                && vbd.disk == disk
                && !vbd.read_only
                && !read_only
                && !(vbd.shared && wanted.shared)
                && vbd.slice.overlaps(&slice)
        });
        if let Some(Vbd { id, target, .. }) = rival {
            let wanted = &wanted.target;
            return Err(format!(
                "{wanted} is written by vbd {id} ({target}) already; attach it with access=ro"
            ));
        }
        let taken = |number: &usize| self.vbds.iter().any(|vbd| vbd.id != id && vbd.number == *number);
        let number = (0..).find(|number| !taken(number)).unwrap_or(0);
        let vbd = Vbd {
            id,
            number,
            target: wanted.target,
            disk,
            slice,
            partition,
            read_only,
            shared: wanted.shared,
            removable: wanted.removable,
            cdrom: wanted.cdrom,
            discard: wanted.discard,
            offer,
            rings: Vec::new(),
            counters: Counters::default(),
            fault: None,
            resized: false,
        };
        match old {
            Some(at) => self.vbds[at] = vbd,
            None => self.vbds.push(vbd),
        }
        Ok((slice, offer))
    }

    /// What a vbd's frontend is offered, now that others have theirs.
    fn offer(&self, id: DeviceId) -> Offer {
        let mut taken = Rings::default();
        for vbd in self.vbds.iter().filter(|vbd| vbd.id != id) {
            let slots = |ring: &usize| self.rings[*ring].as_ref().map_or(0, |served| served.ring.slots());
            let has = if vbd.rings.is_empty() {
                vbd.offer.most()
            } else {
                Rings {
                    rings: vbd.rings.len(),
                    slots: vbd.rings.iter().map(slots).sum(),
                }
            };
            taken.rings += has.rings;
            taken.slots += has.slots;
        }
        let others = self.vbds.iter().filter(|vbd| vbd.id != id).count();
        self.budget.offer(taken, MAX_VBDS.saturating_sub(others + 1))
    }

    fn offered(&self, id: DeviceId) -> Option<Offer> {
        Some(self.vbds.iter().find(|vbd| vbd.id == id)?.offer)
    }

    /// What a vbd's rings may do, and what its frontend is told of it.
    fn properties(&mut self, id: DeviceId) -> Option<(DiskView, Published)> {
        let vbd = self.vbds.iter_mut().find(|vbd| vbd.id == id)?;
        let limits = &self.disks[vbd.disk].limits;
        let mut view = DiskView::new(vbd.slice, vbd.read_only, vbd.discard, limits);
        view.max_indirect = vbd.offer.segments;
        vbd.resized = false;
        vbd.fault = None;
        vbd.counters = Counters::default();
        Some((view, properties(vbd, &view, limits)))
    }
}

/// The nodes that go with state 4.
fn properties(vbd: &Vbd, view: &DiskView, limits: &BlockLimits) -> Published {
    let flag = |set: bool, bit: u32| if set { u64::from(bit) } else { 0 };
    let info = flag(vbd.cdrom, key::VDISK_CDROM)
        | flag(vbd.removable, key::VDISK_REMOVABLE)
        | flag(vbd.read_only, key::VDISK_READONLY);
    // A device with a volatile cache needs flushes; one without needs neither them nor barriers.
    let mut nodes = published([
        (key::SECTORS, vbd.slice.sectors),
        (key::SECTOR_SIZE, limits.logical_block_size.into()),
        (key::PHYSICAL_SECTOR_SIZE, limits.physical_block_size.into()),
        (key::INFO, info),
        (key::FEATURE_FLUSH_CACHE, limits.flush.into()),
        (key::FEATURE_BARRIER, limits.flush.into()),
        (key::FEATURE_PERSISTENT, 1),
        (key::FEATURE_DISCARD, (view.max_discard > 0).into()),
    ]);
    if view.max_discard > 0 {
        let unit = u64::from(limits.discard_alignment.max(1)) * 512;
        let granularity = unit.max(limits.logical_block_size.into());
        let start = vbd.slice.first * 512 % granularity;
        nodes.extend(published([
            (key::DISCARD_GRANULARITY, granularity),
            (key::DISCARD_ALIGNMENT, (granularity - start) % granularity),
            (key::DISCARD_SECURE, 0),
        ]));
    }
    nodes
}

fn published<const N: usize>(nodes: [(&str, u64); N]) -> Published {
    nodes
        .into_iter()
        .map(|(node, value)| (node.to_string(), value.to_string()))
        .collect()
}
