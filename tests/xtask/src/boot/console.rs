//! What a running machine says: lines of all its consoles, and what they mean.

use std::io::Read;
use std::sync::mpsc::Sender;

/// One line, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `xen` (the serial line: Xen and Dom0's kernel), `dom0` (its scripts), a domain's name, or `qemu`.
    pub console: String,
    /// The line without its end and without control characters.
    pub text: String,
}

/// What a console's reader reports.
#[derive(Debug)]
pub enum Event {
    /// A complete line.
    Line(Line),
    /// A console's connection ended.
    Closed,
}

/// Reads `from` to its end and sends its lines. Dom0's port carries other consoles' lines, behind "NAME| ".
pub fn read_lines(mut from: impl Read, console: &str, events: &Sender<Event>) {
    let mut pending = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        pending.extend_from_slice(&buffer[..count]);
        while let Some(end) = pending.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            if events.send(Event::Line(line_of(console, &line))).is_err() {
                return;
            }
        }
    }
    if !pending.is_empty() {
        // The receiver may be gone by now; then nobody wants the rest.
        let _ = events.send(Event::Line(line_of(console, &pending)));
    }
    let _ = events.send(Event::Closed);
}

/// A line without what only moves a cursor: control characters, and sequences that begin with ESC [.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    let lossy = String::from_utf8_lossy(bytes);
    let mut characters = lossy.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\x1b' && characters.next_if_eq(&'[').is_some() {
            while characters.next_if(|c| !c.is_ascii_alphabetic()).is_some() {}
            characters.next();
        } else if !character.is_control() || character == '\t' {
            text.push(character);
        }
    }
    text
}

fn line_of(console: &str, bytes: &[u8]) -> Line {
    let text = printable(bytes);
    match text.split_once("| ") {
        Some((name, rest)) if console == "dom0" && is_domain_name(name) => Line {
            console: name.to_owned(),
            text: rest.to_owned(),
        },
        _ => Line {
            console: console.to_owned(),
            text,
        },
    }
}

fn is_domain_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Why `line` ends a run at once, if it does: no healthy machine says such a thing.
pub fn alarm(line: &Line) -> Option<&'static str> {
    // A kernel shows its own command line, which says what to do on a panic.
    if line.text.contains("ommand line:") {
        return None;
    }
    // What an image for tests says of a failure on purpose, even if it is to be blamed for it (kernel/core/src/crash.rs). Where
    // it was called from follows the reason, which has been looked at.
    if line.text.contains("crash point") || line.text.contains(": called from ") {
        return None;
    }
    // A driver domain that restarts says why: as an error, unless it was asked to, or failed on purpose.
    if line.text.contains(" ERROR restart ") {
        return Some("a restart");
    }
    if line.text.contains(" INFO  restart ") {
        return None;
    }
    let lower = line.text.to_ascii_lowercase();
    let words = |text: &str, word: &str| {
        text.match_indices(word).any(|(at, _)| {
            let bound = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
            bound(text[..at].chars().next_back()) && bound(text[at + word.len()..].chars().next())
        })
    };
    if line.console == "qemu" {
        return Some("QEMU reports an access out of specification");
    }
    if words(&lower, "panic") || words(&lower, "panicked") {
        return Some("a panic");
    }
    if words(&line.text, "BUG") {
        return Some("a BUG");
    }
    if words(&lower, "oops") {
        return Some("an oops");
    }
    if lower.contains("call trace") {
        return Some("a call trace");
    }
    if lower.contains("out of memory") {
        return Some("no memory left");
    }
    None
}

/// What a scenario says to the harness, by a line that begins with the run's token.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A check succeeded.
    Pass(String),
    /// A check failed.
    Fail(String),
    /// A figure: its name and its value.
    Value(String, String),
    /// Something to do to the machine, in the words of QEMU's monitor.
    Monitor(String),
    /// The same, in QEMU's machine protocol: one JSON object.
    Qmp(String),
    /// Begins a window in which the processors' time is watched; some of it is stolen if so.
    Window(bool),
    /// The window ends.
    Closed,
    /// The longest wait in the last window, in ms; the check that it is for.
    Longest(u64, String),
    /// Rates in the last window but one and in the last one, in pairs; the check that they are for.
    Kept(Vec<f64>, String),
    /// The scenario is through.
    End,
    /// Anything else: said for the reader of the log, or for Dom0.
    Remark(String),
}

/// Reads `line` as a report, if it carries `token`.
pub fn report(line: &Line, token: &str) -> Option<Report> {
    let said = line
        .text
        .trim()
        .strip_prefix('@')?
        .strip_prefix(token)?
        .strip_prefix(' ')?;
    let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
    let rest = rest.trim().to_owned();
    // A guest may report figures, but it does not judge itself.
    let judge = line.console == "dom0";
    Some(match word {
        "pass" if judge => Report::Pass(rest),
        "fail" if judge => Report::Fail(rest),
        "monitor" if judge => Report::Monitor(rest),
        "qmp" if judge => Report::Qmp(rest),
        "window" if judge && rest == "end" => Report::Closed,
        "window" if judge => Report::Window(rest == "stolen"),
        "longest" if judge => {
            let (ms, check) = rest.split_once(' ')?;
            Report::Longest(ms.parse().ok()?, check.to_owned())
        }
        "kept" if judge => {
            let (rates, check) = rest.split_once(" of ")?;
            let rates: Option<_> = rates.split(' ').map(|rate| rate.parse().ok()).collect();
            Report::Kept(rates?, check.to_owned())
        }
        "end" if judge => Report::End,
        "value" => {
            let (name, value) = rest.split_once(' ').unwrap_or((&rest, ""));
            Report::Value(name.to_owned(), value.trim().to_owned())
        }
        _ => Report::Remark(said.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn line(console: &str, text: &str) -> Line {
        Line {
            console: console.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn lines_are_told_apart_by_console() {
        let (sender, receiver) = mpsc::channel();
        let input: &[u8] = b"hello\r\nblock| rea\x1b[12;3Hdy\n\x1b| x| y\ntail";
        read_lines(input, "dom0", &sender);
        let lines: Vec<Line> = receiver
            .try_iter()
            .filter_map(|event| match event {
                Event::Line(line) => Some(line),
                Event::Closed => None,
            })
            .collect();
        let expected = [
            line("dom0", "hello"),
            line("block", "ready"),
            line("dom0", "| x| y"),
            line("dom0", "tail"),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn alarms_ring_for_trouble_only() {
        for text in [
            "(XEN) Panic on CPU 0:",
            "Kernel panic - not syncing: no init",
            "kernel BUG at mm/slab.c:1",
            "Internal error: Oops: 96000004 [#1] SMP",
            "(XEN) Xen call trace:",
            "Call trace:",
            "panicked at src/main.rs:1:1:",
            "[    8.62] ERROR restart 2: stuck for 50 ms",
        ] {
            assert!(alarm(&line("xen", text)).is_some(), "{text}");
        }
        for text in [
            "Kernel command line: panic=1",
            "DEBUG: fine",
            "debugfs",
            "no panics_here",
            "bug fixed",
            "[    8.62] INFO  restart 2: panicked at src/crash.rs:1:1: crash point",
            "[    8.62] ERROR restart 2: panicked at src/crash.rs:1:1: crash point",
            "[    8.62] ERROR restart 2: called from [40201234]",
        ] {
            assert!(alarm(&line("xen", text)).is_none(), "{text}");
        }
    }

    #[test]
    fn only_dom0_judges() {
        let pass = |console| report(&line(console, "@t0k pass ext4 hashes"), "t0k");
        assert_eq!(pass("dom0"), Some(Report::Pass("ext4 hashes".into())));
        assert_eq!(pass("guest"), Some(Report::Remark("pass ext4 hashes".into())));
        assert_eq!(report(&line("dom0", "@other pass x"), "t0k"), None);
        assert_eq!(
            report(&line("g", "@t0k value read 3 MiB/s"), "t0k"),
            Some(Report::Value("read".into(), "3 MiB/s".into()))
        );
    }

    #[test]
    fn windows_and_what_is_judged_by_them() {
        let said = |text: &str| report(&line("dom0", &format!("@t {text}")), "t");
        assert_eq!(said("window stolen"), Some(Report::Window(true)));
        assert_eq!(said("window free"), Some(Report::Window(false)));
        assert_eq!(said("window end"), Some(Report::Closed));
        assert_eq!(
            said("longest 511 a disk answers"),
            Some(Report::Longest(511, "a disk answers".to_owned()))
        );
        assert_eq!(
            said("longest  a disk answers"),
            None,
            "no figure: the check stays unreported, and fails"
        );
        let kept = Report::Kept(vec![1.0, 2.5], "TCP".to_owned());
        assert_eq!(said("kept 1 2.5 of TCP"), Some(kept));
        assert_eq!(
            report(&line("net2", "@t window stolen"), "t"),
            Some(Report::Remark("window stolen".to_owned()))
        );
    }
}
