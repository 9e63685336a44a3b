//! What a device needs of others: clocks, resets, supplies and the like, which stay with Dom0 when it is given away.

use dtoolkit::{Node as _, Property as _};

use super::{Phandles, Placed};

/// Something a node refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What it is to the device: "clock", "reset", …
    pub kind: &'static str,
    /// Path of the node that provides it.
    pub provider: String,
}

/// Properties that list what a device needs: name, the provider's `#…-cells`, and what to call it. The bindings are
/// those of the Linux documentation (`Documentation/devicetree/bindings`).
const LISTS: [(&str, &str, &str); 11] = [
    ("clocks", "#clock-cells", "clock"),
    ("resets", "#reset-cells", "reset"),
    ("power-domains", "#power-domain-cells", "power domain"),
    ("phys", "#phy-cells", "PHY"),
    ("dmas", "#dma-cells", "DMA channel"),
    ("mboxes", "#mbox-cells", "mailbox"),
    ("interconnects", "#interconnect-cells", "interconnect"),
    ("io-channels", "#io-channel-cells", "I/O channel"),
    ("pwms", "#pwm-cells", "PWM"),
    ("nvmem-cells", "#nvmem-cell-cells", "NVMEM cell"),
    ("memory-region", "", "reserved memory"),
];

/// Properties that refer to another node by a phandle, and so mean nothing in a guest's own tree.
pub(crate) fn refers(property: &str) -> bool {
    const MORE: [&str; 9] = [
        "iommus",
        "iommu-map",
        "msi-parent",
        "msi-map",
        "phy-handle",
        "power-domain-names",
        "mmc-pwrseq",
        "operating-points-v2",
        "interrupt-affinity",
    ];
    LISTS.iter().any(|(name, ..)| *name == property)
        || MORE.contains(&property)
        || is_gpio(property)
        || property.ends_with("-supply")
        || ["pinctrl-", "assigned-clock"]
            .iter()
            .any(|prefix| property.starts_with(prefix))
}

fn is_gpio(property: &str) -> bool {
    matches!(property, "gpios" | "gpio") || property.ends_with("-gpios") || property.ends_with("-gpio")
}

/// What the node needs that someone must look after, each provider once for each kind. What needs no care is left
/// out: clocks and supplies that nothing can switch off, and pin settings, which the firmware or Dom0 made.
pub(crate) fn needs(placed: &[Placed<'_>], phandles: &Phandles, index: usize) -> Vec<Need> {
    let mut needs = Vec::new();
    for property in placed[index].node.properties() {
        let name = property.name();
        let (cells, kind) = match LISTS.iter().find(|(list, ..)| *list == name) {
            Some(&(_, cells, kind)) => (cells, kind),
            None if is_gpio(name) => ("#gpio-cells", "GPIO"),
            None if name.ends_with("-supply") => ("", "supply"),
            None => continue,
        };
        for provider in providers(placed, phandles, index, name, cells) {
            let need = match provider {
                Ok(provider) if needs_no_care(&placed[provider]) => continue,
                Ok(provider) => Need {
                    kind,
                    provider: placed[provider].path.clone(),
                },
                Err(phandle) => Need {
                    kind,
                    provider: format!("a node that does not exist (phandle {phandle:#x})"),
                },
            };
            if !needs.contains(&need) {
                needs.push(need);
            }
        }
    }
    needs
}

/// The nodes that the list `property` refers to, or a phandle that no node has, where the list stops making sense.
pub(crate) fn providers(
    placed: &[Placed<'_>],
    phandles: &Phandles,
    index: usize,
    property: &str,
    cells: &str,
) -> Vec<Result<usize, u32>> {
    let list = placed[index].cells(property).unwrap_or_default();
    let mut list = list.as_slice();
    let mut providers = Vec::new();
    while let Some((&phandle, rest)) = list.split_first() {
        list = rest;
        // A hole in the list.
        if phandle == 0 {
            continue;
        }
        let Some(&provider) = phandles.get(&phandle) else {
            providers.push(Err(phandle));
            break;
        };
        let width = placed[provider].cell(cells).unwrap_or(0) as usize;
        providers.push(Ok(provider));
        list = list.get(width..).unwrap_or_default();
    }
    providers
}

/// Clocks and supplies without a switch.
fn needs_no_care(provider: &Placed<'_>) -> bool {
    let compatible = provider.compatible();
    let is = |name: &str| compatible.iter().any(|c| c == name);
    let has = |property: &str| provider.node.property(property).is_some();
    is("fixed-clock") || (is("regulator-fixed") && !has("gpio") && !has("gpios") && !has("enable-gpios"))
}
