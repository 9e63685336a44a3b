//! `io/netif.h`: network devices. TX is from the frontend to the backend, RX the other way.

use crate::grant_table::GrantRef;

/// Slots that a packet may have at least, unless both ends agree otherwise.
pub const XEN_NETIF_NR_SLOTS_MIN: usize = 18;
/// Bytes that a transmitted packet may have.
pub const XEN_NETIF_MAX_TX_SIZE: usize = 0xFFFF;

// `netif_tx_request.flags`. Bits 0 and 1 are the other way round in RX.
/// The checksum is to be filled in.
pub const NETTXF_csum_blank: u16 = 1 << 0;
/// The checksum has been checked, or needs no check.
pub const NETTXF_data_validated: u16 = 1 << 1;
/// The packet goes on in the next slot.
pub const NETTXF_more_data: u16 = 1 << 2;
/// The next slot is a [`NetifExtraInfo`].
pub const NETTXF_extra_info: u16 = 1 << 3;

// `netif_rx_response.flags`.
/// The checksum has been checked, or needs no check.
pub const NETRXF_data_validated: u16 = 1 << 0;
/// The checksum is to be filled in.
pub const NETRXF_csum_blank: u16 = 1 << 1;
/// The packet goes on in the next slot.
pub const NETRXF_more_data: u16 = 1 << 2;
/// The next slot is a [`NetifExtraInfo`].
pub const NETRXF_extra_info: u16 = 1 << 3;
/// An old form of GSO; not sent any more.
pub const NETRXF_gso_prefix: u16 = 1 << 4;

// `netif_extra_info.type`.
/// Never valid.
pub const XEN_NETIF_EXTRA_TYPE_NONE: u8 = 0;
/// Segmentation offload: `u.gso`, see [`extra`].
pub const XEN_NETIF_EXTRA_TYPE_GSO: u8 = 1;
/// Listen to a multicast address: `u.mcast`, 6 bytes.
pub const XEN_NETIF_EXTRA_TYPE_MCAST_ADD: u8 = 2;
/// Stop listening to one: `u.mcast`, 6 bytes.
pub const XEN_NETIF_EXTRA_TYPE_MCAST_DEL: u8 = 3;
/// The packet's hash: `u.hash`, see [`extra`].
pub const XEN_NETIF_EXTRA_TYPE_HASH: u8 = 4;
/// One more than the last type.
pub const XEN_NETIF_EXTRA_TYPE_MAX: u8 = 5;
/// `netif_extra_info.flags`: another follows.
pub const XEN_NETIF_EXTRA_FLAG_MORE: u8 = 1 << 0;

/// `u.gso.type`: none.
pub const XEN_NETIF_GSO_TYPE_NONE: u8 = 0;
/// `u.gso.type`: TCP over IPv4.
pub const XEN_NETIF_GSO_TYPE_TCPV4: u8 = 1;
/// `u.gso.type`: TCP over IPv6.
pub const XEN_NETIF_GSO_TYPE_TCPV6: u8 = 2;

// `status` of responses.
/// Dropped.
pub const NETIF_RSP_DROPPED: i16 = -2;
/// Failed.
pub const NETIF_RSP_ERROR: i16 = -1;
/// Sent. In RX a status that is not negative is the bytes in this slot.
pub const NETIF_RSP_OKAY: i16 = 0;
/// What a slot that held a [`NetifExtraInfo`] is answered with.
pub const NETIF_RSP_NULL: i16 = 1;

/// Offsets in [`NetifExtraInfo::u`], in bytes.
pub mod extra {
    /// GSO: `size`, 2 bytes: payload bytes of a segment.
    pub const GSO_SIZE: usize = 0;
    /// GSO: `type`, 1 byte: `XEN_NETIF_GSO_TYPE_*`.
    pub const GSO_TYPE: usize = 2;
    /// GSO: `features`, 2 bytes: none is defined.
    pub const GSO_FEATURES: usize = 4;
    /// MCAST: `addr`, 6 bytes.
    pub const MCAST_ADDR: usize = 0;
    /// HASH: `type`, 1 byte: bit number of `XEN_NETIF_CTRL_HASH_TYPE_*`.
    pub const HASH_TYPE: usize = 0;
    /// HASH: `algorithm`, 1 byte: `XEN_NETIF_CTRL_HASH_ALGORITHM_*`.
    pub const HASH_ALGORITHM: usize = 1;
    /// HASH: `value`, 4 bytes, least significant first.
    pub const HASH_VALUE: usize = 2;
}

layout! {
    /// `struct netif_tx_request`: a slot of the TX ring.
    #[derive(Default)]
    struct NetifTxRequest[12] {
        /// The page; granted for reading only.
        0 gref: GrantRef,
        /// Where the data begins in it, in bytes.
        4 offset: u16,
        /// `NETTXF_*`.
        6 flags: u16,
        /// Echoed in the response.
        8 id: u16,
        /// Bytes: of the whole packet in its first slot, of the fragment in the others.
        10 size: u16,
    }

    /// `struct netif_extra_info`: takes a slot of the TX ring, or of the RX ring's responses.
    #[derive(Default)]
    struct NetifExtraInfo[8] {
        /// `XEN_NETIF_EXTRA_TYPE_*`.
        0 r#type: u8,
        /// `XEN_NETIF_EXTRA_FLAG_*`.
        1 flags: u8,
        /// As the type says: offsets in [`extra`].
        2 u: [u16; 3],
    }

    /// `struct netif_tx_response`.
    #[derive(Default)]
    struct NetifTxResponse[4] {
        /// The request's.
        0 id: u16,
        /// `NETIF_RSP_*`.
        2 status: i16,
    }

    /// `struct netif_rx_request`: an empty page for the guest's reception.
    #[derive(Default)]
    struct NetifRxRequest[8] {
        /// Echoed in the response.
        0 id: u16,
        /// Unused.
        2 pad: u16,
        /// The page.
        4 gref: GrantRef,
    }

    /// `struct netif_rx_response`: must lie in the slot of the request that it answers.
    #[derive(Default)]
    struct NetifRxResponse[8] {
        /// The request's.
        0 id: u16,
        /// Where the data begins in the page, in bytes.
        2 offset: u16,
        /// `NETRXF_*`.
        4 flags: u16,
        /// Bytes in this page, or a negative `NETIF_RSP_*`.
        6 status: i16,
    }

    /// `struct xen_netif_ctrl_request`: a slot of the control ring.
    #[derive(Default)]
    struct XenNetifCtrlRequest[16] {
        /// Echoed in the response.
        0 id: u16,
        /// `XEN_NETIF_CTRL_TYPE_*`.
        2 r#type: u16,
        /// As the type says.
        4 data: [u32; 3],
    }

    /// `struct xen_netif_ctrl_response`.
    #[derive(Default)]
    struct XenNetifCtrlResponse[12] {
        /// The request's.
        0 id: u16,
        /// The request's.
        2 r#type: u16,
        /// `XEN_NETIF_CTRL_STATUS_*`.
        4 status: u32,
        /// As the type says.
        8 data: u32,
    }

    /// `struct xen_netif_gref`: an entry of the list of an ADD or DEL_GREF_MAPPING request.
    #[derive(Default)]
    struct XenNetifGref[8] {
        /// The page.
        0 r#ref: GrantRef,
        /// `XEN_NETIF_CTRLF_GREF_*`.
        4 flags: u16,
        /// Out, of DEL: `XEN_NETIF_CTRL_STATUS_*`.
        6 status: u16,
    }
}

// `xen_netif_ctrl_request.type`.
/// Never valid.
pub const XEN_NETIF_CTRL_TYPE_INVALID: u16 = 0;
/// Which hash types there are.
pub const XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS: u16 = 1;
/// Which hash types to use.
pub const XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS: u16 = 2;
/// The key of the hash.
pub const XEN_NETIF_CTRL_TYPE_SET_HASH_KEY: u16 = 3;
/// How large the table from hash to queue may be.
pub const XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE: u16 = 4;
/// How large it shall be.
pub const XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE: u16 = 5;
/// Entries of it.
pub const XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING: u16 = 6;
/// Which algorithm to use.
pub const XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM: u16 = 7;
/// How many pages may be mapped for good.
pub const XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE: u16 = 8;
/// Map pages for good.
pub const XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING: u16 = 9;
/// Unmap such pages.
pub const XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING: u16 = 10;

// `xen_netif_ctrl_response.status`.
/// Done.
pub const XEN_NETIF_CTRL_STATUS_SUCCESS: u32 = 0;
/// No such request here.
pub const XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED: u32 = 1;
/// Some value is wrong.
pub const XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER: u32 = 2;
/// More than there is room for.
pub const XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW: u32 = 3;

/// Hash over the IPv4 addresses.
pub const XEN_NETIF_CTRL_HASH_TYPE_IPV4: u32 = 1 << 0;
/// Hash over the IPv4 addresses and TCP ports.
pub const XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP: u32 = 1 << 1;
/// Hash over the IPv6 addresses.
pub const XEN_NETIF_CTRL_HASH_TYPE_IPV6: u32 = 1 << 2;
/// Hash over the IPv6 addresses and TCP ports.
pub const XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP: u32 = 1 << 3;
/// No hash.
pub const XEN_NETIF_CTRL_HASH_ALGORITHM_NONE: u32 = 0;
/// Toeplitz's.
pub const XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ: u32 = 1;

/// `xen_netif_gref.flags`: granted for reading only.
pub const XEN_NETIF_CTRLF_GREF_readonly: u16 = 1 << 0;
