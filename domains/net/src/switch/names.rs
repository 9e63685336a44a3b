//! What the toolstack calls a LAN.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Lan, Segment, Switch};

/// The bridge that `xl` writes where its user names none.
const XL_BRIDGE: &str = "xenbr0";

/// Greatest VLAN.
const VLAN_MAX: u16 = 4094;

impl Switch {
    /// The LAN that a vif's `bridge=` and `vlan=` name. No name is the first segment's; so is [`XL_BRIDGE`] if no segment has it.
    pub fn lan(&self, bridge: Option<&str>, vlan: Option<&str>) -> Result<Lan, String> {
        let bridge = bridge.unwrap_or_default();
        let named = |segment: &Segment| segment.name == bridge;
        let unnamed = (bridge.is_empty() || bridge == XL_BRIDGE) && !self.segments.is_empty();
        let segment = self.segments.iter().position(named).or(unnamed.then_some(0));
        let segment = segment.ok_or_else(|| {
            let names: Vec<&str> = self
                .segments
                .iter()
                .map(|segment| segment.name.as_str())
                .collect();
            format!(
                "\"{}\" is no segment of this domain; there is {}",
                bridge.escape_default(),
                names.join(", ")
            )
        })?;
        let vlan = match vlan.unwrap_or_default() {
            "" => 0,
            text => text
                .parse()
                .ok()
                .filter(|vlan| (1..=VLAN_MAX).contains(vlan))
                .ok_or_else(|| format!("vlan \"{}\" is not 1 to {VLAN_MAX}", text.escape_default()))?,
        };
        Ok(Lan {
            segment: segment as u16,
            vlan,
        })
    }
}
