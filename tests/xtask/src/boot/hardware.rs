//! The devices of a machine, as QEMU's command line has them.

use std::process::Command;

use super::disk::{Content, Disk};
use super::machine::{Board, Medium, escaped};
use super::{Input, Nic, Wire};

/// The addresses of the network card and, at the other end of its wire, of Dom0's; `tests/boot/dom0/net.sh` knows them too.
const NIC_MAC: &str = "52:54:00:00:00:02";
const PEER_MAC: &str = "52:54:00:00:00:01";

/// A card reads what it was given 1 us of the machine's time after its doorbell. By itself it does so in another thread of
/// QEMU's, in the host's time; a machine with nothing else to do could skip to its next timer before.
const SENDING: &str = "tx=timer,x-txtimer=1000";

impl Board {
    /// Adds the board's devices.
    pub(super) fn devices(&self, qemu: &mut Command) {
        // Dom0's own device: transport 0, on a page of registers that no driver domain gets.
        qemu.args(["-device", "virtio-serial-device,bus=virtio-mmio-bus.0"]);
        qemu.args(["-device", "virtserialport,chardev=port,name=outrigger"]);
        if let Some(Nic { transport, wire, mtu }) = self.nic {
            match wire {
                // Restricted: nothing on this wire reaches the host.
                Wire::Gateway => qemu.args(["-netdev", "user,id=wire,restrict=on"]),
                Wire::Dom0 => qemu.args([
                    "-netdev",
                    "hubport,id=wire,hubid=0",
                    "-netdev",
                    "hubport,id=peer,hubid=0",
                    "-device",
                    &format!("e1000e,netdev=peer,mac={PEER_MAC},romfile="),
                ]),
            };
            let mtu = mtu.map_or(String::new(), |mtu| format!(",host_mtu={mtu}"));
            let device = format!(
                "virtio-net-device,netdev=wire,mac={NIC_MAC},bus=virtio-mmio-bus.{transport},{SENDING}{mtu}"
            );
            qemu.args(["-device", &device]);
        }
        for Input { model, transport } in self.inputs {
            qemu.args(["-device", &format!("{model},bus=virtio-mmio-bus.{transport}")]);
        }
        if let Some(Medium { disk, .. }) = &self.medium {
            // On the second page of registers: Dom0's, like the first.
            let file = escaped(disk);
            qemu.args([
                "-drive",
                &format!("id=medium,file={file},format=raw,if=none,readonly=on"),
            ]);
            qemu.args(["-device", "virtio-blk-device,drive=medium,bus=virtio-mmio-bus.8"]);
        }
        for (index, (disk, image)) in self.disks.iter().enumerate() {
            // `cache=unsafe`: a test's disk does not outlive its machine, and host flushes would measure the host.
            let options = "format=raw,if=none,cache=unsafe,discard=unmap,detect-zeroes=off";
            let file = match disk.content {
                Content::Null => format!("null-co://,file.size={}M,file.read-zeroes=on", disk.mib),
                Content::Blank | Content::Ext4 | Content::Boot => escaped(image),
            };
            qemu.args(["-drive", &format!("id=disk{index},file={file},{options}")]);
            let Disk {
                queues, transport, ..
            } = disk;
            let device =
                format!("virtio-blk-device,drive=disk{index},serial=virtio{index},num-queues={queues}");
            qemu.args(["-device", &format!("{device},bus=virtio-mmio-bus.{transport}")]);
        }
    }
}
