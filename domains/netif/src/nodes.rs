//! The names of netif's XenStore nodes (`public/io/netif.h`, libxl's `libxl_nic.c`).

/// Backend, by the toolstack: the guest's address.
pub const MAC: &str = "mac";
/// Backend, by the toolstack: what the vif is attached to (`bridge=`).
pub const BRIDGE: &str = "bridge";
/// Backend, by the toolstack: the guest's IP addresses, separated by blanks (`ip=`).
pub const IP: &str = "ip";
/// Backend, by the toolstack: `bytes,microseconds` (`rate=`).
pub const RATE: &str = "rate";
/// Backend, by the toolstack: the VLAN that the vif is in (`vlan=`).
pub const VLAN: &str = "vlan";
/// Backend, by the toolstack unless 1500; frontend too: bytes of a frame after its Ethernet header (`mtu=`).
pub const MTU: &str = "mtu";
/// Backend: the network side is set up.
pub const HOTPLUG_STATUS: &str = "hotplug-status";
/// Value of [`HOTPLUG_STATUS`].
pub const HOTPLUG_CONNECTED: &str = "connected";
/// Backend, in state 4: the link is up.
pub const CARRIER: &str = "carrier";

/// Backend: packets are copied into the frontend's pages. Nothing else exists any more.
pub const FEATURE_RX_COPY: &str = "feature-rx-copy";
/// Backend: pages are exchanged; never.
pub const FEATURE_RX_FLIP: &str = "feature-rx-flip";
/// Either end: packets may have several fragments.
pub const FEATURE_SG: &str = "feature-sg";
/// Either end: packets may stand for several segments of TCP over IPv4.
pub const FEATURE_GSO_TCPV4: &str = "feature-gso-tcpv4";
/// Either end: the same over IPv6.
pub const FEATURE_GSO_TCPV6: &str = "feature-gso-tcpv6";
/// Either end: blank checksums over IPv6 are understood.
pub const FEATURE_IPV6_CSUM_OFFLOAD: &str = "feature-ipv6-csum-offload";
/// Frontend: blank checksums over IPv4 are not understood.
pub const FEATURE_NO_CSUM_OFFLOAD: &str = "feature-no-csum-offload";
/// Backend: TX and RX may have a port each.
pub const FEATURE_SPLIT_EVENT_CHANNELS: &str = "feature-split-event-channels";
/// Backend: greatest [`MULTI_QUEUE_NUM_QUEUES`] that is served.
pub const MULTI_QUEUE_MAX_QUEUES: &str = "multi-queue-max-queues";
/// Backend: the frontend may say which multicast addresses it wants.
pub const FEATURE_MULTICAST_CONTROL: &str = "feature-multicast-control";
/// Backend: it may begin and end to do so while connected.
pub const FEATURE_DYNAMIC_MULTICAST_CONTROL: &str = "feature-dynamic-multicast-control";
/// Frontend: it does.
pub const REQUEST_MULTICAST_CONTROL: &str = "request-multicast-control";
/// Backend: there is a control ring.
pub const FEATURE_CTRL_RING: &str = "feature-ctrl-ring";
/// Backend: [`XDP_HEADROOM`] is honoured.
pub const FEATURE_XDP_HEADROOM: &str = "feature-xdp-headroom";
/// Frontend: bytes to leave free at the start of each RX page.
pub const XDP_HEADROOM: &str = "xdp-headroom";

/// Frontend: packets are to be copied into its pages.
pub const REQUEST_RX_COPY: &str = "request-rx-copy";
/// Frontend: number of its queues; more than one live under `queue-N/`.
pub const MULTI_QUEUE_NUM_QUEUES: &str = "multi-queue-num-queues";
/// Frontend: reference of a TX ring's page.
pub const TX_RING_REF: &str = "tx-ring-ref";
/// Frontend: reference of an RX ring's page.
pub const RX_RING_REF: &str = "rx-ring-ref";
/// Frontend: the port of both rings of a queue.
pub const EVENT_CHANNEL: &str = "event-channel";
/// Frontend: or the port of the TX ring.
pub const EVENT_CHANNEL_TX: &str = "event-channel-tx";
/// Frontend: and that of the RX ring.
pub const EVENT_CHANNEL_RX: &str = "event-channel-rx";
/// Frontend: reference of the control ring's page.
pub const CTRL_RING_REF: &str = "ctrl-ring-ref";
/// Frontend: its port.
pub const EVENT_CHANNEL_CTRL: &str = "event-channel-ctrl";
