//! Network devices, as a backend sees them.

use alloc::boxed::Box;

use outrigger_hal::DmaSegment;

use crate::{Device, DeviceFault, QueueFull, Tag};

/// A checksum that is to be filled in. The field holds the sum of the pseudo header already, so that whoever fills it in
/// sums everything from `start` to the end of the frame and stores the complement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlankChecksum {
    /// Where summing begins, in bytes from the start of the frame: the transport header.
    pub start: u16,
    /// Where the sum is stored, in bytes from `start`.
    pub offset: u16,
}

/// The protocol of a frame that stands for several segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GsoKind {
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
}

/// A frame that stands for several segments of the same connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// Its protocol.
    pub kind: GsoKind,
    /// Payload of a segment in bytes, never 0.
    pub size: u16,
    /// Ethernet, IP and TCP headers together, in bytes.
    pub header_len: u16,
}

/// What is known of a received frame's checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RxChecksum {
    /// Nothing: the receiver has to look.
    #[default]
    Unknown,
    /// The device has checked the transport checksum, and it is right.
    Validated,
    /// It is blank, because the frame never was on a wire.
    Blank(BlankChecksum),
}

/// One frame to send, from the Ethernet header on, without the frame check sequence.
#[derive(Clone, Copy, Debug)]
pub struct TxFrame<'a> {
    /// Its bytes, at least one and at most [`NetLimits::max_segments`] pieces.
    pub segments: &'a [DmaSegment],
    /// To be filled in by the device; only if [`NetLimits::tx_checksum`].
    pub checksum: Option<BlankChecksum>,
    /// To be cut by the device; only if it offers that kind, and always with a blank checksum.
    pub gso: Option<Gso>,
    /// Comes back when the device has read the frame.
    pub tag: Tag,
}

/// A receive buffer that the device has filled. A frame is one, or several after each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxBuffer {
    /// As posted.
    pub tag: Tag,
    /// Where the frame's bytes begin in it, in bytes: the device may have put something of its own before them.
    pub offset: u32,
    /// The frame's bytes in it.
    pub len: u32,
    /// The frame goes on in the next buffer handed over.
    pub more: bool,
    /// What is known of the frame's checksum; of its first buffer only.
    pub checksum: RxChecksum,
    /// The frame stands for several; of its first buffer only. Never unless [`NetLimits::rx_gso`]. The device's
    /// word, which is an allegation: `header_len` may be nonsense.
    pub gso: Option<Gso>,
}

/// What the device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetLimits {
    /// Its own address.
    pub mac: [u8; 6],
    /// Most bytes of a frame after the Ethernet header, VLAN tag not counted: 1500 or more.
    pub mtu: u16,
    /// It fills in blank checksums.
    pub tx_checksum: bool,
    /// It cuts TCP over IPv4.
    pub tso4: bool,
    /// It cuts TCP over IPv6.
    pub tso6: bool,
    /// It may hand over frames that stand for several, with blank checksums.
    pub rx_gso: bool,
    /// Frames may begin in one buffer and go on in the next. Otherwise each buffer must have room for a whole frame and
    /// [`rx_headroom`](Self::rx_headroom).
    pub mergeable: bool,
    /// Bytes that it puts before a frame in the first buffer.
    pub rx_headroom: u32,
    /// Most memory segments a frame, at least 1.
    pub max_segments: usize,
    /// Number of queues, each one for sending and one for receiving; at least 1.
    pub queues: usize,
    /// The link is up.
    pub link: bool,
}

/// A network device behind a driver. It hands over every frame on its wire, whomever it is addressed to. The calls on the
/// data path neither allocate nor wait.
pub trait NetDevice: Device {
    /// What the device is now.
    fn limits(&self) -> NetLimits;

    /// Queues a frame; the device may not hear of it before [`commit`](Self::commit). Its memory stays the device's until
    /// the tag comes back.
    ///
    /// # Errors
    /// [`QueueFull`]: nothing was queued, try again after a completion on this queue.
    fn submit(&mut self, queue: usize, frame: &TxFrame<'_>) -> Result<(), QueueFull>;

    /// Gives the device an empty buffer to receive into; it may not hear of it before [`commit`](Self::commit).
    ///
    /// # Errors
    /// [`QueueFull`]: the device has as many as it can hold.
    fn post(&mut self, queue: usize, tag: Tag, buffer: DmaSegment) -> Result<(), QueueFull>;

    /// Tells the device of all that was submitted and posted since the last commit: at most one doorbell for each
    /// direction, none if the device is looking anyway.
    fn commit(&mut self, queue: usize);

    /// Hands back the tags of frames that the device has read.
    ///
    /// # Errors
    /// The device lied; what was handed over so far is good.
    fn reap_tx(&mut self, queue: usize, each: &mut dyn FnMut(Tag)) -> Result<(), DeviceFault>;

    /// Hands over filled buffers, at most `most` and only whole frames: the buffers of one frame come in one call, even if
    /// that exceeds `most`.
    ///
    /// # Errors
    /// The device lied (a length past the buffer, a tag of nothing, a frame of more buffers than there are …); what was
    /// handed over so far is good, except for a frame that has not ended.
    fn reap_rx(
        &mut self,
        queue: usize,
        most: usize,
        each: &mut dyn FnMut(RxBuffer),
    ) -> Result<(), DeviceFault>;

    /// Asks for an interrupt at the next frame received and, if `sent`, at the next frame read; then looks once more: true if
    /// there is something already, so that the caller takes another turn instead of sleeping.
    fn arm(&mut self, queue: usize, sent: bool) -> bool;
}

/// A card whose driver is known only when the machine is.
impl<D: NetDevice + ?Sized> NetDevice for Box<D> {
    fn limits(&self) -> NetLimits {
        (**self).limits()
    }
    #[inline]
    fn submit(&mut self, queue: usize, frame: &TxFrame<'_>) -> Result<(), QueueFull> {
        (**self).submit(queue, frame)
    }
    #[inline]
    fn post(&mut self, queue: usize, tag: Tag, buffer: DmaSegment) -> Result<(), QueueFull> {
        (**self).post(queue, tag, buffer)
    }
    #[inline]
    fn commit(&mut self, queue: usize) {
        (**self).commit(queue);
    }
    #[inline]
    fn reap_tx(&mut self, queue: usize, each: &mut dyn FnMut(Tag)) -> Result<(), DeviceFault> {
        (**self).reap_tx(queue, each)
    }
    #[inline]
    fn reap_rx(
        &mut self,
        queue: usize,
        most: usize,
        each: &mut dyn FnMut(RxBuffer),
    ) -> Result<(), DeviceFault> {
        (**self).reap_rx(queue, most, each)
    }
    #[inline]
    fn arm(&mut self, queue: usize, sent: bool) -> bool {
        (**self).arm(queue, sent)
    }
}
