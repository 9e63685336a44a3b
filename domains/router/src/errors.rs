//! ICMP errors that a router owes its guests (RFC 1812): what TTL has run out, what is too long for the way out.

use outrigger_segments::Subnet;

use super::mailbox::Frames;
use crate::checksum::checksum;
use crate::nat::headers::{Carried, Headers, ICMP, Part};
use crate::{ETH_HLEN, Mac};

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    /// Time exceeded in transit: what traceroute lives on.
    TimeExceeded,
    /// Fragmentation needed, and the next hop's MTU (RFC 1191).
    TooLong(u16),
}

/// Tells `guest`, the sender of the packet in `head`, from our place `mac` and `own`, to which it was sent.
pub fn tell(
    error: IcmpError,
    guest: u8,
    (head, headers): (&[u8], &Headers),
    (mac, own): (Mac, Subnet),
    out: &mut Frames,
) {
    // Nothing is said about errors, nor about what is not a datagram's beginning (RFC 1122, 3.2.2).
    let about_error =
        headers.protocol == ICMP && !matches!(headers.carried(head), Some(Carried::Echo { .. }));
    if about_error || matches!(headers.part, Part::Rest { .. }) {
        return;
    }
    let quoted = &head[headers.ip..headers.end.min(headers.transport + 8)];
    let len = 20 + 8 + quoted.len();
    out.put(ETH_HLEN + len, (guest, 0), |frame| {
        frame[..6].copy_from_slice(&head[6..12]);
        frame[6..12].copy_from_slice(&mac.0);
        let ip = &mut frame[12..];
        // The ethertype, then version and length, no options.
        ip[..4].copy_from_slice(&[8, 0, 0x45, 0]);
        let ip = &mut ip[2..];
        // Below 2¹⁶: it quotes at most 68 bytes.
        ip[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        ip[4..12].copy_from_slice(&[0, 0, 0, 0, 64, ICMP, 0, 0]);
        ip[12..16].copy_from_slice(&own.address().octets());
        ip[16..20].copy_from_slice(&headers.source.octets());
        let sum = checksum(&ip[..20]);
        ip[10..12].copy_from_slice(&sum);
        let icmp = &mut ip[20..];
        let (kind, code, mtu) = match error {
            IcmpError::TimeExceeded => (11, 0, 0),
            IcmpError::TooLong(mtu) => (3, 4, mtu),
        };
        let [high, low] = mtu.to_be_bytes();
        icmp[..8].copy_from_slice(&[kind, code, 0, 0, 0, 0, high, low]);
        icmp[8..].copy_from_slice(quoted);
        let sum = checksum(icmp);
        icmp[2..4].copy_from_slice(&sum);
    });
}
