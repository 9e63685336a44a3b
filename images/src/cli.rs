//! The commands: what is typed, and what is done.

mod live;
mod manual;
mod print;

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use outrigger::board::{Board, Boards};
use outrigger::build::{self, DEFAULT_DEST, Request};
use outrigger::card;
use outrigger::devices::{self, Table};
use outrigger::error::{Error, Fault};
use outrigger::live::{Toolstack, restart, update};
use outrigger::tree::BaseTree;
use outrigger::{inspect, new};
use serde_json::{Value, json};

use self::print::{lines, notices, print, print_bytes, print_json};

/// Builds Xen driver domains from one machine file.
#[derive(Parser)]
#[command(name = "outrigger", version)]
pub struct Cli {
    /// Prints JSON, for scripts
    #[arg(long, global = true)]
    json: bool,
    /// A board file of your own: its board goes by the file's name without .toml
    #[arg(long, value_name = "FILE", global = true)]
    board: Vec<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes for each driver domain NAME.img, NAME.cfg and NAME.dtb, once host.dtb, and the boot script if asked for
    Build(Build),
    /// Says whether a machine file can be built, without images and without writing
    Check(Check),
    /// Builds a machine, and writes a card that boots it: boot partition, data partition, all files on it
    Image(Build),
    /// Lists what of a board could be given to driver domains, and what stands in the way
    Devices(Devices),
    /// Says what a file is, what it needs, and what it would own: a device tree, an image, a configuration, a script
    Inspect {
        /// The file
        file: PathBuf,
    },
    /// Prints a commented machine file for a board
    New(New),
    /// Prints the beginning of a board file, from the board's device tree
    NewBoard {
        /// The board's device tree (flattened)
        base_dtb: PathBuf,
    },
    /// In Dom0: has a driver domain start over inside itself, without its guests noticing
    Restart {
        /// The driver domain's name
        name: String,
    },
    /// In Dom0: hands a new image to a driver domain that runs, which restarts in place into it
    Update {
        /// The driver domain's name
        name: String,
        /// The image, as `outrigger build` writes it
        image: PathBuf,
    },
    /// In Dom0: plugs in again what guests had of a driver domain that died and was created anew
    Reattach {
        /// The driver domain's name
        name: String,
        /// Only says which devices, and how
        #[arg(long)]
        dry_run: bool,
    },
    /// In Dom0: waits until a driver domain serves, so that guests that need it can be started
    Wait {
        /// The driver domain's name
        name: String,
        /// How long at most
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        timeout: u64,
    },
    /// In Dom0: which driver domains run, whom they serve, and what is not as it should be
    Status {
        /// Again every second, until it is interrupted
        #[arg(long)]
        watch: bool,
    },
    /// In Dom0: the same in OpenMetrics' text form, for Prometheus
    Metrics,
    /// In Dom0: says what keeps driver domains from their work
    Doctor {
        /// Folder of the driver domains' configurations
        #[arg(long, value_name = "DIR", default_value = DEFAULT_DEST)]
        dest: PathBuf,
        /// Another root folder to look at
        #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
        root: PathBuf,
    },
    /// Prints the completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Prints the manual page of a command, or writes those of all
    Man {
        /// The command: without it, the page of outrigger itself
        command: Option<String>,
        /// A folder for all pages, as man(1) finds them: outrigger.1, outrigger-build.1, …
        #[arg(long, value_name = "DIR", conflicts_with = "command")]
        out: Option<PathBuf>,
    },
}

#[derive(Args)]
struct Build {
    #[command(flatten)]
    inputs: Check,
    /// Folder of the driver domains' ELF files, which `cargo xtask image` makes
    #[arg(
        long,
        value_name = "DIR",
        env = "OUTRIGGER_IMAGES",
        default_value = "target/images"
    )]
    images: PathBuf,
    /// Folder to write to; of a card, the image file
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Folder in Dom0 where the files will be: the configurations name them there
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DEST)]
    dest: String,
}

impl Build {
    fn request(self) -> Request {
        let Self {
            inputs: Check { machine, base_dtb },
            images,
            out,
            dest,
        } = self;
        Request {
            machine,
            base_dtb,
            images,
            out,
            dest,
        }
    }
}

#[derive(Args)]
struct Check {
    /// The machine file: which driver domains there are, and what each owns
    machine: PathBuf,
    /// The board's device tree (flattened), as its firmware or QEMU's dumpdtb gives it
    #[arg(long, value_name = "FILE")]
    base_dtb: PathBuf,
}

#[derive(Args)]
struct Devices {
    /// The board's device tree (flattened)
    base_dtb: PathBuf,
    /// Lists disabled devices too
    #[arg(long)]
    all: bool,
}

#[derive(Args)]
struct New {
    /// The board: its name, or with --base-dtb none, to take the one whose device tree it is
    #[arg(required_unless_present = "base_dtb")]
    name: Option<String>,
    /// The board's device tree (flattened): the file then names devices that are there
    #[arg(long, value_name = "FILE")]
    base_dtb: Option<PathBuf>,
}

/// Does what was typed.
pub fn run(cli: Cli) -> Result<(), Error> {
    let boards = build::read_boards(&cli.board)?;
    match cli.command {
        Command::Build(build) => {
            let request = build.request();
            let built = build::build_for(&request, &boards)?;
            if cli.json {
                return print_json(json!({ "files": built.files, "notices": built.notices }));
            }
            notices(&built.notices);
            print(&lines(built.files.iter().map(|file| file.display().to_string())))
        }
        Command::Image(build) => {
            let mut progress = |name: &str, bytes: u64| {
                if !cli.json {
                    eprintln!("copying {name} ({} MiB)", bytes >> 20);
                }
            };
            let written = card::write(&build.request(), &boards, &mut progress)?;
            if cli.json {
                return print_json(serde_json::to_value(&written).unwrap_or_default());
            }
            notices(&written.notices);
            print(&format!(
                "{}: {} MiB, {} files; the second partition is PARTUUID={}\n",
                written.image.display(),
                written.bytes >> 20,
                written.files.len(),
                written.data_partuuid
            ))
        }
        Command::Check(Check { machine, base_dtb }) => {
            let checked = build::check(&machine, &base_dtb, &boards)?;
            if cli.json {
                return print_json(serde_json::to_value(&checked).unwrap_or_default());
            }
            notices(&checked.notices);
            print(&lines(checked.domains.iter().map(ToString::to_string)))
        }
        Command::Devices(Devices { base_dtb, all }) => {
            let base = build::read_tree(&base_dtb)?;
            let unknown = Board::unknown(&base);
            let known = boards.of(&base);
            let board = known.map_or(&unknown, |(_, board)| board);
            let devices = devices::devices(&base, board, all);
            if cli.json {
                let name = known.map(|(name, _)| name);
                return print_json(json!({ "board": name, "devices": devices }));
            }
            print(&Table(&devices).to_string())
        }
        Command::Inspect { file } => {
            let report = inspect::inspect(&file, &build::read_bounded(&file)?, &boards)?;
            if cli.json {
                let facts: Vec<Value> = report
                    .facts
                    .iter()
                    .map(|(what, value)| json!({ "what": what, "value": value }))
                    .collect();
                return print_json(json!({ "kind": report.kind, "facts": facts }));
            }
            let facts = report
                .facts
                .iter()
                .map(|(what, value)| format!("  {what}: {value}"));
            print(&lines(
                std::iter::once(format!("{}: {}", file.display(), report.kind)).chain(facts),
            ))
        }
        Command::New(New { name, base_dtb }) => {
            print(&new_file(&boards, name.as_deref(), base_dtb.as_deref())?)
        }
        Command::NewBoard { base_dtb } => print(&new::board_file(&build::read_tree(&base_dtb)?)),
        Command::Restart { name } => live::restarted(&name, &restart::restart(Toolstack, &name)?, cli.json),
        Command::Update { name, image } => {
            let bytes = build::read_bounded(&image)?;
            let restart = update::update(Toolstack, &name, &image, bytes)?;
            live::restarted(&name, &restart, cli.json)
        }
        Command::Reattach { name, dry_run } => live::reattach(&name, dry_run, cli.json),
        Command::Wait { name, timeout } => live::wait(&name, timeout, cli.json),
        Command::Status { watch } => live::status(watch, cli.json),
        Command::Metrics => live::metrics(),
        Command::Doctor { dest, root } => live::doctor(&root, &dest, cli.json),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "outrigger", &mut script);
            print_bytes(&script)
        }
        Command::Man { command, out } => match out {
            Some(folder) => {
                let pages = manual::write(&Cli::command(), &folder)?;
                print(&lines(pages.iter().map(|page| page.display().to_string())))
            }
            None => print_bytes(&manual::page(&Cli::command(), command.as_deref())?),
        },
    }
}

fn new_file(boards: &Boards, name: Option<&str>, base_dtb: Option<&Path>) -> Result<String, Error> {
    let unknown = |name: &str| Error {
        place: "outrigger new".to_owned(),
        fault: Fault::UnknownBoard {
            name: name.to_owned(),
            known: boards.names().collect::<Vec<_>>().join(", "),
        },
    };
    let base: Option<BaseTree> = base_dtb.map(build::read_tree).transpose()?;
    let (name, board) = match (name, &base) {
        (Some(name), _) => (name, boards.named(name).ok_or_else(|| unknown(name))?),
        (None, Some(base)) => {
            let root = base.nodes().first().and_then(|root| root.compatible.first());
            boards
                .of(base)
                .ok_or_else(|| unknown(root.map_or("", String::as_str)))?
        }
        (None, None) => return Err(unknown("")),
    };
    if let (Some(base), Some(file)) = (&base, base_dtb)
        && !base.is_board(&board.compatible)
    {
        return Err(Error::at(file, Fault::OtherBoard(board.compatible.clone())));
    }
    Ok(new::machine_file(name, board, base.as_ref()))
}
