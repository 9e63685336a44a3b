//! What the image builder must know of a board that its device tree does not say: `boot/boards/*.toml`, or a file of
//! the user's.

use std::fmt;
use std::path::Path;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Fault};
use crate::syntax;
use crate::tree::BaseTree;

/// The boards that come with the builder.
const BOARDS: [(&str, &str); 2] = [
    ("qemu-virt", include_str!("../../boot/boards/qemu-virt.toml")),
    (
        "raspberrypi-4",
        include_str!("../../boot/boards/raspberrypi-4.toml"),
    ),
];

/// A board file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// What the board's root node is `compatible` with: one name, or those of several boards that are alike.
    #[serde(deserialize_with = "one_or_more")]
    pub compatible: Vec<String>,
    /// Whether Xen can confine the DMA of a passed-through device that the device tree puts behind an IOMMU.
    #[serde(default)]
    pub iommu: bool,
    /// `compatible` of nodes that are places for a device and may be empty: they can be withheld from Dom0.
    #[serde(default)]
    pub slots: Vec<String>,
    /// Paths of nodes that are taken out of the host's device tree because Xen or Dom0 does not start with them.
    #[serde(default)]
    pub remove: Vec<String>,
    /// How it boots; without it the builder writes no boot script.
    pub boot: Option<Firmware>,
}

/// A text, or a list of texts that is not empty.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct OneOrMore;
    impl<'de> Visitor<'de> for OneOrMore {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string, or a list of strings")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![text.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut texts = Vec::new();
            while let Some(text) = list.next_element()? {
                texts.push(text);
            }
            if texts.is_empty() {
                return Err(de::Error::invalid_length(0, &self));
            }
            Ok(texts)
        }
    }
    deserializer.deserialize_any(OneOrMore)
}

/// How a board boots Xen.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Firmware {
    /// Xen's own arguments on this board: its console.
    pub xen: String,
    /// Where U-Boot may load to: RAM that is free from here on, a multiple of 2 MiB.
    pub load: u64,
    /// Whether a Raspberry Pi's firmware starts U-Boot: it wants a `config.txt`.
    #[serde(default)]
    pub config_txt: bool,
}

/// Xen, its modules and guest memory lie on multiples of this: what the arm64 boot protocol asks of a kernel.
pub const LOAD_ALIGN: u64 = 2 << 20;

/// The boards known by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boards(Vec<(String, Board)>);

impl Default for Boards {
    fn default() -> Self {
        let parse = |text| toml::from_str(text).expect("the embedded board files are valid");
        Self(BOARDS.map(|(name, text)| (name.to_owned(), parse(text))).into())
    }
}

impl Boards {
    /// Adds the board of `text`, the contents of `file`, under the file's name without `.toml`. It takes the place of
    /// a known one of that name. Returns the name.
    ///
    /// # Errors
    /// A line that is not TOML or not a board file's.
    pub fn add(&mut self, file: &Path, text: &str) -> Result<String, Error> {
        let refuse = |line: Option<usize>, fault| Error {
            place: match line {
                Some(line) => format!("{}:{line}", file.display()),
                None => file.display().to_string(),
            },
            fault,
        };
        let name = file
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        let board: Board = toml::from_str(text).map_err(|e| {
            let (line, fault) = syntax::fault(text, &e);
            refuse(line, fault)
        })?;
        if let Some(path) = board
            .remove
            .iter()
            .find(|path| !path.starts_with('/') || path.len() < 2)
        {
            return Err(refuse(None, Fault::RemovedPath(path.clone())));
        }
        if let Some(boot) = &board.boot {
            if !boot.load.is_multiple_of(LOAD_ALIGN) || boot.load >= 1 << 40 {
                return Err(refuse(None, Fault::LoadAddress(boot.load)));
            }
            if boot.xen.contains(char::is_control) {
                return Err(refuse(None, Fault::Arguments(boot.xen.clone())));
            }
        }
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name.clone(), board));
        Ok(name)
    }

    /// The board of this name, if it is known.
    pub fn named(&self, name: &str) -> Option<&Board> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, board)| board)
    }

    /// The names of all boards.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The board whose device tree this is, the latest added first.
    pub fn of(&self, base: &BaseTree) -> Option<(&str, &Board)> {
        let mut boards = self.0.iter().rev();
        let (name, board) = boards.find(|(_, board)| base.is_board(&board.compatible))?;
        Some((name, board))
    }
}

impl Board {
    /// A board of which nothing is known but its device tree.
    pub fn unknown(base: &BaseTree) -> Self {
        let root = base.nodes().first();
        Self {
            compatible: root
                .and_then(|root| root.compatible.first().cloned())
                .into_iter()
                .collect(),
            iommu: false,
            slots: Vec::new(),
            remove: Vec::new(),
            boot: None,
        }
    }

    /// Whether the node at `path`, or one above it, is taken out of the host's device tree.
    pub fn removes(&self, path: &str) -> bool {
        self.remove.iter().any(|removed| {
            path.strip_prefix(removed.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_board_is_one_a_user_could_add() {
        for (name, text) in BOARDS {
            let mut boards = Boards(Vec::new());
            let file = format!("{name}.toml");
            assert_eq!(boards.add(Path::new(&file), text), Ok(name.to_owned()));
            assert!(!boards.named(name).unwrap().compatible.is_empty(), "{name}");
        }
        assert_eq!(Boards::default().named("qemu"), None);
    }

    #[test]
    fn a_board_file_that_is_wrong_is_refused_with_its_place() {
        let refused = |text: &str| {
            Boards::default()
                .add(Path::new("b/mine.toml"), text)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refused("\ncompatible = 1"),
            "b/mine.toml:2: invalid type: integer `1`, expected a string, or a list of strings"
        );
        assert_eq!(
            refused("compatible = \"x\"\nremove = [\"serial\"]"),
            "b/mine.toml: remove: \"serial\" is not the full path of a node"
        );
        assert_eq!(
            refused("compatible = \"x\"\n[boot]\nxen = \"\"\nload = 0x1000"),
            "b/mine.toml: load address 0x1000 is not a multiple of 2 MiB below 1 TiB"
        );
    }

    #[test]
    fn an_added_board_replaces_a_known_one() {
        let mut boards = Boards::default();
        boards
            .add(Path::new("qemu-virt.toml"), "compatible = \"acme,board\"")
            .unwrap();
        assert_eq!(boards.named("qemu-virt").unwrap().compatible, ["acme,board"]);
        assert_eq!(boards.names().filter(|name| *name == "qemu-virt").count(), 1);
    }
}
