#!/usr/bin/env bash
# smoltcp 0.14.0: `DhcpRepr::parse` refuses a DHCP message for a client identifier of seven bytes that is not a MAC address, and
# drops longer identifiers without a word.
#
# RFC 2132 (9.14) gives type 0 to identifiers that are no hardware address, such as a name; RFC 4361 identifiers (type 255, as
# systemd-networkd sends them) are longer. A server built on `DhcpRepr` therefore answers a client named by eight letters and
# not one named by six, and cannot echo the identifier, as RFC 6842 wants. `DhcpPacket::options` gives every option as it is.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/src"
cat >"$dir/Cargo.toml" <<'END'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
smoltcp = { version = "=0.14.0", default-features = false, features = ["std", "medium-ethernet", "proto-ipv4", "socket-dhcpv4"] }
END
cat >"$dir/src/main.rs" <<'END'
use smoltcp::wire::{DhcpPacket, DhcpRepr};

/// A DISCOVER with this client identifier.
fn discover(identifier: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 240];
    (message[0], message[1], message[2]) = (1, 1, 6);
    message[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    message[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    message.extend([53, 1, 1, 61, identifier.len() as u8]);
    message.extend(identifier);
    message.push(255);
    message
}

fn main() {
    let kinds: [(&str, &[u8]); 4] = [
        ("a MAC address", &[1, 2, 0, 0, 0, 0, 1]),
        ("a name of six letters", b"\0sensor"),
        ("a name of eight letters", b"\0sensor-1"),
        ("RFC 4361", &[255, 0, 0, 0, 1, 0, 2, 0, 0, 0xab, 0x11, 1, 2, 3, 4, 5, 6, 7, 8]),
    ];
    for (kind, identifier) in kinds {
        let message = discover(identifier);
        let packet = DhcpPacket::new_checked(&message[..]).expect("a whole message");
        let options = packet.options().map(|option| option.data.len()).collect::<Vec<_>>();
        println!("{kind}: options of {options:?} bytes, {:?}", DhcpRepr::parse(&packet).map(|repr| repr.client_identifier));
    }
}
END
CARGO_TARGET_DIR="$dir/target" cargo run --quiet --manifest-path "$dir/Cargo.toml" | tee "$dir/seen"
diff "$dir/seen" - <<'END'
a MAC address: options of [1, 7] bytes, Ok(Some(Address([2, 0, 0, 0, 0, 1])))
a name of six letters: options of [1, 7] bytes, Err(Error)
a name of eight letters: options of [1, 9] bytes, Ok(None)
RFC 4361: options of [1, 19] bytes, Ok(None)
END
echo "as described: whether a DHCP message is read depends on the length of a name"
