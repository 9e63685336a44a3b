//! Checksums, as the controller does them.

/// The Internet checksum's sum of some bytes, folded.
fn sum(bytes: &[u8], start: u32) -> u32 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// Fills in a checksum whose field holds the pseudo header's sum.
pub(crate) fn fill_in(frame: &mut [u8], start: usize, store: usize, udp: bool) {
    let mut value = !(sum(&frame[start..], 0) as u16);
    if value == 0 && udp {
        value = 0xffff;
    }
    frame[store..store + 2].copy_from_slice(&value.to_be_bytes());
}

/// What the receiver finds out of a frame's transport checksum: `None` if it does not know the protocol, or sees a fragment.
pub fn checksum_is_right(frame: &[u8]) -> Option<bool> {
    let mut at = 12;
    let kind = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    if kind(at)? == 0x8100 {
        at += 4;
    }
    let ip = at + 2;
    let (protocol, transport, end, pseudo) = match kind(at)? {
        0x0800 => {
            let header = frame.get(ip..ip + 20)?;
            if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
                return None;
            }
            let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let length = usize::from(header[0] & 0xf) * 4;
            (header[9], ip + length, ip + total, sum(&header[12..20], 0))
        }
        0x86dd => {
            let header = frame.get(ip..ip + 40)?;
            let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
            (header[6], ip + 40, ip + 40 + payload, sum(&header[8..40], 0))
        }
        _ => return None,
    };
    if protocol != 6 && protocol != 17 {
        return None;
    }
    let bytes = frame.get(transport..end)?;
    let pseudo = pseudo + u32::from(protocol) + bytes.len() as u32;
    Some(sum(bytes, pseudo) == 0xffff)
}

/// A frame with UDP over IPv4 and so many bytes of payload, for tests. `right`: its checksum is.
pub fn udp4(to: [u8; 6], payload: usize, right: bool) -> Vec<u8> {
    let mut frame = vec![0; 14 + 20 + 8 + payload];
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
    frame[12..14].copy_from_slice(&[8, 0]);
    let total = (28 + payload) as u16;
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    (frame[22], frame[23]) = (64, 17);
    frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    let header = !(sum(&frame[14..34], 0) as u16);
    frame[24..26].copy_from_slice(&header.to_be_bytes());
    frame[34..38].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
    frame[38..40].copy_from_slice(&(total - 20).to_be_bytes());
    for (i, byte) in frame[42..].iter_mut().enumerate() {
        *byte = (i * 7 + payload) as u8;
    }
    let pseudo = sum(&frame[26..34], 17 + u32::from(total - 20)) as u16;
    frame[40..42].copy_from_slice(&pseudo.to_be_bytes());
    if right {
        fill_in(&mut frame, 34, 40, true);
    }
    frame
}
