//! The manual pages: one of the whole, one for each command.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use outrigger::error::{Error, Fault};
use outrigger::near::did_you_mean;

/// Examples of a command: what is typed, and what it does.
type Examples = &'static [(&'static str, &'static str)];

/// Commands, and what their pages show.
const EXAMPLES: [(&str, Examples); 17] = [
    (
        "",
        &[
            (
                "outrigger devices board.dtb",
                "What could be given away, and what is in the way.",
            ),
            (
                "outrigger new --base-dtb board.dtb > machine.toml",
                "A machine file to start from.",
            ),
            (
                "outrigger build machine.toml --base-dtb board.dtb --out out",
                "Everything that Xen and xl need.",
            ),
        ],
    ),
    (
        "build",
        &[(
            "outrigger build machine.toml --base-dtb board.dtb --images /usr/lib/outrigger --out out",
            "Builds a machine into the folder out.",
        )],
    ),
    (
        "check",
        &[
            (
                "outrigger check machine.toml --base-dtb /sys/firmware/fdt",
                "On the board itself.",
            ),
            (
                "outrigger new qemu-virt | outrigger check - --base-dtb board.dtb",
                "A machine file from standard input.",
            ),
        ],
    ),
    (
        "image",
        &[(
            "outrigger image machine.toml --base-dtb board.dtb --out card.img && dd if=card.img of=/dev/mmcblk0 bs=4M",
            "Writes a card that boots the machine.",
        )],
    ),
    (
        "devices",
        &[
            (
                "outrigger devices board.dtb",
                "The enabled devices, those with a driver first.",
            ),
            (
                "outrigger devices --json board.dtb | jq '.devices[] | select(.free).path'",
                "For scripts.",
            ),
        ],
    ),
    (
        "inspect",
        &[(
            "outrigger inspect out/block.img",
            "Class and versions of an image.",
        )],
    ),
    (
        "new",
        &[
            ("outrigger new qemu-virt", "For a board that is known."),
            (
                "outrigger new --base-dtb board.dtb",
                "With the devices that the board has, and what must be withheld for them.",
            ),
        ],
    ),
    (
        "new-board",
        &[(
            "outrigger new-board acme.dtb > acme.toml && outrigger --board acme.toml new acme --base-dtb acme.dtb",
            "A board of your own.",
        )],
    ),
    (
        "restart",
        &[(
            "outrigger restart block",
            "Its guests wait for some milliseconds.",
        )],
    ),
    (
        "update",
        &[(
            "outrigger update block /etc/xen/outrigger/block.img",
            "After a build with new images.",
        )],
    ),
    (
        "reattach",
        &[
            (
                "outrigger reattach --dry-run net",
                "Says what would be plugged in again.",
            ),
            (
                "outrigger reattach net",
                "After xl destroy net and xl create net.cfg.",
            ),
        ],
    ),
    (
        "wait",
        &[(
            "outrigger wait block --timeout 30 && xl create guest.cfg",
            "A guest whose backend must be there.",
        )],
    ),
    (
        "status",
        &[(
            "outrigger status --watch",
            "Once a second, until it is interrupted.",
        )],
    ),
    (
        "metrics",
        &[(
            "outrigger metrics > /var/lib/prometheus/node-exporter/outrigger.prom",
            "For the textfile collector of Prometheus' node exporter.",
        )],
    ),
    (
        "doctor",
        &[(
            "outrigger doctor",
            "What in Dom0 keeps driver domains from their work.",
        )],
    ),
    (
        "completions",
        &[(
            "outrigger completions bash > /usr/share/bash-completion/completions/outrigger",
            "For all users.",
        )],
    ),
    (
        "man",
        &[("outrigger man --out /usr/share/man/man1", "All pages.")],
    ),
];

/// Files that the commands read and write.
const FILES: [(&str, &str); 4] = [
    (
        "/etc/xen/outrigger",
        "Where the configurations look for their files in Dom0 (--dest)",
    ),
    (
        "/sys/firmware/fdt",
        "The device tree that a running Linux was booted with: what --base-dtb wants",
    ),
    (
        "target/images",
        "The driver domains' ELF files in the source tree (--images, or OUTRIGGER_IMAGES)",
    ),
    (
        "/var/log/xen/console/guest-NAME.log",
        "A driver domain's log, if xenconsoled keeps logs",
    ),
];

/// Exit codes.
const EXITS: [(&str, &str); 3] = [
    ("0", "Done"),
    (
        "1",
        "An error: a line on standard error says what, where, and often a second how to mend it",
    ),
    ("2", "A command line that makes no sense"),
];

/// The page of a command, or of the whole.
pub fn page(outrigger: &Command, name: Option<&str>) -> Result<Vec<u8>, Error> {
    let mut outrigger = outrigger.clone();
    outrigger.build();
    let command = match name {
        None => &outrigger,
        Some(name) => outrigger.find_subcommand(name).ok_or_else(|| {
            let names = outrigger.get_subcommands().map(Command::get_name);
            Error {
                place: "outrigger man".to_owned(),
                fault: Fault::NoCommand {
                    name: name.to_owned(),
                    near: did_you_mean(name, names),
                },
            }
        })?,
    };
    let mut page = Vec::new();
    let rendered = render(command, name.unwrap_or_default(), &mut page);
    rendered.map_err(|e| Error::file(Path::new("manual page"), "cannot make", &e))?;
    Ok(page)
}

/// Writes all pages into a folder; returns their files.
pub fn write(outrigger: &Command, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    fs::create_dir_all(folder).map_err(|e| Error::file(folder, "cannot create", &e))?;
    let names = outrigger.get_subcommands().map(Command::get_name);
    let mut files = Vec::new();
    for name in std::iter::once(None).chain(names.map(Some)) {
        let file = match name {
            None => "outrigger.1".to_owned(),
            Some(name) => format!("outrigger-{name}.1"),
        };
        let file = folder.join(file);
        fs::write(&file, page(outrigger, name)?).map_err(|e| Error::file(&file, "cannot write", &e))?;
        files.push(file);
    }
    Ok(files)
}

fn render(command: &Command, name: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let man = Man::new(command.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(page)?;
    }
    let mut roff = Roff::default();
    let examples = EXAMPLES.iter().find(|(command, _)| *command == name);
    section(
        &mut roff,
        "EXAMPLES",
        examples.map_or(&[], |(_, examples)| examples),
    );
    section(&mut roff, "FILES", &FILES);
    section(&mut roff, "EXIT STATUS", &EXITS);
    roff.to_writer(page)
}

/// A section of paragraphs with a tag each.
fn section(roff: &mut Roff, title: &str, entries: &[(&str, &str)]) {
    if entries.is_empty() {
        return;
    }
    roff.control("SH", [title]);
    for (tag, text) in entries {
        roff.control("TP", []);
        roff.text([bold(*tag)]);
        roff.text([roman(*text)]);
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_has_a_page_with_examples_files_and_exit_status() {
        let outrigger = Cli::command();
        let names = outrigger.get_subcommands().map(Command::get_name);
        for name in std::iter::once(None).chain(names.map(Some)) {
            let page = String::from_utf8(page(&outrigger, name).unwrap()).unwrap();
            for section in ["NAME", "SYNOPSIS", "EXAMPLES", "FILES", "\"EXIT STATUS\""] {
                assert!(
                    page.contains(&format!("\n.SH {section}\n")),
                    "{name:?}: {section}\n{page}"
                );
            }
        }
        let known: Vec<&str> = outrigger.get_subcommands().map(Command::get_name).collect();
        for (name, _) in EXAMPLES {
            assert!(name.is_empty() || known.contains(&name), "{name}");
        }
    }
}
