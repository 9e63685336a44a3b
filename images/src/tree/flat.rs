//! Reads a flattened device tree (Devicetree Specification v0.4, chapter 5) into dtoolkit's model.
//!
//! dtoolkit's own reader keeps to the specification's names of at most 31 characters; real trees do not: Linux's
//! sources name nodes and properties as long as they like. This one takes any name that is safe in a file, and bounds
//! what a file can ask for: every offset is checked, nothing recurses, and the model's size follows the file's.

use std::collections::HashSet;

use dtoolkit::Node as _;
use dtoolkit::memreserve::MemoryReservation;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

/// Xen takes no larger device tree on arm64 (2 MiB).
pub const MAX_BYTES: usize = 2 << 20;

/// What a flattened device tree starts with.
pub const MAGIC: u32 = 0xd00d_feed;

/// Deeper nesting than any board's; a bound for what recurses over the model.
const MAX_DEPTH: usize = 32;
/// More nodes than any board's.
const MAX_NODES: usize = 16 << 10;
/// Longer names than any board's; paths and property names are copied.
const MAX_NAME: usize = 127;

const HEADER_BYTES: usize = 40;
/// The least version of a tree, and the most that it may ask of its reader. 17 brought the structure block's size.
const VERSIONS: (u32, u32) = (16, 17);

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// Reads `dtb`. Bytes after the tree's own size are ignored.
///
/// # Errors
/// What is wrong and at which byte, in one line.
pub fn read(dtb: &[u8]) -> Result<DeviceTree, String> {
    let header = Header::read(dtb)?;
    let mut tree = DeviceTree::new();
    tree.root = header.root()?;
    tree.memory_reservations = header.reservations()?;
    Ok(tree)
}

/// A cell of the file, if it lies inside.
fn cell(bytes: &[u8], at: usize) -> Option<u32> {
    let end = at.checked_add(4)?;
    bytes.get(at..end)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// Where the blocks are; every range lies inside `dtb`.
struct Header<'a> {
    dtb: &'a [u8],
    structure: std::ops::Range<usize>,
    strings: &'a [u8],
    reservations: usize,
}

impl<'a> Header<'a> {
    fn read(dtb: &'a [u8]) -> Result<Self, String> {
        let field = |at: usize| cell(dtb, at).map(|value| value as usize);
        if dtb.len() < HEADER_BYTES {
            return Err(format!("{} bytes are too few for its header", dtb.len()));
        }
        if cell(dtb, 0) != Some(MAGIC) {
            return Err("it does not start with the magic number d00dfeed".to_owned());
        }
        let size = field(4).unwrap_or(0);
        if size > MAX_BYTES {
            return Err(format!("larger than the {MAX_BYTES} bytes Xen takes"));
        }
        let Some(dtb) = dtb.get(..size) else {
            return Err(format!("cut short: {} of {size} bytes are there", dtb.len()));
        };
        let block = |what: &str, offset: usize, size: usize| {
            let end = offset.checked_add(size).filter(|&end| end <= dtb.len());
            end.map(|end| offset..end)
                .ok_or_else(|| format!("its {what} block at byte {offset} ends beyond it"))
        };
        let field = |at: usize| cell(dtb, at).ok_or_else(|| "cut short in its header".to_owned());
        let (version, compatible) = (field(20)?, field(24)?);
        if version < VERSIONS.0 || compatible > VERSIONS.1 {
            return Err(format!(
                "its format is version {version}, readable as {compatible}, not 16 or 17"
            ));
        }
        let offset = field(8)? as usize;
        if !offset.is_multiple_of(4) {
            return Err(format!("its structure block at byte {offset} is not aligned"));
        }
        let size = match version {
            16 => dtb.len().saturating_sub(offset),
            _ => field(36)? as usize,
        };
        let structure = block("structure", offset, size)?;
        let strings = block("strings", field(12)? as usize, field(32)? as usize)?;
        Ok(Self {
            structure,
            strings: &dtb[strings],
            reservations: field(16)? as usize,
            dtb,
        })
    }

    fn reservations(&self) -> Result<Vec<MemoryReservation>, String> {
        let mut reservations = Vec::new();
        let mut rest = self.dtb.get(self.reservations..).unwrap_or_default();
        loop {
            let Some((entry, next)) = rest.split_first_chunk::<16>() else {
                return Err("its list of reserved memory has no end".to_owned());
            };
            let (address, size) = entry.split_at(8);
            let number = |bytes: &[u8]| bytes.first_chunk().copied().map_or(0, u64::from_be_bytes);
            match (number(address), number(size)) {
                (0, 0) => return Ok(reservations),
                (address, size) => reservations.push(MemoryReservation::new(address, size)),
            }
            rest = next;
        }
    }

    fn root(&self) -> Result<DeviceTreeNode, String> {
        let mut read = Structure {
            block: &self.dtb[self.structure.clone()],
            base: self.structure.start,
            at: 0,
        };
        let mut open: Vec<Open> = Vec::new();
        let mut nodes = 0;
        loop {
            let place = read.base + read.at;
            match read.cell()? {
                BEGIN_NODE => {
                    nodes += 1;
                    if nodes > MAX_NODES {
                        return Err(format!("more than {MAX_NODES} nodes"));
                    }
                    if open.len() == MAX_DEPTH {
                        return Err(format!("nested deeper than {MAX_DEPTH} nodes"));
                    }
                    let name = read.node_name(open.is_empty())?;
                    if let Some(parent) = open.last_mut()
                        && !parent.children.insert(name.to_owned())
                    {
                        return Err(format!("{} has the node {name} twice", path(&open)));
                    }
                    open.push(Open::new(name));
                }
                PROP => {
                    let (name, value) = read.property(self.strings)?;
                    let Some(node) = open.last_mut() else {
                        return Err(format!("a property outside the root node at byte {place}"));
                    };
                    if node.node.property(name).is_some() {
                        return Err(format!("{} has the property {name} twice", path(&open)));
                    }
                    node.node
                        .add_property(DeviceTreeProperty::new_unchecked(name, value));
                }
                END_NODE => {
                    let Some(done) = open.pop() else {
                        return Err(format!("a node's end without its beginning at byte {place}"));
                    };
                    match open.last_mut() {
                        Some(parent) => parent.node.add_child(done.node),
                        None => return read.end().map(|()| done.node),
                    }
                }
                NOP => {}
                END => return Err(format!("ends at byte {place} inside {}", path(&open))),
                token => return Err(format!("{token:#x} at byte {place} is no token")),
            }
        }
    }
}

/// A node whose end has not come yet.
struct Open {
    node: DeviceTreeNode,
    children: HashSet<String>,
}

impl Open {
    fn new(name: &str) -> Self {
        Self {
            node: DeviceTreeNode::new_unchecked(name),
            children: HashSet::new(),
        }
    }
}

fn path(open: &[Open]) -> String {
    match open {
        [] | [_] => "/".to_owned(),
        [_, nodes @ ..] => nodes
            .iter()
            .map(|open| format!("/{}", open.node.name()))
            .collect(),
    }
}

/// The structure block, read from its start. `base` is its place in the file, for errors.
struct Structure<'a> {
    block: &'a [u8],
    base: usize,
    at: usize,
}

impl<'a> Structure<'a> {
    fn cell(&mut self) -> Result<u32, String> {
        let cell = cell(self.block, self.at);
        let cell = cell.ok_or_else(|| format!("cut short at byte {}", self.base + self.at))?;
        self.at += 4;
        Ok(cell)
    }

    /// The next `size` bytes, and the padding behind them.
    fn bytes(&mut self, size: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(size);
        let bytes = end.and_then(|end| self.block.get(self.at..end));
        let bytes = bytes.ok_or_else(|| {
            format!(
                "{size} bytes at byte {} are more than there are",
                self.base + self.at
            )
        })?;
        self.at = (self.at + size).next_multiple_of(4);
        Ok(bytes)
    }

    fn node_name(&mut self, root: bool) -> Result<&'a str, String> {
        let place = self.base + self.at;
        let rest = self.block.get(self.at..).unwrap_or_default();
        let name = name(rest).ok_or_else(|| format!("no usable node name at byte {place}"))?;
        self.bytes(name.len() + 1)?;
        match (root, name) {
            (true, "" | "/") => Ok(""),
            (true, _) => Err(format!("its root node is called {name:?}")),
            (false, "") => Err(format!("a node without a name at byte {place}")),
            (false, _) if name.contains('/') => Err(format!("no usable node name at byte {place}")),
            (false, _) => Ok(name),
        }
    }

    fn property(&mut self, strings: &'a [u8]) -> Result<(&'a str, &'a [u8]), String> {
        let place = self.base + self.at;
        let size = self.cell()? as usize;
        let offset = self.cell()? as usize;
        let name = strings
            .get(offset..)
            .and_then(name)
            .filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("no usable property name for byte {place}"))?;
        Ok((name, self.bytes(size)?))
    }

    fn end(&mut self) -> Result<(), String> {
        loop {
            let place = self.base + self.at;
            match self.cell()? {
                NOP => {}
                END => return Ok(()),
                _ => return Err(format!("it goes on behind its root node at byte {place}")),
            }
        }
    }
}

/// The string that `bytes` start with: printable, and without what would need quoting where names are written.
fn name(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().take(MAX_NAME + 1).position(|&byte| byte == 0)?;
    let name = str::from_utf8(&bytes[..end]).ok()?;
    let fit = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\');
    name.chars().all(fit).then_some(name)
}
