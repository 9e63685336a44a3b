//! `outrigger metrics`: the same as `outrigger status`, in the text form of OpenMetrics 1.0, for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::status::{Counters, Status};

/// A metric family: its type, its help, and its samples (labels, and a value).
#[derive(Default)]
struct Family {
    kind: &'static str,
    help: String,
    samples: Vec<(String, String)>,
}

/// Bytes of a sector, in which vbds count.
const SECTOR: u64 = 512;

/// The whole exposition.
pub fn text(status: &Status) -> String {
    let mut families = Families::default();
    for domain in &status.domains {
        let name = ("domain", domain.name.as_str());
        families.gauge(
            "outrigger_domain_info",
            "A driver domain that runs, and its class",
            &[name, ("class", domain.class.unwrap_or("unknown"))],
            "1".to_owned(),
        );
        families.gauge(
            "outrigger_domain_serving",
            "Whether a driver domain serves its guests",
            &[name],
            u8::from(domain.state == "serving").to_string(),
        );
        families.counter(
            "outrigger_domain_restarts",
            "Restarts in place",
            &[name],
            domain.restarts,
        );
        if let Some(pause) = domain.last_pause_us {
            families.gauge(
                "outrigger_domain_restart_pause_seconds",
                "How long nobody was served at the last restart in place",
                &[name],
                format!("{}.{:06}", pause / 1_000_000, pause % 1_000_000),
            );
        }
        families.gauge(
            "outrigger_domain_warnings",
            "What is not as it should be: `outrigger status` says what",
            &[name],
            domain.warnings.len().to_string(),
        );
        for card in &domain.hardware {
            let labels = [name, ("device", card.name.as_str())];
            if let Some(link) = &card.link {
                let up = u8::from(link == "up").to_string();
                families.gauge(
                    "outrigger_card_link_up",
                    "Whether a network card has a link",
                    &labels,
                    up,
                );
            }
            families.counters("card", &labels, &card.counters);
        }
        for served in &domain.serves {
            let labels = [
                name,
                ("guest", served.guest.as_str()),
                ("device", served.device.as_str()),
            ];
            families.gauge(
                &format!("outrigger_{}_connected", served.kind),
                "Whether a guest's device is connected",
                &labels,
                u8::from(served.state == "connected").to_string(),
            );
            families.counters(served.kind, &labels, &served.counters);
        }
    }
    families.gauge(
        "outrigger_warnings",
        "Guests' devices whose driver domain is gone",
        &[],
        status.warnings.len().to_string(),
    );
    families.text()
}

/// The families by their names: the samples of each stand together.
#[derive(Default)]
struct Families(BTreeMap<String, Family>);

impl Families {
    fn add(&mut self, name: &str, kind: &'static str, help: &str, labels: &[(&str, &str)], value: String) {
        let family = self.0.entry(name.to_owned()).or_insert_with(|| Family {
            kind,
            help: help.to_owned(),
            samples: Vec::new(),
        });
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", labels.join(",")),
        };
        family.samples.push((labels, value));
    }

    fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: String) {
        self.add(name, "gauge", help, labels, value);
    }

    fn counter(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: u64) {
        self.add(name, "counter", help, labels, value.to_string());
    }

    /// The counters of a device, under names by the conventions: base units, `_total`, reasons as labels.
    fn counters(&mut self, kind: &str, labels: &[(&str, &str)], counters: &Counters) {
        for (key, count) in counters {
            if let Some((way, reason)) = key.split_once("-dropped-") {
                let labels = [labels, &[("reason", reason)]].concat();
                let name = format!("outrigger_{kind}_{way}_dropped");
                self.counter(&name, "Frames that went nowhere, by reason", &labels, *count);
            } else if let Some(way) = key.strip_prefix("sectors-") {
                let name = format!("outrigger_{kind}_{way}_bytes");
                self.counter(
                    &name,
                    &format!("Bytes {way}"),
                    labels,
                    count.saturating_mul(SECTOR),
                );
            } else {
                let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
                let name: String = key.chars().map(plain).collect();
                self.counter(
                    &format!("outrigger_{kind}_{name}"),
                    &key.replace('-', " "),
                    labels,
                    *count,
                );
            }
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, family) in &self.0 {
            let _ = writeln!(
                text,
                "# TYPE {name} {}\n# HELP {name} {}.",
                family.kind, family.help
            );
            let suffix = if family.kind == "counter" { "_total" } else { "" };
            for (labels, value) in &family.samples {
                let _ = writeln!(text, "{name}{suffix}{labels} {value}");
            }
        }
        text + "# EOF\n"
    }
}

/// A label's value: quotes, backslashes and line ends would end it.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
