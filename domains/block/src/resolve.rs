//! Which device and which of its sectors a vbd has.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use outrigger_devices::BlockDevice;
use outrigger_ring::SharedPages;
use outrigger_xen::Hypervisor;
use outrigger_xenbus::DeviceId;

use crate::journal::Unsound;
use crate::reader::Reader;
use crate::record::{self, Facts};
use crate::resume::{record_of, unsound};
use crate::service::{Block, State};
use crate::slice::{Part, Slice, Target};
use crate::table::partitions;

/// Where a vbd's sectors are.
pub(crate) struct Place {
    pub disk: usize,
    pub partition: Slice,
    /// What an earlier life has offered its frontend, if there was one.
    pub segments: Option<usize>,
}

impl<H: Hypervisor, D: BlockDevice, M: SharedPages> Block<'_, H, D, M> {
    /// The device and the sectors of a vbd. `resumed`: an earlier life has served it. Guests' requests go on
    /// while a partition table is read.
    ///
    /// # Errors
    /// There is none, or more than one; why.
    pub(crate) async fn locate(&self, id: DeviceId, target: &Target, resumed: bool) -> Result<Place, String> {
        if resumed {
            return self.state.borrow().resolve_again(self.hv, id, target);
        }
        // A frontend that begins again has what it had: it cannot make us read a table again and again, and a
        // disk must not move under it.
        if let Some(place) = self.state.borrow().resolved(id, target) {
            return Ok(place);
        }
        let (disk, partition) = self.resolve(target).await?;
        Ok(Place {
            disk,
            partition,
            segments: None,
        })
    }

    /// Which device a target means, and what part of it.
    ///
    /// # Errors
    /// None, or more than one; why.
    async fn resolve(&self, target: &Target) -> Result<(usize, Slice), String> {
        let mut found = None;
        let mut reason = None;
        let disks = self.state.borrow().disks.len();
        for index in 0..disks {
            let (name, unreadable) = {
                let state = self.state.borrow();
                let disk = &state.disks[index];
                if target.disk.as_ref().is_some_and(|name| *name != disk.name) {
                    continue;
                }
                if disk.failed.is_none() && target.part == Part::Whole {
                    let sectors = disk.limits.sectors;
                    return Ok((index, Slice { first: 0, sectors }));
                }
                (disk.name.clone(), disk.failed.or(disk.unreadable(self.hv.now())))
            };
            if let Some(why) = unreadable {
                reason = Some(format!("{name}: {why}"));
                continue;
            }
            match partitions(&mut Reader::new(self, index)).await {
                Ok(partitions) => {
                    for partition in partitions.iter().filter(|partition| partition.is(&target.part)) {
                        if found.replace((index, partition.slice)).is_some() {
                            return Err(format!("{target} means more than one partition"));
                        }
                    }
                }
                Err(error) => reason = Some(format!("{name}: {error}")),
            }
        }
        found.ok_or_else(|| match (reason, &target.disk) {
            (Some(reason), None) => format!("no partition {target} ({reason})"),
            (Some(reason), Some(_)) => reason,
            (None, Some(name)) => {
                let state = self.state.borrow();
                let names: Vec<&str> = state.disks.iter().map(|disk| &*disk.name).collect();
                if names.contains(&name.as_str()) {
                    format!("no partition {target}")
                } else {
                    format!("no device {name} here, only {}", names.join(", "))
                }
            }
            (None, None) => format!("no partition {target}"),
        })
    }
}

impl<P: SharedPages + Clone, D: BlockDevice, M: SharedPages> State<P, D, M> {
    /// Where a vbd is that is known already.
    fn resolved(&self, id: DeviceId, target: &Target) -> Option<Place> {
        let known = self.vbds.iter().find(|vbd| vbd.id == id)?;
        (known.target == *target && known.target.part != Part::Whole).then_some(Place {
            disk: known.disk,
            partition: known.partition,
            segments: None,
        })
    }

    /// Where an earlier life served a vbd. A partition table is not asked again: it may say something else by
    /// now, and the disk must not move under the guest.
    ///
    /// # Errors
    /// It has left nothing that can be believed, or the device is not there any more.
    fn resolve_again<H: Hypervisor<Pages = P>>(
        &self,
        hv: &H,
        id: DeviceId,
        target: &Target,
    ) -> Result<Place, String> {
        let facts = hv
            .kept(record_of(id, 0))
            .ok_or(Unsound("there is none"))
            .and_then(|record| Facts::load(&record))
            .map_err(unsound)?;
        let disk = self.disks.iter().position(|disk| {
            record::name(&disk.name) == facts.disk
                && target.disk.as_ref().is_none_or(|name| *name == disk.name)
        });
        let disk = disk.ok_or_else(|| format!("{target}: its device is no longer there"))?;
        let sectors = self.disks[disk].limits.sectors;
        Ok(Place {
            disk,
            partition: facts.partition.unwrap_or(Slice { first: 0, sectors }),
            segments: Some(facts.segments),
        })
    }
}
