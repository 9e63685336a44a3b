//! Virtio over MMIO, version 2 (VIRTIO 1.2 §4.2).

use core::fmt;

use outrigger_devices::{DmaAddr, RegisterIo};

use crate::{QueueAddresses, feature};

/// Register offsets (§4.2.2), by the specification's names.
mod register {
    pub const MAGIC_VALUE: usize = 0x000;
    pub const VERSION: usize = 0x004;
    pub const DEVICE_ID: usize = 0x008;
    pub const DEVICE_FEATURES: usize = 0x010;
    pub const DEVICE_FEATURES_SEL: usize = 0x014;
    pub const DRIVER_FEATURES: usize = 0x020;
    pub const DRIVER_FEATURES_SEL: usize = 0x024;
    pub const QUEUE_SEL: usize = 0x030;
    pub const QUEUE_NUM_MAX: usize = 0x034;
    pub const QUEUE_NUM: usize = 0x038;
    pub const QUEUE_READY: usize = 0x044;
    pub const QUEUE_NOTIFY: usize = 0x050;
    pub const INTERRUPT_STATUS: usize = 0x060;
    pub const INTERRUPT_ACK: usize = 0x064;
    pub const STATUS: usize = 0x070;
    pub const QUEUE_DESC: usize = 0x080;
    pub const QUEUE_DRIVER: usize = 0x090;
    pub const QUEUE_DEVICE: usize = 0x0a0;
    pub const CONFIG_GENERATION: usize = 0x0fc;
    pub const CONFIG: usize = 0x100;
}

/// Device status bits (§2.1).
mod status {
    pub const ACKNOWLEDGE: u32 = 1;
    pub const DRIVER: u32 = 2;
    pub const DRIVER_OK: u32 = 4;
    pub const FEATURES_OK: u32 = 8;
    pub const DEVICE_NEEDS_RESET: u32 = 64;
    pub const FAILED: u32 = 128;
}

/// "virt".
const MAGIC: u32 = 0x7472_6976;

/// How often the status is read after a reset before we give up. A read that traps takes about a microsecond, so this is
/// a tenth of a second or more.
const RESET_READS: u32 = 100_000;

/// How often the configuration is read again because it changed meanwhile.
const CONFIG_READS: u32 = 16;

/// A device type (§5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceId(pub u32);

impl DeviceId {
    /// Network card (§5.1).
    pub const NETWORK: Self = Self(1);
    /// Block device (§5.2).
    pub const BLOCK: Self = Self(2);
    /// Input device (§5.8).
    pub const INPUT: Self = Self(18);
}

/// Why a device cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// The magic value is another.
    NotVirtio(u32),
    /// Version 1, whose queues want contiguous pages and guest-endian fields.
    Legacy,
    /// Neither version 1 nor 2.
    Version(u32),
    /// A transport with nothing behind it.
    NoDevice,
    /// Another device type.
    WrongDevice(DeviceId),
    /// The device does not finish a reset.
    Reset,
    /// `VIRTIO_F_VERSION_1` is not offered.
    NotModern,
    /// The device refused a subset of what it had offered (these bits).
    FeaturesRefused(u64),
    /// This queue does not exist.
    NoQueue(u16),
    /// This queue is in use right after a reset, or does not become ready.
    QueueState(u16),
    /// The configuration changes faster than it can be read.
    ConfigUnstable,
    /// The device asked for a reset, or gave up, before it was ready.
    Failed,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotVirtio(magic) => {
                write!(f, "not a virtio-mmio transport: its magic value is {magic:#010x}")
            }
            Self::Legacy => f.write_str(
                "virtio-mmio version 1 (legacy) is not supported: start QEMU with \
                 -global virtio-mmio.force-legacy=false",
            ),
            Self::Version(version) => write!(f, "unknown virtio-mmio version {version}"),
            Self::NoDevice => f.write_str("no device behind this virtio-mmio transport"),
            Self::WrongDevice(DeviceId(id)) => write!(f, "another virtio device type than expected: {id}"),
            Self::Reset => f.write_str("the device does not finish its reset"),
            Self::NotModern => f.write_str("the device does not offer VIRTIO_F_VERSION_1"),
            Self::FeaturesRefused(bits) => {
                write!(f, "the device refuses the features {bits:#x} it had offered")
            }
            Self::NoQueue(queue) => write!(f, "the device has no queue {queue}"),
            Self::QueueState(queue) => write!(f, "queue {queue} is not in the state it should be in"),
            Self::ConfigUnstable => f.write_str("the device's configuration never settles"),
            Self::Failed => f.write_str("the device failed before it was ready"),
        }
    }
}

impl core::error::Error for TransportError {}

/// Why the device interrupted (§4.2.2, `InterruptStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause(u32);

impl Cause {
    /// A used ring moved.
    #[inline]
    pub fn used(self) -> bool {
        self.0 & 1 != 0
    }

    /// The configuration changed, or the device asks for a reset.
    #[inline]
    pub fn config(self) -> bool {
        self.0 & 2 != 0
    }
}

/// A version-2 virtio-mmio transport with a device of the expected type behind it.
#[derive(Debug)]
pub struct Transport<R> {
    io: R,
}

/// Stops whatever virtio device is there, as far as it lets itself be stopped: before memory is used again that an earlier
/// life of this domain may have given to it.
pub fn stop(io: &impl RegisterIo) {
    if io.read_u32(register::MAGIC_VALUE) == MAGIC && io.read_u32(register::VERSION) == 2 {
        // Probing it will say what is wrong with it.
        let _ = Transport { io }.reset();
    }
}

impl<R: RegisterIo> Transport<R> {
    /// Looks whether there is such a device, and touches nothing.
    ///
    /// # Errors
    /// There is none.
    pub fn probe(io: R, expected: DeviceId) -> Result<Self, TransportError> {
        let magic = io.read_u32(register::MAGIC_VALUE);
        if magic != MAGIC {
            return Err(TransportError::NotVirtio(magic));
        }
        match io.read_u32(register::VERSION) {
            1 => return Err(TransportError::Legacy),
            2 => {}
            version => return Err(TransportError::Version(version)),
        }
        match DeviceId(io.read_u32(register::DEVICE_ID)) {
            DeviceId(0) => Err(TransportError::NoDevice),
            id if id == expected => Ok(Self { io }),
            id => Err(TransportError::WrongDevice(id)),
        }
    }

    /// Resets the device and waits until it says so (§2.4.2, §3.1.1 step 1). Afterwards it does no DMA and raises no
    /// interrupt.
    ///
    /// # Errors
    /// It does not finish within a bounded number of reads.
    pub fn reset(&self) -> Result<(), TransportError> {
        self.io.write_u32(register::STATUS, 0);
        for _ in 0..RESET_READS {
            if self.io.read_u32(register::STATUS) == 0 {
                return Ok(());
            }
            core::hint::spin_loop();
        }
        Err(TransportError::Reset)
    }

    /// Steps 2 to 6 of §3.1.1, on a device that was reset: acknowledges it and settles the features. Returns those in
    /// force, which are `wanted` as far as offered, [`VERSION_1`](feature::VERSION_1), and the two that are always taken,
    /// [`ACCESS_PLATFORM`](feature::ACCESS_PLATFORM) and [`ORDER_PLATFORM`](feature::ORDER_PLATFORM).
    ///
    /// # Errors
    /// The device is no modern one or refuses; it is left marked as given up.
    pub fn negotiate(&self, wanted: u64) -> Result<u64, TransportError> {
        self.negotiate_with(|_| wanted)
    }

    /// As [`negotiate`](Self::negotiate), where what is wanted depends on all that is offered.
    ///
    /// # Errors
    /// As there.
    pub fn negotiate_with(&self, wanted: impl FnOnce(u64) -> u64) -> Result<u64, TransportError> {
        self.add_status(status::ACKNOWLEDGE);
        self.add_status(status::DRIVER);
        let offered = self.device_features();
        if offered & feature::VERSION_1 == 0 {
            self.add_status(status::FAILED);
            return Err(TransportError::NotModern);
        }
        let always = feature::VERSION_1 | feature::ACCESS_PLATFORM | feature::ORDER_PLATFORM;
        let features = offered & (always | wanted(offered));
        for (word, bits) in [(0, features as u32), (1, (features >> 32) as u32)] {
            self.io.write_u32(register::DRIVER_FEATURES_SEL, word);
            self.io.write_u32(register::DRIVER_FEATURES, bits);
        }
        self.add_status(status::FEATURES_OK);
        if self.status() & status::FEATURES_OK == 0 {
            self.add_status(status::FAILED);
            return Err(TransportError::FeaturesRefused(features));
        }
        Ok(features)
    }

    /// The most descriptors that queue `queue` may have.
    ///
    /// # Errors
    /// There is no such queue, or it is in use.
    pub fn queue_size_max(&self, queue: u16) -> Result<u32, TransportError> {
        self.io.write_u32(register::QUEUE_SEL, queue.into());
        if self.io.read_u32(register::QUEUE_READY) != 0 {
            return Err(TransportError::QueueState(queue));
        }
        match self.io.read_u32(register::QUEUE_NUM_MAX) {
            0 => Err(TransportError::NoQueue(queue)),
            max => Ok(max),
        }
    }

    /// Tells the device where queue `queue` lies and makes it ready (§4.2.3.2).
    ///
    /// # Errors
    /// The device does not take it.
    pub fn install_queue(&self, queue: u16, at: &QueueAddresses) -> Result<(), TransportError> {
        self.io.write_u32(register::QUEUE_SEL, queue.into());
        self.io.write_u32(register::QUEUE_NUM, at.size.into());
        self.write_addr(register::QUEUE_DESC, at.desc);
        self.write_addr(register::QUEUE_DRIVER, at.driver);
        self.write_addr(register::QUEUE_DEVICE, at.device);
        self.io.write_u32(register::QUEUE_READY, 1);
        match self.io.read_u32(register::QUEUE_READY) {
            1 => Ok(()),
            _ => Err(TransportError::QueueState(queue)),
        }
    }

    /// Step 8 of §3.1.1: the device is live.
    ///
    /// # Errors
    /// It has failed meanwhile.
    pub fn driver_ok(&self) -> Result<(), TransportError> {
        self.add_status(status::DRIVER_OK);
        if self.needs_reset() {
            return Err(TransportError::Failed);
        }
        Ok(())
    }

    /// Rings the doorbell of queue `queue`.
    #[inline]
    pub fn notify(&self, queue: u16) {
        self.io.write_u32(register::QUEUE_NOTIFY, queue.into());
    }

    /// Reads why the device interrupted, and acknowledges just that: one read, and one write if there was anything.
    #[inline]
    pub fn acknowledge(&self) -> Cause {
        let cause = self.io.read_u32(register::INTERRUPT_STATUS);
        if cause != 0 {
            self.io.write_u32(register::INTERRUPT_ACK, cause);
        }
        Cause(cause)
    }

    /// The device asks for a reset (`DEVICE_NEEDS_RESET`), was reset by somebody else, or is gone.
    pub fn needs_reset(&self) -> bool {
        let status = self.status();
        status & status::DEVICE_NEEDS_RESET != 0 || status & status::DRIVER_OK == 0
    }

    /// Reads from the device's configuration what belongs together (§2.5.1): `read` again until nothing changed
    /// meanwhile.
    ///
    /// # Errors
    /// It never settles.
    pub fn config<T>(&self, read: impl Fn(&Self) -> T) -> Result<T, TransportError> {
        for _ in 0..CONFIG_READS {
            let generation = self.io.read_u32(register::CONFIG_GENERATION);
            let value = read(self);
            if self.io.read_u32(register::CONFIG_GENERATION) == generation {
                return Ok(value);
            }
        }
        Err(TransportError::ConfigUnstable)
    }

    /// One configuration field; `at` counts from the start of the configuration.
    pub fn config_u8(&self, at: usize) -> u8 {
        self.io.read_u8(register::CONFIG + at)
    }

    /// One configuration field.
    pub fn config_u16(&self, at: usize) -> u16 {
        self.io.read_u16(register::CONFIG + at)
    }

    /// One configuration field.
    pub fn config_u32(&self, at: usize) -> u32 {
        self.io.read_u32(register::CONFIG + at)
    }

    /// Writes one byte of the configuration; `at` counts from its start.
    pub fn write_config_u8(&self, at: usize, value: u8) {
        self.io.write_u8(register::CONFIG + at, value);
    }

    /// One configuration field, in two reads: see [`config`](Self::config).
    pub fn config_u64(&self, at: usize) -> u64 {
        u64::from(self.config_u32(at)) | u64::from(self.config_u32(at + 4)) << 32
    }

    /// Gives the registers back.
    pub fn into_inner(self) -> R {
        self.io
    }

    fn status(&self) -> u32 {
        self.io.read_u32(register::STATUS)
    }

    fn add_status(&self, bit: u32) {
        self.io.write_u32(register::STATUS, self.status() | bit);
    }

    fn device_features(&self) -> u64 {
        let word = |select| {
            self.io.write_u32(register::DEVICE_FEATURES_SEL, select);
            u64::from(self.io.read_u32(register::DEVICE_FEATURES))
        };
        word(0) | word(1) << 32
    }

    fn write_addr(&self, low: usize, addr: DmaAddr) {
        self.io.write_u32(low, addr.bits() as u32);
        self.io.write_u32(low + 4, (addr.bits() >> 32) as u32);
    }
}
