//! `cargo xtask boards`: which of Debian's boards can have a driver domain, and what the others lack, as docs/boards.md.
//!
//! Of each tree it knows what `outrigger devices --json` knows, and checks the machine file that `outrigger new` writes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use outrigger::board::{Board, Boards};
use outrigger::class::Class;
use outrigger::devices::{self, Device};
use outrigger::machine::MachineFile;
use outrigger::new;
use outrigger::plan::Plan;
use outrigger::tree::BaseTree;

use crate::{fetch, image, test};

/// What nodes are called that hold a disk or a card, and those that are network controllers.
const NAMES: [(&str, &[&str]); 2] = [
    (
        "block",
        &[
            "mmc",
            "sdhci",
            "sdmmc",
            "sdhc",
            "sata",
            "ahci",
            "ufs",
            "ufshc",
            "nvme",
            "nand-controller",
        ],
    ),
    ("net", &["ethernet"]),
];

/// Rows of the list of missing drivers.
const MOST_MISSED: usize = 25;

/// What a class can do on a board.
enum Can {
    /// A device of it can be given, with this driver.
    Yes(String),
    /// The same, if its neighbours are withheld.
    Withholding(String),
    /// All devices that it drives have something in the way.
    InTheWay(String),
    /// It has no driver for the first such device.
    NoDriver(String),
    /// The tree has no such device that is enabled.
    NoDevice,
}

/// What is said of one tree.
struct Row {
    name: String,
    classes: Vec<Can>,
    /// Whether `outrigger check` passes for the machine file that `outrigger new` writes.
    checked: bool,
}

/// Writes docs/boards.md, and prints what it counts.
pub fn write() -> Result<()> {
    let folder = test::inputs::device_trees(&fetch::LINUX.root()?)?;
    let kernel = folder.file_name().context("the folder has a name")?;
    let mut rows = Vec::new();
    for file in trees(&folder)? {
        let name = file.strip_prefix(&folder)?.with_extension("");
        rows.push(row(name.display().to_string(), &file)?);
    }
    let page = page(&kernel.to_string_lossy(), &rows);
    fs::write(image::workspace().join("docs/boards.md"), page)?;
    println!("{}", counted(&rows));
    Ok(())
}

fn trees(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "dtb") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn row(name: String, file: &Path) -> Result<Row> {
    let base = BaseTree::parse(file, &fs::read(file)?)?;
    let mut boards = Boards::default();
    let known = boards.of(&base).map(|(name, _)| name.to_owned());
    let board = match known {
        Some(board) => board,
        None => boards.add(Path::new("board.toml"), &new::board_file(&base))?,
    };
    let facts = boards.named(&board).context("the board was just added")?;
    let devices = devices::devices(&base, facts, false);
    Ok(Row {
        name,
        classes: NAMES.map(|(class, names)| can(class, names, &devices)).into(),
        checked: is_checked(&base, &board, facts, &boards),
    })
}

fn is_checked(base: &BaseTree, name: &str, board: &Board, boards: &Boards) -> bool {
    let text = new::machine_file(name, board, Some(base));
    MachineFile::parse_for(Path::new("machine.toml"), &text, boards)
        .is_ok_and(|machine| Plan::new(&machine, base).is_ok())
}

fn can(class: &'static str, names: &[&str], devices: &[Device]) -> Can {
    let driven = || devices.iter().filter(|device| device.classes.contains(&class));
    let by = |device: &Device| driver(class, device);
    if let Some(device) = driven().find(|device| device.free) {
        return Can::Yes(by(device));
    }
    if let Some(device) = driven().find(|device| device.is_free_without_neighbours()) {
        return Can::Withholding(by(device));
    }
    if let Some(device) = driven().next() {
        return Can::InTheWay(device.obstacles.join("; "));
    }
    let is_one = |device: &&Device| {
        let name = device.path.rsplit('/').next().unwrap_or_default();
        names.contains(&name.split('@').next().unwrap_or_default())
    };
    match devices.iter().find(is_one) {
        Some(device) => Can::NoDriver(device.compatible.first().cloned().unwrap_or_default()),
        None => Can::NoDevice,
    }
}

/// The `compatible` by which the class drives a device.
fn driver(class: &str, device: &Device) -> String {
    let class = Class::named(class);
    let driver = class.as_ref().and_then(|class| class.driver(&device.compatible));
    driver.map_or_else(String::new, |driver| driver.compatible.clone())
}

fn counted(rows: &[Row]) -> String {
    let serves = |class: usize| {
        let can = |row: &&Row| matches!(row.classes[class], Can::Yes(_) | Can::Withholding(_));
        rows.iter().filter(can).count()
    };
    let checked = rows.iter().filter(|row| row.checked).count();
    format!(
        "{} trees; `outrigger check` passes for {checked}: {} can have a block domain, {} a network domain",
        rows.len(),
        serves(0),
        serves(1)
    )
}

fn page(kernel: &str, rows: &[Row]) -> String {
    let mut page = format!(
        "# Boards\n\n\
         Which boards can have a driver domain today, by the device trees of Debian's `{kernel}`. Written by\n\
         `cargo xtask boards`; a tree says what a board has, not that anybody has tried it.\n\n\
         {}.\n\n\
         ## The drivers that are missing most\n\n\
         The first enabled disk controller and the first enabled network controller of each tree count.\n\n\
         | Class | Device | Trees |\n|---|---|---|\n",
        counted(rows)
    );
    let mut missing: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for row in rows {
        for ((class, _), can) in NAMES.iter().zip(&row.classes) {
            if let Can::NoDriver(device) = can {
                *missing.entry((class, device)).or_default() += 1;
            }
        }
    }
    let mut missing: Vec<_> = missing.into_iter().collect();
    missing.sort_by_key(|(_, trees)| std::cmp::Reverse(*trees));
    for ((class, device), trees) in missing.iter().take(MOST_MISSED) {
        let _ = writeln!(page, "| {class} | `{device}` | {trees} |");
    }
    page += "\n## All boards\n\n\
             *withholding*: if devices on the same page or interrupt are withheld from Dom0, which `outrigger new` proposes. A board\n\
             that the image builder does not know by name needs a board file, which `outrigger new-board` begins.\n\n\
             | Tree | Block | Network |\n|---|---|---|\n";
    for row in rows {
        let cells: Vec<String> = row.classes.iter().map(cell).collect();
        let _ = writeln!(page, "| {} | {} |", row.name, cells.join(" | "));
    }
    page
}

fn cell(can: &Can) -> String {
    match can {
        Can::Yes(driver) => format!("**yes**: `{driver}`"),
        Can::Withholding(driver) => format!("**withholding**: `{driver}`"),
        Can::InTheWay(why) => format!("no: {why}"),
        Can::NoDriver(device) => format!("no driver for `{device}`"),
        Can::NoDevice => "–".to_owned(),
    }
}
