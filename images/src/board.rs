//! What the image builder must know of a board that its device tree does not say: `boot/boards/*.toml`.

use serde::Deserialize;

/// The boards known by name.
const BOARDS: [(&str, &str); 1] = [("qemu-virt", include_str!("../../boot/boards/qemu-virt.toml"))];

/// A board file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// What the board's root node is `compatible` with.
    pub compatible: String,
    /// Whether Xen can confine the DMA of a passed-through device.
    pub iommu: bool,
    /// `compatible` of nodes that are places for a device and may be empty: they can be withheld from Dom0.
    #[serde(default)]
    pub slots: Vec<String>,
}

impl Board {
    /// The board of this name, if it is known.
    pub fn named(name: &str) -> Option<Self> {
        let (_, text) = BOARDS.iter().find(|(known, _)| *known == name)?;
        Some(toml::from_str(text).expect("the embedded board files are valid"))
    }

    /// The names of all boards.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BOARDS.iter().map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_board_parses() {
        for name in Board::names() {
            let board = Board::named(name).unwrap();
            assert!(!board.compatible.is_empty(), "{name}");
        }
        assert_eq!(Board::named("qemu"), None);
    }
}
