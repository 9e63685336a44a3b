//! Ethernet addresses as text.

/// Six bytes in hexadecimal, two digits each, with `separator` between them: `:` as `xl` writes a MAC, `-` as IEEE 802 does.
pub fn parse_mac(text: &str, separator: char) -> Option<[u8; 6]> {
    let mut parts = text.split(separator);
    let mut mac = [0; 6];
    for byte in &mut mac {
        let part = parts
            .next()
            .filter(|part| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}
