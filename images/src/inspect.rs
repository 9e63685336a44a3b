//! What a file is, what it needs, and what it would own: for `outrigger inspect`.

use std::path::Path;

use dtoolkit::model::DeviceTreeNode;
use dtoolkit::{Node as _, Property as _};
use outrigger_update::Header;
use serde::Serialize;

use crate::board::{Board, Boards};
use crate::boot::legacy;
use crate::devices;
use crate::error::{Error, Fault};
use crate::image::{self, Image};
use crate::tree::{BaseTree, flat};

/// A file, understood: its kind in a few words, and what there is to say of it, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What it is.
    pub kind: &'static str,
    /// Facts: what each is called, and what it is.
    pub facts: Vec<(&'static str, String)>,
}

/// Understands `bytes`, the contents of `file`.
///
/// # Errors
/// A file of a known kind that is damaged, or of none.
pub fn inspect(file: &Path, bytes: &[u8], boards: &Boards) -> Result<Report, Error> {
    if bytes.starts_with(&flat::MAGIC.to_be_bytes()) {
        return device_tree(file, bytes, boards);
    }
    if bytes.starts_with(b"\x7fELF") {
        let image = Image::from_elf(file, bytes, u32::MAX)?;
        return Ok(arm64_image("the ELF file of a driver domain", &image));
    }
    if bytes.get(56..60) == Some(b"ARM\x64") {
        let image = image::read_flat(bytes).map_err(|fault| Error::at(file, fault))?;
        return Ok(arm64_image("an arm64 Image", &image));
    }
    if let Some((name, text)) = legacy::read_script(bytes) {
        return Ok(script(&name, &text));
    }
    if let Ok(text) = str::from_utf8(bytes)
        && let Some(report) = configuration(text)
    {
        return Ok(report);
    }
    Err(Error::at(file, Fault::UnknownFile))
}

fn arm64_image(kind: &'static str, image: &Image) -> Report {
    let header = Header::read(&image.bytes).ok();
    let of_header = header.iter().flat_map(|header| {
        [
            ("class", header.class.to_owned()),
            ("survivors' version", header.survivors.to_string()),
        ]
    });
    Report {
        kind,
        facts: of_header
            .chain([
                ("bytes", image.bytes.len().to_string()),
                ("bytes in memory", image.image_size.to_string()),
                ("text offset", format!("{:#x}", image.text_offset)),
                (
                    "least memory",
                    format!("{} MiB", image.memory_bytes().div_ceil(1 << 20)),
                ),
            ])
            .collect(),
    }
}

fn device_tree(file: &Path, bytes: &[u8], boards: &Boards) -> Result<Report, Error> {
    let base = BaseTree::parse(file, bytes)?;
    let root = &base.model().root;
    let mut facts = vec![("nodes", base.nodes().len().to_string())];
    if root.child("passthrough").is_some() {
        return Ok(partial(&base, facts));
    }
    if root
        .children()
        .any(|child| child.property("target-path").is_some())
    {
        facts.extend(targets(root).map(|path| ("changes", path)));
        return Ok(Report {
            kind: "an overlay of a host's device tree",
            facts,
        });
    }
    if let Some(board) = base.nodes().first().filter(|root| !root.compatible.is_empty()) {
        facts.push(("compatible", board.compatible.join(", ")));
    }
    let known = boards.of(&base);
    if let Some((name, _)) = known {
        facts.push(("board", name.to_owned()));
    }
    for (property, what) in [
        ("xen,xen-bootargs", "Xen's arguments"),
        ("xen,dom0-bootargs", "Dom0's arguments"),
    ] {
        if let Some(text) = base
            .model_node("/chosen")
            .and_then(|chosen| string(chosen, property))
        {
            facts.push((what, text));
        }
    }
    let marked: Vec<String> = base
        .nodes()
        .iter()
        .filter(|node| {
            base.model_node(&node.path)
                .is_some_and(|n| n.property("xen,passthrough").is_some())
        })
        .map(|node| node.path.clone())
        .collect();
    let kind = if marked.is_empty() {
        let unknown = Board::unknown(&base);
        let board = known.map_or(&unknown, |(_, board)| board);
        let rows = devices::devices(&base, board, false);
        let free = rows.iter().filter(|device| device.free).count();
        facts.push((
            "devices",
            format!("{}, of which {free} can be given away", rows.len()),
        ));
        "a board's device tree"
    } else {
        facts.extend(marked.into_iter().map(|path| ("kept from Dom0", path)));
        "a host's device tree"
    };
    Ok(Report { kind, facts })
}

/// A domain's own tree.
fn partial(base: &BaseTree, mut facts: Vec<(&'static str, String)>) -> Report {
    for node in base.nodes().iter().filter(|node| {
        node.path
            .strip_prefix("/passthrough/")
            .is_some_and(|name| !name.contains('/'))
    }) {
        let registers = node.registers.regions.iter();
        let registers: Vec<_> = registers
            .map(|region| format!("{:#x}+{:#x}", region.base(), region.size()))
            .collect();
        let model = base.model_node(&node.path);
        let interrupts = model.and_then(|node| node.property("interrupts"));
        let interrupts: Vec<String> = interrupts
            .and_then(|interrupts| interrupts.value_as::<Vec<u32>>().ok())
            .unwrap_or_default()
            .chunks_exact(3)
            .map(|cells| cells[1].saturating_add(32).to_string())
            .collect();
        let compatible = node.compatible.join(", ");
        facts.push((
            "owns",
            format!(
                "{} ({compatible}): registers {}, interrupts {}",
                node.path,
                registers.join(" "),
                interrupts.join(" ")
            ),
        ));
    }
    Report {
        kind: "a driver domain's partial device tree",
        facts,
    }
}

fn targets(root: &DeviceTreeNode) -> impl Iterator<Item = String> {
    root.children()
        .filter_map(|fragment| string(fragment, "target-path"))
}

/// The property's text, on one line.
fn string(node: &DeviceTreeNode, property: &str) -> Option<String> {
    let text = crate::tree::string(node, property)?;
    Some(
        text.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect(),
    )
}

fn script(name: &str, text: &str) -> Report {
    let mut facts = vec![("name", name.to_owned())];
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["load", _, _, address, file, ..] = words[..] {
            facts.push((
                "loads",
                format!("{} at {address}", file.trim_start_matches("${prefix}")),
            ));
        }
    }
    Report {
        kind: "a boot script for U-Boot",
        facts,
    }
}

/// An `xl` configuration: `key = value` lines, one of which is `name`.
fn configuration(text: &str) -> Option<Report> {
    const KEYS: [(&str, &str); 9] = [
        ("name", "name"),
        ("kernel", "kernel"),
        ("cmdline", "command line"),
        ("memory", "memory in MiB"),
        ("device_tree", "partial device tree"),
        ("iomem", "owns pages"),
        ("irqs", "owns interrupts"),
        ("dtdev", "behind the IOMMU"),
        ("driver_domain", "driver domain"),
    ];
    let values = text.lines().filter_map(|line| line.split_once('='));
    let values: Vec<(&str, &str)> = values.map(|(key, value)| (key.trim(), value.trim())).collect();
    values.iter().find(|(key, _)| *key == "name")?;
    let facts = KEYS.iter().filter_map(|(key, what)| {
        let (_, value) = values.iter().find(|(k, _)| k == key)?;
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        Some((*what, value.trim_matches('"').to_owned()))
    });
    Some(Report {
        kind: "an xl configuration",
        facts: facts.collect(),
    })
}
