//! `outrigger status`: the driver domains that run, whom they serve, and what is not as it should be. All from XenStore,
//! where the toolstack and the domains themselves say it.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::store::Store;
use super::wait::{SERVES, has_given_up};

/// Kinds of backends, and the class of driver domain that has them.
const KINDS: [(&str, &str); 2] = [("vbd", "block"), ("vif", "net")];

/// Counters of a device, by the names that the domain gives them.
pub type Counters = BTreeMap<String, u64>;

/// All driver domains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// By their numbers.
    pub domains: Vec<Domain>,
    /// What is not as it should be with guests whose backend is gone; a line each.
    pub warnings: Vec<String>,
}

/// A driver domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Domain {
    /// Its name for `xl`.
    pub name: String,
    /// Its number.
    pub domid: u32,
    /// Its class; `None` until it serves somebody.
    pub class: Option<&'static str>,
    /// What it is at: `starting`, `serving`, or how it ended.
    pub state: String,
    /// How often it has restarted in place.
    pub restarts: u64,
    /// Why it did the last time.
    pub last_reason: Option<String>,
    /// How long nobody was served then, in microseconds.
    pub last_pause_us: Option<u64>,
    /// Its hardware: what it is called, its link where it has one, and counters.
    pub hardware: Vec<Hardware>,
    /// Whom it serves.
    pub serves: Vec<Served>,
    /// What is not as it should be; a line each.
    pub warnings: Vec<String>,
}

/// A device that a driver domain owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hardware {
    /// Its name in the domain: `net0`.
    pub name: String,
    /// `up` or `down`.
    pub link: Option<String>,
    /// What it has done.
    pub counters: Counters,
}

/// A device that a guest has of a driver domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Served {
    /// The guest's name.
    pub guest: String,
    /// The guest's number.
    pub guest_domid: u32,
    /// `vbd` or `vif`.
    pub kind: &'static str,
    /// What the guest calls it: `xvda`, or a vif's number.
    pub device: String,
    /// What it is of: a disk's target, or a segment.
    pub of: Option<String>,
    /// The state of the backend, in words (Xen's `xenbus.h`).
    pub state: &'static str,
    /// What it has done.
    pub counters: Counters,
    /// Why the domain does not serve it.
    pub error: Option<String>,
}

/// What XenStore tells.
pub fn status(store: &Store) -> Status {
    let numbers = store.numbers("/local/domain");
    let domains: Vec<Domain> = numbers
        .iter()
        .filter(|domid| is_driver_domain(store, **domid))
        .map(|domid| domain(store, *domid))
        .collect();
    let mut warnings = Vec::new();
    for guest in &numbers {
        for (kind, _) in KINDS {
            for device in store.names(&format!("/local/domain/{guest}/device/{kind}")) {
                let node = format!("/local/domain/{guest}/device/{kind}/{device}");
                let backend = store.value(&format!("{node}/backend-id"));
                let backend: Option<u32> = backend.and_then(|backend| backend.parse().ok());
                if backend.is_some_and(|backend| backend != 0 && !numbers.contains(&backend)) {
                    warnings.push(format!(
                        "{} {kind} {device}: its driver domain is gone: create it again, then `outrigger reattach NAME`",
                        name(store, *guest)
                    ));
                }
            }
        }
    }
    Status { domains, warnings }
}

/// Ours: what announces where it takes a new image, or how it has restarted. No other domain has such nodes.
fn is_driver_domain(store: &Store, domid: u32) -> bool {
    let data = store.names(&format!("/local/domain/{domid}/data"));
    data.iter().any(|name| ["update", "restart"].contains(name))
}

fn name(store: &Store, domid: u32) -> String {
    let name = store.value(&format!("/local/domain/{domid}/name"));
    name.map_or_else(|| format!("domain {domid}"), str::to_owned)
}

fn domain(store: &Store, domid: u32) -> Domain {
    let node = format!("/local/domain/{domid}");
    let restart = |what: &str| store.value(&format!("{node}/data/restart/{what}"));
    let ended = restart("state").filter(|state| has_given_up(state));
    let state = match ended {
        Some(ended) => ended,
        None if store.value(&format!("{node}/{SERVES}")) == Some("1") => "serving",
        None => "starting",
    };
    let hardware: Vec<Hardware> = store
        .names(&format!("{node}/data"))
        .into_iter()
        .filter_map(|name| {
            let words = store.value(&format!("{node}/data/{name}"))?;
            words.contains('=').then(|| Hardware {
                name: name.to_owned(),
                link: word(words, "link").map(str::to_owned),
                counters: counters(words),
            })
        })
        .collect();
    let mut serves = Vec::new();
    for (kind, _) in KINDS {
        for guest in store.numbers(&format!("{node}/backend/{kind}")) {
            for device in store.names(&format!("{node}/backend/{kind}/{guest}")) {
                serves.push(served(store, &node, kind, guest, device));
            }
        }
    }
    let class = KINDS.iter().find(|(kind, _)| {
        serves.iter().any(|served| served.kind == *kind)
            || !store.names(&format!("{node}/backend/{kind}")).is_empty()
    });
    let class = class.map(|(_, class)| *class);
    let mut warnings: Vec<String> = serves.iter().filter_map(warning).collect();
    for card in hardware
        .iter()
        .filter(|card| card.link.as_deref() == Some("down"))
    {
        warnings.push(format!("{}: its link is down", card.name));
    }
    Domain {
        name: name(store, domid),
        domid,
        class: class.or(hardware.iter().any(|card| card.link.is_some()).then_some("net")),
        state: state.to_owned(),
        restarts: restart("count").and_then(|count| count.parse().ok()).unwrap_or(0),
        last_reason: restart("reason").map(str::to_owned),
        last_pause_us: restart("pause-us").and_then(|pause| pause.parse().ok()),
        hardware,
        serves,
        warnings,
    }
}

fn served(store: &Store, domain: &str, kind: &'static str, guest: u32, device: &str) -> Served {
    let node = format!("{domain}/backend/{kind}/{guest}/{device}");
    let value = |what: &str| store.value(&format!("{node}/{what}"));
    let of = match kind {
        "vbd" => value("params"),
        _ => value("bridge"),
    };
    Served {
        guest: name(store, guest),
        guest_domid: guest,
        kind,
        device: value("dev").unwrap_or(device).to_owned(),
        of: of.map(str::to_owned),
        state: state(value("state")),
        counters: value("statistics").map(counters).unwrap_or_default(),
        error: value("error").map(str::to_owned),
    }
}

/// The words for a state.
fn state(number: Option<&str>) -> &'static str {
    match number {
        Some("1") => "initialising",
        Some("2") => "waiting for the guest",
        Some("3") => "initialised",
        Some("4") => "connected",
        Some("5") => "closing",
        Some("6") => "closed",
        Some("7") => "reconfiguring",
        Some("8") => "reconfigured",
        _ => "unknown",
    }
}

fn warning(served: &Served) -> Option<String> {
    let Served {
        guest, kind, device, ..
    } = served;
    let what = match (&served.error, served.state) {
        (Some(error), _) => error.clone(),
        (None, "connected") => {
            let refused = served.counters.get("refused").copied().unwrap_or(0);
            let errors = served.counters.get("errors").copied().unwrap_or(0);
            if errors > 0 {
                format!("{errors} requests failed on the device")
            } else if refused > 0 {
                format!("{refused} bad requests of the guest were refused")
            } else {
                return None;
            }
        }
        (None, state) => state.to_owned(),
    };
    Some(format!("{guest} {kind} {device}: {what}"))
}

/// The value of a word `key=value`.
fn word<'w>(words: &'w str, key: &str) -> Option<&'w str> {
    let mut words = words.split_whitespace().filter_map(|word| word.split_once('='));
    words.find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// The numbers among words `key=value`.
fn counters(words: &str) -> Counters {
    let words = words.split_whitespace().filter_map(|word| word.split_once('='));
    words
        .filter_map(|(key, value)| Some((key.to_owned(), value.trim_end_matches(',').parse().ok()?)))
        .collect()
}

impl Display for Status {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.domains.is_empty() {
            writeln!(f, "No driver domain runs.")?;
        }
        for domain in &self.domains {
            writeln!(
                f,
                "{} (domain {}, {}): {}, {} restarts{}",
                domain.name,
                domain.domid,
                domain.class.unwrap_or("class unknown"),
                domain.state,
                domain.restarts,
                last(domain)
            )?;
            for card in &domain.hardware {
                let link = card.link.as_ref().map(|link| format!(" link {link},"));
                writeln!(
                    f,
                    "  {}{} {}",
                    card.name,
                    link.unwrap_or_default(),
                    brief(&card.counters)
                )?;
            }
            for served in &domain.serves {
                let of = served.of.as_ref().map(|of| format!(" of {of}"));
                writeln!(
                    f,
                    "  {} {} {}{}: {}{}",
                    served.guest,
                    served.kind,
                    served.device,
                    of.unwrap_or_default(),
                    served.state,
                    match brief(&served.counters) {
                        counters if counters.is_empty() => counters,
                        counters => format!(", {counters}"),
                    }
                )?;
            }
            for warning in &domain.warnings {
                writeln!(f, "  warning: {warning}")?;
            }
        }
        self.warnings
            .iter()
            .try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

fn last(domain: &Domain) -> String {
    match (&domain.last_reason, domain.last_pause_us) {
        (Some(reason), Some(pause)) => format!(", the last: {reason}, {pause} us"),
        (Some(reason), None) => format!(", the last: {reason}"),
        _ => String::new(),
    }
}

/// The counters that a person looks at first.
fn brief(counters: &Counters) -> String {
    const FIRST: [(&str, &str); 6] = [
        ("reads", "reads"),
        ("writes", "writes"),
        ("tx-frames", "tx frames"),
        ("rx-frames", "rx frames"),
        ("errors", "errors"),
        ("refused", "refused"),
    ];
    let shown = FIRST.iter().filter_map(|(key, word)| {
        let count = counters.get(*key)?;
        (*count > 0 || !matches!(*key, "errors" | "refused")).then(|| format!("{count} {word}"))
    });
    shown.collect::<Vec<_>>().join(", ")
}
