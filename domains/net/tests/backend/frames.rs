//! Frames, made by etherparse.

use etherparse::PacketBuilder;
use outrigger_net::checksum::Sum;

pub fn mac(number: u8) -> [u8; 6] {
    [0x00, 0x16, 0x3e, 0, 0, number]
}

pub const BROADCAST: [u8; 6] = [0xff; 6];
/// Somebody on the wire.
pub const PEER: [u8; 6] = [0x52, 0x54, 0, 0xaa, 0, 1];

pub fn payload(len: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(0x915f_77f5).wrapping_add(12345);
            (state >> 24) as u8
        })
        .collect()
}

pub fn udp(from: [u8; 6], to: [u8; 6], len: usize, seed: u8) -> Vec<u8> {
    let mut out = Vec::new();
    PacketBuilder::ethernet2(from, to)
        .ipv4([10, 0, 0, from[5]], [10, 0, 0, to[5]], 64)
        .udp(1000 + u16::from(seed), 7)
        .write(&mut out, &payload(len, seed))
        .unwrap();
    out
}

pub fn tcp(from: [u8; 6], to: [u8; 6], v4: bool, len: usize, seed: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let eth = PacketBuilder::ethernet2(from, to);
    let ip = if v4 {
        eth.ipv4([10, 0, 0, from[5]], [10, 0, 0, to[5]], 64)
    } else {
        eth.ipv6([0xfd; 16], [0xfc; 16], 64)
    };
    ip.tcp(2000, 80, 1_000_000, 4096)
        .ack(77)
        .psh()
        .options_raw(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2])
        .unwrap()
        .write(&mut out, &payload(len, seed))
        .unwrap();
    out
}

/// One of the segments of a TCP connection from the wire, by its place: the next ones go on where it ends.
pub fn segment(to: [u8; 6], index: u32) -> Vec<u8> {
    segment_of(2000, to, index)
}

/// The same of another stream, which has its own source port.
pub fn segment_of(port: u16, to: [u8; 6], index: u32) -> Vec<u8> {
    let mut frame = tcp(PEER, to, true, 1448, index as u8);
    frame[34..36].copy_from_slice(&port.to_be_bytes());
    frame[38..42].copy_from_slice(&(1_000_000 + 1448 * index).to_be_bytes());
    frame[47] = 0x10;
    let mut frame = blank(&frame);
    let at = field(&frame);
    let mut sum = Sum::new();
    sum.bytes(&frame[34..]);
    frame[at..at + 2].copy_from_slice(&sum.finish());
    frame
}

/// Where the transport checksum is.
pub fn field(frame: &[u8]) -> usize {
    let (ip, protocol) = match frame[12..14] {
        [8, 0] => (14 + 20, frame[23]),
        _ => (14 + 40, frame[20]),
    };
    ip + if protocol == 6 { 16 } else { 6 }
}

/// Blanks the transport checksum: the field holds the sum of the pseudo header.
pub fn blank(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let at = field(&frame);
    let v4 = frame[12] == 8;
    let (addresses, transport, protocol) = if v4 {
        (frame[26..34].to_vec(), 34, frame[23])
    } else {
        (frame[22..54].to_vec(), 54, frame[20])
    };
    let mut sum = u32::from(protocol) + (frame.len() - transport) as u32;
    for pair in addresses.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[at..at + 2].copy_from_slice(&(sum as u16).to_be_bytes());
    frame
}

/// Whether the transport checksum is right: everything sums up to 0xffff.
pub fn is_right(frame: &[u8]) -> bool {
    let mut whole = blank(frame);
    let at = field(frame);
    let transport = if frame[12] == 8 { 34 } else { 54 };
    let pseudo = u32::from(u16::from_be_bytes([whole[at], whole[at + 1]]));
    whole[at..at + 2].copy_from_slice(&frame[at..at + 2]);
    let mut sum = pseudo;
    for pair in whole[transport..].chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum == 0xffff
}
