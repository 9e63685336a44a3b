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
use crate::service::State;
use crate::slice::{Part, Slice, Target};
use crate::table::partitions;

impl<P: SharedPages + Clone, D: BlockDevice, M: SharedPages> State<P, D, M> {
    /// The device and the sectors of a vbd. `resumed`: an earlier life has served it.
    ///
    /// # Errors
    /// There is none, or more than one; why.
    pub fn locate<H: Hypervisor<Pages = P>>(
        &mut self,
        hv: &H,
        id: DeviceId,
        target: &Target,
        resumed: bool,
    ) -> Result<(usize, Slice), String> {
        if resumed {
            self.resolve_again(hv, id, target)
        } else {
            self.resolve(hv, target)
        }
    }

    /// Where an earlier life served a vbd. A partition table is not asked again: it may say something else by now, and the
    /// disk must not move under the guest.
    ///
    /// # Errors
    /// It has left nothing that can be believed, or the device is not there any more.
    fn resolve_again<H: Hypervisor<Pages = P>>(
        &self,
        hv: &H,
        id: DeviceId,
        target: &Target,
    ) -> Result<(usize, Slice), String> {
        let facts = hv
            .kept(record_of(id, 0))
            .ok_or(Unsound("there is none"))
            .and_then(|record| Facts::load(&record))
            .map_err(unsound)?;
        let disk = self.disks.iter().position(|disk| {
            record::name(&disk.name) == facts.disk
                && target.disk.as_ref().is_none_or(|name| *name == disk.name)
        });
        let index = disk.ok_or_else(|| format!("{target}: its device is not there any more"))?;
        let sectors = self.disks[index].limits.sectors;
        Ok((index, facts.partition.unwrap_or(Slice { first: 0, sectors })))
    }

    /// Which device a target means, and what part of it.
    ///
    /// # Errors
    /// None, or more than one; why.
    fn resolve<H: Hypervisor<Pages = P>>(
        &mut self,
        hv: &H,
        target: &Target,
    ) -> Result<(usize, Slice), String> {
        let mut found = None;
        let mut reason = None;
        for index in 0..self.disks.len() {
            let disk = &self.disks[index];
            if target.disk.as_ref().is_some_and(|name| *name != disk.name) {
                continue;
            }
            if let Some(why) = disk.failed {
                reason = Some(format!("{}: {why}", disk.name));
                continue;
            }
            if target.part == Part::Whole {
                let sectors = disk.limits.sectors;
                return Ok((index, Slice { first: 0, sectors }));
            }
            let name = disk.name.clone();
            let mut reader = Reader {
                hv,
                state: self,
                disk: index,
            };
            match partitions(&mut reader) {
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
            (None, Some(name)) if !self.disks.iter().any(|disk| disk.name == *name) => {
                let names: Vec<&str> = self.disks.iter().map(|disk| &*disk.name).collect();
                format!("no device {name} here, only {}", names.join(", "))
            }
            (None, _) => format!("no partition {target}"),
        })
    }
}
