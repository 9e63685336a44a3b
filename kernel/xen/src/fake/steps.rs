//! Failing at each step in turn, in bounded memory.

use std::env;
use std::process::Command;
use std::string::ToString;

const RANGE: &str = "OUTRIGGER_STEPS";
/// Steps a process: some hundred megabytes.
const CHUNK: usize = 200;

/// Calls `play` for each step from `first` to `last`, inside the test that is called `test`. A life that fails drops nothing, as
/// on Xen, so each step leaves its world behind; therefore processes of their own play the steps, some hundred each.
///
/// # Panics
/// One of them fails: what it printed says at which step.
pub fn at_each_step(test: &str, first: u64, last: u64, mut play: impl FnMut(u64)) {
    if let Ok(range) = env::var(RANGE) {
        let (from, to) = range.split_once('-').expect("a range of steps");
        let number = |text: &str| text.parse::<u64>().expect("a step");
        for step in number(from)..=number(to) {
            std::println!("{test}: fails at step {step} of {last}");
            play(step);
        }
        return;
    }
    let program = env::current_exe().expect("the test's own program");
    for from in (first..=last).step_by(CHUNK) {
        let to = (from + CHUNK as u64 - 1).min(last);
        let output = Command::new(&program)
            .args(["--exact", test, "--nocapture"])
            .env(RANGE, std::format!("{from}-{to}"))
            .output()
            .expect("the test's own program runs");
        let said = std::string::String::from_utf8_lossy(&output.stdout).to_string();
        assert!(
            said.contains(&std::format!("step {to} of")) || !output.status.success(),
            "{test} is no test"
        );
        let errors = std::string::String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{errors}");
    }
}
