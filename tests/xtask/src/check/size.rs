//! A file that passes some 400 lines without its tests is two files.

use anyhow::Result;

use super::source::inline_tests;
use super::{Faults, Repository};

/// The most lines of a file, its tests not counted.
const MOST: usize = 400;

/// No Rust file is longer than it may be.
pub fn check(repository: &Repository, faults: &mut Faults) -> Result<String> {
    let (mut files, mut longest) = (0, 0);
    for source in &repository.sources {
        if !source.is_rust() || source.is_test() {
            continue;
        }
        let tests: usize = inline_tests(&source.code()).iter().map(|range| range.len()).sum();
        let lines = source.text.lines().count() - tests;
        files += 1;
        longest = longest.max(lines);
        if lines > MOST {
            faults.add(format!(
                "{} has {lines} lines without its tests; the most is {MOST}: split it",
                source.path
            ));
        }
    }
    Ok(format!("{files} files, the longest {longest} of {MOST} lines"))
}
