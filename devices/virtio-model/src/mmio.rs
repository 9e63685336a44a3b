//! The registers (§4.2.2) and the order in which they may be used (§3.1.1, §4.2.3).

use outrigger_devices::RegisterIo;

use crate::device::Device;
use crate::model::{Model, VirtioModel};
use crate::offer::NEVER;
use crate::queue::DeviceQueue;

const ACKNOWLEDGE: u32 = 1;
const DRIVER: u32 = 2;
const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;
const FAILED: u32 = 128;

/// Registers and all that a reset resets.
pub(crate) struct Registers {
    pub status: u32,
    /// Features that the driver took.
    pub features: u64,
    pub queues: Vec<DeviceQueue>,
    pub interrupt_status: u32,
    pub generation: u32,
    device_features_sel: u32,
    driver_features_sel: u32,
    queue_sel: u32,
    /// The status was read after `FEATURES_OK` was set.
    features_confirmed: bool,
    /// Reads of the status until a reset shows, and what it reads as until then.
    resetting: (u32, u32),
}

impl Registers {
    pub fn new(queues: usize) -> Self {
        Self {
            status: 0,
            features: 0,
            queues: vec![DeviceQueue::default(); queues],
            interrupt_status: 0,
            generation: 0,
            device_features_sel: 0,
            driver_features_sel: 0,
            queue_sel: 0,
            features_confirmed: false,
            resetting: (0, 0),
        }
    }

    pub fn live(&self) -> bool {
        self.status & DRIVER_OK != 0
    }
}

impl<D: Device> RegisterIo for VirtioModel<D> {
    fn read_u8(&self, at: usize) -> u8 {
        self.0.borrow_mut().read(at, 1) as u8
    }
    fn read_u16(&self, at: usize) -> u16 {
        self.0.borrow_mut().read(at, 2) as u16
    }
    fn read_u32(&self, at: usize) -> u32 {
        self.0.borrow_mut().read(at, 4)
    }
    fn write_u32(&self, at: usize, value: u32) {
        self.0.borrow_mut().write(at, value);
    }
    fn read_u64(&self, at: usize) -> u64 {
        self.0.borrow_mut().violation(format!("8-byte read of {at:#x}"));
        0
    }
    fn write_u8(&self, at: usize, value: u8) {
        let mut model = self.0.borrow_mut();
        if at >= 0x100 && model.device.config_was_written(at - 0x100, value) {
            model.counters.register_writes += 1;
        } else {
            model.refuse(at, 1, value.into());
        }
    }
    fn write_u16(&self, at: usize, value: u16) {
        self.0.borrow_mut().refuse(at, 2, value.into());
    }
    fn write_u64(&self, at: usize, value: u64) {
        self.0.borrow_mut().refuse(at, 8, value);
    }
}

impl<D: Device> Model<D> {
    /// Registers are written in words of 32 bits (§4.2.2.2).
    fn refuse(&mut self, at: usize, width: usize, value: u64) {
        self.violation(format!("{width}-byte write of {value:#x} to {at:#x}"));
    }

    fn read(&mut self, at: usize, width: usize) -> u32 {
        self.counters.register_reads += 1;
        if self.gone {
            return u32::MAX;
        }
        if at >= 0x100 {
            return self.read_config(at - 0x100, width);
        }
        if width != 4 {
            self.violation(format!("{width}-byte read of register {at:#x}"));
        }
        match at {
            0x000 => self.transport.identity.magic,
            0x004 => self.transport.identity.version,
            0x008 => self.transport.identity.device_id,
            0x00c => 0x554d_4551,
            0x010 => match self.registers.device_features_sel {
                0 => self.device.features() as u32,
                1 => (self.device.features() >> 32) as u32,
                _ => 0,
            },
            0x034 => match self.queue() {
                Some(_) => self.transport.queue_size.into(),
                None => 0,
            },
            0x044 => self.queue().is_some_and(|queue| queue.ready).into(),
            0x060 => self.registers.interrupt_status,
            0x070 => self.read_status(),
            0x0fc => {
                if self.unsettled {
                    self.registers.generation = self.registers.generation.wrapping_add(1);
                }
                self.registers.generation
            }
            _ => {
                self.violation(format!("read of register {at:#x}"));
                0
            }
        }
    }

    fn read_status(&mut self) -> u32 {
        if self.registers.status & FEATURES_OK != 0 {
            self.registers.features_confirmed = true;
        }
        let (left, before) = self.registers.resetting;
        if left > 0 {
            self.registers.resetting.0 -= 1;
            return before;
        }
        self.registers.status
    }

    fn read_config(&mut self, at: usize, width: usize) -> u32 {
        match self
            .device
            .fields()
            .iter()
            .find(|field| (field.0, field.1) == (at, width))
        {
            None => self.violation(format!("{width}-byte read of configuration byte {at}")),
            Some((_, _, Some(bit))) if self.device.features() & (1 << bit) == 0 => {
                self.violation(format!(
                    "configuration byte {at} means nothing without feature {bit}"
                ));
            }
            Some(_) => {}
        }
        let bytes = self.device.config();
        let mut value = [0; 4];
        let field = bytes.get(at..at + width).unwrap_or_default();
        value[..field.len()].copy_from_slice(field);
        if self.device.config_was_read(at) {
            self.config_changed();
        }
        u32::from_le_bytes(value)
    }

    fn write(&mut self, at: usize, value: u32) {
        self.counters.register_writes += 1;
        if self.gone {
            return;
        }
        match at {
            0x014 => self.registers.device_features_sel = value,
            0x020 => self.write_features(value),
            0x024 => self.registers.driver_features_sel = value,
            0x030 => self.registers.queue_sel = value,
            0x038 => self.write_queue(|queue| queue.num = value),
            0x044 => self.write_queue_ready(value),
            0x050 => self.notify(value),
            0x064 => {
                if value & !self.registers.interrupt_status != 0 {
                    self.violation(format!("acknowledges {value:#x}, which was not signalled"));
                }
                self.registers.interrupt_status &= !value;
            }
            0x070 => self.write_status(value),
            0x080 | 0x084 | 0x090 | 0x094 | 0x0a0 | 0x0a4 => {
                let (area, high) = ((at - 0x080) / 0x10, at & 4 != 0);
                self.write_queue(|queue| {
                    let (keep, shift) = if high {
                        (0xffff_ffff, 32)
                    } else {
                        (!0xffff_ffff, 0)
                    };
                    queue.areas[area] = (queue.areas[area] & keep) | (u64::from(value) << shift);
                });
            }
            _ => self.violation(format!("write of register {at:#x}")),
        }
    }

    fn write_features(&mut self, value: u32) {
        let status = self.registers.status;
        if status & (DRIVER | FEATURES_OK) != DRIVER {
            self.violation("features are written before DRIVER or after FEATURES_OK");
        }
        let shift = match self.registers.driver_features_sel {
            0 => 0,
            1 => 32,
            other => return self.violation(format!("feature word {other}")),
        };
        self.registers.features &= !(0xffff_ffff << shift);
        self.registers.features |= u64::from(value) << shift;
    }

    fn write_status(&mut self, value: u32) {
        let old = self.registers.status;
        if value == 0 {
            let resets = if self.stuck {
                u32::MAX
            } else {
                self.transport.reset_reads
            };
            let generation = self.registers.generation;
            self.registers = Registers::new(self.device.queues());
            self.device.reset();
            self.registers.resetting = (resets, old.max(1));
            self.registers.generation = generation;
            return;
        }
        if self.registers.resetting.0 > 0 {
            self.violation("the device is used before its reset is over");
        }
        if value & old != old {
            self.violation(format!("status {value:#x} clears bits of {old:#x}"));
        }
        let added = value & !old;
        let needed = match added {
            0 | ACKNOWLEDGE | FAILED => 0,
            DRIVER => ACKNOWLEDGE,
            FEATURES_OK => ACKNOWLEDGE | DRIVER,
            DRIVER_OK => ACKNOWLEDGE | DRIVER | FEATURES_OK,
            _ => return self.violation(format!("status bits {added:#x} at once")),
        };
        if old & needed != needed {
            self.violation(format!("status bit {added:#x} too early, at {old:#x}"));
        }
        if added == FEATURES_OK && !self.accepts_features() {
            return;
        }
        if added == DRIVER_OK && !self.registers.features_confirmed {
            self.violation("DRIVER_OK without having read FEATURES_OK back");
        }
        self.registers.status = value;
    }

    fn accepts_features(&mut self) -> bool {
        let (offered, taken) = (self.device.features(), self.registers.features);
        if taken & !offered != 0 {
            self.violation(format!("features {:#x} were not offered", taken & !offered));
        }
        let must = (1 << 32) | (u64::from(self.transport.access_platform) << 33);
        if taken & NEVER != 0 {
            self.violation(format!(
                "features {:#x} are more than this driver can",
                taken & NEVER
            ));
        }
        if let Some(what) = self.device.refuses(taken) {
            self.violation(what);
        }
        taken & must == must && !self.transport.refuses_features
    }

    fn queue(&self) -> Option<&DeviceQueue> {
        self.registers.queues.get(self.registers.queue_sel as usize)
    }

    fn write_queue(&mut self, write: impl FnOnce(&mut DeviceQueue)) {
        let status = self.registers.status;
        if status & (FEATURES_OK | DRIVER_OK) != FEATURES_OK {
            self.violation(format!("a queue is set up at status {status:#x}"));
        }
        let index = self.registers.queue_sel as usize;
        match self.registers.queues.get_mut(index) {
            Some(queue) if !queue.ready => write(queue),
            Some(_) => self.violation("a queue is set up while ready"),
            None => self.violation(format!("queue {index} is set up and does not exist")),
        }
    }

    fn write_queue_ready(&mut self, value: u32) {
        if value != 1 {
            return self.violation(format!("QueueReady = {value}"));
        }
        let most = u32::from(self.transport.queue_size);
        let mut good = true;
        self.write_queue(|queue| {
            let [desc, driver, device] = queue.areas;
            good = queue.num.is_power_of_two()
                && queue.num <= most
                && desc % 16 == 0
                && driver % 2 == 0
                && device % 4 == 0
                && [desc, driver, device].iter().all(|area| *area != 0);
            queue.ready = true;
        });
        if !good {
            self.violation("a queue's size or alignment is wrong");
        }
    }

    fn notify(&mut self, index: u32) {
        self.counters.doorbells += 1;
        if !self.registers.live() {
            return self.violation("a doorbell before DRIVER_OK");
        }
        match self.registers.queues.get_mut(index as usize) {
            Some(queue) if queue.ready => queue.kicked = true,
            _ => return self.violation(format!("a doorbell of queue {index}")),
        }
        if !self.held {
            self.run();
        }
    }
}
