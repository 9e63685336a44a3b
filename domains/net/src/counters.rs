//! What vifs and network cards have done.

use core::fmt;

/// Why a frame went nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// Its slots made no packet.
    Refused,
    /// Xen did not let us copy it: a bad-grant.
    Grant,
    /// Its headers do not fit what is said of it, or it is too long.
    Malformed,
    /// Sent from a hardware address that is not the guest's.
    SourceMac,
    /// Sent from an IP address that is not the guest's.
    SourceIp,
    /// Tagged although it must not be, or for a VLAN that nobody is in.
    Vlan,
    /// Nobody has that address.
    NoDestination,
    /// Too many broadcasts.
    Flood,
    /// The receiving guest had not posted enough empty pages.
    NoBuffer,
    /// No memory of our own.
    NoMemory,
    /// The network card's link is down, or it has failed.
    NoCarrier,
    /// On a NAT segment: nothing that can be translated, or whose time to live is over.
    Untranslated,
    /// On a NAT segment: the guest has its share of conversations, or the table is full.
    NatFull,
    /// On a NAT segment: there is no way out, or the next hop has not answered.
    NoRoute,
    /// An answer of a DHCP server, from a guest that its segment does not trust.
    DhcpServer,
    /// Sent from an address that is our own there, or our router's, by a guest that its segment does not trust.
    RouterAddress,
}

impl Drop {
    /// How many reasons there are.
    pub const COUNT: usize = 16;

    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); Self::COUNT] = [
        (Self::Refused, "refused"),
        (Self::Grant, "bad-grant"),
        (Self::Malformed, "malformed"),
        (Self::SourceMac, "source-mac"),
        (Self::SourceIp, "source-ip"),
        (Self::Vlan, "vlan"),
        (Self::NoDestination, "no-destination"),
        (Self::Flood, "flood"),
        (Self::NoBuffer, "no-buffer"),
        (Self::NoMemory, "no-memory"),
        (Self::NoCarrier, "no-carrier"),
        (Self::Untranslated, "untranslated"),
        (Self::NatFull, "nat-full"),
        (Self::NoRoute, "no-route"),
        (Self::DhcpServer, "dhcp-server"),
        (Self::RouterAddress, "router-address"),
    ];
}

/// Sums since a vif connected or a card came up. TX and RX are the guest's, or the card's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames taken from the guest.
    pub tx_frames: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Frames given to the guest.
    pub rx_frames: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Frames of the guest that went nowhere, by [`Drop`].
    pub tx_dropped: [u64; Drop::COUNT],
    /// Frames for the guest that it did not get, by [`Drop`].
    pub rx_dropped: [u64; Drop::COUNT],
    /// Notifications sent.
    pub notifications: u64,
}

impl Counters {
    /// One frame of the guest's went nowhere.
    pub(crate) fn drop_tx(&mut self, why: Drop) {
        self.tx_dropped[why as usize] += 1;
    }

    /// One frame for the guest was lost.
    pub(crate) fn drop_rx(&mut self, why: Drop) {
        self.rx_dropped[why as usize] += 1;
    }
}

/// `key=value` words, as they stand in XenStore and in the log; a reason that never occurred is left out.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "tx-frames={} tx-bytes={} rx-frames={} rx-bytes={} notifications={}",
            self.tx_frames, self.tx_bytes, self.rx_frames, self.rx_bytes, self.notifications
        )?;
        for (way, dropped) in [("tx", self.tx_dropped), ("rx", self.rx_dropped)] {
            for (why, name) in Drop::ALL {
                let count = dropped[why as usize];
                if count > 0 {
                    write!(f, " {way}-dropped-{name}={count}")?;
                }
            }
        }
        Ok(())
    }
}
