//! What came of a run.

use std::collections::BTreeMap;
use std::mem;
use std::path::PathBuf;
use std::time::Duration;

/// What is known of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is expected, and was not reported on.
    Missing,
    /// It was reported as passed, and never as failed.
    Passed,
    /// It was reported as failed.
    Failed,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: &'static str,
    /// Every expected check, and any other that was reported on.
    pub checks: BTreeMap<String, Verdict>,
    /// What ended the run before its end, if anything did.
    pub broken: Option<String>,
    /// Figures reported by Dom0 and the guests.
    pub values: BTreeMap<String, String>,
    /// How long the machine was on.
    pub age: Duration,
    /// What the consoles said before each check that failed, and before what ended the run early.
    pub(super) failures: Vec<(String, Vec<String>)>,
    pub(super) log: PathBuf,
}

impl Outcome {
    /// How many checks did not pass.
    pub fn failed(&self) -> usize {
        let failed = self.checks.len() - self.passed();
        // A run that broke off after its last check has still failed.
        if failed == 0 && self.broken.is_some() {
            1
        } else {
            failed
        }
    }

    /// A check was reported on, after those lines.
    pub(super) fn judge(&mut self, check: String, well: bool, last: &mut Vec<String>) {
        if well {
            let verdict = self.checks.entry(check).or_insert(Verdict::Missing);
            if *verdict == Verdict::Missing {
                *verdict = Verdict::Passed;
            }
            last.clear();
        } else {
            self.failures.push((check.clone(), mem::take(last)));
            self.checks.insert(check, Verdict::Failed);
        }
    }

    /// How many checks passed.
    pub fn passed(&self) -> usize {
        self.checks
            .values()
            .filter(|verdict| **verdict == Verdict::Passed)
            .count()
    }

    /// Shows the checks, and what all consoles said before each failure.
    pub fn print(&self) {
        println!("{} ({:.0} s)", self.scenario, self.age.as_secs_f32());
        for (check, verdict) in &self.checks {
            match verdict {
                Verdict::Passed => println!("  pass {check}"),
                Verdict::Failed => println!("  FAIL {check}"),
                Verdict::Missing => println!("  FAIL {check} (not reported on)"),
            }
        }
        if self.failed() > 0 {
            if let Some(broken) = &self.broken {
                println!("  FAIL {broken}");
            }
            for (what, lines) in &self.failures {
                println!("  before \"{what}\" in {}:", self.log.display());
                for line in lines {
                    println!("    {line}");
                }
            }
        }
    }
}
