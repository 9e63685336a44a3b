//! The machine file: the one place where a system is described.
//!
//! ```toml
//! board = "qemu-virt"
//! withhold = ["/soc/mmc@7e300000"]        # nodes that nobody shall have, because they share with a given one
//!
//! [domain.block]                          # NAME of the xl domain and of its files
//! class = "block"                         # which image
//! devices = ["/virtio_mmio@a003e00"]      # paths, aliases, labels or `compatible`s of nodes in the base device tree;
//!                                         # the order names them virtio0, virtio1, …
//! memory = "16M"                          # or a number of MiB; without it, what the class needs
//! log = "info"                            # off, error, warn, info, debug or trace
//! shutdown-wait = "120 s"                 # how long `xl shutdown` waits for guests that use it
//! [domain.block.options]                  # the class's own options
//!
//! [boot]                                  # how it boots: see `boot`; without it, no boot files are written
//! [card]                                  # what goes on its card: see `card`
//! ```

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::board::{Board, Boards};
use crate::boot::Boot;
use crate::card::Card;
use crate::class::Class;
use crate::error::{Error, Fault};
use crate::size::Mib;
use crate::wait::Seconds;
use crate::{options, syntax};

/// Least and most memory of a driver domain, MiB. More than 3 GiB would go into a second bank of guest memory.
const MEMORY_MIB: (u32, u32) = (4, 3072);

/// A machine file, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineFile {
    /// The file, as errors name it.
    pub file: String,
    /// The board it is for.
    pub board: Board,
    /// The board's name.
    pub board_name: String,
    /// Nodes kept from Dom0 and given to nobody, as the file names them.
    pub withhold: Vec<At<String>>,
    /// How it boots, if the file says so.
    pub boot: Option<Boot>,
    /// What goes on its card, if the file says so.
    pub card: Option<At<Card>>,
    /// The driver domains, by name.
    pub domains: Vec<Domain>,
}

/// One driver domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its name for `xl`.
    pub name: String,
    /// Which image it runs.
    pub class: Class,
    /// Its devices as the file names them, in the order that names them to the domain.
    pub devices: Vec<At<String>>,
    /// Its memory in MiB, and the line that says so (or the class's).
    pub memory_mib: At<u32>,
    /// Level of its log; without it, the image's own.
    pub log: Option<Log>,
    /// How long it waits for its guests when it is asked to power off; without it, the image's own.
    pub shutdown_wait: Option<Seconds>,
    /// The class's own options, as words `key=value` of the command line.
    pub options: Vec<At<String>>,
}

/// A value and the line of the machine file it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Line, from 1.
    pub line: usize,
}

/// Levels of the driver domain's log, as its command line spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the levels of the `log` crate")]
pub enum Log {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Log {
    /// The level as the command line spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MachineTable {
    board: Spanned<String>,
    #[serde(default)]
    withhold: Vec<Spanned<String>>,
    boot: Option<Spanned<Boot>>,
    card: Option<Spanned<Card>>,
    #[serde(default)]
    domain: BTreeMap<Spanned<String>, DomainTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DomainTable {
    class: Spanned<String>,
    devices: Vec<Spanned<String>>,
    memory: Option<Spanned<Mib>>,
    log: Option<Log>,
    #[serde(rename = "shutdown-wait")]
    shutdown_wait: Option<Seconds>,
    #[serde(default)]
    options: BTreeMap<Spanned<String>, toml::Value>,
}

impl MachineFile {
    /// Understands `text`, the contents of `file`, for the boards that come with the builder.
    ///
    /// # Errors
    /// A line of the file that is not TOML, not a known key or value, or out of range.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Error> {
        Self::parse_for(file, text, &Boards::default())
    }

    /// Understands `text`, the contents of `file`, for one of these boards.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_for(file: &Path, text: &str, boards: &Boards) -> Result<Self, Error> {
        let source = Source {
            file: file.display().to_string(),
            text,
        };
        let table: MachineTable = toml::from_str(text).map_err(|e| {
            let fault = syntax::fault(text, &e).1;
            source.refuse(e.span(), fault)
        })?;
        let board = boards.named(table.board.as_ref()).cloned().ok_or_else(|| {
            let fault = Fault::UnknownBoard {
                name: table.board.as_ref().clone(),
                known: boards.names().collect::<Vec<_>>().join(", "),
            };
            source.refuse(Some(table.board.span()), fault)
        })?;
        if table.domain.is_empty() {
            return Err(source.refuse(None, Fault::NoDomains));
        }
        let boot = match table.boot {
            None => None,
            Some(_) if board.boot.is_none() => {
                let fault = Fault::NoFirmware(table.board.as_ref().clone());
                return Err(source.refuse(Some(table.board.span()), fault));
            }
            Some(boot) => {
                let checked = boot.as_ref().check();
                checked.map_err(|fault| source.refuse(Some(boot.span()), fault))?;
                Some(boot.into_inner())
            }
        };
        let card = match table.card {
            None => None,
            Some(card) => {
                let checked = card.as_ref().check();
                checked.map_err(|fault| source.refuse(Some(card.span()), fault))?;
                Some(source.at(card))
            }
        };
        let domains = table
            .domain
            .into_iter()
            .map(|(name, domain)| source.domain(name, domain));
        let domains = domains.collect::<Result<_, _>>()?;
        Ok(Self {
            file: source.file.clone(),
            board,
            board_name: table.board.into_inner(),
            withhold: table.withhold.into_iter().map(|node| source.at(node)).collect(),
            boot,
            card,
            domains,
        })
    }

    /// A fault on this line of the machine file.
    pub fn refuse(&self, line: usize, fault: Fault) -> Error {
        Error {
            place: format!("{}:{line}", self.file),
            fault,
        }
    }
}

/// The text that spans point into.
struct Source<'a> {
    file: String,
    text: &'a str,
}

impl Source<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        syntax::line(self.text, span.start)
    }

    fn at<T>(&self, value: Spanned<T>) -> At<T> {
        let line = self.line(&value.span());
        At {
            value: value.into_inner(),
            line,
        }
    }

    fn refuse(&self, span: Option<Range<usize>>, fault: Fault) -> Error {
        let place = match span {
            Some(span) => format!("{}:{}", self.file, self.line(&span)),
            None => self.file.clone(),
        };
        Error { place, fault }
    }

    fn domain(&self, name: Spanned<String>, table: DomainTable) -> Result<Domain, Error> {
        let refuse = |span, fault| Err(self.refuse(Some(span), fault));
        if !is_domain_name(name.as_ref()) {
            return refuse(name.span(), Fault::DomainName(name.into_inner()));
        }
        if name.as_ref() == "host" {
            return refuse(name.span(), Fault::DomainNamedHost);
        }
        let Some(class) = Class::named(table.class.as_ref()) else {
            let known = Class::names().collect::<Vec<_>>().join(", ");
            let span = table.class.span();
            return refuse(
                span,
                Fault::UnknownClass {
                    name: table.class.into_inner(),
                    known,
                },
            );
        };
        if table.devices.is_empty() && !class.manifest.without_devices {
            return refuse(name.span(), Fault::NoDevices(name.into_inner()));
        }
        let cards = class.device_names(table.devices.len());
        let mut options = Vec::new();
        for (key, value) in table.options {
            let Some(rule) = class.manifest.options.get(key.as_ref()) else {
                let fault = Fault::UnknownOption {
                    class: class.name.to_owned(),
                    key: key.as_ref().clone(),
                    known: class.manifest.options.keys().cloned().collect(),
                };
                return refuse(key.span(), fault);
            };
            let word = options::word(class.name, key.as_ref(), rule, &value, &cards);
            options.push(At {
                line: self.line(&key.span()),
                value: word.map_err(|fault| self.refuse(Some(key.span()), fault))?,
            });
        }
        let memory_mib = match table.memory {
            Some(memory) => At {
                line: self.line(&memory.span()),
                value: memory.into_inner().0,
            },
            None => At {
                value: class.manifest.memory_mib,
                line: self.line(&table.class.span()),
            },
        };
        let (min, max) = MEMORY_MIB;
        if !(min..=max).contains(&memory_mib.value) {
            let place = format!("{}:{}", self.file, memory_mib.line);
            return Err(Error {
                place,
                fault: Fault::Memory {
                    mib: memory_mib.value,
                    min,
                    max,
                },
            });
        }
        let devices = table.devices.into_iter().map(|d| self.at(d)).collect();
        Ok(Domain {
            name: name.into_inner(),
            class,
            devices,
            memory_mib,
            log: table.log,
            shutdown_wait: table.shutdown_wait,
            options,
        })
    }
}

/// Names that `xl` does not take for a domid, and that are file names.
fn is_domain_name(name: &str) -> bool {
    name.len() <= 31
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
